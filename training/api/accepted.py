"""The answer to whoever has just queued a job."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework.response import Response

from training.jobs import Job


def answer_accepted(job: Job, *, body: dict[str, Any], address: str) -> Response:
    """Answer that a job was queued, where it is, and in `broker_reached` whether a worker could be woken.

    Args:
        job: The job, with its bell.
        body: What is told of it.
        address: Where it can be asked about.
    """

    def tell() -> None:
        body["broker_reached"] = job.bell is not None and job.bell.was_heard is True

    tell()
    transaction.on_commit(tell)  # the bell is rung only then, and was before this if there is no transaction
    return Response(body, status=202, headers={"Location": address})
