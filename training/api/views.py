"""The API of training runs and queues. Each view is a few lines around a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django.db import transaction
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from training.api.bodies import queue_body, run_bodies, run_detail
from training.api.idempotency import idempotent
from training.api.permissions import HasNeededPermission
from training.api.run_serializers import (
    PRIORITIES,
    AcceptedRunSerializer,
    ExtensionRequestSerializer,
    PriorityRequestSerializer,
    QueueStateSerializer,
    RunDetailSerializer,
    RunPageSerializer,
    RunRequestSerializer,
)
from training.api.serializers import problem_responses
from training.choices import JobStatus, QueueName
from training.engine.exceptions import ConfigError
from training.models import TrainingRun
from training.models.run import TrainingRunQuerySet
from training.services import (
    cancel_run,
    clone_run,
    extend_run,
    list_queues,
    pause_queue,
    request_run,
    resume_run,
    set_priority,
    unpause_queue,
)

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_VIEW: Final = "training.view_trainingrun"
_ADD: Final = "training.add_trainingrun"
_MANAGE: Final = "training.manage_trainingrun"
_REFUSALS: Final = {
    401: "No valid token and no session.",
    403: "The account may not do that, or a session without its CSRF token.",
}
_NO_RUN: Final = {404: "There is no run of that number."}
_STATE: Final = {409: "The state of the run, of the disk or of the account's other runs does not allow it."}
_JSON: Final = "application/json"


class GuardedView(APIView):
    """A view that takes JSON from accounts with the permissions that it names by method."""

    permission_classes = (IsAuthenticated, HasNeededPermission)
    parser_classes = (JSONParser,)
    needed: ClassVar[Mapping[str, str]] = {"GET": _VIEW}


class RunPagination(CursorPagination):
    """The newest first; a page stays where it is while new runs arrive."""

    ordering = "-id"
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100


class RunsView(GuardedView):
    """All runs."""

    scope = "train"
    rate = {"POST": "train"}
    needed = {"GET": _VIEW, "POST": _ADD}  # declared in the base

    @extend_schema(
        operation_id="list_runs",
        tags=["Runs"],
        summary="List the runs",
        parameters=[
            OpenApiParameter("status", str, enum=JobStatus.values, description="Keeps one state."),
            OpenApiParameter("cursor", str, description="Where the page begins; take it from `next` and `previous`."),
            OpenApiParameter("page_size", int, description="Runs of a page, 1 to 100; without it 20."),
        ],
        responses={
            (200, _JSON): RunPageSerializer,
            **problem_responses(descriptions={400: "There is no such state.", **_REFUSALS, 404: "A wrong cursor."}),
        },
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        status = request.query_params.get("status")
        if status is not None and status not in JobStatus.values:
            known = {"known": ", ".join(JobStatus.values)}
            raise ValidationError({"status": [_("Allowed are %(known)s.") % known]}, code="invalid_choice")
        runs = _runs().defer("config", "log_tail", "metrics")
        paginator = RunPagination()
        page = paginator.paginate_queryset(runs.filter(status=status) if status else runs, request, view=self)
        return paginator.get_paginated_response(run_bodies(page or []))

    @extend_schema(
        operation_id="request_run",
        tags=["Runs"],
        summary="Queue a run",
        description="The run is kept even when no worker could be woken; `broker_reached` says whether one was.",
        request=RunRequestSerializer,
        responses={
            (202, _JSON): AcceptedRunSerializer,
            **problem_responses(
                descriptions={400: "A value that is refused; `errors` names the field.", **_REFUSALS, **_STATE}
            ),
        },
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        """Queue it."""
        chosen = _checked(RunRequestSerializer, request)
        with _naming_fields(under="settings"):
            run = request_run(
                owner=_asker(request),
                dataset=chosen["dataset"],
                recipe=chosen["recipe"],
                overrides=chosen["settings"],
                priority=PRIORITIES[chosen["priority"]],
                after=chosen["after"],
            )
        return _accepted(request, run)


class RunView(GuardedView):
    """One run."""

    scope = "train"
    needed = {"GET": _VIEW, "PATCH": _VIEW}  # declared in the base

    @extend_schema(
        operation_id="get_run",
        tags=["Runs"],
        summary="Describe a run",
        responses={(200, _JSON): RunDetailSerializer, **problem_responses(descriptions={**_REFUSALS, **_NO_RUN})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it, why it waits and its history included."""
        return Response(run_detail(_find_run(pk)))

    @extend_schema(
        operation_id="set_run_priority",
        tags=["Runs"],
        summary="Change when a waiting run is taken",
        request=PriorityRequestSerializer,
        responses={
            (200, _JSON): RunDetailSerializer,
            **problem_responses(
                descriptions={400: "There is no such priority.", **_REFUSALS, **_NO_RUN, 409: "It does not wait."}
            ),
        },
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Change its priority; nothing else of a run changes."""
        run = _find_run(pk)
        priority = PRIORITIES[_checked(PriorityRequestSerializer, request)["priority"]]
        set_priority(job=run, priority=priority, by=_asker(request))
        return Response(run_detail(_find_run(pk)))


class RunCancelView(GuardedView):
    """The end of a run."""

    scope = "train"
    needed = {"POST": _VIEW}  # declared in the base

    @extend_schema(
        operation_id="cancel_run",
        tags=["Runs"],
        summary="Cancel a run",
        description="At once when it waits, within seconds when it is at work.",
        request=None,
        responses={
            (202, _JSON): RunDetailSerializer,
            **problem_responses(descriptions={**_REFUSALS, **_NO_RUN, 409: "It has ended already."}),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask for it."""
        cancel_run(run=_find_run(pk), by=_asker(request))
        return Response(run_detail(_find_run(pk)), status=202)


class RunResumeView(GuardedView):
    """A run that goes on after it had ended."""

    scope = "train"
    rate = "train"
    needed = {"POST": _VIEW}  # declared in the base

    @extend_schema(
        operation_id="resume_run",
        tags=["Runs"],
        summary="Resume a failed or cancelled run",
        request=None,
        responses={
            (202, _JSON): AcceptedRunSerializer,
            **problem_responses(descriptions={**_REFUSALS, **_NO_RUN, **_STATE}),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it again."""
        run = _find_run(pk)
        resume_run(run=run, by=_asker(request))
        return _accepted(request, run)


class RunCloneView(GuardedView):
    """A run with the settings of another."""

    scope = "train"
    rate = "train"
    needed = {"POST": _ADD}  # declared in the base

    @extend_schema(
        operation_id="clone_run",
        tags=["Runs"],
        summary="Repeat a run",
        request=None,
        responses={
            (202, _JSON): AcceptedRunSerializer,
            **problem_responses(
                descriptions={400: "A setting is not allowed any more.", **_REFUSALS, **_NO_RUN, **_STATE}
            ),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it."""
        with _naming_fields(under="settings"):
            clone = clone_run(run=_find_run(pk), owner=_asker(request))
        return _accepted(request, clone)


class RunExtendView(GuardedView):
    """A run that goes on where another one ended."""

    scope = "train"
    rate = "train"
    needed = {"POST": _ADD}  # declared in the base

    @extend_schema(
        operation_id="extend_run",
        tags=["Runs"],
        summary="Train a succeeded run for more epochs",
        description="A run of its own; the one that succeeded and its model stay as they are.",
        request=ExtensionRequestSerializer,
        responses={
            (202, _JSON): AcceptedRunSerializer,
            **problem_responses(descriptions={400: "A refused number of epochs.", **_REFUSALS, **_NO_RUN, **_STATE}),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it."""
        run = _find_run(pk)
        epochs = _checked(ExtensionRequestSerializer, request)["epochs"]
        with _naming_fields():
            extension = extend_run(run=run, epochs=epochs, owner=_asker(request))
        return _accepted(request, extension)


class QueuesView(GuardedView):
    """The queues."""

    scope = "train"

    @extend_schema(
        operation_id="list_queues",
        tags=["Queues"],
        summary="List the queues",
        responses={(200, _JSON): QueueStateSerializer(many=True), **problem_responses(descriptions=_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them."""
        return Response([queue_body(state) for state in list_queues()])


_QUEUE_RESPONSES: Final = {
    (200, _JSON): QueueStateSerializer,
    **problem_responses(
        descriptions={**_REFUSALS, 404: "There is no queue of that name.", 409: "It is in that state already."}
    ),
}


class QueuePauseView(GuardedView):
    """Holding a queue back."""

    scope = "operate"
    needed = {"POST": _MANAGE}  # declared in the base

    @extend_schema(
        operation_id="pause_queue",
        tags=["Queues"],
        summary="Pause a queue",
        description="It goes on to take in jobs and starts none; what is at work goes on.",
        request=None,
        responses=_QUEUE_RESPONSES,
    )
    def post(self, request: Request, name: str) -> Response:
        """Pause it."""
        queue = _find_queue(name)
        pause_queue(name=queue, by=_asker(request))
        return Response(_describe_queue(queue))


class QueueUnpauseView(GuardedView):
    """Letting a queue go on."""

    scope = "operate"
    needed = {"POST": _MANAGE}  # declared in the base

    @extend_schema(
        operation_id="unpause_queue",
        tags=["Queues"],
        summary="Let a queue go on",
        request=None,
        responses=_QUEUE_RESPONSES,
    )
    def post(self, request: Request, name: str) -> Response:
        """Let it go on."""
        queue = _find_queue(name)
        unpause_queue(name=queue, by=_asker(request))
        return Response(_describe_queue(queue))


def _asker(request: Request) -> User:
    return cast("User", request.user)  # signed in, or the view would not have been reached


def _runs() -> TrainingRunQuerySet:
    runs: TrainingRunQuerySet = TrainingRun.objects.select_related("dataset", "owner", "version")
    return runs.defer("dataset__manifest", "dataset__checks", "version__manifest")


def _find_run(pk: int) -> TrainingRun:
    return cast("TrainingRun", get_object_or_404(_runs(), pk=pk))


def _find_queue(name: str) -> QueueName:
    if name not in QueueName.values:
        raise Http404
    return QueueName(name)


def _describe_queue(name: QueueName) -> dict[str, Any]:
    return next(queue_body(state) for state in list_queues() if state.name == name)


def _checked(serializer: type[Any], request: Request) -> dict[str, Any]:
    """Return the request's values as `serializer` checks them.

    Raises:
        ValidationError: some are refused.
    """
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


@contextmanager
def _naming_fields(*, under: str = "") -> Iterator[None]:
    """Turn what the engine refuses into a refusal of the request's field, which lies in the object named `under`.

    Raises:
        ValidationError: the engine refuses a value.
    """
    try:
        yield
    except ConfigError as error:
        refusal = {error.field: [str(error)]}
        inside = under and error.field not in {"dataset", "recipe"}
        raise ValidationError({under: refusal} if inside else refusal, code="refused") from error


def _accepted(request: Request, run: TrainingRun) -> Response:
    """Answer that `run` was queued, and whether a worker could be woken."""
    body = run_detail(_find_run(run.pk))

    def tell() -> None:
        body["broker_reached"] = run.bell is not None and run.bell.was_heard is True

    tell()
    transaction.on_commit(tell)  # the bell is rung only then, and was before this if there is no transaction
    return Response(body, status=202, headers={"Location": reverse("api:run", args=[run.pk], request=request)})
