"""Running the engine for a command that waits for it: its progress is shown, its failure is the command's."""

from __future__ import annotations

from subprocess import PIPE

from django.core.management.base import CommandError

from training.engine.events import FinishedEvent, parse_line
from training.management.following import INTERRUPTED, Display
from training.processes import engine_command, kill_group, spawn
from training.supervisor import engine_environment
from training.verdicts import count_oom_kills, judge_exit


def run_engine(*arguments: str, display: Display) -> FinishedEvent:
    """Run the engine in a process of its own until it ends.

    Args:
        *arguments: Its command and options.
        display: Shows its progress; what it writes to standard error goes to this process's.

    Raises:
        CommandError: it failed, in one sentence.
        SystemExit: Ctrl-C: the engine is stopped.
    """
    oom_kills = count_oom_kills()
    process = spawn(engine_command(*arguments), env=engine_environment(), stdout=PIPE)
    finished: FinishedEvent | None = None
    try:
        for line in process.stdout or ():
            event = parse_line(line)
            if event is None:
                continue
            if event["event"] == "failed":
                raise CommandError(event["detail"])
            if event["event"] == "finished":
                finished = event
            else:
                display.show_event(event)
        code = process.wait()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        kill_group(process)
    if finished is None:
        raise CommandError(judge_exit(code, oom_killed=count_oom_kills() > oom_kills).detail)
    return finished
