"""The command `cifarsite-client`: pictures from the command line to the site, answers back as lines or JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

from cifarsite_client.client import Client
from cifarsite_client.errors import CifarsiteError
from cifarsite_client.shapes import Job, Prediction, Refusal

_DONE: Final = 0
_SOME_REFUSED: Final = 1
_FAILED: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0, 1 when some pictures have no answer, 2 when nothing could be done.
    """
    options = _read_options(arguments)
    try:
        with Client(options.url, token=options.token, language=options.lang) as client:
            return int(options.run(client, options))
    except CifarsiteError as error:
        print(f"cifarsite-client: {error}", file=sys.stderr)
        return _FAILED


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cifarsite-client", description="Ask a cifarsite what pictures show.")
    parser.add_argument(
        "--url",
        default=os.environ.get("CIFARSITE_URL", "http://127.0.0.1:8000"),
        help="address of the site (or CIFARSITE_URL)",
    )
    parser.add_argument(
        "--token", default=os.environ.get("CIFARSITE_TOKEN", ""), help="API token (better: CIFARSITE_TOKEN)"
    )
    parser.add_argument("--lang", choices=["en", "fr"], default="en", help="language of the classes' names")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="classify pictures")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help="JPEG, PNG, WEBP, GIF or BMP files")
    predict.add_argument("--keep", action="store_true", help="keep the files too, where the site allows it")
    predict.add_argument("--json", action="store_true", help="one JSON object per line")
    predict.set_defaults(run=_predict)
    batch = commands.add_parser("batch", help="have a worker classify an archive of pictures")
    batch.add_argument("archive", metavar="ARCHIVE", help="a .zip, .tar, .tar.gz or .tar.xz")
    batch.add_argument("--output", default="results.csv", help="where the answers go: .csv or .jsonl (results.csv)")
    batch.set_defaults(run=_batch)
    return parser.parse_args(arguments)


def _predict(client: Client, options: argparse.Namespace) -> int:
    status = _DONE
    results = client.predict_many(options.pictures, keep=options.keep)
    for name, result in zip(options.pictures, results, strict=True):
        if isinstance(result, Refusal):
            status = _SOME_REFUSED
        print(_as_json(name, result) if options.json else _as_line(name, result), flush=True)
    return status


def _batch(client: Client, options: argparse.Namespace) -> int:
    submitted = client.submit_batch(options.archive)
    print(f"batch {submitted.id}", file=sys.stderr)
    ended = client.wait_for_batch(submitted.id, listener=_tell_progress)
    client.download_batch(ended.id, options.output)
    errors = ended.body["errors"]
    print(f"{ended.status}: {ended.done} of {ended.total} answered, {errors} of them with an error → {options.output}")
    if ended.status != "succeeded":
        print(f"cifarsite-client: {ended.detail or ended.status}", file=sys.stderr)
        return _FAILED
    return _SOME_REFUSED if errors else _DONE


def _tell_progress(job: Job) -> None:
    if sys.stderr.isatty():
        print(f"\r{job.status}: {job.done} of {job.total} ", end="", file=sys.stderr, flush=True)


def _as_json(name: str, result: Prediction | Refusal) -> str:
    body = dataclasses.asdict(result)
    return json.dumps({"file": name, "error": body} if isinstance(result, Refusal) else {"file": name, **body})


def _as_line(name: str, result: Prediction | Refusal) -> str:
    if isinstance(result, Refusal):
        return f"{name}\t–\t{result.detail}"
    doubt = "\tmay be none of the classes" if result.out_of_distribution else ""
    return f"{name}\t{result.class_name}\t{result.confidence:.1%}{doubt}"
