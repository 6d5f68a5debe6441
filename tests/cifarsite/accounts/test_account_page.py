"""The account page: preferences, two-factor sign-in, and trying too often."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.template.loader import get_template, render_to_string
from django.test import Client
from django.utils import translation

from cifarsite.accounts.models import User
from tests.api_fixtures import Program, problem_of
from tests.factories import PASSWORD, UserFactory
from tests.training.people import Person, errors_of, text_of

pytestmark = pytest.mark.django_db

FOLDER = Path(settings.BASE_DIR, "templates")


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    """Accounts and addresses are the same in every test: forget what was tried in the last one."""
    cache.clear()
    yield
    cache.clear()


def signed_in() -> Client:
    """Return a browser whose person typed their password a moment ago."""
    UserFactory.create(username="ada", groups=["user"])
    client = Client()
    client.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    return client


# --- Preferences -----------------------------------------------------------------------------------------------------
def test_the_page_shows_who_one_is(django_assert_num_queries: Any) -> None:
    person = Person("trainer", username="ada")
    with django_assert_num_queries(8):
        shown = text_of(person.get("/account/"))
    for words in ("ada", "trainer", "Preferences", "Security", "Webhook", "Your data"):
        assert words in shown


def test_language_and_zone_are_stored_and_used() -> None:
    person = Person("user")
    response = person.post("/account/", {"language": "fr", "time_zone": "Europe/Paris"})
    assert response.cookies["django_language"].value == "fr"
    person.user.refresh_from_db()
    assert (person.user.language, person.user.time_zone) == ("fr", "Europe/Paris")
    html = person.get("/account/").content.decode()
    assert '<html lang="fr"' in html
    assert 'data-time-zone="Europe/Paris"' in html


def test_no_choice_of_language_is_the_browsers_again() -> None:
    person = Person("user")
    person.post("/account/", {"language": "fr", "time_zone": ""})
    person.post("/account/", {"language": "", "time_zone": ""})
    assert '<html lang="en"' in person.get("/account/").content.decode()


def test_the_language_follows_to_another_browser() -> None:
    UserFactory.create(username="ada", language="fr")
    response = Client().post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    assert response.cookies["django_language"].value == "fr"


@pytest.mark.parametrize(
    ("form", "field"), [({"language": "xx"}, "language"), ({"time_zone": "Mars/Olympus"}, "time_zone")]
)
def test_what_there_is_not_is_refused(form: dict[str, str], field: str) -> None:
    response = Person("user").post("/account/", form)
    assert response.status_code == 400
    assert field in errors_of(response)


def test_mails_need_a_confirmed_address() -> None:
    person = Person("user")
    response = person.post("/account/", {"wants_mail": "on"})
    assert (response.status_code, "Confirm an e-mail address first" in text_of(response)) == (400, True)
    EmailAddress.objects.create(user=person.user, email="ada@example.org", verified=True, primary=True)
    assert person.post("/account/", {"wants_mail": "on"}).status_code == 302
    person.user.refresh_from_db()
    assert person.user.wants_mail


def test_programs_read_and_change_the_same(user: User, program: Program) -> None:
    assert program.get("/api/v1/account").json()["language"] is None
    changed = patch(program, {"language": "fr", "time_zone": "Europe/Paris"})
    assert (changed.status_code, changed.json()["time_zone"]) == (200, "Europe/Paris")
    assert patch(program, {"time_zone": None}).json()["time_zone"] is None
    user.refresh_from_db()
    assert (user.language, user.time_zone) == ("fr", "")
    problem_of(patch(program, {"time_zone": "Mars/Olympus"}), 400)
    problem_of(patch(program, {"wants_mail": True}), 409)
    assert program.get("/api/v1/account/data").getvalue().startswith(b"PK")


def patch(program: Program, body: dict[str, object]) -> Any:
    headers = {"authorization": f"Token {program.token}"}
    return program.client.patch("/api/v1/account", body, content_type="application/json", headers=headers)


# --- Two-factor sign-in ----------------------------------------------------------------------------------------------
def code_now(secret: str) -> str:
    """Return what an authenticator app shows."""
    return str(totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time()))))


def set_up(client: Client) -> str:
    """Switch two-factor sign-in on; return its key."""
    page = client.get("/accounts/2fa/totp/activate/")
    secret = str(page.context["form"].secret)
    client.post("/accounts/2fa/totp/activate/", {"code": code_now(secret)})
    return secret


def test_the_key_is_a_picture_of_our_own() -> None:
    html = signed_in().get("/accounts/2fa/totp/activate/").content.decode()
    assert 'src="data:image/svg+xml' in html
    assert "style=" not in html


def test_a_wrong_code_switches_nothing_on() -> None:
    client = signed_in()
    client.get("/accounts/2fa/totp/activate/")
    assert "Incorrect code." in text_of(client.post("/accounts/2fa/totp/activate/", {"code": "000000"}))
    assert "Set it up" in text_of(client.get("/accounts/2fa/"))


def test_signing_in_takes_the_second_factor_or_a_recovery_code() -> None:
    client = signed_in()
    set_up(client)
    codes = client.get("/accounts/2fa/recovery-codes/").context["unused_codes"]
    assert len(codes) == 10
    other = Client()
    response = other.post("/accounts/login/", {"login": "ada", "password": PASSWORD}, follow=True)
    assert response.redirect_chain[-1][0].startswith("/accounts/2fa/authenticate/")
    assert other.get("/account/").status_code == 302
    assert "Incorrect code." in text_of(other.post("/accounts/2fa/authenticate/", {"code": "123456"}))
    other.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert other.get("/account/").status_code == 200
    assert codes[0] not in client.get("/accounts/2fa/recovery-codes/").context["unused_codes"]


def test_it_is_switched_off_by_whoever_switched_it_on() -> None:
    client = signed_in()
    set_up(client)
    assert "Switch it off" in text_of(client.get("/accounts/2fa/"))
    client.post("/accounts/2fa/totp/deactivate/")
    assert "Set it up" in text_of(client.get("/accounts/2fa/"))


def test_a_second_factor_that_is_deleted_in_the_panel_leaves_no_codes(admin_client: Client) -> None:
    client = signed_in()
    set_up(client)
    [key] = Authenticator.objects.filter(type=Authenticator.Type.TOTP)
    admin_client.post(f"/admin/mfa/authenticator/{key.pk}/delete/", {"post": "yes"})
    assert not Authenticator.objects.exists()


# --- Too often, and mails in French -----------------------------------------------------------------------------------
def test_trying_too_often_says_when_to_try_again() -> None:
    client = signed_in()
    wrong = {"oldpassword": "wrong", "password1": "x", "password2": "x"}
    responses = [client.post("/accounts/password/change/", wrong) for _attempt in range(6)]
    assert [response.status_code for response in responses] == [200] * 5 + [429]
    assert responses[-1].headers["Retry-After"] == "60"
    assert "Try again in one minute." in text_of(responses[-1])


def test_too_many_wrong_passwords_say_when_to_try_again() -> None:
    UserFactory.create(username="ada")
    client = Client()
    for _attempt in range(6):
        response = client.post("/accounts/login/", {"login": "ada", "password": "wrong"})
    assert "Too many wrong passwords. Try again in five minutes." in text_of(response)


OWN_TEMPLATES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("[am]*/**/*") if path.is_file())
IN_USE = [
    *("account_inactive", "email", "email_confirm", "login", "logout", "password_change", "password_reset"),
    *("password_reset_done", "password_reset_from_key", "password_reset_from_key_done", "password_set"),
    *("reauthenticate", "signup", "signup_closed", "verification_sent"),
]


@pytest.mark.parametrize("name", IN_USE)
def test_every_page_is_in_the_site_s_own_words(name: str) -> None:
    origin = get_template(f"account/{name}.html").origin  # type: ignore[attr-defined]  # the engine's own template
    assert Path(origin.name).is_relative_to(FOLDER)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("name", [name for name in OWN_TEMPLATES if name.endswith(".txt") and "logged" not in name])
def test_every_mail_and_message_says_something_in_both_languages(name: str, language: str) -> None:
    known = {"email": "ada@example.org", "user": User(username="ada"), "username": "ada", "ip": "::1"}
    with translation.override(language):
        said = render_to_string(name, known)
    assert len(said.strip()) > 10
    assert "example.com" not in said


def test_a_mail_says_what_it_is_about_and_what_to_do() -> None:
    User.objects.create(username="ada", email="ada@example.org")
    Client().post("/accounts/password/reset/", {"email": "ada@example.org"})
    [message] = mail.outbox
    assert message.subject == "[cifarsite] Choose a new password"
    before, link, after = re.split(r"(http://testserver/accounts/password/reset/key/\S+)", str(message.body))
    assert before == "Hello ada,\n\nA new password was asked for. If it was you, choose it here:\n\n"
    assert after.startswith("\n\nYour user name is ada.\n\nIf it was not you, nothing has to be done.\n")
    page = Client().get(link.removeprefix("http://testserver"), follow=True)
    assert "Choose a new password" in text_of(page)


def test_a_changed_password_is_told_by_mail() -> None:
    client = signed_in()
    user = User.objects.get()
    EmailAddress.objects.create(user=user, email="ada@example.org", verified=True, primary=True)
    new = "a-much-longer-one-7"
    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    [message] = mail.outbox
    assert message.subject == "[cifarsite] Your password is changed"
    assert "Your password is changed.\n\nIf it was not you, choose another password at once" in str(message.body)


def test_a_mail_of_the_library_is_in_french() -> None:
    User.objects.create(username="ada", email="ada@example.org")
    Client().post("/accounts/password/reset/", {"email": "ada@example.org"}, headers={"Accept-Language": "fr"})
    assert "mot de passe" in str(mail.outbox[0].body)
