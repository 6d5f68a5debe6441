"""The page on which the staff watch workers, queues and canaries."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from training.services.watching import may_watch, report_queues, report_workers
from training.views.access import PageAccessMixin

_POLL_SECONDS = 5  # heartbeats come every 10 s


class WorkersView(PageAccessMixin, TemplateView):
    """Workers, what they do, and how long the queues are."""

    template_name = "training/workers.html"

    def has_permission(self) -> bool:
        """Whether the viewer may look: staff and operators."""
        return may_watch(self.viewer)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add how everything is at this moment."""
        return super().get_context_data(
            workers=report_workers(),
            queues=report_queues(),
            poll=_POLL_SECONDS,
            **kwargs,
        )


@method_decorator(never_cache, name="dispatch")
class WorkersLiveView(WorkersView):
    """The page's changing part alone."""

    template_name = "training/_workers_live.html"
