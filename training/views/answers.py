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

from training.answers import find_answered, find_evaluable, find_evaluated
from training.class_names import display_name
from training.models import ModelVersion
from training.views.access import PageAccessMixin

_SHOWN: Final = 60
"""Pictures of a page: some 150 KB of PNG."""

_LAST_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Picture:
    index: int
    png: str


class VersionAnswersView(PageAccessMixin, DetailView[ModelVersion]):
    """Test images of one class that a version took for a class, or why they cannot be shown."""

    permission_required = ("training.view_modelversion", "training.view_dataset")
    template_name = "training/version_answers.html"
    context_object_name = "version"
    queryset = ModelVersion.objects.all()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the classes and the pictures, or the reason."""
        version, label, answer = self.object, self.kwargs["label"], self.kwargs["answer"]
        keys = version.class_keys
        if max(label, answer) >= len(keys):
            raise Http404
        return super().get_context_data(
            true_name=display_name(keys[label]),
            answered_name=display_name(keys[answer]),
            is_right=label == answer,
            **self._find(label, answer),
            **kwargs,
        )

    def _find(self, label: int, answer: int) -> dict[str, Any]:
        version, named = self.object, self.object.manifest["dataset"]
        dataset = find_evaluated(version)
        if dataset is None:
            name = find_evaluable(version)
            if name is None:
                return {"tested_on": named["name"]}
            return {"command": f"manage.py evaluate {version} --dataset {name}"}
        page = _read_page(self.request.GET.get("page", "1"))
        try:
            found = find_answered(
                version=version, dataset=dataset, label=label, answer=answer, start=_SHOWN * (page - 1), count=_SHOWN
            )
        except (OSError, ValueError):
            return {"problem": _("The files of the dataset “%(name)s” cannot be read.") % {"name": dataset.name}}
        if page > 1 and not found.indices:
            raise Http404
        pictures = zip(found.indices, found.pixels, strict=True)
        return {
            "dataset": dataset,
            "is_own": dataset.sha256 == named["sha256"],
            "total": found.total,
            "pictures": [_Picture(index, _draw(pixels)) for index, pixels in pictures],
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
