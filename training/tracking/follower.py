"""What tells MLflow of a run while it trains: a thread, so that a run never waits for an MLflow that is slow or away.

It has no memory of its own: it is woken, and tells what the database says and MLflow does not know yet. What it could
not tell is still in the database when it ends, for the tasks that repair.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.utils import InterfaceError, OperationalError

from training.tracking.store import MlflowUnavailableError

CLOSE_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class Follower:
    """Repeats one call in the background, whenever there is news and while MLflow does not answer.

    Args:
        tell: The call; safe to repeat, and to leave at any point.
        name: Of whom, for the log.
    """

    def __init__(self, tell: Callable[[], None], *, name: str) -> None:
        self._tell = tell
        self._name = name
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""

    def wake(self) -> None:
        """Have what is new told, in the background; nothing happens where nothing is tracked."""
        if not settings.MLFLOW_TRACKING_URI:
            return
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name=f"mlflow {self._name}", daemon=True)
            self._thread.start()

    def close(self, *, seconds: float = CLOSE_SECONDS) -> None:
        """Have the rest told: once if MLflow does not answer, within `seconds` if it does.

        A thread that needs longer goes on by itself for as long as the process lives.
        """
        if self._thread is None:
            return
        self._closing.set()
        self._news.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            logger.warning("MLflow is slow; the rest of %s is told it later.", self._name)

    def _follow(self) -> None:
        """Tell what there is, until the end. Runs in the thread."""
        is_last = False
        while not is_last:
            self._news.wait()
            self._news.clear()  # before the look at the other flag, or what is set between them would be missed
            is_last = self._closing.is_set()
            if not self._succeeds():
                self._closing.wait(_RETRY_SECONDS)
                self._news.set()

    def _succeeds(self) -> bool:
        """Tell, and say in the log what is in the way, once for each trouble."""
        try:
            close_old_connections()
            self._tell()
        except (MlflowUnavailableError, OperationalError, InterfaceError) as error:
            if str(error) != self._trouble:
                logger.warning("%s goes on, and is told MLflow later: %s", self._name, error)
            self._trouble = str(error)
            return False
        finally:
            connection.close()  # this thread's own
        self._trouble = ""
        return True
