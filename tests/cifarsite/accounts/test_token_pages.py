"""The pages of tokens, without JavaScript."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from cifarsite.accounts.models import ApiToken, User
from tests.api_fixtures import Program, make_token, make_user
from tests.training.people import errors_of, prove, text_of
from training.models import ModelVersion

pytestmark = pytest.mark.django_db

PAGE = "/tokens/"


@pytest.fixture
def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    prove(client, user)
    return client


def test_strangers_are_sent_to_the_login() -> None:
    assert Client().get(PAGE).headers["Location"] == f"/accounts/login/?next={PAGE}"


def test_the_menu_leads_there(browser: Client) -> None:
    assert f'href="{PAGE}"' in browser.get("/").content.decode()


def test_a_token_is_shown_once_with_a_command_that_uses_it(browser: Client, champion: ModelVersion) -> None:
    response = browser.post(PAGE, {"name": "camera", "scopes": ["predict"], "days": "7"})
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    found = re.search(r'<code id="token-secret">(\w{64})</code>', response.content.decode())
    assert found is not None
    command = (
        f"curl --header 'Authorization: Token {found[1]}' --form file=@picture.jpg http://testserver/api/v1/predict"
    )
    assert command in text_of(response)
    row = ApiToken.objects.get()
    assert (row.name, row.scopes) == ("camera", "predict")
    assert timedelta(days=6) < row.expiry - timezone.now() <= timedelta(days=7)
    assert found[1] not in browser.get(PAGE).content.decode()
    assert Program(Client(), found[1]).predict().status_code == 200


@pytest.mark.parametrize(
    ("scopes", "address"),
    [
        (["train", "operate"], "/api/v1/runs"),
        (["operate", "account"], "/api/v1/workers"),
        (["account"], "/api/v1/account"),
    ],
)
def test_the_command_is_one_that_the_token_may_use(browser: Client, scopes: list[str], address: str) -> None:
    response = browser.post(PAGE, {"scopes": scopes, "days": "7"})
    assert f"' http://testserver{address}" in text_of(response)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"days": "7"}, "scopes"),
        ({"days": "7", "scopes": ["all"]}, "scopes"),
        ({"days": "0", "scopes": ["predict"]}, "days"),
        ({"days": "3651", "scopes": ["predict"]}, "days"),
        ({"scopes": ["predict"]}, "days"),
        ({"days": "7", "scopes": ["predict"], "name": "x" * 101}, "name"),
    ],
)
def test_a_wrong_value_is_named(browser: Client, data: dict[str, object], field: str) -> None:
    response = browser.post(PAGE, data)
    assert response.status_code == 400
    assert list(errors_of(response)) == [field]
    assert not ApiToken.objects.exists()


def test_the_list_tells_uses_and_ends(browser: Client, user: User) -> None:
    make_token(make_user("grace"))
    assert "You have none yet." in text_of(browser.get(PAGE))
    make_token(user)
    make_token(user, lifetime=timedelta(seconds=-1))
    make_token(user, lifetime=None, is_new=True)
    text = text_of(browser.get(PAGE))
    assert (text.count("never"), text.count("expired"), text.count("for ever")) == (1, 1, 1)
    assert (text.count("Revoke"), text.count("Remove")) == (2, 1)


def test_a_token_is_revoked_after_a_question(browser: Client, user: User) -> None:
    token = make_token(user)
    address = f"{PAGE}{token[:15]}/revoke/"
    assert "Revoke this token?" in text_of(browser.get(address))
    assert ApiToken.objects.count() == 1
    response = browser.post(address, follow=True)
    assert "The token is removed" in text_of(response)
    assert not ApiToken.objects.exists()


def test_the_question_counts_what_goes_too(browser: Client, user: User) -> None:
    token = make_token(user)
    mother = ApiToken.objects.get()
    ApiToken.objects.create(user=user, made_with=mother)
    assert "So is the 1 token that was made with it." in text_of(browser.get(f"{PAGE}{token[:15]}/revoke/"))


@pytest.mark.parametrize("method", ["get", "post"])
def test_another_person_s_token_is_not_there(browser: Client, method: str) -> None:
    token = make_token(make_user("grace"))
    assert getattr(browser, method)(f"{PAGE}{token[:15]}/revoke/").status_code == 404
    assert ApiToken.objects.count() == 1


def test_a_full_account_is_told_what_to_do(browser: Client, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifarsite.accounts.tokens.MOST_TOKENS", 1)
    make_token(user)
    response = browser.post(PAGE, {"scopes": ["predict"], "days": "7"})
    assert response.status_code == 400
    assert "There are 1 tokens already: remove one first." in text_of(response)
