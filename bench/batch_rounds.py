"""The rounds of `bench.batch`: archives that are made, requested, answered and deleted."""

from __future__ import annotations

import io
import resource
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from numpy.typing import NDArray
from PIL import Image

from cifarsite.accounts.models import User
from cifarsite.valkey import start_valkey, stop_valkey
from classifier.archives import read_entries
from classifier.batches.pipeline import BATCH, CORES
from classifier.batches.services import delete_batch, request_batch
from classifier.choices import Source
from classifier.images import read_pixels
from classifier.inference import Predictor, champion_slot, predictor
from classifier.models import BatchItem, BatchJob
from classifier.runner import execute_batch

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
    """Request a batch, carry it out and delete it; returns seconds and pictures a second."""
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
    """Return the milliseconds that each part takes for a picture, by itself and on one core."""
    entries: list[Any] = []
    parts = {"read_ms": _time(lambda: entries.extend(islice(read_entries(archive), SAMPLE)))}
    pixels: list[NDArray[np.uint8]] = []
    parts["decode_ms"] = _time(lambda: pixels.extend(read_pixels(entry.data) for entry in entries))
    images = np.stack(pixels)
    model.classify(images[:BATCH])
    parts["infer_ms"] = _time(lambda: [model.classify(images[at : at + BATCH]) for at in range(0, SAMPLE, BATCH)])
    job = BatchJob(owner=owner, archive_bytes=0)
    job.submit()
    answer = {"class_id": 3, "class_key": "cat", "confidence": 0.1, "probabilities": [0.1] * 10}
    rows = [BatchItem(batch=job, index=at, name=f"{at}.jpg", **answer) for at in range(SAMPLE)]
    parts["write_ms"] = _time(lambda: BatchItem.objects.bulk_create(rows))
    job.delete()
    return {name: round(value, 4) for name, value in parts.items()}


def _time(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - began) / SAMPLE


def measure(var: Path, *, pictures: int, rounds: int, side: int) -> dict[str, Any]:
    """Prepare the site in a folder, time the parts, and carry out the rounds."""
    valkey = start_valkey(var) if settings.EMBEDDED else None
    try:
        call_command("prepare", stdout=io.StringIO(), stderr=io.StringIO())
        owner, _made = User.objects.get_or_create(username="bench")
        archive = make_archive(pictures, side=side)
        path = var / "bench.zip"
        path.write_bytes(archive)
        champion_slot.processes = CORES  # as a worker has it
        model = predictor()
        parts = time_parts(path, model, owner)
        before = psutil.Process().memory_info().rss
        found = []
        for _round in range(rounds):
            found.append(run_round(owner, archive))
            print(found[-1], file=sys.stderr)
    finally:
        if valkey is not None:
            stop_valkey(valkey)
    return {
        **{name: round(statistics.median(figures[name] for figures in found), 3) for name in found[0]},
        "pictures": pictures,
        "side_pixels": side,
        "archive_mib": round(len(archive) / 2**20, 1),
        "database": "sqlite" if settings.EMBEDDED else "postgres",
        "precision": model.network.plan.precision,
        "parts_ms_per_picture": parts,
        "rss_before_mib": round(before / 2**20, 1),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1),
        "rounds": rounds,
    }
