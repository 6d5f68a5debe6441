"""The API of model versions: what there is, which one answers, and packages in and out."""

from __future__ import annotations

from typing import Any, Final, cast

from django.conf import settings
from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from training.api.bounded import UploadFormParser, bound_upload
from training.api.files import renderers_of, send_stream
from training.api.guarded import JSON, LIST_REFUSALS, REFUSALS, GuardedView
from training.api.idempotency import idempotent
from training.api.lists import checked_query, page_of
from training.api.model_serializers import (
    PackageRequestSerializer,
    PromotionPageSerializer,
    PromotionQuerySerializer,
    PromotionRequestSerializer,
    PromotionSerializer,
    RollbackRequestSerializer,
    VersionDetailSerializer,
    VersionPageSerializer,
    VersionQuerySerializer,
    promotion_bodies,
    promotions_to_list,
    version_bodies,
    version_detail,
    versions_to_list,
)
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.engine.package import PackageManifest
from training.models import ModelVersion
from training.services import iterate_export, promote_version, register_import, roll_back, store_upload

_VIEW: Final = "training.view_modelversion"
_PROMOTE: Final = "training.promote_modelversion"
_NO_VERSION: Final = {404: "There is no version of that number."}
_ZIP: Final = "application/zip"


class ModelsView(GuardedView):
    """All versions."""

    scope = {"GET": "predict", "POST": "operate"}
    needed = {"GET": _VIEW, "POST": "training.import_modelversion"}
    parser_classes = (UploadFormParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Bound the upload before anything, the check of the session's CSRF token included, reads it."""
        bound_upload(request._request, max_bytes=settings.PACKAGE_MAX_BYTES)  # its documented attribute
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="list_models",
        tags=["Models"],
        summary="List the model versions",
        parameters=[VersionQuerySerializer],
        responses={(200, JSON): VersionPageSerializer, **problem_responses(descriptions=LIST_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        wanted = checked_query(VersionQuerySerializer, request)
        versions = versions_to_list().filter(**{name: wanted[name] for name in ("state",) if name in wanted})
        return page_of(versions, request=request, view=self, describe=version_bodies)

    @extend_schema(
        operation_id="import_model",
        tags=["Models"],
        summary="Import a model package",
        description=(
            "Everything about it is checked first: the archive, every value of its manifest, its graph, its hashes, "
            "and its answers to the samples that it brings. It becomes a candidate; one that is known stays as it is."
        ),
        request={"multipart/form-data": PackageRequestSerializer},
        responses={
            (200, JSON): VersionDetailSerializer,
            (201, JSON): VersionDetailSerializer,
            **problem_responses(
                descriptions={
                    400: "No file, or a form that cannot be read.",
                    **REFUSALS,
                    409: "It cannot be stored.",
                    413: "It is too large, or unfolds to too much.",
                    415: "Not a form.",
                    422: "It is refused; the sentence says why.",
                }
            ),
        },
    )
    @idempotent(prepare="check")
    def post(self, request: Request, manifest: PackageManifest) -> Response:
        """Take it in."""
        taken = register_import(manifest=manifest, by=asker(request))
        address = reverse("api:model", args=[taken.version.pk], request=request)
        body = version_detail(_find(taken.version.pk))
        return Response(body, status=201 if taken.is_new else 200, headers={"Location": address})

    def check(self, request: Request) -> PackageManifest:
        """Check the package that was sent, which takes seconds, and keep its files."""
        return store_upload(checked_body(PackageRequestSerializer, request)["file"])


class ModelView(GuardedView):
    """One version."""

    scope = "predict"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="get_model",
        tags=["Models"],
        summary="Describe a model version",
        responses={(200, JSON): VersionDetailSerializer, **problem_responses(descriptions={**REFUSALS, **_NO_VERSION})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it, with its figures and where it comes from."""
        return Response(version_detail(_find(pk)))


class ModelPackageView(GuardedView):
    """The package of a version."""

    scope = "train"
    needed = {"GET": "training.export_modelversion"}
    renderer_classes = renderers_of(_ZIP)

    @extend_schema(
        operation_id="download_model",
        tags=["Models"],
        summary="Download a model package",
        description="A zip archive that can be imported elsewhere; its `ETag` is the package's hash.",
        responses={
            (200, _ZIP): OpenApiTypes.BINARY,
            **problem_responses(descriptions={**REFUSALS, **_NO_VERSION, 409: "Its files are damaged."}),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Send it, or 304 when `If-None-Match` has its `ETag`."""
        version = get_object_or_404(ModelVersion.objects.defer("manifest"), pk=pk)
        etag = f'"{version.package_sha256}"'
        known = get_conditional_response(request._request, etag=etag)  # its documented attribute
        if known is not None:
            return cast("HttpResponseBase", known)
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        return send_stream(iterate_export(version), content_type=_ZIP, name=f"model-{version}.zip", headers=headers)


class ModelPromoteView(GuardedView):
    """The choice of the champion."""

    scope = "operate"
    needed = {"POST": _PROMOTE}

    @extend_schema(
        operation_id="promote_model",
        tags=["Models"],
        summary="Promote a model version",
        description=(
            "Its package is verified and its golden samples are answered first. `classes_differ` and `reason_needed` "
            "among the errors' codes say which consent is missing."
        ),
        request=PromotionRequestSerializer,
        responses={
            (200, JSON): PromotionSerializer,
            **problem_responses(
                descriptions={
                    400: "A value that is refused.",
                    **REFUSALS,
                    **_NO_VERSION,
                    409: "It is the champion already, cannot answer, or a consent is missing.",
                }
            ),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Make it the champion."""
        version = get_object_or_404(ModelVersion, pk=pk)
        wishes = checked_body(PromotionRequestSerializer, request)
        return Response(promotion_bodies([promote_version(version=version, by=asker(request), **wishes)])[0])


class ModelRollbackView(GuardedView):
    """The way back."""

    scope = "operate"
    needed = {"POST": _PROMOTE}

    @extend_schema(
        operation_id="roll_back_model",
        tags=["Models"],
        summary="Roll back to the version before",
        description="The version that answered before the champion answers again. Repeated, it goes back further.",
        request=RollbackRequestSerializer,
        responses={
            (200, JSON): PromotionSerializer,
            **problem_responses(
                descriptions={
                    400: "A value that is refused.",
                    **REFUSALS,
                    409: "There is no version before, it cannot answer, or the champion is another one by now.",
                }
            ),
        },
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        """Go back."""
        wishes = checked_body(RollbackRequestSerializer, request)
        return Response(promotion_bodies([roll_back(by=asker(request), **wishes)])[0])


class PromotionsView(GuardedView):
    """Who chose which champion, when and why."""

    scope = "train"
    needed = {"GET": "training.view_promotion"}

    @extend_schema(
        operation_id="list_promotions",
        tags=["Models"],
        summary="List the changes of champion",
        parameters=[PromotionQuerySerializer],
        responses={(200, JSON): PromotionPageSerializer, **problem_responses(descriptions=LIST_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        wanted = checked_query(PromotionQuerySerializer, request)
        promotions = promotions_to_list().filter(**{name: wanted[name] for name in ("version",) if name in wanted})
        return page_of(promotions, request=request, view=self, describe=promotion_bodies)


def _find(pk: int) -> ModelVersion:
    return get_object_or_404(versions_to_list().defer(None), pk=pk)
