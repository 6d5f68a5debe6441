"""The test images behind one cell of a confusion matrix."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from django.http import Http404
from django.utils.translation import gettext as _
from django.views.generic import DetailView
from PIL import Image

from training.class_names import display_name
from training.models import Evaluation, ModelVersion
from training.services import find_evaluable
from training.sights import find_answered, find_evaluation
from training.views.access import PageAccessMixin

_SHOWN: Final = 60
"""Pictures of a page: some 150 KB of PNG."""

_LAST_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Picture:
    index: int
    png: str


class VersionAnswersView(PageAccessMixin, DetailView[ModelVersion]):
    """Test images of one class that a version took for a class, or why they cannot be shown.

    Those of its evaluation on its own dataset if there is one, else on another.
    """

    permission_required = ("training.view_modelversion", "training.view_dataset")
    template_name = "training/version_answers.html"
    context_object_name = "version"
    queryset = ModelVersion.objects.all()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the classes and the pictures, or the reason."""
        label, answer = self.kwargs["label"], self.kwargs["answer"]
        cell = _describe_cell(self.object, label=label, answer=answer)
        return super().get_context_data(**cell, **self._find(label, answer), **kwargs)

    def _find(self, label: int, answer: int) -> dict[str, Any]:
        version = self.object
        evaluation = find_evaluation(version)
        if evaluation is None:
            return {"datasets": find_evaluable(version), "tested_on": version.manifest["dataset"]["name"]}
        found = _show(evaluation, label=label, answer=answer, page=_read_page(self.request.GET.get("page", "1")))
        return {**found, "is_own": evaluation.dataset.sha256 == version.manifest["dataset"]["sha256"]}


class EvaluationAnswersView(PageAccessMixin, DetailView[Evaluation]):
    """Test images of one class that got one answer in an evaluation."""

    permission_required = ("training.view_evaluation", "training.view_dataset")
    template_name = "training/evaluation_answers.html"
    context_object_name = "job"
    queryset = Evaluation.objects.with_files().select_related("version", "dataset").defer("report", "log_tail")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the classes and the pictures, or why they cannot be shown."""
        label, answer = self.kwargs["label"], self.kwargs["answer"]
        cell = _describe_cell(self.object.version, label=label, answer=answer)
        page = _read_page(self.request.GET.get("page", "1"))
        return super().get_context_data(**cell, **_show(self.object, label=label, answer=answer, page=page), **kwargs)


def _describe_cell(version: ModelVersion, *, label: int, answer: int) -> dict[str, Any]:
    """Return the names of a cell's classes.

    Raises:
        Http404: the version knows no such class.
    """
    keys = version.class_keys
    if max(label, answer) >= len(keys):
        raise Http404
    return {
        "true_name": display_name(keys[label]),
        "answered_name": display_name(keys[answer]),
        "is_right": label == answer,
    }


def _show(evaluation: Evaluation, *, label: int, answer: int, page: int) -> dict[str, Any]:
    """Return a page of the images of one cell, or the problem with them.

    Raises:
        Http404: there is no such page.
    """
    dataset = evaluation.dataset
    try:
        found = find_answered(evaluation, label=label, answer=answer, start=_SHOWN * (page - 1), count=_SHOWN)
    except (OSError, ValueError):
        return {"problem": _("The files of the dataset “%(name)s” cannot be read.") % {"name": dataset.name}}
    if page > 1 and not found.indices:
        raise Http404
    return {
        "dataset": dataset,
        "total": found.total,
        "pictures": [_Picture(index, _draw(pixels)) for index, pixels in zip(found.indices, found.pixels, strict=True)],
        "previous_page": page - 1,
        "next_page": page + 1 if _SHOWN * page < found.total else 0,
    }


def _read_page(text: str) -> int:
    """Return the number of a page, or raise 404 for what is none."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _LAST_PAGE):
        raise Http404
    return int(text)


def _draw(pixels: Any) -> str:  # noqa: ANN401  # (32, 32, 3) uint8
    """Return a picture as PNG in base64."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
