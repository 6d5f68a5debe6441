"""Downloading through torchvision, which knows addresses and checksums, with our timeout, errors and progress."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Final, TypeVar
from urllib.error import URLError

from training.engine.exceptions import DatasetError, NetworkError
from training.engine.progress import ProgressCallback

DOWNLOAD_TIMEOUT_SECONDS: Final = 30.0
_PROGRESS_SECONDS: Final = 2.0
_T = TypeVar("_T")


def fetch(build: Callable[[], _T], *, title: str) -> _T:
    """Call what downloads, and say in one sentence why it could not.

    Args:
        build: Makes a torchvision dataset with `download=True`.
        title: The dataset's name as people know it.

    Raises:
        NetworkError: The download cannot be reached.
        DatasetError: The download is not the expected file.
    """
    try:
        with _timeout():
            return build()
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        message = (
            f"{title} could not be downloaded: the network does not answer. "
            "Import an archive or a folder of images instead, or use the synthetic `demo` dataset."
        )
        raise NetworkError(message) from error
    except RuntimeError as error:
        message = f"The {title} download does not have the expected checksum; remove it and retry."
        raise DatasetError(message) from error


@contextlib.contextmanager
def report_growth(path: Path, *, total_bytes: int, message: str, on_progress: ProgressCallback) -> Iterator[None]:
    """Tell every few seconds how large a growing file is: a long download must not look stuck.

    Args:
        path: The file; it may not exist yet.
        total_bytes: Its final size.
        message: The sentence of the progress.
        on_progress: Called from another thread, in MiB.
    """
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_PROGRESS_SECONDS):
            size = path.stat().st_size if path.exists() else 0
            on_progress(min(size, total_bytes) >> 20, total_bytes >> 20, message)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    """Give urllib a timeout, which torchvision does not."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
