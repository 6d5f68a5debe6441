"""Pages of one's history: find, look through, delete. Everything here belongs to the person who asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from classifier.answers import HistoryPage, history_page
from classifier.history import (
    MOST_DELETED,
    count_predictions,
    delete_predictions,
    delete_wanted,
    find_predictions,
    read_predictions,
)
from classifier.history_forms import DeletionForm, HistoryFilterForm, export_query
from classifier.models import Prediction
from training.models import ModelVersion

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_LARGEST_KEY = 2**63 - 1
_VERSIONS = 100  # that the filter offers, the newest
_EXAMPLES = 8  # pictures that the question shows


@login_required
@never_cache
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """List one's own predictions, newest first, a page at a time."""
    form = _filters(request)
    before, after = _key(request, "before"), _key(request, "after")
    context: dict[str, Any] = {"form": form, "filtered": bool(form.in_use or before or after)}
    if form.is_valid():
        own = Prediction.objects.owned_by(_asker(request)).matching(form.wanted)
        context["page"] = history_page(predictions=own, before=before, after=after)
        context["export_query"] = export_query(form.wanted)
        return render(request, "classifier/history.html", context)
    context["page"] = HistoryPage(predictions=[], newer=None, older=None)
    return render(request, "classifier/history.html", context, status=400)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Ask whether the predictions shall go, with their exact number, and delete them when that is answered.

    Who comes to this address otherwise, such as by a change of language amid the question, is led to the list.
    """
    filters, asked = _filters(request), DeletionForm(request.POST)
    if request.method == "GET":
        return redirect(_address(filters))
    if not (asked.is_valid() and filters.is_valid()):
        messages.error(request, _("Nothing was deleted: choose again what shall go."))
        return redirect(_address(filters))
    if asked.cleaned_data["what"] == DeletionForm.CHOSEN:
        return _delete_chosen(request, filters, asked)
    return _delete_matching(request, filters, asked)


def _delete_chosen(request: HttpRequest, filters: HistoryFilterForm, asked: DeletionForm) -> HttpResponse:
    owner = _asker(request)
    if asked.cleaned_data["confirmed"]:
        return _report(request, filters, count=delete_predictions(owner=owner, keys=asked.keys))
    chosen = read_predictions(owner=owner, keys=asked.keys)
    if not chosen:
        messages.error(request, _("Choose first which predictions shall go."))
        return redirect(_address(filters))
    context = {"what": DeletionForm.CHOSEN, "keys": [row.pk for row in chosen], "count": len(chosen)}
    return _ask(request, filters, examples=chosen[:_EXAMPLES], context=context)


def _delete_matching(request: HttpRequest, filters: HistoryFilterForm, asked: DeletionForm) -> HttpResponse:
    owner = _asker(request)
    found, up_to = filters.wanted, asked.cleaned_data["up_to"]
    if asked.cleaned_data["confirmed"] and up_to:
        count, more = delete_wanted(owner=owner, wanted=replace(found, up_to=up_to))
        return _report(request, filters, count=count, more=more)
    count, newest = count_predictions(owner=owner, wanted=found)
    if newest is None:
        messages.error(request, _("There is nothing to delete: no prediction of yours fits these filters."))
        return redirect(_address(filters))
    keys = find_predictions(owner=owner, wanted=found).order_by("-pk").values_list("pk", flat=True)[:_EXAMPLES]
    context = {"what": DeletionForm.MATCHING, "up_to": newest, "count": count, "most": MOST_DELETED}
    return _ask(request, filters, examples=read_predictions(owner=owner, keys=keys), context=context)


def _ask(
    request: HttpRequest, filters: HistoryFilterForm, *, examples: list[Prediction], context: dict[str, Any]
) -> HttpResponse:
    shared = {"examples": examples, "further": context["count"] - len(examples), "back": _address(filters)}
    return render(request, "classifier/history_delete.html", {**shared, **context, "form": filters})


def _report(request: HttpRequest, filters: HistoryFilterForm, *, count: int, more: bool = False) -> HttpResponse:
    sentence = ngettext("%(count)s prediction is deleted.", "%(count)s predictions are deleted.", count)
    messages.success(request, sentence % {"count": number_format(count, force_grouping=True)})
    if more:
        messages.warning(request, _("That is as many as go at once; others still fit. Delete again to go on."))
    return redirect(_address(filters))


def _filters(request: HttpRequest) -> HistoryFilterForm:
    champion = ModelVersion.objects.champion()
    versions = ModelVersion.objects.served().only("pk")[:_VERSIONS]
    return HistoryFilterForm(request.GET, class_keys=champion.class_keys if champion else [], versions=versions)


def _address(filters: HistoryFilterForm) -> str:
    return reverse("history", query=filters.in_use or None)


def _asker(request: HttpRequest) -> User:
    return cast("User", request.user)


def _key(request: HttpRequest, name: str) -> int | None:
    """Read a primary key from the address; anything else counts as absent."""
    raw = request.GET.get(name, "")
    return int(raw) if raw.isascii() and raw.isdecimal() and len(raw) < 20 and int(raw) <= _LARGEST_KEY else None
