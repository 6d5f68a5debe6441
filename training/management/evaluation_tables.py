"""What an evaluation measured, as tables of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

MATRIX_CLASSES: Final = 10
"""Classes of which a confusion matrix fits into 80 columns."""

_NAME_WIDTH: Final = 16
_MATRIX_NAME_WIDTH: Final = 5


def describe_evaluation(report: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines that tell what the engine's `evaluate` reported."""
    metrics = report["metrics"]
    yield from _summary(metrics, report=report)
    yield from _section("By class", ["class", "precision", "recall", "F1", "images"], _class_rows(metrics))
    yield from _confusion(metrics)
    yield from _section(
        "Most confused pairs",
        ["true class", "taken for", "images", "of its class"],
        [
            [_cut(row["class_key"]), _cut(row["predicted"]), f"{row['count']:,}", f"{row['share']:.1%}"]
            for row in metrics["most_confused"]
        ],
    )
    yield from _section(
        "Hardest mistakes",
        ["true class", "taken for", "confidence", "loss", "test image"],
        [
            [
                _cut(row["class_key"]),
                _cut(row["predicted"]),
                f"{row['confidence']:.1%}",
                f"{row['loss']:.2f}",
                str(row["index"]),
            ]
            for row in report["mistakes"]
        ],
    )
    yield from _section(
        "Reliability", ["confidence", "mean", "accuracy", "images"], _reliability_rows(metrics["reliability"])
    )
    yield from _foreign(report["out_of_distribution"], held_out=report["held_out"])
    if report["test_time_augmentation"] is not None:
        yield from _section(
            "Test-time augmentation",
            ["views", "number", "accuracy", "gain", "time"],
            [
                [
                    row["name"],
                    str(row["views"]),
                    f"{row['accuracy']:.2%}",
                    f"{100 * row['gain']:+.2f} points",
                    f"{row['cost']:.1f} ×",
                ]
                for row in report["test_time_augmentation"]
            ],
        )


def _summary(metrics: Mapping[str, Any], *, report: Mapping[str, Any]) -> Iterator[str]:
    figures = {"accuracy": f"{metrics['accuracy']:.2%}"}
    if metrics.get("accuracy_without_near_duplicates") is not None:
        name = f"accuracy without {metrics['near_duplicate_count']:,} copies of training images"
        figures[name] = f"{metrics['accuracy_without_near_duplicates']:.2%}"
    figures |= {
        "top-5 accuracy": f"{metrics['top5_accuracy']:.2%}",
        "macro precision": f"{metrics['precision_macro']:.2%}",
        "macro recall": f"{metrics['recall_macro']:.2%}",
        "macro F1": f"{metrics['f1_macro']:.2%}",
        "temperature": f"{report['calibration']['temperature']:.4f}",
        "log-loss before the temperature": f"{metrics['loss']:.4f}",
        "log-loss after it": f"{metrics['nll']:.4f}",
        "expected calibration error after it": f"{metrics['ece']:.2%}",
    }
    width = max(map(len, figures))
    yield from (f"{name:<{width}}  {figure:>8}" for name, figure in figures.items())


def _class_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    return [
        [_cut(row["class_key"]), *(f"{row[name]:.1%}" for name in ("precision", "recall", "f1")), f"{row['support']:,}"]
        for row in metrics["per_class"]
    ]


def _confusion(metrics: Mapping[str, Any]) -> Iterator[str]:
    keys = [row["class_key"] for row in metrics["per_class"]]
    title = "Confusion matrix: of each true class (row), the percentage taken for each class"
    if len(keys) > MATRIX_CLASSES:
        yield from ("", title, f"(--json has it: {len(keys)} classes do not fit here)")
        return
    rows = [
        [_cut(key), *(f"{100 * count / max(1, sum(counts)):.1f}" for count in counts)]
        for key, counts in zip(keys, metrics["confusion_matrix"], strict=True)
    ]
    yield from _section(title, ["", *(_cut(key, width=_MATRIX_NAME_WIDTH) for key in keys)], rows, gap=" ")


def _reliability_rows(bins: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            f"{100 * index / len(bins):.0f} to {100 * (index + 1) / len(bins):.0f}%",
            f"{row['confidence']:.1%}",
            f"{row['accuracy']:.1%}",
            f"{row['count']:,}",
        ]
        for index, row in enumerate(bins)
        if row["count"]
    ]


def _foreign(found: Mapping[str, Any], *, held_out: Mapping[str, Any]) -> Iterator[str]:
    """Compare the scores: one row for each source of foreign images, AUROC and share detected for each score."""
    comparison = found["comparison"]
    header = ["AUROC, detected", *(name for row in comparison for name in (row["score"], ""))]
    sources = zip(*(row["sources"] for row in comparison), strict=True)
    rows = [[cells[0]["source"], *_score_cells(cells)] for cells in sources]
    rows.append(["mean", *_score_cells(comparison)])
    kept = ["keeps of the test", *(cell for row in comparison for cell in ("", f"{row['test_kept']:.1%}"))]
    yield from _section("Images of no class", header, [*rows, kept])
    yield f"Each threshold keeps {found['kept_fraction']:.0%} of {held_out['count']:,} {held_out['split']} images."
    yield (
        f"The model serves {found['score']} with threshold {found['threshold']:.4f}, "
        f"which keeps {found['test_kept']:.1%} of the test."
    )


def _score_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [cell for row in rows for cell in (f"{row['auroc']:.3f}", f"{row['detected']:.1%}")]


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, gap: str = "  ") -> Iterator[str]:
    """Set rows under a title, names to the left and figures to the right; nothing when there are none."""
    if not rows:
        return
    yield from ("", title)
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_name = [not any(cell[:1].isdigit() or cell[:1] in {"+", "-"} for cell in column[1:]) for column in columns]
    for row in (header, *rows):
        cells = (
            f"{cell:<{width}}" if name else f"{cell:>{width}}"
            for cell, width, name in zip(row, widths, is_name, strict=True)
        )
        yield gap.join(cells).rstrip()


def _cut(name: str, *, width: int = _NAME_WIDTH) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
