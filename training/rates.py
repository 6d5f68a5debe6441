"""How often somebody may do something: counted in Valkey or Redis, where all processes of all machines see it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import Final, cast

from django.conf import settings
from django.utils.translation import ngettext
from redis import Redis, RedisError

WINDOW_SECONDS: Final = 60
_MICROSECONDS: Final = 1_000_000
_TIMEOUT_SECONDS: Final = 0.5
_REST_SECONDS: Final = 5.0
"""After the cache has failed to answer, it is left alone for so long: no request waits for it again and again."""

# The list holds the moments of the last `limit` requests that passed, the oldest first: one more may pass once the
# oldest has left the window. Whatever second one begins to count at, no more than `limit` pass within a window; a
# counter that begins anew every minute would let twice as many pass around its edge. The server's clock counts, and the
# server runs one script at a time, so that neither clocks nor simultaneous requests can add one.
_SCRIPT: Final = """
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local oldest = redis.call('LINDEX', KEYS[1], -ARGV[1])
if oldest then
  local free_us = oldest + ARGV[2]
  if free_us > now_us then return free_us - now_us end
end
redis.call('RPUSH', KEYS[1], string.format('%.0f', now_us))
redis.call('LTRIM', KEYS[1], -ARGV[1], -1)
redis.call('PEXPIRE', KEYS[1], ARGV[2] / 1000)
return 0
"""

logger = logging.getLogger(__name__)


@dataclass
class _Cache:
    """What this process knows about the cache: when it may be asked again."""

    asks_again_at: float = 0.0


_cache: Final = _Cache()


def take_turn(name: str, *, by: object, limit: int) -> float:
    """Count one more of what is called `name`, unless there were `limit` of it within the last minute.

    While the cache does not answer, everything passes and the log says so: a limit keeps excess away, not strangers,
    and without it the site is as good as with the default settings, which have none.

    Args:
        name: What is counted.
        by: Who does it, a user's number for example.
        limit: How many may pass in a minute; 0: no limit, and nothing is counted.

    Returns:
        0.0 if it may pass, else the seconds after which one may.
    """
    if not limit or time.monotonic() < _cache.asks_again_at:
        return 0.0
    key = f"{settings.CACHES['default']['KEY_PREFIX']}:rate:{name}:{by}"
    try:
        wait_us = _client(settings.CACHES["default"]["LOCATION"]).eval(
            _SCRIPT, 1, key, str(limit), str(WINDOW_SECONDS * _MICROSECONDS)
        )
    except RedisError as error:
        _cache.asks_again_at = time.monotonic() + _REST_SECONDS
        logger.warning("The cache does not answer, so that no rate is limited for %d s: %s", _REST_SECONDS, error)
        return 0.0
    return cast("int", wait_us) / _MICROSECONDS


def describe_rate(wait_seconds: int, *, limit: int) -> str:
    """Return the sentence about a rate that is exceeded."""
    allowed = ngettext(
        "This may be asked %(limit)d time in a minute.", "This may be asked %(limit)d times in a minute.", limit
    )
    again = ngettext("Try again in %(wait)d second.", "Try again in %(wait)d seconds.", wait_seconds)
    return f"{allowed % {'limit': limit}} {again % {'wait': wait_seconds}}"


@cache
def _client(location: str) -> Redis:
    # Django's own client waits for ever for a server that has stopped.
    return Redis.from_url(location, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS)
