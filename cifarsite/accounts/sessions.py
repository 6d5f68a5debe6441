"""Sessions that know whose they are, so that they go with their account.

Source: Django's documentation, "Extending database-backed session engines".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore

if TYPE_CHECKING:
    from cifarsite.accounts.models import Session


class SessionStore(DatabaseSessionStore):
    """Django's own store in the database, with the key of whoever is signed in beside the data."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        """Return the model; imported only now, since the model's module names this store."""
        from cifarsite.accounts.models import Session  # noqa: PLC0415

        return Session

    def create_model_instance(self, data: Mapping[str, Any]) -> Session:
        """Return the row to be written."""
        row: Any = super().create_model_instance(dict(data))
        row.owner_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        return row  # type: ignore[no-any-return]
