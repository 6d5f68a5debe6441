"""The queues and the history of jobs in the admin panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.admin.base import ReadOnlyAdmin, asker
from training.choices import QueueName
from training.exceptions import ServiceError
from training.models import JobQueue, Transition
from training.services import pause_queue, unpause_queue


@admin.register(JobQueue)
class JobQueueAdmin(ReadOnlyAdmin[JobQueue]):
    """The queues; operators pause them and let them go on."""

    list_display = ["__str__", "paused_at", "paused_by"]
    list_select_related = ["paused_by"]
    list_filter = [("paused_at", admin.EmptyFieldListFilter)]
    actions = ["pause_selected", "unpause_selected"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show every queue, those too in which nothing has happened yet."""
        JobQueue.objects.bulk_create([JobQueue(name=name) for name in QueueName], ignore_conflicts=True)
        return super().changelist_view(request, extra_context)

    @admin.action(description=gettext_lazy("Pause selected"), permissions=["manage"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[JobQueue]) -> None:
        """Let the chosen queues start no job."""
        self._act_on_each(request, queryset, pause_queue, done=_("The queue “%(queue)s” is paused."))

    @admin.action(description=gettext_lazy("Let selected go on"), permissions=["manage"])
    def unpause_selected(self, request: HttpRequest, queryset: QuerySet[JobQueue]) -> None:
        """Let the chosen queues start jobs again."""
        self._act_on_each(request, queryset, unpause_queue, done=_("The queue “%(queue)s” goes on."))

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Operators manage the queues."""
        return request.user.has_perm("training.manage_trainingrun")

    def _act_on_each(
        self, request: HttpRequest, queues: QuerySet[JobQueue], act: Callable[..., None], *, done: str
    ) -> None:
        for queue in queues:
            try:
                act(name=QueueName(queue.name), by=asker(request))
            except ServiceError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                self.message_user(request, done % {"queue": queue}, messages.SUCCESS)


@admin.register(Transition)
class TransitionAdmin(ReadOnlyAdmin[Transition]):
    """What changed the state of which job, when and why."""

    list_display = ["at", "job_kind", "job_pk", "from_status", "to_status", "cause", "by", "worker", "fence", "reason"]
    list_select_related = ["by"]
    list_filter = ["job_kind", "cause", "to_status", "reason"]
    search_fields = ["=job_pk"]
    date_hierarchy = "at"
    show_full_result_count = False  # it only grows
