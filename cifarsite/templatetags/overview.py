"""The site at a glance, for the admin panel's first page. Use with `{% load overview %}`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template
from django.template.context import RequestContext
from django.utils import timezone

from training.choices import JobStatus
from training.job_kinds import job_models
from training.services import list_queues
from training.services.watching import may_watch, report_workers

register = template.Library()


@register.inclusion_tag("admin/_overview.html", takes_context=True)
def site_overview(context: RequestContext) -> dict[str, Any]:
    """Show queues, workers, and what failed within a day; a fixed number of queries, none of them to the broker."""
    user = context["user"]
    if not may_watch(user):
        return {}
    since = timezone.now() - timedelta(days=1)
    return {
        "queues": list_queues(),
        "workers": report_workers(),
        "failed": sum(
            model.objects.filter(status=JobStatus.FAILED, finished_at__gte=since).count() for model in job_models()
        ),
    }
