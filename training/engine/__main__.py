"""`python -m training.engine`: train and evaluate models, import and check datasets without the site.

Each command prints one JSON event a line on standard output; everything for people goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from training.engine.check_command import add_check_command
from training.engine.dataset_commands import add_dataset_commands
from training.engine.evaluate_command import add_evaluate_command
from training.engine.fit_command import add_fit_command
from training.engine.predict_command import add_predict_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 finished, 75 stopped, 1 failed, 2 wrong arguments.

    Args:
        arguments: Command line without the program's name; the process's own when None.
    """
    parser = argparse.ArgumentParser(prog="python -m training.engine", description=__doc__.partition("\n")[0])
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    add_fit_command(subparsers)
    add_dataset_commands(subparsers)
    add_check_command(subparsers)
    add_evaluate_command(subparsers)
    add_predict_command(subparsers)
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser.parse_args(given, argparse.Namespace(given=given))
    return int(parsed.run(parsed))


if __name__ == "__main__":
    sys.exit(main())
