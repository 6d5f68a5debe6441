"""The API's answers to pictures: one in a form, several in a form, one in base64."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.api.naming import LANGUAGE, NO_MODEL, NamingView
from classifier.api.parsers import PictureJsonParser, json_limit
from classifier.api.serializers import (
    AnswerSerializer,
    AnswersSerializer,
    EncodedPictureSerializer,
    PictureSerializer,
    PicturesSerializer,
    answer_body,
    item_body,
)
from classifier.choices import Source
from classifier.images import ImageRejected
from classifier.models import Prediction
from classifier.services import Upload, classify, classify_many, keep_answers
from classifier.uploads import bound_form
from training.api.bounded import UploadFormParser, bound_body
from training.api.idempotency import idempotent
from training.api.requests import asker
from training.api.serializers import problem_responses

_REFUSALS = {
    401: "No valid token and no session.",
    403: "A session without its CSRF token.",
    413: "Too many bytes or pixels.",
    415: "Not the media type that is asked for, or not a picture that is accepted.",
    422: "A damaged picture.",
    503: f"{NO_MODEL} Or too many pictures come: `overloaded`.",
}

MIRRORED = OpenApiParameter(
    "tta",
    str,
    enum=["0", "1"],
    description="1: the model is asked about the picture's mirror image as well and the logits are averaged (test-time "
    "augmentation). It takes the model twice as long and is right a little more often.",
)

KEPT = OpenApiParameter(
    "keep",
    str,
    enum=["0", "1"],
    description="1: the file itself is kept as well, for its owner alone, until it or the prediction is deleted. Only "
    "where the site is set to allow it.",
)
_NOT_KEPT = "Or `keep=1` where no files are kept: `not_kept`."


class PredictView(NamingView):
    """Classify a picture."""

    scope = "predict"
    rate = "predict"
    parser_classes = (UploadFormParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the upload before anything, the check of the session's CSRF token included, reads it."""
        bound_form(request._request, pictures=1, max_bytes=settings.IMAGE_MAX_BYTES)  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="predict",
        tags=["Pictures"],
        summary="Classify a picture",
        description="Classifies one picture and keeps the answer in the caller's history.",
        parameters=[LANGUAGE, MIRRORED, KEPT],
        request={"multipart/form-data": PictureSerializer},
        responses={
            (200, "application/json"): AnswerSerializer,
            **problem_responses(
                descriptions={
                    400: (
                        "No file, more than one, a file without a usable name, or a form that cannot be read. "
                        f"{_NOT_KEPT}"
                    ),
                    **_REFUSALS,
                }
            ),
        },
    )
    @idempotent(prepare="classify")
    def post(self, request: Request, answer: Prediction) -> Response:
        """Answer with the classes' probabilities."""
        keep_answers([answer])
        return Response(answer_body(answer))

    def classify(self, request: Request) -> Prediction:
        """Find the answer, which is not kept yet."""
        return classify(
            owner=asker(request),
            upload=_read(_only_file(request), keep=_is_on(request, KEPT)),
            source=Source.API,
            mirrored=_is_on(request, MIRRORED),
        )


class BatchPredictView(NamingView):
    """Classify several pictures."""

    scope = "predict"
    rate = "batch"
    parser_classes = (UploadFormParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the upload before anything reads it."""
        pictures, most = settings.BATCH_MAX_IMAGES, settings.BATCH_MAX_BYTES
        bound_form(request._request, pictures=pictures, max_bytes=most)  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="batch_predict",
        tags=["Pictures"],
        summary="Classify several pictures",
        description=(
            "Classifies up to 32 pictures, or as many as the site is set to, and keeps the answers in the caller's "
            "history. The answers come in the order of the files; in place of one that was refused stands its error."
        ),
        parameters=[LANGUAGE, MIRRORED, KEPT],
        request={"multipart/form-data": PicturesSerializer},
        responses={
            (200, "application/json"): AnswersSerializer,
            **problem_responses(
                descriptions={
                    400: f"No file, too many, or a form that cannot be read. {_NOT_KEPT}",
                    **{status: _REFUSALS[status] for status in (401, 403, 413, 503)},
                    415: "Not a form.",
                }
            ),
        },
    )
    @idempotent(prepare="classify")
    def post(self, request: Request, answers: list[Prediction | ImageRejected]) -> Response:
        """Answer for each picture."""
        keep_answers(answers)
        return Response({"predictions": [item_body(answer) for answer in answers]})

    def classify(self, request: Request) -> list[Prediction | ImageRejected]:
        """Find the answers, which are not kept yet."""
        keep, mirrored = _is_on(request, KEPT), _is_on(request, MIRRORED)
        uploads = [_read(file, keep=keep) for file in _several_files(request)]
        return classify_many(owner=asker(request), uploads=uploads, source=Source.API, mirrored=mirrored)


class EncodedPredictView(NamingView):
    """Classify a picture in base64."""

    scope = "predict"
    rate = "predict"
    parser_classes = (PictureJsonParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the body before anything reads it."""
        bound_body(request._request, limit=json_limit())  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="predict_base64",
        tags=["Pictures"],
        summary="Classify a picture in base64",
        description="As “Classify a picture”, for programs that speak JSON alone.",
        parameters=[LANGUAGE, MIRRORED, KEPT],
        request={"application/json": EncodedPictureSerializer},
        responses={
            (200, "application/json"): AnswerSerializer,
            **problem_responses(
                descriptions={400: f"No JSON, unknown keys, or an image that is not base64. {_NOT_KEPT}", **_REFUSALS}
            ),
        },
    )
    @idempotent(prepare="classify")
    def post(self, request: Request, answer: Prediction) -> Response:
        """Answer with the classes' probabilities."""
        keep_answers([answer])
        return Response(answer_body(answer))

    def classify(self, request: Request) -> Prediction:
        """Find the answer, which is not kept yet."""
        body = EncodedPictureSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        upload = Upload(data=body.validated_data["image"], name=None, keep=_is_on(request, KEPT))
        return classify(owner=asker(request), upload=upload, source=Source.API, mirrored=_is_on(request, MIRRORED))


def _is_on(request: Request, parameter: OpenApiParameter) -> bool:
    given = request.query_params.get(parameter.name, "0")
    if given in {"0", "1"}:
        return given == "1"
    raise ValidationError({parameter.name: [_("Give 0 or 1.")]}, code="invalid_choice")


def _read(file: UploadedFile[Any], *, keep: bool) -> Upload:
    return Upload(data=file.read(), name=file.name or "", keep=keep)


def _only_file(request: Request) -> UploadedFile[Any]:
    files = request.FILES.getlist("file")
    if len(files) == 1:
        return cast("UploadedFile[Any]", files[0])
    message = _("Give one picture at a time.") if files else _("Give a picture, with its name, in the field “file”.")
    raise ValidationError({"file": [message]}, code="too_many" if files else "required")


def _several_files(request: Request) -> list[UploadedFile[Any]]:
    files = request.FILES.getlist("files")
    limit = settings.BATCH_MAX_IMAGES
    if 0 < len(files) <= limit:
        return cast("list[UploadedFile[Any]]", files)
    if files:
        message = ngettext(
            "Give at most %(limit)d picture at a time.", "Give at most %(limit)d pictures at a time.", limit
        ) % {"limit": limit}
        raise ValidationError({"files": [message]}, code="too_many")
    raise ValidationError({"files": [_("Give pictures, with their names, in the field “files”.")]}, code="required")
