"""The choice of precision, threads and batches: by what was measured, never against the golden samples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from classifier import inference_plan
from classifier.inference import Predictor, load_predictor
from classifier.inference_plan import Wishes, choose_network, fastest
from classifier.openvino_runtime import BATCH, Network, Plan
from tests.tiny_model import COLOURS, build_package
from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest, verify_package
from training.models import ModelVersion

Stage = list[float]


@pytest.fixture
def package(tmp_path: Path) -> PackageManifest:
    return verify_package(build_package(tmp_path))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the measurement find these milliseconds, stage by stage, on a machine with two cores and bf16."""

    def arrange(*stages: Stage, bf16: bool = True) -> None:
        waiting = list(stages)

        def find(calls: Sequence[Callable[[], object]]) -> Stage:
            for call in calls:
                call()
            return waiting.pop(0)

        monkeypatch.setattr(inference_plan, "fastest", find)
        monkeypatch.setattr(inference_plan, "is_fast_in_bf16", lambda: bf16)
        monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
        monkeypatch.setattr(inference_plan, "_known", {})

    return arrange


def accept(_network: Network) -> None:
    """Find every network right."""


def choose(package: PackageManifest, *, precision: str = "auto", threads: int = 0, processes: int = 2) -> Plan:
    wishes = Wishes(precision, threads, processes)
    return choose_network(package, wishes=wishes, check=accept).plan


@pytest.mark.parametrize(("f32_ms", "bf16_ms", "chosen"), [(1.21, 1.0, "bf16"), (1.19, 1.0, "f32"), (1.0, 2.0, "f32")])
def test_bf16_must_be_clearly_faster(
    package: PackageManifest, measured: Callable[..., None], f32_ms: float, bf16_ms: float, chosen: str
) -> None:
    measured([f32_ms, bf16_ms], [1.0, 8.0])
    assert choose(package) == Plan(chosen, 1, None)


def test_a_processor_without_bf16_is_not_asked(package: PackageManifest, measured: Callable[..., None]) -> None:
    measured([1.0, 8.0], bf16=False)
    assert choose(package) == Plan("f32", 1, None)


def test_a_precision_that_answers_otherwise_is_not_eligible(
    package: PackageManifest, measured: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_bf16(network: Network) -> None:
        if network.plan.precision == "bf16":
            raise PackageError("A golden sample's logit is off by 0.7; 0.5 is allowed.")

    measured([1.0, 8.0])
    network = choose_network(package, wishes=Wishes("auto", 0, 2), check=refuse_bf16)
    assert network.plan == Plan("f32", 1, None)
    assert sum(record.levelname == "WARNING" for record in caplog.records) == 1
    with pytest.raises(PackageError, match=r"off by 0\.7"):
        choose_network(package, wishes=Wishes("bf16", 0, 2), check=refuse_bf16)


@pytest.mark.parametrize(("one_ms", "two_ms", "threads"), [(1.31, 1.0, 2), (1.29, 1.0, 1)])
def test_threads_beyond_one_must_be_worth_the_cores(
    package: PackageManifest, measured: Callable[..., None], one_ms: float, two_ms: float, threads: int
) -> None:
    measured([one_ms, two_ms], [1.0, 8.0])
    assert choose(package, precision="f32", processes=1) == Plan("f32", threads, None)


def test_processes_that_share_the_cores_take_one_each(package: PackageManifest, measured: Callable[..., None]) -> None:
    measured([1.0, 8.0])  # nothing is measured but the batch
    assert choose(package, precision="f32", processes=2) == Plan("f32", 1, None)


@pytest.mark.parametrize(("batch_ms", "batch_from"), [(5.3, 6), (3.2, 4), (1.0, 2), (5.4, None)])
def test_batches_are_used_from_the_number_on_at_which_they_win(
    package: PackageManifest, measured: Callable[..., None], batch_ms: float, batch_from: int | None
) -> None:
    measured([1.0, batch_ms])
    assert choose(package, precision="f32", threads=3) == Plan("f32", 3, batch_from)


def test_a_package_that_comes_back_is_not_measured_again(
    package: PackageManifest, measured: Callable[..., None]
) -> None:
    measured([2.0, 1.0], [1.0, 8.0])
    assert choose(package) == choose(package) == Plan("bf16", 1, None)


@pytest.mark.parametrize("count", [1, 4, 5, BATCH, BATCH + 3, BATCH + 6, 3 * BATCH + 1])
def test_a_batch_answers_as_single_pictures_do(package: PackageManifest, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    together = Network(package, plan=Plan(batch_from=5)).logits(images)
    np.testing.assert_allclose(together, Network(package, plan=Plan()).logits(images), atol=1e-5)


def test_the_fastest_call_counts() -> None:
    rounds: list[int] = []
    first, second = fastest([lambda: rounds.append(1), lambda: None])
    assert len(rounds) == inference_plan._MOST_ROUNDS
    assert 0 < second < first + 1


@pytest.mark.django_db
def test_the_choice_is_logged_with_its_figures(
    settings: Settings, measured: Callable[..., None], champion: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    settings.INFERENCE_PRECISION, settings.INFERENCE_THREADS = "auto", 0
    measured([2.5, 1.25], [1.25, 1.0], [1.0, 4.0])
    with caplog.at_level(logging.INFO, logger="classifier.inference_plan"):
        load_predictor(champion)
    assert [record.getMessage().partition("…")[2] for record in caplog.records] == [
        ": one picture takes 2.50 ms in f32, 1.25 ms in bf16.",
        ": one picture takes 1.25 ms with 1 thread, 1.00 ms with 2.",
        ": a picture takes 1.00 ms alone, 0.50 ms among 8.",
        " answers in bf16, with 1 thread(s), from 4 pictures on in one go.",
    ]


@pytest.mark.django_db
def test_pictures_of_several_threads_go_through_the_gathering(
    settings: Settings, measured: Callable[..., None], champion: ModelVersion
) -> None:
    settings.INFERENCE_THREADS = 1
    measured([1.0, 4.0])
    model: Predictor = load_predictor(champion)
    assert model.together is not None
    pixels = np.full((1, 32, 32, 3), COLOURS[4], dtype=np.uint8)
    assert int(model.classify(pixels).logits.argmax()) == 4
