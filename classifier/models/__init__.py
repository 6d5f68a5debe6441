"""The tables of the classifier application."""

from classifier.models.prediction import Prediction

__all__ = ["Prediction"]
