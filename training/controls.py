"""Transfer runs and their controls: what a first phase was worth.

A control has the settings of its run but for the first phase, and sees as many training images: its only phase is as
much longer. The test images are the same, but which of them each run got right is not kept, so the interval is that of
two independent shares, which is somewhat wider than one of pairs would be.

Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", Statistics in Medicine
17, method 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from django.db.models import Max, Sum

from training.choices import JobStatus
from training.models import TrainingRun

Z_95: Final = 1.959964
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Test accuracies of a transfer run and its control.

    Attributes:
        accuracy: Of the transfer run, a fraction.
        control_accuracy: Of the control.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end.
        test_count: Test images.
    """

    accuracy: float
    control_accuracy: float
    low: float
    high: float
    test_count: int

    @property
    def mean(self) -> float:
        """How much better the transfer run is."""
        return self.accuracy - self.control_accuracy


def derive_control(run: TrainingRun) -> dict[str, object]:
    """Return the settings of the control of a transfer run that has ended well: at least one epoch more."""
    seen = run.epochs.filter(phase=1).aggregate(images=Sum("images"))["images"]
    per_epoch = run.epochs.filter(phase=2).aggregate(images=Max("images"))["images"]
    first_phase = {"auxiliary_dataset": "", "auxiliary_epochs": 0, "auxiliary_learning_rate": 0.0}
    config = {name: value for name, value in run.config.items() if name != "recipe"}
    return {**config, **first_phase, "epochs": run.config["epochs"] + max(1, round(seen / per_epoch))}


def find_counterpart(run: TrainingRun) -> TrainingRun | None:
    """Return the run that a control is one of, or the newest control of a transfer run that did not go wrong."""
    if run.control_of is not None:
        return run.control_of
    failed = (JobStatus.FAILED, JobStatus.CANCELLED)
    controls = run.controls.exclude(status__in=failed) if run.is_transfer else TrainingRun.objects.none()
    return controls.order_by("-pk").first()


def measure_difference(run: TrainingRun, counterpart: TrainingRun) -> Difference | None:
    """Compare a transfer run and its control, in either order; None before both have been tested."""
    transfer, control = (counterpart, run) if run.control_of_id == counterpart.pk else (run, counterpart)
    if not transfer.metrics or not control.metrics:
        return None
    test_count = sum(row["support"] for row in transfer.metrics["per_class"])
    accuracy, control_accuracy = transfer.metrics["accuracy"], control.metrics["accuracy"]
    low, high = interval_of_difference(accuracy, control_accuracy, count=test_count)
    return Difference(accuracy, control_accuracy, low, high, test_count)


def interval_of_difference(first: float, second: float, *, count: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares.

    Args:
        first: A fraction of `count` cases.
        second: Likewise.
        count: Cases, at least one.
    """
    (low_1, high_1), (low_2, high_2) = (_interval_of_share(share, count=count) for share in (first, second))
    below = math.hypot(first - low_1, high_2 - second)
    above = math.hypot(high_1 - first, second - low_2)
    return first - second - below, first - second + above


def _interval_of_share(share: float, *, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of one share."""
    square = Z_95**2 / count
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return centre - half, centre + half
