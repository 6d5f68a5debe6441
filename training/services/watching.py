"""How the workers, the queues and the canaries are: what the Workers page, the API, the command and /metrics tell.

Moments are compared with the database's clock, so that a web server whose own is wrong tells the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, OuterRef, Subquery
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now
from kombu.exceptions import OperationalError

from training.choices import JobStatus, QueueName
from training.doorbell import count_messages
from training.job_kinds import job_models
from training.jobs import Job
from training.models import Canary, JobQueue, Transition, Worker
from training.schedule import CANARY_QUEUES, CANARY_SECONDS

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

STALE_SECONDS: Final = 30.0
"""A worker reports itself every 10 s; one that has missed three reports is in trouble, or gone."""

QUEUES: Final = (*QueueName.values, "default", "deliveries")
"""Celery's queues: those in which jobs wait, the one for everything short, and the one for what goes out to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentJob:
    """A job that somebody works on: its kind as the history calls it, its number, and its name."""

    kind: str
    id: int
    name: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker as its last heartbeat and the jobs' rows tell. Memory is in bytes, None where nobody told."""

    name: str
    host: str
    device: str  # the GPUs' names, or CPU
    queues: list[str]
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    gpus: list[dict[str, Any]]  # name, used_bytes, total_bytes
    started_at: datetime
    last_seen_at: datetime
    heartbeat_age_seconds: float
    is_stale: bool
    jobs: list[CurrentJob]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryReport:
    """The newest canary that came through a queue; both spans are None when none has yet."""

    age_seconds: float | None = None
    round_trip_seconds: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether three in a row have not come."""
        return self.age_seconds is not None and self.age_seconds > 3 * CANARY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """One of Celery's queues: jobs that wait in the database, and messages that wait in the broker.

    `oldest_seconds` is None when nothing waits, `messages` when the broker does not answer, `canary` for a queue
    through which none is sent.
    """

    name: str
    waiting: int
    oldest_seconds: float | None
    messages: int | None
    is_paused: bool
    canary: CanaryReport | None


def may_watch(user: User) -> bool:
    """Whether `user` may see workers, queues and figures of the site: staff, and operators."""
    return user.is_staff or user.has_perm("training.view_worker")


def report_workers() -> list[WorkerReport]:
    """Return the workers that were heard of within the last day, those that grew silent included."""
    jobs = _current_jobs()
    rows = Worker.objects.annotate(age=age_of("last_seen_at"))
    return [_report_worker(row, age_seconds=seconds(row.age), jobs=jobs.get(row.name, [])) for row in rows]


def report_site() -> dict[str, list[Any]]:
    """Return the workers and the queues together, as the API and the command show them."""
    return {"workers": report_workers(), "queues": report_queues()}


def report_queues() -> list[QueueReport]:
    """Return how long the queues are."""
    waiting: dict[str, int] = defaultdict(int)
    oldest: dict[str, float] = {}
    for model in job_models():
        found = _queued(model)
        waiting[model.queue] += found["waiting"]
        if found["oldest"] is not None:
            oldest[model.queue] = max(oldest.get(model.queue, 0.0), seconds(found["oldest"]))
    paused = set(JobQueue.objects.filter(paused_at__isnull=False).values_list("name", flat=True))
    messages = _count_messages()
    canaries = report_canaries()
    return [
        QueueReport(
            name=name,
            waiting=waiting[name],
            oldest_seconds=oldest.get(name),
            messages=messages[name] if messages is not None else None,
            is_paused=name in paused,
            canary=canaries.get(name),
        )
        for name in QUEUES
    ]


def report_canaries() -> dict[str, CanaryReport]:
    """Return how long ago a canary last came through each queue, and how long that one took."""
    arrived = Canary.objects.filter(ran_at__isnull=False).order_by("ran_at")
    spans = arrived.annotate(age=age_of("ran_at"), trip=span(F("ran_at") - F("sent_at")))
    newest = {
        canary.queue: CanaryReport(age_seconds=seconds(canary.age), round_trip_seconds=seconds(canary.trip))
        for canary in spans
    }
    return {queue: newest.get(queue, CanaryReport()) for queue in CANARY_QUEUES}


def age_of(field: str) -> ExpressionWrapper[Any]:
    """Return how long ago a moment in the database was, by the database's clock."""
    return span(Now() - F(field))


def seconds(span: timedelta) -> float:
    """Return a span that cannot be negative in seconds, to the millisecond."""
    return max(0.0, round(span.total_seconds(), 3))


def span(expression: Combinable) -> ExpressionWrapper[Any]:
    """Return the difference of two moments as the database shall compute it."""
    return ExpressionWrapper(expression, output_field=DurationField())


def _queued(model: type[Job]) -> Mapping[str, Any]:
    """Return how many jobs of a kind wait, and for how long the longest has since it was last put into the queue."""
    entered = Transition.objects.filter(job_kind=model.kind(), job_pk=OuterRef("pk"), to_status=JobStatus.QUEUED)
    since = Coalesce(Subquery(entered.order_by("-pk").values("at")[:1]), "requested_at")  # older than the history
    queued = model.objects.filter(status=JobStatus.QUEUED).annotate(since=since)
    found: Mapping[str, Any] = queued.aggregate(waiting=Count("pk"), oldest=span(Now() - Min("since")))
    return found


def _count_messages() -> dict[str, int] | None:
    try:
        return {queue: count_messages(queue) for queue in QUEUES}
    except OperationalError:
        return None


def _current_jobs() -> Mapping[str, list[CurrentJob]]:
    """Return what runs, by the name of the worker. A job's row names the process that carries it out: worker:pid."""
    found: dict[str, list[CurrentJob]] = defaultdict(list)
    for model in job_models():
        for job in model.objects.filter(status=JobStatus.RUNNING).defer("log_tail").order_by("pk"):
            name, _colon, _pid = job.worker.rpartition(":")
            current = CurrentJob(kind=model.kind(), id=job.pk, name=str(job), percent=job.progress_percent)
            found[name].append(current)
    return found


def _report_worker(row: Worker, *, age_seconds: float, jobs: list[CurrentJob]) -> WorkerReport:
    return WorkerReport(
        name=row.name,
        host=row.host,
        device=", ".join(gpu["name"] for gpu in row.gpus) or row.gpu_name or "CPU",
        queues=row.queues,
        memory_used_bytes=row.memory_used_bytes,
        memory_total_bytes=row.memory_total_bytes,
        gpus=row.gpus,
        started_at=row.started_at,
        last_seen_at=row.last_seen_at,
        heartbeat_age_seconds=age_seconds,
        is_stale=age_seconds > STALE_SECONDS,
        jobs=jobs,
    )
