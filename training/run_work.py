"""A training run around its engine: configuration file, checkpoint to resume from, package to register."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from training.checkpoints import adopt_checkpoint, find_checkpoint, keep_only, parse_location
from training.choices import TERMINAL_STATUSES, JobStatus, Reason
from training.engine.events import FinishedEvent
from training.engine.exceptions import PackageError
from training.mirror import mirror_run
from training.models import Dataset, TrainingRun
from training.processes import engine_command
from training.publishing import do_beside_lease, insist
from training.recording import Listener, RunRecorder
from training.registry import record_version, store_package
from training.storage import CHECKPOINTS, RUNS, artifacts
from training.store import is_remote, refresh
from training.tracking import CLOSE_SECONDS, Follower
from training.work import UnusableResultError, Work, remove_other_fences

_RELEASE_SECONDS: Final = 3.0  # at a worker's shutdown nobody waits long for MLflow

logger = logging.getLogger(__name__)


class RunWork(Work):
    """The work of one claimed run, in `runs/<id>/<fence>/` under the artifacts root.

    Args:
        run: The claimed run.
        listener: Told about every event of the engine.
    """

    def __init__(self, run: TrainingRun, *, listener: Listener) -> None:
        self._run = run
        self._folder = artifacts(RUNS, run.pk, run.fence)
        self._checkpoints = self._folder / CHECKPOINTS
        self._follower = Follower(partial(mirror_run, run.pk), name=str(run))
        folder = f"{RUNS}/{run.pk}/{run.fence}"
        self.recorder: RunRecorder = RunRecorder(run, folder=folder, follower=self._follower, listener=listener)

    def prepare(self) -> list[str]:
        """Write the engine's configuration; resume from the newest sound checkpoint of an earlier claim."""
        run = self._run
        locations = _find_locations(run)
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "config.json"
        folders = do_beside_lease(
            run, lambda: {key: str(insist(partial(refresh, at))) for key, at in locations.items()}
        )
        config.write_text(json.dumps({**run.config, **folders}, indent=1))
        checkpoint, own = self._find_checkpoint(), None
        while checkpoint is not None and (own := adopt_checkpoint(checkpoint, into=self._checkpoints)) is None:
            checkpoint = self._find_checkpoint()
        needed = [run.fence - 2, *([] if checkpoint is None else [_fence_of(checkpoint, run=run)])]
        remove_other_fences(self._folder.parent, oldest_kept=min(needed))
        arguments = ["--config", str(config), "--workdir", str(self._folder)]
        if checkpoint is not None:
            logger.info("%s resumes from %s", run, checkpoint.name)
            arguments += ["--resume", str(own)]
        if not is_remote():  # there, what is stored is named: the engine may remove what is not
            arguments.append("--keep-all-checkpoints")
        if run.dataset.copies_accepted_at is not None:
            arguments.append("--accept-copies")
        if settings.TRAINING_THREADS:
            arguments += ["--threads", str(settings.TRAINING_THREADS)]
        return engine_command("fit", *arguments)

    def keep(self, finished: FinishedEvent, *, log_tail: str) -> Callable[[], None]:
        """Verify the package and copy it to where versions live; the write registers it and ends the run."""
        if not finished.get("package"):
            raise UnusableResultError("The engine made no model package.", reason=Reason.BAD_PACKAGE)
        made = self._folder / str(finished["package"])
        try:
            package = do_beside_lease(self._run, lambda: insist(partial(store_package, made)))
        except PackageError as error:
            logger.warning("%s: %s", self._run, error)
            detail = "The model package is incomplete or was altered after it was written."
            raise UnusableResultError(detail, reason=Reason.BAD_PACKAGE) from error

        def write() -> None:
            with transaction.atomic():
                self._run.succeed(
                    metrics=dict(package.metrics),
                    wall_seconds=finished.get("wall_seconds"),
                    log_tail=log_tail,
                )
                record_version(package, run=self._run)

        return write

    def clean_up(self, status: JobStatus | None) -> None:
        """Let MLflow be told the rest; of a run that succeeded the last checkpoint is kept, to go on from."""
        self.recorder.close()
        if status == JobStatus.SUCCEEDED:
            self._keep_last_checkpoint()
        self._follower.close(seconds=CLOSE_SECONDS if status in TERMINAL_STATUSES else _RELEASE_SECONDS)

    def _find_checkpoint(self) -> Path | None:
        return do_beside_lease(self._run, lambda: insist(partial(find_checkpoint, self._run)))

    def _keep_last_checkpoint(self) -> None:
        try:
            keep_only(self._run.checkpoint, run=self._run.pk)
        except OSError as error:
            logger.warning("What %s left in the store is removed later: %s", self._run, error.strerror)


def _find_locations(run: TrainingRun) -> dict[str, str]:
    """Return where the datasets lie that a run's configuration knows by name."""
    locations = {"dataset": run.dataset.location}
    if run.is_transfer:
        locations["auxiliary_dataset"] = Dataset.objects.get(name=run.config["auxiliary_dataset"]).location
    return locations


def _fence_of(checkpoint: Path, *, run: TrainingRun) -> int:
    """Return the claim under which a checkpoint was written; the present one when it is another run's."""
    name = parse_location(checkpoint.relative_to(artifacts()).as_posix())
    return name.fence if name is not None and name.run == run.pk else run.fence
