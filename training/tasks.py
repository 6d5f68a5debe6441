"""Celery tasks: a primary key in, a call out. They acknowledge early; the database's lease does the rest."""

from celery import shared_task

from training import runner, sweeper, workers
from training.doorbell import EXECUTE_IMPORT, EXECUTE_RUN, SWEEP

workers.connect_signals()


@shared_task(name=EXECUTE_RUN)
def execute_run(pk: int) -> None:
    """Train run `pk`."""
    runner.execute_run(pk)


@shared_task(name=EXECUTE_IMPORT)
def execute_import(pk: int) -> None:
    """Carry out import `pk`."""
    runner.execute_import(pk)


@shared_task(name=SWEEP)
def sweep() -> None:
    """Take back lost jobs and ring for those that wait."""
    sweeper.sweep()
