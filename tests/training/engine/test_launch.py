"""Processes that train together start together and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine import launch
from training.engine.__main__ import main
from training.engine.events import parse_line
from training.engine.launch import count_devices, is_rank, launch_ranks

ROOT = Path(__file__).parents[3]
needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two processes need two cores")

Behave = Callable[[str], None]

WAIT = "until [ -e dying ]; do sleep 0.01; done; sleep 0.2"
"""In shell: until the other process is about to end, and a little longer."""


@pytest.fixture(autouse=True)
def _restore_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    handlers = {number: signal.getsignal(number) for number in launch.STOP_SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def behave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Behave:
    """Return a function that puts a line of shell in the engine's place."""

    def replace(line: str) -> None:
        script = tmp_path / "engine"
        script.write_text(f"#!/bin/bash\ncd {tmp_path}\n{line}\n")
        script.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(script))

    return replace


def failures(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    events = (parse_line(line) for line in capsys.readouterr().out.splitlines())
    return [dict(event) for event in events if event is not None and event["event"] == "failed"]


def test_each_process_is_told_its_place_as_torchrun_tells_it(behave: Behave, tmp_path: Path) -> None:
    behave('echo "$@ $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR" > $RANK; echo $MASTER_PORT > port-$RANK')
    assert launch_ranks(2, arguments=["fit", "--threads", "1"]) == 0
    for rank in "01":
        assert (tmp_path / rank).read_text() == f"-m training.engine fit --threads 1 2 {rank} 2 127.0.0.1\n"
    assert (tmp_path / "port-0").read_text() == (tmp_path / "port-1").read_text()


@pytest.mark.parametrize("code", [0, 1, 2, 75])
def test_what_the_first_process_told_is_not_told_again(
    code: int, behave: Behave, capsys: pytest.CaptureFixture[str]
) -> None:
    behave(f"exit {code}")
    assert launch_ranks(2, arguments=[]) == code
    assert failures(capsys) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[ $RANK = 1 ] && exit 3; exec sleep 60", "Process 2 of 2 that train together ended with exit code 3"),
        (f"[ $RANK = 1 ] && {WAIT}; touch dying; exit 76", "Process 1 of 2 that train together lost the others"),
    ],
)
def test_one_that_breaks_down_takes_the_others_with_it(
    line: str, sentence: str, behave: Behave, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.2)
    behave(line)
    start = time.monotonic()
    assert launch_ranks(2, arguments=[]) == 1
    assert time.monotonic() - start < 10
    detail = f"{sentence}, and none can go on without all."
    assert failures(capsys) == [{"event": "failed", "reason": "error", "detail": detail}]


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("[ $RANK = 1 ] && kill -9 $$; exec sleep 60", signal.SIGKILL),
        (f"[ $RANK = 1 ] && touch dying && kill -USR1 $$; {WAIT}; exit 76", signal.SIGUSR1),
        ("[ $RANK = 0 ] && kill -11 $$; exec sleep 60", signal.SIGSEGV),
        (f"[ $RANK = 0 ] && touch dying && kill -9 $$; {WAIT}; exit 1", signal.SIGKILL),
    ],
)
def test_what_a_signal_ended_ends_by_that_signal_and_leaves_the_verdict_to_others(
    line: str,
    number: signal.Signals,
    behave: Behave,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[int] = []
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr("signal.raise_signal", raised.append)
    before = signal.getsignal(number)
    behave(line)
    assert launch_ranks(2, arguments=[]) == 128 + number
    assert raised == [number]
    assert number is signal.SIGKILL or signal.getsignal(number) is signal.SIG_DFL
    if number is not signal.SIGKILL:
        signal.signal(number, before)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"Process {2 if '= 1' in line else 1} of 2 that train together was ended by {number.name}.\n"


OBEDIENT = """
import os, pathlib, signal, sys, time
def stop(*_):
    pathlib.Path("stopped-" + os.environ["RANK"]).touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("started-" + os.environ["RANK"]).touch()
time.sleep(0.2)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
time.sleep(60)
"""


LAUNCH = """
import sys
from training.engine.launch import launch_ranks
sys.executable = sys.argv[1]
sys.exit(launch_ranks(2, arguments=[]))
"""


def test_a_request_to_stop_reaches_every_process_however_early_it_comes(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_text(f"#!/bin/bash\ncd {tmp_path}\nexec {sys.executable} -c '{OBEDIENT}'\n")
    engine.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", LAUNCH, str(engine)], cwd=ROOT) as launcher:
        while not any((tmp_path / f"started-{rank}").exists() for rank in "01"):
            assert launcher.poll() is None
            time.sleep(0.01)
        launcher.terminate()
        assert launcher.wait(30) == 75
    assert all((tmp_path / f"stopped-{rank}").exists() for rank in "01")


def test_more_processes_than_cores_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.json"
    config.write_text(json.dumps(tiny_config(tmp_path, devices=16).to_dict()))
    assert main(["fit", "--config", str(config), "--workdir", str(tmp_path)]) == 2
    detail = "devices is 16; allowed is at most 2 on this machine, the number of its processor cores."
    assert failures(capsys) == [{"event": "failed", "reason": "bad_config", "detail": detail}]


def test_a_configuration_that_cannot_be_read_is_left_to_the_run(tmp_path: Path) -> None:
    assert count_devices(tmp_path / "none.json") == 1


def test_a_process_of_a_group_starts_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_rank()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_rank()


class Group:
    """The engine on two processes, as a supervisor starts it.

    Args:
        folder: Receives the configuration and the run.
        options: What the configuration changes.
    """

    def __init__(self, folder: Path, **options: object) -> None:
        dataset = write_dataset(folder / "data")
        self.config = folder / "run.json"
        self.config.write_text(json.dumps(tiny_config(dataset, devices=2, **options).to_dict()))
        self.workdir = folder / "work"
        arguments = ["fit", "--config", str(self.config), "--workdir", str(self.workdir), "--threads", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.engine", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )

    def wait_for(self, name: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = parse_line(line)
            if event is not None and event["event"] == name:
                return dict(event)
        raise AssertionError(name)

    def end(self) -> list[dict[str, Any]]:
        """Wait for the end, and return the remaining events; no process may be left."""
        assert self.process.stdout is not None
        events = [dict(event) for event in map(parse_line, self.process.stdout) if event is not None]
        self.process.wait(timeout=60)
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        return events

    def rank_pid(self, rank: int) -> int:
        """Return the process that is one of the ranks."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        marks = {pid: Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in children}
        [found] = [pid for pid, marks in marks.items() if f"RANK={rank}".encode() in marks]
        return int(found)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Callable[..., Group]]:
    groups: list[Group] = []

    def start(**options: object) -> Group:
        groups.append(Group(tmp_path, **options))
        return groups[-1]

    yield start
    for started in groups:
        if started.process.poll() is None:
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.communicate()


@needs_two_cores
def test_a_killed_process_ends_the_run_within_seconds_by_the_same_signal(group: Callable[..., Group]) -> None:
    run = group(epochs=1000)
    run.wait_for("epoch_end")
    os.kill(run.rank_pid(1), signal.SIGKILL)
    killed_at = time.monotonic()
    events = run.end()
    assert time.monotonic() - killed_at < 30  # a second or two, on a machine that has nothing else to do
    assert run.process.returncode == -signal.SIGKILL
    assert [event for event in events if event["event"] == "failed"] == []


@needs_two_cores
def test_a_stopped_run_goes_on_with_another_number_of_devices(
    group: Callable[..., Group], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = group(epochs=12)
    run.wait_for("epoch_end")
    run.process.terminate()
    events = run.end()
    assert run.process.returncode == 75
    stopped = events[-1]
    assert stopped["event"] == "stopped"
    assert stopped["checkpoint"] == f"checkpoints/step-{stopped['step']:08d}"
    assert [path.name for path in (run.workdir / "checkpoints").iterdir()].count(f"step-{stopped['step']:08d}") == 1
    config = json.loads(run.config.read_text()) | {"devices": 1}
    run.config.write_text(json.dumps(config))
    arguments = ["fit", "--config", str(run.config), "--workdir", str(tmp_path / "second"), "--threads", "1"]
    assert main([*arguments, "--resume", str(run.workdir / stopped["checkpoint"])]) == 0
    events = [dict(event) for event in map(parse_line, capsys.readouterr().out.splitlines()) if event is not None]
    assert events[0]["resumed_from_step"] == stopped["step"]
    assert events[-1]["event"] == "finished"
