"""The site's figures for Prometheus, read from the database and the broker at each scrape.

Every web process gives the same answer, and a restart loses nothing (docs/decisions/0014). Families whose rows are
never removed are counters; the others can fall and are gauges, but for the epochs' count and sum, which fall together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, F, OuterRef, Subquery, Sum
from django.db.models.functions import Now
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from classifier.models import BatchJob, Prediction
from training.choices import Cause, JobStatus
from training.job_kinds import job_models
from training.models import EpochMetric, Transition
from training.services.watching import report_queues, report_workers, span


class SiteCollector(Collector):
    """Yields every family. The number of queries depends on the kinds of jobs, not on the number of rows."""

    def collect(self) -> Iterator[Metric]:
        """Read everything anew."""
        yield _jobs()
        yield from _running_jobs()
        yield from _transitions()
        yield from _epochs()
        yield _workers()
        yield from _queues()
        yield GaugeMetricFamily("cifarsite_predictions", "Predictions kept.", value=Prediction.objects.count())
        yield _batch_pictures()


def _gauge(name: str, text: str, labels: Iterable[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cifarsite_{name}", text, labels=list(labels))


def _jobs() -> Metric:
    family = _gauge("jobs", "Jobs by kind and state.", ["kind", "state"])
    for model in job_models():
        counts = dict(model.objects.order_by().values_list("status").annotate(jobs=Count("pk")))
        for status in JobStatus.values:
            family.add_metric([model.kind(), status], counts.get(status, 0))
    return family


def _running_jobs() -> Iterator[Metric]:
    labels = ["kind", "job"]
    attempts = _gauge("running_job_attempts", "Claims of a running job since its last checkpoint.", labels)
    lag = _gauge("job_heartbeat_lag_seconds", "Time since a running job's worker renewed its lease.", labels)
    for model in job_models():
        running = model.objects.filter(status=JobStatus.RUNNING).order_by("pk")
        left = span(F("lease_until") - Now())  # the lease was renewed when it had all of its time left
        for job in running.annotate(lease_left=left).values("pk", "attempts", "lease_left"):
            values = [model.kind(), str(job["pk"])]
            attempts.add_metric(values, job["attempts"])
            lag.add_metric(values, max(0.0, settings.LEASE_SECONDS - job["lease_left"].total_seconds()))
    yield attempts
    yield lag


def _transitions() -> Iterator[Metric]:
    changes = CounterMetricFamily(
        "cifarsite_job_transitions", "Changes of jobs' states by kind and cause.", labels=["kind", "cause"]
    )
    claims = CounterMetricFamily("cifarsite_job_attempts", "Times that a worker took a job.", labels=["kind"])
    takeovers = CounterMetricFamily(
        "cifarsite_lease_takeovers", "Jobs taken back from a worker that was not heard of any more.", labels=["kind"]
    )
    rows = Transition.objects.order_by().values_list("job_kind", "cause").annotate(changes=Count("pk"))
    counts = {(kind, cause): count for kind, cause, count in rows}
    for kind in (model.kind() for model in job_models()):
        for cause in Cause.values:
            changes.add_metric([kind, cause], counts.get((kind, cause), 0))
        claims.add_metric([kind], counts.get((kind, Cause.CLAIMED), 0))
        takeovers.add_metric([kind], counts.get((kind, Cause.LEASE_EXPIRED), 0))
    yield changes
    yield claims
    yield takeovers


def _epochs() -> Iterator[Metric]:
    total = EpochMetric.objects.aggregate(count=Count("pk"), seconds=Sum("seconds", default=0.0))
    yield SummaryMetricFamily(
        "cifarsite_epoch_seconds", "Time that epochs took.", count_value=total["count"], sum_value=total["seconds"]
    )
    last = _gauge("last_epoch_seconds", "Time that the last epoch of a running run took.", ["run"])
    for row in _last_epochs():
        last.add_metric([str(row["run_id"])], row["seconds"])
    yield last


def _last_epochs() -> Iterable[Any]:
    newest = EpochMetric.objects.filter(run=OuterRef("run")).order_by("-phase", "-epoch").values("pk")[:1]
    last = EpochMetric.objects.filter(run__status=JobStatus.RUNNING, pk=Subquery(newest))
    return last.order_by("run").values("run_id", "seconds")


def _batch_pictures() -> Metric:
    family = _gauge("batch_pictures", "Pictures of the batches that are kept, by what became of them.", ["outcome"])
    kept = BatchJob.objects.aggregate(done=Sum("progress_done", default=0), refused=Sum("error_count", default=0))
    family.add_metric(["answered"], kept["done"] - kept["refused"])
    family.add_metric(["refused"], kept["refused"])
    return family


def _workers() -> Metric:
    family = _gauge("worker_heartbeat_lag_seconds", "Time since a worker was last heard of.", ["worker"])
    for worker in report_workers():
        family.add_metric([worker.name], worker.heartbeat_age_seconds)
    return family


def _queues() -> Iterator[Metric]:
    queues = report_queues()
    waiting = _gauge("queue_jobs", "Jobs that wait in a queue.", ["queue"])
    oldest = _gauge("queue_oldest_seconds", "How long the longest of them has waited; 0 when none waits.", ["queue"])
    messages = _gauge("broker_messages", "Messages that wait in the broker.", ["queue"])
    age = _gauge("canary_age_seconds", "Time since a canary came through a queue.", ["queue"])
    trip = _gauge("canary_round_trip_seconds", "Time that this canary took.", ["queue"])
    for queue in queues:
        labels = [queue.name]
        waiting.add_metric(labels, queue.waiting)
        oldest.add_metric(labels, queue.oldest_seconds or 0.0)
        if queue.messages is not None:
            messages.add_metric(labels, queue.messages)
        if queue.canary and queue.canary.age_seconds is not None and queue.canary.round_trip_seconds is not None:
            age.add_metric(labels, queue.canary.age_seconds)
            trip.add_metric(labels, queue.canary.round_trip_seconds)
    answers = all(queue.messages is not None for queue in queues)
    yield from (waiting, oldest, messages, age, trip)
    yield GaugeMetricFamily("cifarsite_broker_up", "Whether the broker answers.", value=int(answers))
