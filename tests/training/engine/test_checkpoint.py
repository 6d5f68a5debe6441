"""Checkpoints read back exactly, are noticed when damaged, and two are kept."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from training.engine import checkpoint
from training.engine.checkpoint import list_checkpoints, load_checkpoint, load_newest_checkpoint, save_checkpoint
from training.engine.exceptions import CheckpointError, DiskFullError

TENSORS = {
    "a": torch.randn(3, 4),
    "b": torch.arange(5),
    "c": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
}


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step=step, tensors=TENSORS, state={"step_again": step})


def test_round_trip(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, step=12, tensors=TENSORS, state={"seconds": 1.5})
    loaded = load_checkpoint(saved.path)
    assert saved.path == tmp_path / "step-00000012"
    assert {name: torch.equal(tensor, TENSORS[name]) for name, tensor in loaded.tensors.items()} == dict.fromkeys(
        TENSORS, True
    )
    assert (loaded.state["step"], loaded.state["seconds"], loaded.sha256) == (12, 1.5, saved.sha256)


def test_newest_two_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003", "step-00000002"]


def test_all_are_kept_for_a_caller_who_removes_them(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step=step, tensors=TENSORS, state={}, keep_all=True)
    assert len(list_checkpoints(tmp_path)) == 3


def test_same_step_may_be_saved_again(tmp_path: Path) -> None:
    save(tmp_path, 1, 1)
    assert load_checkpoint(tmp_path / "step-00000001").state["step"] == 1


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("given", ["folder", "newest"])
def test_truncated_newest_falls_back_to_the_one_before(
    tmp_path: Path, name: str, given: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, 2)
    newest = tmp_path / "step-00000002"
    content = (newest / name).read_bytes()
    (newest / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError):
        load_checkpoint(newest)
    assert load_newest_checkpoint(tmp_path if given == "folder" else newest).state["step"] == 1
    [line] = caplog.messages
    assert line.startswith(str(newest))
    assert line.endswith("The one before is tried.")


def test_older_checkpoint_never_falls_forward(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    (tmp_path / "step-00000001" / "tensors.safetensors").unlink()
    with pytest.raises(CheckpointError, match="step-00000001 is not a complete checkpoint"):
        load_newest_checkpoint(tmp_path / "step-00000001")


def test_changed_byte_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "step-00000001" / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors is truncated or was altered\.$"):
        load_checkpoint(path.parent)


def test_unknown_schema_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "step-00000001" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "schema": 99}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not follow checkpoint schema 3"):
        load_checkpoint(path.parent)


def test_empty_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_newest_checkpoint(tmp_path)


def test_full_disk_is_named_and_leaves_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def refuse(*_: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", refuse)
    with pytest.raises(DiskFullError, match="No space left to write a checkpoint"):
        save(tmp_path, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000001"]
