"""The tables of the training application."""

from training.models.dataset import Dataset, DatasetImport
from training.models.model_version import ModelVersion, Promotion
from training.models.run import EpochMetric, TrainingRun
from training.models.worker import Worker

__all__ = ["Dataset", "DatasetImport", "EpochMetric", "ModelVersion", "Promotion", "TrainingRun", "Worker"]
