"""A model package made in milliseconds, whose answers are known exactly: the class whose colour is the nearest.

With m the mean colour and c a class's, SCALE (1 - |m - c|²) is linear in m and |m|²: the feature map holds the colours
of 8×8 fields and, as a fourth channel, |m|²; the last layer's weights and bias are in the package's weights.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from django.conf import settings
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save

from training.choices import ModelState
from training.engine.constants import CIFAR10_CLASS_KEYS, PACKAGE_FILES, PACKAGE_SCHEMA
from training.models import ModelVersion

COLOURS = (
    (0, 0, 255),
    (255, 0, 0),
    (0, 255, 255),
    (255, 128, 0),
    (128, 64, 0),
    (255, 255, 0),
    (0, 255, 0),
    (128, 0, 128),
    (255, 255, 255),
    (0, 0, 0),
)
"""RGB of each class; a picture of one of them is that class with a logit of `SCALE`."""

SCALE = 12.0
THRESHOLD = 0.9 * SCALE


def picture(
    colour: int | tuple[int, int, int] = 0, *, size: tuple[int, int] = (32, 32), image_format: str = "PNG"
) -> bytes:
    """Return the file of a plain picture in the colour of class `colour`, or in any other."""
    stream = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour] if isinstance(colour, int) else colour).save(stream, image_format)
    return stream.getvalue()


def expected_logits(images: NDArray[np.uint8], *, shift: int = 0, classes: int = len(COLOURS)) -> NDArray[np.float32]:
    """Return the logits that the model gives for (N, 32, 32, 3) images."""
    mean = (images.astype(np.float32) / 255).mean(axis=(1, 2))
    distance = ((mean[:, None, :] - _palette(shift, classes)) ** 2).sum(axis=2)
    logits: NDArray[np.float32] = (SCALE - SCALE * distance).astype(np.float32)
    return logits


def head(*, shift: int = 0, classes: int = len(COLOURS)) -> dict[str, NDArray[np.float32]]:
    """Return the last layer: weights (K, 4) of the mean over the fields, and the bias (K,)."""
    palette = _palette(shift, classes)
    weights = np.concatenate([2 * SCALE * palette, np.full((classes, 1), -SCALE, dtype=np.float32)], axis=1)
    bias = SCALE - SCALE * (palette**2).sum(axis=1)
    return {"head.weight": weights.astype(np.float32), "head.bias": bias.astype(np.float32)}


def build_package(
    parent: Path,
    *,
    shift: int = 0,
    class_keys: Sequence[str] = CIFAR10_CLASS_KEYS,
    temperature: float = 1.0,
    score: str = "max_logit",
    threshold: float = THRESHOLD,
    **manifest_changes: Any,
) -> Path:
    """Write a package under `parent` and return its directory.

    Args:
        parent: directory that receives it.
        shift: class k answers to the colour of class k + shift, so that two packages disagree.
        class_keys: at most ten.
        temperature: of the calibration.
        score: of the out-of-distribution test.
        threshold: of the same.
        **manifest_changes: other keys of the manifest.
    """
    weights = save(head(shift=shift, classes=len(class_keys)))
    files = {PACKAGE_FILES[0]: _graph(shift, len(class_keys)).SerializeToString(), PACKAGE_FILES[1]: weights}
    golden = np.array([np.full((32, 32, 3), COLOURS[index], dtype=np.uint8) for index in range(8)])
    logits = expected_logits(golden, shift=shift, classes=len(class_keys))
    manifest: dict[str, Any] = {
        "schema": PACKAGE_SCHEMA,
        "files": {n: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for n, data in files.items()},
        "architecture": {"name": "nearest_colour", "arguments": {}},
        "class_keys": list(class_keys),
        "input_size": [3, 32, 32],
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "recipe": "fast",
        "config": {},
        "seed": 0,
        "dataset": {
            "name": "colours",
            "sha256": "0" * 64,
            "train_count": 100,
            "test_count": 10,
            "source": "demo",
            "synthetic": True,
            "notes": "",
        },
        "versions": {},
        "hardware": {},
        "wall_seconds": 0.1,
        "created_at": "2026-01-01T00:00:00+00:00",
        "parameters": {"total": 30, "trainable": 30},
        "metrics": build_metrics(class_keys),
        "calibration": {"temperature": temperature},
        "out_of_distribution": {"score": score, "threshold": threshold, "kept_fraction": 0.95},
        "golden_samples": [
            {"image": base64.b64encode(image.tobytes()).decode(), "logits": row.tolist()}
            for image, row in zip(golden, logits, strict=True)
        ],
        "parity": {"images": 8, "max_abs_logit_difference": 0.0, "top1_identical": True, "tolerance": 0.001},
        **manifest_changes,
    }
    return write_package(parent, manifest=manifest, files=files)


def write_package(parent: Path, *, manifest: dict[str, Any], files: dict[str, bytes]) -> Path:
    """Write a package as it is given, right or wrong, under its manifest's hash."""
    text = json.dumps(manifest).encode()
    package = parent / hashlib.sha256(text).hexdigest()
    package.mkdir(parents=True, exist_ok=True)
    (package / "manifest.json").write_bytes(text)
    for name, data in files.items():
        (package / name).write_bytes(data)
    return package


def register_version(*, state: ModelState = ModelState.CANDIDATE, **options: Any) -> ModelVersion:
    """Build a package (see `build_package`) under the artifacts root and return its row."""
    root = Path(settings.ARTIFACTS_ROOT)
    package = build_package(root / "models", **options)
    return ModelVersion.objects.create(
        package_sha256=package.name,
        location=str(package.relative_to(root)),
        manifest=json.loads((package / "manifest.json").read_text()),
        state=state,
        test_accuracy=1.0,
    )


def crown(version: ModelVersion) -> None:
    """Make `version` the champion, as a promotion does."""
    champions = ModelVersion.objects.filter(state=ModelState.CHAMPION).exclude(pk=version.pk)
    champions.update(state=ModelState.ARCHIVED)
    ModelVersion.objects.filter(pk=version.pk).update(state=ModelState.CHAMPION)
    version.refresh_from_db()


def _palette(shift: int, classes: int) -> NDArray[np.float32]:
    order = [(index + shift) % len(COLOURS) for index in range(classes)]
    colours: NDArray[np.float32] = np.array([COLOURS[index] for index in order], dtype=np.float32) / np.float32(255)
    return colours


def _graph(shift: int, classes: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("ReduceMean", ["images", "plane"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Sub", ["column", "palette"], ["offset"]),
        helper.make_node("Mul", ["offset", "offset"], ["square"]),
        helper.make_node("ReduceSum", ["square", "two"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "minus_scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "scale"], ["logits"]),
        helper.make_node("AveragePool", ["images"], ["fields"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Mul", ["mean", "mean"], ["mean_square"]),
        helper.make_node("ReduceSum", ["mean_square", "one"], ["length"], keepdims=1),
        helper.make_node("Reshape", ["length", "one_field"], ["length_field"]),
        helper.make_node("Tile", ["length_field", "all_fields"], ["length_fields"]),
        helper.make_node("Concat", ["fields", "length_fields"], ["feature_map"], axis=1),
    ]
    constants = {
        "plane": np.array([2, 3]),
        "one": np.array([1]),
        "two": np.array([2]),
        "one_field": np.array([-1, 1, 1, 1]),
        "all_fields": np.array([1, 1, 8, 8]),
        "palette": _palette(shift, classes)[None],
        "scale": np.array(SCALE, dtype=np.float32),
        "minus_scale": np.array(-SCALE, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "nearest_colour",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes]),
            helper.make_tensor_value_info("feature_map", TensorProto.FLOAT, ["n", 4, 8, 8]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def build_metrics(class_keys: Sequence[str]) -> dict[str, Any]:
    """Return the metrics of a model that is always right."""
    perfect = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    return {
        "accuracy": 1.0,
        "top5_accuracy": 1.0,
        "precision_macro": 1.0,
        "recall_macro": 1.0,
        "f1_macro": 1.0,
        "per_class": [{"class_key": key, **perfect} for key in class_keys],
        "confusion_matrix": np.eye(len(class_keys), dtype=int).tolist(),
        "ece": 0.0,
        "nll": 0.0,
        "loss": 0.0,
    }
