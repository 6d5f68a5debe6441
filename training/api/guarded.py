"""What the API's views of shared things have in common: permissions by method, JSON, documented refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.views import APIView

from training.api.permissions import HasNeededPermission

JSON: Final = "application/json"
REFUSALS: Final = {
    401: "No valid token and no session.",
    403: "The account may not do that, or a session without its CSRF token.",
}
LIST_REFUSALS: Final = {
    400: "A parameter that is unknown or wrong; `errors` names it.",
    **REFUSALS,
    404: "A wrong cursor.",
}


class GuardedView(APIView):
    """A view that takes JSON from accounts with the permissions that it names by method."""

    scope: ClassVar[str]
    permission_classes = (IsAuthenticated, HasNeededPermission)
    parser_classes = (JSONParser,)
    needed: ClassVar[Mapping[str, str]]
