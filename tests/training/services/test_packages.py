"""Packages from elsewhere: what is taken in, every way to be refused, and that nothing stays behind."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from onnx import TensorProto, helper
from pytest_django import Settings

from tests.evaluated import evaluated_manifest
from tests.factories import ModelVersionFactory, UserFactory
from tests.tiny_model import build_package, write_package
from training.choices import ModelState
from training.exceptions import PackageRefusedError, PackageTooLargeError, ServiceError
from training.models import ModelVersion
from training.services import export_package, import_package, import_upload, packages

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _root(artifacts_root: Path) -> None:
    artifacts_root.mkdir()


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that would have been given to OpenVINO."""
    folders: list[Path] = []
    monkeypatch.setattr(packages, "require_replayed_apart", folders.append)
    return folders


def zip_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def files_of(package: Path, *, folder: str = "") -> list[tuple[str, bytes]]:
    return [(folder + path.name, path.read_bytes()) for path in sorted(package.iterdir())]


def leftovers(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def refuse(source: Path, root: Path) -> str:
    """Return why a source is refused, having checked that nothing of it stays."""
    with pytest.raises(PackageRefusedError) as caught:
        import_package(source=source, by=None)
    assert not ModelVersion.objects.exists()
    assert leftovers(root) == []
    sentence = str(caught.value)
    assert str(root) not in sentence
    return sentence


class TestTakenIn:
    @pytest.mark.parametrize("folder", ["", "model/"])
    def test_an_archive(self, tmp_path: Path, artifacts_root: Path, folder: str) -> None:
        package = build_package(tmp_path / "made", **evaluated_manifest())
        operator = UserFactory.create()
        sent = SimpleUploadedFile("package.zip", zip_of(files_of(package, folder=folder)))
        taken = import_upload(upload=sent, by=operator)
        version = taken.version
        assert (taken.is_new, version.state, version.run, version.imported_by) == (
            True,
            ModelState.CANDIDATE,
            None,
            operator,
        )
        assert (version.package_sha256, version.test_accuracy) == (package.name, 1.0)
        assert [path.split("/")[:2] for path in leftovers(artifacts_root)] == [["models", package.name]] * 3

    def test_a_folder_and_a_tar(self, tmp_path: Path) -> None:
        package = build_package(tmp_path / "made")
        with tarfile.open(tmp_path / "package.tar.gz", "w:gz") as archive:
            archive.add(package, arcname="any-name")
        first = import_package(source=package, by=None)
        again = import_package(source=tmp_path / "package.tar.gz", by=UserFactory.create())
        assert (first.is_new, again.is_new) == (True, False)
        assert again.version == first.version
        assert again.version.imported_by is None

    def test_what_was_exported(self, tmp_path: Path, replayed: list[Path]) -> None:
        version = ModelVersionFactory.create()
        for name in ("a.zip", "b.zip"):
            export_package(version=version, target=tmp_path / name)
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
        assert import_package(source=tmp_path / "a.zip", by=None).version == version

    def test_the_shipped_champion(self, settings: Settings, replayed: list[Path]) -> None:
        [package] = Path(settings.CHAMPION_PACKAGES).iterdir()
        assert import_package(source=package, by=None).version.package_sha256 == package.name

    def test_one_that_the_engine_made(self, tiny_package: Path) -> None:
        assert import_package(source=tiny_package, by=None).is_new


class TestArchives:
    def write(self, tmp_path: Path, data: bytes) -> Path:
        (tmp_path / "package.zip").write_bytes(data)
        return tmp_path / "package.zip"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda files: [*files, ("notes.txt", b"x")], "It holds 'notes.txt'"),
            (lambda files: files[1:], "It lacks"),
            (lambda files: [("a/" + files[0][0], files[0][1]), *files[1:]], "in one folder"),
            (lambda files: [(f"a/b/{name}", data) for name, data in files], "in one folder"),
            (lambda files: [("../" + files[0][0], files[0][1]), *files[1:]], "climbs out of its folder"),
            (lambda files: [("/" + files[0][0], files[0][1]), *files[1:]], "has an absolute path"),
            (lambda files: [*files, ("MANIFEST.json", b"{}")], "that of another entry"),
            (lambda files: [*files, ("more.zip", b"PK\x03\x04")], "archive inside the archive"),
            (lambda files: [], "The archive is empty|There are no files"),
        ],
    )
    def test_what_is_not_the_three_files(
        self,
        tmp_path: Path,
        artifacts_root: Path,
        replayed: list[Path],
        change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]],
        why: str,
    ) -> None:
        files = files_of(build_package(tmp_path / "made"))
        import re

        assert re.search(why, refuse(self.write(tmp_path, zip_of(change(files))), artifacts_root))
        assert replayed == []

    @pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04" + bytes(40)])
    def test_what_is_no_archive(self, tmp_path: Path, artifacts_root: Path, data: bytes) -> None:
        refuse(self.write(tmp_path, data), artifacts_root)

    def test_a_link_in_a_tar(self, tmp_path: Path, artifacts_root: Path) -> None:
        package = build_package(tmp_path / "made")
        with tarfile.open(tmp_path / "p.tar", "w") as archive:
            link = tarfile.TarInfo("model.onnx")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
            archive.add(package / "manifest.json", arcname="manifest.json")
        refuse(tmp_path / "p.tar", artifacts_root)

    def test_a_link_in_a_folder(self, tmp_path: Path, artifacts_root: Path) -> None:
        package = build_package(tmp_path / "made")
        (package / "weights.safetensors").unlink()
        (package / "weights.safetensors").symlink_to("/etc/passwd")
        assert "is a link; only files are taken" in refuse(package, artifacts_root)

    def test_a_bomb_and_a_giant(self, tmp_path: Path, artifacts_root: Path, settings: Settings) -> None:
        settings.PACKAGE_MAX_BYTES = 1_000_000
        with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.onnx", bytes(30_000_000))
        for source in (tmp_path / "b.zip", self.write(tmp_path, zip_of([("model.onnx", bytes(1_100_000))]))):
            with pytest.raises(PackageTooLargeError):
                import_package(source=source, by=None)
        with pytest.raises(PackageTooLargeError):
            import_upload(upload=SimpleUploadedFile("a.zip", bytes(1_000_001)), by=None)
        assert leftovers(artifacts_root) == []

    def test_a_source_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ServiceError, match="cannot be read"):
            import_package(source=tmp_path / "nothing.zip", by=None)


def change_manifest(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return a change of what stands at `a.b.0.c` in a manifest."""

    def change(manifest: dict[str, Any]) -> None:
        *way, last = path.split(".")
        found: Any = manifest
        for part in way:
            found = found[int(part) if part.isdecimal() else part]
        found[int(last) if last.isdecimal() else last] = value

    return change


class TestManifests:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("schema", 2),
            ("surprise", 1),
            ("class_keys.0", "a\0b"),
            ("class_keys.0", " padded"),
            ("class_keys.0", "x" * 64),
            ("class_keys.0", "automobile"),
            ("class_keys.0", "\ud800"),
            ("class_keys", ["one"]),
            ("input_size", [3, 64, 64]),
            ("seed", -1),
            ("seed", True),
            ("recipe", {"a": 1}),
            ("wall_seconds", 1e300),
            ("created_at", "yesterday"),
            ("created_at", "2026-01-01T00:00:00"),
            ("config", {"epochs": "many"}),
            ("config", {"a": {"b": 1}}),
            ("dataset.name", "../x"),
            ("dataset.sha256", "0" * 63),
            ("metrics.accuracy", 1.5),
            ("metrics.accuracy", "0.9"),
            ("metrics.per_class.0.class_key", "dog"),
            ("metrics.confusion_matrix.0", [1]),
            ("metrics.reliability.0", {"count": 3, "confidence": None, "accuracy": None}),
            ("metrics.most_confused.0.predicted", "unicorn"),
            ("mistakes.0.picture", "<script>"),
            ("mistakes.0.class_key", "unicorn"),
            ("calibration.temperature", 0),
            ("out_of_distribution.threshold", None),
            ("out_of_distribution.comparison.0.sources", []),
            ("golden_samples", []),
            ("golden_samples.0.image", "AAAA"),
            ("golden_samples.0.logits", [0.0]),
            ("parameters.total", 2**60),
        ],
    )
    def test_a_value_that_this_site_would_not_write(
        self, tmp_path: Path, artifacts_root: Path, replayed: list[Path], path: str, value: object
    ) -> None:
        made = build_package(tmp_path / "made", **evaluated_manifest())
        manifest = json.loads((made / "manifest.json").read_text())
        change_manifest(path, value)(manifest)
        files = {name: (made / name).read_bytes() for name in ("model.onnx", "weights.safetensors")}
        sentence = refuse(write_package(tmp_path / "changed", manifest=manifest, files=files), artifacts_root)
        assert sentence.startswith("The package is refused. The manifest")
        assert replayed == []

    @pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
    def test_a_number_that_is_none(self, tmp_path: Path, artifacts_root: Path, name: str) -> None:
        package = build_package(tmp_path / "made", threshold=float(name.replace("Infinity", "inf")))
        assert f"holds {name}" in refuse(package, artifacts_root)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1, "schema": 1}', "[" * 200_000, "\ufeff{}"])
    def test_what_is_no_manifest(self, tmp_path: Path, artifacts_root: Path, text: str) -> None:
        package = build_package(tmp_path / "made")
        (package / "manifest.json").write_text(text)
        refuse(package, artifacts_root)

    @pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
    def test_a_changed_byte(self, tmp_path: Path, artifacts_root: Path, replayed: list[Path], name: str) -> None:
        package = build_package(tmp_path / "made")
        with (package / name).open("ab") as file:
            file.write(b"\0")
        assert "was altered" in refuse(package, artifacts_root)


Graph = Callable[[onnx.ModelProto], None]


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def _external_attribute(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="t", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["t"], value=tensor))


def _branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("Loop", ["n"], ["x"], body=inner))


def _rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "pixels"


def _larger_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def _fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _half_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def _fewer_classes(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 9


def _no_features(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def _old_operators(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 7


def _own_operators(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def _own_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def _function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("f", "F", [], [], [], [helper.make_opsetid("", 18)]))


class TestGraphs:
    def package(self, tmp_path: Path, data: bytes) -> Path:
        import hashlib

        made = build_package(tmp_path / "made")
        manifest = json.loads((made / "manifest.json").read_text())
        manifest["files"]["model.onnx"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        files = {"model.onnx": data, "weights.safetensors": (made / "weights.safetensors").read_bytes()}
        return write_package(tmp_path / "changed", manifest=manifest, files=files)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (_external, "names other files"),
            (_external_attribute, "names other files"),
            (_branch, "branches or loops"),
            (_rename_input, "inputs are pixels"),
            (_larger_input, "inputs are images (N, 3, 64, 32)"),
            (_fixed_batch, "inputs are images (1, 3, 32, 32)"),
            (_half_input, "32-bit numbers"),
            (_fewer_classes, "logits (N, 9)"),
            (_no_features, "outputs are logits (N, 10)"),
            (_old_operators, "version 13 to 23"),
            (_own_operators, "com.example"),
            (_own_operator, "com.example"),
            (_function, "functions"),
        ],
    )
    def test_one_that_is_not_served(
        self, tmp_path: Path, artifacts_root: Path, replayed: list[Path], change: Graph, why: str
    ) -> None:
        model = onnx.load(build_package(tmp_path / "made") / "model.onnx")
        change(model)
        assert why in refuse(self.package(tmp_path, model.SerializeToString()), artifacts_root)
        assert replayed == []

    @pytest.mark.parametrize("data", [b"x", b"\xff" * 50, b"\x3a\x05ab", b"\x0b"])
    def test_what_is_no_graph(self, tmp_path: Path, artifacts_root: Path, data: bytes) -> None:
        assert "no ONNX file" in refuse(self.package(tmp_path, data), artifacts_root)

    def test_one_that_answers_otherwise(self, tmp_path: Path, artifacts_root: Path) -> None:
        other = (build_package(tmp_path / "other", shift=1) / "model.onnx").read_bytes()
        assert "does not answer here as its manifest says" in refuse(self.package(tmp_path, other), artifacts_root)

    def test_one_that_asks_for_more_memory_than_there_is(self, tmp_path: Path, artifacts_root: Path) -> None:
        model = onnx.load(build_package(tmp_path / "made") / "model.onnx")
        graph = model.graph
        graph.initializer.append(helper.make_tensor("huge", TensorProto.INT64, [1], [2**42]))
        graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["ones"]))
        graph.node.append(helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0))
        renamed = helper.make_node("Add", ["logits_0", "sum"], ["logits"])
        next(node for node in graph.node if "logits" in node.output).output[0] = "logits_0"
        graph.node.append(renamed)
        sentence = refuse(self.package(tmp_path, model.SerializeToString()), artifacts_root)
        assert sentence.startswith("The package is refused. Its model ")


class TestExport:
    def test_a_damaged_package_is_not_exported(self, tmp_path: Path) -> None:
        version = ModelVersionFactory.create()
        (version.path / "weights.safetensors").write_bytes(b"damaged")
        with pytest.raises(ServiceError, match="cannot be exported"):
            export_package(version=version, target=tmp_path / "a.zip")
        assert not (tmp_path / "a.zip").exists()

    def test_a_file_that_exists_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_text("mine")
        with pytest.raises(ServiceError, match="File exists"):
            export_package(version=ModelVersionFactory.create(), target=tmp_path / "a.zip")
        assert (tmp_path / "a.zip").read_text() == "mine"
