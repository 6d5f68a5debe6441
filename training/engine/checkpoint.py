"""Checkpoints: a directory with `tensors.safetensors` and `state.json`, complete or absent, never pickled.

A checkpoint is written under a temporary name, synced and renamed. The newest two are kept, so that one damaged by a
failing disk still leaves the one before; or all, where whoever supervises the run removes what he does not need.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.engine.constants import CHECKPOINT_SCHEMA
from training.engine.exceptions import CheckpointError, DiskFullError
from training.engine.package import hash_file, is_disk_full, sync

TENSORS_NAME: Final = "tensors.safetensors"
STATE_NAME: Final = "state.json"
KEPT_CHECKPOINTS: Final = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes:
        path: Its directory.
        sha256: Hash of its state file, which itself holds the hash of the tensors.
        tensors: Network and optimizer tensors by name.
        state: The JSON-ready rest: `step`, the clocks in `position`, and in `identity` what a run that continues from
            it must share.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    @property
    def precision(self) -> str:
        """Arithmetic in which the run computes, "float32", "bfloat16" or "float16", decided when it began."""
        return str(self.state["identity"]["precision"])

    @property
    def phase(self) -> int:
        """The phase that was under way: 0 in a run of one phase, else 1 or 2."""
        return int(self.state["identity"]["phase"])


def save_checkpoint(
    folder: Path,
    *,
    step: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    keep_all: bool = False,
) -> Checkpoint:
    """Write one checkpoint and remove all but the newest two.

    Args:
        folder: Directory of the run's checkpoints; created when missing.
        step: Optimizer steps taken so far; it names the checkpoint.
        tensors: Tensors by name.
        state: JSON-ready values; `schema`, `step` and `tensors_sha256` are added.
        keep_all: Whether to leave the older ones where they are.

    Raises:
        DiskFullError: No space left.
    """
    name = f"step-{step:08d}"
    draft = folder / f".{name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        sha256 = _write(draft, step=step, tensors=tensors, state=state)
        shutil.rmtree(folder / name, ignore_errors=True)
        draft.rename(folder / name)
        sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        if is_disk_full(error):
            raise DiskFullError(f"No space left to write a checkpoint under {folder}.") from error
        raise
    if not keep_all:
        for old in list_checkpoints(folder)[KEPT_CHECKPOINTS:]:
            shutil.rmtree(old)
    return Checkpoint(path=folder / name, sha256=sha256, tensors=tensors, state=state)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a directory, newest first, without looking inside them."""
    return sorted(folder.glob("step-*"), reverse=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint and verify it.

    Raises:
        CheckpointError: A file is missing, truncated or altered, or the schema is unknown.
    """
    try:
        text = (path / STATE_NAME).read_bytes()
        state = json.loads(text)
        if state["schema"] != CHECKPOINT_SCHEMA:
            raise CheckpointError(f"{path} does not follow checkpoint schema {CHECKPOINT_SCHEMA}.")
        if hash_file(path / TENSORS_NAME) != state["tensors_sha256"]:
            raise CheckpointError(f"{path / TENSORS_NAME} is truncated or was altered.")
        tensors = load_file(path / TENSORS_NAME)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a complete checkpoint.") from error
    return Checkpoint(path=path, sha256=hashlib.sha256(text).hexdigest(), tensors=tensors, state=state)


def load_newest_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or when it is damaged the newest sound one beside it.

    Args:
        path: One checkpoint, or the directory of a run's checkpoints.

    Raises:
        CheckpointError: None is sound.
    """
    is_single = path.name.startswith("step-")
    candidates = list_checkpoints(path.parent if is_single else path)
    if is_single:
        candidates = [path, *(other for other in candidates if other.name < path.name)]
    first_error: CheckpointError | None = None
    for candidate in candidates:
        try:
            return load_checkpoint(candidate)
        except CheckpointError as error:
            logger.warning("%s The one before is tried.", error)
            first_error = first_error or error
    raise first_error or CheckpointError(f"{path} holds no checkpoint.")


def _write(draft: Path, *, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> str:
    """Write and sync both files; return the hash of the state file."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft / TENSORS_NAME)
    complete = {
        **state,
        "schema": CHECKPOINT_SCHEMA,
        "step": step,
        "tensors_sha256": hash_file(draft / TENSORS_NAME),
    }
    text = json.dumps(complete, indent=1, sort_keys=True, allow_nan=False).encode()
    (draft / STATE_NAME).write_bytes(text)
    for name in (TENSORS_NAME, STATE_NAME):
        sync(draft / name)
    sync(draft)
    return hashlib.sha256(text).hexdigest()
