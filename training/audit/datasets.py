"""Datasets: their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.engine.constants import MANIFEST_NAME
from training.engine.package import hash_file
from training.exceptions import DamagedArtifactError
from training.models import Dataset
from training.store import lend


def check_datasets() -> Iterator[Finding]:
    """The files of every dataset are there, with the hashes of the manifest that the row has."""
    for dataset in Dataset.objects.order_by("pk").iterator():
        try:
            with lend(dataset.location) as path:
                trouble = _find_trouble(dataset, path)
        except FileNotFoundError:
            trouble = _("Its files are gone.")
        except DamagedArtifactError:
            trouble = _("Its files are incomplete or were altered.")
        if trouble:
            yield Finding(kind="damaged_dataset", subject=str(dataset), sentence=trouble)


def _find_trouble(dataset: Dataset, path: Path) -> str:
    """Say what is wrong with a dataset's files; "" for nothing."""
    if not path.is_dir():
        return _("Its files are gone.")
    try:
        manifest = json.loads((path / MANIFEST_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return _("Its manifest is gone or damaged.")
    if manifest != dataset.manifest or manifest["sha256"] != dataset.sha256:
        return _("Its manifest is another one than the row has.")
    for name, sha256 in sorted(manifest["files"].items()):
        if not (path / name).is_file() or hash_file(path / name) != sha256:
            return _("Its file %(name)s is gone or was altered.") % {"name": name}
    return ""
