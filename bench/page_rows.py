"""A site that has been used for long, for `bench.pages`: one person's history, many runs and a batch, as plain rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone

from bench.serving_site import make_picture

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from classifier.models import BatchJob, Prediction
    from training.models import Dataset, ModelVersion, TrainingRun

CHUNK: Final = 2000
EPOCHS: Final = 200  # of a run
RUNS_PAGE: Final = 20  # runs on a page of their list
VERSIONS: Final = 100
BATCHES: Final = 50


@dataclass(frozen=True)
class Sizes:
    """How many rows there are."""

    predictions: int
    runs: int
    epochs: int
    items: int


@dataclass(frozen=True)
class Used:
    """What the pages are asked about: the busiest one of each kind."""

    owner: User
    prediction: int
    middle: int
    run: int
    run_pages: int
    version: int
    candidate: int
    dataset: int
    batch: int


def fill(owner: User, *, version: ModelVersion, sizes: Sizes) -> Used:
    """Write all rows.

    Args:
        owner: Whose they are.
        version: The champion.
        sizes: How many of each.
    """
    from classifier.models import Prediction  # noqa: PLC0415  # Django is set up by now

    thumbnail = make_picture()
    for start in range(0, sizes.predictions, CHUNK):
        numbers = range(start, min(sizes.predictions, start + CHUNK))
        Prediction.objects.bulk_create(make_prediction(owner, version, thumbnail, number) for number in numbers)
    dataset = _dataset()
    runs = _runs(owner, dataset, version, sizes=sizes)
    candidate = _versions(runs, version)
    batch = _batches(owner, version, items=sizes.items)
    keys = Prediction.objects.order_by("-pk").values_list("pk", flat=True)
    return Used(
        owner=owner,
        prediction=keys[0],
        middle=keys[sizes.predictions // 2],
        run=runs[-1].pk,
        run_pages=-(-sizes.runs // RUNS_PAGE),
        version=version.pk,
        candidate=candidate,
        dataset=dataset.pk,
        batch=batch.pk,
    )


def make_prediction(owner: User, version: ModelVersion, thumbnail: bytes, number: int) -> Prediction:
    """Return a row that is not saved; its number decides what was answered, and what its owner said of that."""
    from classifier.models import Prediction  # noqa: PLC0415

    keys = version.class_keys
    answered = number % len(keys)
    confidence = 0.4 + (number % 600) / 1000
    said = {0: keys[answered], 1: keys[(answered + 1) % len(keys)]}.get(number % 50, "")
    return Prediction(
        owner=owner,
        source=("page", "api", "command")[number % 3],
        file_name=f"picture-{number}.jpg",
        width=32,
        height=32,
        thumbnail=thumbnail,
        model_version=version,
        model_sha256=version.package_sha256,
        class_id=answered,
        class_key=keys[answered],
        confidence=confidence,
        probabilities=[confidence if place == answered else 0.01 for place in range(len(keys))],
        out_of_distribution=number % 40 == 0,
        latency_ms=1.5,
        label_key=said,
    )


def _dataset() -> Dataset:
    from tests.factories import DatasetFactory  # noqa: PLC0415

    dataset: Dataset = DatasetFactory.create(name="photographs")
    return dataset


def _runs(owner: User, dataset: Dataset, version: ModelVersion, *, sizes: Sizes) -> list[TrainingRun]:
    """Write runs of every state, most of which succeeded, with their epochs and their histories."""
    from tests.factories import in_state, make_config  # noqa: PLC0415
    from training.choices import JobStatus  # noqa: PLC0415
    from training.models import EpochMetric, TrainingRun  # noqa: PLC0415

    config, now = make_config(epochs=EPOCHS), timezone.now()
    states = [JobStatus.QUEUED] * 5 + [JobStatus.FAILED] * 50 + [JobStatus.CANCELLED] * 45
    rows = []
    for number in range(sizes.runs):
        state = states[number] if number < len(states) else JobStatus.SUCCEEDED
        ended = {"started_at": now - timedelta(hours=1)} if state == JobStatus.SUCCEEDED else {}
        fields: dict[str, Any] = in_state(state) | ended
        metrics = version.manifest["metrics"] if state == JobStatus.SUCCEEDED else {}
        rows.append(TrainingRun(owner=owner, dataset=dataset, recipe="fast", config=config, metrics=metrics, **fields))
    runs = TrainingRun.objects.bulk_create(rows, batch_size=CHUNK)
    _transitions(runs)
    with_epochs = runs[-(sizes.epochs // EPOCHS) :]
    pairs = [(run, epoch) for run in with_epochs for epoch in range(1, EPOCHS + 1)]
    for start in range(0, len(pairs), CHUNK):
        EpochMetric.objects.bulk_create(_epoch(run, epoch) for run, epoch in pairs[start : start + CHUNK])
    return runs


def _epoch(run: TrainingRun, epoch: int) -> Any:  # noqa: ANN401  # the model is not imported yet
    from training.models import EpochMetric  # noqa: PLC0415

    return EpochMetric(
        run=run,
        epoch=epoch,
        step=epoch * 100,
        images=50_000,
        train_loss=2.3 / epoch,
        train_accuracy=1 - 1 / (epoch + 1),
        validation_loss=2.5 / epoch,
        validation_accuracy=0.95 - 1 / (epoch + 1),
        f1_macro=0.9,
        learning_rate=0.1 / epoch,
        seconds=8.0,
    )


def _transitions(runs: list[TrainingRun]) -> None:
    from training.choices import Cause, JobStatus  # noqa: PLC0415
    from training.models import TrainingRun, Transition  # noqa: PLC0415

    ways = {
        JobStatus.SUCCEEDED: Cause.SUCCEEDED,
        JobStatus.FAILED: Cause.FAILED,
        JobStatus.CANCELLED: Cause.CANCELLED,
    }
    rows = []
    for run in runs:
        steps: list[tuple[str, str, str]] = [("", JobStatus.QUEUED, Cause.REQUESTED)]
        if run.status in ways:
            steps += [(JobStatus.QUEUED, JobStatus.RUNNING, Cause.CLAIMED)]
            steps += [(JobStatus.RUNNING, run.status, ways[JobStatus(run.status)])]
        kind = TrainingRun.kind()
        rows += [
            Transition(job_kind=kind, job_pk=run.pk, from_status=before, to_status=after, cause=cause)
            for before, after, cause in steps
        ]
    Transition.objects.bulk_create(rows, batch_size=CHUNK)


def _versions(runs: list[TrainingRun], champion: ModelVersion) -> int:
    """Write candidates with the champion's manifest; returns the key of the newest."""
    from training.models import ModelVersion  # noqa: PLC0415

    rows = [
        ModelVersion(
            package_sha256=f"{number:064x}",
            location=f"models/{number:064x}",
            manifest=champion.manifest,
            run=run,
            test_accuracy=0.9,
        )
        for number, run in enumerate(runs[-VERSIONS:])
    ]
    return ModelVersion.objects.bulk_create(rows)[-1].pk


def _batches(owner: User, version: ModelVersion, *, items: int) -> BatchJob:
    """Write batches that have ended, the last of them with all the answers."""
    from classifier.models import BatchItem, BatchJob  # noqa: PLC0415
    from tests.factories import BatchJobFactory  # noqa: PLC0415
    from training.choices import JobStatus  # noqa: PLC0415

    fields = {"owner": owner, "status": JobStatus.SUCCEEDED, "model_version": version, "name": "pictures.zip"}
    jobs: list[BatchJob] = BatchJobFactory.create_batch(BATCHES, **fields)
    batch, keys = jobs[-1], version.class_keys
    metrics = {**version.manifest["metrics"], "count": items}
    BatchJob.objects.filter(pk=batch.pk).update(
        progress_done=items, progress_total=items, metrics=metrics, labelled_count=items
    )
    for start in range(0, items, CHUNK):
        BatchItem.objects.bulk_create(
            BatchItem(
                batch=batch,
                index=number,
                name=f"test/{keys[number % len(keys)]}/{number:06}.png",
                class_id=number % len(keys),
                class_key=keys[number % len(keys)],
                confidence=0.45 if number % 5000 == 4999 else 0.95,
                probabilities=[0.01] * len(keys),
                expected_key=keys[(number + (number % 5000 == 4999)) % len(keys)],
            )
            for number in range(start, min(items, start + CHUNK))
        )
    return batch
