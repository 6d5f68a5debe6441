"""Deliveries by e-mail and webhook: faults lose nothing, and nothing goes out twice by our own doing."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import LazySettings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from cifarsite.accounts import deliveries, tasks
from cifarsite.accounts.deliveries import deliver, ring_for_due
from cifarsite.accounts.models import Delivery, Fault, User, Webhook
from cifarsite.accounts.notices import DELAYS
from cifarsite.accounts.webhook_settings import set_webhook
from cifarsite.accounts.webhooks import AddressRefusedError, check_address, sign
from tests.cifarsite.accounts.test_notifications import running
from training.choices import Reason

pytestmark = pytest.mark.django_db


@dataclass
class Receiver:
    """A web server that takes what is posted, and answers as it is told."""

    url: str = ""
    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver(settings: LazySettings) -> Iterator[Receiver]:
    settings.WEBHOOKS_PRIVATE = True
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.taken.append((dict(self.headers), body))
            self.send_response(told.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
    yield told
    server.shutdown()
    server.server_close()


def confirm_address(user: User, address: str = "ada@example.org") -> None:
    EmailAddress.objects.create(user=user, email=address, verified=True, primary=True)
    user.wants_mail = True
    user.save()


def end_a_run(user: User) -> Delivery:
    """Let a run of a person fail; return what is to go out."""
    running(user).fail(reason=Reason.DIVERGED, detail="")
    return Delivery.objects.latest("pk")


def make_due(row: Delivery) -> None:
    Delivery.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(seconds=1))


# --- E-mail ----------------------------------------------------------------------------------------------------------
def test_a_mail_says_what_ended(user: User, settings: LazySettings) -> None:
    settings.SITE_URL = "https://cifar.example"
    confirm_address(user)
    row = end_a_run(user)
    deliver(row.pk)
    [message] = mail.outbox
    job = row.notification.transition.job_pk
    assert message.to == ["ada@example.org"]
    assert message.subject == f"[cifarsite] Run {job}: Failed"
    assert "The loss became infinite or undefined." in str(message.body)
    assert f"https://cifar.example/training/{job}/" in str(message.body)
    row.refresh_from_db()
    assert (row.attempts, row.due_at, row.fault, row.delivered_at is None) == (1, None, "", False)


def test_a_mail_speaks_its_owners_language(user: User) -> None:
    confirm_address(user)
    user.language = "fr"
    user.save()
    deliver(end_a_run(user).pk)
    assert mail.outbox[0].subject.endswith("Échoué")
    assert "Bonjour" in str(mail.outbox[0].body)


def test_a_message_that_comes_twice_sends_once(user: User) -> None:
    confirm_address(user)
    row = end_a_run(user)
    deliver(row.pk)
    deliver(row.pk)
    assert len(mail.outbox) == 1


def test_a_mail_server_that_is_down_is_asked_again(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm_address(user)
    row = end_a_run(user)
    monkeypatch.setattr(EmailBackend, "send_messages", _refuse_connection)
    deliver(row.pk)
    row.refresh_from_db()
    assert row.attempts == 1
    assert (row.fault, row.fault_text) == (Fault.MAIL_SERVER, "The mail server did not take it.")
    assert row.due_at is not None
    monkeypatch.undo()
    deliver(row.pk)  # not due yet
    assert mail.outbox == []
    make_due(row)
    deliver(row.pk)
    assert len(mail.outbox) == 1


def _refuse_connection(*_arguments: object) -> int:
    raise ConnectionRefusedError("refused")


def test_after_the_last_attempt_it_is_given_up(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm_address(user)
    row = end_a_run(user)
    monkeypatch.setattr(EmailBackend, "send_messages", _refuse_connection)
    for _attempt in range(len(DELAYS) + 3):
        Delivery.objects.filter(pk=row.pk, due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))
        deliver(row.pk)
    row.refresh_from_db()
    assert (row.attempts, row.due_at, row.delivered_at) == (len(DELAYS) + 1, None, None)


def test_without_an_address_nothing_is_tried_again(user: User) -> None:
    user.wants_mail = True
    user.save()
    row = end_a_run(user)
    deliver(row.pk)
    row.refresh_from_db()
    assert (row.due_at, row.delivered_at, mail.outbox) == (None, None, [])


# --- Webhooks --------------------------------------------------------------------------------------------------------
def test_a_webhook_is_posted_and_signed(user: User, receiver: Receiver) -> None:
    secret = set_webhook(user=user, url=receiver.url)
    row = end_a_run(user)
    deliver(row.pk)
    [(headers, body)] = receiver.taken
    moment, mark = (part.partition("=")[2] for part in headers["Cifarsite-Signature"].split(","))
    assert mark == hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Cifarsite-Delivery"] == str(row.pk)
    job = row.notification.transition.job_pk
    told = json.loads(body)
    assert told["job"] == {"kind": "trainingrun", "id": job, "name": f"Run {job}"}
    assert (told["status"], told["reason"], told["id"]) == ("failed", "diverged", row.notification_id)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_other_than_2xx_is_asked_again(user: User, receiver: Receiver, status: int) -> None:
    set_webhook(user=user, url=receiver.url)
    row = end_a_run(user)
    receiver.status = status
    deliver(row.pk)
    row.refresh_from_db()
    assert (row.attempts, row.fault, row.status_code, len(receiver.taken)) == (1, Fault.ANSWER, status, 1)
    assert row.fault_text == f"The address answered with the status {status}."
    assert row.attempted_at is not None
    assert row.due_at is not None
    receiver.status = 204
    make_due(row)
    deliver(row.pk)
    row = Delivery.objects.get(pk=row.pk)
    assert (row.due_at, row.fault, row.status_code) == (None, "", 204)
    assert row.delivered_at is not None
    assert {headers["Cifarsite-Delivery"] for headers, _body in receiver.taken} == {str(row.pk)}


def test_an_address_that_does_not_answer_is_a_fault(
    user: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOKS_PRIVATE = True
    set_webhook(user=user, url="http://127.0.0.1:9/")
    row = end_a_run(user)
    deliver(row.pk)
    row.refresh_from_db()
    assert row.fault == Fault.UNREACHABLE


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://10.1.2.3/",
        "http://169.254.169.254/latest/",
        "http://localhost:8000/",
        "http://db.internal/",
        "https://user:password@example.org/",
        "ftp://example.org/",
        "https://example.org:99999/",
        "https://exämple.org/",
        "http://[fe80::1/",
        "http://[fec0::1]/",
        "http://[::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::a9fe:a9fe]/",
    ],
)
def test_private_and_strange_addresses_are_refused(url: str, settings: LazySettings) -> None:
    settings.WEBHOOKS_PRIVATE = False
    with pytest.raises(AddressRefusedError):
        check_address(url)


@pytest.mark.parametrize(
    "url", ["https://example.org:8443/hook", "http://[2606:4700:4700::1111]/", "http://[64:ff9b::808:808]/"]
)
def test_public_addresses_are_taken(url: str, settings: LazySettings) -> None:
    settings.WEBHOOKS_PRIVATE = False
    check_address(url)


def test_a_name_that_leads_into_a_private_network_is_not_posted_to(
    user: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOKS_PRIVATE = False
    set_webhook(user=user, url="https://hook.example/")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_host, **_options: found)
    row = end_a_run(user)
    deliver(row.pk)
    row.refresh_from_db()
    assert row.fault == Fault.PRIVATE


def test_an_attempt_that_takes_too_long_says_so(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    set_webhook(user=user, url="https://hook.example/")
    monkeypatch.setattr(deliveries, "post_notice", _run_out_of_time)
    row = end_a_run(user)
    deliver(row.pk)
    row.refresh_from_db()
    assert (row.fault, row.attempts, row.fault_text) == (Fault.TOO_SLOW, 1, "There was no answer in time.")
    assert row.due_at is not None


def _run_out_of_time(*_arguments: object, **_options: object) -> int:
    raise SoftTimeLimitExceeded


def test_an_attempt_that_is_killed_reads_as_unfinished(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    set_webhook(user=user, url="https://hook.example/")
    monkeypatch.setattr(deliveries, "post_notice", _be_killed)
    row = end_a_run(user)
    with pytest.raises(SystemExit):
        deliver(row.pk)
    row.refresh_from_db()
    assert (row.fault, row.attempts) == (Fault.UNFINISHED, 1)


def _be_killed(*_arguments: object, **_options: object) -> int:
    raise SystemExit


def test_the_task_ends_whatever_a_receiver_does() -> None:
    assert (tasks.deliver.soft_time_limit, tasks.deliver.time_limit) == (15, 20)
    assert current_app.amqp.router.route({}, tasks.deliver.name)["queue"].name == "deliveries"


def test_a_removed_webhook_gets_nothing_more(user: User, receiver: Receiver) -> None:
    set_webhook(user=user, url=receiver.url)
    row = end_a_run(user)
    Webhook.objects.all().delete()
    deliver(row.pk)
    row.refresh_from_db()
    assert (receiver.taken, row.due_at, row.fault) == ([], None, Fault.NOWHERE)


def test_a_signature_is_exact() -> None:
    expected = hmac.new(b"secret", b"12.{}", hashlib.sha256).hexdigest()
    assert sign(b"{}", secret="secret", at=12) == f"t=12,v1={expected}"


# --- Ringing ---------------------------------------------------------------------------------------------------------
def test_what_is_due_is_rung_for_once_in_a_minute(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(deliveries, "ring", lambda task, pk: rung.append((task, pk)))
    confirm_address(user)
    row = end_a_run(user)
    later = end_a_run(user)
    Delivery.objects.filter(pk=later.pk).update(due_at=timezone.now() + timedelta(hours=1))
    ring_for_due()
    ring_for_due()
    assert rung == [("accounts.deliver", row.pk)]
