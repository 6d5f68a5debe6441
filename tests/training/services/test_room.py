"""Whether somebody is there to do the work."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from training.choices import QueueName
from training.models import Worker
from training.services import (
    has_worker,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class TestHasTrainingWorker:
    @pytest.mark.parametrize(
        ("queues", "seconds_ago", "answer"),
        [
            (["training"], 5, True),
            (["default", "training"], 5, True),
            (["default"], 5, False),
            (["training"], 40, False),
        ],
    )
    def test_a_worker_counts_while_heard_of(self, *, queues: list[str], seconds_ago: int, answer: bool) -> None:
        now = timezone.now()
        seen = now - timedelta(seconds=seconds_ago)
        Worker.objects.create(name="training@here", queues=queues, started_at=now, last_seen_at=seen)
        assert has_worker(QueueName.TRAINING) is answer

    def test_without_any_worker(self) -> None:
        assert has_worker(QueueName.TRAINING) is False
