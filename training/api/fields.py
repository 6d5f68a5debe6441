"""Fields that several shapes share."""

from __future__ import annotations

import re
from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

_VERSION: Final = re.compile(r"v?([0-9]{1,18})")
_LARGEST: Final = 10**18 - 1  # a big integer's digits


@extend_schema_field({"type": "string", "pattern": "^v?[0-9]{1,18}$"})
class VersionNameField(serializers.Field[int, str, str, Any]):
    """A model version: `v3` or `3`."""

    default_error_messages = {"invalid": _("Give a model version, such as v3.")}

    def to_internal_value(self, data: object) -> int:
        """Return its key."""
        found = _VERSION.fullmatch(str(data))
        if found is None:
            self.fail("invalid")
        return int(found[1])

    def to_representation(self, value: int) -> str:
        """Return its name."""
        return f"v{value}"


class NumbersField(serializers.ListField):
    """The numbers of rows of one kind, one to `most` of them."""

    def __init__(self, *, most: int) -> None:
        child = serializers.IntegerField(min_value=1, max_value=_LARGEST)
        super().__init__(child=child, min_length=1, max_length=most, help_text=f"Their numbers, at most {most}.")


@extend_schema_field({"type": "string", "format": "binary"})
class UploadField(serializers.FileField):
    """A file that is sent, where the framework's own would be described as one that is linked to."""
