"""What may be asked of a person's history: find, read, delete. Everything is bound to the owner who asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from django.db.models import Count, F, Max

from classifier.models import Prediction
from classifier.querysets import PredictionQuerySet, Wanted
from training.models import ModelVersion

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

MOST_DELETED: Final = 10_000
"""Predictions that go with one request: a second on SQLite, and within the parameters of one of its statements."""

_READ_AT_ONCE: Final = 1000
_DELETED_AT_ONCE: Final = 500
"""Of one transaction. With originals of 30 kB, 10,000 in one kept others from writing for 17 s on a busy machine."""


def find_predictions(*, owner: User, wanted: Wanted) -> PredictionQuerySet:
    """Return the owner's predictions that are wanted, with nothing but their keys: see `read_predictions`."""
    return Prediction.objects.owned_by(owner).matching(wanted).only("pk")


def read_predictions(*, owner: User, keys: Iterable[int]) -> list[Prediction]:
    """Return the owner's predictions of these keys, the newest first, as lists show them."""
    return list(Prediction.objects.owned_by(owner).for_list().filter(pk__in=list(keys)).order_by("-pk"))


def find_prediction(*, owner: User, pk: int) -> Prediction | None:
    """Return one of the owner's predictions with its model version and what the model saw, as its page shows it."""
    return Prediction.objects.owned_by(owner).for_page().filter(pk=pk).first()


def iterate_predictions(*, owner: User, wanted: Wanted) -> Iterator[list[Prediction]]:
    """Yield the owner's predictions that are wanted, the newest first, some at a time: memory stays flat."""
    found = find_predictions(owner=owner, wanted=wanted).order_by("-pk").values_list("pk", flat=True)
    keys = list(found[:_READ_AT_ONCE])
    while keys:
        yield read_predictions(owner=owner, keys=keys)
        keys = list(found.filter(pk__lt=keys[-1])[:_READ_AT_ONCE])


def count_predictions(*, owner: User, wanted: Wanted) -> tuple[int, int | None]:
    """Return how many of the owner's predictions are wanted, and the largest of their keys."""
    found = find_predictions(owner=owner, wanted=wanted).order_by().aggregate(count=Count("pk"), newest=Max("pk"))
    return found["count"], found["newest"]


def class_keys_of(predictions: Sequence[Prediction]) -> dict[int, list[str]]:
    """Return the classes of each model version that answered, by its key, without the rest of their manifests."""
    versions = ModelVersion.objects.filter(pk__in={prediction.model_version_id for prediction in predictions})
    return dict(versions.annotate(keys=F("manifest__class_keys")).values_list("pk", "keys"))


def delete_predictions(*, owner: User, keys: Sequence[int]) -> int:
    """Delete those of the keys that are the owner's, with their pictures; returns how many went.

    Each transaction deletes some: others write in between, which on SQLite would wait for all of it.
    """
    own, count = Prediction.objects.owned_by(owner), 0
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        some = own.filter(pk__in=keys[start : start + _DELETED_AT_ONCE])
        _all, by_table = some.only("pk").delete()
        count += by_table.get(Prediction._meta.label, 0)
    return count


def delete_wanted(*, owner: User, wanted: Wanted) -> tuple[int, bool]:
    """Delete the newest of the owner's predictions that are wanted, at most `MOST_DELETED`.

    Returns:
        How many went, and whether some are left.
    """
    found = find_predictions(owner=owner, wanted=wanted).order_by("-pk").values_list("pk", flat=True)
    count = delete_predictions(owner=owner, keys=list(found[:MOST_DELETED]))
    return count, found.exists()
