"""Packages become versions: verified, copied, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.factories import TrainingRunFactory
from tests.tiny_model import build_package
from training.choices import ModelState
from training.engine.exceptions import PackageError
from training.models import ModelVersion
from training.registry import register_package

pytestmark = pytest.mark.django_db


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return build_package(tmp_path / "made")


def test_a_package_becomes_a_candidate(package: Path, artifacts_root: Path) -> None:
    run = TrainingRunFactory.create()
    version = register_package(package, run=run)
    assert (version.state, version.run, version.test_accuracy) == (ModelState.CANDIDATE, run, 1.0)
    assert version.package_sha256 == package.name
    assert version.location == f"models/{package.name}"
    assert version.path == artifacts_root / "models" / package.name
    assert {file.name for file in version.path.iterdir()} == {"manifest.json", "model.onnx", "weights.safetensors"}
    assert [path.name for path in version.path.parent.iterdir()] == [package.name]


@pytest.mark.usefixtures("artifacts_root")
def test_registering_twice_is_registering_once(package: Path) -> None:
    first = register_package(package)
    assert register_package(package) == first
    assert ModelVersion.objects.count() == 1


@pytest.mark.usefixtures("artifacts_root")
def test_a_registered_package_can_be_registered_from_where_it_lives(package: Path) -> None:
    version = register_package(package)
    shutil.rmtree(package)
    assert register_package(version.path) == version


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "manifest.json"])
def test_a_changed_byte_is_refused(package: Path, artifacts_root: Path, name: str) -> None:
    data = bytearray((package / name).read_bytes())
    data[len(data) // 2] ^= 1
    (package / name).write_bytes(data)
    with pytest.raises(PackageError):
        register_package(package)
    assert not ModelVersion.objects.exists()
    assert not (artifacts_root / "models").exists()


@pytest.mark.usefixtures("artifacts_root")
def test_a_damaged_copy_is_replaced(package: Path) -> None:
    version = register_package(package)
    (version.path / "model.onnx").write_bytes(b"damaged")
    assert register_package(package) == version
    assert (version.path / "model.onnx").read_bytes() == (package / "model.onnx").read_bytes()
    assert [path.name for path in version.path.parent.iterdir()] == [package.name]
