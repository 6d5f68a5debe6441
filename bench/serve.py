"""How fast one picture is answered through the API: token checked, model asked, history row committed.

    python -m bench.serve [--seconds 10] [--rounds 5] [--clients 1 8 32]

Starts the site's web server in a temporary folder (or on DATABASE_URL and REDIS_URL, an empty database), makes a
person and a token, and sends the same 32×32 JPEG from another process. Figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from bench.load import Load, drive, tool
from bench.machine import describe_hardware, describe_versions
from cifarsite.valkey import start_valkey, stop_valkey
from cifarsite.web import granian_command
from training.processes import kill_group, spawn

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "serve.json"
USERNAME = "bench"
BOUNDARY = "XbenchX"
PATIENCE_SECONDS = 60.0


def make_picture() -> bytes:
    """Return a 32×32 JPEG of about a kilobyte, as CIFAR's are."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def make_form(picture: bytes) -> bytes:
    """Return the body of the request."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n\r\n'
    return head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def running_site(environment: dict[str, str]) -> Iterator[tuple[int, str, subprocess.Popen[str]]]:
    """Run the web server on a database with a champion and a person; yield its port, a token and the process."""
    valkey = None if "DATABASE_URL" in environment else start_valkey(Path(environment["CIFARSITE_VAR"]))
    manage("prepare", environment=environment)
    token = manage("api_token", USERNAME, environment=environment).strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    web = spawn(granian_command("127.0.0.1", port), env=environment, stdout=subprocess.DEVNULL)
    try:
        yield port, token, web
    finally:
        kill_group(web)
        if valkey is not None:
            stop_valkey(valkey)


def manage(*arguments: str, environment: dict[str, str]) -> str:
    """Run a management command and return what it prints."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def wait_until_ready(port: int) -> None:
    """Wait for the site's own word that it can serve."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/ready", timeout=10):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"The web server is not ready after {PATIENCE_SECONDS:g} s: {error}")
            time.sleep(0.2)


def measure_memory(web: subprocess.Popen[str]) -> list[float]:
    """Return the resident memory of each process that answers requests, in MiB, largest first."""
    children = psutil.Process(web.pid).children()
    return sorted((round(child.memory_info().rss / 2**20, 1) for child in children), reverse=True)


def median_of(loads: list[Load]) -> dict[str, float]:
    """Return the medians of the rounds, and the sum of their errors."""
    fields = ("requests_per_second", "p50_ms", "p95_ms", "p99_ms")
    medians = {name: round(statistics.median(getattr(load, name) for load in loads), 2) for name in fields}
    return {**medians, "errors": sum(load.errors for load in loads)}


def measure(clients: list[int], *, environment: dict[str, str], seconds: float, rounds: int) -> list[dict[str, object]]:
    """Drive the site with each number of clients in turn, `rounds` times over."""
    with running_site(environment) as (port, token, web):
        wait_until_ready(port)
        url = f"http://127.0.0.1:{port}/api/v1/predict"
        headers = {"Authorization": f"Token {token}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        body = make_form(make_picture())
        drive(url, body=body, headers=headers, clients=max(clients), seconds=2)  # every process has loaded the model
        loads: dict[int, list[Load]] = {count: [] for count in clients}
        for _round in range(rounds):
            for count in clients:
                loads[count].append(drive(url, body=body, headers=headers, clients=count, seconds=seconds))
        memory = measure_memory(web)
    shared: dict[str, object] = {
        "ratio_to_plain": None,
        "database": "postgres" if "DATABASE_URL" in environment else "sqlite",
        "web_process_rss_mib": memory,
        "rounds": rounds,
        "seconds": seconds,
        "load_generator": tool(),
        "precision": environment.get("CIFARSITE_INFERENCE_PRECISION", "f32"),
        "hardware": describe_hardware(),
        "versions": describe_versions("django", "djangorestframework", "granian", "openvino", "numpy", "pillow"),
        "command": f"python -m bench.serve --seconds {seconds:g} --rounds {rounds}",
    }
    return [{"clients": count, **median_of(loads[count]), **shared} for count in clients]


def save(entries: list[dict[str, object]], path: Path) -> None:
    """Write the entries; those of another database stay."""
    kept = json.loads(path.read_text()) if path.exists() else []
    databases = {entry["database"] for entry in entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    merged = [entry for entry in kept if entry["database"] not in databases] + entries
    path.write_text(json.dumps(merged, indent=1) + "\n")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stretch of load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cifarsite-bench-") as var:
        own = {
            "CIFARSITE_VAR": var,
            "ARTIFACTS_ROOT": str(Path(var) / "artifacts"),
            "CIFARSITE_ADMIN_USERNAME": USERNAME,
            "CIFARSITE_HTTPS": "false",
            "ALLOWED_HOSTS": "127.0.0.1",
            "LOG_LEVEL": "WARNING",
            "PYTHONWARNINGS": "ignore",
        }
        environment = {**os.environ, **own}
        entries = measure(options.clients, environment=environment, seconds=options.seconds, rounds=options.rounds)
    print(f"{'clients':>8} {'req/s':>8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'errors':>7}")
    for entry in entries:
        print("{clients:>8} {requests_per_second:>8} {p50_ms:>8} {p95_ms:>8} {p99_ms:>8} {errors:>7}".format(**entry))
    print("resident memory of the web processes:", entries[0]["web_process_rss_mib"], "MiB")
    save(entries, options.output)


if __name__ == "__main__":
    main()
