"""What a page says beside what it was asked for."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from training.jobs import Job


def warn_when_unheard(request: HttpRequest, job: Job) -> None:
    """Say on the next page that no worker could be woken for a job that was just queued."""
    if job.bell is not None and job.bell.was_heard is False:
        sentence = _("The message broker does not answer. %(job)s is kept, and starts by itself as soon as it does.")
        messages.warning(request, sentence % {"job": job})
