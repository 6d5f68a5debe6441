"""Jobs under random faults: how many are lost or done twice, and how soon somebody else takes over.

    python -m bench.faults --mode embedded|production [--jobs 1000] [--real-jobs 50] [--faults 200] [--seed 1]

Starts an installation of its own: a broker, seven training workers and a sweeper's, each on a "machine" with a folder
of its own, beat, and the web server with somebody who keeps asking. In production mode it makes a database of its own on
the Postgres of DATABASE_URL and drops it afterwards. Jobs are submitted all the time; the seed decides which fault
comes after how many ended jobs, and the order in which targets are chosen. Most engines are a stand-in that speaks the
real protocol; leases are short, so that hundreds of losses fit into minutes: to a takeover add the difference to the
default lease. Each fault and its share stands in `bench.fault_kinds`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.installed import installed
from bench.machine import RESULTS

RESULT: Final = RESULTS / "faults.json"
LEASE_SECONDS: Final = 4
SETTINGS: Final = {
    "CIFARSITE_LEASE_SECONDS": str(LEASE_SECONDS),
    "CIFARSITE_HEARTBEAT_SECONDS": "1",
    "CIFARSITE_PROGRESS_SECONDS": "150",
    "STUB_SECONDS": "0.15",
}


def main() -> None:
    """Break, count, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["embedded", "production"], required=True)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--real-jobs", type=int, default=50, help="of those, with the real engine")
    parser.add_argument("--faults", type=int, default=200, help="at least so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cifarsite-bench-"))
    try:
        with installed(folder, is_embedded=options.mode == "embedded", settings=SETTINGS) as installation:
            from bench.fault_round import measure  # noqa: PLC0415 - Django is set up by now

            figures = measure(installation, options)
    finally:
        if options.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print_figures(figures)
    save(figures)


def print_figures(figures: dict[str, Any]) -> None:
    """Print what counts as a table."""
    for name, value in figures.items():
        if not isinstance(value, dict):
            print(f"{name:<28} {value}")
    for name, value in {**figures["faults_by_kind"], **figures["jobs_by_end"]}.items():
        print(f"  {name:<26} {value}")


def save(figures: dict[str, Any]) -> None:
    """Put the figures in the place of those of the same mode."""
    known = json.loads(RESULT.read_text()) if RESULT.exists() else []
    others = [entry for entry in known if entry["mode"] != figures["mode"]]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(sorted([*others, figures], key=lambda entry: entry["mode"]), indent=1) + "\n")
    print(f"saved {RESULT}")


if __name__ == "__main__":
    main()
