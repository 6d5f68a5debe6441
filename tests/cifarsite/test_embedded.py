"""The embedded mode's folder: socket, secret key and the Valkey server."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from cifarsite.embedded import secret_key, socket_path
from cifarsite.valkey import ValkeyStartError, start_valkey, stop_valkey

LONGEST = 107  # bytes that a unix socket's path may have


def test_the_socket_lies_in_the_folder() -> None:
    assert socket_path(Path("/srv/site/var")) == Path("/srv/site/var/valkey/valkey.sock")


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_long_path_falls_back_to_a_short_one_of_its_own(letter: str) -> None:
    long = Path("/srv") / (letter * 60) / (letter * 60)
    path = socket_path(long)

    assert len(os.fsencode(path)) <= LONGEST
    assert path == socket_path(long)
    assert path != socket_path(long / "other")
    assert str(os.getuid()) in path.parent.name


def test_a_path_of_just_the_allowed_length_is_kept() -> None:
    rest = len("/valkey/valkey.sock")
    fitting = Path("/" + "x" * (LONGEST - rest - 1))

    assert socket_path(fitting).parent.parent == fitting
    assert socket_path(fitting.with_name(fitting.name + "x")).parent.parent != fitting


def test_the_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    var = tmp_path / "deep" / "var"
    key = secret_key(var)

    assert len(key) >= 50
    assert secret_key(var) == key
    assert stat.S_IMODE((var / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in var.iterdir()] == ["secret_key"]


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as other:
        keys = {secret_key(tmp_path), other.submit(secret_key, tmp_path).result()}

    assert len(keys) == 1


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "var").touch()

    with pytest.raises(OSError, match="File exists"):
        secret_key(tmp_path / "var")


def test_valkey_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    var = tmp_path / ("long" * 30)  # the fallback socket as well
    for expected in (None, b"kept"):
        process = start_valkey(var)
        client = Redis(unix_socket_path=str(socket_path(var)))

        assert client.get("key") == expected
        client.set("key", "kept")
        client.close()
        stop_valkey(process)

        assert process.returncode == 0
    assert stat.S_IMODE(socket_path(var).parent.stat().st_mode) == 0o700


def test_valkey_says_nothing_about_a_start_that_went_well(tmp_path: Path) -> None:
    stop_valkey(start_valkey(tmp_path))

    assert not [line for line in (tmp_path / "valkey" / "valkey.log").read_text().splitlines() if " * " in line]


@pytest.mark.parametrize("obstacle", ["open to others", "a link", "another's"])
def test_a_socket_never_lies_where_others_could_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    var = tmp_path / ("long" * 30)
    folder = socket_path(var).parent
    assert folder.parent == tmp_path
    if obstacle == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o755 if obstacle == "open to others" else 0o700)
    if obstacle == "another's":
        own = os.getuid()
        monkeypatch.setattr("cifarsite.valkey.os.getuid", lambda: own + 1)
        folder.rename(socket_path(var).parent)

    with pytest.raises(ValkeyStartError, match=rf"^{re.escape(str(socket_path(var).parent))} is not a private folder"):
        start_valkey(var)
    assert not socket_path(var).exists()


def test_valkey_says_why_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "valkey" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("rubbish\n")

    with pytest.raises(ValkeyStartError, match=r"^The Valkey server did not start: .*manifest"):
        start_valkey(tmp_path)
