"""Who may see a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib.auth.mixins import PermissionRequiredMixin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


class PageAccessMixin(PermissionRequiredMixin):
    """Strangers go to the login page, members without the permission get 403.

    A fragment that is polled after the session ended reloads its page, so that the login page never lands inside it.
    """

    request: HttpRequest

    @property
    def viewer(self) -> User:
        """The person who asks; the permission check has made sure that it is one."""
        return cast("User", self.request.user)

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Answer a request that may not be answered."""
        if not self.request.user.is_authenticated and self.request.headers.get("HX-Request"):
            return cast("HttpResponseRedirect", HttpResponse(status=204, headers={"HX-Refresh": "true"}))
        return super().handle_no_permission()
