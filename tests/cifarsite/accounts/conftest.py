"""Fixtures of the tests about accounts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import translation

from tests.api_fixtures import _fresh_process, champion, program, stranger, user

__all__ = ["_fresh_process", "champion", "program", "stranger", "user"]


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """Speak English, whatever the last request of another test asked for."""
    with translation.override("en"):
        yield
