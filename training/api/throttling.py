"""How often an account may ask: the rates of the settings, which every process counts together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from django.conf import settings
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from training.rates import describe_rate, take_turn

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it loads the classes that the settings name, this one among them

API: Final = "api"
"""The rate of whatever has none of its own."""


class RateExceeded(APIException):
    """Too many requests within a minute.

    Attributes:
        wait: Whole seconds after which one will pass.
    """

    status_code = 429
    default_code = "throttled"
    location = "account"

    def __init__(self, wait_seconds: float, *, limit: int) -> None:
        self.wait = max(1, math.ceil(wait_seconds))
        super().__init__(describe_rate(self.wait, limit=limit))


class RateThrottle(BaseThrottle):
    """Counts each request of an account against one rate: the view's `rate`, by method if need be, else that of all."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Let it pass.

        Raises:
            RateExceeded: the account asked too often.
        """
        if not request.user.is_authenticated:
            return True
        rate = getattr(view, "rate", API)
        if isinstance(rate, Mapping):
            rate = rate.get(request.method, API)
        limit = settings.RATES[rate]
        wait = take_turn(rate, by=request.user.pk, limit=limit)
        if wait > 0:
            raise RateExceeded(wait, limit=limit)
        return True
