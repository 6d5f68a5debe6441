"""Archives that are sent while they are written: whole, readable, and in memory that does not grow with them."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from copy import copy

import pytest

from cifarsite.accounts import personal_data
from cifarsite.accounts.personal_data import write_archive
from cifarsite.accounts.streamed_zip import Entry, write_zip
from classifier import history
from classifier.models import Prediction
from tests.api_fixtures import make_user
from tests.factories import PredictionFactory

AT_ONCE = 50
"""Rows that are in memory together."""


def pictures(count: int) -> Iterator[Entry]:
    return (Entry(f"pictures/{number}.jpg", [b"x" * 100], is_picture=True) for number in range(count))


def test_what_was_put_in_comes_out() -> None:
    entries = [
        Entry("é/a.txt", iter([b"one ", b"two"])),
        Entry("b.jpg", [b"\xff\xd8" * 50], is_picture=True),
        Entry("empty", []),
    ]
    archive = zipfile.ZipFile(io.BytesIO(b"".join(write_zip(entries))))
    assert archive.testzip() is None
    assert archive.namelist() == ["é/a.txt", "b.jpg", "empty"]
    assert [archive.read(name) for name in archive.namelist()] == [b"one two", b"\xff\xd8" * 50, b""]
    kinds = {info.filename: (info.compress_type, info.external_attr >> 16) for info in archive.infolist()}
    assert kinds["é/a.txt"] == (zipfile.ZIP_DEFLATED, 0o600)
    assert kinds["b.jpg"] == (zipfile.ZIP_STORED, 0o600)


def test_more_files_than_old_archives_could_hold() -> None:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(write_zip(pictures(66_000)))))
    assert len(archive.namelist()) == 66_000
    assert archive.read("pictures/65999.jpg") == b"x" * 100


def peak_of(parts: Iterator[bytes]) -> int:
    """Return the most bytes that were held at a moment of the sending."""
    tracemalloc.start()
    try:
        for _part in parts:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_files() -> None:
    few, many = peak_of(write_zip(pictures(300))), peak_of(write_zip(pictures(20 * 300)))
    assert many < few + 50_000  # a list of them would take 2 MB more


@pytest.mark.django_db
def test_a_long_history_is_sent_in_the_memory_of_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_READ_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(personal_data, "_CHUNK", AT_ONCE)
    owner = make_user()
    model = PredictionFactory.create(owner=owner).model_version
    row = PredictionFactory.build(owner=owner, model_version=model, pixels=bytes(32 * 32 * 3))
    Prediction.objects.bulk_create([copy(row) for _number in range(5 * AT_ONCE)])
    for _warm_up in range(2):
        short = peak_of(write_archive(owner, language="en"))
    Prediction.objects.bulk_create([copy(row) for _number in range(50 * AT_ONCE)])
    long = peak_of(write_archive(owner, language="en"))
    # What queries leave for Python to collect varies; an object for each of the 5,000 files would be 3 MB more.
    assert long < short + 500_000, f"{short} bytes for {5 * AT_ONCE} pictures, {long} for eleven times as many"
