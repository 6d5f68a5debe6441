"""What each field adds to a class's score: exact for both poolings, and where the fields lie."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.activation import ActivationMap, Head, adds_up, field_centres, pool, pooling_of, share_out

FEATURES = np.array([[[1, 2], [3, 2]], [[4, 0], [4, -8]]], dtype=np.float32)  # (C, h, w): two channels, 2×2 fields
WEIGHTS = np.array([[2.0, 1.0], [-1.0, 0.5], [0.0, 0.0]])  # (K, C): three classes


def make_head(pooling: str, *, bias: tuple[float, ...] = (0, 0, 0)) -> Head:
    return Head(weights=WEIGHTS, bias=np.array(bias), pooling=pooling)  # type: ignore[arg-type]


def test_under_a_mean_each_field_adds_its_weighted_value_by_their_number() -> None:
    fields = share_out(FEATURES, make_head("mean"))
    assert fields.tolist() == [
        [[(2 + 4) / 4, 4 / 4], [(6 + 4) / 4, (4 - 8) / 4]],
        [[(-1 + 2) / 4, -2 / 4], [(-3 + 2) / 4, (-2 - 4) / 4]],
        [[0, 0], [0, 0]],
    ]
    assert fields.sum(axis=(1, 2)).tolist() == (WEIGHTS @ FEATURES.mean(axis=(1, 2))).tolist()


def test_under_a_maximum_a_channel_counts_where_it_is_largest_and_ties_share() -> None:
    fields = share_out(FEATURES, make_head("max"))
    # The first channel is largest (3) below left; the second (4) in both fields of the left column.
    assert fields.tolist() == [
        [[4 / 2 / 2, 0], [2 * 3 / 2 + 4 / 2 / 2, 0]],
        [[0.5 * 4 / 2 / 2, 0], [-3 / 2 + 0.5 * 4 / 2 / 2, 0]],
        [[0, 0], [0, 0]],
    ]
    assert fields.sum(axis=(1, 2)).tolist() == (WEIGHTS @ FEATURES.max(axis=(1, 2)) / 2).tolist()


def test_a_largest_value_below_zero_still_counts_where_it_is() -> None:
    fields = share_out(np.array([[[-5, -1]]], dtype=np.float32), Head(np.array([[2.0]]), np.zeros(1), "max"))
    assert fields.tolist() == [[[0, -2]]]


def test_fields_and_bias_have_to_make_the_logits() -> None:
    head = make_head("mean", bias=(1, 0, -1))
    fields = share_out(FEATURES, head)
    logits = (fields.sum(axis=(1, 2)) + head.bias).astype(np.float32)
    assert adds_up(fields, head, logits)
    assert adds_up(fields, head, logits + np.float32(0.0009))
    assert not adds_up(fields, head, logits + np.float32(0.0011))
    assert not adds_up(share_out(FEATURES, make_head("max")), head, logits)


def test_pooling_and_places_follow_from_the_architecture() -> None:
    assert (pooling_of("whitened_cnn"), pooling_of("resnet18")) == ("max", "mean")
    assert field_centres("whitened_cnn", 3) == (4.5, 12.5, 20.5)
    assert field_centres("resnet18", 4) == (4, 12, 20, 28)
    assert field_centres("resnet18", 1) == (16,)


def test_classes_share_one_scale() -> None:
    fields = np.array([[[1.0, -3.0]], [[2.0, 0.5]]])
    found = ActivationMap(("a", "b"), np.zeros(2), fields, rows=(16,), columns=(8, 24))
    assert found.largest == 3
    assert found.fields_of("b").tolist() == [[2.0, 0.5]]
    with pytest.raises(KeyError):
        found.fields_of("c")


def test_what_the_last_layer_sees_is_a_direction() -> None:
    features = np.array([[[3, 0]], [[4, 0]]], dtype=np.float32)
    assert pool(features, "max").tolist() == pool(features, "mean").tolist() == [0.6, 0.8]
    assert pool(np.zeros((2, 1, 2), dtype=np.float32), "mean").tolist() == [0, 0]
