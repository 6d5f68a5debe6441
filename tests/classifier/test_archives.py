"""Archives of pictures: refused as a whole with the right status, or read with an error for each entry that is bad."""

from __future__ import annotations

import contextlib
import io
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from classifier import archives
from classifier.archives import ArchiveRejected, read_entries, survey_archive
from tests.classifier.archive_makers import BROKEN, pictures, tar_of, zip_of
from tests.tiny_model import picture
from tests.training.engine.conftest import HOSTILE, PNG, Hostile, zip_bytes

# What concerns one entry alone: the archive around it is taken.
ONE_ENTRY = {"zip-damaged"}
CODES = {
    "zip-traversal": "unsafe_name",
    "zip-absolute": "unsafe_name",
    "zip-symlink": "special_file",
    "zip-encrypted": "encrypted",
    "zip-bzip2": "unsupported",
    "zip-overlap": "overlap",
    "zip-understated-size": "lying_size",
    "zip-two-sizes": "lying_size",
    "zip-nested-by-name": "nested",
    "zip-nested-by-content": "nested",
    "zip-case-collision": "name_collision",
    "zip-bomb": "bomb",
    "zip-truncated-directory": "truncated",
    "zip-empty": "empty",
    "empty": "empty",
    "no-archive": "not_an_archive",
    "tar-symlink": "special_file",
    "tar-gz-cut": "truncated",
    "tar-gz-bomb": "bomb",
    "tar-empty": "empty",
}


def survey(path: Path, data: bytes, *, seconds: float | None = 60.0) -> archives.Survey:
    path.write_bytes(data)
    return survey_archive(path, seconds=seconds)


def read(path: Path, data: bytes, *, skip: int = 0) -> list[tuple[int, str, str]]:
    path.write_bytes(data)
    entries = read_entries(path, skip=skip)
    return [(entry.index, entry.name, entry.refusal.code if entry.refusal else "") for entry in entries]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ONE_ENTRY])
def test_a_hostile_archive_is_refused_with_its_status(tmp_path: Path, settings: Settings, name: str) -> None:
    case: Hostile = HOSTILE[name]
    with pytest.raises(ArchiveRejected) as caught:
        survey(tmp_path / "a", case.make())
    assert caught.value.status == (413 if case.too_large else 422)
    assert caught.value.code == CODES.get(name, caught.value.code)
    assert str(caught.value.detail).endswith(".")
    assert str(tmp_path) not in str(caught.value.detail)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ONE_ENTRY])
def test_every_refusal_is_told_in_french(tmp_path: Path, name: str) -> None:
    said = {}
    for language in ("en", "fr"):
        with translation.override(language), pytest.raises(ArchiveRejected) as caught:
            survey(tmp_path / "a", HOSTILE[name].make())
        said[language] = str(caught.value.detail)
    assert said["fr"] != said["en"]
    assert "%(" not in said["fr"]


def test_too_many_entries(tmp_path: Path, settings: Settings) -> None:
    settings.ARCHIVE_MAX_ITEMS = 3
    with pytest.raises(ArchiveRejected) as caught:
        survey(tmp_path / "a", zip_of(pictures(4)))
    assert (caught.value.status, caught.value.code) == (413, "too_many_entries")


@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda files: tar_of(files, mode="w:gz")])
class TestReading:
    def test_one_bad_entry_is_an_error_of_its_own(
        self, tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]
    ) -> None:
        data = pack({"a.png": picture(), "b.png": BROKEN, "notes.txt": b"text", "empty.png": b""})
        assert survey(tmp_path / "a", data).pictures == 4
        assert read(tmp_path / "a", data) == [
            (0, "a.png", ""),
            (1, "b.png", ""),
            (2, "notes.txt", ""),
            (3, "empty.png", ""),
        ]

    def test_litter_and_lists_of_labels_are_left_out(
        self, tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]
    ) -> None:
        litter = {"__MACOSX/._a.png": b"x", ".DS_Store": b"x", "Thumbs.db": b"x", "labels.csv": b"a.png,cat\n"}
        data = pack({**litter, "a.png": picture()})
        assert survey(tmp_path / "a", data).pictures == 1
        assert read(tmp_path / "a", data) == [(0, "a.png", "")]

    def test_reading_goes_on_where_it_stopped(self, tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
        data = pack(pictures(5))
        assert read(tmp_path / "a", data, skip=3) == [(3, "00003.png", ""), (4, "00004.png", "")]

    def test_an_entry_larger_than_a_picture_is_never_held(
        self, tmp_path: Path, settings: Settings, pack: Callable[[dict[str, bytes]], bytes]
    ) -> None:
        settings.IMAGE_MAX_BYTES = 1000
        data = pack({"a.png": picture(), "b.png": bytes(range(256)) * 8})
        assert survey(tmp_path / "a", data).pictures == 2
        assert read(tmp_path / "a", data) == [(0, "a.png", ""), (1, "b.png", "too_many_bytes")]


def test_a_wrong_checksum_concerns_one_entry(tmp_path: Path) -> None:
    data = HOSTILE["zip-damaged"].make()
    assert survey(tmp_path / "a", data).pictures == 5
    assert [code for _index, _name, code in read(tmp_path / "a", data)] == ["", "", "", "", "broken"]


def test_without_time_the_directory_of_a_zip_still_tells_all(tmp_path: Path) -> None:
    assert survey(tmp_path / "a", zip_of(pictures(3)), seconds=0.0).pictures == 3
    with pytest.raises(ArchiveRejected):
        survey(tmp_path / "a", zip_bytes(("../evil.png", PNG)), seconds=0.0)


def test_without_time_a_tar_is_counted_later(tmp_path: Path) -> None:
    data = tar_of(pictures(3))
    assert survey(tmp_path / "a", data, seconds=0.0).pictures is None
    assert survey(tmp_path / "a", data, seconds=None).pictures == 3


def test_what_shows_too_late_to_refuse_the_archive_is_an_error_of_the_entry(tmp_path: Path) -> None:
    data = zip_of({"a.png": picture(), "inner.png": zip_of({"b.png": picture()})})
    assert read(tmp_path / "a", data) == [(0, "a.png", ""), (1, "inner.png", "nested")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2000))
def test_random_bytes_never_crash(tmp_path: Path, data: bytes) -> None:
    go_through(tmp_path / "a", data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 300),
    kind=st.sampled_from(["zip", "deflated", "tar", "gz", "xz"]),
)
def test_mutated_archives_never_crash(tmp_path: Path, changes: list[tuple[int, int]], cut: int, kind: str) -> None:
    data = bytearray(_INTACT[kind])
    for place, value in changes:
        data[place % len(data)] = value
    go_through(tmp_path / "a", bytes(data[: len(data) - cut]))


_FILES = {**pictures(4), "cat/labels.csv": b"name,label\na.png,cat\n", "dog/": b""}
_INTACT = {
    "zip": zip_of(_FILES),
    "deflated": zip_of(_FILES, method=zipfile.ZIP_DEFLATED),
    "tar": tar_of(pictures(4)),
    "gz": tar_of(pictures(4), mode="w:gz"),
    "xz": tar_of(pictures(4), mode="w:xz"),
}


def go_through(path: Path, data: bytes) -> None:
    """Survey and read; both end, refuse or not, and leave nothing but the archive."""
    path.write_bytes(data)
    for action in (lambda: survey_archive(path, seconds=5.0), lambda: list(read_entries(path))):
        with contextlib.suppress(ArchiveRejected):
            action()
    assert list(path.parent.iterdir()) == [path]


def test_memory_stays_flat_while_a_large_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    block = bytes(1024 * 1024)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(200):
            archive.writestr(f"{number}.bin", block)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert survey_archive(path, seconds=60.0).pictures == 200
    assert sum(len(entry.data) for entry in read_entries(path)) == 200 * len(block)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024  # KiB


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    data = zip_of({"bomb.png": bytes(200 * 1024 * 1024)}, method=zipfile.ZIP_DEFLATED)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArchiveRejected) as caught:
        survey(tmp_path / "a", data)
    assert (caught.value.status, caught.value.code) == (413, "bomb")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert io.BytesIO(data).getbuffer().nbytes < 1024 * 1024


def test_a_name_that_reads_like_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of({"HAS AN ABSOLUTE PATH.png": b"x", "has an absolute path.png": b"y"}))
    with pytest.raises(ArchiveRejected) as caught:
        survey_archive(tmp_path / "a.zip", seconds=5.0)
    assert caught.value.code == "name_collision"
