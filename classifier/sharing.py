"""Links by which a person shows one answer to others: made, found and taken back by the prediction's owner."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from classifier.models import Prediction, Share

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

TOKEN_BYTES: Final = 32
"""Random bytes of a link: nobody finds one by guessing."""


def share_prediction(*, owner: User, pk: int) -> Share:
    """Return the link to one of the owner's predictions, which is made if there is none yet.

    Raises:
        Prediction.DoesNotExist: the owner has no such prediction.
    """
    prediction = Prediction.objects.owned_by(owner).only("pk").get(pk=pk)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    share, _made = Share.objects.get_or_create(prediction=prediction, defaults={"token": token})
    return share


def find_share(*, owner: User, pk: int) -> Share | None:
    """Return the link to one of the owner's predictions, if there is one."""
    return Share.objects.filter(prediction__owner=owner, pk=pk).first()


def revoke_share(*, owner: User, pk: int) -> bool:
    """Take the link to one of the owner's predictions back, for good; say whether there was one."""
    deleted, _by_table = Share.objects.filter(prediction__owner=owner, pk=pk).delete()
    return deleted == 1


def find_shared(token: str) -> Prediction | None:
    """Return the prediction behind a link, with its model version, as anybody may see it.

    A link of a closed account leads nowhere.
    """
    shown = Prediction.objects.filter(share__token=token, owner__is_active=True)
    return shown.select_related("model_version").defer("pixels", "file_name", "label_key").first()
