"""An engine whose disk fills up at its second checkpoint: the real writing and the real explanation, no training."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import torch

from training.engine import checkpoint
from training.engine.events import emit
from training.engine.exceptions import DiskFullError
from training.engine.run import explain_failure


def save(workdir: Path, *, step: int) -> None:
    saved = checkpoint.save_checkpoint(
        workdir / "checkpoints", step=step, tensors={"weight": torch.zeros(8)}, state={"identity": {}}
    )
    path = saved.path.relative_to(workdir).as_posix()
    emit("checkpoint", phase=0, epoch=step // 10, step=step, path=path, sha256=saved.sha256)


def fill_disk(_path: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def main() -> int:
    workdir = Path(sys.argv[sys.argv.index("--workdir") + 1])
    save(workdir, step=10)
    setattr(checkpoint, "sync", fill_disk)  # noqa: B010 - a name that the module imports
    try:
        save(workdir, step=20)
    except DiskFullError as error:
        reason, detail = explain_failure(error)
        emit("failed", reason=reason, detail=detail)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
