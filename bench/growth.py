"""What an epoch costs as the dataset grows: seconds and peak memory at 10 %, 50 %, 100 % and 400 % of the images.

    python -m bench.growth --dataset DIR [--shares 10 50 100 400] [--rounds 3] [--set KEY=VALUE ...]

Each training is one epoch of recipe `fast` on whole images in a fresh process, without validation images; more than
100 % repeats the images. Every round measures every share in turn, and medians are told.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import save_result
from bench.train import parse_overrides
from training.engine.config import TrainConfig
from training.engine.constants import MANIFEST_NAME
from training.engine.data import load_dataset
from training.engine.dataset_files import read_dataset_manifest
from training.engine.device import choose_device
from training.engine.fit import Trainer
from training.engine.memory import keep_freed_memory
from training.engine.package import hash_file

ROOT = Path(__file__).parents[1]


def write_share(source: Path, target: Path, *, share: int) -> None:
    """Write a dataset whose training split is `share` per cent of another's, drawn evenly or repeated."""
    target.mkdir()
    manifest = read_dataset_manifest(source)
    for name in manifest["files"]:
        rows = np.load(source / name, mmap_mode="r")
        if name.startswith("train_"):
            count = len(rows) * share // 100
            rows = rows[
                np.arange(count) % len(rows) if share > 100 else np.linspace(0, len(rows) - 1, count).astype(int)
            ]
        np.save(target / name, rows)
        manifest["files"][name] = hash_file(target / name)
    (target / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")


def train_one_epoch(dataset: Path, *, overrides: dict[str, object], workdir: Path) -> dict[str, float]:
    """Train for one epoch in this process; return its seconds and the process's peak memory."""
    keep_freed_memory()
    options: dict[str, Any] = {"validation_fraction": 0.0, "full_size_from": 0.0, **overrides}
    config = TrainConfig.from_recipe("fast", dataset=str(dataset), epochs=1, **options)
    with redirect_stdout(io.StringIO()):  # the engine's events
        trainer = Trainer(
            config=config, dataset=load_dataset(dataset), device=choose_device(config.precision), workdir=workdir
        )
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images": len(trainer.train_split), "seconds": trainer.position.seconds, "peak_memory_mib": peak}


def measure(dataset: Path, *, sets: list[str]) -> dict[str, float]:
    """Train for one epoch in a fresh process."""
    command = [sys.executable, "-m", "bench.growth", "--dataset", str(dataset), "--once"]
    command += [part for pair in sets for part in ("--set", pair)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=Path, help="imported dataset directory")
    parser.add_argument("--shares", type=int, nargs="+", default=[10, 50, 100, 400], help="per cent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a training option")
    parser.add_argument("--once", action="store_true", help="one epoch of the dataset as it is, in this process")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as folder:
        if arguments.once:
            overrides = parse_overrides(arguments.set)
            print(json.dumps(train_one_epoch(arguments.dataset, overrides=overrides, workdir=Path(folder))))
            return 0
        datasets = {share: Path(folder) / str(share) for share in arguments.shares}
        for share, path in datasets.items():
            write_share(arguments.dataset, path, share=share)
        runs: dict[int, list[dict[str, float]]] = {share: [] for share in datasets}
        for _ in range(arguments.rounds):
            for share, path in datasets.items():
                runs[share].append(measure(path, sets=arguments.set))
    rows = [
        {"share_percent": share, **{key: statistics.median(run[key] for run in measured) for key in measured[0]}}
        for share, measured in runs.items()
    ]
    print(f"{'share':>6} {'images':>8} {'s/epoch':>8} {'img/s':>7} {'peak MiB':>9}")
    for row in rows:
        print(
            f"{row['share_percent']:>5.0f}% {row['images']:>8,.0f} {row['seconds']:>8.1f} "
            f"{row['images'] / row['seconds']:>7.0f} {row['peak_memory_mib']:>9.0f}"
        )
    save_result("growth.json", {"rounds": arguments.rounds, "rows": rows}, packages=("torch",))
    return 0


if __name__ == "__main__":
    sys.exit(main())
