"""The page of a job that is watched by its progress alone, and its live part: imports and evaluations have one."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import DetailView

from training.choices import JobStatus
from training.engine_texts import translate_progress
from training.jobs import Job
from training.pace import elapsed_seconds, seconds_left
from training.services import find_pause, may_steer
from training.views.access import PageAccessMixin
from training.views.progress import is_waiting_in_vain, poll_seconds, state_key
from training.views.queries import history_of

JobT = TypeVar("JobT", bound=Job)


class JobPage(PageAccessMixin, DetailView[JobT]):
    """One job.

    Attributes:
        part: What the ids of the page begin with.
        live_view: Name of the address of its live part.
    """

    context_object_name = "job"
    part: ClassVar[str]
    live_view: ClassVar[str]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add everything that changes while the job is at work."""
        job = self.object
        return super().get_context_data(
            part=self.part,
            live_path=reverse(self.live_view, args=[job.pk]),
            poll=poll_seconds(job),
            state_key=state_key(job),
            progress_text=translate_progress(job.progress_message),
            elapsed=elapsed_seconds(job),
            left=seconds_left(job),
            history=history_of(job),
            no_worker=is_waiting_in_vain(job),
            pause=find_pause(job.queue) if job.status == JobStatus.QUEUED else None,
            may_cancel=not job.is_terminal and not job.cancel_requested and may_steer(job, self.viewer),
            **kwargs,
        )


@method_decorator(never_cache, name="dispatch")
class JobLivePage(JobPage[JobT]):
    """The part of a job's page that is fetched again and again until the job has ended."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add whether the parts outside the panel have to change."""
        context = super().get_context_data(**kwargs)
        context["is_update"] = True
        context["state_changed"] = self.request.GET.get("state") != context["state_key"]
        context["history_changed"] = self.request.GET.get("history") != str(context["history"].newest)
        return context
