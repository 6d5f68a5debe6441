"""Checkpoints of runs: which one to go on from, and which are no longer needed.

One lies at `runs/<run>/<fence>/checkpoints/step-<step>`. A run's row names the newest one that is safe; those that are
newer belong to epochs that the row does not know, and are never resumed from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from training.engine.package import hash_file
from training.exceptions import DamagedArtifactError
from training.storage import CHECKPOINTS, RUNS, artifacts
from training.store import fetch, is_remote, list_stored, remove

if TYPE_CHECKING:
    from training.models import TrainingRun

_LOCATION: Final = re.compile(rf"{RUNS}/(?P<run>\d+)/(?P<fence>\d+)/{CHECKPOINTS}/step-(?P<step>\d+)")

logger = logging.getLogger(__name__)


class CheckpointName(NamedTuple):
    """What a checkpoint's location says about it."""

    step: int
    fence: int
    run: int
    location: str


def parse_location(location: str) -> CheckpointName | None:
    """Read a checkpoint's location; None for anything else."""
    found = _LOCATION.fullmatch(location)
    return found and CheckpointName(int(found["step"]), int(found["fence"]), int(found["run"]), location)


def list_checkpoints(run: int) -> list[CheckpointName]:
    """Return the checkpoints of run number `run` that this machine or the store has, those of most steps first.

    Raises:
        OSError: the store does not answer.
    """
    local = artifacts(RUNS, run).glob(f"*/{CHECKPOINTS}/step-*")
    locations = {path.relative_to(artifacts()).as_posix() for path in local}
    if is_remote():
        locations.update(stored.location for stored in list_stored(RUNS, under=f"{run}/"))
    return sorted(filter(None, map(parse_location, locations)), reverse=True)


def find_checkpoint(run: TrainingRun) -> Path | None:
    """Return the checkpoint to resume from, on this machine: the recorded one, else the newest sound one before it.

    Newer ones than the recorded one are not considered: the epochs since then may have been lost with the worker that
    trained them.

    Returns:
        None to start afresh.

    Raises:
        OSError: the store does not answer, or there is no room for what it has.
    """
    recorded = parse_location(run.checkpoint)
    if recorded is None:
        return None
    for name in (recorded, *find_earlier(recorded, list_checkpoints(recorded.run))):
        sha256 = run.checkpoint_sha256 if name is recorded else ""
        try:
            path = fetch(name.location)
        except (FileNotFoundError, DamagedArtifactError):
            path = None
        if path is not None and is_sound(path, sha256=sha256):
            return path
        logger.warning("%s: checkpoint step %d is damaged or gone, the one before is tried", run, name.step)
    return None


def find_earlier(recorded: CheckpointName, known: list[CheckpointName]) -> list[CheckpointName]:
    """Return the checkpoints of the same run that were made before `recorded`, the newest first."""
    return sorted((name for name in known if name.run == recorded.run and name.step < recorded.step), reverse=True)


def is_sound(checkpoint: Path, *, sha256: str = "") -> bool:
    """Whether a checkpoint is complete: its state can be read and names the hash that its tensors have.

    Args:
        checkpoint: Its folder.
        sha256: What the hash of its state has to be; "" for any.
    """
    try:
        text = (checkpoint / "state.json").read_bytes()
        tensors_sha256 = json.loads(text)["tensors_sha256"]
        if sha256 and hashlib.sha256(text).hexdigest() != sha256:
            return False
        return bool(tensors_sha256 == hash_file(checkpoint / "tensors.safetensors"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def adopt_checkpoint(checkpoint: Path, *, into: Path) -> Path | None:
    """Give a claim files of its own of the checkpoint that it resumes from: links where the file system has them.

    The engine of a claim that was lost may still be alive, beside a supervisor that is not, and remove its old
    checkpoints as it goes on.

    Args:
        checkpoint: The one that was found.
        into: The folder of the new claim's checkpoints.

    Returns:
        The claim's own; None when the other was removed in this moment.
    """
    draft = into / f".{checkpoint.name}.adopted"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with contextlib.suppress(FileNotFoundError):
        for path in checkpoint.iterdir():
            _link_or_copy(path, draft / path.name)
    if not is_sound(draft):
        shutil.rmtree(draft)
        return None
    return draft.rename(into / checkpoint.name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # no links on this file system; or the file is gone, which the copy says as well
        shutil.copyfile(source, target)


def choose_outdated(recorded: CheckpointName, known: list[CheckpointName]) -> list[CheckpointName]:
    """Return the checkpoints that nothing needs once the row names `recorded`: all but it and the one before.

    Never among them are those of later claims, since whoever asks may have lost the run without knowing, and newer ones
    of the same claim, which the row is about to name.
    """
    mine = [name for name in known if name.run == recorded.run and name.fence <= recorded.fence]
    before = find_earlier(recorded, mine)[:1]
    is_newer = (name for name in mine if name.fence == recorded.fence and name.step >= recorded.step)
    return sorted({*mine} - {*before, *is_newer}, reverse=True)


def keep_only(location: str, *, run: int) -> None:
    """Remove the working folder of run number `run` and all its checkpoints but the one at `location`.

    Where the store is remote, nothing of them stays on this machine.

    Raises:
        OSError: the store does not answer.
    """
    folder = artifacts(RUNS, run)
    kept = None if is_remote() else artifacts(location).parent
    for claim in folder.glob("*"):
        if kept is None or not kept.is_relative_to(claim):
            shutil.rmtree(claim, ignore_errors=True)
            continue
        for path in (*claim.iterdir(), *kept.iterdir()):
            if path not in (kept, artifacts(location)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: the last checkpoint is there
        folder.rmdir()
    for stored in list_stored(RUNS, under=f"{run}/"):
        if stored.location != location:
            remove(stored.location)
