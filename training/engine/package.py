"""Model packages: immutable directories named after the hash of their manifest. Imports no torch.

A package holds `model.onnx`, `weights.safetensors` and `manifest.json`. The manifest carries the hash of the two files
and its own hash is the directory's name, so a single changed byte anywhere is noticed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training.engine.constants import MANIFEST_NAME, PACKAGE_FILES, PACKAGE_SCHEMA
from training.engine.exceptions import DiskFullError, PackageError

MANIFEST_KEYS: Final = {
    "schema": int,
    "files": dict,
    "architecture": dict,
    "class_keys": list,
    "input_size": list,
    "mean": list,
    "std": list,
    "recipe": str,
    "config": dict,
    "seed": int,
    "dataset": dict,
    "versions": dict,
    "hardware": dict,
    "wall_seconds": float,
    "created_at": str,
    "parameters": dict,
    "metrics": dict,
    "calibration": dict,
    "out_of_distribution": dict,
    "golden_samples": list,
    "parity": dict,
}
"""Type of every key that a manifest must have."""

CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PackageManifest:
    """A verified model package.

    Attributes:
        sha256: Hash of `manifest.json`, which is also the name of the directory.
        path: The package's directory.
        raw: The whole manifest.
    """

    sha256: str
    path: Path
    raw: Mapping[str, Any]

    @property
    def class_keys(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return tuple(self.raw["class_keys"])

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Figures measured once on the test split with the stored weights."""
        metrics: Mapping[str, Any] = self.raw["metrics"]
        return metrics

    @property
    def accuracy(self) -> float:
        """Test accuracy, a fraction in [0, 1]."""
        return float(self.metrics["accuracy"])

    @property
    def temperature(self) -> float:
        """Number by which logits are divided before the softmax."""
        return float(self.raw["calibration"]["temperature"])

    @property
    def onnx_path(self) -> Path:
        """The graph that is served."""
        return self.path / PACKAGE_FILES[0]

    @property
    def weights_path(self) -> Path:
        """The same weights, for fine-tuning and inspection."""
        return self.path / PACKAGE_FILES[1]


def verify_package(path: Path) -> PackageManifest:
    """Check a package's name, files, hashes and manifest.

    Args:
        path: Directory of the package.

    Raises:
        PackageError: Anything is missing, added, altered or of an unknown schema.
    """
    expected = {MANIFEST_NAME, *PACKAGE_FILES}
    found = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if found != expected:
        raise PackageError(f"{path} holds {_listed(found)}; a model package holds exactly {_listed(expected)}.")
    irregular = sorted(name for name in found if (path / name).is_symlink() or not (path / name).is_file())
    if irregular:
        raise PackageError(f"{path / irregular[0]} is not a regular file.")
    text = (path / MANIFEST_NAME).read_bytes()
    sha256 = hashlib.sha256(text).hexdigest()
    if path.resolve().name != sha256:
        raise PackageError(f"{path} is not named after its manifest, whose hash is {sha256}.")
    manifest = _parse_manifest(text, path=path)
    _check_files(manifest["files"], path=path)
    return PackageManifest(sha256=sha256, path=path, raw=manifest)


def seal_package(draft: Path, manifest: Mapping[str, Any], parent: Path) -> Path:
    """Turn a directory with the two weight files into a package: hash, write the manifest, sync, rename.

    Args:
        draft: Directory on the same file system as `parent` with `PACKAGE_FILES`; it is moved away.
        manifest: Every manifest key but `schema` and `files`.
        parent: Directory that receives the package; created when missing.

    Returns:
        The package's directory. When it exists already, the draft is removed and the existing one returned.

    Raises:
        PackageError: A file or a manifest key is missing.
        DiskFullError: No space left.
    """
    missing = [name for name in PACKAGE_FILES if not (draft / name).is_file()]
    if missing:
        raise PackageError(f"{draft} lacks {_listed(set(missing))}.")
    files = {
        name: {"sha256": hash_file(draft / name), "bytes": (draft / name).stat().st_size} for name in PACKAGE_FILES
    }
    complete = {**manifest, "schema": PACKAGE_SCHEMA, "files": files}
    text = json.dumps(complete, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    _parse_manifest(text, path=draft)
    package = parent / hashlib.sha256(text).hexdigest()
    try:
        (draft / MANIFEST_NAME).write_bytes(text)
        for name in (MANIFEST_NAME, *PACKAGE_FILES):
            (draft / name).chmod(0o644)  # some writers keep files to themselves; the web reads as another user
            sync(draft / name)
        sync(draft)
        parent.mkdir(parents=True, exist_ok=True)
        if package.exists():
            shutil.rmtree(draft)
        else:
            draft.rename(package)
        sync(parent)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(f"No space left to write the model package under {parent}.") from error
        raise
    return package


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that no space is left; safetensors says it only in its message."""
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "(os error 28)" in str(error)


def sync(path: Path) -> None:
    """Force a file, or a directory's list of names, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_manifest(text: bytes, *, path: Path) -> dict[str, Any]:
    """Read a manifest and check its schema and the types of its keys.

    Raises:
        PackageError: The text is not such a manifest.
    """
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise PackageError(f"The manifest of {path} is not JSON.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != PACKAGE_SCHEMA:
        raise PackageError(f"The manifest of {path} does not follow schema {PACKAGE_SCHEMA}.")
    wrong = [key for key, kind in MANIFEST_KEYS.items() if not isinstance(manifest.get(key), kind)]
    if wrong:
        raise PackageError(f"The manifest of {path} lacks a valid {wrong[0]}.")
    return manifest


def _check_files(files: Mapping[str, Any], *, path: Path) -> None:
    """Compare sizes and hashes with the manifest's.

    Raises:
        PackageError: A file is not the one that was sealed.
    """
    if set(files) != set(PACKAGE_FILES):
        raise PackageError(
            f"The manifest of {path} lists {_listed(set(files))} instead of {_listed(set(PACKAGE_FILES))}."
        )
    for name, entry in files.items():
        stored = {"sha256": hash_file(path / name), "bytes": (path / name).stat().st_size}
        if entry != stored:
            raise PackageError(f"{path / name} was altered: its hash or size differs from the manifest's.")


def _listed(names: set[str]) -> str:
    """Name files in a sentence."""
    return ", ".join(sorted(names)) or "nothing"
