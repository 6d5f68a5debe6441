"""The command line of data checks: `check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.engine.constants import EXIT_FAILED, EXIT_FINISHED
from training.engine.data_checks import REPORT_NAME, check_dataset, write_report
from training.engine.events import emit
from training.engine.exceptions import EngineError


def add_check_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check`; it sets `run`, a function of the parsed arguments that returns the exit code.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser("check", help="look for copies, contradictions and empty pictures in a dataset")
    parser.add_argument("--dataset", required=True, type=Path, help="directory of an imported dataset")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="another dataset to compare; repeatable",
    )
    parser.add_argument("--output", type=Path, help=f"file of the report; default: {REPORT_NAME} in the dataset")
    parser.set_defaults(run=_run_check)


def _run_check(arguments: argparse.Namespace) -> int:
    try:
        report = check_dataset(arguments.dataset, against=arguments.against, on_progress=_emit_progress)
        write_report(report, arguments.output or arguments.dataset / REPORT_NAME)
    except EngineError as error:
        emit("failed", reason=error.reason, detail=str(error))
        return EXIT_FAILED
    except OSError as error:
        emit("failed", reason="error", detail=f"The report could not be written: {error.strerror or error}.")
        return EXIT_FAILED
    emit("finished", report=report)
    return EXIT_FINISHED


def _emit_progress(done: int, total: int, message: str) -> None:
    emit("progress", done=done, total=total, message=message)
