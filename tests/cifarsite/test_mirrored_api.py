"""`?tta=1`: the model is asked about the mirror image as well, on each address that takes pictures."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from classifier.inference import Predictor, Scores
from tests.api_fixtures import Program, problem_of
from tests.tiny_model import picture
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
ADDRESSES = ("predict", "batch_predict", "predict_base64")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each picture was mirrored."""
    seen: list[bool] = []
    classify = Predictor.classify

    def note(self: Predictor, pixels: np.ndarray[Any, Any], *, mirrored: bool = False) -> Scores:
        seen.append(mirrored)
        return classify(self, pixels, mirrored=mirrored)

    monkeypatch.setattr(Predictor, "classify", note)
    return seen


def send(program: Program, address: str) -> Any:
    path = f"/api/v1/{address}"
    if address.startswith("predict_base64"):
        body = {"image": base64.b64encode(picture(3)).decode()}
        return program.client.post(path, body, "application/json", headers=program._headers(None))
    field = "files" if address.startswith("batch") else "file"
    return program.post(path, {field: SimpleUploadedFile("a.png", picture(3))})


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_is_asked_when_the_program_wants_it(
    program: Program, champion: ModelVersion, asked: list[bool], address: str
) -> None:
    for query in ("", "?tta=0", "?tta=1"):
        assert send(program, address + query).status_code == 200
    assert asked == [False, False, True]


@pytest.mark.parametrize("address", ADDRESSES)
def test_another_value_is_refused(program: Program, champion: ModelVersion, asked: list[bool], address: str) -> None:
    body = problem_of(send(program, f"{address}?tta=maybe"), 400)
    assert body["errors"] == [{"location": "tta", "code": "invalid_choice", "detail": "Give 0 or 1."}]
    assert asked == []
