"""The whole site with one command: checks, preparation, processes, and the line that says where it answers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.db import connections

from cifarsite.bootstrap import (
    StartError,
    check_folders,
    ensure_champion,
    plan_administrator,
    prepare_database,
)
from cifarsite.log_stream import LogStream, LogStreamHandler
from cifarsite.logs import make_formatter
from cifarsite.supervisor import KeepsEndingError, Program, Supervisor
from cifarsite.valkey import ValkeyStartError, start_valkey
from cifarsite.web import granian_command
from training.devices import count_devices
from training.processes import spawn

_HEALTH_PATH = "/api/v1/health"
_ANSWER_SECONDS = 60.0  # a loaded two-core machine needs about ten
_ASK_AGAIN_SECONDS = 1.0
# The engine has 15 s to write a checkpoint before it is killed; its supervisor then needs a moment to release the run.
_WORKER_GRACE_SECONDS = 30.0
# Small: what these queues do is bound by memory, and one long batch must not keep the sweeper waiting.
_DEFAULT_CONCURRENCY = "2"
_DELIVERIES_AT_ONCE = "2"
_ENVIRONMENT = {
    "CELERY_SKIP_CHECKS": "1",  # they would load every page into every worker
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the site listens."""

    host: str
    port: int

    @classmethod
    def from_environment(cls) -> Address:
        """Read HOST (default 127.0.0.1) and PORT (default 8000).

        Raises:
            StartError: PORT is no port number.
        """
        raw = os.environ.get("PORT") or "8000"
        if not raw.isdecimal() or not 1 <= int(raw) <= 65535:
            message = f"PORT={raw!r} is not valid: give a number from 1 to 65535."
            raise StartError(message)
        return cls(host=os.environ.get("HOST") or "127.0.0.1", port=int(raw))

    @property
    def local(self) -> str:
        """The address under which this machine reaches the site."""
        with contextlib.suppress(ValueError):  # a name
            address = ipaddress.ip_address(self.host)
            if address.is_unspecified:
                return "127.0.0.1" if address.version == 4 else "::1"
        return self.host

    @property
    def url(self) -> str:
        """What a person types into a browser on this machine."""
        return f"http://[{self.local}]:{self.port}" if ":" in self.local else f"http://{self.local}:{self.port}"

    def check(self) -> None:
        """Make sure that the web server will be able to listen there.

        Raises:
            StartError: it will not.
        """
        try:
            family, kind, _protocol, _name, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
                probe.bind(address)
        except OSError as error:
            raise StartError(self._trouble(error)) from error

    def _trouble(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return f"Port {self.port} is in use: stop what listens there, or choose another one with PORT=8001."
        if error.errno == errno.EACCES:
            return f"Port {self.port} is not allowed for this user: choose one above 1023 with PORT=8000."
        return f"HOST={self.host!r} cannot be listened on: {error.strerror}."


def run_site(address: Address, output: TextIO) -> None:
    """Prepare and run every process of the site until somebody asks for the end.

    Args:
        address: where the web server listens.
        output: receives every process's lines, the address and, once, the administrator's password.

    Raises:
        StartError: something is missing or wrong, or a process keeps ending; nothing is left running.
    """
    check_folders()
    _check_static_files()
    log = _open_log(output)
    try:
        with _only_one(Path(settings.VAR)):
            address.check()
            with Supervisor(log) as supervisor:
                _run(supervisor, address, log)
    except (KeepsEndingError, ValkeyStartError, OSError) as error:
        raise StartError(str(error)) from error


def _open_log(output: TextIO) -> LogStream:
    """Return what every process's lines go through, this one's own records included."""
    as_json = settings.LOG_FORMAT == "json"
    log = LogStream(output, as_json=as_json)
    handler = LogStreamHandler(log, "up")
    if as_json:
        handler.setFormatter(make_formatter(settings.LOG_FORMAT))
    logging.basicConfig(level=settings.LOG_LEVEL, handlers=[handler], force=True)
    return log


def _run(supervisor: Supervisor, address: Address, log: LogStream) -> None:
    applied = prepare_database()
    if applied:
        log.say("up", f"database prepared: {applied} migrations")
    if settings.EMBEDDED:
        supervisor.start(_valkey())
    ensure_champion()
    _create_administrator(log)  # before strangers could sign up under that name
    connections.close_all()  # from here on this process only watches
    web, *others = _programs(address)
    supervisor.start(web)
    if not _await_answer(supervisor, address):
        return
    for program in others:
        supervisor.start(program)
    log.announce(f"Ready: {address.url}")
    supervisor.run()


def _valkey() -> Program:
    var = Path(settings.VAR)
    log_file = var / "valkey" / "valkey.log"
    return Program("valkey", partial(start_valkey, var), stage=3, grace_seconds=5, log_file=log_file)


def _programs(address: Address) -> list[Program]:
    """List what runs. The web server comes first and gets all processors: it is what people wait for."""
    worker = ("worker", "--without-mingle", "--without-gossip", "--queues")
    return [
        _program("web", granian_command(address.host, address.port), stage=1, grace_seconds=10),
        _celery("training", *worker, "training", "--concurrency", str(count_devices()), "--hostname", "training@%h"),
        _celery(
            "worker", *worker, "inference,default", "--concurrency", _DEFAULT_CONCURRENCY, "--hostname", "default@%h"
        ),
        # Of its own: others' mail servers and web addresses may be slow, and the sweeper must not wait for them.
        _celery(
            "deliveries", *worker, "deliveries", "--concurrency", _DELIVERIES_AT_ONCE, "--hostname", "deliveries@%h"
        ),
        _celery("beat", "beat", stage=1),
    ]


def _celery(name: str, *arguments: str, stage: int = 2) -> Program:
    command = [sys.executable, "-m", "celery", "--app", "cifarsite", "--quiet", *arguments]
    return _program(name, command, stage=stage, grace_seconds=_WORKER_GRACE_SECONDS)


def _program(name: str, command: list[str], *, stage: int, grace_seconds: float) -> Program:
    # Our own death reaches them as SIGTERM: each has children that only it can end.
    start = partial(
        spawn,
        command,
        env=_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        death_signal=signal.SIGTERM,
    )
    return Program(name, start, stage=stage, grace_seconds=grace_seconds)


def _await_answer(supervisor: Supervisor, address: Address) -> bool:
    """Wait until the web server answers.

    Returns:
        False when somebody asked for the end meanwhile.

    Raises:
        StartError: it did not answer in time.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    next_question = 0.0
    while not supervisor.is_stopping:
        supervisor.tick()
        if time.monotonic() < next_question:
            continue
        status = _health_status(address)
        if status == http.HTTPStatus.OK:
            return True
        if status:  # it lives and is not well: do not fill its log with questions
            next_question = time.monotonic() + _ASK_AGAIN_SECONDS
        if time.monotonic() > deadline:
            message = f"The web server did not answer within {_ANSWER_SECONDS:g} s; see its lines above."
            raise StartError(message)
    return False


def _health_status(address: Address) -> int | None:
    """Ask the web server how it is; None while nothing answers."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    connection = http.client.HTTPConnection(address.local, address.port, timeout=2)
    try:
        connection.request("GET", _HEALTH_PATH, headers={"Host": hosts[0] if hosts else address.local})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _create_administrator(log: LogStream) -> None:
    """Make the first administrator, who exists from the moment at which the password is shown."""
    administrator = plan_administrator()
    if administrator:
        administrator.save()
        log.announce(f"Administrator: {administrator.user}")
        if administrator.password:
            log.announce(f"Password: {administrator.password} (shown only now)")


def _check_static_files() -> None:
    """Refuse to serve pages whose style sheets would be missing.

    Raises:
        StartError: production's static files have not been collected.
    """
    if settings.STATIC_ROOT and not (Path(settings.STATIC_ROOT) / "staticfiles.json").exists():  # none: embedded mode
        message = "The static files are not collected: run `python manage.py collectstatic` first."
        raise StartError(message)


@contextlib.contextmanager
def _only_one(var: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends.

    Raises:
        StartError: another start holds it.
    """
    with (var / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            message = (
                f"The site already runs on {var} (process {file.read().strip() or 'unknown'}): "
                "stop it first, or choose another folder with CIFARSITE_VAR."
            )
            raise StartError(message) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
