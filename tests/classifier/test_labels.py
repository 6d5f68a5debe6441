"""Labels of an archive's pictures: from lists, from folders, or none."""

from __future__ import annotations

import pytest

from classifier.labels import BadLabelsError, Labels, find_expected

KEYS = ("airplane", "cat", "Dog")


def expected(name: str, *, lists: dict[str, bytes] | None = None) -> str:
    labels = Labels()
    for place, data in (lists or {}).items():
        labels.read(place, data)
    return find_expected(name, labels=labels, class_keys=KEYS)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("airplane/x.png", "airplane"),
        ("test/airplane/x.png", "airplane"),
        ("CAT/x.png", "cat"),
        ("dog/x.png", "Dog"),
        ("airplane/more/x.png", ""),
        ("x.png", ""),
        ("1/x.png", ""),
    ],
)
def test_a_class_folder_tells_the_label(name: str, key: str) -> None:
    assert expected(name) == key


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"x.png,cat\n", "cat"),
        (b"name,label\nx.png,cat\n", "cat"),
        (b"\xef\xbb\xbfname,label\r\nx.png,Cat\r\n", "cat"),
        (b'"x.png","dog",extra\n', "Dog"),
        (b"./x.png,1\n", "cat"),
        (b"x.png,7\n", ""),
        (b"x.png,unicorn\n", ""),
        (b"y.png,cat\n", ""),
    ],
)
def test_a_list_tells_the_label(data: bytes, key: str) -> None:
    assert expected("x.png", lists={"labels.csv": data}) == key


def test_names_are_relative_to_the_list_or_to_the_archive() -> None:
    lists = {"test/labels.csv": b"x.png,cat\ntest/y.png,dog\n"}
    assert [expected(f"test/{name}.png", lists=lists) for name in "xy"] == ["cat", "Dog"]


def test_a_list_counts_before_the_folder() -> None:
    assert expected("airplane/x.png", lists={"labels.csv": b"airplane/x.png,cat\n"}) == "cat"


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x.png\n", b'"x.png,cat\n', b"x" * 2000 + b",cat\n"])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(BadLabelsError, match=r"labels\.csv.*\.$"):
        expected("x.png", lists={"labels.csv": data})
