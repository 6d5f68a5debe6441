"""The report counts what was put wrong, names it, and stops a run only for exact copies across the splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.engine.test_perceptual_hash import draw_pictures, recompress
from training.engine.__main__ import main
from training.engine.data_checks import (
    REPORT_NAME,
    check_dataset,
    count_exact_copies,
    list_test_copies,
    read_report,
    require_separate_auxiliary,
    require_separate_splits,
    write_report,
)
from training.engine.dataset_draft import draft_dataset
from training.engine.exceptions import CopiesError, DatasetError
from training.engine.image_copies import correlate


def make_dataset(path: Path, *, seed: int = 0, wrong: bool = False) -> Path:
    """Make a dataset of 20 training and 10 test pictures of two classes, by default without any fault.

    With `wrong`, in order of arrival: training image 1 repeats 0, and 3 repeats 2 as another class; 4 is black; test
    image 0 repeats training image 5, 1 is a recompressed 6, and 2 a recompressed 8 as another class.
    """
    pictures = draw_pictures(30, seed=seed)
    train, test = pictures[:20], pictures[20:]
    train_keys, test_keys = ["cat", "cat", "dog", "dog"] * 5, ["cat", "cat", "dog", "dog", "dog"] * 2
    if wrong:
        train[1], train[3], train[4] = train[0], train[2], 0
        train_keys[3] = "cat"
        test[0], test[1], test[2] = train[5], recompress(train[6], quality=70), recompress(train[8], quality=70)
        test_keys[0], test_keys[1], test_keys[2] = train_keys[5], train_keys[6], "dog"
    with draft_dataset(path) as draft:
        draft.add("train", train, class_keys=train_keys, entry="")
        draft.add("test", test, class_keys=test_keys, entry="")
        draft.publish(name=path.name, source="folder", by_class=False)
    return path


def comparison(report: dict[str, Any], first: str, second: str) -> dict[str, Any]:
    [found] = [one for one in report["comparisons"] if (one["first"], one["second"]) == (first, second)]
    return dict(found)


def figures(report: dict[str, Any], first: str, second: str) -> tuple[int, int, int]:
    found = comparison(report, first, second)
    return found["exact"], found["near"], found["conflicting"]


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    return check_dataset(make_dataset(tmp_path / "wrong", wrong=True))


def test_a_sound_dataset(tmp_path: Path) -> None:
    report = check_dataset(make_dataset(tmp_path / "sound"))
    for first, second in (("train", "train"), ("test", "test"), ("test", "train")):
        assert comparison(report, first, second) == {
            "first": first, "second": second, "exact": 0, "near": 0, "conflicting": 0, "examples": [],
        }  # fmt: skip
    assert (report["test_copies"], report["left_out"], report["against"]) == ([], 0, [])
    assert report["splits"]["train"] == {
        "images": 20,
        "per_class": {"cat": 10, "dog": 10},
        "balance": 1.0,
        "constant": 0,
        "constant_examples": [],
    }
    assert report["splits"]["test"]["balance"] == 0.6667


def test_copies_inside_a_split(report: dict[str, Any]) -> None:
    assert figures(report, "train", "train") == (4, 0, 2)
    assert figures(report, "test", "test") == (0, 0, 0)
    assert comparison(report, "train", "train")["examples"] == [
        {"kind": "exact", "first": 0, "second": 1, "class_keys": ("cat", "cat")},
        {"kind": "exact", "first": 2, "second": 3, "class_keys": ("dog", "cat")},
    ]


def test_copies_across_the_splits(report: dict[str, Any]) -> None:
    assert figures(report, "test", "train") == (1, 2, 1)
    assert report["test_copies"] == [0, 1, 2]
    examples = comparison(report, "test", "train")["examples"]
    assert {(example["kind"], example["first"], example["second"]) for example in examples} == {
        ("exact", 0, 5),
        ("near", 1, 6),
        ("near", 2, 8),
    }


def test_images_of_one_colour(report: dict[str, Any]) -> None:
    assert (report["splits"]["train"]["constant"], report["splits"]["train"]["constant_examples"]) == (1, [4])
    assert report["splits"]["test"]["constant"] == 0


def test_another_dataset_is_compared_by_class_name(tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other", wrong=True)
    report = check_dataset(make_dataset(tmp_path / "mine", seed=0), against=[other])
    assert report["against"] == [
        {"name": "other", "sha256": json.loads((other / "manifest.json").read_text())["sha256"]}
    ]
    # Training images 1, 3 and 4 of the other one were replaced, 2 of its pictures carry one class more.
    assert figures(report, "train", "other") == (17, 0, 1)
    assert figures(report, "test", "other") == (0, 0, 0)
    assert count_exact_copies(report) == 0


def test_an_auxiliary_dataset_must_not_hold_test_images(tmp_path: Path) -> None:
    path, other = make_dataset(tmp_path / "here"), make_dataset(tmp_path / "other", seed=1)
    require_separate_auxiliary(path, auxiliary=other)
    test = np.load(path / "test_images.npy")
    with draft_dataset(tmp_path / "leaky") as draft:
        draft.add("train", test[[3, 5, 5]], class_keys=["cat", "dog", "dog"], entry="")
        draft.add("test", test[:4], class_keys=["cat", "cat", "dog", "dog"], entry="")
        draft.publish(name="leaky", source="folder", by_class=False)
    with pytest.raises(CopiesError) as caught:
        require_separate_auxiliary(path, auxiliary=tmp_path / "leaky")
    assert caught.value.count == 2
    assert str(caught.value) == (
        "2 of the test images are exact copies of training images of the auxiliary dataset leaky, so the test would "
        "measure memory; accept them for this dataset or remove them."
    )
    report = check_dataset(path, against=[tmp_path / "leaky"])
    assert [count_exact_copies(report, among=name) for name in ("train", "leaky", "unknown")] == [0, 2, 0]


def test_correlation_ignores_brightness_and_knows_the_negative() -> None:
    pictures = draw_pictures(3)
    brighter = (pictures // 2 + 50).astype(np.uint8)
    assert correlate(pictures, brighter) == pytest.approx([1, 1, 1], abs=1e-3)
    assert correlate(pictures, 255 - pictures) == pytest.approx([-1, -1, -1], abs=1e-5)


def test_only_exact_copies_across_the_splits_are_refused(tmp_path: Path, report: dict[str, Any]) -> None:
    with pytest.raises(CopiesError, match=r"^1 of the test images are exact copies of training images") as caught:
        require_separate_splits(report, accept_copies=False)
    assert caught.value.count == 1
    require_separate_splits(report, accept_copies=True)
    require_separate_splits(None, accept_copies=False)
    report["comparisons"][2]["exact"] = 0
    require_separate_splits(report, accept_copies=False)


class TestReport:
    def test_an_import_writes_it_outside_the_hashed_content(self, tmp_path: Path) -> None:
        path = make_dataset(tmp_path / "data", wrong=True)
        written = read_report(path)
        assert written is not None
        assert written["test_copies"] == list_test_copies(path) == [0, 1, 2]
        assert REPORT_NAME not in json.loads((path / "manifest.json").read_text())["files"]

    def test_a_dataset_that_was_never_checked_has_none(self, tmp_path: Path) -> None:
        path = make_dataset(tmp_path / "data")
        (path / REPORT_NAME).unlink()
        assert read_report(path) is None
        assert list_test_copies(path) == []

    @pytest.mark.parametrize(
        ("text", "says"), [("{", "is not readable"), ("[]", "does not follow schema 1"), ('{"schema": 2}', "schema 1")]
    )
    def test_a_damaged_one_is_refused(self, tmp_path: Path, text: str, says: str) -> None:
        path = make_dataset(tmp_path / "data")
        (path / REPORT_NAME).write_text(text)
        with pytest.raises(DatasetError, match=says):
            read_report(path)

    def test_that_of_another_dataset_is_refused(self, tmp_path: Path) -> None:
        path, other = make_dataset(tmp_path / "data"), make_dataset(tmp_path / "other", seed=1)
        write_report(check_dataset(other), path / REPORT_NAME)
        with pytest.raises(DatasetError, match="is about another dataset"):
            read_report(path)


class TestCommand:
    def events(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        code = main(["check", *map(str, arguments)])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def test_it_writes_and_prints_the_report(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path, other = make_dataset(tmp_path / "data", wrong=True), make_dataset(tmp_path / "other", seed=1)
        code, events = self.events(capsys, "--dataset", path, "--against", other)
        assert (code, events[-1]["event"]) == (0, "finished")
        assert events[-1]["report"] == read_report(path)
        assert [one["name"] for one in events[-1]["report"]["against"]] == ["other"]
        assert events[0] == {"event": "progress", "done": 20, "total": 50, "message": "Checking the images"}

    def test_the_report_may_go_elsewhere(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = make_dataset(tmp_path / "data")
        before = (path / REPORT_NAME).stat().st_mtime_ns
        assert self.events(capsys, "--dataset", path, "--output", tmp_path / "report.json")[0] == 0
        assert json.loads((tmp_path / "report.json").read_text())["dataset"]["name"] == "data"
        assert (path / REPORT_NAME).stat().st_mtime_ns == before

    def test_a_folder_that_is_no_dataset(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, [event] = self.events(capsys, "--dataset", tmp_path)
        assert (code, event["event"], event["reason"]) == (1, "failed", "bad_dataset")
        assert "is not an imported dataset" in event["detail"]
