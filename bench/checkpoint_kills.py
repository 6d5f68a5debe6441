"""A process that writes one checkpoint after the other is killed at a random moment, again and again.

A parent loads torch once and forks each writer, or the kills would take an hour. The kernel keeps what a killed process
had written: this shows that no moment of a kill leaves less than one sound checkpoint, not what a power cut leaves.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any, Final

import torch

from training.engine.checkpoint import list_checkpoints, load_newest_checkpoint, save_checkpoint
from training.engine.constants import CHECKPOINT_SCHEMA
from training.engine.exceptions import CheckpointError

TENSORS: Final = 8
VALUES: Final = 64 * 1024  # of each tensor, float32: 2 MiB in all
_CALIBRATION: Final = 20


def measure_kills(folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kill `kills` writers and load what each one left.

    Args:
        folder: For the checkpoints; they go on from one writer to the next.
        kills: How many.
        seed: Of the moments.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    torch.set_num_threads(1)  # no thread that a fork would lose
    tensors = {f"network.{number}": torch.full((VALUES,), float(number)) for number in range(TENSORS)}
    began = time.perf_counter()
    for step in range(1, _CALIBRATION + 1):
        _save(folder, step, tensors)
    seconds_each = (time.perf_counter() - began) / _CALIBRATION
    unloadable = gone_back = torn = 0
    newest = _CALIBRATION
    for _kill in range(kills):
        writer = _start_writer(folder, newest, tensors)
        time.sleep(chance.uniform(0, 3 * seconds_each))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        torn += any(path.name.startswith(".") for path in folder.iterdir())
        listed = len(list_checkpoints(folder))
        try:
            step = int(load_newest_checkpoint(folder).state["step"])
        except CheckpointError:
            unloadable += 1
            continue
        gone_back += step < newest or listed < 1
        newest = step
    return {
        "kills": kills,
        "seed": seed,
        "unloadable": unloadable,
        "older_than_the_one_before": gone_back,
        "killed_while_a_draft_was_written": torn,
        "checkpoints_written": newest,
        "checkpoint_mib": TENSORS * VALUES * 4 / 2**20,
        "mean_write_ms": round(1e3 * seconds_each, 2),
        "schema": CHECKPOINT_SCHEMA,
    }


def _start_writer(folder: Path, step: int, tensors: dict[str, torch.Tensor]) -> int:
    """Fork a process that writes checkpoints until it is killed; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        while True:
            step += 1
            _save(folder, step, tensors)
    finally:
        os._exit(1)


def _save(folder: Path, step: int, tensors: dict[str, torch.Tensor]) -> None:
    save_checkpoint(folder, step=step, tensors=tensors, state={"identity": {"precision": "float32", "phase": 0}})
