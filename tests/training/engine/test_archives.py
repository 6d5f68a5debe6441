"""Archives are read entry by entry; whatever is not an honest file under an honest name is refused by that name."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from training.engine.archive_rules import ArchiveLimits, shown_name
from training.engine.archives import ArchiveError, iterate_archive, iterate_folder

FILES = {"train/cat/a.bin": b"first", "train/dog/é.bin": b"", "test/cat/c.bin": bytes(range(256)) * 40}


def write_zip(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(
    path: Path, files: dict[str, bytes], *, mode: Literal["w", "w:gz", "w:xz"] = "w", form: int = tarfile.PAX_FORMAT
) -> Path:
    with tarfile.open(path, mode, format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(path: Path, **limits: Any) -> dict[str, bytes]:
    return {entry.name: entry.data for entry in iterate_archive(path, limits=ArchiveLimits(**limits))}


def test_hostile_archive_is_refused_by_name(hostile: tuple[Path, Any]) -> None:
    path, case = hostile
    with pytest.raises(ArchiveError) as caught:
        list(iterate_archive(path))
    assert case.says in str(caught.value)
    assert caught.value.too_large is case.too_large
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_round_trip(tmp_path: Path, method: int) -> None:
    assert read(write_zip(tmp_path / "a", FILES, method=method)) == FILES


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_round_trip(tmp_path: Path, mode: Literal["w", "w:gz", "w:xz"], form: int) -> None:
    assert read(write_tar(tmp_path / "a", FILES, mode=mode, form=form)) == FILES


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tar_with_long_names(tmp_path: Path, form: int) -> None:
    files = {f"train/cat/{'n' * 180}-é-{number}": b"x" for number in range(3)}
    assert read(write_tar(tmp_path / "a", files, form=form)) == files


def test_zip_written_to_a_pipe_states_its_sizes_after_the_data(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seek(self, *_arguments: int) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/a.bin", b"first")
    (tmp_path / "a").write_bytes(pipe.getvalue())
    assert read(tmp_path / "a") == {"train/cat/a.bin": b"first"}


def test_several_xz_streams_with_padding_are_one_archive(tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "plain", FILES).read_bytes()
    half = len(plain) // 2
    (tmp_path / "a").write_bytes(lzma.compress(plain[:half]) + bytes(8) + lzma.compress(plain[half:]) + bytes(4))
    assert read(tmp_path / "a") == FILES


def test_litter_is_left_out(tmp_path: Path) -> None:
    litter = {
        "__MACOSX/train/._a.bin": b"x",
        "train/.DS_Store": b"x",
        "train/cat/.hidden.zip": b"x",
        "train/cat/Thumbs.db": b"x",
    }
    assert read(write_zip(tmp_path / "a", litter | FILES)) == FILES
    assert read(write_tar(tmp_path / "b", litter | FILES)) == FILES


def test_a_zip_entry_whose_name_begins_with_nul(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"abc": b"x"})
    path.write_bytes(path.read_bytes().replace(b"abc", b"\0bc"))
    with pytest.raises(ArchiveError, match="has no name"):
        read(path)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_file_without_a_name(tmp_path: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(ArchiveError, match="has no name"):
        read(write(tmp_path / "a", {".": b"x"}))


def test_names_are_normalised(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a", {"./train//cat/./a.bin": b"x"})
    assert read(path) == {"train/cat/a.bin": b"x"}


def test_folder_entries_are_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", {"train/": b"", "train/empty/": b"", "train/cat/a.bin": b"x"})
    folders: list[str] = []
    list(iterate_archive(path, on_folder=folders.append))
    assert folders == ["train", "train/empty"]


def test_position_ends_at_the_size_of_the_archive(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a", FILES)
    positions = [entry.position for entry in iterate_archive(path)]
    assert positions == sorted(positions)
    assert 0 < positions[-1] <= path.stat().st_size


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_too_many_entries(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / "a", FILES)
    with pytest.raises(ArchiveError, match=r"'test/cat/c.bin' is one too many: at most 2") as caught:
        read(path, max_entries=2)
    assert caught.value.too_large


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_oversized_entry(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / "a", FILES)
    with pytest.raises(ArchiveError, match=r"'test/cat/c.bin' unpacks to more than 10,000 bytes") as caught:
        read(path, max_entry_bytes=10_000)
    assert caught.value.too_large


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_total_size(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / "a", FILES)
    with pytest.raises(ArchiveError, match=r"'test/cat/c.bin' brings the total above 10,244 bytes") as caught:
        read(path, max_total_bytes=10_244)
    assert caught.value.too_large


def test_zip_directory_beyond_the_limit(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", {f"{number:0500}": b"" for number in range(200)})
    with pytest.raises(ArchiveError, match="The archive's directory is larger than") as caught:
        read(path, max_directory_bytes=60_000, max_entry_bytes=30_000)
    assert caught.value.too_large


def test_folder_is_read_in_sorted_order(tmp_path: Path) -> None:
    for name in ("train/dog/2.bin", "train/dog/1.bin", "train/cat/1.bin", "train/.hidden/x", ".DS_Store", "__MACOSX/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    entries = [(entry.name, entry.data, entry.position) for entry in iterate_folder(tmp_path)]
    assert entries == [
        ("train/cat/1.bin", b"train/cat/1.bin", 1),
        ("train/dog/1.bin", b"train/dog/1.bin", 2),
        ("train/dog/2.bin", b"train/dog/2.bin", 3),
    ]


@pytest.mark.parametrize("target", ["cat/1.bin", "cat", "missing"])
def test_folder_refuses_links(tmp_path: Path, target: str) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.bin").touch()
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(ArchiveError, match="'link' is a symbolic link"):
        list(iterate_folder(tmp_path))


def test_folder_refuses_case_collisions(tmp_path: Path) -> None:
    for name in ("cat", "Cat"):
        (tmp_path / name).mkdir()
    with pytest.raises(ArchiveError, match="'cat' has the same name as 'Cat'"):
        list(iterate_folder(tmp_path))


def test_shown_name_is_short_and_printable() -> None:
    assert shown_name("a\n\u202e\udcff") == r"a\n\u202e\udcff"
    assert shown_name("é" * 500) == "é" * 119 + "…"
