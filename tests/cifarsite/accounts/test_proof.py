"""Who signed in a while ago types their password again before what concerns the safety of the account, and goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import LazySettings
from django.core.cache import cache
from django.test import Client

from cifarsite.accounts.models import ApiToken, User, Webhook
from tests.api_fixtures import problem_of
from tests.factories import PASSWORD, UserFactory
from tests.training.people import Person, prove, text_of

pytestmark = pytest.mark.django_db

PAGES = [
    "/tokens/",
    "/account/webhook/",
    "/account/data/",
    "/accounts/email/",
    "/accounts/2fa/totp/activate/",
]


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    """Forget what was tried in the last test."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def ada() -> Person:
    """Somebody who signed in longer ago than the site is set to, which is ten minutes."""
    person = Person("user", username="ada")
    prove(person, person.user, ago_seconds=601)
    return person


def proof_page(path: str) -> str:
    return f"/accounts/reauthenticate/?next={quote(path, safe='')}"


@pytest.mark.parametrize("path", PAGES)
def test_the_page_asks_again_and_leads_on(ada: Person, path: str) -> None:
    response = ada.get(path)
    assert (response.status_code, response.headers["Location"]) == (302, proof_page(path))
    page = ada.get(response.headers["Location"])
    assert "Is it you?" in text_of(page)
    assert f'name="next" value="{path}"' in page.content.decode()
    done = ada.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": path})
    assert (done.status_code, done.headers["Location"]) == (302, path)
    assert ada.get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_who_has_just_signed_in_is_not_asked(path: str) -> None:
    UserFactory.create(username="ada")
    client = Client()
    client.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_who_has_not_signed_in_signs_in(path: str) -> None:
    assert Client().get(path).headers["Location"].startswith("/accounts/login/?next=")


def test_the_limit_is_the_site_s(ada: Person, settings: LazySettings) -> None:
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 602
    assert ada.get("/tokens/").status_code == 200


def test_a_wrong_password_leads_nowhere(ada: Person) -> None:
    response = ada.post("/accounts/reauthenticate/", {"password": "wrong", "next": "/tokens/"})
    assert response.status_code == 200
    assert ada.get("/tokens/").status_code == 302


def test_it_never_leads_to_another_site(ada: Person) -> None:
    response = ada.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "https://evil.example/"})
    assert response.headers["Location"] == "/"


def test_what_was_typed_while_the_time_ran_out_is_not_lost(ada: Person) -> None:
    response = ada.post("/tokens/", {"name": "camera", "scopes": ["predict"], "days": "7"})
    assert response.headers["Location"] == proof_page("/tokens/")
    assert not ApiToken.objects.exists()
    done = ada.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/tokens/"})
    assert re.search(r'<code id="token-secret">\w{64}</code>', done.content.decode())
    assert ApiToken.objects.get().name == "camera"


def test_a_webhook_that_was_typed_is_not_lost(ada: Person) -> None:
    ada.post("/account/webhook/", {"url": "https://example.org/hook"})
    assert not Webhook.objects.exists()
    done = ada.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/account/webhook/"})
    row = Webhook.objects.get(owner=ada.user)
    assert (row.url, row.secret in done.content.decode()) == ("https://example.org/hook", True)


def test_the_archive_is_offered_after_the_password(ada: Person) -> None:
    assert ada.get("/account/data.zip").headers["Location"] == "/account/data/"
    prove(ada, ada.user)
    assert ada.get("/account/data.zip").getvalue().startswith(b"PK")


def test_an_address_is_not_changed_by_the_form_alone(ada: Person) -> None:
    form = {"action_add": "", "email": "eve@example.org"}
    assert ada.post("/accounts/email/", form).headers["Location"] == proof_page("/accounts/email/")
    assert not EmailAddress.objects.filter(user=ada.user, email="eve@example.org").exists()
    prove(ada, ada.user)
    ada.post("/accounts/email/", form)
    assert EmailAddress.objects.filter(user=ada.user, email="eve@example.org").exists()


def test_the_second_factor_is_not_switched_off(ada: Person) -> None:
    TOTP.activate(ada.user, generate_totp_secret())
    path = "/accounts/2fa/totp/deactivate/"
    for response in (ada.get(path), ada.post(path)):
        assert response.headers["Location"] == proof_page(path)
    assert Authenticator.objects.filter(user=ada.user).exists()


def test_what_takes_nothing_away_is_free(ada: Person) -> None:
    for path in ("/account/", "/notifications/", "/account/delete/", "/accounts/password/change/"):
        assert ada.get(path).status_code == 200


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("get", "/api/v1/account/data"),
        ("post", "/api/v1/tokens"),
        ("put", "/api/v1/account/webhook"),
        ("delete", "/api/v1/account/webhook"),
    ],
)
def test_the_api_asks_sessions_the_same(ada: Person, verb: str, path: str) -> None:
    Webhook.objects.create(owner=ada.user, url="https://example.org/hook", secret="s")
    body = {"url": "https://example.org/other", "scopes": ["predict"]}
    response = getattr(ada, verb)(path, *([] if verb == "get" else [body]), content_type="application/json")
    [error] = problem_of(response, 403)["errors"]
    assert (error["location"], error["code"]) == ("cookie:sessionid", "proof_missing")
    assert Webhook.objects.get().url == "https://example.org/hook"
    prove(ada, ada.user)
    response = getattr(ada, verb)(path, *([] if verb == "get" else [body]), content_type="application/json")
    assert response.status_code != 403


def test_who_has_nothing_to_prove_it_with_is_not_asked() -> None:
    person = Person("user")
    person.user.set_unusable_password()
    person.user.save()
    person.force_login(person.user)
    prove(person, person.user, ago_seconds=601)
    assert person.get("/tokens/").status_code == 200
    assert User.objects.count() == 1
