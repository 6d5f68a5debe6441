"""What the site tells a person by itself: that a job of theirs has ended, on a page, by e-mail, to a web address."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cifarsite.accounts.querysets import NotificationQuerySet


class Notification(models.Model):
    """The end of one job, for its owner. Written in the transaction that ends the job, and once for each end."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="notifications",
        db_index=False,  # the index below starts with it
    )
    transition = models.OneToOneField("training.Transition", on_delete=models.CASCADE, related_name="notification")
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["owner", "-id"], name="notification_of_owner")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Channel(models.TextChoices):
    """By which way a notification goes out, besides the page."""

    MAIL = "mail", _("E-mail")
    WEBHOOK = "webhook", _("Webhook")


class Delivery(models.Model):
    """One notification on its way through one channel; the constraint lets there be no second.

    *Due* while `due_at` is set: whoever raises `attempts` from the number that they read, and moves `due_at` to the
    next attempt, carries this one out. *Settled* when it is null: delivered, or given up, with `fault` saying why.
    """

    notification = models.ForeignKey(
        Notification,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,  # the constraint below starts with it
    )
    channel = models.CharField(_("channel"), max_length=16, choices=Channel.choices)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    fault = models.CharField(_("what the last attempt met"), max_length=200, blank=True, default="")  # English

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="delivery_due")]
        constraints = [models.UniqueConstraint(fields=["notification", "channel"], name="delivery_once")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Webhook(models.Model):
    """Where a person's notifications are posted; the secret signs them."""

    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook")
    url = models.URLField(_("address"), max_length=500)
    secret = models.CharField(_("secret"), max_length=64)
    created_at = models.DateTimeField(_("set"), auto_now_add=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")

    def __str__(self) -> str:
        return f"#{self.pk}"
