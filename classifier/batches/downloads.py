"""Answers of a batch as a file that is written while it is sent, so that its length costs no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from django.http import StreamingHttpResponse

from classifier.models import BatchJob
from training.api.files import send_stream


class Form(NamedTuple):
    """A kind of file: the ending of its name, and its media type."""

    ending: str
    media_type: str


CSV: Final = Form("csv", "text/csv")
JSON_LINES: Final = Form("jsonl", "application/jsonl")


def download(job: BatchJob, lines: Callable[[BatchJob], Iterator[str]], *, form: Form) -> StreamingHttpResponse:
    """Answer with a file of the answers that are there by now.

    Args:
        job: The batch.
        lines: Yields parts of the file.
        form: Its kind.
    """
    name = f"batch-{job.pk}.{form.ending}"
    return send_stream(lines(job), content_type=f"{form.media_type}; charset=utf-8", name=name)
