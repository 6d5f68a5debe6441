"""Runs side by side, for `manage.py runs --compare`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from training.services import Comparison

_LABEL_WIDTH = 24
_CELL_WIDTH = 16


def describe_comparison(comparison: Comparison) -> dict[str, Any]:
    """Return what a program wants to know about runs side by side."""
    numbers = [run.pk for run in comparison.runs]
    return {
        "runs": numbers,
        "settings": [{**asdict(setting), "differs": setting.differs} for setting in comparison.settings],
        "figures": [
            {"name": figure.name, "values": figure.values, "best": [numbers[place] for place in sorted(figure.best)]}
            for figure in comparison.figures
        ],
        "epochs": comparison.epochs,
        "same_test": comparison.same_test,
    }


def write_comparison(comparison: Comparison) -> str:
    """Return a table of the figures, the best ones with a star, and of the settings that differ."""
    lines = [_line("", [f"run {run.pk}" for run in comparison.runs])]
    for figure in comparison.figures:
        marks = ["*" if place in figure.best else "" for place in range(len(figure.values))]
        shown = ["-" if value is None else f"{value:.6g}" for value in figure.values]
        lines.append(_line(figure.name, [f"{value}{mark}" for value, mark in zip(shown, marks, strict=True)]))
    lines.append(_line("epochs", [str(epochs) for epochs in comparison.epochs]))
    differing = [setting for setting in comparison.settings if setting.differs]
    lines += [_line(it.name, ["-" if value is None else str(value) for value in it.values]) for it in differing]
    if not comparison.same_test:
        lines.append("Tested on different datasets: the figures do not tell which run is better.")
    return "\n".join(lines)


def _line(label: str, cells: list[str]) -> str:
    return "".join([f"{label:<{_LABEL_WIDTH}}", *(f"{cell:>{_CELL_WIDTH}}" for cell in cells)]).rstrip()
