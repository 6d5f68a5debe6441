"""The page of one's own notifications."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from cifarsite.accounts.account_views import asker
from cifarsite.accounts.models import Notification
from cifarsite.accounts.notifications import describe, mark_read
from training.api.lists import LARGEST_KEY

_PAGE: Final = 20


@login_required
@never_cache
@require_GET
def notifications(request: HttpRequest) -> HttpResponse:
    """List them, the newest first."""
    page = Paginator(Notification.objects.owned_by(asker(request)), _PAGE).get_page(request.GET.get("page"))
    context = {"page_obj": page, "notices": describe(page.object_list)}
    return render(request, "accounts/notifications.html", context)


@login_required
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Mark all as read."""
    mark_read(owner=asker(request))
    return redirect("notifications")


@login_required
@require_POST
def read(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark one as read, and go to what it tells of."""
    if pk > LARGEST_KEY:
        raise Http404
    found = get_object_or_404(Notification.objects.owned_by(asker(request)), pk=pk)
    mark_read(owner=asker(request), pk=pk)
    [notice] = describe([found])
    return redirect(notice.path or "notifications")
