"""The workers that reported themselves."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Worker(models.Model):
    """A Celery worker: where it runs, on what device, and when it was last heard of."""

    name = models.CharField(_("name"), max_length=255, unique=True)
    queues = models.JSONField(_("queues"), default=list)
    gpu_name = models.CharField(_("GPU"), max_length=255, blank=True, default="")
    started_at = models.DateTimeField(_("started"))
    last_seen_at = models.DateTimeField(_("last heartbeat"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
