"""API tokens in a real browser: make one, copy it, use it, revoke it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import ApiToken, User
from tests.api_fixtures import _fresh_process, make_token
from tests.e2e.conftest import OpenPage, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, UserFactory

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ada(transactional_db: None) -> User:
    ada: User = UserFactory.create(username="ada", groups=["trainer"])
    return ada


def status_of(token: str) -> int:
    return Client().get("/api/v1/account", headers={"authorization": f"Token {token}"}).status_code


def test_make_copy_use_and_revoke(page: Page, ada: User) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, "ada", PASSWORD)
    page.get_by_role("button", name="ada").click()
    page.get_by_role("link", name="API tokens").click()
    expect(page.get_by_role("heading", name="API tokens")).to_be_visible()
    expect(page.get_by_text("You have none yet.")).to_be_visible()

    page.get_by_label("Name").fill("camera")
    expect(page.get_by_label("Classify pictures")).to_be_checked()
    page.get_by_label("Days that it is valid").fill("7")
    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_role("heading", name="The token “camera” is made")).to_be_visible()
    secret = page.locator("#token-secret").inner_text()
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert f"Token {secret}" in page.locator("#token-example").inner_text()
    assert status_of(secret) == 200

    page.goto("/tokens/")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).not_to_contain_text("never")
    assert secret not in page.content()
    page.get_by_role("link", name="Revoke").click()
    expect(page.get_by_role("heading", name="Revoke this token?")).to_be_visible()
    page.get_by_role("link", name="Keep the token").click()
    assert status_of(secret) == 200
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The token is removed")).to_be_visible()
    expect(page.get_by_text("You have none yet.")).to_be_visible()
    assert status_of(secret) == 401


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, locale: str) -> None:
    phone = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True, locale=locale)
    make_token(ada, is_new=True)
    make_token(ada, lifetime=timedelta(seconds=-1))
    ApiToken.objects.create(user=ada, name="without-a-space" * 6, last_used_at=timezone.now())
    sign_in(phone, "ada", PASSWORD)
    phone.goto("/tokens/")
    assert not has_sideways_scroll(phone)
    phone.locator("main form button[type=submit]").click()
    expect(phone.locator("#token-secret")).to_be_visible()
    assert not has_sideways_scroll(phone)
    phone.locator("tbody a").first.click()
    expect(phone.locator("main .btn-danger")).to_be_visible()
    assert not has_sideways_scroll(phone)
