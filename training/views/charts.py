"""What the charts of learning curves show: how values are written, which columns are drawn, and under which names."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

Line = tuple[str, str]
"""A column of the curves, and the name of its line."""

LOSS: Final = "loss"
ACCURACY: Final = "accuracy"
RATE: Final = "rate"


def charts_of_one_run() -> list[tuple[str, str, list[Line]]]:
    """Return kind, title and lines of each chart of a run's page."""
    return [
        (LOSS, _("Loss"), [("train_loss", _("training")), ("validation_loss", _("validation"))]),
        (ACCURACY, _("Accuracy"), [("train_accuracy", _("training")), ("validation_accuracy", _("validation"))]),
        (RATE, _("Learning rate"), [("learning_rate", "")]),
    ]


def charts_of_several_runs() -> list[tuple[str, str, str]]:
    """Return kind, column and title of each chart in which every run has a line."""
    return [
        (LOSS, "validation_loss", _("Validation loss")),
        (LOSS, "train_loss", _("Training loss")),
        (ACCURACY, "validation_accuracy", _("Validation accuracy")),
        (ACCURACY, "train_accuracy", _("Training accuracy")),
        (RATE, "learning_rate", _("Learning rate")),
    ]
