"""What the documentation says of every operation alike: the token's scope, the rate, the `Idempotency-Key`."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from classifier.api.naming import NamingView
from training.api.idempotency import HEADER, REPLAYED
from training.api.scopes import stated_scope

_KEY: Final = OpenApiParameter(
    HEADER,
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="A name of your choice for this request, 1 to 255 visible ASCII characters. Sent again with the same "
    f"name, the request is not carried out again: the answer of the first time is given, with `{REPLAYED}: true`.",
)
_RATE: Final = "Too many requests within a minute; `Retry-After` says when to ask again."
_BAD_LANGUAGE: Final = "`lang` is no language that is spoken here."
_BAD_KEY: Final = "The `Idempotency-Key` is none that is taken."
_IN_FLIGHT: Final = "The request of this `Idempotency-Key` is being carried out."
_REUSED: Final = "The `Idempotency-Key` was given to another request."


class ApiSchema(AutoSchema):
    """The framework's description of a view, with what all views have in common."""

    def get_override_parameters(self) -> list[Any]:
        """Add the header."""
        parameters: list[Any] = super().get_override_parameters()
        return [*parameters, _KEY] if self._is_idempotent() else parameters

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:  # noqa: ANN401  # the package ships no types
        """Add the scope and the refusals."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None or "401" not in operation["responses"]:
            return operation
        if scope := stated_scope(self.view, self.method):
            operation["description"] = f"{operation['description']}\n\nA token needs the scope `{scope}`."
        refusals = [("429", _RATE)]
        if isinstance(self.view, NamingView):
            refusals.append(("400", _BAD_LANGUAGE))
        if self._is_idempotent():
            refusals += [("400", _BAD_KEY), ("409", _IN_FLIGHT), ("422", _REUSED)]
        for status, description in refusals:
            known = operation["responses"].get(status)
            content = operation["responses"]["401"]["content"]
            text = f"{known['description']} {description}" if known else description
            operation["responses"][status] = {"content": content, "description": text}
        return operation

    def _is_idempotent(self) -> bool:
        return getattr(getattr(self.view, self.method.lower(), None), "is_idempotent", False)
