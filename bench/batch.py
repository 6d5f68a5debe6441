"""How fast a batch is answered: from an archive that is sent to the last answer committed, and where the time goes.

    python -m bench.batch [--pictures 10000] [--rounds 3] [--side 32]

Works in a temporary folder (or on DATABASE_URL and REDIS_URL, an empty database) with the shipped model. The archive is
made of JPEGs; each round requests a batch as the API does and carries it out as a worker does, in this process. The
parts are timed by themselves beforehand, on one core each: what reading, decoding, inference and writing take for a
picture. Figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from PIL import Image

from bench.machine import save_result

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from classifier.inference import Predictor

SAMPLE = 1000
"""Pictures with which a part is timed by itself."""


def make_archive(pictures: int, *, side: int) -> bytes:
    """Return a zip of JPEGs of `side` pixels, a hundred different ones in turn."""
    random = np.random.default_rng(0)
    different = []
    for _number in range(100):
        stream = io.BytesIO()
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        different.append(stream.getvalue())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as writer:
        for number in range(pictures):
            writer.writestr(f"test/cat/{number:06}.jpg", different[number % len(different)])
    return archive.getvalue()


def run_round(owner: User, archive: bytes) -> dict[str, float]:
    """Request a batch and carry it out; returns seconds and pictures a second."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    from classifier.batch_services import delete_batch, request_batch
    from classifier.choices import Source
    from classifier.models import BatchJob
    from classifier.runner import execute_batch

    began = time.perf_counter()
    upload = SimpleUploadedFile("bench.zip", archive)
    job = request_batch(owner=owner, upload=upload, name="bench.zip", source=Source.API)
    accepted = time.perf_counter()
    execute_batch(job.pk)
    ended = time.perf_counter()
    job = BatchJob.objects.get(pk=job.pk)
    assert (job.status, job.items.count()) == ("succeeded", job.progress_total), job.detail
    delete_batch(job=job)
    return {
        "request_seconds": accepted - began,
        "work_seconds": ended - accepted,
        "images_per_second": job.progress_total / (ended - began),
    }


def time_parts(archive: Path, model: Predictor, owner: User) -> dict[str, float]:
    """Return the milliseconds that each part takes for a picture, by itself."""
    from classifier.archives import read_entries
    from classifier.batch_pipeline import BATCH
    from classifier.images import read_pixels
    from classifier.models import BatchItem, BatchJob

    entries: list[Any] = []

    def read() -> None:
        for entry in read_entries(archive):
            entries.append(entry)
            if len(entries) == SAMPLE:
                return

    parts = {"read_ms": _time(read)}
    pixels: list[Any] = []
    parts["decode_ms"] = _time(lambda: pixels.extend(read_pixels(entry.data) for entry in entries))
    images = np.stack(pixels)
    model.classify(images[:BATCH])
    parts["infer_ms"] = _time(lambda: [model.classify(images[at : at + BATCH]) for at in range(0, SAMPLE, BATCH)])
    job = BatchJob(owner=owner, archive_bytes=0)
    job.submit()
    shares = [round(1 / 10, 6)] * 10
    parts["write_ms"] = _time(
        lambda: BatchItem.objects.bulk_create(
            BatchItem(batch=job, index=at, name=f"{at}.jpg", class_id=3, class_key="cat", confidence=0.1,
                      probabilities=shares)
            for at in range(SAMPLE)
        )
    )  # fmt: skip
    job.delete()
    return parts


def _time(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - began) / SAMPLE


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Prepare the site, time the parts, and carry out the rounds."""
    from django.conf import settings
    from django.core.management import call_command

    from cifarsite.accounts.models import User
    from classifier.inference import predictor

    call_command("prepare", stdout=io.StringIO(), stderr=io.StringIO())
    owner, _made = User.objects.get_or_create(username="bench")
    archive = make_archive(options.pictures, side=options.side)
    path = Path(settings.VAR) / "bench.zip"
    path.write_bytes(archive)
    model = predictor()
    parts = time_parts(path, model, owner)
    before = psutil.Process().memory_info().rss
    rounds, peak = [], before
    for _round in range(options.rounds):
        rounds.append(run_round(owner, archive))
        peak = max(peak, _peak_rss_bytes())
        print(rounds[-1], file=sys.stderr)
    middle = {name: round(statistics.median(found[name] for found in rounds), 3) for name in rounds[0]}
    return {
        **middle,
        "pictures": options.pictures,
        "side_pixels": options.side,
        "archive_mib": round(len(archive) / 2**20, 1),
        "database": "sqlite" if settings.EMBEDDED else "postgres",
        "precision": model.network.plan.precision,
        "parts_ms_per_picture": {name: round(value, 4) for name, value in parts.items()},
        "rss_before_mib": round(before / 2**20, 1),
        "peak_rss_mib": round(peak / 2**20, 1),
        "rounds": options.rounds,
    }


def _peak_rss_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=32, help="pixels of the JPEGs' sides")
    parser.add_argument("--dry", action="store_true", help="print only, save nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cifarsite-bench-") as var:
        os.environ["CIFARSITE_VAR"] = var
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
        os.environ["LOG_LEVEL"] = "WARNING"
        import django

        django.setup()
        from django.conf import settings

        from cifarsite.valkey import start_valkey, stop_valkey

        valkey = start_valkey(Path(var)) if settings.EMBEDDED else None
        try:
            figures = measure(options)
        finally:
            if valkey is not None:
                stop_valkey(valkey)
    print(figures)
    if not options.dry:
        packages = ("django", "openvino", "numpy", "pillow")
        save_result("batch.json", figures, packages=packages)


if __name__ == "__main__":
    main()
