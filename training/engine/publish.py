"""From a trained network to a sealed model package: round, calibrate, evaluate once, export, compare, seal."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from training.engine.assess import (
    Assessment,
    Material,
    StageCallback,
    assess_network,
    describe_score,
    gather_material,
)
from training.engine.augment import to_float
from training.engine.config import TrainConfig
from training.engine.constants import (
    GOLDEN_SAMPLE_COUNT,
    IMAGE_CHANNELS,
    IMAGE_SIZE,
    ONNX_NAME,
    PARITY_IMAGE_COUNT,
    PUBLISH_STAGES,
    WEIGHTS_NAME,
)
from training.engine.data import Dataset, Split
from training.engine.data_checks import list_test_copies
from training.engine.device import Device, list_versions
from training.engine.export import PARITY_BATCH_SIZE, Parity, check_parity, export_onnx, round_weights, save_weights
from training.engine.mistakes import draw_pictures
from training.engine.networks import Network
from training.engine.package import PackageManifest, seal_package, verify_package
from training.engine.scores import choose_score
from training.engine.seed import make_generator

PACKAGE_FOLDER: Final = "package"
DRAFT_FOLDER: Final = ".package-draft"


def publish_package(
    network: Network,
    *,
    config: TrainConfig,
    dataset: Dataset,
    training: Split,
    validation: Split,
    device: Device,
    workdir: Path,
    parameter_counts: tuple[int, int],
    summary: Mapping[str, int | None],
    wall_seconds: float,
    on_stage: StageCallback,
    auxiliary: Dataset | None = None,
) -> PackageManifest:
    """Measure the network with its weights as stored, and write the package.

    Args:
        network: The trained network; its weights are rounded to float16.
        config: The run's configuration.
        dataset: The data; its test split is used here and nowhere else.
        training: Images that were learnt.
        validation: Images that were set aside; without any, training images calibrate.
        device: Where the network was trained, for the manifest.
        workdir: Directory that receives `package/<sha256>/`.
        parameter_counts: All parameters, and those that learned in some epoch.
        summary: How training went, as `Selection.summarize` tells it.
        wall_seconds: Time that training took.
        on_stage: Told the number, from 0, and the name of each of `PUBLISH_STAGES`; may raise to interrupt.
        auxiliary: What the network learned from first, if anything.

    Raises:
        DivergedError: A weight exceeds float16's range.
        ParityError: The exported graph answers differently.
        DiskFullError: No space left.
    """
    network.requires_grad_(requires_grad=False).eval().cpu()
    round_weights(network)
    material = gather_material(
        class_keys=dataset.class_keys,
        test=dataset.test,
        training=training,
        validation=validation,
        copies=list_test_copies(dataset.path),
    )
    assessment = assess_network(
        network, material=material, augments_at_test_time=config.test_time_augmentation, on_stage=on_stage
    )
    on_stage(3, PUBLISH_STAGES[3])
    draft = workdir / DRAFT_FOLDER
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    network.to(memory_format=torch.contiguous_format)
    save_weights(network, draft / WEIGHTS_NAME)
    export_onnx(network, draft / ONNX_NAME)
    parity = _compare(draft / ONNX_NAME, network=network, dataset=dataset)
    on_stage(4, PUBLISH_STAGES[4])
    manifest = {
        **_describe_run(config, dataset=dataset, auxiliary=auxiliary, device=device, wall_seconds=wall_seconds),
        **dict(zip(("mean", "std"), network.normalisation, strict=True)),
        **_describe_measured(assessment, material=material),
        "architecture": {
            "name": config.architecture,
            "arguments": dict(network.arguments),
        },
        "training": dict(summary),
        "parameters": dict(zip(("total", "trainable"), parameter_counts, strict=True)),
        "golden_samples": draw_golden_samples(dataset.test, logits=assessment.logits, seed=config.seed),
        "parity": parity.to_dict(),
    }
    return verify_package(seal_package(draft, manifest, workdir / PACKAGE_FOLDER))


def draw_golden_samples(split: Split, *, logits: Tensor, seed: int) -> list[dict[str, Any]]:
    """Pick a few images whose answers a server must reproduce before it serves.

    Args:
        split: (N, 32, 32, 3) uint8 images.
        logits: (N, K) float32, their answers.
        seed: The run's seed.

    Returns:
        Up to eight entries: raw image bytes in base64 and the logits.
    """
    order = torch.randperm(len(split), generator=make_generator(seed=seed, purpose="golden"))
    return [
        {
            "image": base64.b64encode(split.images[index].numpy().tobytes()).decode("ascii"),
            "logits": logits[index].tolist(),
        }
        for index in order[:GOLDEN_SAMPLE_COUNT].tolist()
    ]


@torch.no_grad()
def _compare(path: Path, *, network: Network, dataset: Dataset) -> Parity:
    """Compare graph and network on up to 1,000 images spread over the test split."""
    images = to_float(dataset.test.spread(PARITY_IMAGE_COUNT).images).contiguous()
    logits = torch.cat([network(batch) for batch in torch.split(images, PARITY_BATCH_SIZE)])
    return check_parity(path, images=images, logits=logits)


def _describe_run(
    config: TrainConfig, *, dataset: Dataset, auxiliary: Dataset | None, device: Device, wall_seconds: float
) -> dict[str, Any]:
    """Return the manifest's part that says how the model was made."""
    names = {"dataset": dataset.name, "auxiliary_dataset": "" if auxiliary is None else auxiliary.name}
    return {
        "class_keys": dataset.class_keys,
        "input_size": [IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE],
        "recipe": config.recipe,
        "config": {**config.to_dict(), **names},
        "seed": config.seed,
        "dataset": _describe_dataset(dataset),
        **({} if auxiliary is None else {"auxiliary_dataset": _describe_dataset(auxiliary)}),
        "versions": list_versions(),
        "hardware": device.describe_hardware(),
        "wall_seconds": wall_seconds,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return what a manifest says of a dataset."""
    source = dataset.manifest
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "train_count": len(dataset.train),
        "test_count": len(dataset.test),
        "source": source.get("source", "unknown"),
        "synthetic": bool(source.get("synthetic", False)),
        "notes": str(source.get("notes", "")),
    }


def _describe_measured(assessment: Assessment, *, material: Material) -> dict[str, Any]:
    """Return the manifest's part that says how good the model is."""
    served = choose_score(assessment.score_comparison)
    policies = assessment.test_time_augmentation
    return {
        "metrics": assessment.metrics,
        "mistakes": draw_pictures(material.test, mistakes=assessment.mistakes),
        "calibration": {"temperature": assessment.temperature, "split": material.held_out_from},
        "out_of_distribution": describe_score(assessment, score=served["score"], threshold=served["threshold"]),
        **({} if policies is None else {"test_time_augmentation": policies}),
    }
