"""Evaluations: their files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.engine.package import hash_file
from training.exceptions import DamagedArtifactError
from training.models import Evaluation
from training.store import lend


def check_evaluations() -> Iterator[Finding]:
    """The files that an evaluation's row names are there, with the hashes of its report.

    Those that are not may be forgotten: the figures stay, and evaluating again brings the files back.
    """
    for evaluation in Evaluation.objects.with_files().order_by("pk").iterator():
        if not _is_whole(evaluation):
            sentence = _("Its files are gone, incomplete or were altered.")
            repair = partial(_forget, evaluation.pk)
            yield Finding(kind="damaged_evaluation", subject=str(evaluation), sentence=sentence, repair=repair)


def _is_whole(evaluation: Evaluation) -> bool:
    """Whether all files are as they were written.

    Raises:
        OSError: the store does not answer.
    """
    try:
        with lend(evaluation.location) as path:
            files = evaluation.report["files"].items()
            return all((path / name).is_file() and hash_file(path / name) == sha256 for name, sha256 in files)
    except (FileNotFoundError, DamagedArtifactError):
        return False


def _forget(pk: int) -> str:
    Evaluation.objects.filter(pk=pk).update(location="")
    return _("Its row names no files any more; evaluate the version again to have them.")
