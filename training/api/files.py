"""Files that the API sends: their media types, and answers that are written while they are sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

from django.http import StreamingHttpResponse
from django.utils.translation import get_language, override
from rest_framework.renderers import BaseRenderer, JSONRenderer

_Part = TypeVar("_Part", str, bytes)

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class _FileRenderer(BaseRenderer):
    """Lets a program ask for a media type; the views themselves make the answer."""

    charset: ClassVar[None] = None  # type: ignore[misc]  # bytes have none

    def render(self, data: Any, *_args: object, **_options: object) -> Any:  # noqa: ANN401  # the framework's
        """Return what the view made."""
        return data


def renderers_of(media_type: str) -> tuple[type[BaseRenderer], ...]:
    """Return the renderers of a view that answers with files of that type and, when it refuses, with JSON."""
    options = {"media_type": media_type, "format": media_type.rpartition("/")[2]}
    return (JSONRenderer, type("FileRenderer", (_FileRenderer,), options))


def send_stream(
    parts: Iterable[_Part], *, content_type: str, name: str, headers: Mapping[str, str] | None = None
) -> StreamingHttpResponse:
    """Answer with a file, called `name`, that is made while it is sent, in the language that is active now."""
    response = StreamingHttpResponse(_made_in(get_language(), iter(parts)), content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    for header, value in (headers or {}).items():
        response.headers[header] = value
    return response


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as a part of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def harmless_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _made_in(language: str | None, parts: Iterator[_Part]) -> Iterator[_Part]:
    """Keep to a language after the view has answered."""
    while True:
        with override(language):
            part = next(parts, None)
        if part is None:
            return
        yield part
