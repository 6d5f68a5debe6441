"""The command line of batches: `predict`. Imports torch only when it runs."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

from training.engine.archive_rules import DEFAULT_LIMITS, ArchiveError, ArchiveLimits
from training.engine.constants import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED
from training.engine.events import emit
from training.engine.exceptions import EngineError
from training.engine.fit_command import thread_count
from training.engine.photograph import ImageLimits
from training.engine.picture_entries import LABELS_NAME

_LABELS_BYTES = 32 * 1024 * 1024


class _StopRequestedError(BaseException):
    """SIGTERM or Ctrl-C arrived. Not an `Exception`, so that nothing on the way out mistakes it for a failure."""


def add_predict_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `predict`; it sets `run`, a function of the parsed arguments that returns the exit code.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser("predict", help="answer the pictures of an archive with a packaged model")
    parser.add_argument("--package", required=True, type=Path, help="directory of a model package")
    parser.add_argument("--archive", required=True, type=Path, help="a .zip, .tar, .tar.gz or .tar.xz with pictures")
    parser.add_argument("--skip", type=int, default=0, help="so many of its pictures are answered already")
    parser.add_argument("--max-entries", type=int, default=DEFAULT_LIMITS.max_entries)
    parser.add_argument("--max-total-bytes", type=int, default=DEFAULT_LIMITS.max_total_bytes)
    parser.add_argument("--max-entry-bytes", type=int, default=DEFAULT_LIMITS.max_entry_bytes)
    parser.add_argument("--max-image-bytes", type=int, default=ImageLimits().max_bytes)
    parser.add_argument("--max-image-pixels", type=int, default=ImageLimits().max_pixels)
    parser.add_argument("--threads", type=thread_count, help="threads for one operation")
    parser.set_defaults(run=_run_predict)


def _run_predict(arguments: argparse.Namespace) -> int:
    import torch  # noqa: PLC0415 - takes seconds; the other commands need none of it

    from training.engine.predict_package import PredictRequest, predict_archive  # noqa: PLC0415
    from training.engine.run import explain_failure  # noqa: PLC0415

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    request = PredictRequest(
        package=arguments.package,
        archive=arguments.archive,
        skip=arguments.skip,
        archive_limits=ArchiveLimits(
            max_entries=arguments.max_entries,
            max_total_bytes=arguments.max_total_bytes,
            max_entry_bytes=arguments.max_entry_bytes,
            named_entry_bytes={LABELS_NAME: _LABELS_BYTES},
        ),
        image_limits=ImageLimits(max_bytes=arguments.max_image_bytes, max_pixels=arguments.max_image_pixels),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _request_stop)
    try:
        predict_archive(request, on_answers=lambda answers: emit("answers", answers=answers))
    except _StopRequestedError:
        emit("stopped", step=0, checkpoint=None)
        return EXIT_STOPPED
    except ArchiveError as error:
        emit("failed", reason="bad_archive", detail=str(error))
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the caller is told
        reason, detail = explain_failure(error)
        if not isinstance(error, EngineError):
            traceback.print_exc(file=sys.stderr)
        emit("failed", reason=reason, detail=detail)
        return EXIT_FAILED
    emit("finished")
    return EXIT_FINISHED


def _request_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the way out
    raise _StopRequestedError
