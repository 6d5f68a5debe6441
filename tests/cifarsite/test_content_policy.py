"""The header that says what a browser may load: the same for every answer of the API, with a nonce on pages."""

from __future__ import annotations

import re

import pytest
from django.test import Client


def expected(nonce: str = "") -> set[str]:
    return {
        "default-src 'self'",
        f"script-src 'self'{nonce}",
        f"style-src 'self'{nonce}",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    }


def directives(policy: str) -> set[str]:
    return set(policy.split("; "))


@pytest.mark.parametrize("address", ["/api/v1/health", "/api/v1/nowhere", "/api/v1/predict"])
def test_the_api_has_the_plain_policy(address: str) -> None:
    response = Client().get(address)
    assert directives(response.headers["Content-Security-Policy"]) == expected()


@pytest.mark.django_db
def test_every_page_has_a_nonce_of_its_own() -> None:
    policies = [Client().get("/accounts/login/").headers["Content-Security-Policy"] for _ in range(2)]
    [first], [second] = [set(re.findall(r" 'nonce-[^']+'", policy)) for policy in policies]
    assert first != second
    assert directives(policies[0]) == expected(first)
