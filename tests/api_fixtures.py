"""Fixtures around a champion, people and programs; a folder's conftest imports those that it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from cifarsite.accounts.models import ApiToken, User
from cifarsite.authentication import guesses
from cifarsite.health import gpu_watch
from classifier.inference import champion_slot
from tests.tiny_model import picture, register_version
from training import rates
from training.choices import ModelState, Scope
from training.models import ModelVersion

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response


ALL_SCOPES: Final = " ".join(Scope.values)


@dataclass
class Program:
    """A program that talks to the API for its owner."""

    client: Client
    token: str = ""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        return self.client.get(path, headers=self._headers(headers))

    def post(self, path: str, data: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
        return self.client.post(path, data, headers=self._headers(headers))

    def predict(
        self,
        data: bytes | None = None,
        *,
        name: str = "picture.png",
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a picture as the documentation says."""
        file = SimpleUploadedFile(name, picture() if data is None else data)
        return self.post(f"/api/v1/predict{query}", {"file": file}, headers)

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        own = {"authorization": f"Token {self.token}"} if self.token else {}
        return {**own, **(headers or {})}


def make_user(name: str = "ada") -> User:
    """Return a person without a password: hashing one takes a second, and no test here types it."""
    return User.objects.create(username=name)


def make_token(
    user: User, *, lifetime: timedelta | None = timedelta(days=1), scopes: str = ALL_SCOPES, is_new: bool = False
) -> str:
    """Return a token that was in use a moment ago, unless `is_new`: noting its first use is one query more."""
    used_at = None if is_new else timezone.now()
    _row, token = ApiToken.objects.create(user=user, expiry=lifetime, scopes=scopes, last_used_at=used_at)
    return str(token)


def forget_rates() -> None:
    """Forget what was counted within the last minute: accounts have the same numbers in every test."""
    cache = rates._client(settings.CACHES["default"]["LOCATION"])
    if keys := list(cache.scan_iter("cifarsite:rate:*")):
        cache.delete(*keys)
    rates._cache.asks_again_at = 0.0


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Each test starts as a new process does: nothing loaded, nothing known."""
    champion_slot.forget()
    gpu_watch.forget()
    guesses.forget()
    forget_rates()
    yield
    champion_slot.settle()
    champion_slot.forget()


@pytest.fixture
def champion(db: None) -> ModelVersion:
    return register_version(state=ModelState.CHAMPION)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture
def stranger(db: None) -> Program:
    """A program without any token. Broken views answer 500 instead of raising, as they do to a visitor."""
    return Program(Client(raise_request_exception=False))


@pytest.fixture
def program(user: User) -> Program:
    return Program(Client(raise_request_exception=False), token=make_token(user))


def problem_of(response: Response | HttpResponse, status: int) -> dict[str, Any]:
    """Return the body of a refusal after checking its shape."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(response.content)
    assert list(body) == ["type", "title", "status", "detail", "instance", "errors"]
    assert body["status"] == status
    assert body["errors"]
    for error in body["errors"]:
        assert list(error) == ["location", "code", "detail"]
        assert all(isinstance(value, str) and value for value in error.values())
    assert body["detail"] == body["errors"][0]["detail"]
    text = response.content.decode()
    assert "Traceback" not in text
    assert ".py" not in text
    return body
