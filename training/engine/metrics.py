"""Figures of merit of a classifier, from logits and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from training.engine.mistakes import most_confused_pairs

ECE_BINS: Final = 15
"""Bins of equal width over the confidence (Guo et al. 2017, arXiv 1706.04599)."""


def compute_metrics(
    logits: Tensor, labels: Tensor, *, class_keys: Sequence[str], temperature: float = 1.0
) -> dict[str, Any]:
    """Compute every figure that a model package reports.

    `ece`, `reliability` and `nll` describe the probabilities that are served, softmax(logits / temperature); `loss` is
    the cross-entropy of the raw logits: the log-loss before the temperature, comparable with the validation curve.

    Args:
        logits: (N, K) float.
        labels: (N,) int64.
        class_keys: Names of the K classes.
        temperature: Calibration temperature.

    Returns:
        JSON-ready figures; shares are fractions in [0, 1].
    """
    logits = logits.double()
    confusion = confusion_matrix(logits.argmax(dim=1), labels, class_count=len(class_keys))
    per_class = per_class_metrics(confusion, class_keys=class_keys)
    calibrated = logits / temperature
    reliability = reliability_curve(calibrated.softmax(dim=1), labels)
    return {
        "accuracy": top_k_accuracy(logits, labels, k=1),
        "top5_accuracy": top_k_accuracy(logits, labels, k=5),
        **{
            f"{name}_macro": sum(row[name] for row in per_class) / len(per_class)
            for name in ("precision", "recall", "f1")
        },
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
        "most_confused": most_confused_pairs(confusion, class_keys=class_keys),
        "ece": expected_calibration_error(reliability),
        "reliability": reliability,
        "nll": functional.cross_entropy(calibrated, labels).item(),
        "loss": functional.cross_entropy(logits, labels).item(),
    }


def top_k_accuracy(logits: Tensor, labels: Tensor, *, k: int) -> float:
    """Return the share of images whose class is among the k largest logits; k is capped at the number of classes.

    Args:
        logits: (N, K) float.
        labels: (N,) int64.
        k: How many guesses count.
    """
    top = logits.topk(min(k, logits.shape[1]), dim=1).indices  # (N, k)
    return (top == labels.unsqueeze(1)).any(dim=1).double().mean().item()


def leave_out_copies(logits: Tensor, labels: Tensor, *, copies: Sequence[int]) -> dict[str, Any]:
    """Compute the accuracy on test images that do not occur, exactly or nearly, among the training images.

    An auxiliary dataset is not looked at: these are the training images of the dataset itself.

    Args:
        logits: (N, K) float.
        labels: (N,) int64.
        copies: Positions of the test images that do.

    Returns:
        `accuracy_without_near_duplicates`, a fraction, or None when nothing is left; `near_duplicate_count`, the images
        left out.
    """
    is_kept = torch.ones(len(labels), dtype=torch.bool)
    is_kept[list(copies)] = False
    accuracy = top_k_accuracy(logits[is_kept], labels[is_kept], k=1) if is_kept.any() else None
    return {"accuracy_without_near_duplicates": accuracy, "near_duplicate_count": len(copies)}


def confusion_matrix(predicted: Tensor, labels: Tensor, *, class_count: int) -> Tensor:
    """Count images by true class (row) and predicted class (column), as (K, K) int64."""
    cells = torch.bincount(labels * class_count + predicted, minlength=class_count**2)
    return cells.view(class_count, class_count)


def per_class_metrics(confusion: Tensor, *, class_keys: Sequence[str]) -> list[dict[str, Any]]:
    """Compute precision, recall, F1 and support of each class; a ratio without any case is 0.

    Args:
        confusion: (K, K) int64, rows are true classes.
        class_keys: Names of the K classes.
    """
    hits = confusion.diagonal().double()
    support = confusion.sum(dim=1)
    predicted = confusion.sum(dim=0)
    columns = {
        "precision": hits / predicted.clamp(min=1),
        "recall": hits / support.clamp(min=1),
        "f1": 2 * hits / (support + predicted).clamp(min=1),
        "support": support,
    }
    return [
        {"class_key": key, **{name: column[row].item() for name, column in columns.items()}}
        for row, key in enumerate(class_keys)
    ]


def compute_f1_macro(predicted: Tensor, labels: Tensor, *, class_count: int) -> float:
    """Return the mean of the classes' F1, in [0, 1].

    Args:
        predicted: (N,) int64.
        labels: (N,) int64.
        class_count: Number of classes K.
    """
    confusion = confusion_matrix(predicted, labels, class_count=class_count)
    per_class = per_class_metrics(confusion, class_keys=[str(number) for number in range(class_count)])
    return sum(float(row["f1"]) for row in per_class) / class_count


def reliability_curve(probabilities: Tensor, labels: Tensor, *, bins: int = ECE_BINS) -> list[dict[str, Any]]:
    """Compare confidence with accuracy, bin by bin.

    Args:
        probabilities: (N, K) float, rows sum to 1.
        labels: (N,) int64.
        bins: Number of bins; bin i holds confidences in (i / bins, (i + 1) / bins].

    Returns:
        For each bin `count`, and mean `confidence` and `accuracy`, None where it holds no image.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    bin_of = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    counts = torch.bincount(bin_of, minlength=bins)
    columns = {"confidence": confidence, "accuracy": (predicted == labels).double()}
    sums = {name: torch.bincount(bin_of, weights=values, minlength=bins) for name, values in columns.items()}
    return [
        {"count": count, **{name: total[row].item() / count if count else None for name, total in sums.items()}}
        for row, count in enumerate(counts.tolist())
    ]


def expected_calibration_error(reliability: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean gap between confidence and accuracy over the bins of a curve, weighted by their counts."""
    filled = [row for row in reliability if row["count"]]
    gaps = sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in filled)
    return float(gaps / sum(row["count"] for row in filled))
