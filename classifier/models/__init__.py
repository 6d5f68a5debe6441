"""The tables of the classifier application."""

from classifier.models.batch import BatchItem, BatchJob
from classifier.models.original import Original
from classifier.models.prediction import Prediction
from classifier.models.share import Share

__all__ = ["BatchItem", "BatchJob", "Original", "Prediction", "Share"]
