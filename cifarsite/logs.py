"""How every process of the site writes its log: one line per record, plain for people or JSON for programs.

All records of the standard library's loggers go through structlog, which adds what is bound to the current work: the
request (`cifarsite.request_logs`) or the job (`training.job_log`). Imports no Django: the settings use it, and so does
the web server's first process (`granian_logging.json`), which loads nothing else of the site.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FORMATS: Final = ("plain", "json")

current_user_id: Final[ContextVar[Callable[[], int | None]]] = ContextVar("current_user_id", default=lambda: None)
"""Tells who asks for what is done now. A function, because a request learns that on its way."""

_FIRST: Final = ("timestamp", "level", "logger", "event")
# At INFO they write several lines for each of the messages that are sent every few seconds (jobs log for themselves),
# and one for each of MLflow's migrations.
_TALKATIVE: Final = ("alembic", "celery.app.trace", "celery.beat", "celery.worker.strategy")
# Django gives these handlers of their own.
_OTHERS_HANDLERS: Final = ("django", "django.server")
# What follows these is as good as a password: links to shared answers, to a new password, to a confirmed address.
_SECRET_PATHS: Final = re.compile(r"(/shared/|/accounts/password/reset/key/|/accounts/confirm-email/)[^/\s?\"']+")


def make_formatter(log_format: str) -> logging.Formatter:
    """Return the formatter of one of `FORMATS`, for records of structlog and of the standard library alike."""
    is_json = log_format == "json"
    return structlog.stdlib.ProcessorFormatter(
        # Of what callers attach to a record (`extra`) only this: the rest are objects, such as whole requests.
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow={"status_code"}), *_shared_processors()],
        processors=[
            structlog.processors.TimeStamper(fmt="iso" if is_json else "%Y-%m-%d %H:%M:%S", utc=is_json),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *(_json_renderers() if is_json else _plain_renderers()),
        ],
    )


def logging_config(*, log_format: str, level: str) -> dict[str, Any]:
    """Return Django's `LOGGING`, and have structlog's own loggers write through the standard library's.

    Args:
        log_format: one of `FORMATS`.
        level: name of the least important level that is written.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    quiet = {} if level == "DEBUG" else {name: {"level": "WARNING"} for name in _TALKATIVE}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"site": {"()": make_formatter, "log_format": log_format}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "site"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {**{name: {"handlers": [], "propagate": True} for name in _OTHERS_HANDLERS}, **quiet},
    }


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_user_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
    ]


def _json_renderers() -> list[Processor]:
    # Tracebacks as text, without the values of variables: these may be secrets.
    return [structlog.processors.format_exc_info, _mask_secrets, _put_first, structlog.processors.JSONRenderer()]


def _plain_renderers() -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=False,
        pad_event_to=0,
        pad_level=False,
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_mask_secrets, renderer]


def _add_user_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    user_id = current_user_id.get()()
    if user_id is not None:
        event.setdefault("user_id", user_id)
    return event


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out of addresses what opens a page to whoever reads it, in every text of a record."""
    return {name: _mask(value) if isinstance(value, str) else value for name, value in event.items()}


def _mask(text: str) -> str:
    return _SECRET_PATHS.sub(r"\1***", text)


def _put_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Order the keys so that a person who reads the JSON sees what happened without searching."""
    return {name: event.pop(name) for name in _FIRST} | dict(sorted(event.items()))
