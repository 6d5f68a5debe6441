"""What may be asked about several of a person's batches at once: their end, or that they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from django.utils.translation import gettext as _

from classifier.batches.services import delete_batch
from classifier.models import BatchJob
from classifier.querysets import BatchJobQuerySet
from training.exceptions import ServiceError
from training.services import Cancellations, cancel_jobs

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

MOST_BATCHES: Final = 100
"""Each is a transaction of its own; some pages of a list."""


class NoBatchesChosenError(ServiceError):
    """None or too many batches were chosen."""

    status: ClassVar[int] = 400
    location: ClassVar[str] = "batches"
    code: ClassVar[str] = "not_chosen"


@dataclass(frozen=True, slots=True)
class Deletions:
    """What became of the batches that were chosen; every one is in one list, by its number.

    Attributes:
        deleted: Are gone, with their answers and archives.
        active: Have not ended.
        missing: Not there, or another person's.
    """

    deleted: list[int]
    active: list[int]
    missing: list[int]


def cancel_batches(*, owner: User, numbers: Sequence[int]) -> Cancellations:
    """Ask for the end of several of a person's batches; their answers stay. None is `refused`: others' are `missing`.

    Args:
        owner: Who asks.
        numbers: Their numbers, at most `MOST_BATCHES`.

    Raises:
        NoBatchesChosenError: none, or too many.
    """
    return cancel_jobs(_find(owner, numbers).only("pk"), numbers=numbers, by=owner, may=lambda _job: True)


def delete_batches(*, owner: User, numbers: Sequence[int]) -> Deletions:
    """Delete those of a person's batches that have ended; one that has not does not keep the others.

    Args:
        owner: Who asks.
        numbers: Their numbers, at most `MOST_BATCHES`.

    Raises:
        NoBatchesChosenError: none, or too many.
    """
    found = {job.pk: job for job in _find(owner, numbers)}
    outcome = Deletions([], [], [number for number in dict.fromkeys(numbers) if number not in found])
    for number, job in found.items():
        try:
            delete_batch(job=job)
        except ServiceError:  # the only one: it has not ended
            outcome.active.append(number)
        else:
            outcome.deleted.append(number)
    return outcome


def _find(owner: User, numbers: Sequence[int]) -> BatchJobQuerySet:
    wanted = set(numbers)
    if not 1 <= len(wanted) <= MOST_BATCHES:
        told = {"most": MOST_BATCHES, "count": len(wanted)}
        raise NoBatchesChosenError(_("Choose 1 to %(most)d batches; these are %(count)d.") % told)
    batches: BatchJobQuerySet = BatchJob.objects.owned_by(owner).filter(pk__in=wanted)
    return batches
