"""Maps of where a model looked: from a package's own files, exact, or none."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from classifier import activation_maps
from classifier.activation import ActivationMap
from classifier.activation_maps import (
    Explainer,
    NoActivationMapError,
    draw_activation_map,
    make_activation_map,
    read_heads,
    seen_pixels,
)
from classifier.models import Prediction
from tests.factories import PredictionFactory
from tests.tiny_model import COLOURS, SCALE, build_package, expected_logits, head, picture, register_version
from training.engine.package import PackageManifest, verify_package
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
SHIP, TRUCK = 8, 9


@pytest.fixture(autouse=True)
def _nothing_loaded(artifacts_root: Path) -> None:
    """Packages and banks of each test's own."""
    activation_maps._load.cache_clear()


def half_white() -> NDArray[np.uint8]:
    """The colour of a ship on the left, that of a truck on the right."""
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, :16] = COLOURS[SHIP]
    return pixels


def prediction_of(version: ModelVersion, pixels: NDArray[np.uint8] | None) -> Prediction:
    made: Prediction = PredictionFactory.create(
        model_version=version, pixels=None if pixels is None else pixels.tobytes()
    )
    return made


def test_fields_and_bias_make_the_logits_that_the_model_gave(champion: ModelVersion) -> None:
    pixels = half_white()
    found = make_activation_map(prediction_of(champion, pixels))
    assert found.class_keys == tuple(champion.class_keys)
    assert found.fields.shape == (10, 8, 8)
    assert found.logits == pytest.approx(expected_logits(pixels[None])[0], abs=1e-4)
    assert found.fields.sum(axis=(1, 2)) + head()["head.bias"] == pytest.approx(found.logits, abs=1e-4)
    assert found.rows == found.columns == (2, 6, 10, 14, 18, 22, 26, 30)


def test_what_speaks_for_a_class_adds_to_it_where_it_is(champion: ModelVersion) -> None:
    fields = make_activation_map(prediction_of(champion, half_white())).fields_of("ship")
    # Of 64 fields each white one adds 2 SCALE (1 + 1 + 1); all of them pay for the mean colour's length, 3 / 4.
    assert fields[:, :4] == pytest.approx((6 * SCALE - SCALE * 0.75) / 64, abs=1e-4)
    assert fields[:, 4:] == pytest.approx(-SCALE * 0.75 / 64, abs=1e-4)


def test_the_drawing_is_of_the_class_that_is_asked_for(champion: ModelVersion) -> None:
    made = prediction_of(champion, half_white())
    ship, truck = (draw_activation_map(made, class_key=key) for key in ("ship", "truck"))
    assert Image.open(io.BytesIO(ship)).size == (256, 256)
    assert ship != truck
    with pytest.raises(NoActivationMapError, match="Choose one of the model's classes"):
        draw_activation_map(made, class_key="submarine")


def test_a_package_is_loaded_once(champion: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[PackageManifest] = []
    before = Explainer.__init__

    def count(self: Explainer, package: PackageManifest) -> None:
        loaded.append(package)
        before(self, package)

    monkeypatch.setattr(Explainer, "__init__", count)
    for _time in range(3):
        make_activation_map(prediction_of(champion, half_white()))
    make_activation_map(prediction_of(register_version(shift=1), half_white()))
    assert [package.sha256 for package in loaded] == [
        champion.package_sha256,
        *ModelVersion.objects.exclude(pk=champion.pk).values_list("package_sha256", flat=True),
    ]


def test_an_answer_from_before_pixels_were_kept_has_none(champion: ModelVersion) -> None:
    made = prediction_of(champion, None)
    assert seen_pixels(made) is None
    with pytest.raises(NoActivationMapError, match="What the model saw was not kept with this answer"):
        make_activation_map(made)


def test_a_package_that_is_gone_or_damaged_gives_none(champion: ModelVersion, caplog: pytest.LogCaptureFixture) -> None:
    (champion.path / "weights.safetensors").write_bytes(b"altered")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(NoActivationMapError, match="The model that answered cannot be loaded any more"),
    ):
        make_activation_map(prediction_of(champion, half_white()))
    assert f"Model version {champion} cannot be asked where it looks" in caplog.text


def test_weights_that_do_not_make_the_logits_give_none(champion: ModelVersion) -> None:
    explainer = Explainer(verify_package(champion.path))
    tensors = head()
    tensors["head.bias"] = tensors["head.bias"] + np.float32(0.01)
    save_file(tensors, champion.path / "weights.safetensors")
    explainer._heads = read_heads(explainer._package)
    with pytest.raises(NoActivationMapError, match="does not decide field by field"):
        explainer.explain(half_white())


def test_every_matrix_with_a_row_for_each_class_may_be_the_last_layer(tmp_path: Path) -> None:
    package = verify_package(build_package(tmp_path))
    tensors = {
        "fc.weight": np.arange(30, dtype=np.float16).reshape(10, 3, 1, 1),
        "fc.bias": np.arange(10, dtype=np.float16),
        "stem.weight": np.ones((10, 3, 3, 3), dtype=np.float16),
        "other.weight": np.ones((4, 10), dtype=np.float16),
        "head.weight": np.ones((10, 2), dtype=np.float16),
        "norm.weight": np.ones(10, dtype=np.float16),
    }
    save_file(tensors, package.weights_path)
    fc, last = read_heads(package)
    assert (fc.pooling, fc.weights.tolist()) == ("mean", np.arange(30).reshape(10, 3).tolist())
    assert fc.bias.tolist() == list(range(10))
    assert (last.weights.tolist(), last.bias.tolist()) == ([[1, 1]] * 10, [0] * 10)


def test_a_trained_network_s_largest_values_make_its_logits(tiny_package: Path) -> None:
    """The engine's own network, published by the engine: the largest value of each channel counts."""
    found: ActivationMap = Explainer(verify_package(tiny_package)).explain(half_white())
    assert found.fields.shape[1:] == (3, 3)
    assert found.rows == found.columns == (4.5, 12.5, 20.5)
    assert found.fields.sum(axis=(1, 2)) == pytest.approx(found.logits, abs=1e-4)


def test_what_the_model_saw_is_kept_with_the_answer(champion: ModelVersion) -> None:
    from classifier.choices import Source
    from classifier.services import Upload, predict
    from tests.factories import UserFactory

    upload = Upload(picture(SHIP, size=(200, 100)), "wide.png")
    made = predict(owner=UserFactory.create(), upload=upload, source=Source.PAGE)
    made.refresh_from_db()
    pixels = seen_pixels(made)
    assert pixels is not None
    assert np.array_equal(pixels, np.full((32, 32, 3), COLOURS[SHIP]))
