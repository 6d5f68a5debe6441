"""One engine process under supervision: every way in which it can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import OperationalError

from tests.factories import TrainingRunFactory
from tests.fixtures import ROOT, StubEngine
from training import supervisor
from training.choices import Reason
from training.engine.events import Event
from training.exceptions import FenceLostError
from training.models import TrainingRun
from training.stopping import worker_stopping
from training.supervisor import Ending, Outcome, Timings, supervise, write_until_lease_ends

pytestmark = pytest.mark.django_db

QUICK = Timings(poll=0.05, heartbeat=0.1, lease=1.0, grace=0.5, progress=5.0)


class Sink:
    """Remembers events, and does what a test wants at some of them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.flushed = 0
        self.at_event: dict[str, Any] = {}
        self.at_flush: Any = None

    def receive(self, event: Event) -> None:
        if event["event"] == "progress":
            event["message"]  # what a real sink reads
        self.events.append(event)
        action = self.at_event.pop(event["event"], None)
        if action:
            action()

    def flush(self) -> None:
        self.flushed += 1
        if self.at_flush:
            self.at_flush()

    @property
    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]


@pytest.fixture
def run() -> TrainingRun:
    run = TrainingRun.claim(TrainingRunFactory.create().pk, worker="here")
    assert run is not None
    return run


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture(autouse=True)
def _lower_the_flag() -> Iterator[None]:
    yield
    worker_stopping.clear()


@pytest.fixture
def engine(run: TrainingRun, tmp_path: Path, stub_engine: StubEngine) -> list[str]:
    """The command line of the stand-in."""
    config = tmp_path / "config.json"
    config.write_text('{"dataset": "/d", "epochs": 3}')
    workdir = tmp_path / "work"
    workdir.mkdir()
    stub = str(ROOT / "tests" / "stub_engine.py")
    return [sys.executable, stub, "fit", "--config", str(config), "--workdir", str(workdir)]


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, whose parent is somebody else, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_that_goes_well(run: TrainingRun, engine: list[str], sink: Sink) -> None:
    outcome = supervise(run, engine, sink=sink, timings=QUICK)
    assert outcome.ending is Ending.FINISHED
    assert outcome.finished is not None
    assert outcome.finished["metrics"] == {"accuracy": 0.5}
    assert sink.kinds == ["started", *["step", "epoch_end", "checkpoint"] * 3, "progress", "finished"]


@pytest.mark.parametrize(
    ("mode", "ending", "reason", "words"),
    [
        ("diverge", Ending.FAILED, Reason.DIVERGED, "finite number"),
        ("crash", Ending.FAILED, Reason.ERROR, "exit code 3"),
        ("segfault", Ending.FAILED, Reason.ERROR, "SIGSEGV"),
        ("killed", Ending.LOST, Reason.KILLED, "SIGKILL"),
        ("stopped", Ending.LOST, Reason.KILLED, "from outside"),
        ("silent", Ending.FAILED, Reason.ERROR, "without a result"),
        ("usage", Ending.FAILED, Reason.BAD_CONFIG, "settings"),
        ("nonsense", Ending.FAILED, Reason.ERROR, "cannot be understood"),
    ],
)
def test_engines_that_go_wrong(
    run: TrainingRun,
    engine: list[str],
    stub_engine: StubEngine,
    *,
    mode: str,
    ending: Ending,
    reason: Reason,
    words: str,
) -> None:
    stub_engine.behave(mode)
    outcome = supervise(run, engine, sink=Sink(), timings=QUICK)
    assert (outcome.ending, outcome.reason) == (ending, reason)
    assert words in outcome.detail


def test_a_kill_by_the_out_of_memory_killer_is_told_apart(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_engine.behave("killed")
    counts = iter([4, 5])
    monkeypatch.setattr(supervisor, "count_oom_kills", lambda: next(counts))
    outcome = supervise(run, engine, sink=sink, timings=QUICK)
    assert (outcome.ending, outcome.reason) == (Ending.FAILED, Reason.OUT_OF_MEMORY)


def test_the_last_lines_of_the_log_are_kept(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine
) -> None:
    stub_engine.behave("noisy")
    lines = supervise(run, engine, sink=sink, timings=QUICK).log_tail.splitlines()
    assert len(lines) == 50
    assert lines[-1] == "line 999 done"


def test_an_engine_that_says_nothing_is_stopped(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine
) -> None:
    stub_engine.behave("hang")
    quick = Timings(poll=0.05, heartbeat=0.1, lease=1.0, grace=0.5, progress=0.4)
    outcome = supervise(run, engine, sink=sink, timings=quick)
    assert (outcome.ending, outcome.reason) == (Ending.FAILED, Reason.NO_PROGRESS)
    assert "0.4 seconds" in outcome.detail


def test_cancel_lets_the_engine_save_a_checkpoint(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine
) -> None:
    stub_engine.behave("ok", seconds=0.2)
    sink.at_event["started"] = lambda: TrainingRun.request_cancel(run.pk)
    outcome = supervise(run, engine, sink=sink, timings=QUICK)
    assert outcome.ending is Ending.CANCELLED
    assert sink.kinds[-2:] == ["checkpoint", "stopped"]


def test_a_result_that_came_before_the_cancel_counts(run: TrainingRun, engine: list[str], sink: Sink) -> None:
    sink.at_event["finished"] = lambda: TrainingRun.request_cancel(run.pk)
    assert supervise(run, engine, sink=sink, timings=QUICK).ending is Ending.FINISHED


def test_an_engine_that_ignores_sigterm_is_killed_after_the_grace(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine
) -> None:
    stub_engine.behave("ignore-sigterm", seconds=0.05)
    sink.at_event["started"] = lambda: TrainingRun.request_cancel(run.pk)
    start = time.monotonic()
    assert supervise(run, engine, sink=sink, timings=QUICK).ending is Ending.CANCELLED
    assert 0.5 <= time.monotonic() - start < 3


@pytest.mark.parametrize("tell", [worker_stopping.set, lambda: os.kill(os.getpid(), signal.SIGTERM)])
def test_a_worker_that_shuts_down_releases_after_a_checkpoint(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine, tell: Callable[[], object]
) -> None:
    stub_engine.behave("ok", seconds=0.2)
    sink.at_event["started"] = tell
    assert supervise(run, engine, sink=sink, timings=QUICK).ending is Ending.RELEASED
    assert sink.kinds[-2:] == ["checkpoint", "stopped"]


def test_no_process_of_the_group_is_left(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine, tmp_path: Path
) -> None:
    stub_engine.behave("grandchild")
    start = time.monotonic()
    assert supervise(run, engine, sink=sink, timings=QUICK).ending is Ending.FINISHED
    assert time.monotonic() - start < 5  # the grandchild, which holds the pipes, was not waited for
    wait_until_dead(int((tmp_path / "pid").read_text()))


def test_losing_the_fence_kills_the_engine(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine
) -> None:
    stub_engine.behave("ignore-sigterm", seconds=0.05)
    sink.at_event["checkpoint"] = lambda: TrainingRun.objects.filter(pk=run.pk).update(fence=99)
    with pytest.raises(FenceLostError):
        supervise(run, engine, sink=sink, timings=QUICK)
    assert "finished" not in sink.kinds


def test_the_lease_is_renewed(run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine) -> None:
    stub_engine.behave("ok", seconds=0.2)
    before = TrainingRun.objects.get(pk=run.pk).lease_until
    TrainingRun.objects.filter(pk=run.pk).update(lease_until=run.requested_at)
    supervise(run, engine, sink=sink, timings=QUICK)
    after = TrainingRun.objects.get(pk=run.pk).lease_until
    assert before is not None
    assert after is not None
    assert after >= before


def test_training_goes_on_while_the_database_is_away(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine
) -> None:
    stub_engine.behave("ok", seconds=0.2)
    failures = iter(range(5))

    def fail_at_first() -> None:
        if next(failures, None) is not None:
            raise OperationalError

    sink.at_flush = fail_at_first
    assert supervise(run, engine, sink=sink, timings=QUICK).ending is Ending.FINISHED
    assert sink.flushed > 5


def test_a_database_that_stays_away_costs_the_job(
    run: TrainingRun, engine: list[str], sink: Sink, stub_engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_engine.behave("ignore-sigterm", seconds=0.05)

    def fail(*_args: object) -> None:
        raise OperationalError

    monkeypatch.setattr(TrainingRun, "renew_lease", fail)
    with pytest.raises(FenceLostError):
        supervise(run, engine, sink=sink, timings=QUICK)


def test_the_engine_dies_with_its_supervisor(engine: list[str], stub_engine: StubEngine, tmp_path: Path) -> None:
    stub_engine.behave("ignore-sigterm", seconds=0.05)
    script = (
        "import sys, time; from training.processes import spawn\n"
        "child = spawn(sys.argv[1:], stdout=-3); print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, *engine], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until_dead(pid)


def test_a_program_that_does_not_exist_is_an_os_error(run: TrainingRun, sink: Sink) -> None:
    with pytest.raises(OSError, match="nowhere"):
        supervise(run, ["/nowhere/python"], sink=sink, timings=QUICK)


def test_final_writes_are_repeated_until_the_database_is_back() -> None:
    answers: list[object] = [OperationalError(), OperationalError(), None]

    def write() -> None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

    write_until_lease_ends(write, timings=QUICK)
    assert answers == []


def test_final_writes_are_given_up_with_the_lease() -> None:

    def write() -> None:
        raise OperationalError

    with pytest.raises(FenceLostError):
        write_until_lease_ends(write, timings=Timings(poll=0.05, lease=0.2))


def test_an_outcome_says_error_unless_told_otherwise() -> None:
    assert Outcome(ending=Ending.FAILED, log_tail="").reason is Reason.ERROR
