"""Where MLflow differs from the database: for the audit, which reads both and changes neither."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from training.choices import JobStatus
from training.mirror import STATES, describe_run, runs_behind
from training.models import ModelVersion, TrainingRun
from training.tracking import MlflowUnavailableError
from training.tracking.names import name_epoch
from training.tracking.store import (
    answers_expected,
    connect,
    find_champion,
    find_doubles,
    find_run,
    find_version,
    read_figures,
    read_state,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMismatch:
    """One thing that MLflow says otherwise.

    Attributes:
        what: What differs, as a sentence.
        run: The run's number, which `tell_again` takes; None where it is not about a run.
    """

    what: str
    run: int | None = None


def find_mirror_mismatches() -> list[MirrorMismatch]:
    """Compare MLflow with the database: runs and their states, every epoch's figures, packages, the champion.

    Runs under way are left out: their workers tell of them. It asks MLflow some ten times for each other run.

    Raises:
        MlflowUnavailableError: it cannot be compared: MLflow does not answer, or nothing is tracked here.
    """
    if not settings.MLFLOW_TRACKING_URI:
        raise MlflowUnavailableError(_("Nothing is tracked here, so MLflow was not compared."))
    with answers_expected(_("the comparison")):
        client = connect(settings.MLFLOW_TRACKING_URI)
        settled = TrainingRun.objects.filter(fence__gt=0).exclude(status=JobStatus.RUNNING).order_by("pk")
        waiting = set(runs_behind().values_list("pk", flat=True))
        found: list[MirrorMismatch] = []
        for run in settled.select_related("dataset").iterator():
            sentences = [_("waits to be told.")] if run.pk in waiting else _compare_run(client, run)
            found += [MirrorMismatch(what=f"{run}: {sentence}", run=run.pk) for sentence in sentences]
        return found + [MirrorMismatch(what=sentence) for sentence in _compare_champion(client)]


def tell_again(pk: int) -> None:
    """Have MLflow told everything about run `pk` once more; what it has already stays there once."""
    settled = TrainingRun.objects.filter(pk=pk).exclude(status=JobStatus.RUNNING)
    settled.update(mlflow_state="", mlflow_taken_step=0)


def _compare_run(client: MlflowClient, run: TrainingRun) -> Iterator[str]:
    if not run.mlflow_run_id or find_run(client, describe_run(run)) != run.mlflow_run_id:
        yield _("MLflow does not have it.")
        return
    if find_doubles(client, describe_run(run)):
        yield _("MLflow has it more than once.")
    state, expected = read_state(client, run.mlflow_run_id), STATES[JobStatus(run.status)]
    if state != expected:
        yield _("MLflow says %(state)s instead of %(expected)s.") % {"state": state, "expected": expected}
    measured: dict[str, list[tuple[int, float]]] = defaultdict(list)
    epochs = run.epochs.all() if run.is_terminal else run.epochs.filter(step__lte=run.mlflow_taken_step)
    for figures in map(name_epoch, epochs.order_by("step")):
        for name, value in figures.values.items():
            measured[name].append((figures.step, value))
    for name, expected_figures in measured.items():
        if read_figures(client, run.mlflow_run_id, name) != expected_figures:
            yield _("MLflow has other figures for %(name)s.") % {"name": name}
    version = ModelVersion.objects.filter(run=run).first()
    if version is not None and find_version(client, version.package_sha256) is None:
        yield _("MLflow has not registered its package.")


def _compare_champion(client: MlflowClient) -> Iterator[str]:
    champion = ModelVersion.objects.champion()
    if champion is not None and find_champion(client) != champion.package_sha256:
        yield _("MLflow does not name %(version)s as champion.") % {"version": champion}
