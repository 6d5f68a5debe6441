"""Pages of shared answers: the owner makes a link and takes it back, anybody who has it sees the answer."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from classifier.answers import Answer
from classifier.models import Prediction
from classifier.sharing import find_shared, revoke_share, share_prediction
from classifier.views import own_prediction

_NO_ROBOTS = "noindex, nofollow, noarchive"


@login_required
@require_POST
def share(request: HttpRequest, pk: int) -> HttpResponse:
    """Make the link."""
    found = own_prediction(request, pk)
    try:
        share_prediction(owner=cast("Any", request.user), pk=found.pk)
    except Prediction.DoesNotExist as error:
        raise Http404 from error
    return _answer_owner(request, pk, done=_("Whoever has the link sees the answer now."))


@login_required
@require_POST
def share_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take it back."""
    own_prediction(request, pk)
    revoke_share(owner=cast("Any", request.user), pk=pk)
    return _answer_owner(request, pk, done=_("The link leads nowhere any more."))


@never_cache
@require_GET
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """Show a shared answer to whoever has its link."""
    found = _find(token)
    context = {"answer": Answer(file_name="", prediction=found), "prediction": found, "token": token}
    return _unlisted(render(request, "classifier/shared.html", context))


@never_cache
@require_GET
def shared_picture(request: HttpRequest, token: str) -> HttpResponse:
    """Send the small copy of a shared picture."""
    return _unlisted(HttpResponse(bytes(_find(token).thumbnail), content_type="image/jpeg"))


def _answer_owner(request: HttpRequest, pk: int, *, done: str) -> HttpResponse:
    """Show what became of the link: in place, or on the prediction's page."""
    if request.headers.get("HX-Request") == "true":
        return render(request, "classifier/_share.html", {"prediction": own_prediction(request, pk), "done": done})
    messages.success(request, done)
    return redirect("prediction", pk=pk)


def _find(token: str) -> Prediction:
    found = find_shared(token)
    if found is None:
        raise Http404
    return found


def _unlisted(response: HttpResponse) -> HttpResponse:
    response.headers["X-Robots-Tag"] = _NO_ROBOTS
    return response
