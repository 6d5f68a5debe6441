"""Shapes of the requests and answers about datasets and their imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from training.api.fields import UploadField
from training.api.lists import ListQuerySerializer, page_serializer
from training.api.run_serializers import ProgressSerializer, TransitionSerializer
from training.api.strict import StrictSerializer
from training.choices import ImportSource, JobStatus, Reason
from training.models import Dataset, DatasetImport
from training.models.dataset import validate_name


class ImportQuerySerializer(ListQuerySerializer):
    """Which imports are listed."""

    status = serializers.ChoiceField(choices=JobStatus.choices, required=False, help_text="Keeps one state.")


class ImportRequestSerializer(StrictSerializer):
    """A dataset to make: from an archive that is sent, or from a source that the worker reaches."""

    name = serializers.CharField(max_length=63, validators=[validate_name])
    source = serializers.ChoiceField(choices=ImportSource.choices)
    file = UploadField(required=False, help_text="The archive, for the source `archive`.")
    skip_unreadable = serializers.BooleanField(
        default=False, help_text="Whether unreadable images are left out instead of ending the import."
    )
    notes = serializers.CharField(default="", allow_blank=True, max_length=500)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Make sure that an archive, and only an archive, comes with a file.

        Raises:
            ValidationError: it does not.
        """
        if attrs["source"] == ImportSource.ARCHIVE and "file" not in attrs:
            raise serializers.ValidationError({"file": [_("Send the archive in the field “file”.")]}, code="required")
        if attrs["source"] != ImportSource.ARCHIVE and "file" in attrs:
            raise serializers.ValidationError({"file": [_("This source takes no archive.")]}, code="unexpected")
        return attrs


class DatasetSerializer(serializers.Serializer[Any]):
    """A dataset."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    sha256 = serializers.CharField(help_text="Hash of its manifest.")
    synthetic = serializers.BooleanField()
    class_keys = serializers.ListField(child=serializers.CharField(), help_text="In the order of class numbers.")
    train_count = serializers.IntegerField()
    test_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field that is named as an attribute of every field."""
        return {**super().get_fields(), "source": serializers.CharField(help_text="How it was made.")}


class SplitSerializer(serializers.Serializer[Any]):
    """Half of a dataset."""

    count = serializers.IntegerField()
    per_class = serializers.DictField(child=serializers.IntegerField(), help_text="Images by class key.")


class DatasetDetailSerializer(DatasetSerializer):
    """A dataset with its counts and the report of its checks."""

    splits = serializers.DictField(child=SplitSerializer(), help_text="`train` and `test`.")
    mean = serializers.ListField(child=serializers.FloatField(), help_text="Of the training images, by colour.")
    std = serializers.ListField(child=serializers.FloatField())
    notes = serializers.CharField(allow_blank=True)
    skipped = serializers.ListField(help_text="Files that were left out.")
    checks = serializers.DictField(help_text="The report of the checks; empty when there was none.")
    exact_copies = serializers.IntegerField(help_text="Test images that are copies of training images.")
    copies_accepted_at = serializers.DateTimeField(allow_null=True)
    copies_accepted_by = serializers.CharField(allow_null=True)


class ImportSerializer(serializers.Serializer[Any]):
    """A job that makes a dataset."""

    id = serializers.IntegerField()
    name = serializers.CharField(help_text="Of the dataset to be.")
    status = serializers.ChoiceField(choices=JobStatus.choices)
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True, help_text="Why it ended other than well.")
    detail = serializers.CharField(allow_blank=True, help_text="The same in a sentence.")
    owner = serializers.CharField(allow_null=True, help_text="null: the command line asked.")
    skip_unreadable = serializers.BooleanField()
    notes = serializers.CharField(allow_blank=True)
    cancel_requested = serializers.BooleanField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    progress = ProgressSerializer()
    dataset = serializers.IntegerField(allow_null=True, help_text="Number of the dataset that it made.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field that is named as an attribute of every field."""
        return {**super().get_fields(), "source": serializers.ChoiceField(choices=ImportSource.choices)}


class ImportDetailSerializer(ImportSerializer):
    """An import with its history."""

    history = TransitionSerializer(many=True, help_text="Every change of its state, the oldest first.")


class AcceptedImportSerializer(ImportDetailSerializer):
    """An import that was queued."""

    broker_reached = serializers.BooleanField(
        help_text="Whether a worker could be woken. If not, it is kept and starts once the message broker answers."
    )


DatasetPageSerializer = page_serializer("DatasetPage", DatasetSerializer)
ImportPageSerializer = page_serializer("ImportPage", ImportSerializer)


def datasets_to_list() -> QuerySet[Dataset]:
    """Return datasets with what a list tells of their manifests, without these."""
    return Dataset.objects.defer("manifest", "checks").annotate(
        origin=F("manifest__source"), keys=F("manifest__class_keys")
    )


def imports_to_list() -> QuerySet[DatasetImport]:
    """Return imports with who asked."""
    return DatasetImport.objects.select_related("owner").defer("log_tail")


def dataset_bodies(datasets: Sequence[Any]) -> list[dict[str, Any]]:
    """Return `DatasetSerializer`'s shape of several of `datasets_to_list`."""
    return [
        {
            "id": dataset.pk,
            "name": dataset.name,
            "sha256": dataset.sha256,
            "source": dataset.origin,
            "synthetic": dataset.synthetic,
            "class_keys": dataset.keys,
            "train_count": dataset.train_count,
            "test_count": dataset.test_count,
            "created_at": dataset.created_at,
        }
        for dataset in datasets
    ]


def dataset_detail(dataset: Any) -> dict[str, Any]:  # noqa: ANN401  # one of `datasets_to_list`, with all of it
    """Return `DatasetDetailSerializer`'s shape."""
    manifest = dataset.manifest
    [body] = dataset_bodies([dataset])
    return {
        **body,
        **{name: manifest[name] for name in ("splits", "mean", "std", "skipped")},
        "notes": manifest.get("notes", ""),
        "checks": dataset.checks,
        "exact_copies": dataset.exact_copies,
        "copies_accepted_at": dataset.copies_accepted_at,
        "copies_accepted_by": dataset.copies_accepted_by and dataset.copies_accepted_by.username,
    }


def import_bodies(jobs: Sequence[DatasetImport]) -> list[dict[str, Any]]:
    """Return `ImportSerializer`'s shape of several."""
    return [
        {
            "id": job.pk,
            "name": job.name,
            "source": job.source,
            "status": job.status,
            "reason": job.reason or None,
            "detail": job.detail,
            "owner": job.owner and job.owner.username,
            "skip_unreadable": job.skip_unreadable,
            "notes": job.notes,
            "cancel_requested": job.cancel_requested,
            "requested_at": job.requested_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
            "progress": {"done": job.progress_done, "total": job.progress_total, "message": job.progress_message},
            "dataset": job.dataset_id,
        }
        for job in jobs
    ]
