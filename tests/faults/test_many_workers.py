"""Three machines share one queue of two hundred short runs while their workers are killed at random."""

from __future__ import annotations

import random
import time

import pytest
from django.conf import settings

from tests.effects import audit_effects
from tests.factories import DatasetFactory
from tests.installation import Installation, Program
from training.choices import TERMINAL_STATUSES, JobStatus
from training.models import ModelVersion, TrainingRun
from training.services import request_run
from training.sweeper import sweep

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(settings.EMBEDDED, reason="several machines need Postgres and Redis"),
]

SEED = 4
MACHINES = ("north", "south", "west")
RUNS = 200
KILLS = 10
PATIENCE_SECONDS = 240.0  # it takes a quarter of that on an idle machine


def test_all_runs_end_once_although_workers_are_killed(installation: Installation) -> None:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated, not to be secret
    dataset = DatasetFactory.create()
    runs = [
        request_run(
            owner=None,
            dataset=dataset,
            recipe="fast",
            overrides={"epochs": 1 + number % 3, "seed": 100 * number},  # each has a package of its own
        ).pk
        for number in range(RUNS)
    ]
    quick = {"STUB_SECONDS": "0.05"}

    def start(name: str) -> Program:
        return installation.start_worker(name, environment=quick)

    workers: dict[str, Program] = {name: start(name) for name in MACHINES}
    kills = sorted(chance.sample(range(5, RUNS - 20), KILLS))  # at so many ended runs
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (ended := TrainingRun.objects.filter(status__in=TERMINAL_STATUSES).count()) < RUNS:
        assert time.monotonic() < deadline, f"{ended} ended; {workers[MACHINES[0]].read_log()}"
        while kills and ended >= kills[0]:
            kills.pop(0)
            name = chance.choice(MACHINES)
            workers[name].kill()
            workers[name] = start(name)
        sweep()
        time.sleep(0.2)
    effects = audit_effects(runs=runs, is_expected=lambda _job: False)
    assert (effects.lost, effects.duplicated, effects.illegal) == ([], [], [])
    assert effects.ends == {JobStatus.SUCCEEDED: RUNS}
    assert ModelVersion.objects.count() == RUNS
    lost = TrainingRun.objects.filter(fence__gt=1).count()
    assert lost > 0  # the kills did hit something
