"""Mistakes against lists worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.engine.mistakes import hardest_mistakes, most_confused_pairs

CONFUSION = torch.tensor([[5, 2, 3], [2, 6, 0], [0, 1, 9]])
KEYS = ["a", "b", "c"]


def test_pairs_come_by_their_count_and_ties_in_label_order() -> None:
    assert most_confused_pairs(CONFUSION, class_keys=KEYS) == [
        {"class_key": "a", "predicted": "c", "count": 3, "share": 0.3},
        {"class_key": "a", "predicted": "b", "count": 2, "share": 0.2},
        {"class_key": "b", "predicted": "a", "count": 2, "share": 0.25},
        {"class_key": "c", "predicted": "b", "count": 1, "share": 0.1},
    ]


def test_pairs_are_limited_and_the_matrix_stays_as_it_is() -> None:
    before = CONFUSION.clone()
    assert [row["count"] for row in most_confused_pairs(CONFUSION, class_keys=KEYS, limit=2)] == [3, 2]
    assert torch.equal(CONFUSION, before)


def test_a_perfect_model_confuses_nothing() -> None:
    assert most_confused_pairs(torch.eye(3, dtype=torch.int64), class_keys=KEYS) == []


def test_the_hardest_mistakes_are_those_whose_class_seemed_least_likely() -> None:
    # Image 0 is right; 1 gives its class 1/4, 2 gives it 1/10, 3 gives it 1/3.
    shares = torch.tensor([[0.9, 0.1], [0.25, 0.75], [0.9, 0.1], [1 / 3, 2 / 3]], dtype=torch.float64)
    logits = 2 * shares.log()  # a temperature of 2 gives the shares back
    labels = torch.tensor([0, 0, 1, 0])
    mistakes = hardest_mistakes(logits, labels, class_keys=["a", "b"], temperature=2.0)
    assert [row["index"] for row in mistakes] == [2, 1, 3]
    assert mistakes[0] == {
        "index": 2,
        "class_key": "b",
        "predicted": "a",
        "confidence": pytest.approx(0.9),
        "loss": pytest.approx(math.log(10)),
    }
    assert [
        row["index"] for row in hardest_mistakes(logits, labels, class_keys=["a", "b"], temperature=2.0, limit=1)
    ] == [2]


def test_without_mistakes_the_list_is_empty() -> None:
    assert hardest_mistakes(torch.eye(2), torch.arange(2), class_keys=["a", "b"], temperature=1.0) == []
