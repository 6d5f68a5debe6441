"""Kills while checkpoints are written, and what supervision costs: time, submissions, the database.

    python -m bench.durability --mode embedded [--kills 1000] [--rounds 5] [--seed 1] [--parts overhead]
    python -m bench.durability --mode production          # what depends on the database, on that of DATABASE_URL

Each mode has a broker and a database of its own; leases and heartbeats are the defaults. A part that is not
measured again keeps its figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.installed import installed
from bench.machine import RESULTS, describe_command, describe_hardware, describe_versions

RESULT: Final = RESULTS / "durability.json"
SUBMISSIONS: Final = 500
CALLS: Final = 1000
IMAGES_PER_CLASS: Final = 400
PARTS: Final = ("kills", "submissions", "heartbeat", "overhead")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["embedded", "production"], required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5, help="of the same training with and without supervision")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cifarsite-bench-"))
    figures: dict[str, Any] = {}
    try:
        if options.mode == "embedded" and "kills" in options.parts:
            from bench.checkpoint_kills import measure_kills  # noqa: PLC0415 - torch is for this alone

            figures["checkpoint_kills"] = measure_kills(folder / "kills", kills=options.kills, seed=options.seed)
        with installed(folder, is_embedded=options.mode == "embedded", settings={}):
            from bench import supervision  # noqa: PLC0415 - Django is set up by now
            from bench.fault_site import make_dataset  # noqa: PLC0415

            dataset = make_dataset(folder)
            if "submissions" in options.parts:
                figures["submissions"] = supervision.measure_submissions(dataset, count=SUBMISSIONS)
            if "heartbeat" in options.parts:
                figures["heartbeat"] = supervision.measure_heartbeat(dataset, count=CALLS)
            if options.mode == "embedded" and "overhead" in options.parts:
                many = make_dataset(folder, name="many", per_class=IMAGES_PER_CLASS)
                for name, images, training in (
                    ("overhead", dataset, supervision.SHORT_EPOCHS),
                    ("overhead_of_long_epochs", many, supervision.LONG_EPOCHS),
                ):
                    figures[name] = supervision.measure_overhead(
                        images, training=training, folder=folder / name, rounds=options.rounds
                    )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1))
    save(options.mode, figures)


def save(mode: str, figures: dict[str, Any]) -> None:
    """Put the figures in the place of those of the same mode."""
    context = {
        "hardware": describe_hardware(),
        "versions": describe_versions("django", "celery", "redis", "psycopg", "torch"),
        "command": describe_command("bench.durability"),
    }
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**known, mode: known.get(mode, {}) | figures | context}, indent=1) + "\n")
    print(f"saved {RESULT}")


if __name__ == "__main__":
    main()
