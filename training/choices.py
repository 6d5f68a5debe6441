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


class Priority(models.IntegerChoices):
    """Which jobs are taken first."""

    LOW = -1, _("Low")
    NORMAL = 0, _("Normal")
    HIGH = 1, _("High")


class Reason(models.TextChoices):
    """Why a job ended other than well."""

    BAD_CONFIG = "bad_config", _("The settings cannot be used")
    BAD_DATASET = "bad_dataset", _("The dataset cannot be used")
    BAD_ARCHIVE = "bad_archive", _("The archive cannot be used")
    BAD_PACKAGE = "bad_package", _("The trained model could not be verified")
    DIVERGED = "diverged", _("The loss became infinite or undefined")
    OUT_OF_MEMORY = "out_of_memory", _("The memory was not enough")
    DISK_FULL = "disk_full", _("The disk is full")
    NO_NETWORK = "no_network", _("The network could not be reached")
    NO_PROGRESS = "no_progress", _("The work stopped advancing")
    KILLED = "killed", _("The process was killed from outside")
    WORKER_LOST = "worker_lost", _("The worker was lost too often")
    CANCELLED = "cancelled", _("Somebody cancelled it")
    DEPENDENCY = "dependency", _("The run it was to follow did not succeed")
    ERROR = "error", _("An unexpected error")


class Cause(models.TextChoices):
    """What changes a job's state; `training.transitions.LEGAL` tells which may cause which change."""

    REQUESTED = "requested", _("Requested")
    CLAIMED = "claimed", _("Taken by a worker")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    RELEASED = "released", _("Given back: the worker shut down")
    LOST = "lost", _("Its process was killed")
    LEASE_EXPIRED = "lease_expired", _("Its worker was not heard of any more")
    RESUMED = "resumed", _("Resumed")
    DEPENDENCY = "dependency", _("The run it was to follow did not succeed")


class QueueName(models.TextChoices):
    """Where jobs wait. Celery's queues of the same names carry the messages that wake workers."""

    TRAINING = "training", _("Training")
    INFERENCE = "inference", _("Inference")


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


class PromotionKind(models.TextChoices):
    """How a version became the champion."""

    PROMOTE = "promote", _("Promoted")
    ROLLBACK = "rollback", _("Rolled back")
    IMPORT = "import", _("Came with the site")


class Scope(models.TextChoices):
    """What a token may be used for, within what its owner may do; the database keeps them by these names."""

    PREDICT = "predict", _("Classify pictures, and read and change your history")
    TRAIN = "train", _("See, start and stop training runs")
    OPERATE = "operate", _("Run the site: queues, workers, models")
    ACCOUNT = "account", _("See and change your account: data, tokens, notifications, webhook")
