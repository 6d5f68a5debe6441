"""The predictor: exact answers, damaged packages, and the swap of the champion under fire."""

from __future__ import annotations

import hashlib
import json
import runpy
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from django.db import OperationalError
from pytest_django import DjangoAssertNumQueries, Settings

from classifier.inference import (
    SCORE_FUNCTIONS,
    ChampionSlot,
    ModelNotReady,
    Predictor,
    champion_slot,
    load_predictor,
    predictor,
    warm_up,
)
from tests.factories import ModelVersionFactory
from tests.fixtures import RemoteArtifacts
from tests.tiny_model import COLOURS, SCALE, build_package, crown, expected_logits, register_version, write_package
from training.choices import ModelState
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


def settled() -> Predictor:
    """Return what answers once a swap that begins now has ended."""
    predictor()
    champion_slot.settle()
    return predictor()


def plain(colour: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((1, 32, 32, 3), COLOURS[colour], dtype=np.uint8)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The slot's clock, moved by hand: `clock[0] += 1`."""
    now = [1000.0]
    monkeypatch.setattr("classifier.inference.monotonic", lambda: now[0])
    return now


@pytest.fixture
def artifacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS_ROOT = tmp_path
    return tmp_path


def edit_manifest(version: ModelVersion, **changes: Any) -> ModelVersion:  # any value is tried
    """Return another version whose package is valid but for the changed keys of its manifest."""
    files = {name: (version.path / name).read_bytes() for name in version.manifest["files"]}
    package = write_package(version.path.parent, manifest=version.manifest | changes, files=files)
    location = str(Path(version.location).parent / package.name)
    return ModelVersion.objects.create(
        package_sha256=package.name, location=location, manifest=version.manifest | changes, test_accuracy=1.0
    )


def test_logits_probabilities_and_names_are_exact(champion: ModelVersion) -> None:
    images = np.concatenate([plain(3), plain(8)])
    scores = predictor().classify(images)
    np.testing.assert_allclose(scores.logits, expected_logits(images), atol=1e-4)
    assert scores.logits.argmax(axis=1).tolist() == [3, 8]
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1.0, atol=1e-12)
    assert scores.class_keys == CIFAR10_CLASS_KEYS
    assert (scores.version_id, scores.sha256) == (champion.pk, champion.package_sha256)


def test_the_temperature_of_the_manifest_calibrates(artifacts: Path) -> None:
    warm = load_predictor(register_version(temperature=4.0)).classify(plain(0))
    shares = np.exp(warm.logits[0].astype(np.float64) / 4.0)
    np.testing.assert_allclose(warm.probabilities[0], shares / shares.sum(), rtol=1e-6)


@pytest.mark.parametrize("score", ["max_logit", "energy"])
def test_a_colour_far_from_all_others_is_out_of_distribution(artifacts: Path, score: str) -> None:
    model = load_predictor(register_version(score=score, threshold=SCALE - 0.5))
    grey = np.full((1, 32, 32, 3), 170, dtype=np.uint8)
    assert model.classify(np.concatenate([plain(6), grey])).out_of_distribution == (False, True)


def test_the_score_takes_the_logits_without_the_temperature() -> None:
    logits = np.log(np.array([[1.0, 2.0, 5.0], [1.0, 1.0, 1.0]], dtype=np.float32))
    np.testing.assert_allclose(SCORE_FUNCTIONS["energy"](logits), [np.log(8), np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(SCORE_FUNCTIONS["max_logit"](logits), [np.log(5), 0], rtol=1e-6)


def test_the_temperature_does_not_change_what_is_foreign(artifacts: Path) -> None:
    grey = np.full((1, 32, 32, 3), 170, dtype=np.uint8)
    energy = float(SCORE_FUNCTIONS["energy"](expected_logits(grey))[0])
    for temperature in (0.5, 4.0):
        for threshold, is_foreign in ((energy - 0.01, False), (energy + 0.01, True)):
            version = register_version(score="energy", threshold=threshold, temperature=temperature)
            assert load_predictor(version).classify(grey).out_of_distribution == (is_foreign,)


def test_an_unknown_score_is_refused_with_those_that_are_known(artifacts: Path) -> None:
    with pytest.raises(ModelNotReady, match="score is 'vibes'; known are energy and max_logit"):
        load_predictor(register_version(score="vibes"))


def test_there_is_no_answer_without_a_champion() -> None:
    register_version()
    with pytest.raises(ModelNotReady, match="promoted"):
        predictor()


def test_one_changed_byte_of_any_file_stops_a_new_process(artifacts: Path) -> None:
    version = register_version(state=ModelState.CHAMPION)
    for name in ("model.onnx", "weights.safetensors", "manifest.json"):
        file = version.path / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelNotReady):
            ChampionSlot().get()
        file.write_bytes(whole)
    assert ChampionSlot().get().version == version


def test_a_damaged_copy_of_a_package_in_a_remote_store_is_fetched_again(remote_artifacts: RemoteArtifacts) -> None:
    version = ModelVersionFactory.create()
    (version.path / "model.onnx").write_bytes(b"torn")
    with pytest.raises(ModelNotReady):
        load_predictor(version)
    assert load_predictor(version).version == version


def test_a_missing_package_is_not_ready(artifacts: Path) -> None:
    version = register_version(state=ModelState.CHAMPION)
    (version.path / "model.onnx").unlink()
    with pytest.raises(ModelNotReady, match="v"):
        predictor()


@pytest.mark.parametrize(
    "changes",
    [
        {"golden_samples": []},
        {"golden_samples": [{"image": "!", "logits": [0.0] * 10}]},
        {"golden_samples": [{"image": "AAAA", "logits": [0.0] * 10}]},
        {"golden_samples": [{"logits": [0.0] * 10}]},
        {"golden_samples": ["?"]},
        {"class_keys": ["a", "b"]},
        {"out_of_distribution": {"score": "vibes", "threshold": 1.0}},
        {"out_of_distribution": {}},
        {"calibration": {}},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_a_package_that_contradicts_itself_may_not_serve(artifacts: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelNotReady):
        load_predictor(edit_manifest(register_version(), **changes))


def test_a_model_that_answers_otherwise_than_when_it_was_made_may_not_serve(artifacts: Path) -> None:
    version = register_version()
    samples = [dict(sample) for sample in version.manifest["golden_samples"]]
    samples[0]["logits"] = [value + 0.02 for value in samples[0]["logits"]]
    with pytest.raises(ModelNotReady, match=r"off by 0\.0200"):
        load_predictor(edit_manifest(version, golden_samples=samples))


def test_a_file_that_is_no_graph_may_not_serve(artifacts: Path) -> None:
    package = build_package(artifacts / "models")
    manifest = json.loads((package / "manifest.json").read_text())
    broken = b"not a graph"
    manifest["files"]["model.onnx"] = {"sha256": hashlib.sha256(broken).hexdigest(), "bytes": len(broken)}
    files = {"model.onnx": broken, "weights.safetensors": b"weights"}
    sealed = write_package(artifacts / "models", manifest=manifest, files=files)
    version = ModelVersion(package_sha256=sealed.name, location=f"models/{sealed.name}", manifest=manifest)
    with pytest.raises(ModelNotReady):
        load_predictor(version)


def test_a_promotion_is_seen_within_a_second_and_not_asked_for_more_often(
    champion: ModelVersion, clock: list[float], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert predictor().version == champion
    other = register_version(shift=1)
    crown(other)
    with django_assert_num_queries(0):
        assert predictor().version == champion
    clock[0] += 0.99
    assert predictor().version == champion
    clock[0] += 0.02
    assert settled().version == other
    assert int(predictor().classify(plain(1)).logits.argmax()) == 0
    clock[0] += 1.01
    with django_assert_num_queries(1):
        predictor()


def test_the_same_package_under_another_row_answers_for_that_row(champion: ModelVersion, clock: list[float]) -> None:
    predictor()
    sha256, location, manifest = champion.package_sha256, champion.location, champion.manifest
    champion.delete()
    again = ModelVersion.objects.create(
        package_sha256=sha256, location=location, manifest=manifest, state=ModelState.CHAMPION, test_accuracy=1.0
    )
    clock[0] += 2
    assert settled().classify(plain(0)).version_id == again.pk


def test_each_refusal_is_an_exception_of_its_own() -> None:
    slot = ChampionSlot()
    refusals = []
    for _ in range(3):
        with pytest.raises(ModelNotReady, match=r"^No model version was promoted yet\.$") as caught:
            slot.get()
        refusals.append(caught)
    assert len({id(refusal.value) for refusal in refusals}) == 3
    assert len({len(refusal.traceback) for refusal in refusals}) == 1  # one raised again would drag its past along


def test_a_damaged_champion_leaves_the_loaded_one_serving(artifacts: Path, clock: list[float]) -> None:
    first = register_version(state=ModelState.CHAMPION)
    assert predictor().version == first
    damaged = register_version(shift=1)
    whole = (damaged.path / "model.onnx").read_bytes()
    (damaged.path / "model.onnx").write_bytes(whole[:-1])
    crown(damaged)
    clock[0] += 2
    assert settled().version == first
    assert int(predictor().classify(plain(4)).logits.argmax()) == 4
    with pytest.raises(ModelNotReady):
        ChampionSlot().get()
    (damaged.path / "model.onnx").write_bytes(whole)
    clock[0] += 5
    assert settled().version == first  # it is not tried again so soon
    clock[0] += 6
    assert settled().version == damaged


def test_the_package_of_the_loaded_model_may_vanish(artifacts: Path, clock: list[float]) -> None:
    version = register_version(state=ModelState.CHAMPION)
    predictor()
    for file in version.path.iterdir():
        file.unlink()
    clock[0] += 2
    assert int(predictor().classify(plain(5)).logits.argmax()) == 5


def test_no_champion_any_more_means_no_answer(champion: ModelVersion, clock: list[float]) -> None:
    predictor()
    ModelVersion.objects.update(state=ModelState.ARCHIVED)
    clock[0] += 2
    with pytest.raises(ModelNotReady):
        predictor()


def test_everybody_keeps_the_old_model_while_another_is_loaded_beside(
    champion: ModelVersion, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = predictor()
    other = register_version(shift=1)
    crown(other)
    leave = threading.Event()
    loads: list[str] = []

    def load_slowly(version: ModelVersion, *, processes: int) -> Predictor:
        loads.append(threading.current_thread().name)
        assert leave.wait(10)
        return load_predictor(version, processes=processes)

    monkeypatch.setattr("classifier.inference.load_predictor", load_slowly)
    for _ in range(5):
        clock[0] += 2
        assert predictor() is old
    leave.set()
    assert settled().version == other
    assert loads == ["champion-swap"]


def test_many_threads_get_their_own_answers(champion: ModelVersion) -> None:
    model = predictor()
    wrong: list[tuple[int, int]] = []

    def ask(colour: int) -> None:
        for _ in range(100):
            answer = int(model.classify(plain(colour)).logits.argmax())
            if answer != colour:
                wrong.append((colour, answer))

    threads = [threading.Thread(target=ask, args=(colour,)) for colour in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_database_that_is_away_is_not_mistaken_for_a_missing_model(
    champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object, **_options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(ModelVersion.objects, "filter", away)
    with pytest.raises(OperationalError):
        predictor()


@pytest.mark.django_db(transaction=True)
def test_a_process_that_starts_loads_the_champion_beside(
    clock: list[float], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    version = register_version(state=ModelState.CHAMPION)
    warm_up(processes=2).join(60)
    with django_assert_num_queries(0):
        assert predictor().version == version


def test_a_web_process_warms_up_as_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("classifier.inference.warm_up", lambda *, processes: started.append(f"{processes} processes"))
    module = runpy.run_module("cifarsite.wsgi")
    assert callable(module["application"])
    assert started == ["2 processes"]


@pytest.mark.django_db(transaction=True)
def test_a_process_that_starts_without_a_champion_starts() -> None:
    warm_up(processes=2).join(60)
    with pytest.raises(ModelNotReady):
        predictor()


def test_serving_imports_neither_torch_nor_telemetry() -> None:
    code = (
        "import django, sys; django.setup();"
        "import cifarsite.api_router, classifier.openvino_runtime;"
        "print([name for name in ('torch', 'mlflow', 'onnx', 'openvino_telemetry.main') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_mirror_image_is_asked_and_averaged(champion: ModelVersion) -> None:
    class LeftColumn:
        """A network whose first logit is the red of the upper left corner."""

        def logits(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
            found = np.zeros((len(images), 10), dtype=np.float32)
            found[:, 0] = images[:, 0, 0, 0]
            return found

    model = replace(predictor(), network=cast("Any", LeftColumn()), together=None)
    images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    images[0, 0, 0, 0], images[0, 0, -1, 0], images[1, 0, -1, 0] = 10, 20, 6
    assert model.classify(images).logits[:, 0].tolist() == [10, 0]
    assert model.classify(images, mirrored=True).logits[:, 0].tolist() == [15, 3]
    np.testing.assert_allclose(model.classify(images, mirrored=True).probabilities[1, 0], np.exp(3) / (np.exp(3) + 9))
