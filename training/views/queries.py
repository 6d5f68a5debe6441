"""What the lists show, in a fixed number of queries and without the large JSON columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Case, F, OuterRef, Prefetch, Q, QuerySet, Subquery, Value, When
from django.utils import timezone

from training.choices import JobStatus, ModelState
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.jobs import Job
from training.models import (
    Dataset,
    DatasetImport,
    EpochMetric,
    Evaluation,
    ModelVersion,
    Promotion,
    TrainingRun,
    Transition,
)
from training.models.run import TrainingRunQuerySet

_LINKED: Final = 10
_SHOWN_CHANGES: Final = 50

_RUN_LIST_FIELDS = (
    "status",
    "priority",
    "reason",
    "recipe",
    "requested_at",
    "started_at",
    "finished_at",
    "cancel_requested",
    "progress_done",
    "progress_total",
    "progress_message",
    "owner__username",
    "dataset__name",
    "dataset__synthetic",
    "version__test_accuracy",
    "version__state",
    "version__run",
)


def runs_for_list() -> TrainingRunQuerySet:
    """Return the newest runs first, each with its newest `validation_accuracy`."""
    newest = (
        EpochMetric.objects.filter(run=OuterRef("pk")).order_by("-phase", "-epoch").values("validation_accuracy")[:1]
    )
    runs: TrainingRunQuerySet = TrainingRun.objects.annotate(validation_accuracy=Subquery(newest))
    return runs.select_related("owner", "dataset", "version").only(*_RUN_LIST_FIELDS)


def runs_for_page() -> QuerySet[TrainingRun]:
    """Return runs with all that one run's page shows."""
    runs: QuerySet[TrainingRun] = TrainingRun.objects.select_related("owner", "dataset", "version", "control_of")
    return runs.defer("dataset__manifest", "dataset__checks", "version__manifest", "control_of__log_tail")


def runs_that_go_on(run: TrainingRun) -> tuple[list[int], list[int]]:
    """Return the numbers of the first runs that follow a run, and of those that continue it."""
    kinds = (run.followers, run.extensions)
    followers, extensions = (list(kind.order_by("pk").values_list("pk", flat=True)[:_LINKED]) for kind in kinds)
    return followers, extensions


@dataclass(frozen=True, slots=True)
class History:
    """The changes of a job's state.

    Attributes:
        changes: The last ones, the oldest first.
        is_whole: Whether these are all.
    """

    changes: list[Transition]
    is_whole: bool

    @property
    def newest(self) -> int:
        """The key of the last change, 0 before any."""
        return self.changes[-1].pk if self.changes else 0


def history_of(job: Job) -> History:
    """Return the history of a job, in one query."""
    newest_first = list(Transition.objects.of(job).order_by("-pk")[: _SHOWN_CHANGES + 1])
    return History(newest_first[_SHOWN_CHANGES - 1 :: -1], is_whole=len(newest_first) <= _SHOWN_CHANGES)


def newest_cifar10() -> Dataset | None:
    """Return the newest dataset of photographs that has CIFAR-10's classes; its manifest is not read."""
    photographs = Dataset.objects.filter(synthetic=False, manifest__class_keys=list(CIFAR10_CLASS_KEYS))
    return photographs.only("name").order_by("-pk").first()


def newest_runs_of(dataset: Dataset) -> QuerySet[TrainingRun]:
    """Return the last runs on a dataset, with their versions."""
    runs: QuerySet[TrainingRun] = dataset.runs.select_related("version")
    return runs.defer("version__manifest", "config", "metrics", "log_tail")[:5]


def versions_for_list() -> QuerySet[ModelVersion]:
    """Return the champion first, then the newest, each with `trained_on`, `synthetic` and `recipe` of its manifest."""
    champion_first = Case(When(state=ModelState.CHAMPION, then=Value(0)), default=Value(1))
    return (
        ModelVersion.objects.defer("manifest")
        .annotate(
            trained_on=F("manifest__dataset__name"),
            synthetic=F("manifest__dataset__synthetic"),
            recipe=F("manifest__recipe"),
        )
        .order_by(champion_first, "-pk")
    )


def versions_with_history() -> QuerySet[ModelVersion]:
    """Return versions with their run and the record of their promotions."""
    promotions = Promotion.objects.select_related("by", "previous").defer("previous__manifest")
    return ModelVersion.objects.select_related("run", "imported_by").prefetch_related(
        Prefetch("promotions", promotions)
    )


def datasets_for_list() -> QuerySet[Dataset]:
    """Return the datasets by name, each with `source` and `keys` of its manifest."""
    return Dataset.objects.defer("manifest", "checks").annotate(
        source=F("manifest__source"), keys=F("manifest__class_keys")
    )


def imports_for_page() -> QuerySet[DatasetImport]:
    """Return imports with all that their pages show of them."""
    imports: QuerySet[DatasetImport] = DatasetImport.objects.select_related("owner", "dataset")
    return imports.defer("dataset__manifest", "dataset__checks")


def evaluations_for_page() -> QuerySet[Evaluation]:
    """Return evaluations with all that their pages show of them."""
    found = Evaluation.objects.select_related("owner", "version", "dataset")
    return found.defer("dataset__manifest", "dataset__checks")


def newest_evaluations_of(version: ModelVersion) -> QuerySet[Evaluation]:
    """Return a version's last evaluations, each with its accuracy as `measured`."""
    return Evaluation.objects.filter(version=version).to_list()[:5]


def imports_to_watch() -> QuerySet[DatasetImport]:
    """Return the imports that made no dataset (yet): those at work and the last day's that ended badly."""
    recent = Q(requested_at__gte=timezone.now() - timedelta(days=1))
    imports: QuerySet[DatasetImport] = DatasetImport.objects.filter(
        recent | Q(status__in=[JobStatus.QUEUED, JobStatus.RUNNING])
    )
    return imports.exclude(status=JobStatus.SUCCEEDED).defer("log_tail")[:5]
