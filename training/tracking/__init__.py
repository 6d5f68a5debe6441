"""MLflow: under which names it knows things, how it is spoken to, and what follows a run as it trains."""

from training.tracking.follower import CLOSE_SECONDS, Follower
from training.tracking.names import RunDescription, name_parameters
from training.tracking.store import EXPERIMENT, MODEL, MlflowUnavailableError, TrackedState

__all__ = [
    "CLOSE_SECONDS",
    "EXPERIMENT",
    "MODEL",
    "Follower",
    "MlflowUnavailableError",
    "RunDescription",
    "TrackedState",
    "name_parameters",
]
