"""The closed vocabularies of the training application."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobStatus(models.TextChoices):
    """Where a job stands; `training.jobs.Job` draws the transitions."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


TERMINAL_STATUSES = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Reason(models.TextChoices):
    """Why a job ended other than well."""

    BAD_CONFIG = "bad_config", _("The settings cannot be used")
    BAD_DATASET = "bad_dataset", _("The dataset cannot be used")
    BAD_PACKAGE = "bad_package", _("The trained model could not be verified")
    DIVERGED = "diverged", _("The loss became infinite or undefined")
    OUT_OF_MEMORY = "out_of_memory", _("The memory was not enough")
    DISK_FULL = "disk_full", _("The disk is full")
    NO_NETWORK = "no_network", _("The network could not be reached")
    NO_PROGRESS = "no_progress", _("The work stopped advancing")
    KILLED = "killed", _("The process was killed from outside")
    WORKER_LOST = "worker_lost", _("The worker was lost too often")
    ERROR = "error", _("An unexpected error")


class ImportSource(models.TextChoices):
    """Where a dataset comes from."""

    ARCHIVE = "archive", _("Archive or folder")
    CIFAR10 = "cifar10", _("CIFAR-10, downloaded")
    STL10 = "stl10", _("STL-10, downloaded")
    DEMO = "demo", _("Demo: synthetic shapes, drawn in seconds")


class ModelState(models.TextChoices):
    """What a model version is used for; at most one is the champion."""

    CANDIDATE = "candidate", _("Candidate")
    CHAMPION = "champion", _("Champion")
    ARCHIVED = "archived", _("Archived")
