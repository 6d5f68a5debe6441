"""Test metrics, arranged for a page."""

from __future__ import annotations

from typing import Any

from django.utils.translation import override

from training.views.reports import build_report


def metrics() -> dict[str, Any]:
    return {
        "accuracy": 0.75,
        "ece": None,
        "per_class": [
            {"class_key": "cat", "precision": 0.9, "recall": 0.96, "f1": 0.93, "support": 100},
            {"class_key": "owl", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4},
        ],
        "confusion_matrix": [[96, 4], [2, 2]],
    }


def test_there_is_no_report_before_there_are_metrics() -> None:
    assert build_report({}) is None


def test_rows_carry_their_part_of_the_confusion_matrix() -> None:
    report = build_report(metrics())
    assert report is not None
    assert report.names == ["cat", "owl"]
    assert report.summary["accuracy"] == 0.75
    assert report.summary["ece"] is None
    assert report.summary["top5_accuracy"] is None
    cells = [(cell.predicted, cell.count, cell.share, cell.level, cell.is_right) for cell in report.rows[0].cells]
    assert cells == [("cat", 96, 0.96, 8, True), ("owl", 4, 0.04, 2, False)]


def test_names_are_the_readers() -> None:
    with override("fr"):
        report = build_report(metrics())
    assert report is not None
    assert report.names[1] == "owl"  # a class of an imported dataset is its own name


def test_a_class_without_test_images_has_an_empty_row() -> None:
    report = build_report({**metrics(), "confusion_matrix": [[0, 0], [0, 4]]})
    assert report is not None
    assert [cell.level for cell in report.rows[0].cells] == [0, 0]


def test_metrics_without_a_matrix_still_have_their_table() -> None:
    report = build_report({key: value for key, value in metrics().items() if key != "confusion_matrix"})
    assert report is not None
    assert [row.cells for row in report.rows] == [(), ()]


def test_what_older_metrics_lack_is_left_out() -> None:
    report = build_report(metrics())
    assert report is not None
    assert (report.pairs, report.reliability, report.summary["loss"]) == ((), (), None)


def test_pairs_have_the_readers_names() -> None:
    pair = {"class_key": "cat", "predicted": "owl", "count": 4, "share": 0.04}
    with override("fr"):
        report = build_report({**metrics(), "most_confused": [pair]})
    assert report is not None
    assert [(pair.name, pair.predicted, pair.count, pair.share) for pair in report.pairs] == [("Chat", "owl", 4, 0.04)]
