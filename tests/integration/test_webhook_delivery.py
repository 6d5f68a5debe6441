"""A job's end on its way through a real Celery worker to a web server, and a web server that wastes its time."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from celery import current_app
from django.conf import LazySettings
from django.core.cache import cache

from cifarsite.accounts.deliveries import DEADLINE_SECONDS
from cifarsite.accounts.models import Delivery, Fault, User
from cifarsite.accounts.webhook_settings import set_webhook
from tests.cifarsite.accounts.test_deliveries import Receiver, receiver
from tests.factories import TrainingRunFactory, UserFactory
from tests.fixtures import StartWorker, WorkerProcess
from training.choices import Reason
from training.models import TrainingRun

__all__ = ["receiver"]

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

PATIENCE_SECONDS = 60.0  # for a machine that does much else
PRIVATE = {"CIFARSITE_WEBHOOKS_PRIVATE": "true"}


@pytest.fixture(autouse=True)
def _no_old_messages() -> None:
    cache.clear()
    with current_app.connection_for_read() as connection:
        connection.SimpleQueue("deliveries").clear()


@pytest.fixture
def ada() -> User:
    ada: User = UserFactory.create(username="ada")
    return ada


def end_a_run(owner: User) -> Delivery:
    claimed: TrainingRun | None = TrainingRun.claim(TrainingRunFactory.create(owner=owner).pk, worker="w:1")
    assert claimed is not None
    claimed.fail(reason=Reason.DIVERGED, detail="")
    return Delivery.objects.latest("pk")


def wait_for(what: Callable[[], object], *, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, worker.read_log()
        time.sleep(0.05)


def test_a_worker_posts_what_ended_and_the_signature_is_right(
    ada: User, receiver: Receiver, start_worker: StartWorker
) -> None:
    worker = start_worker(queues="deliveries", environment=PRIVATE)
    secret = set_webhook(user=ada, url=receiver.url)
    row = end_a_run(ada)
    wait_for(Delivery.objects.filter(pk=row.pk, delivered_at__isnull=False).exists, worker=worker)
    row.refresh_from_db()
    assert (row.attempts, row.due_at, row.fault, row.status_code) == (1, None, "", 200)
    [(headers, body)] = receiver.taken
    moment, mark = (part.partition("=")[2] for part in headers["Cifarsite-Signature"].split(","))
    assert abs(time.time() - int(moment)) < PATIENCE_SECONDS
    assert mark == hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Cifarsite-Delivery"] == str(row.pk)
    told = json.loads(body)
    assert (told["status"], told["reason"], told["job"]["kind"]) == ("failed", "diverged", "trainingrun")


@pytest.fixture
def dripper(settings: LazySettings) -> Iterator[str]:
    """The address of a server that answers one byte a second, for ever: no wait for a byte is long."""
    settings.WEBHOOKS_PRIVATE = True
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _address = listener.accept()
        with connection:
            while not stop.wait(1):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    threading.Thread(target=answer, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    stop.set()
    listener.close()


def test_a_receiver_that_drips_is_left_after_the_deadline(ada: User, dripper: str, start_worker: StartWorker) -> None:
    worker = start_worker(queues="deliveries", environment=PRIVATE)
    set_webhook(user=ada, url=dripper)
    start = time.monotonic()
    row = end_a_run(ada)
    wait_for(Delivery.objects.filter(pk=row.pk, fault=Fault.TOO_SLOW).exists, worker=worker)
    assert DEADLINE_SECONDS <= time.monotonic() - start < DEADLINE_SECONDS + 10
    row.refresh_from_db()
    assert (row.attempts, row.status_code, row.due_at is None) == (1, None, False)
    assert worker.stop() == 0
