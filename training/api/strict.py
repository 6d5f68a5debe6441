"""Shapes that refuse what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses keys that it does not know: a misspelt option must not be taken for none."""

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401  # whatever was sent
        """Check the keys, then the values."""
        unknown = set(data) - set(self.fields) if isinstance(data, Mapping) else set()
        if unknown:
            message = _("This is not known here; allowed are %(known)s.") % {"known": ", ".join(self.fields)}
            raise serializers.ValidationError({str(key): [message] for key in sorted(unknown)}, code="unknown")
        return super().to_internal_value(data)
