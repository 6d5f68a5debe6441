"""Scores of foreign images against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.engine.evaluate import Answers
from training.engine.scores import (
    LOGIT_SCORES,
    auroc,
    choose_score,
    compare_scores,
    mean_directions,
    score_energy,
    score_max_logit,
    score_nearest_class,
)


def test_energy_is_the_logarithm_of_the_sum_of_exponentials() -> None:
    logits = torch.tensor([[math.log(1), math.log(2), math.log(5)], [100.0, 100.0, -1000.0]])
    assert score_energy(logits).tolist() == pytest.approx([math.log(8), 100 + math.log(2)])
    assert score_max_logit(logits).tolist() == pytest.approx([math.log(5), 100.0])


def test_the_nearest_class_is_the_one_in_the_most_similar_direction() -> None:
    features = torch.tensor([[4.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    means = mean_directions(features, torch.tensor([0, 0, 1]))
    assert means.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    scores = score_nearest_class(torch.tensor([[3.0, 4.0], [-1.0, 0.0]]), class_means=means)
    assert scores.tolist() == pytest.approx([0.8, 0.0])


def test_mean_directions_do_not_depend_on_lengths() -> None:
    features = torch.tensor([[10.0, 0.0], [0.0, 1.0]])
    assert mean_directions(features, torch.tensor([0, 0]))[0].tolist() == pytest.approx([math.sqrt(0.5)] * 2)


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        ([0.0, 1.0], [2.0, 3.0], 0.0),
        ([1.0], [1.0], 0.5),
        ([1.0, 2.0], [1.0, 1.0, 3.0], (0.5 + 0.5 + 0 + 1 + 1 + 0) / 6),
        ([5.0, 5.0], [5.0, 1.0], 0.75),
    ],
)
def test_auroc_counts_pairs_and_half_of_ties(inside: list[float], outside: list[float], expected: float) -> None:
    assert auroc(inside=torch.tensor(inside), outside=torch.tensor(outside)) == pytest.approx(expected)


def answers(largest: list[float], *, direction: tuple[float, float] = (1.0, 0.0)) -> Answers:
    """Return answers with one dominant logit, whose energy is about the same, and one direction of features."""
    logits = torch.tensor([[value, -100.0] for value in largest])
    return Answers(logits=logits, features=torch.tensor([direction]).expand(len(largest), 2))


def test_scores_are_compared_source_by_source() -> None:
    held_out = answers([float(value) for value in range(100)])
    comparison = compare_scores(
        held_out=held_out,
        test=answers([3.0, 4.0, 50.0, 60.0]),
        foreign={"far": answers([0.0, 1.0], direction=(0.0, 1.0)), "near": answers([3.5, 70.0])},
        class_means=torch.tensor([[1.0, 0.0]], dtype=torch.float64),
    )
    assert [row["score"] for row in comparison] == [*LOGIT_SCORES, "nearest_class"]
    of_logits = comparison[1]
    assert (of_logits["threshold"], of_logits["test_kept"]) == (4.0, 0.75)
    # Above 3.5 are 4, 50 and 60, above 70 is none: three pairs of eight.
    assert of_logits["sources"] == [
        {"source": "far", "auroc": 1.0, "detected": 1.0},
        {"source": "near", "auroc": pytest.approx(3 / 8), "detected": 0.5},
    ]
    assert (of_logits["auroc"], of_logits["detected"]) == (pytest.approx(11 / 16), 0.75)
    of_features = comparison[2]
    assert [row["detected"] for row in of_features["sources"]] == [1.0, 0.0]
    assert [row["auroc"] for row in of_features["sources"]] == [1.0, 0.5]


def row(score: str, detected: float) -> dict[str, object]:
    return {"score": score, "detected": detected}


@pytest.mark.parametrize(
    ("energy", "max_logit", "chosen"), [(0.6, 0.5, "energy"), (0.5, 0.6, "max_logit"), (0.5, 0.5, "energy")]
)
def test_the_score_of_logits_that_detects_most_is_served(energy: float, max_logit: float, chosen: str) -> None:
    comparison = [row("energy", energy), row("max_logit", max_logit), row("nearest_class", 0.9)]
    assert choose_score(comparison)["score"] == chosen
