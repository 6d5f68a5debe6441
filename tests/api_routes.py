"""Every route of the API, as the URLconf has it: what is added later is found as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny

VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One address with one verb."""

    name: str
    template: str
    view: Any
    verb: str

    @property
    def is_public(self) -> bool:
        return AllowAny in self.view.permission_classes and not self.view.authentication_classes

    def __str__(self) -> str:
        return f"{self.verb.upper()} /{self.template}"


def api_routes() -> list[Route]:
    """Return every address and verb under `/api/`."""
    return sorted(_walk(get_resolver().url_patterns, ""), key=str)


def _walk(patterns: Any, prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        template = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, template)
        elif isinstance(pattern, URLPattern) and template.startswith("api/"):
            view = pattern.callback.cls  # type: ignore[attr-defined]  # the framework's views have it
            for verb in VERBS:
                if hasattr(view, verb):
                    yield Route(name=pattern.name or "", template=template, view=view, verb=verb)
