"""A training run around its engine: configuration file, checkpoint to resume from, package to register."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from training.choices import TERMINAL_STATUSES, JobStatus, Reason
from training.doorbell import EXECUTE_RUN
from training.engine.events import FinishedEvent
from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest, hash_file
from training.mirror import STATES, describe_run
from training.models import Dataset, TrainingRun
from training.processes import engine_command
from training.recording import Listener, RunRecorder
from training.registry import record_version, store_package
from training.storage import RUNS, artifacts
from training.tracking import CLOSE_SECONDS, Tracker
from training.work import UnusableResultError, Work, remove_other_fences

_RELEASE_SECONDS: Final = 3.0  # at a worker's shutdown nobody waits long for MLflow

logger = logging.getLogger(__name__)


class RunWork(Work):
    """The work of one claimed run, in `runs/<id>/<fence>/` under the artifacts root.

    Args:
        run: The claimed run.
        listener: Told about every event of the engine.
    """

    task = EXECUTE_RUN

    def __init__(self, run: TrainingRun, *, listener: Listener) -> None:
        self._run = run
        self._folder = artifacts(RUNS, run.pk, run.fence)
        self._checkpoints = self._folder / "checkpoints"
        self._package: PackageManifest | None = None
        self._tracker = Tracker(describe_run(run))
        folder = f"{RUNS}/{run.pk}/{run.fence}"
        self.recorder = RunRecorder(run, folder=folder, tracker=self._tracker, listener=listener)

    def prepare(self) -> list[str]:
        """Write the engine's configuration; resume from the newest sound checkpoint of an earlier claim."""
        run = self._run
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "config.json"
        config.write_text(json.dumps({**run.config, **_find_folders(run)}, indent=1))
        checkpoint, own = find_checkpoint(run), None
        while checkpoint is not None and (own := adopt_checkpoint(checkpoint, into=self._checkpoints)) is None:
            checkpoint = find_checkpoint(run)
        needed = [run.fence - 2, *([] if checkpoint is None else [_fence_of(checkpoint)])]
        remove_other_fences(self._folder.parent, oldest_kept=min(needed))
        arguments = ["--config", str(config), "--workdir", str(self._folder)]
        if checkpoint is not None:
            logger.info("%s resumes from %s", run, checkpoint.name)
            arguments += ["--resume", str(own)]
        if run.dataset.copies_accepted_at is not None:
            arguments.append("--accept-copies")
        if settings.TRAINING_THREADS:
            arguments += ["--threads", str(settings.TRAINING_THREADS)]
        return engine_command("fit", *arguments)

    def keep(self, finished: FinishedEvent, *, log_tail: str) -> Callable[[], None]:
        """Verify the package and copy it to where versions live; the write registers it and ends the run."""
        if not finished.get("package"):
            raise UnusableResultError("The engine made no model package.", reason=Reason.BAD_PACKAGE)
        try:
            package = store_package(self._folder / str(finished["package"]))
        except PackageError as error:
            logger.warning("%s: %s", self._run, error)
            detail = "The model package is incomplete or was altered after it was written."
            raise UnusableResultError(detail, reason=Reason.BAD_PACKAGE) from error
        self._package = package

        def write() -> None:
            with transaction.atomic():
                self._run.succeed(
                    metrics=dict(package.metrics),
                    wall_seconds=finished.get("wall_seconds"),
                    log_tail=log_tail,
                    checkpoint="",
                    checkpoint_sha256="",
                )
                record_version(package, run=self._run)

        return write

    def clean_up(self, status: JobStatus | None) -> None:
        """Close the mirror; the checkpoints of a run that succeeded have served."""
        if status == JobStatus.SUCCEEDED:
            shutil.rmtree(self._folder.parent, ignore_errors=True)
            if self._package is not None:
                self._tracker.log_package(self._package)
        if status is None:
            self._tracker.close(None, seconds=_RELEASE_SECONDS)
            return
        seconds = CLOSE_SECONDS if status in TERMINAL_STATUSES else _RELEASE_SECONDS
        is_mirrored = self._tracker.close(STATES[status], seconds=seconds)
        if self._tracker.is_open:  # MLflow may have named the run after its last write
            known = {"mlflow_run_id": self._tracker.run_id}
            if is_mirrored:
                known["mlflow_state"] = STATES[status]
            TrainingRun.objects.filter(pk=self._run.pk, fence=self._run.fence, status=status).update(**known)


def _find_folders(run: TrainingRun) -> dict[str, str]:
    """Return the folders of the datasets that a run's configuration knows by name."""
    folders = {"dataset": str(run.dataset.path)}
    if run.is_transfer:
        folders["auxiliary_dataset"] = str(Dataset.objects.get(name=run.config["auxiliary_dataset"]).path)
    return folders


def find_checkpoint(run: TrainingRun) -> Path | None:
    """Return the checkpoint to resume from: the recorded one, else the newest sound one; None to start afresh.

    The recorded one is preferred to a newer one, whose epochs may have been lost with the worker that trained them.
    """
    on_disk = artifacts(RUNS, run.pk).glob("*/checkpoints/step-*")
    candidates = sorted(on_disk, key=lambda path: path.name, reverse=True)
    if run.checkpoint:
        candidates.insert(0, artifacts(run.checkpoint))
    for path in candidates:
        if is_sound(path):
            return path
        logger.warning("%s: checkpoint %s is damaged or gone, the one before is tried", run, path.name)
    return None


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


def _fence_of(checkpoint: Path) -> int:
    """Return the claim under which a checkpoint was written: `runs/<id>/<fence>/checkpoints/step-…`."""
    return int(checkpoint.parents[1].name)


def is_sound(checkpoint: Path) -> bool:
    """Whether a checkpoint is complete: its state can be read and names the hash that its tensors have."""
    try:
        state = json.loads((checkpoint / "state.json").read_bytes())
        return bool(state["tensors_sha256"] == hash_file(checkpoint / "tensors.safetensors"))
    except (OSError, ValueError, KeyError, TypeError):
        return False
