"""Pages of batch jobs. Everything here belongs to the person who asks."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from classifier.archives import ArchiveRejected
from classifier.batches.bodies import csv_lines, json_lines
from classifier.batches.downloads import CSV, JSON_LINES, download
from classifier.batches.forms import ItemFilterForm
from classifier.batches.pages import BATCHES_PAGE, item_page
from classifier.batches.services import cancel_batch, delete_batch, request_batch, resume_batch
from classifier.batches.several import MOST_BATCHES
from classifier.batches.uploads import ARCHIVE, FILES, BatchReceiver, receive_batch
from classifier.batches.waiting import describe_batch_waiting
from classifier.choices import Source
from classifier.models import BatchJob
from classifier.querysets import BatchJobQuerySet
from training.choices import JobStatus
from training.exceptions import ServiceError
from training.models import ModelVersion
from training.pace import elapsed_seconds
from training.views.notices import warn_when_unheard
from training.views.progress import poll_seconds, state_key
from training.views.queries import history_of
from training.views.reports import build_report
from training.views.several import list_parameters

_LARGEST_PLACE = 2**31 - 1
_LARGEST_KEY = 2**63 - 1


def _own(request: HttpRequest) -> BatchJobQuerySet:
    """Return the batches of the person who asks."""
    batches: BatchJobQuerySet = BatchJob.objects.with_version().owned_by(cast("Any", request.user))
    return batches


def _get(request: HttpRequest, pk: int) -> BatchJob:
    """Return one's own batch; another person's does not exist."""
    if pk > _LARGEST_KEY:
        raise Http404
    return cast("BatchJob", get_object_or_404(_own(request), pk=pk))


@csrf_exempt  # checked by `_take`, after the upload has been bounded: the check reads the body
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def batches(request: HttpRequest) -> HttpResponseBase:
    """List one's own batches, and take in the pictures of a new one."""
    if request.method != "POST":
        return _list(request)
    try:
        return _take(request, receive_batch(request))
    except (RequestDataTooBig, TooManyFilesSent):
        problem, status = _("The pictures are more than is taken at a time. Send fewer, or an archive."), 413
    except (MultiPartParserError, UnreadablePostError):
        problem, status = _("The upload did not arrive whole. Try again."), 400
    return _list(request, problem=problem, status=status)


@csrf_protect
def _take(request: HttpRequest, receiver: BatchReceiver) -> HttpResponseBase:
    archives, files = request.FILES.getlist(ARCHIVE), request.FILES.getlist(FILES)
    if len(archives) > 1 or bool(archives) == bool(files):
        problem = _("Choose one archive, or pictures without an archive.")
        return _list(request, problem=problem, status=400)
    upload, name = (archives[0], archives[0].name or "") if archives else (receiver.packed, "")
    try:
        job = request_batch(owner=cast("Any", request.user), upload=cast("Any", upload), name=name, source=Source.PAGE)
    except ArchiveRejected as rejected:
        return _list(request, problem=str(rejected.detail), status=rejected.status)
    except ServiceError as error:
        return _list(request, problem=str(error), status=409)
    warn_when_unheard(request, job)
    return redirect("batch", pk=job.pk)


def _list(request: HttpRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    jobs = _own(request).defer("model_version__manifest", "log_tail")
    asked = request.GET.get("status", "")
    state = asked if asked in JobStatus.values else ""
    if state:
        jobs = jobs.filter(status=state)
    page = Paginator(jobs, BATCHES_PAGE).get_page(request.GET.get("page"))
    context = {
        "page_obj": page,
        "jobs": page.object_list,
        "status": state,
        "statuses": JobStatus.choices,
        "poll": min((poll_seconds(job) for job in page.object_list if not job.is_terminal), default=0),
        "problem": problem,
        "most_chosen": MOST_BATCHES,
        "list_parameters": list_parameters(request),
        "has_champion": ModelVersion.objects.champion() is not None,
        "max_bytes": settings.ARCHIVE_MAX_BYTES,
        "max_items": settings.ARCHIVE_MAX_ITEMS,
        "max_files": settings.BATCH_FORM_MAX_FILES,
    }
    return render(request, "classifier/batches.html", context, status=status)


@login_required
@never_cache
@require_GET
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one batch: how far it is, its answers, and how right they are."""
    job = _get(request, pk)
    return render(request, "classifier/batch.html", _describe(request, job))


@never_cache
@require_GET
def batch_live(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the part of the page that is fetched again and again until the batch has ended."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    context = _describe(request, _get(request, pk))
    context["is_update"] = True
    context["items_changed"] = request.GET.get("items") != context["page"].key
    context["history_changed"] = request.GET.get("history") != str(context["history"].newest)
    context["state_changed"] = request.GET.get("state") != context["state_key"]
    return render(request, "classifier/_batch_live.html", context)


def _describe(request: HttpRequest, job: BatchJob) -> dict[str, Any]:
    form = ItemFilterForm(request.GET, class_keys=job.class_keys)
    start = request.GET.get("start", "")
    place = int(start) if start.isascii() and start.isdecimal() and len(start) < 10 else 0
    is_ended = job.is_terminal
    return {
        "job": job,
        "form": form,
        "page": item_page(job, start=min(place, _LARGEST_PLACE), wanted=form.wanted),
        "start": place,
        "shown": form.cleaned_data.get("show", ""),
        "poll": poll_seconds(job),
        "state_key": state_key(job),
        "waiting": describe_batch_waiting(job),
        "elapsed": elapsed_seconds(job),
        "report": build_report(job.metrics),
        "history": history_of(job),
        "may_cancel": not is_ended and not job.cancel_requested,
        "may_resume": job.status in {"failed", "cancelled"} and bool(job.archive),
        "may_delete": is_ended,
    }


@login_required
@require_POST
def batch_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a batch's end."""
    job = _get(request, pk)
    try:
        cancel_batch(job=job, by=cast("Any", request.user))
    except ServiceError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("%(job)s is being cancelled; its answers stay.") % {"job": job})
    return redirect("batch", pk=pk)


@login_required
@require_POST
def batch_resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a batch go on where it stopped."""
    job = _get(request, pk)
    try:
        job = resume_batch(job=job, by=cast("Any", request.user))
    except ServiceError as error:
        messages.error(request, str(error))
    else:
        warn_when_unheard(request, job)
        messages.success(request, _("%(job)s goes on from where it stopped.") % {"job": job})
    return redirect("batch", pk=pk)


@login_required
@require_POST
def batch_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a batch that has ended."""
    job = _get(request, pk)
    name = str(job)
    try:
        delete_batch(job=job)
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect("batch", pk=pk)
    messages.success(request, _("%(job)s and its answers are deleted.") % {"job": name})
    return redirect("batches")


@login_required
@never_cache
@require_GET
def batch_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Stream the answers as CSV."""
    return download(_get(request, pk), csv_lines, form=CSV)


@login_required
@never_cache
@require_GET
def batch_json_lines(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Stream the answers as JSON lines."""
    return download(_get(request, pk), json_lines, form=JSON_LINES)
