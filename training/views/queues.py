"""Pausing the training queue, and letting it go on."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.generic import View

from training.choices import QueueName
from training.exceptions import ServiceError
from training.services import pause_queue, unpause_queue
from training.views.access import PageAccessMixin


class _QueueView(PageAccessMixin, View):
    """What both views share."""

    permission_required = "training.manage_trainingrun"
    http_method_names = ["post"]

    def change(self, act: Callable[..., None], *, done: str) -> HttpResponseBase:
        """Let `act` change the queue and show the list, with the sentence `done` or why nothing was."""
        try:
            act(name=QueueName.TRAINING, by=self.viewer)
        except ServiceError as error:
            messages.error(self.request, str(error))
        else:
            messages.success(self.request, done)
        return redirect("runs")


class QueuePauseView(_QueueView):
    """Let the queue take in runs and start none."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Pause it."""
        return self.change(pause_queue, done=_("The training queue is paused: what runs goes on, nothing else starts."))


class QueueUnpauseView(_QueueView):
    """Let the queue start runs again."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Let it go on."""
        return self.change(unpause_queue, done=_("The training queue goes on; the next run starts within seconds."))
