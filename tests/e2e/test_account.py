"""The account in a real browser: preferences, two-factor sign-in, notifications, data, and the way out."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.utils import timezone
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import Delivery, Fault, User
from cifarsite.accounts.sessions import SessionStore
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


def let_time_pass(page: Page) -> None:
    """Let the password of a browser's person have been typed longer ago than the site is set to."""
    [cookie] = [found for found in page.context.cookies() if found.get("name") == "sessionid"]
    session = SessionStore(cookie.get("value"))
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time.time() - 601}]
    session.save()


WORDS = {
    "en-GB": ("Is it you?", "Your password", "Go on", "API tokens", "Take my data along", "Your data"),
    "fr-FR": (
        "Est-ce bien vous",
        "Votre mot de passe",
        "Continuer",
        "Jetons d’API",
        "Emporter mes données",
        "Vos données",
    ),
}


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_the_password_is_asked_for_again_and_leads_on(open_page: OpenPage, ada: User, locale: str) -> None:
    question, label, go_on, tokens, take_along, data = WORDS[locale]
    phone = open_page(viewport=PHONE, has_touch=True, is_mobile=True, locale=locale)
    sign_in(phone, "ada", PASSWORD)
    phone.goto("/tokens/")
    expect(phone.get_by_role("heading", name=tokens)).to_be_visible()  # who has just signed in is not asked

    let_time_pass(phone)
    phone.goto("/account/")
    phone.get_by_role("link", name=take_along).click()
    expect(phone.get_by_role("heading", name=question)).to_be_visible()
    assert not has_sideways_scroll(phone)
    phone.get_by_label(label).fill("wrong")
    phone.get_by_role("button", name=go_on).click()
    expect(phone.locator(".error")).to_be_visible()
    phone.get_by_label(label).fill(PASSWORD)
    phone.get_by_role("button", name=go_on).click()
    expect(phone).to_have_url("/account/data/")
    expect(phone.get_by_role("heading", name=data)).to_be_visible()
    with phone.expect_download() as download:
        phone.locator("main a[download]").click()
    assert zipfile.is_zipfile(download.value.path())


def test_a_token_that_is_typed_while_the_time_runs_out_is_made(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/tokens/")
    page.get_by_label("Name").fill("camera")
    let_time_pass(page)
    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_role("heading", name="Is it you?")).to_be_visible()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="The token “camera” is made")).to_be_visible()


def test_a_webhook_is_set_and_its_failure_told(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/account/")
    page.get_by_role("link", name="Set a webhook").click()
    page.get_by_label("Address").fill("https://example.org/hook")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_role("heading", name="The webhook is set")).to_be_visible()
    fail_a_run(ada)
    Delivery.objects.update(fault=Fault.ANSWER, status_code=503, attempts=1, attempted_at=timezone.now())
    page.goto("/account/")
    expect(page.get_by_text("The address answered with the status 503.")).to_be_visible()
    expect(page.get_by_text("Attempt 1 of 7. The next one:")).to_be_visible()


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
    page.get_by_role("link", name="Take my data along").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "predictions.csv" in archive.namelist()
    page.get_by_role("link", name="Back to the account").click()
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
        "/account/webhook/",
        "/account/data/",
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
