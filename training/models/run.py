"""Training runs and their learning curves."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from training.choices import JobStatus
from training.doorbell import EXECUTE_RUN
from training.engine.machine_memory import advise_less_memory
from training.job_queries import JobQuerySet
from training.jobs import Job
from training.models.dataset import Dataset


class TrainingRunQuerySet(JobQuerySet):
    """Queries on training runs."""

    def claimable(self) -> Self:
        """Runs that a worker may take now: the one to follow has succeeded, and their owner has room for one more."""
        runs = super().claimable().filter(Q(after=None) | Exists(self._predecessors(JobStatus.SUCCEEDED)))
        limit = settings.USER_RUNNING_RUNS
        if not limit:
            return runs
        running = TrainingRun.objects.filter(owner=OuterRef("owner"), status=JobStatus.RUNNING).order_by()
        full = running.values("owner").annotate(runs=Count("pk")).filter(runs__gte=limit)
        return runs.filter(Q(owner=None) | ~Exists(full))

    def waiting_in_vain(self) -> Self:
        """Queued runs that are to follow one that failed or was cancelled."""
        dead = self._predecessors(JobStatus.FAILED, JobStatus.CANCELLED)
        return self.filter(Exists(dead), status=JobStatus.QUEUED)

    @staticmethod
    def _predecessors(*statuses: JobStatus) -> models.QuerySet[Any]:
        return TrainingRun.objects.filter(pk=OuterRef("after"), status__in=statuses)


class TrainingRun(Job):
    """One training of one configuration on one dataset. See `Job` for its states."""

    task = EXECUTE_RUN

    dataset = models.ForeignKey(Dataset, verbose_name=_("dataset"), on_delete=models.PROTECT, related_name="runs")
    recipe = models.CharField(_("recipe"), max_length=63)
    config = models.JSONField(_("configuration"))  # TrainConfig.to_dict() without the dataset's path
    environment = models.JSONField(_("device and sizes"), default=dict, blank=True)  # the engine's `started` event
    checkpoint = models.CharField(_("newest checkpoint"), max_length=255, blank=True, default="")
    checkpoint_sha256 = models.CharField(_("its hash"), max_length=64, blank=True, default="")
    checkpoint_step = models.PositiveIntegerField(_("its step"), default=0)
    metrics = models.JSONField(_("test metrics"), default=dict, blank=True)
    wall_seconds = models.FloatField(_("training seconds"), null=True, blank=True)
    control_of = models.ForeignKey(
        "self", verbose_name=_("control of"), on_delete=models.SET_NULL, null=True, blank=True, related_name="controls"
    )
    after = models.ForeignKey(  # it is not started before that one has succeeded
        "self",
        verbose_name=_("starts after"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="followers",
    )
    continues = models.ForeignKey(
        "self", verbose_name=_("continues"), on_delete=models.SET_NULL, null=True, blank=True, related_name="extensions"
    )
    mlflow_run_id = models.CharField(_("MLflow run"), max_length=64, blank=True, default="")
    mlflow_state = models.CharField(_("last told MLflow"), max_length=16, blank=True, default="")  # a `TrackedState`
    mlflow_offered_step = models.PositiveIntegerField(_("MLflow may have epochs up to step"), default=0)
    mlflow_taken_step = models.PositiveIntegerField(_("MLflow has epochs up to step"), default=0)
    mlflow_stale_run_id = models.CharField(_("MLflow run to discard"), max_length=64, blank=True, default="")

    objects: ClassVar[models.Manager[Any]] = TrainingRunQuerySet.as_manager()

    class Meta(Job.Meta):
        verbose_name = _("training run")
        verbose_name_plural = _("training runs")
        ordering = ["-pk"]
        permissions = [("manage_trainingrun", _("Can stop everybody's training runs"))]

    def __str__(self) -> str:
        return _("Run %(number)s") % {"number": self.pk}

    @property
    def memory_advice(self) -> str:
        """The batch size and the other settings that memory depends on."""
        return advise_less_memory(self.config)

    @property
    def device_count(self) -> int:
        """How many devices it trains on at the same time."""
        return int(self.config["devices"])

    @property
    def is_transfer(self) -> bool:
        """Whether it learns from an auxiliary dataset first."""
        return bool(self.config.get("auxiliary_dataset"))

    @property
    def epochs_by_phase(self) -> dict[int, int]:
        """How many epochs each phase has; the phase is 0 where there is but one."""
        epochs = int(self.config["epochs"])
        return {1: int(self.config["auxiliary_epochs"]), 2: epochs} if self.is_transfer else {0: epochs}

    def drop_epochs_after(self, step: int) -> None:
        """Forget the epochs after a step: they are trained again. To be called in a transaction.

        MLflow cannot forget. Where it may have one of them, its run is given up for another one, which is told
        everything from the first epoch.
        """
        self.epochs.filter(step__gt=step).delete()
        TrainingRun.objects.filter(pk=self.pk, mlflow_offered_step__gt=step).update(
            mlflow_stale_run_id=F("mlflow_run_id"),
            mlflow_run_id="",
            mlflow_state="",
            mlflow_offered_step=0,
            mlflow_taken_step=0,
        )


class EpochMetric(models.Model):
    """What one epoch of a run measured. Accuracies and F1 are fractions in [0, 1].

    `phase` is 0 in a run of one phase, else 1 or 2; epochs count from 1 in each, steps go on over both.
    """

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="epochs")
    phase = models.PositiveSmallIntegerField(_("phase"), default=0)
    epoch = models.PositiveIntegerField(_("epoch"))
    step = models.PositiveIntegerField(_("step"))
    images = models.PositiveBigIntegerField(_("training images seen"), null=True, blank=True)
    train_loss = models.FloatField(_("training loss"))
    train_accuracy = models.FloatField(_("training accuracy"))
    validation_loss = models.FloatField(_("validation loss"), null=True, blank=True)
    validation_accuracy = models.FloatField(_("validation accuracy"), null=True, blank=True)
    f1_macro = models.FloatField(_("validation macro F1"), null=True, blank=True)
    learning_rate = models.FloatField(_("learning rate"))
    seconds = models.FloatField(_("seconds"))
    # By the database's clock, so that epochs of two workers follow each other; part of what makes a figure in MLflow
    # the same one when it is sent again.
    measured_at = models.DateTimeField(_("measured"), db_default=Now())

    class Meta:
        verbose_name = _("epoch")
        verbose_name_plural = _("epochs")
        ordering = ["run", "phase", "epoch"]
        constraints = [models.UniqueConstraint(fields=["run", "phase", "epoch"], name="one_row_per_epoch")]

    def __str__(self) -> str:
        return f"{self.run} · {self.epoch}"
