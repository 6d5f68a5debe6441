"""Where the embedded mode keeps its files and sockets. Imports no Django: the settings use it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from pathlib import Path

# sockaddr_un.sun_path holds 108 bytes including the closing NUL (unix(7)).
_LONGEST_SOCKET_PATH_BYTES = 107


def socket_path(var: Path) -> Path:
    """Return the Valkey socket under `var`, or under a short private runtime folder when that path is too long.

    Args:
        var: absolute path of the folder that holds everything local.
    """
    preferred = var / "valkey" / "valkey.sock"
    if len(os.fsencode(preferred)) <= _LONGEST_SOCKET_PATH_BYTES:
        return preferred
    digest = hashlib.sha256(os.fsencode(var)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cifarsite-{os.getuid()}-{digest}" / "valkey.sock"


def secret_key(var: Path) -> str:
    """Return the secret key kept under `var`, making one (50 random bytes, readable by the owner alone) at first use.

    Two processes that start together agree: the file is created exclusively and the loser reads the winner's.

    Raises:
        OSError: the folder cannot be written or the file cannot be read.
    """
    path = var / "secret_key"
    var.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()
