"""Numbers of runs or batches, as an address or a form names them."""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from training.exceptions import ServiceError

Named = Literal["run", "batch"]

_NUMBER: Final = re.compile("[0-9]{1,18}")  # a big integer's digits
_REFUSALS: Final[dict[Named, str]] = {
    "run": gettext_noop("“%(text)s” is no number of a run."),
    "batch": gettext_noop("“%(text)s” is no number of a batch."),
}


class NoNumberError(ServiceError):
    """What should be the number of a run or a batch is none."""

    status: ClassVar[int] = 400


def read_numbers(values: QueryDict, *, name: Named = "run") -> list[int]:
    """Return the numbers that have a name.

    Raises:
        NoNumberError: one is none.
    """
    texts = values.getlist(name)
    for text in texts:
        if not _NUMBER.fullmatch(text):
            raise NoNumberError(_(_REFUSALS[name]) % {"text": text[:40]})
    return [int(text) for text in texts]
