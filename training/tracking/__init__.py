"""MLflow: under which names it knows things, how it is spoken to, and what follows a run as it trains."""

from training.tracking.names import RunDescription, name_parameters
from training.tracking.store import EXPERIMENT, MODEL, MlflowUnavailableError, TrackedState
from training.tracking.tracker import CLOSE_SECONDS, Tracker

__all__ = [
    "CLOSE_SECONDS",
    "EXPERIMENT",
    "MODEL",
    "MlflowUnavailableError",
    "RunDescription",
    "TrackedState",
    "Tracker",
    "name_parameters",
]
