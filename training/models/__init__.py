"""The tables of the training application."""

from training.job_queue import JobQueue
from training.models.canary import Canary
from training.models.dataset import Dataset, DatasetImport
from training.models.evaluation import Evaluation
from training.models.idempotency import IdempotencyKey
from training.models.model_version import ModelVersion, Promotion
from training.models.run import EpochMetric, TrainingRun
from training.models.worker import Worker
from training.transitions import Transition

__all__ = [
    "Canary",
    "Dataset",
    "DatasetImport",
    "EpochMetric",
    "Evaluation",
    "IdempotencyKey",
    "JobQueue",
    "ModelVersion",
    "Promotion",
    "TrainingRun",
    "Transition",
    "Worker",
]
