"""A package is what was sealed, or it is refused."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.engine.constants import PACKAGE_FILES
from training.engine.exceptions import PackageError
from training.engine.package import MANIFEST_KEYS, hash_file, seal_package, verify_package


def make_manifest() -> dict[str, Any]:
    empty: dict[str, Any] = {key: kind() for key, kind in MANIFEST_KEYS.items() if key not in {"schema", "files"}}
    return {
        **empty,
        "class_keys": ["cat", "dog"],
        "metrics": {"accuracy": 0.75},
        "calibration": {"temperature": 0.5},
        "wall_seconds": 1.0,
    }


def make_draft(path: Path) -> Path:
    path.mkdir()
    for name in PACKAGE_FILES:
        (path / name).write_bytes(name.encode())
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return seal_package(make_draft(tmp_path / "draft"), make_manifest(), tmp_path / "packages")


def test_sealed_package_is_named_after_its_manifest(package: Path) -> None:
    assert package.name == hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()
    assert not (package.parent.parent / "draft").exists()


def test_verified_package_tells_what_it_holds(package: Path) -> None:
    manifest = verify_package(package)
    assert (manifest.sha256, manifest.path, manifest.class_keys) == (package.name, package, ("cat", "dog"))
    assert (manifest.accuracy, manifest.temperature) == (0.75, 0.5)
    assert (manifest.onnx_path, manifest.weights_path) == tuple(package / name for name in PACKAGE_FILES)
    assert manifest.raw["files"]["model.onnx"] == {"sha256": hash_file(package / "model.onnx"), "bytes": 10}


def test_everybody_may_read_the_files(package: Path) -> None:
    assert {stat.S_IMODE(file.stat().st_mode) for file in package.iterdir()} == {0o644}


def test_sealing_the_same_again_returns_the_same(package: Path, tmp_path: Path) -> None:
    assert seal_package(make_draft(tmp_path / "again"), make_manifest(), tmp_path / "packages") == package
    assert [entry.name for entry in tmp_path.iterdir()] == ["packages"]


def flip_byte(name: str) -> Callable[[Path], None]:
    def change(package: Path) -> None:
        content = bytearray((package / name).read_bytes())
        content[3] ^= 1
        (package / name).write_bytes(content)

    return change


def test_package_sealed_elsewhere_is_verified_by_content(package: Path, tmp_path: Path) -> None:
    package.rename(tmp_path / package.name)
    assert verify_package(tmp_path / package.name).sha256 == package.name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (flip_byte("model.onnx"), r"model\.onnx was altered"),
        (flip_byte("weights.safetensors"), r"weights\.safetensors was altered"),
        (flip_byte("manifest.json"), "is not named after its manifest"),
        (lambda package: (package / "extra.txt").touch(), r"holds extra\.txt, manifest\.json"),
        (lambda package: (package / "model.onnx").unlink(), r"holds manifest\.json, weights\.safetensors;"),
        (lambda package: (package / "manifest.json").write_text("{"), "is not named after its manifest"),
    ],
)
def test_altered_package_is_refused(package: Path, change: Callable[[Path], None], says: str) -> None:
    change(package)
    with pytest.raises(PackageError, match=says):
        verify_package(package)


def test_renamed_package_is_refused(package: Path) -> None:
    renamed = package.rename(package.parent / ("0" * 64))
    with pytest.raises(PackageError, match=f"is not named after its manifest, whose hash is {package.name}"):
        verify_package(renamed)


def test_missing_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"holds nothing; a model package holds exactly manifest\.json, model\.onnx"):
        verify_package(tmp_path / "nowhere")


def test_linked_file_is_refused(package: Path, tmp_path: Path) -> None:
    (package / "model.onnx").rename(tmp_path / "model.onnx")
    (package / "model.onnx").symlink_to(tmp_path / "model.onnx")
    with pytest.raises(PackageError, match=r"model\.onnx is not a regular file"):
        verify_package(package)


def write_named(parent: Path, manifest: dict[str, Any]) -> Path:
    """Write a package whose name and manifest agree, whatever the manifest says."""
    text = json.dumps(manifest).encode()
    package = make_draft(parent / hashlib.sha256(text).hexdigest())
    (package / "manifest.json").write_bytes(text)
    return package


def test_unknown_schema_is_refused(package: Path, tmp_path: Path) -> None:
    raw = dict(verify_package(package).raw)
    with pytest.raises(PackageError, match="does not follow schema 1"):
        verify_package(write_named(tmp_path, {**raw, "schema": 2}))


@pytest.mark.parametrize("key", MANIFEST_KEYS.keys() - {"schema"})
def test_manifest_without_a_key_is_refused(package: Path, tmp_path: Path, key: str) -> None:
    raw = {name: value for name, value in verify_package(package).raw.items() if name != key}
    with pytest.raises(PackageError, match=f"lacks a valid {key}"):
        verify_package(write_named(tmp_path, raw))


def test_draft_without_weights_is_not_sealed(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "draft")
    (draft / "model.onnx").unlink()
    with pytest.raises(PackageError, match=r"draft lacks model\.onnx"):
        seal_package(draft, make_manifest(), tmp_path / "packages")
    assert not (tmp_path / "packages").exists()
