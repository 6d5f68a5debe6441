"""How fast one picture is answered through the API: token checked, model asked, history row committed.

    python -m bench.serve [--seconds 10] [--rounds 5] [--clients 1 8 32 128] [--promotions 1000] [--history 100000 …]

Starts the site's web server in a temporary folder (or on DATABASE_URL and REDIS_URL, an empty database) and beside it a
plain service with the same model (`bench.plain_service`), and sends both the same 32×32 JPEG from another process, in
turns. Figures are medians of the rounds. They are saved in `serve.json`; what is measured beside, namely overload, hot
swaps and rows of the history, in `serve-operations.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.load import Load, drive, tool
from bench.machine import RESULTS, describe_hardware, describe_versions
from bench.open_load import OpenLoad, drive_open
from bench.serving_site import (
    USERNAME,
    Server,
    make_form,
    make_picture,
    run_module,
    running_plain_service,
    running_site,
)

BODY = make_form(make_picture())
FIELDS = ("requests_per_second", "p50_ms", "p95_ms", "p99_ms")
WARM_UP_SECONDS = 2.0
UNLOADED, OVERLOADED = 0.5, 5.0
"""Times what the site answers per second: half of it, and five times as much."""


def median_of(loads: list[Load]) -> dict[str, float]:
    """Return the medians of the rounds, and the sum of their errors."""
    medians = {name: round(statistics.median(getattr(load, name) for load in loads), 2) for name in FIELDS}
    return {**medians, "errors": sum(load.errors for load in loads)}


def measure_speed(
    site: Server, plain: Server, *, clients: list[int], seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """Drive both with each number of clients in turn, `rounds` times over."""
    loads: dict[tuple[int, Server], list[Load]] = {(count, server): [] for count in clients for server in (site, plain)}
    for server in (site, plain):  # every process has loaded the model
        drive(server.url, body=BODY, headers=server.headers, clients=max(clients), seconds=WARM_UP_SECONDS)
    for _round in range(rounds):
        for (count, server), found in loads.items():
            found.append(drive(server.url, body=BODY, headers=server.headers, clients=count, seconds=seconds))
    entries = []
    for count in clients:
        own, other = median_of(loads[count, site]), median_of(loads[count, plain])
        ratio = round(own["requests_per_second"] / max(other["requests_per_second"], 0.01), 2)
        entries.append({"clients": count, **own, "ratio_to_plain": ratio, "plain": other})
    return entries


def measure_overload(site: Server, busiest: dict[str, Any], *, seconds: float, rounds: int) -> dict[str, Any]:
    """Offer half of what the site answers to its busiest clients per second, and five times as much."""
    capacity = busiest["requests_per_second"]
    loads: dict[float, list[OpenLoad]] = {UNLOADED: [], OVERLOADED: []}
    for _round in range(rounds):
        for share, found in loads.items():
            load = drive_open(site.url, body=BODY, headers=site.headers, rate=share * capacity, seconds=seconds)
            found.append(load)
    medians = {
        share: {name: statistics.median(asdict(load)[name] for load in found) for name in asdict(found[0])}
        for share, found in loads.items()
    }
    return {
        "capacity_per_second": capacity,
        "at_half": medians[UNLOADED],
        "at_five_times": medians[OVERLOADED],
        "p99_ratio_to_half": round(medians[OVERLOADED]["p99_ms"] / max(medians[UNLOADED]["p99_ms"], 0.01), 2),
        "p99_ratio_to_busiest": round(medians[OVERLOADED]["p99_ms"] / max(busiest["p99_ms"], 0.01), 2),
        "busiest_clients": busiest["clients"],
    }


def measure_beside(
    site: Server, options: argparse.Namespace, *, entries: list[dict[str, Any]], environment: dict[str, str]
) -> dict[str, Any]:
    """Measure what is not speed: overload, hot swaps, rows."""
    busiest = [entry for entry in entries if not entry["errors"]][-1]  # the most clients of whom none was refused
    figures: dict[str, Any] = {
        "overload": measure_overload(site, busiest, seconds=options.seconds, rounds=options.rounds)
    }
    if options.promotions:
        token = site.headers["Authorization"].removeprefix("Token ")
        asked = ("--promotions", str(options.promotions), "--pause", str(options.pause))
        figures["hot_swaps"] = json.loads(
            run_module("bench.serving_swaps", site.url, token, *asked, environment=environment)
        )
    sizes = [str(size) for size in options.history]
    asked = ("--predictions", str(options.predictions), "--history", *sizes)
    return {**figures, **json.loads(run_module("bench.serving_rows", *asked, environment=environment))}


def measure(options: argparse.Namespace, environment: dict[str, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure everything; return the entries of `serve.json`, and what was measured beside."""
    with running_site(environment) as site:
        with running_plain_service() as plain:
            entries = measure_speed(
                site, plain, clients=options.clients, seconds=options.seconds, rounds=options.rounds
            )
            memory, memory_of_plain = site.memory_mib(), plain.memory_mib()
        beside = measure_beside(site, options, entries=entries, environment=environment)
    shared: dict[str, Any] = {
        "database": "postgres" if environment.get("DATABASE_URL") else "sqlite",
        "web_process_rss_mib": memory,
        "plain_process_rss_mib": memory_of_plain,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "load_generator": tool(),
        "precision": environment.get("CIFARSITE_INFERENCE_PRECISION", "auto"),
        "hardware": describe_hardware(),
        "versions": describe_versions(
            *("django", "djangorestframework", "granian", "openvino", "numpy", "pillow", "fastapi", "uvicorn", "torch")
        ),
        "command": f"python -m bench.serve --seconds {options.seconds:g} --rounds {options.rounds}",
    }
    return [{**entry, **shared} for entry in entries], {**beside, **shared}


def save(entries: list[dict[str, Any]], path: Path) -> None:
    """Write the entries; those of another database stay."""
    kept = json.loads(path.read_text()) if path.exists() else []
    databases = {entry["database"] for entry in entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    merged = [entry for entry in kept if entry["database"] not in databases] + entries
    path.write_text(json.dumps(merged, indent=1) + "\n")


def show(entries: list[dict[str, Any]], beside: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"{'clients':>8} {'req/s':>8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'errors':>7} {'× plain':>8}")
    line = "{clients:>8} {requests_per_second:>8} {p50_ms:>8} {p95_ms:>8} {p99_ms:>8} {errors:>7} {ratio_to_plain:>8}"
    for entry in entries:
        print(line.format(**entry))
        print(line.format(**entry["plain"], clients="plain", ratio_to_plain=""))
    print("resident memory, MiB: web", beside["web_process_rss_mib"], "plain", beside["plain_process_rss_mib"])
    for name in ("overload", "hot_swaps", "stored_prediction", "history"):
        print(f"{name}: {json.dumps(beside.get(name), indent=1)}")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stretch of load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--promotions", type=int, default=1000, help="0: none")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds from one promotion to the next")
    parser.add_argument("--predictions", type=int, default=2000, help="rows of each round of writing")
    parser.add_argument("--history", type=int, nargs="*", default=[100_000, 1_000_000], help="rows to list from")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cifarsite-bench-") as var:
        own = {
            "CIFARSITE_VAR": var,
            "ARTIFACTS_ROOT": str(Path(var) / "artifacts"),
            "CIFARSITE_ADMIN_USERNAME": USERNAME,
            "CIFARSITE_HTTPS": "false",
            "CIFARSITE_PREDICT_RATE": "0",
            "ALLOWED_HOSTS": "127.0.0.1",
            "LOG_LEVEL": "WARNING",
            "PYTHONWARNINGS": "ignore",
        }
        entries, beside = measure(options, {**os.environ, **own})
    show(entries, beside)
    save(entries, options.output / "serve.json")
    save([beside], options.output / "serve-operations.json")


if __name__ == "__main__":
    main()
