"""Keeps the site's processes running together: starts, watches, restarts and stops them, and merges what they print."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from cifarsite.log_stream import LogStream

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_SECONDS = 0.1
# A process that lived this long was fine: an end after it starts the count of failures anew.
_STEADY_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.5
# 0.5 + 1 + 2 + 4 s of waiting: long enough for a passing trouble, short enough to be told about a lasting one.
_MAX_FAILURES = 5
# Signals closer together than this are one wish: a terminal, make and a process group may each deliver it.
_IMPATIENT_AFTER_SECONDS = 1.0


class KeepsEndingError(Exception):
    """A process ended again and again; the message is one sentence that names it."""


@dataclass(frozen=True, slots=True)
class Program:
    """One long-running program.

    Attributes:
        name: Shown before each of its lines.
        start: Starts it in a process group of its own.
        stage: Programs of a lower stage are stopped, and gone, before the next stage is told.
        grace_seconds: Time between SIGTERM and SIGKILL.
        log_file: Where it writes when not to its standard output.
    """

    name: str
    start: Callable[[], subprocess.Popen[str]]
    stage: int
    grace_seconds: float
    log_file: Path | None = None


@dataclass(slots=True)
class _Running:
    """A program's process, or the time at which it is to be started again."""

    program: Program
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    log_offset: int = field(default=0)


class Supervisor:
    """Runs programs until it is told to stop. To be used on the main thread: its end is what ends the programs.

    SIGINT, SIGTERM and SIGHUP ask for the end; another one a second later ends everything by force. As a context
    manager it stops whatever still runs, however the block is left.

    Args:
        log: receives every line.
    """

    def __init__(self, log: LogStream) -> None:
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._running: dict[str, _Running] = {}
        self._asked_at: float | None = None
        self._forced = False

    def __enter__(self) -> Supervisor:
        self._handlers = {number: signal.signal(number, self._on_signal) for number in _END_SIGNALS}
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        self._selector.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked for the end, or nobody reads the log any more."""
        return self._asked_at is not None or self._log.is_broken

    def start(self, program: Program) -> None:
        """Start a program and watch it from now on.

        Raises:
            OSError: it cannot be started.
        """
        self._launch(self._running.setdefault(program.name, _Running(program)))

    def tick(self) -> None:
        """Do one round: pass lines on, notice ended programs, start them again when their time has come.

        Raises:
            KeepsEndingError: one of them ended too often in a short time.
        """
        self._pump(_TICK_SECONDS)
        for running in self._running.values():
            code = self._reap(running)
            if code is not None:
                self._schedule_restart(running, code)
            elif running.process is None and time.monotonic() >= running.restart_at:
                self._launch(running)

    def run(self) -> None:
        """Keep going until somebody asks for the end.

        Raises:
            KeepsEndingError: as `tick`.
        """
        while not self.is_stopping:
            self.tick()

    def stop(self) -> None:
        """End every program, stage by stage: SIGTERM, patience, then SIGKILL to its whole process group."""
        alive = [running for running in self._running.values() if running.process]
        if alive:
            self._log.say("up", "stopping…")
        for stage in sorted({running.program.stage for running in alive}):
            self._stop_stage([running for running in alive if running.program.stage == stage])
        self._running.clear()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > _IMPATIENT_AFTER_SECONDS:
            self._forced = True

    def _launch(self, running: _Running) -> None:
        log_file = running.program.log_file
        running.log_offset = log_file.stat().st_size if log_file and log_file.exists() else 0
        running.process = running.program.start()
        running.started_at = time.monotonic()
        if running.process.stdout:
            os.set_blocking(running.process.stdout.fileno(), False)
            self._selector.register(running.process.stdout, selectors.EVENT_READ, running)

    def _pump(self, timeout_seconds: float) -> None:
        """Pass on what the programs wrote, waiting at most `timeout_seconds` for something."""
        for key, _mask in self._selector.select(timeout_seconds):
            running: _Running = key.data
            data = os.read(key.fd, 65536)
            if data:
                self._log.feed(running.program.name, data)
            else:
                self._selector.unregister(key.fileobj)
        for running in self._running.values():
            self._follow_log_file(running)

    def _follow_log_file(self, running: _Running) -> None:
        log_file = running.program.log_file
        if log_file is None or not log_file.exists() or log_file.stat().st_size <= running.log_offset:
            return
        with log_file.open("rb") as stream:
            stream.seek(running.log_offset)
            data = stream.read()
        running.log_offset += len(data)
        self._log.feed(running.program.name, data)

    def _reap(self, running: _Running) -> int | None:
        """Return the exit code of a program that has ended, else None. What it left of its group is killed."""
        process = running.process
        # WNOWAIT leaves a zombie, so that its number cannot be another group's when the rest is killed.
        if process is None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        self._drain(running)
        running.process = None
        return code

    def _drain(self, running: _Running) -> None:
        """Pass on the last words of a process that has ended."""
        stdout = running.process.stdout if running.process else None
        if stdout:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(stdout.fileno(), 65536):
                    self._log.feed(running.program.name, data)
            with contextlib.suppress(KeyError):
                self._selector.unregister(stdout)
            stdout.close()
        self._follow_log_file(running)
        self._log.flush(running.program.name)

    def _schedule_restart(self, running: _Running, code: int) -> None:
        """Say how a program ended and when it starts again.

        Raises:
            KeepsEndingError: it ended too often.
        """
        name = running.program.name
        lived_seconds = time.monotonic() - running.started_at
        running.failures = 1 if lived_seconds > _STEADY_SECONDS else running.failures + 1
        if running.failures >= _MAX_FAILURES:
            message = f"{name} ended {running.failures} times in a row, the last time {describe_exit(code)}"
            raise KeepsEndingError(f"{message}; see its lines above.")
        delay_seconds = _FIRST_DELAY_SECONDS * 2 ** (running.failures - 1)
        running.restart_at = time.monotonic() + delay_seconds
        self._log.say("up", f"{name} ended, {describe_exit(code)}; starting it again in {delay_seconds:g} s")

    def _stop_stage(self, members: list[_Running]) -> None:
        for running in members:
            if running.process:
                running.process.terminate()
        began = time.monotonic()
        while remaining := [running for running in members if running.process]:
            for running in remaining:
                late = time.monotonic() - began > running.program.grace_seconds
                if self._reap(running) is None and running.process and (late or self._forced):
                    self._log.say("up", f"{running.program.name} does not stop: killed")
                    os.killpg(running.process.pid, signal.SIGKILL)
                    os.waitid(os.P_PID, running.process.pid, os.WEXITED | os.WNOWAIT)
            self._pump(_TICK_SECONDS / 2)


def describe_exit(code: int) -> str:
    """Say how a process ended, from its return code (negative: the signal that killed it)."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
