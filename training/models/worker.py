"""The workers that reported themselves."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Worker(models.Model):
    """A Celery worker: where it runs, on what device, with how much memory, and when it was last heard of.

    What it works on is not here: the jobs' rows tell, and `training.workers.name_process` is how they name it.
    """

    name = models.CharField(_("name"), max_length=255, unique=True)
    host = models.CharField(_("host"), max_length=255, blank=True, default="")
    queues = models.JSONField(_("queues"), default=list)
    concurrency = models.PositiveSmallIntegerField(_("tasks at a time"), default=1)
    devices = models.PositiveSmallIntegerField(_("runs at a time on its machine"), default=1)
    gpu_name = models.CharField(_("GPU"), max_length=255, blank=True, default="")  # the first one's
    gpus = models.JSONField(_("GPUs"), default=list, blank=True)  # [{"name", "used_bytes", "total_bytes"}, …]
    memory_used_bytes = models.PositiveBigIntegerField(_("memory used"), null=True, blank=True)
    memory_total_bytes = models.PositiveBigIntegerField(_("memory"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"))
    last_seen_at = models.DateTimeField(_("last heartbeat"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
