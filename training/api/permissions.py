"""Who may use which part of the API: the same permissions as on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class _GuardedView(Protocol):
    """A view that says what each of its methods needs."""

    needed: ClassVar[Mapping[str, str]]


class HasNeededPermission(BasePermission):
    """Lets in who has the permission that the view's `needed` names for the method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the account has it; methods that the view does not know are refused later, as such."""
        method = "GET" if request.method == "HEAD" else request.method or ""
        needed = cast("_GuardedView", view).needed.get(method)
        return needed is None or request.user.has_perm(needed)
