"""What the site tells a person by itself: that a job of theirs has ended, on a page, by e-mail, to a web address."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cifarsite.accounts.querysets import NotificationQuerySet

DELAYS: Final = (60, 240, 960, 3_840, 15_360, 61_440)
"""Seconds from one attempt to the next, after which a delivery is given up: seven attempts within a day."""

MOST_ATTEMPTS: Final = len(DELAYS) + 1


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


class Fault(models.TextChoices):
    """Why an attempt did not bring a delivery home."""

    ANSWER = "answer", _("The address did not answer with success")
    UNREACHABLE = "unreachable", _("The address could not be reached")
    TOO_SLOW = "too_slow", _("There was no answer in time")
    NO_HOST = "no_host", _("The host’s name could not be looked up")
    PRIVATE = "private", _("The host is in a private network, to which this site does not post")
    MAIL_SERVER = "mail_server", _("The mail server did not take it")
    UNFINISHED = "unfinished", _("The attempt was not finished")
    NOWHERE = "nowhere", _("There was no address for it any more")


class Delivery(models.Model):
    """One notification on its way through one channel; the constraint lets there be no second.

    *Due* while `due_at` is set: whoever raises `attempts` from the number that they read, and moves `due_at` to the
    next attempt, carries this one out. *Settled* when it is null: delivered, or given up, with `fault` saying why.
    An attempt that is under way, or that was killed, reads as `Fault.UNFINISHED`.
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
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    fault = models.CharField(
        _("what the last attempt met"), max_length=16, choices=Fault.choices, blank=True, default=""
    )
    status_code = models.PositiveSmallIntegerField(_("HTTP status of the last answer"), null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="delivery_due")]
        constraints = [models.UniqueConstraint(fields=["notification", "channel"], name="delivery_once")]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def fault_text(self) -> str:
        """What the last attempt met, as a sentence; "" for nothing."""
        if self.fault == Fault.ANSWER and self.status_code is not None:
            return gettext("The address answered with the status %(status)d.") % {"status": self.status_code}
        return f"{Fault(self.fault).label}." if self.fault else ""


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
