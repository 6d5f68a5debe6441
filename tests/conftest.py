"""Tests run in a folder of their own with a real Valkey; DATABASE_URL and REDIS_URL: Postgres and Redis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.fixtures", "tests.web_server"]


@pytest.fixture(scope="session", autouse=True)
def _broker() -> Iterator[None]:
    """Start the embedded Valkey once, unless a Redis is configured."""
    from django.conf import settings

    from cifarsite.valkey import start_valkey, stop_valkey

    process = start_valkey(Path(settings.VAR)) if settings.EMBEDDED else None
    yield
    if process is not None:
        stop_valkey(process)
    shutil.rmtree(settings.VAR)
