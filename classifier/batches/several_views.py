"""Pages that ask before several of one's batches end or go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from django.contrib.auth.mixins import LoginRequiredMixin
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache

from classifier.batches.several import MOST_BATCHES, cancel_batches, delete_batches
from classifier.models import BatchJob
from training.views.several import SeveralView, tell_outcome

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


class _SeveralBatchesView(LoginRequiredMixin, SeveralView):
    """What both questions share."""

    named = "batch"
    list_view = "batches"
    is_about_ended: bool

    @property
    def owner(self) -> User:
        """The person who asks."""
        return cast("User", self.request.user)

    def find(self, numbers: Sequence[int]) -> list[BatchJob]:
        """Return one's own batches that have ended, or have not."""
        chosen = BatchJob.objects.owned_by(self.owner).filter(pk__in=numbers[:MOST_BATCHES]).defer("log_tail")
        return [job for job in chosen if job.is_terminal is self.is_about_ended]


@method_decorator(never_cache, name="dispatch")
class BatchesCancelView(_SeveralBatchesView):
    """Ask whether the chosen batches shall end, and end them when the answer is posted."""

    template_name = "classifier/batches_cancel.html"
    is_about_ended = False

    def act(self, numbers: Sequence[int]) -> None:
        """Cancel them."""
        outcome = cancel_batches(owner=self.owner, numbers=numbers)
        count = len(outcome.cancelled)
        sentence = ngettext(
            "%(count)d batch is being cancelled; its answers stay.",
            "%(count)d batches are being cancelled; their answers stay.",
            count,
        )
        tell_outcome(
            self.request,
            done=sentence % {"count": count} if count else "",
            left_alone=[
                (outcome.ended, _("Ended already: %(numbers)s.")),
                (outcome.missing, _("Not there: %(numbers)s.")),
            ],
        )


@method_decorator(never_cache, name="dispatch")
class BatchesDeleteView(_SeveralBatchesView):
    """Ask whether the chosen batches shall go, and delete them when the answer is posted."""

    template_name = "classifier/batches_delete.html"
    is_about_ended = True

    def act(self, numbers: Sequence[int]) -> None:
        """Delete them."""
        outcome = delete_batches(owner=self.owner, numbers=numbers)
        count = len(outcome.deleted)
        sentence = ngettext(
            "%(count)d batch and its answers are deleted.",
            "%(count)d batches and their answers are deleted.",
            count,
        )
        tell_outcome(
            self.request,
            done=sentence % {"count": count} if count else "",
            left_alone=[
                (outcome.active, _("Not ended yet, and left alone: %(numbers)s.")),
                (outcome.missing, _("Not there: %(numbers)s.")),
            ],
        )
