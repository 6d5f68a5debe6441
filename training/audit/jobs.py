"""Jobs of every kind: leases and histories."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

from django.db.models import Min
from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.job_kinds import job_models
from training.jobs import Job
from training.transitions import Transition


def check_leases() -> Iterator[Finding]:
    """A running job has a worker that is heard of."""
    for model in job_models():
        for job in model.objects.expired():
            yield Finding(
                kind="expired_lease",
                subject=str(job),
                sentence=_("It is running, and its worker was not heard of since its lease ended."),
                repair=partial(_reap, model, job.pk),
            )


def check_histories() -> Iterator[Finding]:
    """A job's history has no gaps and ends with the state that the job is in.

    Jobs that were asked for before histories were kept may have none, or one without its beginning.
    """
    first = Transition.objects.aggregate(at=Min("at"))["at"]
    for model in job_models():
        histories: dict[int, list[tuple[str, str]]] = {}
        rows = Transition.objects.filter(job_kind=model.kind()).order_by("pk")
        for pk, source, target in rows.values_list("job_pk", "from_status", "to_status").iterator():
            histories.setdefault(pk, []).append((source, target))
        for job in model.objects.only("pk", "status", "requested_at").iterator():
            sentence = _judge(
                histories.get(job.pk, []), job, is_expected=first is not None and job.requested_at > first
            )
            if sentence:
                yield Finding(kind="wrong_history", subject=f"{model.kind()} {job.pk}", sentence=sentence)


def _judge(history: list[tuple[str, str]], job: Job, *, is_expected: bool) -> str:
    """Say what is wrong with a job's history; "" for nothing."""
    if not history:
        return _("No change of its state was noted.") if is_expected else ""
    if any(before[1] != after[0] for before, after in pairwise(history)):
        return _("Its noted changes of state do not follow from each other.")
    if history[-1][1] != job.status:
        noted, status = history[-1][1], job.status
        return _("Its state is %(status)s, and the last one noted is %(noted)s.") % {"status": status, "noted": noted}
    return ""


def _reap(model: type[Job], pk: int) -> str:
    if model.reap(pk):
        return _("It was taken back from its worker.")
    return _("It was taken back meanwhile.")
