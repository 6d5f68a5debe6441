"""One training run as a process: read the configuration, train, publish, and tell how it ended."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from types import FrameType

import torch
from torch.distributed import is_torchelastic_launched

from training.engine.checkpoint import Checkpoint, load_newest_checkpoint
from training.engine.config import TrainConfig, read_config
from training.engine.constants import EXIT_FAILED, EXIT_FINISHED, EXIT_LOST, EXIT_STOPPED, EXIT_USAGE, PUBLISH_STAGES
from training.engine.data import Dataset, load_dataset
from training.engine.data_checks import read_report, require_separate_auxiliary, require_separate_splits
from training.engine.device import choose_device
from training.engine.events import emit
from training.engine.exceptions import EngineError, RankLostError, Reason
from training.engine.fit import StopRequested, Trainer
from training.engine.launch import STOP_SIGNALS, is_rank
from training.engine.memory import keep_freed_memory
from training.engine.out_of_memory import explain_shortage, is_out_of_memory
from training.engine.package import is_disk_full
from training.engine.publish import publish_package
from training.engine.ranks import Ranks
from training.engine.transfer import MakeTrainer, train_in_phases


class StopFlag:
    """Becomes true when the process is told to end by SIGTERM or Ctrl-C; a second signal changes nothing."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        """Take over both signals."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # whoever starts several processes holds them back

    def __call__(self) -> bool:
        """Whether a signal has arrived."""
        return self.is_set

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


def run_fit(
    *,
    config_path: Path,
    workdir: Path,
    resume: Path | None,
    threads: int | None,
    accept_copies: bool = False,
    keep_all_checkpoints: bool = False,
) -> int:
    """Train as a configuration file says and return the process's exit code; every end is told by an event.

    Args:
        config_path: JSON of a `TrainConfig`.
        workdir: Directory that receives checkpoints and the package; created when missing.
        resume: A checkpoint, or a directory of checkpoints, to continue from.
        threads: Threads for one operation of all processes on this machine together; torch's own choice when None.
        accept_copies: Whether test images may be exact copies of training images, the auxiliary ones included.
        keep_all_checkpoints: Whether somebody else removes old checkpoints.
    """
    stop = StopFlag()
    stop.install()
    keep_freed_memory()
    config: TrainConfig | None = None
    ranks = Ranks()
    try:
        if is_rank() and os.environ["RANK"] != "0":  # the first one speaks for all, also where they fail to meet
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        ranks = Ranks.join()
        if threads is not None:
            torch.set_num_threads(threads)
        config = read_config(config_path)
        require_separate_splits(read_report(Path(config.dataset)), accept_copies=accept_copies)
        if config.auxiliary_dataset and not accept_copies:
            require_separate_auxiliary(Path(config.dataset), auxiliary=Path(config.auxiliary_dataset))
        make = partial(
            Trainer,
            workdir=workdir,
            is_stopping=lambda: ranks.agree(stop()),
            ranks=ranks,
            keep_all_checkpoints=keep_all_checkpoints,
        )
        _fit(config, workdir=workdir, resume=resume, make=make, ranks=ranks)
    except StopRequested as stopped:
        ranks.leave()
        emit("stopped", step=stopped.step, checkpoint=_relative(stopped.checkpoint, workdir=workdir))
        return _end(EXIT_STOPPED, ranks=ranks)
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the supervisor is told
        return _fail(error, config=config, ranks=ranks)
    return _end(EXIT_FINISHED, ranks=ranks)


def _end(code: int, *, ranks: Ranks) -> int:
    """Return the exit code; one of several processes ends here.

    At an orderly end it could wait for an exchange that nobody will answer any more, or be aborted by a thread of the
    process group that is still there ("terminate called without an active exception").
    """
    if ranks.size > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _fail(error: Exception, *, config: TrainConfig | None, ranks: Ranks) -> int:
    """Tell why the run failed and return the exit code; one of several processes ends here.

    Of another process that is gone without a word, only `launch_ranks` knows more; torchrun would tell nobody.
    """
    reason, detail = explain_failure(error, config=config)
    is_told_elsewhere = False
    if isinstance(error, RankLostError):
        word = ranks.read_failure()
        reason, detail = word or (reason, detail)
        is_told_elsewhere = word is None and not is_torchelastic_launched()
    else:
        ranks.tell_failure(reason, detail)
    if not isinstance(error, EngineError):
        traceback.print_exc(file=sys.stderr)
    if is_told_elsewhere:
        sys.stderr.write(f"{detail}\n")
        code = EXIT_LOST
    else:
        emit("failed", reason=reason, detail=detail)
        code = EXIT_USAGE if reason == "bad_config" else EXIT_FAILED
    return _end(code, ranks=ranks)


def explain_failure(error: BaseException, *, config: TrainConfig | None = None) -> tuple[Reason, str]:
    """Return the `failed` event's reason and one sentence for a person.

    Args:
        error: What ended the run.
        config: The run's settings, when they could be read.
    """
    if isinstance(error, EngineError):
        return error.reason, str(error)
    if is_disk_full(error):
        return "disk_full", "No space left on the disk that holds the run."
    if is_out_of_memory(error):
        return "out_of_memory", explain_shortage(error, config=config)
    text = str(error).strip()
    first_line = text.splitlines()[0] if text else "no details"
    return "error", f"Unexpected {type(error).__name__}: {first_line}"


def _relative(path: Path | None, *, workdir: Path) -> str | None:
    """Return a path as an event tells it: relative to the working directory, or in full when it lies elsewhere."""
    if path is None:
        return None
    return (path.relative_to(workdir) if path.is_relative_to(workdir) else path).as_posix()


def _fit(config: TrainConfig, *, workdir: Path, resume: Path | None, make: MakeTrainer, ranks: Ranks) -> None:
    """Train, publish and announce the package; of several processes, the first one publishes.

    Raises:
        StopRequested: The process was told to end.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset(Path(config.dataset))
    auxiliary = load_dataset(Path(config.auxiliary_dataset)) if config.auxiliary_dataset else None
    checkpoint = None if resume is None else load_newest_checkpoint(resume)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // ranks.local_size))
    trainer = _train(
        config,
        dataset=dataset,
        auxiliary=auxiliary,
        checkpoint=checkpoint,
        make=make,
        ranks=ranks,
    )
    ranks.leave()
    torch.set_num_threads(threads)  # the others end: what follows has the machine for itself
    if not ranks.is_first:
        return

    def announce(done: int, message: str) -> None:
        trainer.raise_if_stopping()
        emit("progress", done=done, total=len(PUBLISH_STAGES), message=message)

    summary = trainer.selection.summarize()
    package = publish_package(
        trainer.network,
        config=config,
        dataset=dataset,
        auxiliary=auxiliary,
        training=trainer.train_split,
        validation=trainer.validation_split,
        device=trainer.device,
        workdir=workdir,
        parameter_counts=trainer.parameter_counts,
        summary=summary,
        wall_seconds=trainer.position.seconds,
        on_stage=announce,
    )
    emit(
        "finished",
        package=package.path.relative_to(workdir).as_posix(),
        package_sha256=package.sha256,
        metrics=dict(package.metrics),
        training=summary,
        wall_seconds=trainer.position.seconds,
    )


def _train(
    config: TrainConfig,
    *,
    dataset: Dataset,
    auxiliary: Dataset | None,
    checkpoint: Checkpoint | None,
    make: MakeTrainer,
    ranks: Ranks,
) -> Trainer:
    """Train in one phase or two, from the start or from a checkpoint.

    Raises:
        StopRequested: The process was told to end.
    """
    # "auto" is decided once: a run that moves to another machine goes on in the precision that it began with.
    device = choose_device(config.precision if checkpoint is None else checkpoint.precision, ranks=ranks)
    make = partial(make, device=device)
    if auxiliary is not None:
        return train_in_phases(config=config, dataset=dataset, auxiliary=auxiliary, make=make, checkpoint=checkpoint)
    trainer = make(config=config, dataset=dataset)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    trainer.train()
    return trainer
