"""The account in a real browser: preferences, two-factor sign-in, notifications, data, and the way out."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import PHONE, OpenPage, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, PredictionFactory, TrainingRunFactory, UserFactory
from training.choices import Reason
from training.models import TrainingRun

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    """Forget what was tried in the test before."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def ada(transactional_db: None) -> User:
    ada: User = UserFactory.create(username="ada", groups=["trainer"])
    return ada


def fail_a_run(owner: User) -> TrainingRun:
    claimed: TrainingRun | None = TrainingRun.claim(TrainingRunFactory.create(owner=owner).pk, worker="w:1")
    assert claimed is not None
    claimed.fail(reason=Reason.DIVERGED, detail="")
    return claimed


def test_preferences_hold_and_follow(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.get_by_role("button", name="ada").click()
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()
    page.get_by_role("radio", name="Dark").check()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.locator("select[name=time_zone]").select_option("Pacific/Auckland")
    page.locator("select[name=language]").select_option("fr")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Compte")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-time-zone", "Pacific/Auckland")
    expect(page.get_by_role("radio", name="Sombres")).to_be_checked()


def test_two_factor_sign_in(open_page: OpenPage, ada: User) -> None:
    page = open_page()
    sign_in(page, "ada", PASSWORD)
    page.goto("/accounts/2fa/")
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    picture = page.get_by_role("img", name="The key as a QR code")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth > 0")
    secret = page.locator(".totp-key").inner_text()
    code = str(totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time()))))
    page.get_by_label("Type the six digits").fill(code)
    page.get_by_role("button", name="Switch it on").click()
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    recovery = page.locator("#recovery-codes li").first.inner_text()

    other = open_page()
    other.goto("/accounts/login/")
    other.locator("input[name=login]").fill("ada")
    other.locator("input[name=password]").fill(PASSWORD)
    other.locator("main button[type=submit]").click()
    expect(other.get_by_role("heading", name="The second factor")).to_be_visible()
    other.get_by_label("Code of your app").fill(recovery)
    other.get_by_role("button", name="Sign in").click()
    expect(other).to_have_url("/")


def test_a_failed_run_is_told(page: Page, ada: User) -> None:
    run = fail_a_run(ada)
    sign_in(page, "ada", PASSWORD)
    bell = page.get_by_role("link", name="1 unread notification")
    expect(bell.locator(".bell-count")).to_have_text("1")
    bell.click()
    row = page.get_by_role("button", name=f"Run {run.pk}")
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("The loss became infinite or undefined")
    row.click()
    expect(page).to_have_url(f"/training/{run.pk}/")
    expect(page.locator(".bell-count")).to_have_count(0)


def test_take_the_data_and_leave(page: Page, ada: User) -> None:
    PredictionFactory.create(owner=ada)
    sign_in(page, "ada", PASSWORD)
    page.goto("/account/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "predictions.csv" in archive.namelist()
    page.get_by_role("link", name="Delete my account").click()
    expect(page.get_by_text("1 picture of your history")).to_be_visible()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_text("Your account and your data are deleted.")).to_be_visible()
    assert not User.objects.exists()


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, locale: str) -> None:
    phone = open_page(viewport=PHONE, has_touch=True, is_mobile=True, locale=locale)
    for _run in range(2):
        fail_a_run(ada)
    sign_in(phone, "ada", PASSWORD)
    expect(phone.locator(".bell-count")).to_be_visible()
    for path in (
        "/account/",
        "/notifications/",
        "/account/delete/",
        "/accounts/2fa/",
        "/accounts/2fa/totp/activate/",
        "/accounts/email/",
        "/accounts/password/change/",
    ):
        phone.goto(path)
        expect(phone.locator("main h1")).to_be_visible()
        assert not has_sideways_scroll(phone), path
