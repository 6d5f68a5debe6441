"""A process whose clock is wrong: every way in which Python asks for the time of day answers shifted.

The operating system and the database keep the right time, as they do when one machine of several is off.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any


def shift(seconds: float) -> None:
    """Shift this process's clock; to be called before anything that takes `datetime` or `time` apart is imported."""
    real, real_time, offset = dt.datetime, time.time, dt.timedelta(seconds=seconds)

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

    class Shifted(dt.datetime, metaclass=AnyDatetime):
        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            return real.__new__(real, *arguments, **options)  # of the class that C code knows

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return real.now(tz) + offset

        @classmethod
        def utcnow(cls) -> Any:
            return real.now(dt.UTC).replace(tzinfo=None) + offset

    dt.datetime = Shifted  # type: ignore[misc]
    time.time = lambda: real_time() + seconds
