"""The supervisor alone, with programs of a few lines."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from cifarsite import supervisor as supervisor_module
from cifarsite.log_stream import LogStream
from cifarsite.supervisor import KeepsEndingError, Program, Supervisor, describe_exit
from training.processes import spawn

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
SLOW_GOODBYE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep({delay}), print("{name} left"), sys.exit()))
print("{name} runs")
time.sleep(60)
"""
FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
"""


def python(name: str, code: str, *, stage: int = 1, grace_seconds: float = 5) -> Program:
    command = [sys.executable, "-u", "-c", code]
    start = partial(spawn, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, death_signal=signal.SIGTERM)
    return Program(name, start, stage=stage, grace_seconds=grace_seconds)


def wait_for(supervisor: Supervisor, condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        supervisor.tick()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_FIRST_DELAY_SECONDS", 0.01)


def test_lines_carry_the_name_of_their_process(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(python("web", "import time; print('one\\ntwo\\nlast', end=''); time.sleep(60)"))
        wait_for(supervisor, lambda: "two" in output.getvalue())

    assert output.getvalue().splitlines() == [
        "web      | one",
        "web      | two",
        "up       | stopping…",
        "web      | last",
    ]


def test_a_process_that_ends_is_started_again(output: io.StringIO, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = f"import os, time\ntry: os.mkdir({str(seen)!r})\nexcept OSError: print('again'); time.sleep(60)\nos._exit(3)"
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(python("beat", code))
        wait_for(supervisor, lambda: "again" in output.getvalue())

    assert "up       | beat ended, with exit code 3; starting it again in 0.01 s" in output.getvalue().splitlines()


def test_a_process_that_keeps_ending_stops_everything(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(python("web", "raise SystemExit(7)"))
        with pytest.raises(KeepsEndingError, match=r"^web ended 5 times in a row, the last time with exit code 7; see"):
            supervisor.run()


def test_nothing_is_left_when_the_block_is_left(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(python("worker", "import os, time; print(os.getpid()); time.sleep(60)"))
        wait_for(supervisor, lambda: "worker" in output.getvalue())

    assert not is_alive(int(output.getvalue().split("|")[1].split()[0]))


def test_what_a_dead_process_left_of_its_group_is_killed(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(python("web", FAMILY))
        wait_for(supervisor, lambda: "ended" in output.getvalue())
        child = int(output.getvalue().split("|")[1].split()[0])
        wait_for(supervisor, lambda: not is_alive(child), seconds=5)


def test_stages_stop_one_after_the_other(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        for name, stage, delay in (("broker", 2, 0), ("client", 1, 0.5)):
            supervisor.start(python(name, SLOW_GOODBYE.format(name=name, delay=delay), stage=stage))
        wait_for(supervisor, lambda: output.getvalue().count("runs") == 2)

    assert [line.split("| ")[1] for line in output.getvalue().splitlines()[-2:]] == ["client left", "broker left"]


def test_a_process_that_does_not_stop_is_killed(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(python("worker", STUBBORN, grace_seconds=0.2))
        wait_for(supervisor, lambda: "up\n" in output.getvalue())

    assert "up       | worker does not stop: killed" in output.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C interrupt, as a shell that starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_sigterm_asks_for_the_end(output: io.StringIO) -> None:
    with Supervisor(LogStream(output)) as supervisor:
        assert not supervisor.is_stopping
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.run()

        assert supervisor.is_stopping
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class ClosedPipe(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_a_log_nobody_reads_asks_for_the_end() -> None:
    with Supervisor(LogStream(ClosedPipe())) as supervisor:
        supervisor.start(python("web", "import time; print('hello'); time.sleep(60)"))
        supervisor.run()

        assert supervisor.is_stopping


def test_a_log_file_is_followed(output: io.StringIO, tmp_path: Path) -> None:
    log_file = tmp_path / "valkey.log"
    log_file.write_text("of an earlier start\n")
    code = f"import time; open({str(log_file)!r}, 'a').write('ready\\n'); time.sleep(60)"
    plain = python("valkey", code)
    with Supervisor(LogStream(output)) as supervisor:
        supervisor.start(Program("valkey", plain.start, stage=1, grace_seconds=5, log_file=log_file))
        wait_for(supervisor, lambda: "ready" in output.getvalue())

    assert output.getvalue().splitlines()[0] == "valkey   | ready"


@pytest.mark.parametrize(("code", "words"), [(1, "with exit code 1"), (-9, "killed by SIGKILL")])
def test_describe_exit(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_prefixes_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)

    LogStream(terminal).say("web", "hello")

    assert terminal.getvalue() == "\x1b[32mweb      |\x1b[0m hello\n"
