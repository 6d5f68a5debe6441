"""Celery tasks: a primary key in, a call out. They acknowledge early; the database's lease does the rest."""

from celery import shared_task

from training import mirror, retention, runner, sweeper, workers
from training.canary import complete_canary
from training.doorbell import CLEAN, EXECUTE_EVALUATION, EXECUTE_IMPORT, EXECUTE_RUN, MIRROR_CHAMPION, MIRROR_RUN, SWEEP
from training.models import IdempotencyKey
from training.schedule import CANARY_TASK
from training.tracking import MlflowUnavailableError

workers.connect_signals()


@shared_task(name=EXECUTE_RUN)
def execute_run(pk: int) -> None:
    """Train the run whose turn it is; mostly it is run `pk`, for which somebody rang."""
    runner.execute_next_run()


@shared_task(name=EXECUTE_IMPORT)
def execute_import(pk: int) -> None:
    """Carry out the import whose turn it is; mostly it is import `pk`, for which somebody rang."""
    runner.execute_next_import()


@shared_task(name=EXECUTE_EVALUATION)
def execute_evaluation(pk: int) -> None:
    """Carry out the evaluation whose turn it is; mostly it is evaluation `pk`, for which somebody rang."""
    runner.execute_next_evaluation()


@shared_task(name=MIRROR_RUN, throws=(MlflowUnavailableError,))
def mirror_run(pk: int) -> None:
    """Tell MLflow where run `pk` stands; the sweeper repeats it."""
    mirror.mirror_run(pk)


@shared_task(
    name=MIRROR_CHAMPION,
    throws=(MlflowUnavailableError,),
    autoretry_for=(MlflowUnavailableError,),
    retry_backoff=5,
    max_retries=3,
)
def mirror_champion(pk: int) -> None:
    """Let MLflow's alias follow promotion `pk`."""
    mirror.mirror_champion(pk)


@shared_task(name=CANARY_TASK)
def canary(pk: int) -> None:
    """Note that canary `pk` arrived."""
    complete_canary(pk)


@shared_task(name=SWEEP)
def sweep() -> None:
    """Take back lost jobs and ring for those that wait, unless that was done within the last seconds."""
    sweeper.sweep_if_due()


@shared_task(name=CLEAN)
def clean() -> None:
    """Remove what nothing needs any more, once a day."""
    IdempotencyKey.remove_old()
    retention.clean()
