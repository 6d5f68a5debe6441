"""A client of a cifarsite: what a picture shows, a person's history, batches and training runs."""

from cifarsite_client.client import Client
from cifarsite_client.errors import CifarsiteError, Fault, RefusedError, UnreachableError
from cifarsite_client.shapes import Job, ModelInfo, Prediction, RankedClass, Refusal

__all__ = [
    "CifarsiteError",
    "Client",
    "Fault",
    "Job",
    "ModelInfo",
    "Prediction",
    "RankedClass",
    "Refusal",
    "RefusedError",
    "UnreachableError",
]
