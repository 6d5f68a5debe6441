"""Celery tasks of the classifier: a primary key in, a call out."""

from celery import shared_task

from classifier import runner
from classifier.choices import EXECUTE_BATCH


@shared_task(name=EXECUTE_BATCH)
def execute_batch(pk: int) -> None:
    """Carry out the batch whose turn it is; mostly it is batch `pk`, for which somebody rang."""
    runner.execute_next_batch()
