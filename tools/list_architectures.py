"""Write `training/engine/architectures.tsv`: the classification networks of timm by name, with what timm says of them.

Run it after a new version of timm: `python tools/list_architectures.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import timm

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "training" / "engine" / "architectures.tsv"
HEADER = ("name", "minimum_input_size", "has_weights")
SMALLEST = 32
IMAGENET_CLASSES = 1000


def describe(name: str) -> tuple[str, str, str] | None:
    """Return a network's row, or None when timm describes no classifier."""
    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.classifier:
        return None
    minimum = max(SMALLEST, *settings.min_input_size[1:]) if settings.min_input_size else SMALLEST
    has_weights = bool(settings.hf_hub_id) and settings.num_classes == IMAGENET_CLASSES
    return name, str(minimum), "yes" if has_weights else "no"


def main() -> None:
    """Write the table and say how many networks it has."""
    names = timm.list_models()
    rows = [row for name in names if (row := describe(name)) is not None]
    TABLE.write_text("".join("\t".join(row) + "\n" for row in [HEADER, *rows]), encoding="ascii")
    sys.stdout.write(f"{len(rows)} of {len(names)} networks of timm {timm.__version__}: {TABLE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
