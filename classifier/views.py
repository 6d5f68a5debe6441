"""Pages about pictures: classify, and one prediction. Everything here belongs to the person who asks."""

from __future__ import annotations

import math
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from classifier.answers import Answer, model_card
from classifier.choices import Source
from classifier.forms import LabelForm, PicturesForm
from classifier.history import delete_predictions
from classifier.images import ImageRejected
from classifier.inference import ModelNotReady
from classifier.models import Prediction
from classifier.neighbours import has_bank
from classifier.originals import OriginalsNotKeptError, delete_original, find_original
from classifier.querysets import PredictionQuerySet
from classifier.sending import send_original, send_thumbnail
from classifier.services import Upload, predict, set_label
from classifier.uploads import bound_form
from training.class_names import display_name
from training.models import ModelVersion
from training.rates import describe_rate, take_turn

_LARGEST_KEY = 2**63 - 1  # what a database's big integer holds


def _own(request: HttpRequest) -> PredictionQuerySet:
    """Return the predictions of the person who asks."""
    return Prediction.objects.owned_by(cast("Any", request.user))


def _answer(request: HttpRequest, file: UploadedFile[Any], *, keep: bool) -> Answer:
    """Classify one uploaded file, and keep it if it is wanted, or say why that is not possible."""
    name = file.name or ""
    limit = settings.RATES["predict"]
    wait = math.ceil(take_turn("predict", by=request.user.pk, limit=limit))
    if wait:
        return Answer(file_name=name, problem=describe_rate(wait, limit=limit), status=429, retry_after=wait)
    if file.size is None or file.size > settings.IMAGE_MAX_BYTES:
        return _too_large(name)
    try:
        made = predict(owner=cast("Any", request.user), upload=Upload(file.read(), name, keep), source=Source.PAGE)
    except ImageRejected as rejected:
        return Answer(file_name=name, problem=str(rejected.detail), status=rejected.status)
    except OriginalsNotKeptError as error:
        return Answer(file_name=name, problem=str(error), status=error.status)
    except ModelNotReady:
        problem = _("No model is ready to answer yet. Try again in a minute, or ask an operator to promote a model.")
        return Answer(file_name=name, problem=problem, status=503)
    return Answer(file_name=name, prediction=made)


def _too_large(name: str) -> Answer:
    limit = filesizeformat(settings.IMAGE_MAX_BYTES)
    problem = _("The picture is larger than %(limit)s. Choose a smaller one.") % {"limit": limit}
    return Answer(file_name=name, problem=problem, status=413)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def classify(request: HttpRequest) -> HttpResponse:
    """Show the page where pictures are dropped; a plain form post, without JavaScript, is answered on it too."""
    posted = request.method == "POST"
    form = PicturesForm(request.POST, request.FILES) if posted else PicturesForm()
    given: dict[str, Any] = form.cleaned_data if posted and form.is_valid() else {"file": [], "keep": False}
    answers = [_answer(request, file, keep=given["keep"]) for file in given["file"]]
    champion = ModelVersion.objects.champion()
    context = {
        "form": form,
        "answers": answers,
        "model": model_card(champion) if champion else None,
        "max_bytes": settings.IMAGE_MAX_BYTES,
        "keeps_originals": settings.KEEP_ORIGINALS,
    }
    return render(request, "classifier/classify.html", context, status=answers[0].status if len(answers) == 1 else 200)


@csrf_exempt  # checked by `_one_answer`, after the upload has been bounded: the check reads the body
@login_required
@never_cache
@require_POST
def classify_answer(request: HttpRequest) -> HttpResponse:
    """Answer one picture with a fragment of HTML and the status that the API would give."""
    try:
        bound_form(request, pictures=1, max_bytes=settings.IMAGE_MAX_BYTES)
        return _one_answer(request)
    except RequestDataTooBig:
        answer = _too_large("")
    except (MultiPartParserError, UnreadablePostError):
        problem = _("The upload did not arrive whole. Try again.")
        answer = Answer(file_name="", problem=problem, status=400)
    return render(request, "classifier/_answer.html", {"answer": answer}, status=answer.status)


@csrf_protect
def _one_answer(request: HttpRequest) -> HttpResponse:
    form = PicturesForm(request.POST, request.FILES)
    if form.is_valid():
        answer = _answer(request, form.cleaned_data["file"][0], keep=form.cleaned_data["keep"])
    else:
        answer = Answer(file_name="", problem=str(form.errors["file"][0]), status=400)
    response = render(request, "classifier/_answer.html", {"answer": answer}, status=answer.status)
    if answer.retry_after is not None:
        response.headers["Retry-After"] = str(answer.retry_after)
    return response


@login_required
@never_cache
@require_GET
def prediction(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one prediction at its permanent address."""
    return show_prediction(request, own_prediction(request, pk))


@login_required
@require_GET
def thumbnail(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the stored thumbnail to the owner alone."""
    data = _own(request).filter(pk=_valid(pk)).values_list("thumbnail", flat=True).first()
    if data is None:
        raise Http404
    return send_thumbnail(request, pk=pk, data=bytes(data))


@login_required
@require_GET
def original(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the file as it came, where it was kept, to the owner alone."""
    found = find_original(owner=cast("Any", request.user), pk=_valid(pk))
    if found is None:
        raise Http404
    return send_original(request, found)


@login_required
@require_POST
def original_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete the file as it came; the answer stays."""
    if not delete_original(owner=cast("Any", request.user), pk=_valid(pk)):
        raise Http404
    messages.success(request, _("The original file is deleted. The answer stays."))
    return redirect("prediction", pk=pk)


@login_required
@require_POST
def label(request: HttpRequest, pk: int) -> HttpResponse:
    """Store what the person says the picture shows."""
    found = own_prediction(request, pk)
    form = LabelForm(request.POST, class_keys=found.model_version.class_keys)
    if form.is_valid():
        try:
            set_label(prediction=found, label_key=form.cleaned_data["label"])
        except Prediction.DoesNotExist as error:
            raise Http404 from error
    in_place = request.headers.get("HX-Request") == "true"
    if in_place:
        answer = Answer(file_name=found.file_name, prediction=found)
        context = {"answer": answer, "thanks": form.is_valid(), "errors": form.errors.get("label")}
        return render(request, "classifier/_feedback.html", context)
    if form.is_valid():
        messages.success(request, _("Thank you: noted as “%(name)s”.") % {"name": display_name(found.label_key)})
    else:
        messages.error(request, _("Choose one of the model's classes."))
    return redirect("prediction", pk=pk)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether the prediction shall go, and delete it when the answer is posted."""
    found = own_prediction(request, pk)
    if request.method == "POST":
        delete_predictions(owner=cast("Any", request.user), keys=[pk])
        messages.success(request, _("The prediction and its picture are deleted."))
        return redirect("history")
    return render(request, "classifier/delete.html", {"prediction": found})


def _valid(pk: int) -> int:
    """Return `pk`, or raise 404 for a number that no row can have."""
    if pk > _LARGEST_KEY:
        raise Http404
    return pk


def own_prediction(request: HttpRequest, pk: int) -> Prediction:
    """Return one's own prediction; another person's does not exist."""
    return get_object_or_404(_own(request).for_page(), pk=_valid(pk))


def show_prediction(request: HttpRequest, prediction: Prediction, **shown: object) -> HttpResponse:
    """Answer with the page of a prediction; `shown` are the parts that are not fetched later."""
    context = {
        "answer": Answer(file_name=prediction.file_name, prediction=prediction),
        "prediction": prediction,
        "has_neighbours": has_bank(prediction.model_version),
        **shown,
    }
    return render(request, "classifier/prediction.html", context)
