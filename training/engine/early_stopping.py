"""Counting epochs without improvement: to end a run early, or to lower its learning rate on a plateau."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Mode = Literal["min", "max"]


@dataclass(slots=True)
class EarlyStopping:
    """Watches one figure, epoch by epoch (Prechelt 1998, "Early Stopping — But When?").

    Attributes:
        patience: Epochs in a row without improvement after which it is time to stop; at least 1.
        min_delta: The figure must become better than the best by more than this to improve.
        mode: Whether small or large figures are good.
        best: The best figure so far; None before the first.
        bad_epochs: Epochs in a row without improvement.
    """

    patience: int = 10
    min_delta: float = 0.001
    mode: Mode = "min"
    best: float | None = None
    bad_epochs: int = 0

    @property
    def is_time(self) -> bool:
        """Whether patience is exhausted."""
        return self.bad_epochs >= self.patience

    def observe(self, value: float) -> None:
        """Take one epoch's figure."""
        if self.best is None or self._gain(value, over=self.best) > self.min_delta:
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1

    def state_dict(self) -> dict[str, float | int | None]:
        """Return what changes during a run, ready for JSON."""
        state = asdict(self)
        return {name: state[name] for name in ("best", "bad_epochs")}

    def load_state_dict(self, state: dict[str, float | int | None]) -> None:
        """Continue from what `state_dict` returned."""
        self.best, self.bad_epochs = state["best"], int(state["bad_epochs"] or 0)

    def _gain(self, value: float, *, over: float) -> float:
        return over - value if self.mode == "min" else value - over


class Plateau:
    """Counts how often a figure has stopped improving: each time is a reason to lower the learning rate.

    Args:
        watch: What decides that improvement has stopped.
    """

    def __init__(self, watch: EarlyStopping) -> None:
        self.watch, self.count = watch, 0

    def observe(self, value: float) -> None:
        """Take one epoch's figure; after a plateau the patience starts anew."""
        self.watch.observe(value)
        if self.watch.is_time:
            self.count, self.watch.bad_epochs = self.count + 1, 0

    def state_dict(self) -> dict[str, float | int | None]:
        """Return what changes during a run, ready for JSON."""
        return {**self.watch.state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, float | int | None]) -> None:
        """Continue from what `state_dict` returned."""
        self.watch.load_state_dict(state)
        self.count = int(state["count"] or 0)
