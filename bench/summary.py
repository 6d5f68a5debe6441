"""What the Learn page tells of accuracy, gathered from the result files: `python -m bench.summary`.

It writes `training/measured.json`, which ships with the site; a test fails where that file is not in step.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from bench.machine import RESULTS

ROOT: Final = RESULTS.parents[1]
SUMMARY: Final = ROOT / "training" / "measured.json"
Row = dict[str, Any]


def summarise() -> dict[str, list[Row]]:
    """Return what was reached with all training images, and with few."""
    return {"all_images": [*_read_timed_runs(), _read_champion()], "few_images": [*_read_transfer(), *_read_finetune()]}


def _read_timed_runs() -> list[Row]:
    timed = _read("train-cpu.json")
    rows = []
    for key, part in (("fast", timed), ("quarter_hour", timed["quarter_hour"])):
        shared = {"images": part["dataset"]["train_count"], "command": part["command"], **_describe(part["hardware"])}
        accuracies, seconds = ([run[name] for run in part["runs"]] for name in ("test_accuracy", "seconds"))
        figures = _spread(accuracies, seconds, centre=median)
        rows.append({"key": key, "recipe": part["recipe"], "epochs": part["epochs"], **figures, **shared})
        for plain in part["plain"]:
            figures = _spread(plain["test_accuracies"][-1:], [plain["seconds"]], centre=median)
            rows.append({"key": "plain", "recipe": "", "epochs": len(plain["test_accuracies"]), **figures, **shared})
    return rows


def _read_champion() -> Row:
    [path] = (ROOT / "training" / "champion").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    recipe, held_back = manifest["recipe"], manifest["config"]["validation_fraction"]
    return {
        "key": "champion",
        "recipe": recipe,
        "epochs": manifest["training"]["epochs_run"],
        **_spread([manifest["metrics"]["accuracy"]], [manifest["wall_seconds"]], centre=median),
        "near_copies": manifest["metrics"]["near_duplicate_count"],
        "accuracy_without_copies": round(manifest["metrics"]["accuracy_without_near_duplicates"], 5),
        "images": round(manifest["dataset"]["train_count"] * (1 - held_back)),
        "command": f"python manage.py train --dataset cifar10 --recipe {recipe} --set validation_fraction={held_back}",
        **_describe(manifest["hardware"]),
    }


def _read_transfer() -> list[Row]:
    """Return the means of one phase and of two, each at the rate that was chosen for it."""
    measured = _read("transfer.json")
    command = f"python -m bench.transfer --dataset {measured['dataset']['name']}"
    rows = []
    for pair in (row for row in measured["summary"] if row["arms"] == ["two-phase", "control"]):
        tuned = min(pair["share"], 10)  # of all images, none is left to tune on
        chosen = dict(zip(pair["arms"], pair["learning_rates"], strict=True))
        for key, arm in (("one_phase", "control"), ("two_phases", "two-phase")):
            wanted = {"share": pair["share"], "arm": arm, "learning_rate": chosen[arm]}
            runs = [run for run in measured["runs"] if wanted.items() <= run.items()]
            rows.append(
                {
                    "key": key,
                    "images": pair["target_images"],
                    **_spread([run["accuracy"] for run in runs], [run["seconds"] for run in runs], centre=mean),
                    "command": f"{command} --shares {tuned} --tune; {command} --shares {pair['share']}",
                    "processor": measured["hardware"]["cpu"],
                    "threads": measured["hardware"]["threads"],
                    "precision": measured["precision"],
                }
            )
    return rows


def _read_finetune() -> list[Row]:
    measured = _read("finetune.json")
    rows = []
    for key, arm in (("frozen", "backbone frozen"), ("finetuned", "fine-tuned")):
        runs = [run for run in measured["runs"] if run["arm"] == arm]
        rows.append(
            {
                "key": key,
                "images": measured["training_images"],
                **_spread([run["test_accuracy"] for run in runs], [run["seconds"] for run in runs], centre=mean),
                "command": measured["command"],
                **_describe(measured["device"]),
            }
        )
    return rows


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return found


def _describe(hardware: dict[str, Any]) -> Row:
    return {
        "processor": hardware["device_name"],
        "threads": hardware["threads"],
        "precision": hardware["precision"],
    }


def _spread(accuracies: list[float], seconds: list[float], *, centre: Any) -> Row:  # noqa: ANN401  # mean or median
    return {
        "accuracy": round(centre(accuracies), 5),
        "lowest": min(accuracies),
        "highest": max(accuracies),
        "seconds": round(centre(seconds), 1),
        "n": len(accuracies),
    }


def write_summary(path: Path = SUMMARY) -> None:
    """Write the summary, one figure a line, so that changes can be read."""
    path.write_text(json.dumps(summarise(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_summary()
