"""/metrics: the figures of known rows, who may read them, and what they cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from pytest_django import DjangoAssertNumQueries, Settings

from classifier.models import Prediction
from tests.factories import (
    BatchJobFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    PredictionFactory,
    TrainingRunFactory,
    UserFactory,
)
from tests.training.people import Person
from training.choices import Cause, JobStatus
from training.models import Canary, TrainingRun, Transition, Worker
from training.services import watching

pytestmark = pytest.mark.django_db

TOKEN = "correct-horse"


@pytest.fixture(autouse=True)
def _figures(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    lengths = {"training": 2, "inference": 0, "default": 7, "deliveries": 1}
    monkeypatch.setattr(watching, "count_messages", lengths.__getitem__)


def read(token: str = f"Bearer {TOKEN}", **headers: str) -> Any:
    return Client().get("/metrics", headers={"authorization": token, **headers})


def lines() -> list[str]:
    response = read()
    assert response.status_code == 200
    return [line for line in response.content.decode().splitlines() if not line.startswith("#")]


def value(name: str) -> float:
    [found] = [line.rpartition(" ")[2] for line in lines() if line.rpartition(" ")[0] == name]
    return float(found)


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_jobs_by_kind_and_state() -> None:
    TrainingRunFactory.create_batch(2)
    TrainingRunFactory.create(status=JobStatus.RUNNING)
    DatasetImportFactory.create(status=JobStatus.FAILED)
    BatchJobFactory.create(status=JobStatus.RUNNING)
    found = [line for line in lines() if line.startswith("cifarsite_jobs{")]
    assert found == [
        'cifarsite_jobs{kind="batchjob",state="queued"} 0.0',
        'cifarsite_jobs{kind="batchjob",state="running"} 1.0',
        'cifarsite_jobs{kind="batchjob",state="succeeded"} 0.0',
        'cifarsite_jobs{kind="batchjob",state="failed"} 0.0',
        'cifarsite_jobs{kind="batchjob",state="cancelled"} 0.0',
        'cifarsite_jobs{kind="datasetimport",state="queued"} 0.0',
        'cifarsite_jobs{kind="datasetimport",state="running"} 0.0',
        'cifarsite_jobs{kind="datasetimport",state="succeeded"} 0.0',
        'cifarsite_jobs{kind="datasetimport",state="failed"} 1.0',
        'cifarsite_jobs{kind="datasetimport",state="cancelled"} 0.0',
        *(
            f'cifarsite_jobs{{kind="evaluation",state="{state}"}} 0.0'
            for state in ("queued", "running", "succeeded", "failed", "cancelled")
        ),
        'cifarsite_jobs{kind="trainingrun",state="queued"} 2.0',
        'cifarsite_jobs{kind="trainingrun",state="running"} 1.0',
        'cifarsite_jobs{kind="trainingrun",state="succeeded"} 0.0',
        'cifarsite_jobs{kind="trainingrun",state="failed"} 0.0',
        'cifarsite_jobs{kind="trainingrun",state="cancelled"} 0.0',
    ]


def test_changes_of_state_attempts_and_takeovers() -> None:
    run = TrainingRun(dataset=TrainingRunFactory.create().dataset, recipe="fast", config={"devices": 1})
    run.submit()
    assert TrainingRun.claim(run.pk, worker="training@here:1")
    TrainingRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(minutes=1))
    assert TrainingRun.objects.reap_expired() == 1
    assert TrainingRun.claim(run.pk, worker="training@there:2")
    found = lines()
    assert 'cifarsite_job_transitions_total{cause="requested",kind="trainingrun"} 1.0' in found
    assert 'cifarsite_job_transitions_total{cause="claimed",kind="trainingrun"} 2.0' in found
    assert 'cifarsite_job_transitions_total{cause="released",kind="trainingrun"} 0.0' in found
    assert 'cifarsite_job_attempts_total{kind="trainingrun"} 2.0' in found
    assert 'cifarsite_job_attempts_total{kind="datasetimport"} 0.0' in found
    assert 'cifarsite_lease_takeovers_total{kind="trainingrun"} 1.0' in found
    assert f'cifarsite_running_job_attempts{{job="{run.pk}",kind="trainingrun"}} 2.0' in found


def test_how_long_a_running_job_was_not_heard_of(settings: Settings) -> None:
    renewed = timezone.now() - timedelta(seconds=20)
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    run = TrainingRunFactory.create(status=JobStatus.RUNNING, lease_until=renewed + lease)
    lag = value(f'cifarsite_job_heartbeat_lag_seconds{{job="{run.pk}",kind="trainingrun"}}')
    assert lag == pytest.approx(20, abs=15)


def test_how_long_a_worker_was_not_heard_of() -> None:
    now = timezone.now()
    Worker.objects.create(name="training@here", started_at=now, last_seen_at=now - timedelta(seconds=100))
    assert value('cifarsite_worker_heartbeat_lag_seconds{worker="training@here"}') == pytest.approx(100, abs=15)


def test_epochs_in_all_and_the_last_one_of_each_running_run() -> None:
    running = TrainingRunFactory.create(status=JobStatus.RUNNING)
    EpochMetricFactory.create(run=running, phase=1, epoch=2, seconds=8.0)
    EpochMetricFactory.create(run=running, phase=2, epoch=1, seconds=2.5)
    EpochMetricFactory.create(run=TrainingRunFactory.create(status=JobStatus.SUCCEEDED), epoch=1, seconds=1.5)
    found = [line for line in lines() if "epoch" in line]
    assert found == [
        "cifarsite_epoch_seconds_count 3.0",
        "cifarsite_epoch_seconds_sum 12.0",
        f'cifarsite_last_epoch_seconds{{run="{running.pk}"}} 2.5',
    ]


def test_queues_in_the_database_and_in_the_broker() -> None:
    run = TrainingRunFactory.create()
    moment = timezone.now() - timedelta(seconds=300)
    Transition.objects.create(
        job_kind="trainingrun", job_pk=run.pk, to_status="queued", cause=Cause.REQUESTED, at=moment
    )
    found = lines()
    assert [line for line in found if line.startswith("cifarsite_queue_jobs")] == [
        'cifarsite_queue_jobs{queue="training"} 1.0',
        'cifarsite_queue_jobs{queue="inference"} 0.0',
        'cifarsite_queue_jobs{queue="default"} 0.0',
        'cifarsite_queue_jobs{queue="deliveries"} 0.0',
    ]
    assert [line for line in found if line.startswith("cifarsite_broker")] == [
        'cifarsite_broker_messages{queue="training"} 2.0',
        'cifarsite_broker_messages{queue="inference"} 0.0',
        'cifarsite_broker_messages{queue="default"} 7.0',
        'cifarsite_broker_messages{queue="deliveries"} 1.0',
        "cifarsite_broker_up 1.0",
    ]
    assert value('cifarsite_queue_oldest_seconds{queue="training"}') == pytest.approx(300, abs=15)
    assert 'cifarsite_queue_oldest_seconds{queue="inference"} 0.0' in found


def test_a_broker_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_queue: str) -> int:
        raise BrokerError

    monkeypatch.setattr(watching, "count_messages", fail)
    assert [line for line in lines() if "broker" in line] == ["cifarsite_broker_up 0.0"]


def test_the_canaries_age() -> None:
    now = timezone.now()
    moments = {"sent_at": now - timedelta(seconds=90.5), "ran_at": now - timedelta(seconds=90)}
    Canary.objects.create(queue="default", **moments)
    Canary.objects.create(queue="inference")
    found = [line for line in lines() if "canary" in line]
    assert [line.rpartition(" ")[0] for line in found] == [
        'cifarsite_canary_age_seconds{queue="default"}',
        'cifarsite_canary_round_trip_seconds{queue="default"}',
    ]
    assert found[1].endswith(" 0.5")
    assert float(found[0].rpartition(" ")[2]) == pytest.approx(90, abs=15)


def test_predictions() -> None:
    PredictionFactory.create_batch(3)
    assert "cifarsite_predictions 3.0" in lines()


def test_more_rows_cost_no_more_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    now = timezone.now()
    for number in range(3):
        with django_assert_num_queries(24):
            read()
        for run in TrainingRunFactory.create_batch(2, status=JobStatus.RUNNING):
            EpochMetricFactory.create(run=run)
        DatasetImportFactory.create_batch(2)
        Worker.objects.create(name=f"w{number}", started_at=now, last_seen_at=now)
        PredictionFactory.create()
    assert Prediction.objects.count() == 3


def test_it_speaks_openmetrics_when_asked() -> None:
    response = read(accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")


# --- Who may read ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("configured", "given", "status"),
    [
        (TOKEN, f"Bearer {TOKEN}", 200),
        (TOKEN, f"bearer {TOKEN}", 200),
        (TOKEN, "", 401),
        (TOKEN, "Bearer", 401),
        (TOKEN, "Bearer wrong", 401),
        (TOKEN, "Bearer é", 401),
        (TOKEN, f"Token {TOKEN}", 401),
        (TOKEN, TOKEN, 401),
        ("", "", 404),
        ("", "Bearer", 404),
        ("", f"Bearer {TOKEN}", 404),
    ],
)
def test_a_program_needs_the_token(settings: Settings, configured: str, given: str, status: int) -> None:
    settings.METRICS_TOKEN = configured
    response = read(given) if given else Client().get("/metrics")
    assert response.status_code == status
    assert ("WWW-Authenticate" in response.headers) is (status == 401)


def test_a_token_in_the_address_is_none() -> None:
    assert Client().get(f"/metrics?token={TOKEN}").status_code == 401


@pytest.mark.parametrize("configured", [TOKEN, ""])
def test_staff_read_it_in_a_browser(settings: Settings, configured: str) -> None:
    settings.METRICS_TOKEN = configured
    staff = Client()
    staff.force_login(UserFactory.create(is_staff=True))
    assert staff.get("/metrics").status_code == 200
    assert staff.post("/metrics").status_code == 405


def test_others_do_not() -> None:
    assert Person("operator").get("/metrics").status_code == 403


def test_a_wrong_token_is_refused_even_to_staff() -> None:
    staff = Person(is_staff=True)
    assert staff.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError

    monkeypatch.setattr("cifarsite.metrics_collector.report_workers", fail)
    response = read()
    assert (response.status_code, response.content) == (503, b"The database does not answer.\n")
