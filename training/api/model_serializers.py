"""Shapes of the requests and answers about model versions and promotions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import F, QuerySet
from rest_framework import serializers

from training.api.fields import UploadField, VersionNameField
from training.api.lists import ListQuerySerializer, page_serializer
from training.api.strict import StrictSerializer
from training.choices import ModelState, PromotionKind
from training.models import ModelVersion, Promotion
from training.services import LONGEST_REASON

_TOLD: Final = (
    "architecture",
    "parameters",
    "config",
    "seed",
    "versions",
    "hardware",
    "wall_seconds",
    "calibration",
    "out_of_distribution",
    "parity",
)
"""What a version's detail tells of its manifest as it stands there."""


class VersionQuerySerializer(ListQuerySerializer):
    """Which versions are listed."""

    state = serializers.ChoiceField(choices=ModelState.choices, required=False, help_text="Keeps one state.")


class PromotionQuerySerializer(ListQuerySerializer):
    """Which changes of champion are listed."""

    version = VersionNameField(required=False, help_text="Keeps those in which this version came to answer.")


class PromotionRequestSerializer(StrictSerializer):
    """What somebody wants who promotes a version."""

    accept_class_change = serializers.BooleanField(
        default=False, help_text="Whether it may know other classes than the champion."
    )
    reason = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=LONGEST_REASON,
        help_text="Needed where it is not known to be as accurate as the champion; kept in the record.",
    )


class RollbackRequestSerializer(StrictSerializer):
    """What somebody wants who rolls back."""

    champion = VersionNameField(
        required=False, help_text="The version taken for the champion; another one by now is a conflict."
    )
    reason = serializers.CharField(default="", allow_blank=True, max_length=LONGEST_REASON)


class PackageRequestSerializer(StrictSerializer):
    """A package from elsewhere."""

    file = UploadField(help_text="A .zip, .tar, .tar.gz or .tar.xz with the package's three files.")


class PromotionSerializer(serializers.Serializer[Any]):
    """A change of champion."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    version = serializers.CharField(help_text="The version that came to answer.")
    previous = serializers.CharField(allow_null=True, help_text="The version that answered before.")
    kind = serializers.ChoiceField(choices=PromotionKind.choices)
    reason = serializers.CharField(allow_blank=True)
    by = serializers.CharField(allow_null=True, help_text="null: the command line, or an account that is gone.")


class VersionDataSerializer(serializers.Serializer[Any]):
    """What a version was trained and tested on."""

    name = serializers.CharField()
    sha256 = serializers.CharField(help_text="Versions with the same one were tested on the same images.")
    synthetic = serializers.BooleanField()


class VersionSerializer(serializers.Serializer[Any]):
    """A model version."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=ModelState.choices)
    test_accuracy = serializers.FloatField(min_value=0, max_value=1)
    class_keys = serializers.ListField(child=serializers.CharField(), help_text="In the order of class numbers.")
    recipe = serializers.CharField()
    dataset = VersionDataSerializer()
    run = serializers.IntegerField(allow_null=True, help_text="The run that made it; null: it came from elsewhere.")
    imported_by = serializers.CharField(allow_null=True)
    package_sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()


class FileSerializer(serializers.Serializer[Any]):
    """A file of a package."""

    sha256 = serializers.CharField()
    bytes = serializers.IntegerField()


class VersionDetailSerializer(VersionSerializer):
    """A model version with what it measured, how it was made, and its files."""

    sealed_at = serializers.DateTimeField()
    files = serializers.DictField(child=FileSerializer())
    metrics = serializers.DictField(help_text="Measured on the test images, with the weights as stored.")
    architecture = serializers.DictField()
    parameters = serializers.DictField(child=serializers.IntegerField())
    config = serializers.DictField()
    seed = serializers.IntegerField()
    versions = serializers.DictField(help_text="Of the libraries that made it.")
    hardware = serializers.DictField()
    wall_seconds = serializers.FloatField()
    calibration = serializers.DictField()
    out_of_distribution = serializers.DictField()
    parity = serializers.DictField(help_text="How closely the served graph follows the trained network.")


VersionPageSerializer = page_serializer("ModelVersionPage", VersionSerializer)
PromotionPageSerializer = page_serializer("PromotionPage", PromotionSerializer)


def versions_to_list() -> QuerySet[ModelVersion]:
    """Return versions with what a list tells of their manifests, without the manifests."""
    versions = ModelVersion.objects.select_related("imported_by").defer("manifest")
    return versions.annotate(
        keys=F("manifest__class_keys"),
        recipe=F("manifest__recipe"),
        data_name=F("manifest__dataset__name"),
        data_sha256=F("manifest__dataset__sha256"),
        data_synthetic=F("manifest__dataset__synthetic"),
    )


def version_bodies(versions: Sequence[Any]) -> list[dict[str, Any]]:
    """Return `VersionSerializer`'s shape of several of `versions_to_list`."""
    return [
        {
            "id": version.pk,
            "name": str(version),
            "state": version.state,
            "test_accuracy": version.test_accuracy,
            "class_keys": version.keys,
            "recipe": version.recipe,
            "dataset": {
                "name": version.data_name,
                "sha256": version.data_sha256,
                "synthetic": version.data_synthetic,
            },
            "run": version.run_id,
            "imported_by": version.imported_by and version.imported_by.username,
            "package_sha256": version.package_sha256,
            "created_at": version.created_at,
        }
        for version in versions
    ]


def version_detail(version: Any) -> dict[str, Any]:  # noqa: ANN401  # one of `versions_to_list`, with its notes
    """Return `VersionDetailSerializer`'s shape."""
    manifest = version.manifest
    [body] = version_bodies([version])
    return {
        **body,
        "sealed_at": manifest["created_at"],
        "files": manifest["files"],
        "metrics": manifest["metrics"],
        **{name: manifest[name] for name in _TOLD},
    }


def promotions_to_list() -> QuerySet[Promotion]:
    """Return the record with who asked; versions are named by their keys alone."""
    return Promotion.objects.select_related("by")


def promotion_bodies(promotions: Sequence[Promotion]) -> list[dict[str, Any]]:
    """Return `PromotionSerializer`'s shape of several."""
    return [
        {
            "id": promotion.pk,
            "at": promotion.at,
            "version": f"v{promotion.version_id}",
            "previous": f"v{promotion.previous_id}" if promotion.previous_id else None,
            "kind": promotion.kind,
            "reason": promotion.reason,
            "by": promotion.by and promotion.by.username,
        }
        for promotion in promotions
    ]
