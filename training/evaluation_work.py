"""An evaluation around its engine: the package and the dataset, a private draft, the final folder and the row."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error, transaction

from training.choices import JobStatus, Reason
from training.engine.events import FinishedEvent
from training.engine.package import hash_file, sync
from training.exceptions import StoreError
from training.models import Evaluation
from training.processes import engine_command
from training.publishing import do_beside_lease, insist
from training.recording import JobRecorder, Listener
from training.storage import DRAFTS, EVALUATIONS, artifacts
from training.store import fetch, publish, remove
from training.work import UnusableResultError, Work

logger = logging.getLogger(__name__)


class EvaluationWork(Work):
    """The work of one claimed evaluation. The engine writes into a draft, which is renamed when all of it is there.

    Args:
        job: The claimed evaluation.
        listener: Told about every event of the engine.
    """

    def __init__(self, job: Evaluation, *, listener: Listener) -> None:
        self._job = job
        self._location = f"{EVALUATIONS}/{job.pk}-{job.fence}"
        self._draft = artifacts(DRAFTS, f"evaluation-{job.pk}-{job.fence}")
        self.recorder = JobRecorder(job, listener=listener)

    def prepare(self) -> list[str]:
        """Bring package and dataset here, where they are not; remove what another database left in our place."""
        shutil.rmtree(self._draft, ignore_errors=True)
        self._remove_unless_named()
        locations = (self._job.version.location, self._job.dataset.location)
        package, dataset = do_beside_lease(
            self._job, lambda: [str(insist(partial(fetch, location))) for location in locations]
        )
        self._draft.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["--package", package, "--dataset", dataset, "--output", str(self._draft)]
        arguments += ["--tta"] if self._job.with_augmentation else []
        arguments += ["--threads", str(settings.TRAINING_THREADS)] if settings.TRAINING_THREADS else []
        return engine_command("evaluate", *arguments)

    def keep(self, finished: FinishedEvent, *, log_tail: str) -> Callable[[], None]:
        """Rename the draft to its final folder; the write names it, and ends the evaluation."""
        report = finished["report"]
        measured = (report["package_sha256"], report["dataset"]["sha256"])
        if measured != (self._job.version.package_sha256, self._job.dataset.sha256):
            detail = "The model package or the dataset is not the one that its row names."
            raise UnusableResultError(detail, reason=Reason.BAD_PACKAGE)
        if {path.name: hash_file(path) for path in self._draft.iterdir()} != report["files"]:
            raise UnusableResultError("What the engine wrote was altered afterwards.", reason=Reason.ERROR)
        final = artifacts(self._location)
        final.parent.mkdir(parents=True, exist_ok=True)
        self._draft.rename(final)
        sync(final.parent)
        do_beside_lease(self._job, lambda: insist(partial(publish, self._location)))
        return partial(self._write, report, log_tail)

    def clean_up(self, status: JobStatus | None) -> None:
        """Remove the draft, and what came of it unless the row names it."""
        shutil.rmtree(self._draft, ignore_errors=True)
        if status != JobStatus.SUCCEEDED:
            self._remove_unless_named()

    def _remove_unless_named(self) -> None:
        """Remove what is in our place and no row names; when nobody can say, the daily cleaning looks again."""
        try:
            if not Evaluation.objects.filter(location=self._location).exists():
                remove(self._location)
        except (Error, StoreError) as error:
            logger.warning("%s is removed later: %s", self._location, error)

    def _write(self, report: dict[str, Any], log_tail: str) -> None:
        """End the evaluation; older ones of the same version and dataset let go of their files."""
        with transaction.atomic():
            self._job.succeed(report=report, location=self._location, log_tail=log_tail)
            older = Evaluation.objects.filter(version=self._job.version_id, dataset=self._job.dataset_id)
            older.with_files().exclude(pk=self._job.pk).update(location="")
