"""Evaluating a package: what is reported, what is refused, and that both are events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_model import write_package
from tests.training.engine.tiny_data import write_dataset
from training.engine.__main__ import main
from training.engine.constants import ANSWERS_NAME, BANK_NAME, MAP_NAME, PUBLISH_STAGES, SIGHT_STAGES
from training.engine.package import PackageManifest, hash_file, verify_package


@pytest.fixture(scope="module")
def package(tiny_package: Path) -> PackageManifest:
    return verify_package(tiny_package)


def evaluate(capsys: pytest.CaptureFixture[str], package: Path, dataset: Path, *options: str) -> list[dict[str, Any]]:
    """Run the command in this process and return its events."""
    code = main(["evaluate", "--package", str(package), "--dataset", str(dataset), *options])
    events: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == (0 if events[-1]["event"] == "finished" else 1)
    return events


def refusal(capsys: pytest.CaptureFixture[str], package: Path, dataset: Path) -> tuple[str, str]:
    [event] = [event for event in evaluate(capsys, package, dataset) if event["event"] != "progress"]
    return event["reason"], event["detail"]


def edit(package: PackageManifest, parent: Path, **changes: Any) -> Path:
    """Return a package that is valid but for the changed keys of its manifest."""
    files = {name: (package.path / name).read_bytes() for name in package.raw["files"]}
    return write_package(parent, manifest={**package.raw, **changes}, files=files)


def test_on_its_own_data_it_finds_what_its_run_measured(
    package: PackageManifest, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *progress, finished = evaluate(capsys, package.path, tiny_dataset)
    assert [(event["done"], event["total"], event["message"]) for event in progress] == [
        (done, 3, PUBLISH_STAGES[done]) for done in range(3)
    ]
    report = finished["report"]
    assert report["package_sha256"] == package.sha256
    assert report["dataset"] == {"name": "tiny", "sha256": package.raw["dataset"]["sha256"], "test_count": 40}
    assert report["held_out"] == {"split": "validation", "count": 20}
    assert report["metrics"]["confusion_matrix"] == package.metrics["confusion_matrix"]
    assert report["metrics"]["nll"] == pytest.approx(package.metrics["nll"], rel=1e-4)
    recorded = package.raw["out_of_distribution"]
    found = report["out_of_distribution"]
    assert (found["score"], found["threshold"]) == (recorded["score"], recorded["threshold"])
    assert found["test_kept"] == recorded["test_kept"]
    for new, old in zip(found["comparison"], recorded["comparison"], strict=True):
        assert (new["auroc"], new["threshold"]) == pytest.approx((old["auroc"], old["threshold"]), rel=1e-3)
    assert report["test_time_augmentation"] is None
    assert report["files"] == {}
    assert [(mistake["index"], mistake["picture"]) for mistake in report["mistakes"]] == [
        (mistake["index"], mistake["picture"]) for mistake in package.raw["mistakes"]
    ]


def test_what_the_network_sees_is_kept_in_files(
    package: PackageManifest, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sights"
    *progress, finished = evaluate(capsys, package.path, tiny_dataset, "--output", str(output))
    assert [(event["done"], event["total"], event["message"]) for event in progress] == [
        (done, 5, message) for done, message in enumerate((*PUBLISH_STAGES[:3], *SIGHT_STAGES))
    ]
    files = finished["report"]["files"]
    assert files == {name: hash_file(output / name) for name in (ANSWERS_NAME, BANK_NAME, MAP_NAME)}
    labels = np.load(tiny_dataset / "test_labels.npy")
    answers = np.load(output / ANSWERS_NAME)
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (labels, answers), 1)
    assert confusion.tolist() == package.metrics["confusion_matrix"]
    with np.load(output / BANK_NAME) as bank:
        assert bank["indices"].tolist() == list(range(200))
        np.testing.assert_allclose(np.linalg.norm(bank["vectors"].astype(np.float32), axis=1), 1, atol=2e-3)
    with np.load(output / MAP_NAME) as found:
        assert found["indices"].tolist() == list(range(40))
        assert (found["points"].min(), found["points"].max()) == (0, 1)


def test_files_are_never_written_over(
    package: PackageManifest, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = evaluate(capsys, package.path, tiny_dataset, "--output", str(tmp_path))[-1]
    assert (failed["event"], failed["reason"]) == ("failed", "error")
    assert list(tmp_path.iterdir()) == []


def test_an_older_manifest_is_measured_anew(
    package: PackageManifest, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {key: value for key, value in package.raw.items() if key != "mistakes"}
    old["out_of_distribution"] = {"score": "max_logit", "threshold": 0.25, "kept_fraction": 0.95}
    files = {name: (package.path / name).read_bytes() for name in package.raw["files"]}
    report = evaluate(capsys, write_package(tmp_path, manifest=old, files=files), tiny_dataset, "--tta")[-1]["report"]
    found = report["out_of_distribution"]
    assert (found["score"], found["threshold"], len(found["comparison"])) == ("max_logit", 0.25, 3)
    assert [row["name"] for row in report["test_time_augmentation"]] == ["flip", "flip_shift"]


def test_other_data_with_the_same_classes_sets_thresholds_by_its_training_images(
    package: PackageManifest, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = edit(package, tmp_path, dataset={**package.raw["dataset"], "sha256": "0" * 64})
    report = evaluate(capsys, stranger, tiny_dataset)[-1]["report"]
    assert report["held_out"] == {"split": "train", "count": 200}


def test_other_classes_are_one_sentence(
    package: PackageManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = write_dataset(tmp_path / "colours")
    reason, detail = refusal(capsys, package.path, colours)
    assert reason == "bad_dataset"
    assert detail == (
        "The model's classes are arrow, circle, crescent, cross, diamond, ring, square, star, stripes, triangle, "
        "those of dataset colours are blue, green, red; allowed is a dataset with the same classes in the same order."
    )


def test_what_this_version_does_not_know_is_one_sentence(
    package: PackageManifest, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = edit(package, tmp_path, out_of_distribution={"score": "vibes", "threshold": 1.0})
    assert refusal(capsys, strange, tiny_dataset) == (
        "error",
        "The manifest's out-of-distribution score is 'vibes'; known are energy and max_logit.",
    )
    unfit = edit(package, tmp_path, architecture={"name": "whitened_cnn", "arguments": {"class_count": 10}})
    assert refusal(capsys, unfit, tiny_dataset)[1].endswith("do not fit its whitened_cnn.")
    unknown = edit(package, tmp_path, architecture={"name": "nearest_colour", "arguments": {"class_count": 10}})
    assert "'nearest_colour'" in refusal(capsys, unknown, tiny_dataset)[1]


def test_a_damaged_package_and_a_missing_dataset_are_one_sentence(
    package: PackageManifest, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a model package holds exactly" in refusal(capsys, tmp_path, tiny_dataset)[1]
    assert "is not an imported dataset" in refusal(capsys, package.path, tmp_path)[1]
