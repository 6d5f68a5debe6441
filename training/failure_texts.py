"""Why a job failed, in the reader's language: it was stored in English, by a worker that knew no reader."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from training.archive_texts import SENTENCES
from training.sentences import Sentences

FAILURES: Final = Sentences(
    # The worker's.
    gettext_noop("The disk is full."),
    gettext_noop("The worker could not do its part: %(why)s."),
    gettext_noop("The worker was lost %(times)s times in a row without progress."),
    gettext_noop("Nothing was heard of the engine for %(seconds)s seconds, so it was stopped."),
    gettext_noop("Run %(number)s, which it was to follow, did not succeed."),
    gettext_noop("The model package is incomplete or was altered after it was written."),
    gettext_noop("A dataset named %(name)s exists already."),
    # What the end of the engine's process told.
    gettext_noop("The engine ended without a result."),
    gettext_noop("The process was told to stop from outside."),
    gettext_noop("The engine refused its settings; the last log lines say which."),
    gettext_noop("The engine stopped unexpectedly with exit code %(code)s; the last log lines say where."),
    gettext_noop("The process was killed from outside (%(signal)s)."),
    gettext_noop("The engine crashed (%(signal)s); the last log lines may say where."),
    # The engine's, of datasets.
    gettext_noop("'%(name)s' cannot be read: %(why)s."),
    gettext_noop("'%(name)s' is neither an archive nor a folder."),
    gettext_noop("'%(name)s' is the only class; a classifier needs at least two."),
    gettext_noop("Class '%(name)s' has no images in the %(split)s split."),
    gettext_noop("Class '%(name)s' has no readable images in the %(split)s split."),
    gettext_noop("The source has no %(split)s images."),
    gettext_noop("The disk is full: the dataset was not written."),
    # Batches'.
    gettext_noop("The engine did not answer every picture."),
    gettext_noop("The archive is not there any more. Send it again."),
    gettext_noop(
        "Model %(version)s, with which this batch began, cannot be loaded: its package is damaged or gone. "
        "Resume the batch when it is back, or send the pictures again for the present model."
    ),
    gettext_noop("Model %(version)s is not the one with which this batch began. Send the pictures again."),
    *SENTENCES,
)


def explain_failure(detail: str) -> str:
    """Return a stored sentence in the active language; the engine's own where it is none of these."""
    return FAILURES.translate(detail)
