"""What an engine's exit code means, in words, when the engine could not say it itself."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Final, NamedTuple

from training.choices import Reason
from training.engine.constants import EXIT_FINISHED, EXIT_STOPPED, EXIT_USAGE
from training.engine.machine_memory import own_cgroup, read_machine_memory

# Signals by which somebody ends a process on purpose; the others are crashes.
_FROM_OUTSIDE: Final = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}


class Verdict(NamedTuple):
    """Why a process ended.

    Attributes:
        reason: The reason to store.
        detail: One sentence for the owner.
        worth_repeating: Whether another attempt may end differently.
    """

    reason: Reason
    detail: str
    worth_repeating: bool = False


def judge_exit(code: int, *, oom_killed: bool, advice: str = "") -> Verdict:
    """Explain an exit code.

    Args:
        code: As in `Popen.returncode`; negative for a signal.
        oom_killed: Whether the kernel killed something for lack of memory while the process ran.
        advice: What was tried and what to change where memory was not enough, as the end of a sentence.
    """
    if code < 0:
        return _judge_signal(signal.Signals(-code), oom_killed=oom_killed, advice=advice)
    if code == EXIT_FINISHED:
        return Verdict(Reason.ERROR, "The engine ended without a result.")
    if code == EXIT_STOPPED:
        return Verdict(Reason.KILLED, "The process was told to stop from outside.", worth_repeating=True)
    if code == EXIT_USAGE:
        return Verdict(Reason.BAD_CONFIG, "The engine refused its settings; the last log lines say which.")
    detail = f"The engine stopped unexpectedly with exit code {code}; the last log lines say where."
    return Verdict(Reason.ERROR, detail)


def _judge_signal(number: signal.Signals, *, oom_killed: bool, advice: str) -> Verdict:
    if number == signal.SIGKILL and oom_killed:
        return Verdict(Reason.OUT_OF_MEMORY, _describe_shortage(advice))
    if number in _FROM_OUTSIDE:
        return Verdict(Reason.KILLED, f"The process was killed from outside ({number.name}).", worth_repeating=True)
    return Verdict(Reason.ERROR, f"The engine crashed ({number.name}); the last log lines may say where.")


def _describe_shortage(advice: str) -> str:
    memory = read_machine_memory()
    found = "" if memory is None else f" of {memory.total / 2**30:.1f} GiB"
    sentence = f"The machine ran out of its memory{found}, and the system killed the process"
    return f"{sentence}: {advice}." if advice else f"{sentence}."


def count_oom_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory: in our control group, else on the machine."""
    for path in (own_cgroup() / "memory.events", Path("/proc/vmstat")):
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                name, _space, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0
