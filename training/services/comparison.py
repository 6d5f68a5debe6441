"""Several training runs side by side: their settings, where those differ, and what each run measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import Count, Max
from django.utils.translation import gettext as _

from training.engine.config import Value
from training.engine.fields import FIELDS
from training.exceptions import ServiceError
from training.models import EpochMetric, TrainingRun

FEWEST_COMPARED: Final = 2
MOST_COMPARED: Final = 6
"""Lines of one chart that can still be told apart, by colour-blind people too."""

_TEST_FIGURES: Final = {
    "accuracy": True,
    "top5_accuracy": True,
    "f1_macro": True,
    "precision_macro": True,
    "recall_macro": True,
    "ece": False,
    "nll": False,
}
"""What the test images measure → whether more is better."""


class ComparisonError(ServiceError):
    """The runs that were named cannot be compared."""

    status: ClassVar[int] = 400
    location: ClassVar[str] = "run"
    code: ClassVar[str] = "not_comparable"


class MissingRunsError(ComparisonError):
    """Some of the runs that were named are not there."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "not_found"


@dataclass(frozen=True, slots=True)
class ComparedSetting:
    """One setting, with the value of each run; None where a run was made before the setting was known."""

    name: str
    values: tuple[Value | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs have different values."""
        return len(set(self.values)) > 1


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of each run.

    Attributes:
        name: Which figure.
        values: One for each run; None where nothing was measured.
        best: Positions of the runs with the best value; empty where none is better or they cannot be compared.
    """

    name: str
    values: tuple[float | None, ...]
    best: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side; every tuple of values is in the order of `runs`.

    Attributes:
        runs: The runs, with their datasets, owners and versions.
        settings: Every setting, the dataset and the recipe first.
        figures: What was measured.
        epochs: How many epochs each run has.
        same_test: Whether all were tested on the same images.
    """

    runs: tuple[TrainingRun, ...]
    settings: tuple[ComparedSetting, ...]
    figures: tuple[ComparedFigure, ...]
    epochs: tuple[int, ...]
    same_test: bool


def compare_runs(*, numbers: Sequence[int]) -> Comparison:
    """Put runs side by side, in the order in which they are named; a run named twice counts once.

    Args:
        numbers: Their numbers.

    Raises:
        ComparisonError: these are fewer than two runs, or more than six.
        MissingRunsError: some are not there.
    """
    wanted = list(dict.fromkeys(numbers))
    if not FEWEST_COMPARED <= len(wanted) <= MOST_COMPARED:
        raise ComparisonError(
            _("Choose %(fewest)d to %(most)d different runs to compare; these are %(count)d.")
            % {"fewest": FEWEST_COMPARED, "most": MOST_COMPARED, "count": len(wanted)}
        )
    found = _find_runs(wanted)
    missing = [str(number) for number in wanted if number not in found]
    if missing:
        raise MissingRunsError(_("There is no run with this number: %(numbers)s.") % {"numbers": ", ".join(missing)})
    runs = tuple(found[number] for number in wanted)
    same_test = len({run.dataset.sha256 for run in runs}) == 1
    last_phases = _last_phases(runs)
    return Comparison(
        runs=runs,
        settings=_compare_settings(runs),
        figures=_compare_figures(runs, last_phases, same_test=same_test),
        epochs=tuple(sum(row["epochs"] for row in last_phases.get(run.pk, ())) for run in runs),
        same_test=same_test,
    )


def _find_runs(numbers: Sequence[int]) -> dict[int, TrainingRun]:
    runs = TrainingRun.objects.select_related("dataset", "owner", "version")
    light = runs.defer("log_tail", "dataset__manifest", "dataset__checks", "version__manifest")
    return {run.pk: run for run in light.filter(pk__in=numbers)}


def _last_phases(runs: Sequence[TrainingRun]) -> dict[int, list[Mapping[str, Any]]]:
    """Return, by run, for each of its phases how many epochs it has and the best validation accuracy of them."""
    rows = EpochMetric.objects.filter(run__in=runs).order_by("run", "phase").values("run", "phase")
    phases: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows.annotate(epochs=Count("pk"), best=Max("validation_accuracy")):
        phases.setdefault(row["run"], []).append(row)
    return phases


def _compare_settings(runs: Sequence[TrainingRun]) -> tuple[ComparedSetting, ...]:
    named = (
        ComparedSetting("dataset", tuple(run.dataset.name for run in runs)),
        ComparedSetting("recipe", tuple(run.recipe for run in runs)),
    )
    known = [name for name in FIELDS if any(name in run.config for run in runs) and name not in {"dataset", "recipe"}]
    return (*named, *(ComparedSetting(name, tuple(run.config.get(name) for run in runs)) for name in known))


def _compare_figures(
    runs: Sequence[TrainingRun], phases: dict[int, list[Mapping[str, Any]]], *, same_test: bool
) -> tuple[ComparedFigure, ...]:
    def figure(name: str, values: list[float | None], *, more_is_better: bool | None) -> ComparedFigure:
        return ComparedFigure(name, tuple(values), _find_best(values, more_is_better=more_is_better))

    tested = [
        figure(name, [run.metrics.get(name) for run in runs], more_is_better=better if same_test else None)
        for name, better in _TEST_FIGURES.items()
    ]
    # What the first of two phases reached, it reached on images of another dataset.
    bests = [{row["phase"]: row["best"] for row in phases.get(run.pk, ())} for run in runs]
    validated = [best.get(max(run.epochs_by_phase)) for run, best in zip(runs, bests, strict=True)]
    return (
        *tested,
        figure("validation_accuracy", validated, more_is_better=True if same_test else None),
        figure("wall_seconds", [run.wall_seconds for run in runs], more_is_better=None),
        figure("parameters", [run.environment.get("total_parameters") for run in runs], more_is_better=None),
    )


def _find_best(values: Sequence[float | None], *, more_is_better: bool | None) -> frozenset[int]:
    """Return the positions of the best of at least two different values; None: neither more nor less is better."""
    known = {value for value in values if value is not None}
    if more_is_better is None or len(known) < 2:
        return frozenset()
    best = max(known) if more_is_better else min(known)
    return frozenset(position for position, value in enumerate(values) if value == best)
