"""A stand-in for `python -m training.engine` that speaks its protocol in milliseconds, well or badly.

The environment variable STUB_ENGINE says how: one of the modes below. STUB_PACKAGE names a package to deliver, or
STUB_PACKAGES a folder of ten of them of which each run's seed chooses one, that is made the run's and the claim's own.
STUB_SECONDS is how long an epoch takes, and the delivery.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from training.engine.events import emit

MODES = (
    "ok",  # trains, obeys SIGTERM with a checkpoint
    "diverge",  # `failed`, exit 1
    "disk-full",  # likewise
    "crash",  # a traceback, exit 3
    "segfault",
    "hang",  # says nothing, obeys SIGTERM
    "ignore-sigterm",  # trains for ever
    "killed",  # SIGKILL after the first checkpoint
    "killed-early",  # SIGKILL at once
    "stopped",  # exit 75 although nobody asked
    "silent",  # exit 0 without a result
    "usage",  # exit 2
    "nonsense",  # an event without its keys
    "grandchild",  # leaves a process of its group behind that holds its pipes
    "no-package",
    "damaged-package",
    "noisy",  # writes a thousand lines to standard error
)
STEPS_PER_EPOCH = 10

is_stopping = False


def main() -> int:
    mode = os.environ.get("STUB_ENGINE", "ok")
    assert mode in MODES
    arguments = read_arguments()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "ignore-sigterm" else request_stop)
    misbehave_early(mode)
    if arguments.command == "fit":
        return fit(arguments, mode=mode)
    return make_dataset(arguments)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["fit", "import", "demo", "cifar10", "stl10"])
    for name in ("config", "workdir", "resume", "output", "source", "download-root"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--accept-copies", action="store_true")
    parser.add_argument("--keep-all-checkpoints", action="store_true")
    parser.add_argument("--name")
    parser.add_argument("--notes", default="")
    parser.add_argument("--skip-unreadable", action="store_true")
    return parser.parse_args()


def request_stop(_number: int, _frame: FrameType | None) -> None:
    global is_stopping  # noqa: PLW0603
    is_stopping = True


def complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def misbehave_early(mode: str) -> None:
    """End here in the modes that never get to work."""
    if mode == "killed-early":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "usage":
        complain("stub_engine: error: unknown option")
        sys.exit(2)
    if mode == "hang":
        while not is_stopping:
            time.sleep(0.01)
        emit("stopped", step=0, checkpoint=None)
        sys.exit(75)
    if mode == "noisy":
        for number in range(1000):
            complain(f"line {number}\x00 \x1b[31mred\r  0%\rline {number} done")


def misbehave_late(mode: str) -> None:
    """Misbehave after the first checkpoint."""
    match mode:
        case "crash":
            complain("RuntimeError: a bug")
            sys.exit(3)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stopped":
            sys.exit(75)
        case "silent":
            sys.exit(0)
        case "nonsense":
            emit("progress", done="many")
            time.sleep(60)
        case "diverge":
            emit("failed", reason="diverged", detail="The training loss stopped being a finite number.")
            sys.exit(1)
        case "disk-full":
            emit("failed", reason="disk_full", detail="No space left to write a checkpoint.")
            sys.exit(1)
        case "grandchild":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            Path(os.environ["STUB_PID_FILE"]).write_text(str(child.pid))


def fit(arguments: argparse.Namespace, *, mode: str) -> int:
    config = json.loads(arguments.config.read_text())
    assert Path(config["dataset"]).is_absolute()
    first_step = json.loads((arguments.resume / "state.json").read_text())["step"] if arguments.resume else 0
    epochs, total_steps = config["epochs"], config["epochs"] * STEPS_PER_EPOCH
    emit(
        "started", phase=0, epochs=epochs, steps_per_epoch=STEPS_PER_EPOCH, total_steps=total_steps, device="cpu",
        device_name="stub", precision="float32", total_parameters=10, trainable_parameters=10,
        resumed_from_step=first_step,
    )  # fmt: skip
    epoch = first_step // STEPS_PER_EPOCH
    while epoch < epochs or mode == "ignore-sigterm":
        epoch += 1
        time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
        step = epoch * STEPS_PER_EPOCH
        emit("step", phase=0, epoch=epoch, step=step, loss=1 / epoch, learning_rate=0.1, images_per_second=100.0)
        emit(
            "epoch_end", phase=0, epoch=epoch, step=step, images=100, train_loss=1 / epoch, train_accuracy=0.5,
            validation_loss=None, validation_accuracy=None, f1_macro=None, learning_rate=0.1, seconds=0.1,
        )  # fmt: skip
        saved = save_checkpoint(arguments.workdir, epoch=epoch, step=step)
        misbehave_late(mode)
        if is_stopping:
            emit("stopped", step=step, checkpoint=saved)
            return 75
    emit("progress", done=0, total=1, message="evaluating on the test split")
    time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
    if is_stopping:
        emit("stopped", step=total_steps, checkpoint=None)
        return 75
    return deliver(arguments.workdir, mode=mode, seed=config.get("seed", 0))


def save_checkpoint(workdir: Path, *, epoch: int, step: int) -> str:
    folder = workdir / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = f"tensors of step {step}".encode()
    (folder / "tensors.safetensors").write_bytes(tensors)
    state = json.dumps({"step": step, "tensors_sha256": hashlib.sha256(tensors).hexdigest()}).encode()
    (folder / "state.json").write_bytes(state)
    path = folder.relative_to(workdir).as_posix()
    emit("checkpoint", phase=0, epoch=epoch, step=step, path=path, sha256=hashlib.sha256(state).hexdigest())
    return path


def deliver(workdir: Path, *, mode: str, seed: int) -> int:
    if mode == "no-package":
        emit("finished", package=None, package_sha256=None, metrics={}, wall_seconds=0.5)
        return 0
    target = personalize(workdir, seed=seed) if "STUB_PACKAGES" in os.environ else copy_package(workdir)
    if mode == "damaged-package":
        with (target / "weights.safetensors").open("ab") as file:
            file.write(b"!")
    emit(
        "finished", package=f"package/{target.name}", package_sha256=target.name, metrics={"accuracy": 0.5},
        wall_seconds=0.5,
    )  # fmt: skip
    return 0


def copy_package(workdir: Path) -> Path:
    source = Path(os.environ["STUB_PACKAGE"])
    return shutil.copytree(source, workdir / "package" / source.name)


def personalize(workdir: Path, *, seed: int) -> Path:
    """Write the package that this seed chooses, with seed and claim in its manifest, so that no other is like it."""
    draft = workdir / "package" / "draft"
    shutil.copytree(Path(os.environ["STUB_PACKAGES"]) / str(seed // 100 % 10), draft)
    manifest = json.loads((draft / "manifest.json").read_text())
    manifest |= {"seed": seed, "wall_seconds": float(workdir.name)}
    text = json.dumps(manifest).encode()
    (draft / "manifest.json").write_bytes(text)
    return draft.rename(draft.with_name(hashlib.sha256(text).hexdigest()))


def make_dataset(arguments: argparse.Namespace) -> int:
    draft = arguments.output.with_name(".draft")
    draft.mkdir()
    (draft / "train_images.npy").write_bytes(b"0" * 100)
    for done in range(5):
        emit("progress", done=done, total=5, message=f"{done} files read")
        time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
        if is_stopping:
            emit("stopped", step=0, checkpoint=None)
            return 75
    if os.environ.get("STUB_ENGINE") == "diverge":
        emit("failed", reason="bad_dataset", detail="Entry 'train/cat/1.png' is no image.")
        return 1
    misbehave_late(os.environ.get("STUB_ENGINE", "ok"))
    manifest = describe_dataset(arguments)
    (draft / "manifest.json").write_text(json.dumps(manifest))
    draft.rename(arguments.output)
    emit("finished", dataset=manifest)
    return 0


def describe_dataset(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": arguments.name,
        "notes": arguments.notes,
        "source": arguments.command,
        "synthetic": arguments.command == "demo",
        "image_size": 32,
        "class_keys": ["cat", "dog"],
        "splits": {
            "train": {"count": 8, "per_class": {"cat": 4, "dog": 4}},
            "test": {"count": 2, "per_class": {"cat": 1, "dog": 1}},
        },
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "skipped": [],
        "files": {},
        "sha256": hashlib.sha256(arguments.name.encode()).hexdigest(),
    }


if __name__ == "__main__":
    sys.exit(main())
