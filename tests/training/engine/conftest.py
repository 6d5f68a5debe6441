"""Hostile archives, made on the spot: each must be refused with a sentence that names the entry."""

from __future__ import annotations

import io
import lzma
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image


def make_png(color: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


PNG = make_png()
GOOD: dict[str, bytes] = {f"{split}/{key}/0.png": PNG for split in ("train", "test") for key in ("cat", "dog")}

Member = tuple[str | zipfile.ZipInfo | tarfile.TarInfo, bytes]


def zip_bytes(*extra: Member, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the library warns of duplicate names
        for name, data in (*GOOD.items(), *extra):
            assert isinstance(name, str | zipfile.ZipInfo)
            archive.writestr(name, data)
    return file.getvalue()


def zip_info(name: str, *, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def patch_last_entry(data: bytes, *, local: dict[int, bytes] | None = None, central: dict[int, bytes]) -> bytes:
    """Overwrite fields of the last entry's local and central headers, given by their offset in the header."""
    patched = bytearray(data)
    for start, fields in ((data.rindex(b"PK\x03\x04"), local or {}), (data.rindex(b"PK\x01\x02"), central)):
        for offset, value in fields.items():
            patched[start + offset : start + offset + len(value)] = value
    return bytes(patched)


def tar_bytes(*extra: Member, mode: Literal["w", "w:gz", "w:xz"] = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        for name, data in (*GOOD.items(), *extra):
            assert isinstance(name, str | tarfile.TarInfo)
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def unfinished_tar() -> bytes:
    """Return a tar without its end mark."""
    return b"".join(
        tarfile.TarInfo.tobuf(_sized(name, len(data))) + data + bytes(-len(data) % 512) for name, data in GOOD.items()
    )


def _sized(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def tar_info(name: str, *, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def _tar_with_header(name: str, **fields: object) -> bytes:
    """Return a tar whose last header was altered below what the library would write."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    header = info.tobuf(tarfile.GNU_FORMAT)
    return unfinished_tar() + header + bytes(1024)


def _negative_size() -> bytes:
    header = bytearray(tarfile.TarInfo("train/cat/negative.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\x00"  # base-256, two's complement
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return unfinished_tar() + bytes(header) + bytes(1024)


def _damaged_header() -> bytes:
    data = bytearray(tar_bytes(("train/cat/after.png", PNG)))
    data[data.index(b"train/cat/after.png")] ^= 0xFF
    return bytes(data)


def _greedy_xz() -> bytes:
    """Return an xz stream that asks for 4 GiB of dictionary."""
    data = bytearray(lzma.compress(tar_bytes()))
    size = (data[12] + 1) * 4
    header = data[12 : 12 + size - 4]
    header[header.index(b"\x21\x01") + 2] = 40
    data[12 : 12 + size] = header + struct.pack("<I", zlib.crc32(header))
    return bytes(data)


def _damaged_data() -> bytes:
    data = bytearray(zip_bytes(("train/cat/damaged.png", PNG), method=zipfile.ZIP_STORED))
    data[data.rindex(b"IDAT") + 6] ^= 0xFF
    return bytes(data)


def _overlapping() -> bytes:
    data = zip_bytes(("train/cat/overlap.png", PNG))
    return patch_last_entry(data, central={42: bytes(4)})


@dataclass(frozen=True)
class Hostile:
    """An archive to refuse: how to make it, what its sentence must say, and whether it is refused for its size."""

    make: Callable[[], bytes]
    says: str
    too_large: bool = False


ZEROS = bytes(4 * 1024 * 1024)
LINK = stat.S_IFLNK | 0o777
HOSTILE: dict[str, Hostile] = {
    "zip-traversal": Hostile(lambda: zip_bytes(("train/../../evil.png", PNG)), "'train/../../evil.png' climbs out"),
    "zip-absolute": Hostile(lambda: zip_bytes(("/etc/evil.png", PNG)), "'/etc/evil.png' has an absolute path"),
    "zip-drive": Hostile(lambda: zip_bytes(("C:/evil.png", PNG)), "'C:/evil.png' has an absolute path"),
    "zip-backslash": Hostile(lambda: zip_bytes(("..\\evil.png", PNG)), "evil.png' has a backslash"),
    "zip-control-character": Hostile(
        lambda: zip_bytes(("train/cat/a\nb.png", PNG)), "'train/cat/a\\nb.png' has a name that is not plain text"
    ),
    "zip-long-name": Hostile(lambda: zip_bytes(("train/cat/" + "x" * 5000, PNG)), "…' has a name of more than 512"),
    "zip-symlink": Hostile(
        lambda: zip_bytes((zip_info("train/cat/link.png", mode=LINK), b"/etc/passwd")),
        "'train/cat/link.png' is a symbolic link",
    ),
    "zip-device": Hostile(
        lambda: zip_bytes((zip_info("train/cat/null.png", mode=stat.S_IFCHR), b"")), "'train/cat/null.png' is a device"
    ),
    "zip-encrypted": Hostile(
        lambda: patch_last_entry(zip_bytes(("train/cat/secret.png", PNG)), local={6: b"\1"}, central={8: b"\1"}),
        "'train/cat/secret.png' is encrypted",
    ),
    "zip-bzip2": Hostile(
        lambda: zip_bytes(("train/cat/odd.png", PNG), method=zipfile.ZIP_BZIP2), "uses compression method 12"
    ),
    "zip-lzma": Hostile(lambda: zip_bytes(method=zipfile.ZIP_LZMA), "uses compression method 14"),
    "zip-overlap": Hostile(_overlapping, "overlaps another entry"),
    "zip-overlaps-directory": Hostile(
        lambda: patch_last_entry(
            zip_bytes(("train/cat/long.png", PNG), method=zipfile.ZIP_STORED),
            local={18: struct.pack("<II", 1000, 1000)},
            central={20: struct.pack("<II", 1000, 1000)},
        ),
        "'train/cat/long.png' overlaps the archive's directory",
    ),
    "zip-understated-size": Hostile(
        lambda: patch_last_entry(
            zip_bytes(("train/cat/lie.png", bytes(500))), local={22: b"\7\0\0\0"}, central={24: b"\7\0\0\0"}
        ),
        "'train/cat/lie.png' does not unpack to the size it states",
    ),
    "zip-overstated-size": Hostile(
        lambda: patch_last_entry(
            zip_bytes(("train/cat/lie.png", bytes(500))), local={22: b"\0\xff\0\0"}, central={24: b"\0\xff\0\0"}
        ),
        "'train/cat/lie.png' does not unpack to the size it states",
    ),
    "zip-two-sizes": Hostile(
        lambda: patch_last_entry(zip_bytes(("train/cat/lie.png", PNG)), central={24: b"\7\0\0\0"}),
        "'train/cat/lie.png' states two different sizes",
    ),
    "zip-two-names": Hostile(
        lambda: patch_last_entry(zip_bytes(("train/cat/a.png", PNG)), central={46: b"train/dog"}),
        "'train/dog/a.png' has two different names",
    ),
    "zip-bad-packed-size": Hostile(
        lambda: patch_last_entry(
            zip_bytes(("train/cat/lie.png", PNG)), local={18: b"\0\0\3\0"}, central={20: b"\0\0\3\0"}
        ),
        "'train/cat/lie.png' states a packed size",
    ),
    "zip-damaged": Hostile(_damaged_data, "'train/cat/damaged.png' is damaged: its checksum"),
    "zip-nested-by-name": Hostile(
        lambda: zip_bytes(("train/cat/inner.tar.gz", PNG)), "'train/cat/inner.tar.gz' is an archive inside"
    ),
    "zip-nested-by-content": Hostile(
        lambda: zip_bytes(("train/cat/inner.png", zip_bytes())), "'train/cat/inner.png' is an archive inside"
    ),
    "zip-case-collision": Hostile(
        lambda: zip_bytes(("train/cat/0.PNG", PNG)), "'train/cat/0.PNG' has the same name as 'train/cat/0.png'"
    ),
    "zip-folder-case-collision": Hostile(
        lambda: zip_bytes(("train/Cat/1.png", PNG)), "'train/Cat' has the same name as 'train/cat'"
    ),
    "zip-accent-collision": Hostile(
        lambda: zip_bytes(("train/cat/\u00e9.png", PNG), ("train/cat/e\u0301.png", PNG)), "has the same name as"
    ),
    "zip-duplicate": Hostile(lambda: zip_bytes(("train/cat/0.png", PNG)), "'train/cat/0.png' is there twice"),
    "zip-file-as-folder": Hostile(
        lambda: zip_bytes(("train/cat/0.png/x.png", PNG)), "'train/cat/0.png' has the same name"
    ),
    "zip-bomb": Hostile(
        lambda: zip_bytes(("train/cat/bomb.png", ZEROS)),
        "'train/cat/bomb.png' unpacks to over 100 times",
        too_large=True,
    ),
    "zip-truncated-directory": Hostile(
        lambda: zip_bytes()[:-30], "The archive's directory is missing, truncated or damaged"
    ),
    "zip-truncated-data": Hostile(lambda: zip_bytes()[150:], "The file is not a .zip"),
    "zip-empty": Hostile(lambda: b"PK\5\6" + bytes(18), "The archive contains no files"),
    "empty": Hostile(lambda: b"", "The archive is empty"),
    "no-archive": Hostile(lambda: b"hello", "The file is not a .zip, .tar, .tar.gz or .tar.xz archive"),
    "tar-traversal": Hostile(lambda: tar_bytes(("../evil.png", PNG)), "'../evil.png' climbs out"),
    "tar-long-traversal": Hostile(lambda: tar_bytes(("train/" + "y" * 120 + "/../../../e", PNG)), "climbs out"),
    "tar-absolute": Hostile(lambda: tar_bytes(("/etc/evil.png", PNG)), "'/etc/evil.png' has an absolute path"),
    "tar-symlink": Hostile(
        lambda: tar_bytes((tar_info("train/cat/link.png", kind=tarfile.SYMTYPE, target="/etc/passwd"), b"")),
        "'train/cat/link.png' is a symbolic link",
    ),
    "tar-hardlink": Hostile(
        lambda: tar_bytes((tar_info("train/cat/link.png", kind=tarfile.LNKTYPE, target="train/cat/0.png"), b"")),
        "'train/cat/link.png' is a hard link",
    ),
    "tar-device": Hostile(
        lambda: tar_bytes((tar_info("train/cat/null.png", kind=tarfile.CHRTYPE), b"")),
        "'train/cat/null.png' is a device",
    ),
    "tar-pipe": Hostile(
        lambda: tar_bytes((tar_info("train/cat/pipe.png", kind=tarfile.FIFOTYPE), b"")),
        "'train/cat/pipe.png' is a named pipe",
    ),
    "tar-sparse": Hostile(
        lambda: _tar_with_header("train/cat/holes.png", type=tarfile.GNUTYPE_SPARSE),
        "'train/cat/holes.png' is a sparse file",
    ),
    "tar-unknown-kind": Hostile(
        lambda: _tar_with_header("train/cat/odd.png", type=b"V"), "'train/cat/odd.png' is of an unknown kind"
    ),
    "tar-negative-size": Hostile(_negative_size, "'train/cat/negative.png' has a negative size"),
    "tar-huge-size": Hostile(
        lambda: _tar_with_header("train/cat/huge.png", size=1 << 40),
        "'train/cat/huge.png' unpacks to more than",
        too_large=True,
    ),
    "tar-huge-extension": Hostile(
        lambda: _tar_with_header("train/cat/x", type=tarfile.XHDTYPE, size=1 << 30),
        "is an extension header of over",
        too_large=True,
    ),
    "tar-lying-size": Hostile(
        lambda: _tar_with_header("train/cat/short.png", size=9999), "'train/cat/short.png' is cut short"
    ),
    "tar-damaged-header": Hostile(_damaged_header, "'test/dog/0.png' is followed by a damaged header"),
    "tar-without-end": Hostile(unfinished_tar, "is cut short after entry 'test/dog/0.png'"),
    "tar-cut": Hostile(lambda: tar_bytes()[:700], "'train/cat/0.png' is cut short"),
    "tar-gz-cut": Hostile(lambda: tar_bytes(mode="w:gz")[:-20], "is where the archive is damaged or cut short"),
    "tar-xz-cut": Hostile(lambda: tar_bytes(mode="w:xz")[:-20], "is where the archive is damaged or cut short"),
    "tar-xz-greedy": Hostile(_greedy_xz, "is where the archive is damaged or cut short"),
    "tar-gz-bomb": Hostile(
        lambda: tar_bytes(("train/cat/bomb.png", ZEROS * 8), mode="w:gz"),
        "'train/cat/bomb.png' makes the archive unfold to over 100 times its size",
        too_large=True,
    ),
    "tar-nested": Hostile(
        lambda: tar_bytes(("train/cat/inner", tar_bytes())), "'train/cat/inner' is an archive inside"
    ),
    "tar-case-collision": Hostile(lambda: tar_bytes(("TRAIN/cat/1.png", PNG)), "'TRAIN' has the same name as 'train'"),
    "tar-empty": Hostile(lambda: bytes(10240), "The archive contains no files"),
}


@pytest.fixture(params=HOSTILE.values(), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Hostile]:
    """Return a hostile archive, alone in a folder, and what must be said about it."""
    case: Hostile = request.param
    path = tmp_path / "bad"
    path.write_bytes(case.make())
    return path, case


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the dataset goes: a folder that does not exist yet."""
    return tmp_path / "datasets" / "deep" / "output"
