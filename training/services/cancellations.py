"""The end of several jobs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from django.utils.translation import gettext as _

from training.exceptions import ServiceError
from training.jobs import Job
from training.models import TrainingRun
from training.services.access import may_steer

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

AnyJob = TypeVar("AnyJob", bound=Job)

MOST_CANCELLED: Final = 100
"""Each is a transaction of its own: some milliseconds."""


class NoRunsChosenError(ServiceError):
    """None or too many runs were chosen."""

    status: ClassVar[int] = 400
    location: ClassVar[str] = "runs"
    code: ClassVar[str] = "not_chosen"


@dataclass(frozen=True, slots=True)
class Cancellations:
    """What became of the jobs that were chosen; every one is in one list, by its number.

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
    wanted = set(numbers)
    if not 1 <= len(wanted) <= MOST_CANCELLED:
        raise NoRunsChosenError(
            _("Choose 1 to %(most)d runs to cancel; these are %(count)d.")
            % {"most": MOST_CANCELLED, "count": len(wanted)}
        )
    runs = TrainingRun.objects.filter(pk__in=wanted).only("owner", "status")
    return cancel_jobs(runs, numbers=numbers, by=by, may=lambda run: by is None or may_steer(run, by))


def cancel_jobs(
    found: Iterable[AnyJob], *, numbers: Sequence[int], by: User | None, may: Callable[[AnyJob], bool]
) -> Cancellations:
    """Ask for the end of jobs of one kind, each by itself.

    Args:
        found: Those of the chosen jobs that are there.
        numbers: Of the chosen ones.
        by: Who asks; None for the command line.
        may: Whether they may end a job.
    """
    jobs = {job.pk: job for job in found}
    outcome = Cancellations([], [], [], [number for number in dict.fromkeys(numbers) if number not in jobs])
    for job in jobs.values():
        if not may(job):
            outcome.refused.append(job.pk)
        elif type(job).request_cancel(job.pk, by=by):
            outcome.cancelled.append(job.pk)
        else:
            outcome.ended.append(job.pk)
    return outcome
