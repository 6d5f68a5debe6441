"""What a web process does with more pictures than it can answer soon: it refuses them, before it has read a byte.

A queue without an end makes everybody wait for answers that nobody wants any more. Here the queue is short, so that
those who are let in are answered almost as fast as ever, and the others hear at once when to come back.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import cache
from threading import Lock
from time import monotonic
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from cifarsite.problems import Fault, problem
from cifarsite.web import AT_ONCE
from classifier.api.language import accepted_language

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1
"""When a refused program may ask again: a full queue is worked off in a tenth of that."""

_QUIET_SECONDS: Final = 10.0


class Queue:
    """Lets `at_once` requests work and `waiting` more wait, in the order in which they came.

    Args:
        at_once: how many work at the same time.
        waiting: how many may wait.
    """

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._lock = Lock()
        self._free = at_once
        self._most = waiting
        self._turns: deque[Lock] = deque()

    def enter(self) -> bool:
        """Return True when it is this thread's turn, False at once when too many wait. After True comes `leave`."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if len(self._turns) >= self._most:
                return False
            turn = Lock()
            turn.acquire()
            self._turns.append(turn)
        turn.acquire()  # released by the one who leaves
        return True

    def leave(self) -> None:
        """Give the place to the first who waits."""
        with self._lock:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._free += 1


class OverloadMiddleware:
    """Answers 503 to a program's pictures when the process has enough of them. Stands before all that costs something.

    Args:
        get_response: the rest of the site.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._queue = Queue(at_once=AT_ONCE, waiting=settings.QUEUE_MAX)
        self._quiet_until = 0.0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or refuse to."""
        if request.method != "POST" or request.path not in _addresses():
            return self._get_response(request)
        if not self._queue.enter():
            return self._refuse(request)
        try:
            return self._get_response(request)
        finally:
            self._queue.leave()

    def _refuse(self, request: HttpRequest) -> HttpResponse:
        if monotonic() > self._quiet_until:
            self._quiet_until = monotonic() + _QUIET_SECONDS
            logger.warning("More pictures come than can be answered; some are refused (CIFARSITE_QUEUE_MAX).")
        with translation.override(accepted_language(request)):  # nobody has chosen one yet
            sentence = _("Too many pictures come at the moment. Try again in a second.")
        refusal = problem(
            request, 503, [Fault("server", "overloaded", sentence)], headers={"Retry-After": str(RETRY_SECONDS)}
        )
        refusal.headers["Content-Length"] = str(len(refusal.content))  # Django's middleware for it comes later
        refusal._has_been_logged = True  # type: ignore[attr-defined]  # or Django writes a line for each, when it hurts
        return refusal


@cache
def _addresses() -> frozenset[str]:
    return frozenset(reverse(f"api:{name}") for name in ("predict", "batch_predict", "predict_base64"))
