"""One key, many clients at once, and a really running server with two processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from classifier.models import Prediction
from tests.tiny_model import picture, register_version
from tests.web_server import FORM, Web, form
from training.choices import ModelState

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


def test_parallel_requests_with_one_key_are_carried_out_once(start_web: Callable[..., Web]) -> None:
    register_version(state=ModelState.CHAMPION)
    web = start_web()
    body = form(picture(1))

    def ask(number: int) -> tuple[int, dict[str, Any]]:
        key = f"key-{number % 5}"
        return web.ask("POST", "/api/v1/predict", body, **{"Content-Type": FORM, "Idempotency-Key": key})

    with ThreadPoolExecutor(max_workers=20) as clients:
        answers = list(clients.map(ask, range(100)))
    assert {status for status, _body in answers} <= {200, 409}
    answered = {answer["prediction_id"] for status, answer in answers if status == 200}
    assert answered == set(Prediction.objects.values_list("pk", flat=True))
    assert len(answered) == 5
    assert [ask(number)[0] for number in range(5)] == [200] * 5
