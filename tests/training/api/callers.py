"""Programs of people in each group, for the tests of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.test import Client

from tests.api_fixtures import make_token
from tests.factories import UserFactory


class Caller:
    """A program of somebody in a group; the token has every scope."""

    def __init__(self, group: str = "") -> None:
        self.user = UserFactory.create(groups=[group] if group else [], username=f"a-{group}")
        self.headers = {"authorization": f"Token {make_token(self.user)}"}
        self.client = Client(raise_request_exception=False)

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        content: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(path, headers={**self.headers, **(headers or {})}, **content)

    def send(self, path: str, fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Any:
        """Post a form."""
        return self.client.post(path, fields, headers={**self.headers, **(headers or {})})
