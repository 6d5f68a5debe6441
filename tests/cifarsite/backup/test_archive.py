"""The archive: sealed and read back, and every way in which one can be wrong."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cifarsite.backup.archive import BackupError, extract, verify_archive, write_archive

NAME = "models/abc/model.onnx"


def make(folder: Path, *, content: bytes = b"weights") -> Path:
    source, target = folder / "source", folder / "backup.tar"
    source.write_bytes(content)
    with write_archive(target) as archive:
        archive.add(NAME, source)
        archive.seal(created_at="now", migrations=[["training", "0001_initial"]])
    return target


def forge(target: Path, content: list[tarfile.TarInfo | tuple[str, bytes]], **manifest: Any) -> Path:
    """Write a tar by hand; `manifest` is added as its last member when there is any."""
    if manifest:
        content = [*content, ("manifest.json", json.dumps(manifest).encode())]
    with tarfile.open(target, "w") as tar:
        for member in content:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                header = tarfile.TarInfo(member[0])
                header.size = len(member[1])
                tar.addfile(header, io.BytesIO(member[1]))
    return target


def link(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(NAME)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    archive = make(tmp_path)
    manifest = verify_archive(archive)
    assert manifest["migrations"] == [("training", "0001_initial")]
    assert list(manifest["members"]) == [NAME]
    assert manifest["members"][NAME]["bytes"] == 7
    extract(archive, tmp_path / "out", manifest=manifest)
    assert (tmp_path / "out" / NAME).read_bytes() == b"weights"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "out", "source"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_bytes(b"mine")
    with pytest.raises(BackupError, match=r"backup\.tar exists already; choose another name\."):
        make(tmp_path)
    assert (tmp_path / "backup.tar").read_bytes() == b"mine"


def test_nothing_that_appeared_meanwhile_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"

    def write() -> None:
        with write_archive(target) as archive:
            archive.seal(migrations=[])
            target.write_bytes(b"mine")

    with pytest.raises(BackupError, match="exists already"):
        write()
    assert target.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["backup.tar"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_archive(tmp_path / "backup.tar") as archive:
        archive.add(NAME, tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "models/../../x", "models", "models/.hidden", "other/x", "models/a b"]
)
def test_a_name_that_leads_elsewhere_is_not_written(tmp_path: Path, name: str) -> None:
    with write_archive(tmp_path / "backup.tar") as archive:
        with pytest.raises(BackupError, match="is not a name that a backup may hold"):
            archive.add(name, tmp_path)
        archive.seal(migrations=[])


@pytest.mark.parametrize("position", [0.0, 0.3, 0.6, 0.97])
def test_one_that_ends_early_is_refused(tmp_path: Path, position: float) -> None:
    archive = make(tmp_path, content=bytes(100_000))
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(position * (len(whole) - 9000))])
    with pytest.raises(BackupError, match=r"damaged|incomplete"):
        verify_archive(archive)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    archive = make(tmp_path, content=bytes(10_000))
    whole = bytearray(archive.read_bytes())
    whole[5000] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(BackupError, match=f"is damaged: {NAME} is not what was saved"):
        verify_archive(archive)


@pytest.mark.parametrize("content", [b"", b"no tar at all", bytes(20_000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup.tar").write_bytes(content)
    with pytest.raises(BackupError):
        verify_archive(tmp_path / "backup.tar")


@pytest.mark.parametrize(
    "member",
    [
        link(tarfile.SYMTYPE),
        link(tarfile.LNKTYPE),
        link(tarfile.FIFOTYPE),
        link(tarfile.CHRTYPE),
        link(tarfile.DIRTYPE),
        ("../outside", b"x"),
        ("/etc/passwd", b"x"),
        ("models/../../outside", b"x"),
        ("var/secret_key", b"x"),
        ("database/auth.user.pickle", b"x"),
    ],
)
def test_a_member_that_does_not_belong_there_is_refused(
    tmp_path: Path, member: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    archive = forge(tmp_path / "backup.tar", [member], schema=1, migrations=[], members={})
    with pytest.raises(BackupError, match="is not a backup"):
        verify_archive(archive)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    archive = forge(tmp_path / "backup.tar", [(NAME, b"1"), (NAME, b"2")], schema=1, migrations=[], members={})
    with pytest.raises(BackupError, match="does not belong there"):
        verify_archive(archive)


def test_a_member_that_the_manifest_lacks_is_refused(tmp_path: Path) -> None:
    archive = forge(tmp_path / "backup.tar", [(NAME, b"1")], schema=1, migrations=[], members={})
    with pytest.raises(BackupError, match="is not what was saved"):
        verify_archive(archive)


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ({"schema": 2, "migrations": [], "members": {}}, "follows schema 2; this version of the site reads schema 1"),
        ({"schema": 1, "members": {}}, "manifest is damaged"),
        ({"schema": 1, "migrations": [["x"]], "members": {}}, "manifest is damaged"),
        ({"schema": 1, "migrations": [], "members": 7}, "manifest is damaged"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, manifest: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BackupError, match=sentence):
        verify_archive(forge(tmp_path / "backup.tar", [], **manifest))
