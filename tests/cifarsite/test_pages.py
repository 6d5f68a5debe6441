"""What every page has: the frame, the languages, the entrance, the words for what goes wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.conf import LazySettings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import translation

from cifarsite import error_pages
from cifarsite.accounts.models import User
from cifarsite.templatetags import site
from tests.api_fixtures import make_user
from tests.factories import PASSWORD, UserFactory
from tests.training.people import prove
from training.models import ModelVersion


def text_of(content: bytes) -> str:
    """Return what a person reads: no tags, single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", content.decode()).split())


# --- The frame -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("group", "shown", "hidden"),
    [
        ("user", ["/history/", "/models/"], ["/training/", "/data/", "/admin/"]),
        ("trainer", ["/history/", "/models/", "/training/", "/data/"], ["/admin/", "/workers/"]),
        ("operator", ["/history/", "/models/", "/training/", "/data/", "/workers/"], ["/admin/"]),
    ],
)
def test_the_navigation_shows_what_one_may_open(
    client: Client, champion: ModelVersion, group: str, shown: list[str], hidden: list[str]
) -> None:
    client.force_login(UserFactory.create(groups=[group]))
    html = client.get("/").content.decode()
    for path in shown:
        assert f'href="{path}"' in html
        assert client.get(path).status_code == 200
    for path in hidden:
        assert f'href="{path}"' not in html
        assert client.get(path).status_code != 200


def test_the_current_page_is_marked(client: Client, user: User) -> None:
    client.force_login(user)
    html = client.get("/history/").content.decode()
    assert re.findall(r'href="([^"]+)"\s+aria-current="page"', html) == ["/history/"]


def test_pages_have_one_language_a_skip_link_and_the_version(client: Client, db: None) -> None:
    html = client.get("/accounts/login/").content.decode()
    assert '<html lang="en"' in html
    assert 'href="#main"' in html
    assert "cifarsite 1.0.0" in html


def test_the_language_is_the_browsers_until_it_is_chosen(client: Client, db: None) -> None:
    french = {"Accept-Language": "fr-CA,fr;q=0.9"}
    assert '<html lang="fr"' in client.get("/accounts/login/", headers=french).content.decode()
    response = client.post("/i18n/setlang/", {"language": "en", "next": "/accounts/signup/"}, headers=french)
    assert response.headers["Location"] == "/accounts/signup/"
    assert '<html lang="en"' in client.get("/accounts/login/", headers=french).content.decode()


def test_the_language_switch_leads_nowhere_else(client: Client, db: None) -> None:
    response = client.post("/i18n/setlang/", {"language": "fr", "next": "https://elsewhere.example/"})
    assert response.headers["Location"] == "/"


# --- The entrance ----------------------------------------------------------------------------------------------------
def test_the_login_page_says_what_this_is(client: Client, db: None) -> None:
    text = text_of(client.get("/accounts/login/").content)
    assert "Pictures in, answers out." in text
    assert "User name or e-mail address" in text
    assert "Create an account" in text


def test_a_wrong_password_is_said_in_words(client: Client, db: None) -> None:
    make_user()
    response = client.post("/accounts/login/", {"login": "ada", "password": "wrong"})
    assert 'class="notice notice-error" role="alert"' in response.content.decode()


def test_a_new_account_may_classify_at_once(client: Client, champion: ModelVersion) -> None:
    form = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD}
    response = client.post("/accounts/signup/", form, follow=True)
    assert response.redirect_chain[-1][0] == "/"
    assert [group.name for group in User.objects.get(username="grace").groups.all()] == ["user"]


def test_a_field_that_is_wrong_is_named(client: Client, db: None) -> None:
    html = client.post("/accounts/signup/", {"username": "", "password1": "a", "password2": "b"}).content.decode()
    assert 'id="id_username_error"' in html
    assert 'aria-invalid="true"' in html


def test_sign_up_can_be_closed(client: Client, db: None, settings: LazySettings) -> None:
    settings.SIGNUP_OPEN = False
    assert "Here an administrator makes the accounts." in text_of(client.get("/accounts/signup/").content)
    assert "/accounts/signup/" not in client.get("/accounts/login/").content.decode()


def test_signing_out_leads_to_the_entrance(client: Client, user: User) -> None:
    client.force_login(user)
    assert client.post("/accounts/logout/").headers["Location"] == "/accounts/login/"
    assert client.get("/").status_code == 302


def test_a_forgotten_password_is_reset_by_mail(client: Client, user: User) -> None:
    user.email = "ada@example.org"
    user.save()
    client.post("/accounts/password/reset/", {"email": "ada@example.org"})
    [message] = mail.outbox
    [path] = re.findall(r"http://testserver(\S+)", str(message.body))[:1]
    page = client.get(path, follow=True)
    assert "Choose a new password" in text_of(page.content)


@pytest.mark.parametrize("path", ["/accounts/email/", "/accounts/password/change/", "/accounts/logout/"])
def test_account_pages_stand_in_the_frame(client: Client, user: User, path: str) -> None:
    client.force_login(user)
    prove(client, user)
    html = client.get(path).content.decode()
    assert 'class="site-header"' in html
    assert 'class="narrow panel"' in html


def test_the_admin_panels_login_is_the_sites(client: Client, db: None) -> None:
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/accounts/login/")


# --- What goes wrong -------------------------------------------------------------------------------------------------
def test_an_unknown_address_gets_a_page(client: Client, db: None) -> None:
    response = client.get("/nowhere/")
    assert response.status_code == 404
    assert "Nothing here" in text_of(response.content)
    assert "text/html" in response.headers["Content-Type"]


def test_an_unknown_address_of_the_api_gets_a_problem(client: Client, db: None) -> None:
    response = client.get("/api/v1/nowhere")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


def test_what_one_may_not_do_is_said(client: Client, user: User) -> None:
    client.force_login(user)
    response = client.get(reverse("runs"))
    assert response.status_code == 403
    assert "You may not do this" in text_of(response.content)


def test_a_form_without_its_token_is_explained(db: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/accounts/login/", {"login": "ada", "password": "x"})
    assert response.status_code == 403
    assert "This form is too old" in text_of(response.content)


def test_a_host_that_is_not_ours_gets_no_page_of_it(client: Client, db: None) -> None:
    response = client.get("/accounts/login/", headers={"host": "elsewhere.example"})
    assert response.status_code == 400
    assert "elsewhere.example" not in response.content.decode()


def test_too_many_fields_are_refused_in_words(client: Client, db: None) -> None:
    response = client.post("/accounts/login/", {f"field{index}": "x" for index in range(1001)})
    assert response.status_code == 400
    assert "This request could not be understood" in text_of(response.content)


def test_a_fault_of_ours_needs_no_database(rf: pytest.FixtureRequest) -> None:
    response = error_pages.server_error(rf.get("/"))  # type: ignore[attr-defined]  # pytest-django's request factory
    assert response.status_code == 500
    assert "Something broke" in text_of(response.content)


# --- How numbers and moments are written -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0.0, "0.0%"), (0.0004, "< 0.1%"), (0.0006, "0.1%"), (0.5, "50.0%"), (0.99999, "99.9%"), (1.0, "100.0%")],
)
def test_percentages_never_round_to_certainty(fraction: float, shown: str) -> None:
    assert site.percent(fraction) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (7325, "2 h 02 min"), (None, "—")]
)
def test_durations_have_two_units(seconds: float | None, shown: str) -> None:
    assert site.duration(seconds) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0.0, "+0.00"), (-0.00001, "+0.00"), (-0.0001, "−0.01"), (0.25, "+25.00"), (-0.02899, "−2.90")],
)
def test_differences_have_the_sign_of_what_is_shown(fraction: float, shown: str) -> None:
    assert site.points(fraction) == shown


def test_numbers_are_rounded_and_grouped() -> None:
    assert site.number(1972792) == "1,972,792"
    assert site.number(3.96, 1) == "4.0"


@pytest.mark.parametrize(("language", "shown"), [("en", "Nov 3, 2026, 4:05 PM"), ("fr", "3 nov. 2026, 16:05")])
def test_a_moment_is_written_as_browsers_write_it(language: str, shown: str) -> None:
    with translation.override(language):
        moment = site.local_time(datetime(2026, 11, 3, 16, 5, tzinfo=UTC))
    zone = '<span class="when-no-js"> UTC</span>'
    assert moment == f'<time datetime="2026-11-03T16:05:00+00:00" data-local-time>{shown}{zone}</time>'
