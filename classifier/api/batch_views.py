"""The API of batch jobs. Each view is a few lines around a service; everybody sees their own batches alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from classifier.api.batch_serializers import (
    ITEM_PAGE,
    LARGEST_ITEM_PAGE,
    AcceptedBatchSerializer,
    BatchDetailSerializer,
    BatchItemPageSerializer,
    BatchItemQuerySerializer,
    BatchPageSerializer,
    BatchQuerySerializer,
    BatchRequestSerializer,
)
from classifier.api.naming import LANGUAGE, NamingView
from classifier.batches.bodies import batch_body, batch_detail, csv_lines, item_row, json_lines
from classifier.batches.downloads import CSV, JSON_LINES, download
from classifier.batches.services import (
    StoredArchive,
    cancel_batch,
    delete_batch,
    queue_batch,
    resume_batch,
    store_archive,
)
from classifier.batches.uploads import ARCHIVE, FILES, receive_batch
from classifier.choices import Source
from classifier.models import BatchItem, BatchJob
from classifier.querysets import BatchJobQuerySet
from training.api.accepted import answer_accepted
from training.api.bounded import UploadFormParser
from training.api.files import renderers_of
from training.api.idempotency import idempotent
from training.api.lists import NewestFirst, checked_query, page_of
from training.api.requests import asker
from training.api.serializers import problem_responses

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_JSON: Final = "application/json"
_REFUSALS: Final = {
    401: "No valid token and no session.",
    403: "A session without its CSRF token, or a token without the scope.",
}
_NO_BATCH: Final = {404: "You have no batch of that number."}
_LARGEST_KEY: Final = 2**63 - 1


class BatchView(NamingView):
    """What the views of batches share."""

    scope = "predict"

    def own(self) -> BatchJobQuerySet:
        """Return the batches of the person who asks."""
        batches: BatchJobQuerySet = BatchJob.objects.with_version().owned_by(self.asker)
        return batches

    @property
    def asker(self) -> User:
        """The person who asks; the permission check has made sure that it is one."""
        return asker(self.request)

    def find(self, pk: int) -> BatchJob:
        """Return one's own batch; another person's does not exist."""
        return cast("BatchJob", get_object_or_404(self.own(), pk=min(pk, _LARGEST_KEY)))

    def accept(self, job: BatchJob) -> Response:
        """Answer that `job` was queued, and whether a worker could be woken."""
        address = reverse("api:batch", args=[job.pk], request=self.request)
        return answer_accepted(job, body=batch_detail(self.find(job.pk)), address=address)


class InOrder(NewestFirst):
    """In the order of the archive; rows that are added while somebody reads come at the end."""

    ordering = "index"
    page_size = ITEM_PAGE
    max_page_size = LARGEST_ITEM_PAGE


class BatchesView(BatchView):
    """One's own batches."""

    rate = {"POST": "batch"}
    parser_classes = (UploadFormParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the upload before anything, the check of the session's CSRF token included, reads it."""
        if request.method == "POST":
            self._receiver = receive_batch(request._request)  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="list_batches",
        tags=["Batches"],
        summary="List your batches",
        parameters=[BatchQuerySerializer],
        responses={
            (200, _JSON): BatchPageSerializer,
            **problem_responses(
                descriptions={400: "A parameter that is unknown or wrong.", **_REFUSALS, 404: "A wrong cursor."}
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        wanted = checked_query(BatchQuerySerializer, request)
        batches = self.own().defer("model_version__manifest", "log_tail")
        if "status" in wanted:
            batches = batches.filter(status=wanted["status"])
        return page_of(batches, request=request, view=self, describe=lambda jobs: [batch_body(job) for job in jobs])

    @extend_schema(
        operation_id="request_batch",
        tags=["Batches"],
        summary="Classify an archive, or many files",
        description=(
            "Keeps the pictures and answers them one after the other in a worker. The batch is kept even when no "
            "worker could be woken; `broker_reached` says whether one was."
        ),
        parameters=[LANGUAGE],
        request={"multipart/form-data": BatchRequestSerializer},
        responses={
            (202, _JSON): AcceptedBatchSerializer,
            **problem_responses(
                descriptions={
                    400: "Neither an archive nor files, both, too many files, or a form that cannot be read.",
                    **_REFUSALS,
                    409: "Too many batches of yours are under way, or the disk is full.",
                    413: "Too many bytes or entries, or an archive that unfolds too far.",
                    415: "Not a form.",
                    422: "An archive that is empty, damaged, encrypted, nested, or that has unsafe names.",
                }
            ),
        },
    )
    @idempotent(prepare="store")
    def post(self, request: Request, stored: StoredArchive) -> Response:
        """Queue them."""
        return self.accept(queue_batch(owner=self.asker, stored=stored, source=Source.API))

    def store(self, request: Request) -> StoredArchive:
        """Keep the pictures; without a row that names them they are removed within hours.

        Raises:
            ValidationError: there is neither one archive nor files, or both.
        """
        archives, files = request.FILES.getlist(ARCHIVE), request.FILES.getlist(FILES)
        if len(archives) > 1 or bool(archives) == bool(files):
            field = ARCHIVE if len(archives) > 1 or not files else FILES
            code = "required" if not archives and not files else "too_many"
            raise ValidationError({field: [_("Send one archive, or files without an archive.")]}, code=code)
        packed = self._receiver.packed
        upload, name = (archives[0], archives[0].name or "") if archives else (packed, "")
        assert upload is not None  # noqa: S101  # there were files
        return store_archive(owner=self.asker, upload=upload, name=name)


class BatchDetailView(BatchView):
    """One batch."""

    @extend_schema(
        operation_id="get_batch",
        tags=["Batches"],
        summary="Describe a batch",
        parameters=[LANGUAGE],
        responses={(200, _JSON): BatchDetailSerializer, **problem_responses(descriptions={**_REFUSALS, **_NO_BATCH})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it: how far it is, why it waits, what was measured."""
        return Response(batch_detail(self.find(pk)))

    @extend_schema(
        operation_id="delete_batch",
        tags=["Batches"],
        summary="Delete a batch that has ended",
        parameters=[LANGUAGE],
        responses={
            204: None,
            **problem_responses(descriptions={**_REFUSALS, **_NO_BATCH, 409: "It has not ended: cancel it first."}),
        },
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Delete it with its answers."""
        delete_batch(job=self.find(pk))
        return Response(status=204)


class BatchCancelView(BatchView):
    """The end of a batch."""

    @extend_schema(
        operation_id="cancel_batch",
        tags=["Batches"],
        summary="Cancel a batch",
        parameters=[LANGUAGE],
        request=None,
        responses={
            (202, _JSON): BatchDetailSerializer,
            **problem_responses(descriptions={**_REFUSALS, **_NO_BATCH, 409: "It has ended already."}),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask for its end; what was answered stays."""
        cancel_batch(job=self.find(pk), by=self.asker)
        return Response(batch_detail(self.find(pk)), status=202)


class BatchResumeView(BatchView):
    """The going on of a batch."""

    @extend_schema(
        operation_id="resume_batch",
        tags=["Batches"],
        summary="Let a failed or cancelled batch go on where it stopped",
        parameters=[LANGUAGE],
        request=None,
        responses={
            (202, _JSON): AcceptedBatchSerializer,
            **problem_responses(
                descriptions={**_REFUSALS, **_NO_BATCH, 409: "It is in another state, or its pictures were removed."}
            ),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it again."""
        return self.accept(resume_batch(job=self.find(pk), by=self.asker))


class BatchItemsView(BatchView):
    """The answers of a batch."""

    @extend_schema(
        operation_id="list_batch_items",
        tags=["Batches"],
        summary="List the answers of a batch, those that are there by now",
        parameters=[BatchItemQuerySerializer],
        responses={
            (200, _JSON): BatchItemPageSerializer,
            **problem_responses(
                descriptions={
                    400: "A parameter that is unknown or wrong.",
                    **_REFUSALS,
                    404: "You have no such batch, or a wrong cursor.",
                }
            ),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """List them in the order of the archive."""
        wanted = checked_query(BatchItemQuerySerializer, request)
        job = self.find(pk)
        items = BatchItem.objects.filter(batch=job).of_interest(
            only_errors=wanted.get("errors", False),
            class_key=wanted.get("class", ""),
            confidence_max=wanted.get("confidence_max"),
            right=wanted.get("right"),
        )
        keys = job.class_keys
        return page_of(
            items,
            request=request,
            view=self,
            describe=lambda page: [item_row(item, class_keys=keys) for item in page],
            pages=InOrder,
        )


class BatchCsvView(BatchView):
    """The answers of a batch as CSV."""

    renderer_classes = renderers_of(CSV.media_type)

    @extend_schema(
        operation_id="download_batch_csv",
        tags=["Batches"],
        summary="Download the answers as CSV",
        description="Names that a spreadsheet would take for formulas are preceded by an apostrophe.",
        parameters=[LANGUAGE],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            **problem_responses(descriptions={**_REFUSALS, **_NO_BATCH}),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Stream them."""
        return download(self.find(pk), csv_lines, form=CSV)


class BatchJsonLinesView(BatchView):
    """The answers of a batch as JSON lines."""

    renderer_classes = renderers_of(JSON_LINES.media_type)

    @extend_schema(
        operation_id="download_batch_jsonl",
        tags=["Batches"],
        summary="Download the answers as JSON lines",
        parameters=[LANGUAGE],
        responses={
            (200, "application/jsonl"): OpenApiTypes.STR,
            **problem_responses(descriptions={**_REFUSALS, **_NO_BATCH}),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Stream them."""
        return download(self.find(pk), json_lines, form=JSON_LINES)
