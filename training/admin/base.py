"""What the admin panel's parts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from training.jobs import Job

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

ModelT = TypeVar("ModelT", bound=Model)
JobT = TypeVar("JobT", bound=Job)
# Objects, counts, missing permissions and protected objects, as `get_deleted_objects` returns them.
Deletion = tuple[list[Any], dict[str, int], set[str], list[str]]


def asker(request: HttpRequest) -> User:
    """Return the person who asks; the admin lets nobody else in."""
    return cast("User", request.user)


class ReadOnlyAdmin(admin.ModelAdmin[ModelT]):
    """Rows to look at: services and workers write them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        """Refuse."""
        return False


def protecting(
    deletion: Deletion, rows: Sequence[ModelT] | QuerySet[ModelT], *, keep: Callable[[ModelT], bool], why: str
) -> Deletion:
    """Add the rows to keep to those that the confirmation page calls protected; it then deletes nothing."""
    objects, counts, permissions_needed, protected = deletion
    kept = [why % {"row": row} for row in rows if keep(row)]
    return (objects, counts, set(), [*protected, *kept]) if kept else (objects, counts, permissions_needed, protected)
