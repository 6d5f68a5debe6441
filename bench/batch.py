"""How fast a batch is answered: from an archive that is sent to the last answer committed, and where the time goes.

    python -m bench.batch [--pictures 10000] [--rounds 3] [--side 32]

Works in a temporary folder (or on DATABASE_URL and REDIS_URL, an empty database) with the shipped model. The archive is
made of JPEGs; each round requests a batch as the API does and carries it out as a worker does, in this process. The
parts are timed by themselves beforehand, on one core each: what reading, decoding, inference and writing take for a
picture. Figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import django

from bench.machine import save_result


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=32, help="pixels of the JPEGs' sides")
    parser.add_argument("--dry", action="store_true", help="print only, save nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cifarsite-bench-") as var:
        os.environ |= {"CIFARSITE_VAR": var, "LOG_LEVEL": "WARNING"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
        django.setup()
        from bench.batch_rounds import measure  # noqa: PLC0415 - Django is set up by now

        figures = measure(Path(var), pictures=options.pictures, rounds=options.rounds, side=options.side)
    print(figures)
    if not options.dry:
        save_result("batch.json", figures, packages=("django", "openvino", "numpy", "pillow"))


if __name__ == "__main__":
    main()
