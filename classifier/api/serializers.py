"""Shapes of the classifier's requests and answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import (
    OpenApiExample,
    PolymorphicProxySerializer,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from classifier.images import ImageRejected
from classifier.models import Prediction
from training.api.fields import UploadField
from training.class_names import display_name

_TOP: Final = 3
_NAMES: Final = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_SHARES: Final = [0.951202, 0.020113, 0.010402, 0.000821, 0.001274, 0.000301, 0.000413, 0.000892, 0.012871, 0.001711]
_BEST: Final = [0, 1, 8]


class PictureSerializer(serializers.Serializer[Any]):
    """A picture to classify."""

    file = UploadField(help_text="JPEG, PNG, WEBP, GIF or BMP, of any size within the limits.")


class PicturesSerializer(serializers.Serializer[Any]):
    """Pictures to classify."""

    files = serializers.ListField(
        child=UploadField(), help_text="JPEG, PNG, WEBP, GIF or BMP files; the answers come in their order."
    )


@extend_schema_field({"type": "string", "contentEncoding": "base64"})
class Base64Field(serializers.Field[bytes, str, str, Any]):
    """Bytes as base64, with or without the beginning of a data URL; line breaks are allowed."""

    default_error_messages = {"not_base64": gettext_lazy("This is not base64.")}

    def to_internal_value(self, data: object) -> bytes:
        """Return the bytes.

        Raises:
            ValidationError: it is no base64.
        """
        text = data if isinstance(data, str) else ""
        if text.startswith("data:"):
            text = text.partition(";base64,")[2]
        try:
            decoded = base64.b64decode("".join(text.split()), validate=True)
        except ValueError:
            decoded = b""
        if not decoded:
            self.fail("not_base64")
        return decoded

    def to_representation(self, value: bytes) -> str:
        """Return the base64."""
        return base64.b64encode(value).decode()


class EncodedPictureSerializer(serializers.Serializer[Any]):
    """A picture to classify, in base64."""

    image = Base64Field(help_text="A JPEG, PNG, WEBP, GIF or BMP file in base64, with or without `data:…;base64,`.")

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401  # whatever the JSON holds
        """Refuse what is not asked for.

        Raises:
            ValidationError: there are other keys, or the image is missing or no base64.
        """
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({unknown[0]: [_("There is no such key here.")]}, code="unknown_key")
        return super().to_internal_value(data)


class RankedClassSerializer(serializers.Serializer[Any]):
    """One of the most probable classes."""

    class_id = serializers.IntegerField()
    class_key = serializers.CharField()
    class_name = serializers.CharField()
    confidence = serializers.FloatField(min_value=0, max_value=1)


ANSWER_EXAMPLE: Final[dict[str, Any]] = {
    "class_id": 0,
    "class_name": "airplane",
    "confidence": 0.951202,
    "probabilities": dict(zip(_NAMES, _SHARES, strict=True)),
    "class_key": "airplane",
    "top": [{"class_id": i, "class_key": _NAMES[i], "class_name": _NAMES[i], "confidence": _SHARES[i]} for i in _BEST],
    "out_of_distribution": False,
    "model_version": "v1",
    "model_sha256": "9f2c5a1d0b7e4c3f8a6d2e1b0c9f8e7d6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d",
    "latency_ms": 2.914,
    "prediction_id": 42,
}


@extend_schema_serializer(examples=[OpenApiExample("An airplane", value=ANSWER_EXAMPLE, response_only=True)])
class AnswerSerializer(serializers.Serializer[Any]):
    """What the model says about a picture. Names are in the language asked for; keys never change."""

    class_id = serializers.IntegerField(help_text="Number of the most probable class.")
    class_name = serializers.CharField()
    confidence = serializers.FloatField(min_value=0, max_value=1, help_text="Its calibrated probability.")
    probabilities = serializers.DictField(child=serializers.FloatField(), help_text="By class name; they add up to 1.")
    class_key = serializers.CharField()
    top = RankedClassSerializer(many=True, help_text="The three most probable classes, best first.")
    out_of_distribution = serializers.BooleanField(help_text="The picture may show none of the classes.")
    model_version = serializers.CharField()
    model_sha256 = serializers.CharField(help_text="Hash of the model package that answered.")
    latency_ms = serializers.FloatField(help_text="Milliseconds from the file's bytes to the answer.")
    prediction_id = serializers.IntegerField(help_text="Key of the answer in one's history.")


class ItemFaultSerializer(serializers.Serializer[Any]):
    """Why a picture has no answer."""

    code = serializers.CharField(help_text="What is wrong, for programs.")
    detail = serializers.CharField()


class ItemErrorSerializer(serializers.Serializer[Any]):
    """What stands in the place of an answer."""

    error = ItemFaultSerializer()


class AnswersSerializer(serializers.Serializer[Any]):
    """The answers to several pictures."""

    predictions = PolymorphicProxySerializer(
        component_name="AnswerOrError",
        serializers=[AnswerSerializer, ItemErrorSerializer],
        resource_type_field_name=None,
        many=True,
        help_text="In the order of the files.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "CIFAR-10", value={"num_classes": 10, "classes": {str(i): name for i, name in enumerate(_NAMES)}}
        )
    ]
)
class ClassesSerializer(serializers.Serializer[Any]):
    """The classes that the answering model knows."""

    num_classes = serializers.IntegerField()
    classes = serializers.DictField(child=serializers.CharField(), help_text="Class number → name.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "The shipped model",
            value={
                "model_name": "whitened_cnn",
                "num_classes": 10,
                "input_size": "32x32x3",
                "total_parameters": 1972792,
                "trainable_parameters": 1972504,
                "device": "cpu",
            },
        )
    ]
)
class ModelInfoSerializer(serializers.Serializer[Any]):
    """Technical details of the answering model."""

    model_name = serializers.CharField()
    num_classes = serializers.IntegerField()
    input_size = serializers.CharField(help_text="Height x width x channels.")
    total_parameters = serializers.IntegerField()
    trainable_parameters = serializers.IntegerField()
    device = serializers.CharField()


def item_body(result: Prediction | ImageRejected) -> dict[str, Any]:
    """Return the shape of one item of `AnswersSerializer`: an answer, or why there is none."""
    if isinstance(result, ImageRejected):
        return {"error": {"code": result.code, "detail": str(result.detail)}}
    return answer_body(result)


def answer_body(prediction: Prediction, *, class_keys: Sequence[str] | None = None) -> dict[str, Any]:
    """Return `AnswerSerializer`'s shape in the active language, built directly: this is the site's busiest path.

    Args:
        prediction: The row.
        class_keys: Its model's classes, where the manifest is not loaded.
    """
    keys = prediction.model_version.class_keys if class_keys is None else class_keys
    names = [display_name(key) for key in keys]
    shares: list[float] = prediction.probabilities
    # Rounded shares may tie; the class that was answered comes first.
    best = sorted(range(len(keys)), key=lambda i: (shares[i], i == prediction.class_id), reverse=True)[:_TOP]
    return {
        "class_id": prediction.class_id,
        "class_name": names[prediction.class_id],
        "confidence": prediction.confidence,
        "probabilities": dict(zip(names, shares, strict=True)),
        "class_key": prediction.class_key,
        "top": [{"class_id": i, "class_key": keys[i], "class_name": names[i], "confidence": shares[i]} for i in best],
        "out_of_distribution": prediction.out_of_distribution,
        "model_version": str(prediction.model_version),
        "model_sha256": prediction.model_sha256,
        "latency_ms": prediction.latency_ms,
        "prediction_id": prediction.pk,
    }
