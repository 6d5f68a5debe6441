"""What beat sends besides the sweep: canaries. Imports no Django: the settings use it."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any, Final

from celery.beat import BeatLazyFunc

CANARY_SECONDS: Final = 60.0
CANARY_TASK: Final = "training.canary"
# Not `training`: one run occupies that queue's worker for hours, and a canary that waits behind it would say nothing.
# Its workers' heartbeats, the runs' leases and the age of the oldest queued job tell how that queue is.
CANARY_QUEUES: Final = ("default", "inference")


def canary_schedule() -> dict[str, dict[str, Any]]:
    """Return beat's entries: a canary for each queue, every `CANARY_SECONDS`.

    They do not expire, because that is judged by the worker's clock. A queue that nobody serves gains a message a
    minute, and its length shows it.
    """
    return {
        f"canary-{queue}": {
            "task": CANARY_TASK,
            "schedule": timedelta(seconds=CANARY_SECONDS),
            "args": [BeatLazyFunc(_release_canary, queue)],
            "options": {"queue": queue},
        }
        for queue in CANARY_QUEUES
    }


def _release_canary(queue: str) -> int:
    # By name: when the settings are read there are no models yet.
    number: int = import_module("training.canary").release_canary(queue)
    return number
