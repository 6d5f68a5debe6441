"""Answering a version's golden samples before it may answer people: the classifier's say in a promotion."""

from __future__ import annotations

import logging

from django.utils.translation import gettext as _

from classifier.inference import ModelNotReady, load_predictor
from training.exceptions import ServiceError
from training.models import ModelVersion

logger = logging.getLogger(__name__)


def replay_golden_samples(version: ModelVersion) -> None:
    """Load a version as the web will, and compare its answers with those that travel in its package.

    Raises:
        ServiceError: it cannot be loaded, or answers otherwise.
    """
    try:
        load_predictor(version)
    except ModelNotReady as error:
        logger.warning("%s", error)
        message = _("%(version)s cannot be promoted: it does not answer here as it did when it was made.")
        raise ServiceError(message % {"version": version}) from error
