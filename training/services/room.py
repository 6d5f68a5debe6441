"""What a new job needs before it is queued: room on the disk, and somebody who will do it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Final

from django.db.models import ExpressionWrapper, Value, fields
from django.db.models.functions import Now
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from training.choices import QueueName
from training.exceptions import ServiceError
from training.models import Worker
from training.storage import free_bytes

MEBIBYTE: Final = 1024 * 1024
# A run needs at most two checkpoints of some 50 MB, a package and its copy; CIFAR-10 as a dataset takes 184 MB, twice
# while it is written. Below this the site itself is about to fail.
LEAST_FREE_BYTES: Final = 512 * MEBIBYTE
WORKER_SEEN_WITHIN: Final = timedelta(seconds=30)


def has_worker(queue: QueueName) -> bool:
    """Whether a worker that serves a queue was heard of lately."""
    return count_workers(queue) > 0


def count_training_lanes() -> int:
    """Return how many runs are carried out at the same time by the workers that were heard of lately.

    On each machine as many as they have processes for, and no more than it has devices.
    """
    processes: Counter[str] = Counter()
    devices: dict[str, int] = {}
    for worker in _list_workers(QueueName.TRAINING):
        processes[worker.host] += worker.concurrency
        devices[worker.host] = worker.devices
    return sum(min(processes[host], devices[host]) for host in devices)


def count_workers(queue: QueueName) -> int:
    """Return how many workers that serve a queue were heard of lately."""
    return len(_list_workers(queue))


def _list_workers(queue: QueueName) -> list[Worker]:
    since = ExpressionWrapper(Now() - Value(WORKER_SEEN_WITHIN), output_field=fields.DateTimeField())
    return [worker for worker in Worker.objects.filter(last_seen_at__gte=since) if queue in worker.queues]


def require_free_bytes(wanted: int) -> None:
    """Make sure that the disk of the artifacts has room for `wanted` bytes.

    Raises:
        ServiceError: it has not, or cannot be used.
    """
    try:
        free = free_bytes()
    except OSError as error:
        raise ServiceError(_("The folder for results cannot be used: %(why)s.") % {"why": error.strerror}) from error
    if free < wanted:
        sizes = {"free": filesizeformat(free), "wanted": filesizeformat(wanted)}
        raise ServiceError(_("The disk is almost full: %(free)s are free, %(wanted)s are needed.") % sizes)
