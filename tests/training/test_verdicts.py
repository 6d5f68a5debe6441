"""What exit codes mean."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from training import verdicts
from training.choices import Reason
from training.engine.machine_memory import Memory
from training.models import TrainingRun
from training.verdicts import count_oom_kills, judge_exit


@pytest.mark.parametrize(
    ("code", "reason", "worth_repeating"),
    [
        (0, Reason.ERROR, False),
        (1, Reason.ERROR, False),
        (2, Reason.BAD_CONFIG, False),
        (75, Reason.KILLED, True),
        (-signal.SIGKILL, Reason.KILLED, True),
        (-signal.SIGTERM, Reason.KILLED, True),
        (-signal.SIGSEGV, Reason.ERROR, False),
        (-signal.SIGBUS, Reason.ERROR, False),
    ],
)
def test_judge_exit(code: int, reason: Reason, *, worth_repeating: bool) -> None:
    verdict = judge_exit(code, oom_killed=False)
    assert (verdict.reason, verdict.worth_repeating) == (reason, worth_repeating)
    assert verdict.detail.endswith((".",))


@pytest.mark.parametrize(
    ("memory", "advice", "detail"),
    [
        (
            Memory(free=0, total=3 * 2**29),
            "",
            "The machine ran out of its memory of 1.5 GiB, and the system killed the process.",
        ),
        (
            None,
            TrainingRun(config={"batch_size": 512, "accumulation_steps": 1, "architecture": "resnet18"}).memory_advice,
            "The machine ran out of its memory, and the system killed the process: batch_size 512 with "
            "accumulation_steps 1 was tried; lower batch_size, raise accumulation_steps or lower input_size.",
        ),
    ],
)
def test_a_kill_for_lack_of_memory_says_what_to_change_and_is_not_repeated(
    memory: Memory | None, advice: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "read_machine_memory", lambda: memory)
    verdict = judge_exit(-signal.SIGKILL, oom_killed=True, advice=advice)
    assert verdict == (Reason.OUT_OF_MEMORY, detail, False)


def test_a_crash_names_its_signal() -> None:
    assert "SIGSEGV" in judge_exit(-signal.SIGSEGV, oom_killed=True).detail


def test_oom_kills_are_counted_in_the_own_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.events").write_text("low 0\noom 7\noom_kill 3\noom_group_kill 0\n")
    monkeypatch.setattr(verdicts, "own_cgroup", lambda: tmp_path)
    assert count_oom_kills() == 3


def test_without_a_control_group_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "own_cgroup", lambda: tmp_path)
    assert count_oom_kills() >= 0
