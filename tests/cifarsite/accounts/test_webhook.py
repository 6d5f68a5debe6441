"""A person's webhook: set, removed, and what they are told of its deliveries, on pages, by API, by command."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from cifarsite.accounts.models import Channel, Delivery, Fault, User, Webhook
from cifarsite.accounts.notices import MOST_ATTEMPTS
from tests.api_fixtures import Program, make_user, problem_of
from tests.cifarsite.accounts.test_deliveries import end_a_run
from tests.training.people import Person, text_of

pytestmark = pytest.mark.django_db

PAGE, API = "/account/webhook/", "/api/v1/account/webhook"
URL = "https://example.org/hook"


def set_up(user: User, **last: Any) -> Delivery:
    """Give a person a webhook, and a delivery that went as told."""
    Webhook.objects.create(owner=user, url=URL, secret="s")
    row = end_a_run(user)
    Delivery.objects.filter(pk=row.pk).update(**{"attempted_at": timezone.now(), "attempts": 1, **last})
    row.refresh_from_db()
    return row


def fail(user: User, **last: Any) -> Delivery:
    return set_up(user, **{"fault": Fault.ANSWER, "status_code": 500, "attempts": 2, **last})


# --- The pages -------------------------------------------------------------------------------------------------------
def test_the_secret_is_shown_once() -> None:
    person = Person("user")
    shown = person.post(PAGE, {"url": URL}).content.decode()
    row = Webhook.objects.get(owner=person.user)
    assert (row.url, row.secret in shown) == (URL, True)
    for page in ("/account/", PAGE):
        html = person.get(page).content.decode()
        assert (row.secret in html, row.url in html) == (False, True)


def test_a_private_address_is_refused_in_words(settings: LazySettings) -> None:
    settings.WEBHOOKS_PRIVATE = False
    response = Person("user").post(PAGE, {"url": "http://192.168.0.1/"})
    assert response.status_code == 400
    assert "This address is in a private network" in text_of(response)
    assert not Webhook.objects.exists()


def test_it_is_removed() -> None:
    person = Person("user")
    person.post(PAGE, {"url": URL})
    assert "Nothing is posted any more." in text_of(person.post(PAGE, {"remove": "1"}, follow=True))
    assert not Webhook.objects.exists()


def test_the_account_page_tells_of_a_failure_and_of_what_follows() -> None:
    person = Person("trainer")
    fail(person.user, due_at=timezone.now() + timedelta(minutes=4))
    shown = text_of(person.get("/account/"))
    assert "The address answered with the status 500." in shown
    assert f"Attempt 2 of {MOST_ATTEMPTS}. The next one:" in shown


def test_the_account_page_tells_when_it_was_given_up() -> None:
    person = Person("trainer")
    fail(person.user, due_at=None, attempts=MOST_ATTEMPTS, fault=Fault.TOO_SLOW, status_code=None)
    shown = text_of(person.get("/account/"))
    assert "There was no answer in time." in shown
    assert f"Attempt {MOST_ATTEMPTS} of {MOST_ATTEMPTS}. No further one is made" in shown


def test_the_newest_attempt_is_told_and_nobody_else_s() -> None:
    person = Person("trainer")
    fail(person.user, due_at=None)
    other = end_a_run(person.user)
    Delivery.objects.filter(pk=other.pk).update(
        attempted_at=timezone.now() + timedelta(seconds=1), delivered_at=timezone.now(), due_at=None, status_code=204
    )
    fail(make_user("grace"), status_code=418)
    shown = text_of(person.get("/account/"))
    assert "taken" in shown
    assert "status" not in shown


def test_what_is_not_posted_yet_is_said() -> None:
    person = Person("user")
    person.post(PAGE, {"url": URL})
    assert "nothing posted yet" in text_of(person.get("/account/"))


def test_it_speaks_french() -> None:
    person = Person("trainer", language="fr")
    fail(person.user, due_at=None)
    shown = text_of(person.get("/account/", headers={"Accept-Language": "fr"}))
    assert "L’adresse a répondu par le statut 500." in shown


# --- The API ---------------------------------------------------------------------------------------------------------
def ask(program: Program, method: str, body: object = None) -> Any:
    content: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(program.client, method)(API, headers={"authorization": f"Token {program.token}"}, **content)


def test_a_program_sets_reads_and_removes_it(user: User, program: Program) -> None:
    problem_of(ask(program, "get"), 404)
    made = ask(program, "put", {"url": URL})
    row = Webhook.objects.get(owner=user)
    assert (made.status_code, made.json()["secret"], made.headers["Cache-Control"]) == (200, row.secret, "no-store")
    told = ask(program, "get").json()
    assert told == {"url": URL, "set_at": told["set_at"], "last_delivery": None}
    again = ask(program, "put", {"url": URL}).json()
    assert again["secret"] != made.json()["secret"]
    removed = ask(program, "delete")
    assert (removed.status_code, removed.content) == (204, b"")
    problem_of(ask(program, "delete"), 404)


def test_a_program_is_told_of_a_failure(user: User, program: Program) -> None:
    row = fail(user, due_at=timezone.now() + timedelta(minutes=4))
    told = ask(program, "get").json()["last_delivery"]
    moments = {name: told.pop(name) for name in ("attempted_at", "next_attempt_at")}
    assert all(moments.values())
    assert told == {
        "id": row.pk,
        "notification": row.notification_id,
        "delivered_at": None,
        "status_code": 500,
        "fault": "answer",
        "detail": "The address answered with the status 500.",
        "attempts": 2,
        "most_attempts": 7,
    }


@pytest.mark.parametrize(
    ("body", "location", "code"),
    [
        ({}, "url", "required"),
        ({"url": "none"}, "url", "invalid"),
        ({"url": "http://10.0.0.1/"}, "url", "refused"),
        ({"url": "https://user:password@example.org/"}, "url", "refused"),
        ({"url": URL, "secret": "mine"}, "secret", "unknown"),
        ([], "body", "invalid"),
    ],
)
def test_a_wrong_value_is_named(
    program: Program, settings: LazySettings, body: object, location: str, code: str
) -> None:
    settings.WEBHOOKS_PRIVATE = False
    [error] = problem_of(ask(program, "put", body), 400)["errors"]
    assert (error["location"], error["code"]) == (location, code)
    assert not Webhook.objects.exists()


# --- The command -----------------------------------------------------------------------------------------------------
def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("webhook", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_does_the_same(user: User) -> None:
    with pytest.raises(CommandError, match="ada has no webhook"):
        run("ada")
    shown = run("ada", "--set", URL)
    assert shown == f"{URL}\nnothing posted yet\nsecret, shown only now: {Webhook.objects.get().secret}\n"
    body = json.loads(run("ada", "--set", URL, "--json"))
    assert (body["url"], body["secret"], body["last_delivery"]) == (URL, Webhook.objects.get().secret, None)
    assert run("ada", "--remove") == "The webhook of ada is removed.\n"
    with pytest.raises(CommandError, match="ada has no webhook"):
        run("ada", "--remove")


def test_the_command_tells_of_a_failure(user: User) -> None:
    fail(user, due_at=None, attempts=MOST_ATTEMPTS)
    assert "The address answered with the status 500. Attempt 7 of 7, given up" in run("ada")
    assert json.loads(run("ada", "--json"))["last_delivery"]["fault"] == "answer"


def test_the_command_refuses_what_the_page_refuses(user: User, settings: LazySettings) -> None:
    settings.WEBHOOKS_PRIVATE = False
    with pytest.raises(CommandError, match="private network"):
        run("ada", "--set", "http://127.0.0.1/")
    with pytest.raises(CommandError, match="no account named 'grace'"):
        run("grace", "--set", URL)


def test_strangers_see_no_page() -> None:
    assert Client().get(PAGE).headers["Location"] == f"/accounts/login/?next={PAGE}"


def test_only_webhooks_count() -> None:
    person = Person("trainer")
    row = fail(person.user)
    Delivery.objects.filter(pk=row.pk).update(channel=Channel.MAIL)
    assert "nothing posted yet" in text_of(person.get("/account/"))
