"""Lists of the API: strict parameters in the address, and pages that stay where they are while rows arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from training.api.strict import StrictSerializer

PAGE_SIZE: Final = 20
LARGEST_PAGE: Final = 100
LARGEST_KEY: Final = 2**63 - 1
"""What a database's big integer holds."""

_T = TypeVar("_T", bound=Model)


class ListQuerySerializer(StrictSerializer):
    """What every list takes in its address. A list with filters adds its own; whatever else is sent is refused."""

    cursor = serializers.CharField(
        required=False, max_length=200, help_text="Where the page begins; take it from `next` and `previous`."
    )
    page_size = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_PAGE,
        help_text=f"Rows of a page, 1 to {LARGEST_PAGE}; without it {PAGE_SIZE}.",
    )


class NewestFirst(CursorPagination):
    """The newest first, cut by key: no page is slower than the first, and none shifts while new rows arrive.

    A list that goes by another whole number sets `ordering`; one that goes by something else says with `is_position`
    what its cursors hold.
    """

    ordering: str | tuple[str, ...] = "-pk"
    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = LARGEST_PAGE

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return what the cursor holds, None without one.

        Raises:
            NotFound: it is none of ours.
        """
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not self.is_position(str(cursor.position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor

    def is_position(self, text: str) -> bool:
        """Whether a cursor may hold this: a number that a key can have."""
        return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_KEY

    def _get_position_from_instance(self, instance: Any, ordering: Sequence[str]) -> str:  # noqa: ANN401
        """Return that by which a row is listed; `pk` is no field that the framework would find."""
        return str(getattr(instance, ordering[0].removeprefix("-")))


def checked_query(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the address's parameters as `serializer` checks them.

    Raises:
        ValidationError: one is unknown, wrong or given twice.
    """
    twice = [name for name, values in request.query_params.lists() if len(values) > 1]
    if twice:
        raise ValidationError({name: [_("Give this once.")] for name in twice}, code="repeated")
    checked = serializer(data=request.query_params.dict())
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def page_of(
    rows: QuerySet[_T],
    *,
    request: Request,
    view: APIView,
    describe: Callable[[Sequence[_T]], list[dict[str, Any]]],
    pages: type[NewestFirst] = NewestFirst,
) -> Response:
    """Answer with one page.

    Args:
        rows: What is listed, in any order.
        request: Whose parameters were checked already.
        view: The list's view.
        describe: Turns the page's rows into the bodies of its results.
        pages: How they are cut.

    Raises:
        NotFound: the cursor is none of ours.
    """
    paginator = pages()
    page = paginator.paginate_queryset(rows, request, view=view) or []
    return paginator.get_paginated_response(describe(page))


def page_serializer(name: str, results: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """Return the shape of a page of `results`, called `name` in the documentation."""
    fields = {
        "__doc__": "Some rows, the newest first.",
        "__module__": __name__,
        "next": serializers.URLField(allow_null=True, help_text="Address of the page with older ones."),
        "previous": serializers.URLField(allow_null=True, help_text="Address of the page with newer ones."),
        "results": results(many=True),
    }
    return type(name, (serializers.Serializer,), fields)
