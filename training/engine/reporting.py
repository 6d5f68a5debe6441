"""The `step` events of a run: about once a second, how it goes."""

from __future__ import annotations

import time
from typing import Final

from training.engine.events import emit

STEP_EVENT_SECONDS: Final = 1.0


class StepReporter:
    """Emits a `step` event about once a second.

    Args:
        phase: The phase under way.
        step: Steps taken so far.
        loss_sum: The epoch's summed loss so far.
        batch_size: Images in one step.
    """

    def __init__(self, *, phase: int, step: int, loss_sum: float, batch_size: int) -> None:
        self.phase, self.step, self.loss_sum, self.batch_size = phase, step, loss_sum, batch_size
        self.since = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last event is old enough."""
        return time.monotonic() - self.since >= STEP_EVENT_SECONDS

    def report(self, *, epoch: int, step: int, loss_sum: float, learning_rate: float) -> None:
        """Announce the mean loss and the speed since the last event; `epoch` counts from 0."""
        now = time.monotonic()
        images = (step - self.step) * self.batch_size
        emit(
            "step",
            phase=self.phase,
            epoch=epoch + 1,
            step=step,
            loss=(loss_sum - self.loss_sum) / images,
            learning_rate=learning_rate,
            images_per_second=images / (now - self.since),
        )
        self.step, self.loss_sum, self.since = step, loss_sum, now
