"""The page of the workers, its changing part, the API and the command."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from pytest_django import DjangoAssertNumQueries

from tests.api_fixtures import make_token, make_user, problem_of
from tests.factories import TrainingRunFactory, UserFactory
from tests.training.people import Person, text_of
from training.choices import JobStatus
from training.models import Canary, TrainingRun, Worker
from training.services import watching

pytestmark = pytest.mark.django_db
GIB = 2**30


@pytest.fixture(autouse=True)
def _broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "count_messages", lambda _queue: 3)


@pytest.fixture
def run() -> TrainingRun:
    """A run that a worker with a GPU carries out; another worker is silent, and a canary came through a minute ago."""
    now = timezone.now()
    Worker.objects.create(
        name="training@gpu-1",
        host="gpu-1",
        queues=["training"],
        gpu_name="NVIDIA H200",
        gpus=[{"name": "NVIDIA H200", "used_bytes": 70 * GIB, "total_bytes": 140 * GIB}],
        memory_used_bytes=5 * GIB,
        memory_total_bytes=8 * GIB,
        started_at=now,
        last_seen_at=now,
    )
    Worker.objects.create(
        name="default@old", queues=["default", "inference"], started_at=now, last_seen_at=now - timedelta(minutes=10)
    )
    moments = {"sent_at": now - timedelta(seconds=60.25), "ran_at": now - timedelta(seconds=60)}
    Canary.objects.create(queue="default", **moments)
    run: TrainingRun = TrainingRunFactory.create(
        status=JobStatus.RUNNING, worker="training@gpu-1:7", progress_done=1, progress_total=4
    )
    return run


def test_the_page_tells_all(run: TrainingRun) -> None:
    response = Person("operator").get("/workers/")
    text = text_of(response)
    assert "training@gpu-1" in text
    assert "NVIDIA H200" in text
    assert "5.0\xa0GB of 8.0\xa0GB" in text or "5.0 GB of 8.0 GB" in text
    assert f"Run {run.pk} 25%" in text
    assert f'href="/training/{run.pk}/"' in response.content.decode()
    assert "silent for 10 min" in text
    assert response.content.decode().count("chip-bad") == 1
    assert "on its way for 0.25 s" in text
    assert "none yet" in text


def test_the_part_that_is_polled_is_the_same_without_the_frame(run: TrainingRun) -> None:
    response = Person("operator").get("/workers/live/")
    html = response.content.decode()
    assert html.lstrip().startswith('<div id="workers-live"')
    assert 'hx-get="/workers/live/"' in html
    assert "training@gpu-1" in html
    assert "no-cache" in response.headers["Cache-Control"]


def test_without_workers_the_page_says_what_to_do() -> None:
    assert "No worker is running" in text_of(Person("operator").get("/workers/"))


def test_staff_without_a_group_see_it_too() -> None:
    assert Person(is_staff=True).get("/workers/").status_code == 200


def test_a_broker_that_is_away_leaves_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_queue: str) -> int:
        raise BrokerError

    monkeypatch.setattr(watching, "count_messages", fail)
    response = Person("operator").get("/workers/")
    assert (response.status_code, {queue.messages for queue in response.context["queues"]}) == (200, {None})


def test_more_workers_cost_no_more_queries(run: TrainingRun, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    person = Person("operator")
    person.get("/workers/live/")
    now = timezone.now()
    for number in range(3):
        with django_assert_num_queries(15):
            person.get("/workers/live/")
        Worker.objects.create(name=f"w{number}", started_at=now, last_seen_at=now)
        TrainingRunFactory.create(status=JobStatus.RUNNING, worker=f"w{number}:1")


def test_the_api_and_the_command_tell_the_same(run: TrainingRun) -> None:
    user = UserFactory.create(groups=["operator"])
    response = Client().get("/api/v1/workers", headers={"authorization": f"Token {make_token(user)}"})
    assert response.status_code == 200
    body = response.json()
    silent, busy = body["workers"]
    assert (silent["name"], silent["is_stale"], silent["device"], silent["jobs"]) == ("default@old", True, "CPU", [])
    assert (busy["device"], busy["is_stale"], busy["host"]) == ("NVIDIA H200", False, "gpu-1")
    assert busy["gpus"] == [{"name": "NVIDIA H200", "used_bytes": 70 * GIB, "total_bytes": 140 * GIB}]
    assert (busy["memory_used_bytes"], busy["memory_total_bytes"]) == (5 * GIB, 8 * GIB)
    assert busy["jobs"] == [{"kind": "trainingrun", "id": run.pk, "name": f"Run {run.pk}", "percent": 25}]
    assert [queue["name"] for queue in body["queues"]] == ["training", "inference", "default", "deliveries"]
    assert body["queues"][0] == {
        "name": "training",
        "waiting": 0,
        "oldest_seconds": None,
        "messages": 3,
        "is_paused": False,
        "canary": None,
    }
    assert body["queues"][2]["canary"]["round_trip_seconds"] == 0.25
    output = StringIO()
    call_command("workers", "--json", stdout=output)
    told = json.loads(output.getvalue())
    assert [worker["name"] for worker in told["workers"]] == ["default@old", "training@gpu-1"]
    assert told.keys() == body.keys()


def test_the_api_is_for_staff_and_operators() -> None:
    problem_of(Client().get("/api/v1/workers"), 401)
    token = make_token(make_user())
    problem_of(Client().get("/api/v1/workers", headers={"authorization": f"Token {token}"}), 403)
    token = make_token(UserFactory.create(is_staff=True))
    assert Client().get("/api/v1/workers", headers={"authorization": f"Token {token}"}).status_code == 200


def test_the_command_speaks_to_people(run: TrainingRun) -> None:
    output = StringIO()
    call_command("workers", stdout=output)
    silent, busy, training, inference, default, _deliveries = output.getvalue().splitlines()
    assert silent.startswith("default@old  SILENT for 60")
    assert silent.endswith("CPU  default,inference  idle")
    assert busy.endswith(
        f"ago  NVIDIA H200  training  memory 5.0 GB of 8.0 GB  GPU 70.0 GB of 140.0 GB  Run {run.pk} 25 %"
    )
    assert training == "queue training: 0 jobs wait; 3 messages"
    assert inference == "queue inference: 0 jobs wait; 3 messages; no canary yet"
    assert default.startswith("queue default: 0 jobs wait; 3 messages; canary 6")


def test_the_command_says_when_nobody_works() -> None:
    output = StringIO()
    call_command("workers", stdout=output)
    assert output.getvalue().startswith("No worker is running.\n")
