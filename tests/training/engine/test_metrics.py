"""Metrics against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.engine.metrics import (
    compute_metrics,
    confusion_matrix,
    expected_calibration_error,
    leave_out_copies,
    per_class_metrics,
    reliability_curve,
    top_k_accuracy,
)

LABELS = torch.tensor([0, 0, 0, 1, 1, 2])
PREDICTED = torch.tensor([0, 0, 1, 1, 0, 0])
CONFUSION = [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


def test_confusion_matrix_has_true_classes_as_rows() -> None:
    assert confusion_matrix(PREDICTED, LABELS, class_count=3).tolist() == CONFUSION


def test_per_class_figures() -> None:
    rows = per_class_metrics(torch.tensor(CONFUSION), class_keys=["a", "b", "c"])
    assert rows == [
        {"class_key": "a", "precision": 0.5, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7), "support": 3},
        {"class_key": "b", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        {"class_key": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    ]
    assert isinstance(rows[0]["support"], int)


def test_top_k_counts_the_k_largest_logits() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    labels = torch.tensor([0, 1, 2])
    assert [top_k_accuracy(logits, labels, k=k) for k in (1, 2, 3, 5)] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_copies_are_left_out_of_the_second_accuracy() -> None:
    logits, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    assert leave_out_copies(logits, labels, copies=[0]) == {
        "accuracy_without_near_duplicates": pytest.approx(2 / 3),
        "near_duplicate_count": 1,
    }
    assert leave_out_copies(logits, labels, copies=[0, 1, 2, 3])["accuracy_without_near_duplicates"] is None


def test_calibration_error_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 1])
    # Two bins of ten: 0.9 is right once in two (gap 0.4), 0.6 twice in two (gap 0.4).
    assert expected_calibration_error(reliability_curve(probabilities, labels, bins=10)) == pytest.approx(0.4)


def test_certain_and_right_has_no_calibration_error() -> None:
    curve = reliability_curve(torch.eye(3, dtype=torch.float64), torch.arange(3))
    assert expected_calibration_error(curve) == 0.0
    assert curve[-1] == {"count": 3, "confidence": 1.0, "accuracy": 1.0}
    assert curve[:-1] == 14 * [{"count": 0, "confidence": None, "accuracy": None}]


def test_reliability_bins_by_hand() -> None:
    # Four bins: 0.5 is the upper end of the second, 0.55 and 0.75 are in the third, 0.8 in the last.
    confidence = torch.tensor([0.5, 0.55, 0.75, 0.8], dtype=torch.float64)
    curve = reliability_curve(torch.stack([confidence, 1 - confidence], dim=1), torch.tensor([0, 1, 0, 1]), bins=4)
    assert [row["count"] for row in curve] == [0, 1, 2, 1]
    assert [row["accuracy"] for row in curve] == [None, 1.0, 0.5, 0.0]
    assert [row["confidence"] for row in curve[1:]] == pytest.approx([0.5, 0.65, 0.8])
    assert expected_calibration_error(curve) == pytest.approx((0.5 + 2 * 0.15 + 0.8) / 4)


def test_all_figures_of_a_small_case() -> None:
    logits = torch.nn.functional.one_hot(PREDICTED, 3).float() * math.log(2)
    metrics = compute_metrics(logits, LABELS, class_keys=["a", "b", "c"])
    assert metrics["accuracy"] == 0.5
    assert metrics["top5_accuracy"] == 1.0
    assert metrics["confusion_matrix"] == CONFUSION
    assert [(row["class_key"], row["predicted"]) for row in metrics["most_confused"]] == [
        ("a", "b"),
        ("b", "a"),
        ("c", "a"),
    ]
    assert [row["count"] for row in metrics["reliability"]] == 7 * [0] + [6] + 7 * [0]
    assert metrics["precision_macro"] == pytest.approx(1 / 3)
    assert metrics["recall_macro"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert metrics["f1_macro"] == pytest.approx((4 / 7 + 1 / 2) / 3)
    # Softmax gives 1/2 to the prediction and 1/4 to each other class; three of six are right.
    assert metrics["loss"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert metrics["nll"] == metrics["loss"]
    assert metrics["ece"] == pytest.approx(0.0, abs=1e-8)


def test_temperature_changes_served_probabilities_only() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    labels = torch.tensor([0, 1])
    cold, warm = (compute_metrics(logits, labels, class_keys=["a", "b"], temperature=t) for t in (1.0, 2.0))
    assert warm["nll"] == pytest.approx(math.log(1 + math.exp(-1)))
    assert (warm["loss"], warm["accuracy"]) == (cold["loss"], cold["accuracy"])
