"""What views share whose answers hold names of classes: the language, and the sentence about a missing model."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from classifier.api.language import PARAMETER, accepted_language, requested_language

LANGUAGE: Final = OpenApiParameter(
    PARAMETER,
    str,
    enum=["en", "fr"],
    description="Language of the classes' names. Without it `Accept-Language` decides; without either, English.",
)
NO_MODEL: Final = "No model is ready yet; `Retry-After` says when to ask again."


class NamingView(APIView):
    """A view whose answer holds names of classes, in the language that the program asks for."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401
        """Answer in the requested language; a wrong one is refused in that of `Accept-Language`."""
        try:
            language, self._language_error = requested_language(request), None
        except ValidationError as error:
            language, self._language_error = accepted_language(request), error
        with translation.override(language):
            response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Language"] = language
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Refuse a wrong language once the refusal can be answered properly."""
        if self._language_error is not None:
            raise self._language_error
        super().initial(request, *args, **kwargs)
