"""How the web server is started, by `up` and, as `python -m cifarsite.web`, in a container."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from django.conf import settings

WORKERS: Final = 2
"""Processes; each holds the model, about 190 MiB. One per core of the smallest machine we serve on."""

AT_ONCE: Final = 4
"""Pictures that a process works on at once: one computes, others wait for the database, the disk or a slow upload."""

_SPARE_THREADS: Final = 4
"""For pages, and for the refusals of pictures, when `AT_ONCE` are worked on and `QUEUE_MAX` wait."""

_OPTIONS: Final = {
    "--interface": "wsgi",
    "--http": "1",  # what proxies and programs speak to us
    "--workers": str(WORKERS),
    "--blocking-threads-idle-timeout": "600",  # seconds, the most it takes; a thread keeps its database connection
    "--workers-kill-timeout": "5",  # seconds, for a request that does not end when the server is told to
}
_JSON_LOGGING: Final = Path(__file__).with_name("granian_logging.json")
_SWITCHES: Final = ("--no-ws", "--respawn-failed-workers")


def granian_command(host: str, port: int) -> list[str]:
    """Return the command line of the web server (WSGI) on `host`:`port`."""
    # They exist when they are needed. In Python a request can wait or be refused; in the server's queue only wait.
    threads = AT_ONCE + settings.QUEUE_MAX + _SPARE_THREADS
    options = {**_OPTIONS, "--blocking-threads": str(threads), "--host": host, "--port": str(port)}
    if settings.LOG_FORMAT == "json":
        options["--log-config"] = str(_JSON_LOGGING)
    arguments = [part for pair in options.items() for part in pair]
    return [sys.executable, "-m", "granian", *arguments, *_SWITCHES, "cifarsite.wsgi:application"]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
    command = granian_command(os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or "8000"))
    os.execv(command[0], command)  # noqa: S606  # nosec B606  # no shell is wanted
