"""The command line of training: `fit`. Imports torch only when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.engine.launch import count_devices, is_rank, launch_ranks


def add_fit_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `fit`; it sets `run`, a function of the parsed arguments that returns the exit code.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser("fit", help="train a model and package it")
    parser.add_argument("--config", required=True, type=Path, help="JSON file of a TrainConfig")
    parser.add_argument("--workdir", required=True, type=Path, help="receives checkpoints and the package")
    parser.add_argument("--resume", type=Path, metavar="CHECKPOINT_DIR", help="checkpoint to continue from")
    parser.add_argument(
        "--threads", type=thread_count, help="threads for one operation, shared by the processes on this machine"
    )
    parser.add_argument(
        "--accept-copies", action="store_true", help="train although test images are exact copies of training images"
    )
    parser.add_argument(
        "--keep-all-checkpoints",
        action="store_true",
        help="leave the removal of old checkpoints to the caller, instead of keeping the newest two",
    )
    parser.set_defaults(run=_run_fit)


def _run_fit(arguments: argparse.Namespace) -> int:
    devices = 1 if is_rank() else count_devices(arguments.config)
    if devices > 1:
        return launch_ranks(devices, arguments=arguments.given)
    from training.engine.run import run_fit  # noqa: PLC0415 - torch takes seconds to import; datasets need none of it

    return run_fit(
        config_path=arguments.config,
        workdir=arguments.workdir,
        resume=arguments.resume,
        threads=arguments.threads,
        accept_copies=arguments.accept_copies,
        keep_all_checkpoints=arguments.keep_all_checkpoints,
    )


def thread_count(text: str) -> int:
    """Read a number of threads, as `argparse` wants it."""
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 1024")
    return value
