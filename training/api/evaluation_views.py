"""The API of evaluations. Each view is a few lines around a service."""

from __future__ import annotations

from typing import Final

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from training.api.accepted import answer_accepted
from training.api.evaluation_serializers import (
    AcceptedEvaluationSerializer,
    AnswersQuerySerializer,
    EvaluationAnswersSerializer,
    EvaluationDetailSerializer,
    EvaluationMapSerializer,
    EvaluationPageSerializer,
    EvaluationQuerySerializer,
    EvaluationRequestSerializer,
    evaluation_bodies,
    evaluation_detail,
    map_body,
)
from training.api.guarded import JSON, LIST_REFUSALS, REFUSALS, GuardedView
from training.api.idempotency import idempotent
from training.api.lists import checked_query, page_of
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.models import Dataset, Evaluation, ModelVersion
from training.services import cancel_evaluation, request_evaluation
from training.sights import find_answered, read_map

_VIEW: Final = "training.view_evaluation"
_NO_VERSION: Final = {404: "There is no version of that number."}
_NO_EVALUATION: Final = {404: "There is no evaluation of that number."}
_NO_FILES: Final = {404: "There is no evaluation of that number, or its files are not there."}
_ALL: Final = 2**63 - 1


class EvaluationsView(GuardedView):
    """The evaluations of a version."""

    scope = "train"
    rate = {"POST": "train"}
    needed = {"GET": _VIEW, "POST": "training.add_evaluation"}

    @extend_schema(
        operation_id="list_evaluations",
        tags=["Models"],
        summary="List a version's evaluations",
        parameters=[EvaluationQuerySerializer],
        responses={
            (200, JSON): EvaluationPageSerializer,
            **problem_responses(descriptions={**LIST_REFUSALS, 404: "No such version, or a wrong cursor."}),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """List them, the newest first."""
        wanted = checked_query(EvaluationQuerySerializer, request)
        get_object_or_404(ModelVersion.objects.only("pk"), pk=pk)
        found = Evaluation.objects.filter(version=pk).to_list()
        found = found.filter(**{name: wanted[name] for name in ("status",) if name in wanted})
        return page_of(found, request=request, view=self, describe=evaluation_bodies)

    @extend_schema(
        operation_id="request_evaluation",
        tags=["Models"],
        summary="Evaluate a version on a dataset",
        description="A worker measures it on the dataset's test images, in float32 on the processor, as it is served.",
        request=EvaluationRequestSerializer,
        responses={
            (202, JSON): AcceptedEvaluationSerializer,
            **problem_responses(
                descriptions={
                    400: "A value that is refused; `errors` names the field.",
                    **REFUSALS,
                    **_NO_VERSION,
                    409: "Other classes, one of both is under way already, or there is no room on the disk.",
                }
            ),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it."""
        version = get_object_or_404(ModelVersion, pk=pk)
        wishes = checked_body(EvaluationRequestSerializer, request)
        dataset = Dataset.objects.filter(name=wishes["dataset"]).first()
        if dataset is None:
            raise ValidationError({"dataset": [_("There is no dataset of that name.")]}, code="does_not_exist")
        job = request_evaluation(
            owner=asker(request),
            version=version,
            dataset=dataset,
            with_augmentation=wishes["test_time_augmentation"],
        )
        address = reverse("api:evaluation", args=[job.pk], request=request)
        return answer_accepted(job, body=evaluation_detail(_find(job.pk)), address=address)


class EvaluationView(GuardedView):
    """One evaluation."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="get_evaluation",
        tags=["Models"],
        summary="Describe an evaluation",
        responses={
            (200, JSON): EvaluationDetailSerializer,
            **problem_responses(descriptions={**REFUSALS, **_NO_EVALUATION}),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it, with what it measured and its history."""
        return Response(evaluation_detail(_find(pk)))


class EvaluationCancelView(GuardedView):
    """The end of an evaluation."""

    scope = "train"
    needed = {"POST": _VIEW}

    @extend_schema(
        operation_id="cancel_evaluation",
        tags=["Models"],
        summary="Cancel an evaluation",
        description="At once when it waits, within seconds when it is at work.",
        request=None,
        responses={
            (202, JSON): EvaluationDetailSerializer,
            **problem_responses(descriptions={**REFUSALS, **_NO_EVALUATION, 409: "It has ended already."}),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask for it."""
        cancel_evaluation(evaluation=_find(pk), by=asker(request))
        return Response(evaluation_detail(_find(pk)), status=202)


class EvaluationAnswersView(GuardedView):
    """The test images behind one cell of the confusion matrix."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="list_evaluation_answers",
        tags=["Models"],
        summary="List the test images of one class that got one answer",
        parameters=[AnswersQuerySerializer],
        responses={
            (200, JSON): EvaluationAnswersSerializer,
            **problem_responses(descriptions={400: "A class that the version does not know.", **REFUSALS, **_NO_FILES}),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """List them."""
        wanted = checked_query(AnswersQuerySerializer, request)
        evaluation = _find_with_files(pk)
        keys = evaluation.version.class_keys
        unknown = {name: [_("Choose one of the model's classes.")] for name, key in wanted.items() if key not in keys}
        if unknown:
            raise ValidationError(unknown, code="invalid_choice")
        label, answer = (keys.index(wanted[name]) for name in ("class_key", "answer"))
        try:
            found = find_answered(evaluation, label=label, answer=answer, count=_ALL)
        except (OSError, ValueError) as error:
            raise Http404 from error
        return Response({"dataset": evaluation.dataset.name, "indices": found.indices})


class EvaluationMapView(GuardedView):
    """The map of an evaluation."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="get_evaluation_map",
        tags=["Models"],
        summary="Place test images so that those that look alike to the version are near each other",
        responses={(200, JSON): EvaluationMapSerializer, **problem_responses(descriptions={**REFUSALS, **_NO_FILES})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Tell where they are."""
        evaluation = _find_with_files(pk)
        try:
            found = read_map(evaluation)
        except (OSError, ValueError) as error:
            raise Http404 from error
        return Response(map_body(evaluation, found, class_keys=evaluation.version.class_keys))


def _find(pk: int) -> Evaluation:
    evaluation: Evaluation = get_object_or_404(Evaluation.objects.to_list().defer(None), pk=pk)
    return evaluation


def _find_with_files(pk: int) -> Evaluation:
    found = Evaluation.objects.with_files().select_related("version", "dataset").defer("report", "log_tail")
    evaluation: Evaluation = get_object_or_404(found, pk=pk)
    return evaluation
