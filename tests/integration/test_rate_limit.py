"""The rate under fire: a really running server with two processes, and more requests than may pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from classifier.models import Prediction
from tests.api_fixtures import forget_rates
from tests.tiny_model import picture, register_version
from tests.web_server import Web
from training.choices import ModelState

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


def test_of_a_thousand_parallel_requests_exactly_a_hundred_pass(start_web: Callable[..., Web]) -> None:
    register_version(state=ModelState.CHAMPION)
    forget_rates()
    web = start_web(CIFARSITE_PREDICT_RATE="100", CIFARSITE_QUEUE_MAX="1000")  # or some would be told 503
    data = picture(1)
    with ThreadPoolExecutor(max_workers=100) as clients:
        statuses = Counter(status for status, _body in clients.map(lambda _n: web.predict(data), range(1000)))
    assert statuses == {200: 100, 429: 900}
    assert Prediction.objects.count() == 100
