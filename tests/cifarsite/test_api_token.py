"""`manage.py api_token`."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from cifarsite.accounts.models import ApiToken, User
from tests.api_fixtures import Program
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("api_token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_token_alone_is_on_standard_output_and_works(user: User, champion: ModelVersion) -> None:
    out, err = run("ada", "--name", "camera", "--days", "7")
    token = out.strip()
    assert (len(token), out) == (64, f"{token}\n")
    assert "only now" in err
    row = ApiToken.objects.get()
    assert (row.user, row.name) == (user, "camera")
    assert token not in (row.digest, row.token_key)
    assert timedelta(days=6) < row.expiry - timezone.now() <= timedelta(days=7)
    assert Program(Client(), token).predict().status_code == 200


def test_without_scopes_it_has_all_but_the_account(user: User) -> None:
    run("ada")
    assert ApiToken.objects.get().scopes == "predict train operate"


def test_it_has_the_scopes_that_are_named(user: User) -> None:
    run("ada", "--scope", "operate", "--scope", "predict")
    assert ApiToken.objects.get().scopes == "predict operate"


def test_every_call_makes_another(user: User) -> None:
    assert run("ada")[0] != run("ada")[0]
    assert ApiToken.objects.count() == 2


def test_without_days_it_lives_as_long_as_the_settings_say(user: User, settings: Settings) -> None:
    run("ada")
    lifetime = ApiToken.objects.get().expiry - timezone.now()
    assert abs(lifetime - settings.REST_KNOX["TOKEN_TTL"]) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody"], "no account named 'nobody'"),
        (["ada", "--days", "0"], "'0' is not a number of days"),
        (["ada", "--days", "-1"], "'-1' is not a number of days"),
        (["ada", "--days", "x"], "'x' is not a number of days"),
        (["ada", "--days", "99999999999"], "is not a number of days"),
        (["ada", "--name", "x" * 101], "more than 100 characters"),
        (["ada", "--scope", "everything"], "invalid choice: 'everything'"),
    ],
)
def test_a_wrong_argument_is_named(user: User, arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)
    assert not ApiToken.objects.exists()


def test_a_closed_account_gets_none(user: User) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="closed"):
        run("ada")
