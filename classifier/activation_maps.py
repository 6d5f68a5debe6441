"""Maps of where a model looked, made when somebody asks for one: never on the way of an answer.

The picture goes once more through the package's graph, in float32 and apart from the one that answers people; the last
layer's weights are those of the package's file. A map is given only if its fields add up to the logits of the graph, so
that a network whose last layer is of another kind gets none rather than a wrong one.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from django.utils.translation import gettext as _
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from classifier.activation import ActivationMap, Floats, Head, adds_up, field_centres, pool, pooling_of, share_out
from classifier.drawings import draw_map
from classifier.models import Prediction
from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest, verify_package
from training.exceptions import ServiceError
from training.models import ModelVersion
from training.store import fetch

if TYPE_CHECKING:
    from classifier.openvino_runtime import FeatureNetwork

logger = logging.getLogger(__name__)

_loading = threading.Lock()

MOST_LOADED: Final = 2
"""Models that are kept for maps in each process, some tens of megabytes each: the champion and another."""


class NoActivationMapError(ServiceError):
    """A picture for which there is no map; the message says why."""

    status: ClassVar[int] = 404
    location: ClassVar[str] = "path"
    code: ClassVar[str] = "no_map"


def seen_pixels(prediction: Prediction) -> NDArray[np.uint8] | None:
    """Return the (32, 32, 3) pixels that the model saw; None where they were not kept."""
    if prediction.pixels is None:
        return None
    return np.frombuffer(prediction.pixels, dtype=np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS)


def make_activation_map(prediction: Prediction) -> ActivationMap:
    """Return where the model that answered looked, at the picture as it is, not mirrored.

    Args:
        prediction: its `model_version` is loaded.

    Raises:
        NoActivationMapError: there is none.
    """
    pixels = seen_pixels(prediction)
    if pixels is None:
        raise NoActivationMapError(_("What the model saw was not kept with this answer."))
    return load_explainer(prediction.model_version).explain(pixels)


def draw_activation_map(prediction: Prediction, *, class_key: str) -> bytes:
    """Return a PNG of what the model saw, with what each field adds to the score of a class.

    Args:
        prediction: its `model_version` is loaded.
        class_key: one of the model's classes.

    Raises:
        NoActivationMapError: there is no map, or the model knows no such class.
    """
    pixels, found = seen_pixels(prediction), make_activation_map(prediction)
    if pixels is None or class_key not in found.class_keys:
        raise NoActivationMapError(_("Choose one of the model's classes."))
    fields = found.fields_of(class_key)
    return draw_map(pixels, fields, rows=found.rows, columns=found.columns, largest=found.largest)


class Explainer:
    """A model package that is asked where it looks. Several threads may use it at once."""

    def __init__(self, package: PackageManifest) -> None:
        """Load a verified package.

        Raises:
            RuntimeError: OpenVINO cannot read the graph.
            SafetensorError: the weights are no safetensors file.
        """
        from classifier.openvino_runtime import FeatureNetwork  # noqa: PLC0415  # 45 MB that most processes do without

        self._package = package
        self._architecture = str(package.raw["architecture"]["name"])
        self._network: FeatureNetwork = FeatureNetwork(package)
        self._heads = read_heads(package)

    def describe(self, pixels: NDArray[np.uint8]) -> Floats:
        """Return the direction (C,) in which the last layer sees (32, 32, 3) pixels, of length 1."""
        _logits, feature_map = self._network.infer(pixels)
        return pool(feature_map, pooling_of(self._architecture))

    def explain(self, pixels: NDArray[np.uint8]) -> ActivationMap:
        """Return where the model looks in (32, 32, 3) pixels.

        Raises:
            NoActivationMapError: its last layer is of a kind for which there is no exact map.
        """
        logits, feature_map = self._network.infer(pixels)
        for head in self._heads:
            if head.weights.shape[1] != len(feature_map):
                continue
            fields = share_out(feature_map, head)
            if adds_up(fields, head, logits):
                _classes, height, width = fields.shape
                return ActivationMap(
                    class_keys=self._package.class_keys,
                    logits=logits.astype(np.float64),
                    fields=fields,
                    rows=field_centres(self._architecture, height),
                    columns=field_centres(self._architecture, width),
                )
        raise NoActivationMapError(_("This model's network does not decide field by field, so there is no exact map."))


def read_heads(package: PackageManifest) -> list[Head]:
    """Return what may be the last layer among the package's weights: every matrix with one row for each class."""
    classes = len(package.class_keys)
    pooling = pooling_of(str(package.raw["architecture"]["name"]))
    heads: list[Head] = []
    with safe_open(package.weights_path, framework="numpy") as weights:
        names = set(weights.keys())
        for name in sorted(names):
            shape = weights.get_slice(name).get_shape()
            if len(shape) < 2 or shape[0] != classes or any(length != 1 for length in shape[2:]):
                continue
            bias = f"{name.removesuffix('weight')}bias"
            heads.append(
                Head(
                    weights=weights.get_tensor(name).astype(np.float64).reshape(classes, -1),
                    bias=weights.get_tensor(bias).astype(np.float64) if bias in names else np.zeros(classes),
                    pooling=pooling,
                )
            )
    return heads


def load_explainer(version: ModelVersion) -> Explainer:
    """Return what asks a model version about pictures, loaded once in each process.

    Raises:
        NoActivationMapError: its package is gone or damaged.
    """
    try:
        with _loading:  # or two requests at once would load the same model twice
            return _load(version.location, version.package_sha256)
    except (PackageError, SafetensorError, OSError, RuntimeError) as error:
        logger.warning("Model version %s cannot be asked where it looks: %s", version, error)
        raise NoActivationMapError(_("The model that answered cannot be loaded any more.")) from error


@lru_cache(maxsize=MOST_LOADED)
def _load(location: str, sha256: str) -> Explainer:
    package = verify_package(fetch(location))
    if package.sha256 != sha256:
        raise PackageError(f"{location} is another package than {sha256}.")
    return Explainer(package)
