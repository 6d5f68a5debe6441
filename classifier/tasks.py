"""Celery tasks of the classifier: a primary key in, a call out."""

from celery import shared_task

from classifier import runner
from classifier.batches.pipeline import CORES
from classifier.choices import EXECUTE_BATCH
from classifier.inference import champion_slot


@shared_task(name=EXECUTE_BATCH)
def execute_batch(pk: int) -> None:
    """Carry out the batch whose turn it is; mostly it is batch `pk`, for which somebody rang."""
    champion_slot.processes = CORES  # one thread for each picture, and as many pictures at a time
    runner.execute_next_batch()
