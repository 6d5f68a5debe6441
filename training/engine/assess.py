"""Everything that is measured of a finished network: on the test images, on those it gets wrong, on foreign ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import torch
from torch import Tensor

from training.engine.calibrate import fit_temperature
from training.engine.constants import KEPT_FRACTION, PUBLISH_STAGES
from training.engine.data import Split
from training.engine.device import reference_device
from training.engine.evaluate import Answers, BatchCallback, predict
from training.engine.foreign import FOREIGN_COUNT, make_foreign_images
from training.engine.metrics import compute_metrics, leave_out_copies
from training.engine.mistakes import hardest_mistakes
from training.engine.networks import Network
from training.engine.progress import repeat_slowly
from training.engine.scores import LOGIT_SCORES, compare_scores, mean_directions
from training.engine.test_time import measure_policies

CALIBRATION_IMAGE_COUNT: Final = 2000
"""Training images that calibrate when none were set aside for it."""

LEARNT_IMAGE_COUNT: Final = 1000
"""Training images, equally many of each class, whose features stand for their classes."""

STAGES: Final = PUBLISH_STAGES[:3]
"""What an assessment is at, in turn."""

StageCallback = Callable[[int, str], None]
"""Told the number, from 0, and the name of a stage; may raise to interrupt."""


@dataclass(frozen=True, slots=True)
class Material:
    """The images of an assessment.

    Attributes:
        class_keys: Names of the K classes.
        test: Images that are measured, and used for nothing else.
        held_out: Images of the classes that calibrate and set thresholds.
        held_out_from: "validation", or "train" when nothing was set aside.
        learnt: Training images of every class.
        copies: Positions of the test images that occur among the training images; empty when nobody looked.
    """

    class_keys: Sequence[str]
    test: Split
    held_out: Split
    held_out_from: Literal["validation", "train"]
    learnt: Split
    copies: Sequence[int]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was measured.

    Attributes:
        logits: (N, K) float32 of the test images.
        features: (N, D) float32 of the test images, what the last layer decides by.
        temperature: Calibration temperature.
        metrics: Figures of the test images, see `compute_metrics`.
        mistakes: The hardest ones, see `hardest_mistakes`.
        score_comparison: How well scores tell foreign images, see `compare_scores`.
        test_time_augmentation: See `measure_policies`; None when nobody asked.
    """

    logits: Tensor
    features: Tensor
    temperature: float
    metrics: dict[str, Any]
    mistakes: list[dict[str, Any]]
    score_comparison: list[dict[str, Any]]
    test_time_augmentation: list[dict[str, Any]] | None


def gather_material(
    *, class_keys: Sequence[str], test: Split, training: Split, validation: Split, copies: Sequence[int]
) -> Material:
    """Choose the images of an assessment.

    Args:
        class_keys: Names of the K classes.
        test: All test images.
        training: Images that were learnt; every class occurs.
        validation: Images that were set aside; without any, training images take their place.
        copies: Positions of the test images that occur among the training images.
    """
    per_class = max(1, LEARNT_IMAGE_COUNT // len(class_keys))
    rows = [(training.labels == label).nonzero().flatten()[:per_class] for label in range(len(class_keys))]
    held_out = validation if len(validation) else training.spread(CALIBRATION_IMAGE_COUNT)
    cpu = reference_device().torch_device
    return Material(
        class_keys=class_keys,
        test=test,
        held_out=held_out.to(cpu),
        held_out_from="validation" if len(validation) else "train",
        learnt=training.select(torch.cat(rows)).to(cpu),
        copies=copies,
    )


def assess_network(
    network: Network,
    *,
    material: Material,
    temperature: float | None = None,
    augments_at_test_time: bool,
    on_stage: StageCallback,
) -> Assessment:
    """Measure a network in float32 on the CPU, as it is served.

    Args:
        network: On the CPU, with its weights as stored.
        material: The images.
        temperature: Calibration temperature; None fits it to the held-out images.
        augments_at_test_time: Whether to measure test-time augmentation as well.
        on_stage: Told each of `STAGES`, and again every few seconds while it lasts.
    """
    device = reference_device()

    def enter(stage: int) -> BatchCallback:
        tell = partial(on_stage, stage, STAGES[stage])
        tell()
        return repeat_slowly(tell)

    held_out = predict(network, material.held_out.images, device=device, on_batch=enter(0))
    if temperature is None:
        temperature = fit_temperature(held_out.logits, material.held_out.labels)
    go_on = enter(1)
    test = predict(network, material.test.images, device=device, on_batch=go_on)
    policies = None
    if augments_at_test_time:
        policies = measure_policies(network, material.test, device=device, on_batch=go_on)
    comparison = _compare(network, material=material, held_out=held_out, test=test, on_batch=enter(2))
    return Assessment(
        logits=test.logits,
        features=test.features,
        temperature=temperature,
        metrics=_measure(test.logits, material=material, temperature=temperature),
        mistakes=hardest_mistakes(
            test.logits, material.test.labels, class_keys=material.class_keys, temperature=temperature
        ),
        score_comparison=comparison,
        test_time_augmentation=policies,
    )


def describe_score(assessment: Assessment, *, score: str, threshold: float) -> dict[str, Any]:
    """Return a manifest's `out_of_distribution`: the score that is served, and what it was compared with.

    Args:
        assessment: What was measured.
        score: One of `LOGIT_SCORES`.
        threshold: Images whose score is lower are taken for foreign ones.
    """
    kept = LOGIT_SCORES[score](assessment.logits) >= threshold
    return {
        "score": score,
        "threshold": threshold,
        "kept_fraction": KEPT_FRACTION,
        "test_kept": kept.double().mean().item(),
        "comparison": assessment.score_comparison,
    }


def _measure(logits: Tensor, *, material: Material, temperature: float) -> dict[str, Any]:
    labels = material.test.labels
    metrics = compute_metrics(logits, labels, class_keys=material.class_keys, temperature=temperature)
    return metrics | (leave_out_copies(logits, labels, copies=material.copies) if material.copies else {})


def _compare(
    network: Network, *, material: Material, held_out: Answers, test: Answers, on_batch: BatchCallback
) -> list[dict[str, Any]]:
    ask = partial(predict, network, device=reference_device(), on_batch=on_batch)
    learnt = ask(material.learnt.images)
    scrambled = material.held_out.spread(FOREIGN_COUNT).images
    foreign = make_foreign_images(scrambled, class_keys=material.class_keys)
    return compare_scores(
        held_out=held_out,
        test=test,
        foreign={source: ask(images) for source, images in foreign.items()},
        class_means=mean_directions(learnt.features, material.learnt.labels),
    )
