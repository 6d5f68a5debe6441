"""The command line of evaluations: `evaluate`. Imports torch only when it runs."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from training.engine.constants import EXIT_FAILED, EXIT_FINISHED, SIGHT_STAGES
from training.engine.events import emit
from training.engine.exceptions import EngineError
from training.engine.fit_command import thread_count


def add_evaluate_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `evaluate`; it sets `run`, a function of the parsed arguments that returns the exit code.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser("evaluate", help="measure a packaged model on a dataset's test split")
    parser.add_argument("--package", required=True, type=Path, help="directory of a model package")
    parser.add_argument("--dataset", required=True, type=Path, help="directory of an imported dataset")
    parser.add_argument("--tta", action="store_true", help="measure test-time augmentation as well")
    parser.add_argument("--output", type=Path, help="directory to create for answers, map and features of the images")
    parser.add_argument("--threads", type=thread_count, help="threads for one operation")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(arguments: argparse.Namespace) -> int:
    import torch  # noqa: PLC0415 - takes seconds; the other commands need none of it

    from training.engine.assess import STAGES  # noqa: PLC0415
    from training.engine.evaluate_package import evaluate_package  # noqa: PLC0415
    from training.engine.run import explain_failure  # noqa: PLC0415

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    stages = (*STAGES, *SIGHT_STAGES) if arguments.output else STAGES
    try:
        report = evaluate_package(
            arguments.package,
            arguments.dataset,
            augments_at_test_time=arguments.tta,
            on_stage=lambda done, message: emit("progress", done=done, total=len(stages), message=message),
            output=arguments.output,
        )
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the caller is told
        reason, detail = explain_failure(error)
        if not isinstance(error, EngineError):
            traceback.print_exc(file=sys.stderr)
        emit("failed", reason=reason, detail=detail)
        return EXIT_FAILED
    emit("finished", report=report)
    return EXIT_FINISHED
