"""The API of datasets, and of the jobs that import them. Each view is a few lines around a service."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from training.api.accepted import answer_accepted
from training.api.bodies import history_bodies
from training.api.bounded import UploadFormParser, bound_upload
from training.api.dataset_serializers import (
    AcceptedImportSerializer,
    DatasetDetailSerializer,
    DatasetPageSerializer,
    ImportDetailSerializer,
    ImportPageSerializer,
    ImportQuerySerializer,
    ImportRequestSerializer,
    dataset_bodies,
    dataset_detail,
    datasets_to_list,
    import_bodies,
    imports_to_list,
)
from training.api.guarded import JSON, LIST_REFUSALS, REFUSALS, GuardedView
from training.api.idempotency import idempotent
from training.api.lists import ListQuerySerializer, checked_query, page_of
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.choices import ImportSource
from training.models import Dataset, DatasetImport
from training.services import accept_copies, cancel_import, prepare_import, queue_import

_VIEW: Final = "training.view_dataset"
_VIEW_IMPORTS: Final = "training.view_datasetimport"
_NO_DATASET: Final = {404: "There is no dataset of that number."}
_NO_IMPORT: Final = {404: "There is no import of that number."}


class DatasetsView(GuardedView):
    """All datasets."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="list_datasets",
        tags=["Datasets"],
        summary="List the datasets",
        parameters=[ListQuerySerializer],
        responses={(200, JSON): DatasetPageSerializer, **problem_responses(descriptions=LIST_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        checked_query(ListQuerySerializer, request)
        return page_of(datasets_to_list(), request=request, view=self, describe=dataset_bodies)


class DatasetView(GuardedView):
    """One dataset."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="get_dataset",
        tags=["Datasets"],
        summary="Describe a dataset",
        responses={(200, JSON): DatasetDetailSerializer, **problem_responses(descriptions={**REFUSALS, **_NO_DATASET})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it, with its counts and the report of its checks."""
        return Response(dataset_detail(_find_dataset(pk)))


class DatasetAcceptCopiesView(GuardedView):
    """The consent to a dataset whose test images are copies of training images."""

    scope = "train"
    needed = {"POST": "training.accept_dataset_copies"}

    @extend_schema(
        operation_id="accept_dataset_copies",
        tags=["Datasets"],
        summary="Accept copies across the splits",
        description="Once and for good: runs may use the dataset although test images of it are in its training set.",
        request=None,
        responses={
            (200, JSON): DatasetDetailSerializer,
            **problem_responses(
                descriptions={**REFUSALS, **_NO_DATASET, 409: "There are none, or they were accepted already."}
            ),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Accept them."""
        accept_copies(dataset=get_object_or_404(Dataset, pk=pk), by=asker(request))
        return Response(dataset_detail(_find_dataset(pk)))


class ImportsView(GuardedView):
    """All imports."""

    scope = "train"
    rate = {"POST": "train"}
    needed = {"GET": _VIEW_IMPORTS, "POST": "training.add_datasetimport"}
    parser_classes = (JSONParser, UploadFormParser)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the upload before anything, the check of the session's CSRF token included, reads it."""
        bound_upload(request._request, max_bytes=settings.ARCHIVE_MAX_BYTES)  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="list_imports",
        tags=["Datasets"],
        summary="List the imports",
        parameters=[ImportQuerySerializer],
        responses={(200, JSON): ImportPageSerializer, **problem_responses(descriptions=LIST_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        wanted = checked_query(ImportQuerySerializer, request)
        jobs = imports_to_list().filter(**{name: wanted[name] for name in ("status",) if name in wanted})
        return page_of(jobs, request=request, view=self, describe=import_bodies)

    @extend_schema(
        operation_id="request_import",
        tags=["Datasets"],
        summary="Import a dataset",
        description="An archive is sent as a form; the other sources, which the worker reaches itself, as JSON too.",
        request={"multipart/form-data": ImportRequestSerializer, JSON: ImportRequestSerializer},
        responses={
            (202, JSON): AcceptedImportSerializer,
            **problem_responses(
                descriptions={
                    400: "A value that is refused; `errors` names the field.",
                    **REFUSALS,
                    409: "The name is taken, or there is no room on the disk.",
                    413: "The archive is too large.",
                    415: "Neither a form nor JSON.",
                }
            ),
        },
    )
    @idempotent(prepare="prepare")
    def post(self, request: Request, job: DatasetImport) -> Response:
        """Queue it."""
        queue_import(job=job)
        address = reverse("api:dataset_import", args=[job.pk], request=request)
        return answer_accepted(job, body=_describe(job.pk), address=address)

    def prepare(self, request: Request) -> DatasetImport:
        """Check it and keep the archive: copying takes long, and no lock of the database may wait for it."""
        chosen = checked_body(ImportRequestSerializer, request)
        return prepare_import(
            owner=asker(request),
            name=chosen["name"],
            source=ImportSource(chosen["source"]),
            upload=chosen.get("file"),
            skip_unreadable=chosen["skip_unreadable"],
            notes=chosen["notes"],
        )


class ImportView(GuardedView):
    """One import."""

    scope = "train"
    needed = {"GET": _VIEW_IMPORTS}

    @extend_schema(
        operation_id="get_import",
        tags=["Datasets"],
        summary="Describe an import",
        responses={(200, JSON): ImportDetailSerializer, **problem_responses(descriptions={**REFUSALS, **_NO_IMPORT})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it, its history included."""
        return Response(_describe(pk))


class ImportCancelView(GuardedView):
    """The end of an import."""

    scope = "train"
    needed = {"POST": _VIEW_IMPORTS}

    @extend_schema(
        operation_id="cancel_import",
        tags=["Datasets"],
        summary="Cancel an import",
        description="At once when it waits, within seconds when it is at work.",
        request=None,
        responses={
            (202, JSON): ImportDetailSerializer,
            **problem_responses(descriptions={**REFUSALS, **_NO_IMPORT, 409: "It has ended already."}),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask for it."""
        cancel_import(job=_find_import(pk), by=asker(request))
        return Response(_describe(pk), status=202)


def _find_dataset(pk: int) -> Dataset:
    return get_object_or_404(datasets_to_list().defer(None).select_related("copies_accepted_by"), pk=pk)


def _find_import(pk: int) -> DatasetImport:
    return get_object_or_404(imports_to_list(), pk=pk)


def _describe(pk: int) -> dict[str, Any]:
    job = _find_import(pk)
    return {**import_bodies([job])[0], "history": history_bodies(job)}
