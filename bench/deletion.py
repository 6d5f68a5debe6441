"""What it costs to delete a large part of a history at once, with and without kept originals.

    python -m bench.deletion [--predictions 10000] [--original-bytes 30000] [--rounds 3]

SQLite without DATABASE_URL, else a database of its own on that server. A round writes the rows and deletes them as the
page does when somebody has confirmed that all shall go; while that lasts, another connection writes one row again and
again, and the longest that it waited is told too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.installed import installed
from bench.machine import RESULTS, save_result
from bench.page_rows import CHUNK, make_prediction
from bench.serving_site import make_picture

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from training.models import ModelVersion


def write_rows(owner: User, version: ModelVersion, *, count: int, original_bytes: int) -> None:
    """Write predictions; with originals of so many bytes, or without where that is 0."""
    from classifier.models import Original, Prediction  # noqa: PLC0415  # Django is set up by now

    thumbnail, data = make_picture(), os.urandom(original_bytes)
    for start in range(0, count, CHUNK):
        numbers = range(start, min(count, start + CHUNK))
        rows = Prediction.objects.bulk_create(make_prediction(owner, version, thumbnail, number) for number in numbers)
        if original_bytes:
            originals = [Original(prediction=row, data=data, sha256="0" * 64, media_type="image/jpeg") for row in rows]
            Original.objects.bulk_create(originals, batch_size=200)


def write_beside(owner: User, version: ModelVersion, stop: threading.Event, waits: list[float]) -> None:
    """Write a row again and again, and note how long each took."""
    from django.db import connection  # noqa: PLC0415

    thumbnail = make_picture()
    while not stop.is_set():
        began = time.perf_counter()
        make_prediction(owner, version, thumbnail, 0).save(force_insert=True)
        waits.append(time.perf_counter() - began)
        time.sleep(0.005)
    connection.close()


def measure(owner: User, other: User, version: ModelVersion, *, count: int, original_bytes: int) -> dict[str, float]:
    """Write and delete rows once."""
    from classifier.history import delete_wanted  # noqa: PLC0415
    from classifier.querysets import Wanted  # noqa: PLC0415

    write_rows(owner, version, count=count, original_bytes=original_bytes)
    stop, waits = threading.Event(), list[float]()
    beside = threading.Thread(target=write_beside, args=(other, version, stop, waits))
    beside.start()
    began, began_work = time.perf_counter(), time.thread_time()
    deleted, more = delete_wanted(owner=owner, wanted=Wanted())
    seconds, worked = time.perf_counter() - began, time.thread_time() - began_work
    stop.set()
    beside.join()
    assert (deleted, more) == (count, False), (deleted, more)
    return {"seconds": seconds, "processor_seconds": worked, "longest_wait_seconds": max(waits)}


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--original-bytes", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    is_embedded = not os.environ.get("DATABASE_URL")
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-deletion-") as folder,
        installed(Path(folder), is_embedded=is_embedded, settings={}),
    ):
        from django.contrib.auth import get_user_model  # noqa: PLC0415

        from cifarsite.bootstrap import ensure_champion  # noqa: PLC0415
        from training.models import ModelVersion  # noqa: PLC0415

        ensure_champion()
        version = ModelVersion.objects.get()
        owner, other = (get_user_model().objects.create_user(name) for name in ("bench", "beside"))
        for original_bytes in (0, arguments.original_bytes):
            options = {"count": arguments.predictions, "original_bytes": original_bytes}
            rounds = [measure(owner, other, version, **options) for _round in range(arguments.rounds)]
            row = {key: round(statistics.median(one[key] for one in rounds), 3) for key in rounds[0]}
            figures["with originals" if original_bytes else "without originals"] = row
            print(f"originals of {original_bytes:>6,} bytes: {row}", flush=True)
    save_deletion("SQLite" if is_embedded else "PostgreSQL", figures, arguments)
    return 0


def save_deletion(database: str, figures: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Save the figures of one database beside those of the other that were measured earlier."""
    path = RESULTS / "deletion.json"
    earlier = json.loads(path.read_text())["deletions"] if path.is_file() else {}
    sizes = {name: getattr(arguments, name) for name in ("predictions", "original_bytes", "rounds")}
    save_result("deletion.json", {**sizes, "deletions": {**earlier, database: figures}}, packages=("django",))


if __name__ == "__main__":
    sys.exit(main())
