"""What migrations make of rows from before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session as OldSession
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from cifarsite.accounts.models import Delivery, Session

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("accounts", "0003_account_page_and_notifications")]
SENTENCES = {
    "": ("", None),
    "The answer was 404": ("answer", 404),
    "No answer: ReadTimeoutError": ("unreachable", None),
    "The host's name cannot be looked up": ("no_host", None),
    "The host is in a private network": ("private", None),
    "The mail server: refused": ("mail_server", None),
    "There is no webhook any more, or the account is closed.": ("nowhere", None),
    "Something else": ("unfinished", None),
}


def migrate(targets: list[Any]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


@pytest.fixture
def before() -> Iterator[Any]:
    """The models as they were; the newest are there again afterwards, whatever happens."""
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    yield migrate(BEFORE)
    migrate(newest)


def test_faults_become_codes_and_old_sessions_go(before: Any) -> None:
    owner = before.get_model("accounts", "User").objects.create(username="ada")
    for number, sentence in enumerate(SENTENCES, start=1):
        change = before.get_model("training", "Transition").objects.create(
            job_kind="trainingrun",
            job_pk=number,
            from_status="running",
            to_status="failed",
            cause="failed",
            at=timezone.now(),
        )
        notification = before.get_model("accounts", "Notification").objects.create(owner=owner, transition=change)
        before.get_model("accounts", "Delivery").objects.create(
            notification=notification, channel="webhook", fault=sentence
        )
    OldSession.objects.create(session_key="old", session_data="x", expire_date=timezone.now())
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    rows = Delivery.objects.order_by("pk").values_list("fault", "status_code")
    assert list(rows) == list(SENTENCES.values())
    assert (OldSession.objects.count(), Session.objects.count()) == (0, 0)
