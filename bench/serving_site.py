"""The servers that `bench.serve` drives: the site with its database, and the plain service with the same model."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from cifarsite.valkey import start_valkey, stop_valkey
from cifarsite.web import granian_command
from training.processes import kill_group, spawn

ROOT = Path(__file__).resolve().parents[1]
USERNAME = "bench"
BOUNDARY = "XbenchX"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class Server:
    """A running server and the request that is sent to it."""

    url: str
    headers: dict[str, str]
    process: subprocess.Popen[str]

    def memory_mib(self) -> list[float]:
        """Return the resident memory of each process that answers requests, in MiB, largest first."""
        main = psutil.Process(self.process.pid)
        answering = main.children() or [main]
        return sorted((round(process.memory_info().rss / 2**20, 1) for process in answering), reverse=True)


def make_picture() -> bytes:
    """Return a 32×32 JPEG of about a kilobyte, as CIFAR's are."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def make_form(picture: bytes) -> bytes:
    """Return the body of the request."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n'
    return f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def running_site(environment: dict[str, str]) -> Iterator[Server]:
    """Run the web server on a database with a champion, a person and a token."""
    valkey = None if environment.get("DATABASE_URL") else start_valkey(Path(environment["CIFARSITE_VAR"]))
    manage("prepare", environment=environment)
    token = manage("api_token", USERNAME, environment=environment).strip()
    port = free_port()
    # Its own processes end only when it is told to: when the benchmark dies as well.
    web = spawn(
        granian_command("127.0.0.1", port),
        env=environment,
        stdout=subprocess.DEVNULL,
        death_signal=signal.SIGTERM,
    )
    headers = {"Authorization": f"Token {token}", "Content-Type": FORM}
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/api/v1/ready")
        yield Server(f"http://127.0.0.1:{port}/api/v1/predict", headers, web)
    finally:
        kill_group(web)
        if valkey is not None:
            stop_valkey(valkey)


@contextlib.contextmanager
def running_plain_service() -> Iterator[Server]:
    """Run the plain service with the shipped champion."""
    [package] = (ROOT / "training" / "champion").iterdir()
    port = free_port()
    command = [sys.executable, "-m", "bench.plain_service", str(port)]
    service = spawn(command, env={**os.environ, "PLAIN_PACKAGE": str(package), "PYTHONPATH": str(ROOT)})
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/openapi.json")
        yield Server(f"http://127.0.0.1:{port}/predict", {"Content-Type": FORM}, service)
    finally:
        kill_group(service)


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def manage(*arguments: str, environment: dict[str, str]) -> str:
    """Run a management command and return what it prints."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def run_module(name: str, *arguments: str, environment: dict[str, str]) -> str:
    """Run a module of the benchmarks in a process of its own and return what it prints."""
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def wait_until_ready(url: str) -> None:
    """Wait for the server's own word that it can serve."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):  # noqa: S310  # this machine's own address
                return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"The web server is not ready after {PATIENCE_SECONDS:g} s: {error}")
            time.sleep(0.2)
