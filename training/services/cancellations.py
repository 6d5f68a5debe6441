"""The end of several training runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from django.utils.translation import gettext as _

from training.exceptions import ServiceError
from training.models import TrainingRun
from training.services.access import may_steer

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

MOST_CANCELLED: Final = 100
"""Each is a transaction of its own: some milliseconds."""


class NoRunsChosenError(ServiceError):
    """None or too many runs were chosen."""

    status: ClassVar[int] = 400
    location: ClassVar[str] = "runs"
    code: ClassVar[str] = "not_chosen"


@dataclass(frozen=True, slots=True)
class Cancellations:
    """What became of the runs that were chosen; every run is in one list, by its number.

    Attributes:
        cancelled: Asked to end: at once where they wait, within seconds where they are at work.
        ended: Had ended already.
        refused: Somebody else's.
        missing: Not there.
    """

    cancelled: list[int]
    ended: list[int]
    refused: list[int]
    missing: list[int]


def cancel_runs(*, numbers: Sequence[int], by: User | None) -> Cancellations:
    """Ask for the end of several runs; one that cannot be cancelled does not keep the others.

    Args:
        numbers: Their numbers, at most `MOST_CANCELLED`.
        by: Who asks; None for the command line.

    Raises:
        NoRunsChosenError: none, or too many.
    """
    wanted = list(dict.fromkeys(numbers))
    if not 1 <= len(wanted) <= MOST_CANCELLED:
        raise NoRunsChosenError(
            _("Choose 1 to %(most)d runs to cancel; these are %(count)d.")
            % {"most": MOST_CANCELLED, "count": len(wanted)}
        )
    found = {run.pk: run for run in TrainingRun.objects.filter(pk__in=wanted).only("owner", "status")}
    outcome = Cancellations([], [], [], [number for number in wanted if number not in found])
    for run in found.values():
        if by is not None and not may_steer(run, by):
            outcome.refused.append(run.pk)
        elif TrainingRun.request_cancel(run.pk, by=by):
            outcome.cancelled.append(run.pk)
        else:
            outcome.ended.append(run.pk)
    return outcome
