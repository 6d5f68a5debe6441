"""What a manifest from elsewhere may hold: every key, its type and its bounds. Imports no torch.

`verify_package` trusts what this site sealed. Before anything of another site's package is used, shown or stored, it
has to fit here: exact keys, finite numbers, texts that a database and a page can take, tables as long as the classes.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE, PACKAGE_FILES
from training.engine.exceptions import PackageError

Check = Callable[[Any, str], None]
"""Takes a value and where it stands; raises PackageError when it may not stand there."""

MANIFEST_MAX_BYTES: Final = 8 * 1024 * 1024
MOST_CLASSES: Final = 1000
_LONGEST_KEY: Final = 63
_IMAGE_BYTES: Final = IMAGE_CHANNELS * IMAGE_SIZE * IMAGE_SIZE
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_LARGEST: Final = 2**53
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def parse_strictly(text: bytes) -> dict[str, Any]:
    """Read a manifest's JSON.

    Raises:
        PackageError: it is too large, no JSON, no object, names a key twice, or holds a number that is none.
    """
    if len(text) > MANIFEST_MAX_BYTES:
        raise PackageError(f"The manifest has more than {MANIFEST_MAX_BYTES:,} bytes.")
    try:
        manifest = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PackageError("The manifest is not JSON.") from error
    if not isinstance(manifest, dict):
        raise PackageError("The manifest is not a JSON object.")
    return manifest


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Make sure that every value of a manifest is one that this site could have written.

    Raises:
        PackageError: one is not; the message names it.
    """
    _MANIFEST(manifest, "")
    keys: list[str] = manifest["class_keys"]
    if len(set(keys)) != len(keys):
        _refuse("class_keys", "names a class twice")
    if manifest["input_size"] != [IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE]:
        _refuse("input_size", f"is not [{IMAGE_CHANNELS}, {IMAGE_SIZE}, {IMAGE_SIZE}]")
    _whole(0, 1_000_000)(manifest["config"].get("epochs", 0), "config.epochs")
    _check_metrics(manifest["metrics"], keys)
    if any(len(sample["logits"]) != len(keys) for sample in manifest["golden_samples"]):
        _refuse("golden_samples", "has not a logit for each class")
    _check_pairs("mistakes", manifest.get("mistakes", []), keys)
    comparison = manifest["out_of_distribution"].get("comparison", [])
    if len({tuple(cell["source"] for cell in row["sources"]) for row in comparison}) > 1:
        _refuse("out_of_distribution.comparison", "has not the same sources in each row")


def _check_metrics(metrics: Mapping[str, Any], keys: list[str]) -> None:
    if [row["class_key"] for row in metrics["per_class"]] != keys:
        _refuse("metrics.per_class", "is not in the order of the classes")
    square = [len(row) for row in metrics["confusion_matrix"]]
    if square != [len(keys)] * len(keys):
        _refuse("metrics.confusion_matrix", "has not a row and a column for each class")
    if any(found["count"] and None in found.values() for found in metrics.get("reliability", [])):
        _refuse("metrics.reliability", "has a range with images and without figures")
    _check_pairs("metrics.most_confused", metrics.get("most_confused", []), keys)


def _check_pairs(where: str, rows: list[dict[str, Any]], keys: list[str]) -> None:
    if any(row[part] not in keys for row in rows for part in ("class_key", "predicted")):
        _refuse(where, "names a class that the model does not know")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PackageError("The manifest names a key twice.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise PackageError(f"The manifest holds {name}, which is no number.")


def _refuse(where: str, why: str) -> NoReturn:
    raise PackageError(f"The manifest's {where or 'content'} {why}.")


def _text(limit: int, *, pattern: str = "") -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if not isinstance(value, str) or len(value) > limit or _UNPRINTABLE.search(value):
            _refuse(where, f"is no plain text of at most {limit} characters")
        if pattern and not re.fullmatch(pattern, value):
            _refuse(where, "is not of the form that is expected there")

    return check


def _whole(low: int = 0, high: int = _LARGEST) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _refuse(where, f"is no whole number from {low} to {high}")

    return check


def _real(low: float = -1e12, high: float = 1e12) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or not math.isfinite(value):
            _refuse(where, f"is no number from {low:g} to {high:g}")

    return check


def _flag(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
    if not isinstance(value, bool):
        _refuse(where, "is neither true nor false")


def _or_null(inner: Check) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if value is not None:
            inner(value, where)

    return check


def _scalar(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
    if isinstance(value, bool) or value is None:
        return
    (_text(1024) if isinstance(value, str) else _real())(value, where)


def _list(item: Check, *, least: int = 0, most: int) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if not isinstance(value, list) or not least <= len(value) <= most:
            _refuse(where, f"is no list of {least} to {most}")
        for index, entry in enumerate(value):
            item(entry, f"{where}[{index}]")

    return check


def _map(value_check: Check, *, most: int) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if not isinstance(value, dict) or len(value) > most:
            _refuse(where, f"is no object of at most {most} entries")
        for key, entry in value.items():
            _text(_LONGEST_KEY, pattern=r"[A-Za-z0-9_.-]+")(key, f"{where}.…")
            value_check(entry, f"{where}.{key}")

    return check


def _record(required: Mapping[str, Check], **optional: Check) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if not isinstance(value, dict):
            _refuse(where, "is no object")
        before = f"{where}." if where else ""
        if missing := sorted(set(required) - set(value)):
            _refuse(before + missing[0], "is missing")
        if unknown := sorted(set(value) - set(required) - set(optional)):
            _refuse(where, f"has a key that is not known: {unknown[0][:80]!r}")
        for key, entry in value.items():
            (required.get(key) or optional[key])(entry, before + key)

    return check


def _class_key(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
    _text(_LONGEST_KEY)(value, where)
    if not value or not value.isprintable() or value != value.strip():
        _refuse(where, "is no name of a class")


def _moment(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
    _text(40)(value, where)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        _refuse(where, "is no moment with its time zone")


def _base64(size: int | None = None, *, most: int = 0) -> Check:
    def check(value: Any, where: str) -> None:  # noqa: ANN401  # whatever the JSON holds
        if not isinstance(value, str) or len(value) > (most or 2 * (size or 0)) or not _BASE64.fullmatch(value):
            _refuse(where, "is no base64 of a size that is expected there")
        try:
            raw = base64.b64decode(value, validate=True)
        except binascii.Error:
            _refuse(where, "is no base64")
        if size is not None and len(raw) != size:
            _refuse(where, f"does not stand for {size} bytes")

    return check


_SHARE: Final = _real(0, 1)
_NAME: Final = _text(_LONGEST_KEY)
_SHA256: Final = _text(64, pattern="[0-9a-f]{64}")
_FACTS: Final = _map(_scalar, most=200)
_DATASET: Final = _record(
    {
        "name": _text(_LONGEST_KEY, pattern=r"[a-z0-9][a-z0-9._-]*"),
        "sha256": _SHA256,
        "train_count": _whole(),
        "test_count": _whole(),
        "synthetic": _flag,
    },
    source=_NAME,
    notes=_text(2000),
)
_BIN: Final = _record({"count": _whole(), "confidence": _or_null(_SHARE), "accuracy": _or_null(_SHARE)})
_CLASS_ROW: Final = _record(
    {"class_key": _class_key, "precision": _SHARE, "recall": _SHARE, "f1": _SHARE, "support": _whole()}
)
_METRICS: Final = _record(
    {
        "accuracy": _SHARE,
        "per_class": _list(_CLASS_ROW, least=2, most=MOST_CLASSES),
        "confusion_matrix": _list(_list(_whole(), most=MOST_CLASSES), most=MOST_CLASSES),
    },
    **dict.fromkeys(("top5_accuracy", "precision_macro", "recall_macro", "f1_macro", "ece"), _or_null(_SHARE)),
    accuracy_without_near_duplicates=_or_null(_SHARE),
    near_duplicate_count=_or_null(_whole()),
    nll=_or_null(_real(0)),
    loss=_or_null(_real(0)),
    most_confused=_list(
        _record({"class_key": _class_key, "predicted": _class_key, "count": _whole(), "share": _SHARE}), most=100
    ),
    reliability=_list(_BIN, most=100),
)
_SCORE_ROW: Final = _record(
    {
        "score": _NAME,
        "test_kept": _SHARE,
        "auroc": _SHARE,
        "detected": _SHARE,
        "sources": _list(_record({"source": _NAME, "auroc": _SHARE, "detected": _SHARE}), most=50),
    },
    threshold=_real(),
)
_MISTAKE: Final = _record(
    {"index": _whole(), "class_key": _class_key, "predicted": _class_key, "confidence": _SHARE},
    loss=_real(0),
    picture=_base64(most=20_000),
)
_VIEWS_ROW: Final = _record(
    {"name": _NAME, "views": _whole(1, 100), "accuracy": _SHARE, "gain": _real(-1, 1), "cost": _real(0)}
)
_PIXEL: Final = _list(_real(-1000, 1000), least=IMAGE_CHANNELS, most=IMAGE_CHANNELS)
_SAMPLE: Final = _record(
    {"image": _base64(_IMAGE_BYTES), "logits": _list(_real(-1e6, 1e6), least=2, most=MOST_CLASSES)}
)
_FILE: Final = _record({"sha256": _SHA256, "bytes": _whole(1)})
_MANIFEST: Final = _record(
    {
        "schema": _whole(1, 1),
        "files": _record(dict.fromkeys(PACKAGE_FILES, _FILE)),
        "architecture": _record({"name": _NAME, "arguments": _FACTS}),
        "class_keys": _list(_class_key, least=2, most=MOST_CLASSES),
        "input_size": _list(_whole(1, 4096), least=3, most=3),
        "mean": _PIXEL,
        "std": _PIXEL,
        "recipe": _NAME,
        "config": _FACTS,
        "seed": _whole(),
        "dataset": _DATASET,
        "versions": _FACTS,
        "hardware": _FACTS,
        "wall_seconds": _real(0),
        "created_at": _moment,
        "parameters": _record({"total": _whole(), "trainable": _whole()}),
        "metrics": _METRICS,
        "calibration": _record({"temperature": _real(1e-6, 1e6)}, split=_NAME),
        "out_of_distribution": _record(
            {"score": _NAME, "threshold": _real()},
            kept_fraction=_SHARE,
            test_kept=_SHARE,
            comparison=_list(_SCORE_ROW, most=20),
        ),
        "golden_samples": _list(_SAMPLE, least=1, most=64),
        "parity": _record(
            {"images": _whole(), "max_abs_logit_difference": _real(0), "top1_identical": _flag},
            tolerance=_real(0),
        ),
    },
    auxiliary_dataset=_DATASET,
    mistakes=_list(_MISTAKE, most=200),
    test_time_augmentation=_list(_VIEWS_ROW, most=20),
    training=_map(_or_null(_whole()), most=20),
)
