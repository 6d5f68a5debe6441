"""The canaries that were sent through the queues."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Canary(models.Model):
    """A tiny message: when it was sent, and when a worker got it. Of those that arrived, a queue's newest is kept."""

    queue = models.CharField(_("queue"), max_length=16)
    sent_at = models.DateTimeField(_("sent"), db_default=Now())
    ran_at = models.DateTimeField(_("arrived"), null=True, blank=True)

    class Meta:
        verbose_name = _("canary")
        verbose_name_plural = _("canaries")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.queue} {self.pk}"
