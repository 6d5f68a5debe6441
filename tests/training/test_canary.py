"""Canaries: rows that beat writes and workers complete."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import beat, current_app
from celery.beat import Service
from django.conf import settings
from django.utils import timezone

from training.canary import complete_canary, release_canary
from training.models import Canary
from training.tasks import canary

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _keep_the_tests_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.canary.close_old_connections", lambda: None)


def test_beat_sends_one_through_each_queue_every_minute() -> None:
    schedule = {name: entry for name, entry in settings.CELERY_BEAT_SCHEDULE.items() if name.startswith("canary-")}
    assert list(schedule) == ["canary-default", "canary-inference"]
    for name, entry in schedule.items():
        queue = name.removeprefix("canary-")
        assert (entry["task"], entry["schedule"], entry["options"]) == (
            "training.canary",
            timedelta(minutes=1),
            {"queue": queue},
        )
        [number] = vars(beat)["_evaluate_entry_args"](entry["args"])
        assert Canary.objects.get(pk=number).queue == queue


def test_beats_file_can_keep_the_schedule(tmp_path: object) -> None:
    scheduler = Service(app=current_app, schedule_filename=f"{tmp_path}/schedule").get_scheduler()
    assert "canary-inference" in scheduler.schedule
    scheduler.close()


def test_a_canary_that_arrives_is_dated_by_the_database() -> None:
    number = release_canary("default")
    assert Canary.objects.get().ran_at is None
    canary(number)
    row = Canary.objects.get()
    assert row.ran_at is not None
    assert timedelta(0) <= row.ran_at - row.sent_at < timedelta(minutes=1)


def test_a_second_delivery_changes_nothing() -> None:
    number = release_canary("default")
    earlier = timezone.now() - timedelta(hours=1)
    Canary.objects.update(ran_at=earlier)
    complete_canary(number)
    assert Canary.objects.get().ran_at == earlier


def test_older_canaries_of_the_queue_are_forgotten() -> None:
    first, other, second = release_canary("default"), release_canary("inference"), release_canary("default")
    complete_canary(first)
    complete_canary(second)
    complete_canary(first)  # delivered again, and unknown by now
    assert list(Canary.objects.values_list("pk", flat=True)) == [other, second]


def test_canaries_that_nobody_took_for_a_day_are_forgotten() -> None:
    lost, ran, other = release_canary("default"), release_canary("default"), release_canary("inference")
    Canary.objects.update(sent_at=timezone.now() - timedelta(days=2))
    Canary.objects.filter(pk=ran).update(ran_at=timezone.now() - timedelta(days=2))
    new = release_canary("default")
    assert list(Canary.objects.values_list("pk", flat=True)) == [ran, other, new]
    assert lost not in (ran, other, new)
