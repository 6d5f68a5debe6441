"""`manage.py workers`: the workers, what they do, and how long the queues are."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat

from training.api.serializers import WatchSerializer
from training.services.watching import CanaryReport, QueueReport, WorkerReport, report_site


class Command(BaseCommand):
    """Shows workers and queues."""

    help = "Show the workers, what they do, and how long the queues are."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object, as /api/v1/workers does")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Print them."""
        report = report_site()
        if options["json"]:
            self.stdout.write(json.dumps(WatchSerializer(report).data))
            return
        for worker in report["workers"]:
            self.stdout.write(_describe_worker(worker))
        if not report["workers"]:
            self.stdout.write("No worker is running.")
        for queue in report["queues"]:
            self.stdout.write(_describe_queue(queue))


def _describe_worker(worker: WorkerReport) -> str:
    heard = f"{'SILENT for' if worker.is_stale else 'heard of'} {worker.heartbeat_age_seconds:.0f} s"
    parts = [worker.name, heard if worker.is_stale else f"{heard} ago", worker.device, ",".join(worker.queues)]
    if worker.memory_total_bytes is not None:
        parts.append(f"memory {_share(worker.memory_used_bytes, worker.memory_total_bytes)}")
    parts += [
        f"GPU {_share(gpu['used_bytes'], gpu['total_bytes'])}" for gpu in worker.gpus if gpu["total_bytes"] is not None
    ]
    parts.append(", ".join(f"{job.name} {job.percent} %" for job in worker.jobs) or "idle")
    return "  ".join(parts)


def _share(used: int | None, total: int) -> str:
    return f"{filesizeformat(used or 0)} of {filesizeformat(total)}".replace("\xa0", " ")


def _describe_queue(queue: QueueReport) -> str:
    oldest = "" if queue.oldest_seconds is None else f", the longest for {queue.oldest_seconds:.0f} s"
    messages = "the broker does not answer" if queue.messages is None else f"{queue.messages} messages"
    paused = "  paused" if queue.is_paused else ""
    return f"queue {queue.name}: {queue.waiting} jobs wait{oldest}; {messages}{_describe_canary(queue.canary)}{paused}"


def _describe_canary(canary: CanaryReport | None) -> str:
    if canary is None:
        return ""
    if canary.age_seconds is None:
        return "; no canary yet"
    return f"; canary {canary.age_seconds:.0f} s ago, took {canary.round_trip_seconds:.2f} s"
