"""Uploads as they came: kept where the site allows it and their owner asks for it, and for the owner alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.utils.translation import gettext as _

from classifier.models import Original, Prediction
from training.exceptions import ServiceError

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


class OriginalsNotKeptError(ServiceError):
    """Somebody wants a file kept on a site that keeps none."""

    status: ClassVar[int] = 400
    location: ClassVar[str] = "keep"
    code: ClassVar[str] = "not_kept"


def require_keeping() -> None:
    """Make sure that files may be kept here.

    Raises:
        OriginalsNotKeptError: they may not.
    """
    if not settings.KEEP_ORIGINALS:
        raise OriginalsNotKeptError(_("This site keeps no original files. Send the picture without asking for it."))


def attach_original(prediction: Prediction, *, data: bytes, image_format: str) -> None:
    """Join the file to a row that is not saved yet; `attached_originals` finds it there.

    Args:
        prediction: The row.
        data: The file.
        image_format: JPEG, PNG, WEBP, GIF or BMP, by content.
    """
    sha256, media_type = hashlib.sha256(data).hexdigest(), f"image/{image_format.lower()}"
    prediction.original = Original(data=data, sha256=sha256, media_type=media_type)


def attached_originals(predictions: Sequence[Prediction]) -> list[Original]:
    """Return the files that were joined to rows that are not saved yet."""
    return [prediction.original for prediction in predictions if hasattr(prediction, "original")]


def find_original(*, owner: User, pk: int) -> Original | None:
    """Return the file that was kept with one of the owner's predictions, if there is one."""
    kept = Original.objects.owned_by(owner).select_related("prediction")
    return kept.only("data", "sha256", "media_type", "prediction__file_name").filter(pk=pk).first()


def delete_original(*, owner: User, pk: int) -> bool:
    """Delete the file that was kept with one of the owner's predictions, and nothing else; say whether it was there."""
    deleted, _by_table = Original.objects.owned_by(owner).filter(pk=pk).delete()
    return deleted == 1
