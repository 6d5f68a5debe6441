"""The classifier's API: an answer to a picture, the classes, the model. Each view is a few lines around a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, DataAndFiles
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.language import DEFAULT, PARAMETER, requested_language
from classifier.api.serializers import (
    AnswerSerializer,
    ClassesSerializer,
    ModelInfoSerializer,
    PictureSerializer,
    answer_body,
)
from classifier.choices import Source
from classifier.inference import predictor
from classifier.services import predict
from classifier.uploads import bound_upload
from training.api.serializers import problem_responses
from training.class_names import display_name

_LANGUAGE = OpenApiParameter(
    PARAMETER,
    str,
    enum=["en", "fr"],
    description="Language of the classes' names. Without it `Accept-Language` decides; without either, English.",
)
_NO_MODEL = "No model is ready yet; `Retry-After` says when to ask again."


class NamingView(APIView):
    """A view whose answer holds names of classes, in the language that the program asks for."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401
        """Answer in the requested language; a wrong one is refused in English."""
        try:
            language, self._language_error = requested_language(request), None
        except ValidationError as error:
            language, self._language_error = DEFAULT, error
        with translation.override(language):
            response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Language"] = language
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Refuse a wrong language once the refusal can be answered properly."""
        if self._language_error is not None:
            raise self._language_error
        super().initial(request, *args, **kwargs)


class PictureParser(BaseParser):
    """Reads the form of a picture's upload; see `classifier.uploads`."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> DataAndFiles[Any, Any]:
        """Return fields and files."""
        assert parser_context is not None  # noqa: S101  # the framework always gives one
        request: HttpRequest = parser_context["request"]._request  # its documented attribute
        return DataAndFiles(*request.parse_file_upload(request.META, cast("Any", stream)))


class PredictView(NamingView):
    """Classify a picture."""

    parser_classes = (PictureParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the upload before anything, the check of the session's CSRF token included, reads it."""
        bound_upload(request._request)  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="predict",
        tags=["Pictures"],
        summary="Classify a picture",
        description="Classifies one picture and keeps the answer in the caller's history.",
        parameters=[_LANGUAGE],
        request={"multipart/form-data": PictureSerializer},
        responses={
            (200, "application/json"): AnswerSerializer,
            **problem_responses(
                descriptions={
                    400: "No file, more than one, a file without a usable name, or a form that cannot be read.",
                    401: "No valid token and no session.",
                    403: "A session without its CSRF token.",
                    413: "Too many bytes or pixels.",
                    415: "Not a multipart form, or not a picture that is accepted.",
                    422: "A damaged picture.",
                    503: _NO_MODEL,
                }
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Answer with the classes' probabilities."""
        file = _only_file(request)
        owner = cast("Any", request.user)  # signed in, or the view would not have been reached
        prediction = predict(owner=owner, data=file.read(), file_name=file.name or "", source=Source.API)
        return Response(answer_body(prediction))


def _only_file(request: Request) -> UploadedFile[Any]:
    files = request.FILES.getlist("file")
    if len(files) == 1:
        return cast("UploadedFile[Any]", files[0])
    message = _("Give one picture at a time.") if files else _("Give a picture, with its name, in the field “file”.")
    raise ValidationError({"file": [message]}, code="too_many" if files else "required")


class ClassesView(NamingView):
    """The classes that the answering model knows."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="classes",
        tags=["Model"],
        summary="List the classes",
        parameters=[_LANGUAGE],
        auth=[],
        responses={(200, "application/json"): ClassesSerializer, **problem_responses(descriptions={503: _NO_MODEL})},
    )
    def get(self, request: Request) -> Response:
        """List them by number."""
        keys = predictor().package.class_keys
        return Response(
            {"num_classes": len(keys), "classes": {str(i): display_name(key) for i, key in enumerate(keys)}}
        )


class ModelInfoView(APIView):
    """The model that answers."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="model_info",
        tags=["Model"],
        summary="Describe the model",
        auth=[],
        responses={(200, "application/json"): ModelInfoSerializer, **problem_responses(descriptions={503: _NO_MODEL})},
    )
    def get(self, request: Request) -> Response:
        """Describe it."""
        manifest = predictor().package.raw
        channels, height, width = manifest["input_size"]
        return Response(
            {
                "model_name": manifest["architecture"]["name"],
                "num_classes": len(manifest["class_keys"]),
                "input_size": f"{height}x{width}x{channels}",
                "total_parameters": manifest["parameters"]["total"],
                "trainable_parameters": manifest["parameters"]["trainable"],
                "device": "cpu",
            }
        )
