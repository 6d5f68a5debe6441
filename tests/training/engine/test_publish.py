"""A published package tells what was measured, on the weights that it stores."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.engine.tiny_data import CLASS_KEYS, tiny_config, write_dataset
from training.engine.config import TrainConfig
from training.engine.constants import CIFAR10_CLASS_KEYS, PUBLISH_STAGES
from training.engine.data import Dataset, load_dataset
from training.engine.data_checks import REPORT_NAME, check_dataset, write_report
from training.engine.device import choose_device
from training.engine.export import run_onnx
from training.engine.fit import StopRequested, Trainer
from training.engine.networks.stored import load_network
from training.engine.package import PackageManifest
from training.engine.publish import publish_package


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("publish") / "data"))


def publish(
    dataset: Dataset, workdir: Path, *, stages: list[tuple[int, str]] | None = None, **overrides: object
) -> PackageManifest:
    """Train for an epoch and publish."""
    config = tiny_config(dataset.path, epochs=1, start_crop_size=32, **overrides)
    trainer = Trainer(config=config, dataset=dataset, device=choose_device("float32"), workdir=workdir)
    return publish_package(
        trainer.train(),
        config=config,
        dataset=dataset,
        training=trainer.train_split,
        validation=trainer.validation_split,
        device=trainer.device,
        workdir=workdir,
        parameter_counts=trainer.parameter_counts,
        summary={"epochs_run": 1, "best_epoch": None},
        wall_seconds=12.5,
        on_stage=lambda done, message: (stages if stages is not None else []).append((done, message)),
    )


@pytest.fixture(scope="module")
def package(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PackageManifest:
    return publish(dataset, tmp_path_factory.mktemp("package"), stages=None)


def test_manifest_tells_how_the_model_was_made(package: PackageManifest, dataset: Dataset) -> None:
    raw = package.raw
    assert raw["training"] == {"epochs_run": 1, "best_epoch": None}
    arguments = {"class_count": 3, "width_multiplier": 0.0625, "depth": 2}
    assert raw["architecture"] == {"name": "whitened_cnn", "arguments": arguments}
    assert (raw["class_keys"], raw["input_size"], raw["mean"]) == (list(CLASS_KEYS), [3, 32, 32], [0.39, 0.39, 0.39])
    assert (raw["recipe"], raw["seed"], raw["wall_seconds"]) == ("fast", 0, 12.5)
    assert raw["dataset"] == {
        "name": "colours",
        "sha256": dataset.sha256,
        "train_count": 72,
        "test_count": 24,
        "source": "demo",
        "synthetic": True,
        "notes": "Drawn by a test.",
    }
    assert raw["parameters"]["total"] - raw["parameters"]["trainable"] == 288 + 2 * (8 + 16 + 16)
    assert raw["created_at"].endswith("+00:00")


def test_configuration_names_the_dataset_instead_of_its_path(package: PackageManifest, dataset: Dataset) -> None:
    config = TrainConfig.from_dict(package.raw["config"])
    assert (config.dataset, config.epochs) == ("colours", 1)
    assert str(dataset.path) not in (package.path / "manifest.json").read_text(encoding="utf-8")


def test_measured_parts_have_their_shapes(package: PackageManifest) -> None:
    raw = package.raw
    confusion = np.array(raw["metrics"]["confusion_matrix"])
    assert (confusion.shape, confusion.sum()) == ((3, 3), 24)
    assert raw["metrics"]["accuracy"] == confusion.trace() / 24
    assert [row["class_key"] for row in raw["metrics"]["per_class"]] == list(CLASS_KEYS)
    assert raw["calibration"]["split"] == "validation"
    assert sum(row["count"] for row in raw["metrics"]["reliability"]) == 24
    assert (raw["parity"]["images"], raw["parity"]["top1_identical"]) == (24, True)
    assert raw["parity"]["max_abs_logit_difference"] <= raw["parity"]["tolerance"] == 1e-3


def test_the_served_score_is_the_best_of_those_that_were_compared(package: PackageManifest) -> None:
    found = package.raw["out_of_distribution"]
    comparison = {row["score"]: row for row in found["comparison"]}
    assert list(comparison) == ["energy", "max_logit", "nearest_class"]
    served = comparison[found["score"]]
    assert served["detected"] == max(comparison["energy"]["detected"], comparison["max_logit"]["detected"])
    assert (found["threshold"], found["test_kept"]) == (served["threshold"], served["test_kept"])
    assert found["kept_fraction"] == 0.95
    assert {row["source"] for row in served["sources"]} == {
        "noise",
        "smooth_noise",
        "flat",
        "gradient",
        "pixel_shuffle",
        "patch_shuffle",
        "shapes",
    }


def test_mistakes_carry_their_pictures(package: PackageManifest, dataset: Dataset) -> None:
    mistakes = package.raw["mistakes"]
    assert len(mistakes) == min(16, 24 - round(24 * package.accuracy))
    for mistake in mistakes:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(mistake["picture"]))))
        assert np.array_equal(picture, dataset.test.images[mistake["index"]].numpy())
        assert mistake["class_key"] == CLASS_KEYS[int(dataset.test.labels[mistake["index"]])] != mistake["predicted"]


def test_test_time_augmentation_is_measured_when_asked(
    package: PackageManifest, dataset: Dataset, tmp_path: Path
) -> None:
    assert "test_time_augmentation" not in package.raw
    raw = publish(dataset, tmp_path, test_time_augmentation=True).raw
    assert [row["name"] for row in raw["test_time_augmentation"]] == ["flip", "flip_shift"]
    for row in raw["test_time_augmentation"]:
        assert row["accuracy"] - row["gain"] == pytest.approx(raw["metrics"]["accuracy"])


def golden_images(raw: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels = [np.frombuffer(base64.b64decode(sample["image"]), dtype=np.uint8) for sample in raw["golden_samples"]]
    return np.stack(pixels).reshape(-1, 32, 32, 3)


def test_accuracy_without_near_copies_stands_beside_the_headline(dataset: Dataset, tmp_path: Path) -> None:
    path = dataset.path / REPORT_NAME
    write_report(check_dataset(dataset.path) | {"test_copies": list(range(8))}, path)
    try:
        metrics = publish(dataset, tmp_path).raw["metrics"]
    finally:
        path.unlink()
    rows = metrics["per_class"][1:]  # the first class's eight images are left out
    assert metrics["near_duplicate_count"] == 8
    assert metrics["accuracy_without_near_duplicates"] == sum(row["recall"] for row in rows) / 2


def test_without_a_report_there_is_the_headline_alone(package: PackageManifest) -> None:
    assert "accuracy_without_near_duplicates" not in package.metrics


def test_golden_samples_replay_in_openvino(package: PackageManifest, dataset: Dataset) -> None:
    images = golden_images(package.raw)
    assert len(images) == 8
    assert all((dataset.test.images.numpy() == image).all(axis=(1, 2, 3)).any() for image in images)
    answers = run_onnx(package.onnx_path, images=(images.transpose(0, 3, 1, 2) / 255).astype(np.float32))
    assert np.allclose(answers, [sample["logits"] for sample in package.raw["golden_samples"]], atol=1e-3)


def assert_answers_as_recorded(package: PackageManifest, *, tolerance: float) -> None:
    images = torch.from_numpy(golden_images(package.raw)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        logits = load_network(package)(images)
    recorded = torch.tensor([sample["logits"] for sample in package.raw["golden_samples"]])
    assert torch.allclose(logits, recorded, atol=tolerance)


def test_stored_weights_rebuild_the_network(package: PackageManifest) -> None:
    assert_answers_as_recorded(package, tolerance=1e-5)


def test_without_validation_training_images_calibrate(dataset: Dataset, tmp_path: Path) -> None:
    assert publish(dataset, tmp_path, validation_fraction=0.0).raw["calibration"]["split"] == "train"


def test_stages_are_announced_in_order_and_no_draft_stays(dataset: Dataset, tmp_path: Path) -> None:
    stages: list[tuple[int, str]] = []
    package = publish(dataset, tmp_path, stages=stages)
    assert stages == list(enumerate(PUBLISH_STAGES))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoints", "package"]
    assert [entry.name for entry in (tmp_path / "package").iterdir()] == [package.sha256]


def test_stop_during_publication_leaves_no_package(dataset: Dataset, tmp_path: Path) -> None:
    class Refusing(list[tuple[int, str]]):
        def append(self, stage: tuple[int, str]) -> None:
            if stage[0] == 2:
                raise StopRequested(step=1, checkpoint=None)

    with pytest.raises(StopRequested):
        publish(dataset, tmp_path, stages=Refusing())
    assert not (tmp_path / "package").exists()


def test_a_timm_network_is_trained_published_and_rebuilt(dataset: Dataset, tmp_path: Path) -> None:
    package = publish(
        dataset,
        tmp_path,
        architecture="resnet18",
        width_multiplier=1.0,
        stem="imagenet",
        dropout=0.2,
        optimizer="adamw",
        learning_rate=0.001,
    )
    raw = package.raw
    assert raw["architecture"] == {
        "name": "resnet18",
        "arguments": {"class_count": 3, "stem": "imagenet", "input_size": 32, "dropout": 0.2},
    }
    assert raw["parameters"] == {"total": 11_178_051, "trainable": 11_178_051}
    assert (raw["mean"], raw["parity"]["top1_identical"]) == ([0.39, 0.39, 0.39], True)
    assert_answers_as_recorded(package, tolerance=1e-4)


CHAMPIONS = sorted((Path(__file__).parents[3] / "training" / "champion").glob("[0-9a-f]*"))


@pytest.mark.parametrize("path", CHAMPIONS, ids=lambda path: path.name[:8])
def test_shipped_champion_is_sound_and_answers_as_recorded(path: Path) -> None:
    from training.engine.package import verify_package

    champion = verify_package(path)
    assert champion.class_keys == CIFAR10_CLASS_KEYS
    assert champion.accuracy == 0.9044  # the README's figure
    assert champion.raw["dataset"]["synthetic"] is False
    assert sum(file.stat().st_size for file in path.iterdir()) <= 10_000_000
    images = (golden_images(champion.raw).transpose(0, 3, 1, 2) / 255).astype(np.float32)
    answers = run_onnx(champion.onnx_path, images=images)
    assert np.allclose(answers, [sample["logits"] for sample in champion.raw["golden_samples"]], atol=1e-3)
