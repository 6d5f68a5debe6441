"""Starting the processes that train together on one machine, and ending them together. Imports no torch.

They stay in the caller's process group and ask the kernel to be ended with it, so that whoever ends the one ends all.
Each is told its place by torchrun's environment variables; a process that finds them set is already one of several.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from training.engine.config import read_config
from training.engine.constants import EXIT_FAILED, EXIT_FINISHED, EXIT_LOST, EXIT_STOPPED, EXIT_USAGE
from training.engine.events import emit
from training.engine.exceptions import ConfigError
from training.engine.parent_death import tie_to_this_process

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
POLL_SECONDS: Final = 0.05
GRACE_SECONDS: Final = 5.0
"""How long the others may take to tell what they know once one process has broken down."""


def is_rank() -> bool:
    """Whether this process was started as one of several, by `launch_ranks` or by torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def count_devices(config_path: Path) -> int:
    """Return how many processes a configuration asks for; 1 when it cannot be read, which the run itself will tell."""
    try:
        return read_config(config_path).devices
    except ConfigError:
        return 1


def launch_ranks(count: int, *, arguments: Sequence[str]) -> int:
    """Run one command of the engine in several processes that train together.

    SIGTERM and Ctrl-C are passed on. When one process breaks down, the others are ended within seconds. The first one
    tells what happens; when it cannot, a `failed` event is emitted here. But where a signal ended one of them, nothing
    is told and this process ends by the same signal: whoever waits for it shall judge as he does of a single process.

    Args:
        count: Number of processes.
        arguments: The engine's command line.

    Returns:
        The first process's exit code, or 1 when it has none to give.
    """
    cores = len(os.sched_getaffinity(0))
    if count > cores:
        detail = f"devices is {count}; allowed is at most {cores} on this machine, the number of its processor cores."
        emit("failed", reason="bad_config", detail=detail)
        return EXIT_USAGE
    command = [sys.executable, "-m", "training.engine", *arguments]
    shared = describe_group(count)
    # Held back until the processes and this one can heed them: none may end half of a group that is being started.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.DEVNULL,
            preexec_fn=tie_to_this_process(),  # noqa: PLW1509 - prctl has no other place; it takes no lock
        )
        for rank in range(count)
    ]

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in ranks:
            process.send_signal(number)

    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    return _judge(ranks, broken=_watch(ranks))


def describe_group(count: int) -> dict[str, str]:
    """Return the environment variables that all processes of a group on this machine share."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }


def _watch(ranks: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int] | None:
    """Wait until all processes have ended, and end them when one breaks down.

    Returns:
        Rank and exit code of the one that broke down first, if any did.
    """
    broken: tuple[int, int] | None = None
    kill_at = math.inf
    while True:
        codes = [process.poll() for process in ranks]
        if broken is None:
            # A process that was killed is the cause of those that fail for want of it.
            bad = [(code, rank) for rank, code in enumerate(codes) if code not in (None, EXIT_FINISHED, EXIT_STOPPED)]
            if bad:
                code, rank = min(bad)
                broken, kill_at = (rank, code), time.monotonic() + GRACE_SECONDS
        if None not in codes:
            return broken
        if time.monotonic() > kill_at:
            for process in ranks:
                process.kill()
        time.sleep(POLL_SECONDS)


def _judge(ranks: Sequence[subprocess.Popen[bytes]], *, broken: tuple[int, int] | None) -> int:
    """Return the exit code of the whole; tell what broke down when the first process could not."""
    first = ranks[0].returncode
    if broken is None or first in (EXIT_FINISHED, EXIT_STOPPED, EXIT_FAILED, EXIT_USAGE):
        return int(first)
    rank, code = broken
    who = f"Process {rank + 1} of {len(ranks)} that train together"
    if code < 0:
        number = signal.Signals(-code)
        sys.stderr.write(f"{who} was ended by {number.name}.\n")
        return _end_by(number)
    how = "lost the others" if code == EXIT_LOST else f"ended with exit code {code}"
    emit("failed", reason="error", detail=f"{who} {how}, and none can go on without all.")
    return EXIT_FAILED


def _end_by(number: signal.Signals) -> int:
    """End this process by a signal; should it be ignored, return what a shell would call that end."""
    if number is not signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    return 128 + number
