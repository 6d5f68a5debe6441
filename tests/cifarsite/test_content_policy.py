"""The header that says what a browser may load: the same for every answer of the API, with a nonce on pages."""

from __future__ import annotations

from typing import cast

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cifarsite.content_policy import ContentPolicyMiddleware

EXPECTED = {
    *("default-src 'self'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:"),
    *("connect-src 'self'", "worker-src 'self' blob:", "object-src 'none'", "base-uri 'none'", "form-action 'self'"),
    "frame-ancestors 'none'",
}


def directives(address: str) -> set[str]:
    return set(Client().get(address).headers["Content-Security-Policy"].split("; "))


@pytest.mark.parametrize("address", ["/api/v1/", "/api/v1/nowhere", "/api/v1/predict"])
def test_the_api_has_the_plain_policy(address: str) -> None:
    assert directives(address) == EXPECTED


def test_a_page_that_asks_for_a_nonce_has_one_of_its_own() -> None:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(request.csp_nonce))  # type: ignore[attr-defined]  # the middleware's

    site = ContentPolicyMiddleware(page)
    first, second = (cast("HttpResponse", site(RequestFactory().get("/"))) for _ in range(2))
    assert first.content != second.content
    for answer in (first, second):
        policy = answer.headers["Content-Security-Policy"].replace(f" 'nonce-{answer.content.decode()}'", "")
        assert set(policy.split("; ")) == EXPECTED
