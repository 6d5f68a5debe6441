"""The command line of datasets: `import`, `demo`, `cifar10` and `stl10`, each telling its progress as events."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from training.engine.cifar10 import download_cifar10
from training.engine.constants import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED
from training.engine.datasets import import_dataset
from training.engine.demo import make_demo
from training.engine.events import emit
from training.engine.exceptions import EngineError
from training.engine.stl10 import download_stl10


class _StopRequestedError(BaseException):
    """SIGTERM or Ctrl-C arrived. Not an `Exception`, so that nothing on the way out mistakes it for a failure."""


def add_dataset_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the dataset sub-commands; each sets `run`, a function of the parsed arguments that returns the exit code.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser("import", help="import an archive or a folder of images")
    parser.add_argument("--name", required=True, help="name of the dataset")
    parser.add_argument("--source", required=True, type=Path, help="archive (.zip, .tar, .tar.gz, .tar.xz) or folder")
    parser.add_argument("--output", required=True, type=Path, help="directory to create")
    parser.add_argument("--notes", default="", help="kept in the manifest")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out unreadable images, and list them")
    parser.set_defaults(run=_run_import)

    parser = subparsers.add_parser("demo", help="draw a small synthetic dataset")
    parser.add_argument("--name", default="demo", help="name of the dataset")
    parser.add_argument("--output", required=True, type=Path, help="directory to create")
    parser.add_argument("--seed", type=_count, default=0)
    parser.add_argument("--train-per-class", type=_positive_count, default=200, help="images")
    parser.add_argument("--test-per-class", type=_positive_count, default=40, help="images")
    parser.set_defaults(run=_run_demo)

    for command, title, run in (("cifar10", "CIFAR-10", _run_cifar10), ("stl10", "STL-10", _run_stl10)):
        parser = subparsers.add_parser(command, help=f"download {title}, checksummed, with torchvision")
        parser.add_argument("--name", default=command, help="name of the dataset")
        parser.add_argument("--output", required=True, type=Path, help="directory to create")
        parser.add_argument("--download-root", required=True, type=Path, help="where the download is kept")
        parser.set_defaults(run=run)


def _run_import(arguments: argparse.Namespace) -> int:
    return _report(
        lambda: import_dataset(
            arguments.source,
            arguments.output,
            name=arguments.name,
            notes=arguments.notes,
            skip_unreadable=arguments.skip_unreadable,
            on_progress=_emit_progress,
        )
    )


def _run_demo(arguments: argparse.Namespace) -> int:
    return _report(
        lambda: make_demo(
            arguments.output,
            name=arguments.name,
            seed=arguments.seed,
            train_per_class=arguments.train_per_class,
            test_per_class=arguments.test_per_class,
            on_progress=_emit_progress,
        )
    )


def _run_cifar10(arguments: argparse.Namespace) -> int:
    emit("progress", done=0, total=1, message="Downloading CIFAR-10")
    return _report(
        lambda: download_cifar10(
            arguments.output, download_root=arguments.download_root, name=arguments.name, on_progress=_emit_progress
        )
    )


def _run_stl10(arguments: argparse.Namespace) -> int:
    emit("progress", done=0, total=1, message="Downloading STL-10")
    return _report(
        lambda: download_stl10(
            arguments.output, download_root=arguments.download_root, name=arguments.name, on_progress=_emit_progress
        )
    )


def _report(make_dataset: Callable[[], dict[str, Any]]) -> int:
    """Run an import, emit how it ended, and return the exit code."""
    previous = {number: signal.signal(number, _request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        manifest = make_dataset()
    except _StopRequestedError:
        emit("stopped", step=0, checkpoint=None)
        return EXIT_STOPPED
    except EngineError as error:
        emit("failed", reason=error.reason, detail=str(error))
        return EXIT_FAILED
    except OSError as error:
        emit("failed", reason="error", detail=f"The dataset could not be written: {error.strerror or error}.")
        return EXIT_FAILED
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    emit("finished", dataset=manifest)
    return EXIT_FINISHED


def _request_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the cleaning up
    raise _StopRequestedError


def _emit_progress(done: int, total: int, message: str) -> None:
    emit("progress", done=done, total=total, message=message)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _positive_count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 100000")
    return value
