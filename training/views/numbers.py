"""Numbers of runs, as an address or a form names them."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from django.http import QueryDict
from django.utils.translation import gettext as _

from training.exceptions import ServiceError

_NUMBER: Final = re.compile("[0-9]{1,18}")  # a big integer's digits


class NoNumberError(ServiceError):
    """What should be the number of a run is none."""

    status: ClassVar[int] = 400


def read_numbers(values: QueryDict) -> list[int]:
    """Return the numbers that are named `run`.

    Raises:
        NoNumberError: one is none.
    """
    texts = values.getlist("run")
    for text in texts:
        if not _NUMBER.fullmatch(text):
            raise NoNumberError(_("“%(text)s” is no number of a run.") % {"text": text[:40]})
    return [int(text) for text in texts]
