"""Celery tasks: a primary key in, a call out. They acknowledge early; the database's lease does the rest."""

from celery import shared_task

from training import run_work, runner, sweeper, workers
from training.doorbell import END_TRACKING, EXECUTE_IMPORT, EXECUTE_RUN, SWEEP
from training.tracking import MlflowUnavailableError

workers.connect_signals()


@shared_task(name=EXECUTE_RUN)
def execute_run(pk: int) -> None:
    """Train run `pk`."""
    runner.execute_run(pk)


@shared_task(name=EXECUTE_IMPORT)
def execute_import(pk: int) -> None:
    """Carry out import `pk`."""
    runner.execute_import(pk)


@shared_task(name=END_TRACKING, autoretry_for=(MlflowUnavailableError,), retry_backoff=5, max_retries=10)
def end_tracking(pk: int) -> None:
    """Tell MLflow how run `pk` ended."""
    run_work.end_tracking(pk)


@shared_task(name=SWEEP)
def sweep() -> None:
    """Take back lost jobs and ring for those that wait."""
    sweeper.sweep()
