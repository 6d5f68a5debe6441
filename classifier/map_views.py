"""Pages of how a model saw one picture: its 32×32 pixels, and where it looked. For the picture's owner alone."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from classifier.activation_maps import NoActivationMapError, draw_activation_map, make_activation_map, seen_pixels
from classifier.answers import Answer
from classifier.drawings import draw_pixels
from classifier.models import Prediction
from classifier.neighbours import Neighbour, find_neighbours
from classifier.sending import send_drawing
from classifier.views import own_prediction, show_prediction


@dataclass(frozen=True)
class ShownMap:
    """The map of one class, as a page shows it.

    Attributes:
        class_key: whose score it explains.
        rows: fields on top of each other.
        columns: fields beside each other.
        row: counted from 1, of the field that adds most.
        column: the same.
        problem: why there is no map; the rest is empty then.
    """

    class_key: str
    rows: int = 0
    columns: int = 0
    row: int = 0
    column: int = 0
    problem: str = ""


@dataclass(frozen=True)
class ShownNeighbour:
    """A training image, as a page shows it: `picture` is a data URL, for it is small and in no file of its own."""

    image: Neighbour
    picture: str


@login_required
@require_GET
def seen(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the pixels that the model saw, one for one."""
    pixels = seen_pixels(own_prediction(request, pk))
    if pixels is None:
        raise Http404
    return send_drawing(request, name=f"prediction-{pk}-seen", data=draw_pixels(pixels))


@login_required
@never_cache
@require_GET
def activation_map(request: HttpRequest, pk: int) -> HttpResponse:
    """Show where the model looked: a part of the page for HTMX, else the whole page of the prediction."""
    found = own_prediction(request, pk)
    shown = _show(found, class_key=_asked_class(request, found))
    if request.headers.get("HX-Request") != "true":
        return show_prediction(request, found, map=shown)
    answer = Answer(file_name=found.file_name, prediction=found)
    return render(request, "classifier/_map.html", {"answer": answer, "prediction": found, "map": shown})


@login_required
@never_cache
@require_GET
def neighbours(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the most alike training images: a part of the page for HTMX, else the whole page of the prediction."""
    found = own_prediction(request, pk)
    if not request.user.has_perm("training.view_dataset"):
        raise PermissionDenied
    alike = find_neighbours(found)
    if alike is None:
        raise Http404
    shown = [ShownNeighbour(each, _as_data(draw_pixels(each.pixels))) for each in alike.nearest]
    if request.headers.get("HX-Request") != "true":
        return show_prediction(request, found, alike=alike, neighbours=shown)
    return render(request, "classifier/_neighbours.html", {"alike": alike, "neighbours": shown})


@login_required
@require_GET
def map_drawing(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the map of one class as a picture."""
    found = own_prediction(request, pk)
    class_key = _asked_class(request, found)
    try:
        data = draw_activation_map(found, class_key=class_key)
    except NoActivationMapError as error:
        raise Http404(str(error)) from error
    return send_drawing(request, name=f"prediction-{pk}-map", data=data)


def _asked_class(request: HttpRequest, prediction: Prediction) -> str:
    """Return the class in the address, which without one is that of the answer."""
    class_key = request.GET.get("class", prediction.class_key)
    if class_key not in prediction.model_version.class_keys:
        raise Http404
    return class_key


def _show(prediction: Prediction, *, class_key: str) -> ShownMap:
    try:
        fields = make_activation_map(prediction).fields_of(class_key)
    except NoActivationMapError as error:
        return ShownMap(class_key=class_key, problem=str(error))
    rows, columns = fields.shape
    row, column = divmod(int(fields.argmax()), columns)
    return ShownMap(class_key=class_key, rows=rows, columns=columns, row=row + 1, column=column + 1)


def _as_data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
