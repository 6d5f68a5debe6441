"""Faults that meet jobs where they are asked for, claimed, saved or cancelled, for `bench.faults`.

Django must be set up before this is imported.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from bench.fault_site import Site
from training.choices import ImportSource, JobStatus
from training.doorbell import EXECUTE_RUN, ring
from training.exceptions import FenceLostError, ServiceError
from training.models import DatasetImport, TrainingRun
from training.services import imports, request_import
from training.storage import RUNS, artifacts


def deliver_eight_times(site: Site) -> bool:
    """Ring eight times for one run, which waits or is under way."""
    pks = list(TrainingRun.objects.active().order_by("pk").values_list("pk", flat=True)[:20])
    if not pks or site.installation.broker.process is None:
        return False
    pk = site.chance.choice(pks)
    for _delivery in range(8):
        ring(EXECUTE_RUN, pk)
    return True


def claim_at_once(site: Site) -> bool:
    """Let four threads claim one run in the same instant; who gets it gives it back."""
    pk = TrainingRun.objects.claimable().order_by("-pk").values_list("pk", flat=True).first()
    if pk is None:
        return False
    barrier = threading.Barrier(4)

    def claim() -> TrainingRun | None:
        try:
            barrier.wait()
            return TrainingRun.claim(pk, worker="bench")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        claims = [future.result() for future in [pool.submit(claim) for _thread in range(4)]]
    winners = [won for won in claims if won is not None]
    if len(winners) > 1:
        site.other_faults.append(f"run {pk} was claimed {len(winners)} times at once")
    for winner in winners:
        with contextlib.suppress(FenceLostError):
            winner.release()
    return True


def fill_disk_at_checkpoint(site: Site) -> bool:
    """Ask for a run whose engine finds the disk full at its first checkpoint."""
    if not site.is_stub_next:
        return False
    site.submit(mode="disk-full")
    return True


def fill_disk_at_upload(site: Site) -> bool:
    """Send an archive that the disk has no room for."""
    before = DatasetImport.objects.count()

    def fail(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with mock.patch.object(imports, "sync", fail):
        try:
            archive = SimpleUploadedFile("a.zip", b"x" * 1000)
            request_import(owner=None, name="no-room", source=ImportSource.ARCHIVE, upload=archive)
        except ServiceError:
            pass
        else:
            site.other_faults.append("an archive was accepted although the disk was full")
    left = artifacts("uploads").glob("*") if artifacts("uploads").is_dir() else []
    if DatasetImport.objects.count() != before or any(left):
        site.other_faults.append("a refused archive left something")
    return True


def damage_checkpoint(site: Site) -> bool:
    """Truncate the newest checkpoint of a run, or change a byte of it, and kill its engine."""
    run = site.choose(least_step=1)
    engine = site.engine_of(run) if run else None
    if run is None or engine is None:
        return False
    engine.suspend()  # or it would write another one meanwhile
    files = sorted(artifacts(RUNS, run.pk).glob("*/checkpoints/step-*/tensors.safetensors"), key=os.fspath)
    if files:
        with contextlib.suppress(OSError):
            data = files[-1].read_bytes()
            half = data[: len(data) // 2]
            files[-1].write_bytes(half if site.chance.random() < 0.5 else half + b"?" + data[len(half) + 1 :])
    engine.kill()
    site.note_loss("checkpoint_damaged", run)
    return True


def cancel_queued(site: Site) -> bool:
    """Cancel the run that was asked for last."""
    pk = TrainingRun.objects.filter(status=JobStatus.QUEUED).order_by("-pk").values_list("pk", flat=True).first()
    return pk is not None and _cancel(site, pk)


def cancel_running(site: Site) -> bool:
    """Cancel a run under way."""
    run = site.choose()
    return run is not None and _cancel(site, run.pk)


def cancel_saving(site: Site) -> bool:
    """Cancel a run whose model is being evaluated and packed."""
    runs = TrainingRun.objects.filter(status=JobStatus.RUNNING, progress_message__startswith="evaluating")
    pk = runs.values_list("pk", flat=True).first()
    return pk is not None and _cancel(site, pk)


def _cancel(site: Site, pk: int) -> bool:
    site.cancelled.add(pk)
    return TrainingRun.request_cancel(pk)


def write_sixteenfold(site: Site) -> bool:
    """Ask for sixteen runs in sixteen threads at the same instant."""
    if site.submitted + 16 > site.jobs:
        return False
    barrier = threading.Barrier(16)

    def submit() -> None:
        try:
            barrier.wait()
            site.submit()
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(submit) for _thread in range(16)]:
            future.result()
    return True
