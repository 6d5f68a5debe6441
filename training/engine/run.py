"""One training run as a process: read the configuration, train, publish, and tell how it ended."""

from __future__ import annotations

import errno
import json
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

import torch

from training.engine.checkpoint import load_newest_checkpoint
from training.engine.config import TrainConfig
from training.engine.constants import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED, EXIT_USAGE, PUBLISH_STAGES
from training.engine.data import load_dataset
from training.engine.data_checks import read_report, require_separate_splits
from training.engine.device import choose_device
from training.engine.events import emit
from training.engine.exceptions import ConfigError, EngineError, Reason
from training.engine.fit import StopRequested, Trainer
from training.engine.memory import keep_freed_memory
from training.engine.package import is_disk_full
from training.engine.publish import publish_package

OUT_OF_MEMORY_MARKS = ("out of memory", "can't allocate memory", "std::bad_alloc")


class StopFlag:
    """Becomes true when the process is told to end by SIGTERM or Ctrl-C; a second signal changes nothing."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        """Take over both signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def __call__(self) -> bool:
        """Whether a signal has arrived."""
        return self.is_set

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


def run_fit(
    *, config_path: Path, workdir: Path, resume: Path | None, threads: int | None, accept_copies: bool = False
) -> int:
    """Train as a configuration file says and return the process's exit code; every end is told by an event.

    Args:
        config_path: JSON of a `TrainConfig`.
        workdir: Directory that receives checkpoints and the package; created when missing.
        resume: A checkpoint, or a directory of checkpoints, to continue from.
        threads: Threads for one operation; torch's own choice when None.
        accept_copies: Whether test images may be exact copies of training images.
    """
    stop = StopFlag()
    stop.install()
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        config = read_config(config_path)
        require_separate_splits(read_report(Path(config.dataset)), accept_copies=accept_copies)
        _fit(config, workdir=workdir, resume=resume, stop=stop)
    except StopRequested as stopped:
        emit("stopped", step=stopped.step, checkpoint=_relative(stopped.checkpoint, workdir=workdir))
        return EXIT_STOPPED
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the supervisor is told
        reason, detail = explain_failure(error)
        if not isinstance(error, EngineError):
            traceback.print_exc(file=sys.stderr)
        emit("failed", reason=reason, detail=detail)
        return EXIT_USAGE if reason == "bad_config" else EXIT_FAILED
    return EXIT_FINISHED


def read_config(path: Path) -> TrainConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: It cannot be read, is not a JSON object, or a value is refused.
    """
    try:
        mapping = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", field="config", value=str(path)) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON.", field="config", value=str(path)) from error
    if not isinstance(mapping, dict):
        raise ConfigError(f"{path} is not a JSON object.", field="config", value=str(path))
    return TrainConfig.from_dict(mapping)


def explain_failure(error: BaseException) -> tuple[Reason, str]:
    """Return the `failed` event's reason and one sentence for a person."""
    if isinstance(error, EngineError):
        return error.reason, str(error)
    if is_disk_full(error):
        return "disk_full", "No space left on the disk that holds the run."
    text = str(error).strip()
    is_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if is_memory or (isinstance(error, RuntimeError) and any(mark in text.lower() for mark in OUT_OF_MEMORY_MARKS)):
        return "out_of_memory", "The run needs more memory than there is: lower the batch size or the width."
    first_line = text.splitlines()[0] if text else "no details"
    return "error", f"Unexpected {type(error).__name__}: {first_line}"


def _relative(path: Path | None, *, workdir: Path) -> str | None:
    """Return a path as an event tells it: relative to the working directory, or in full when it lies elsewhere."""
    if path is None:
        return None
    return (path.relative_to(workdir) if path.is_relative_to(workdir) else path).as_posix()


def _fit(config: TrainConfig, *, workdir: Path, resume: Path | None, stop: StopFlag) -> None:
    """Train, publish and announce the package.

    Raises:
        StopRequested: The process was told to end.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset(Path(config.dataset))
    checkpoint = None if resume is None else load_newest_checkpoint(resume)
    # "auto" is decided once: a run that moves to another machine goes on in the precision that it began with.
    precision = config.precision if checkpoint is None else checkpoint.precision
    trainer = Trainer(
        config=config, dataset=dataset, device=choose_device(precision), workdir=workdir, is_stopping=stop
    )
    if checkpoint is not None:
        trainer.restore(checkpoint)
    network = trainer.train()

    def announce(done: int, message: str) -> None:
        trainer.raise_if_stopping()
        emit("progress", done=done, total=len(PUBLISH_STAGES), message=message)

    package = publish_package(
        network,
        config=config,
        dataset=dataset,
        training=trainer.train_split,
        validation=trainer.validation_split,
        device=trainer.device,
        workdir=workdir,
        parameter_counts=trainer.parameter_counts,
        wall_seconds=trainer.position.seconds,
        on_stage=announce,
    )
    emit(
        "finished",
        package=package.path.relative_to(workdir).as_posix(),
        package_sha256=package.sha256,
        metrics=dict(package.metrics),
        wall_seconds=trainer.position.seconds,
    )
