"""A client that talks to the real site over a real connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cifarsite_client import Client
from pytest_django.live_server_helper import LiveServer

from tests.api_fixtures import _fresh_process, champion, make_token, make_user

__all__ = ["_fresh_process", "champion"]


@pytest.fixture
def token(transactional_db: None) -> str:
    """A token of somebody."""
    return make_token(make_user())


@pytest.fixture
def client(live_server: LiveServer, token: str) -> Iterator[Client]:
    """A client with a token and without patience."""
    with Client(live_server.url, token=token, patience_seconds=0) as client:
        yield client
