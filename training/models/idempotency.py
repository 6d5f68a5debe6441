"""Requests that must not be carried out twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, Self

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import ExpressionWrapper, Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

LEASE: Final = timedelta(seconds=60)
"""How long a request may take; after that its process is taken for dead, and the key may be claimed anew."""

_ATTEMPTS: Final = 3


class KeyInFlightError(Exception):
    """The request of that key is being carried out at this moment."""


class KeyReusedError(Exception):
    """The key belongs to another request."""


class IdempotencyKey(models.Model):
    """A request under the name that its sender gave it, and the answer.

    *In flight* (`status` is null): whoever knows the `fence` carries it out, until `lease_until`. From there it is
    *answered*, in the transaction of what the request creates, or gone, when the request was refused. A key in flight
    whose lease is over, and any key that is older than CIFARSITE_IDEMPOTENCY_HOURS, may be claimed as a new one.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(_("key"), max_length=255)
    request_sha256 = models.CharField(_("request's hash"), max_length=64)
    fence = models.PositiveIntegerField(_("claims"), default=1)
    created_at = models.DateTimeField(_("claimed"), db_default=Now())
    lease_until = models.DateTimeField(_("lease until"))
    status = models.PositiveSmallIntegerField(_("status of the answer"), null=True, blank=True)
    headers = models.JSONField(_("headers of the answer"), default=dict, blank=True)
    body = models.TextField(_("answer"), blank=True, default="")

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_oldest")]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @classmethod
    def claim(cls, *, owner_id: int, key: str, request_sha256: str) -> Self:
        """Return the key's row: answered already, or in flight and the caller's to carry out.

        Args:
            owner_id: Whose key it is; everybody has keys of their own.
            key: The name.
            request_sha256: What identifies the request.

        Raises:
            KeyInFlightError: somebody carries the same request out.
            KeyReusedError: the key was given to another request.
        """
        for _attempt in range(_ATTEMPTS):
            try:
                with transaction.atomic():
                    return cls.objects.create(
                        owner_id=owner_id, key=key, request_sha256=request_sha256, lease_until=_from_now(LEASE)
                    )
            except IntegrityError:
                found = cls.objects.filter(owner_id=owner_id, key=key).first()
            if found is not None and (found._take_over(request_sha256) or found._is_same(request_sha256)):
                return found
        raise KeyInFlightError  # it is claimed and refused again and again

    def keep(self, *, status: int, headers: dict[str, str], body: str) -> bool:
        """Note the answer; False when the key has been taken over, and what was done must be undone."""
        return bool(self._mine().filter(status=None).update(status=status, headers=headers, body=body))

    def amend(self, *, body: str) -> None:
        """Note what became known only after the commit."""
        self._mine().exclude(status=None).update(body=body)

    def release(self) -> None:
        """Forget a request that was refused: the key is as new."""
        self._mine().filter(status=None).delete()

    @classmethod
    def remove_old(cls) -> int:
        """Delete the keys that are not kept any longer; returns how many."""
        return cls.objects.filter(_is_old()).delete()[0]

    def _mine(self) -> models.QuerySet[IdempotencyKey]:
        return IdempotencyKey.objects.filter(pk=self.pk, fence=self.fence)

    def _take_over(self, request_sha256: str) -> bool:
        """Claim it anew if it is too old, or if nobody carries it out any more."""
        fresh: dict[str, Any] = {"status": None, "headers": {}, "body": "", "created_at": Now()}
        deserted = Q(status=None, lease_until__lt=Now())
        taken = (
            self._mine()
            .filter(deserted | _is_old())
            .update(fence=self.fence + 1, request_sha256=request_sha256, lease_until=_from_now(LEASE), **fresh)
        )
        if taken:
            self.fence, self.status = self.fence + 1, None
        return bool(taken)

    def _is_same(self, request_sha256: str) -> bool:
        """Whether it is the answered key of this very request.

        Raises:
            KeyInFlightError: it is that request's, but not answered yet.
            KeyReusedError: it is another request's.
        """
        if self.request_sha256 != request_sha256:
            raise KeyReusedError
        if self.status is None:
            raise KeyInFlightError
        return True


def _from_now(span: timedelta) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(Now() + Value(span), output_field=models.DateTimeField())


def _is_old() -> Q:
    return Q(created_at__lt=_from_now(-timedelta(hours=settings.IDEMPOTENCY_HOURS)))
