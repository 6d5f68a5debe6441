"""The queues in which jobs wait, and whether they are paused."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from training.choices import QueueName


class JobQueue(models.Model):
    """One queue. A paused one takes in jobs and starts none; what runs goes on."""

    name = models.CharField(_("name"), max_length=16, choices=QueueName.choices, primary_key=True)
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    paused_by = models.ForeignKey(  # empty as well when the command line paused it
        settings.AUTH_USER_MODEL,
        verbose_name=_("paused by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ["name"]

    def __str__(self) -> str:
        return str(self.get_name_display())

    @classmethod
    def hold(cls, name: str) -> Self:
        """Return a queue, locked until the end of the transaction: claims of one queue happen one after the other.

        Without that two claims at once could each find room below a limit that has room for one.
        """
        cls.objects.bulk_create([cls(name=name)], ignore_conflicts=True)
        return cls.objects.select_for_update().get(name=name)
