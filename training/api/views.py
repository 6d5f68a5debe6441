"""The API of training runs and queues. Each view is a few lines around a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from training.api.accepted import answer_accepted
from training.api.bodies import queue_body, run_bodies, run_detail
from training.api.guarded import JSON, LIST_REFUSALS, REFUSALS, GuardedView
from training.api.idempotency import idempotent
from training.api.lists import checked_query, page_of
from training.api.requests import asker, checked_body
from training.api.run_serializers import (
    PRIORITIES,
    AcceptedRunSerializer,
    ExtensionRequestSerializer,
    PriorityRequestSerializer,
    QueueStateSerializer,
    RunDetailSerializer,
    RunPageSerializer,
    RunQuerySerializer,
    RunRequestSerializer,
    read_wanted_runs,
)
from training.api.serializers import problem_responses
from training.choices import QueueName
from training.engine.exceptions import ConfigError
from training.models import TrainingRun
from training.models.run import TrainingRunQuerySet
from training.services import (
    cancel_run,
    clone_run,
    extend_run,
    find_runs,
    list_queues,
    pause_queue,
    request_run,
    resume_run,
    set_priority,
    unpause_queue,
)

_VIEW: Final = "training.view_trainingrun"
_ADD: Final = "training.add_trainingrun"
_MANAGE: Final = "training.manage_trainingrun"
_NO_RUN: Final = {404: "There is no run of that number."}
_STATE: Final = {409: "The state of the run, of the disk or of the account's other runs does not allow it."}


class RunsView(GuardedView):
    """All runs."""

    scope = "train"
    rate = {"POST": "train"}
    needed = {"GET": _VIEW, "POST": _ADD}

    @extend_schema(
        operation_id="list_runs",
        tags=["Runs"],
        summary="List the runs",
        parameters=[RunQuerySerializer],
        responses={(200, JSON): RunPageSerializer, **problem_responses(descriptions=LIST_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        wanted = checked_query(RunQuerySerializer, request)
        runs = find_runs(among=_runs().defer("config", "log_tail", "metrics"), wanted=read_wanted_runs(wanted))
        return page_of(runs, request=request, view=self, describe=run_bodies)

    @extend_schema(
        operation_id="request_run",
        tags=["Runs"],
        summary="Queue a run",
        description="The run is kept even when no worker could be woken; `broker_reached` says whether one was.",
        request=RunRequestSerializer,
        responses={
            (202, JSON): AcceptedRunSerializer,
            **problem_responses(
                descriptions={400: "A value that is refused; `errors` names the field.", **REFUSALS, **_STATE}
            ),
        },
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        """Queue it."""
        chosen = checked_body(RunRequestSerializer, request)
        with _naming_fields(under="settings"):
            run = request_run(
                owner=asker(request),
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
    needed = {"GET": _VIEW, "PATCH": _VIEW}

    @extend_schema(
        operation_id="get_run",
        tags=["Runs"],
        summary="Describe a run",
        responses={(200, JSON): RunDetailSerializer, **problem_responses(descriptions={**REFUSALS, **_NO_RUN})},
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
            (200, JSON): RunDetailSerializer,
            **problem_responses(
                descriptions={400: "There is no such priority.", **REFUSALS, **_NO_RUN, 409: "It does not wait."}
            ),
        },
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Change its priority; nothing else of a run changes."""
        run = _find_run(pk)
        priority = PRIORITIES[checked_body(PriorityRequestSerializer, request)["priority"]]
        set_priority(job=run, priority=priority, by=asker(request))
        return Response(run_detail(_find_run(pk)))


class RunCancelView(GuardedView):
    """The end of a run."""

    scope = "train"
    needed = {"POST": _VIEW}

    @extend_schema(
        operation_id="cancel_run",
        tags=["Runs"],
        summary="Cancel a run",
        description="At once when it waits, within seconds when it is at work.",
        request=None,
        responses={
            (202, JSON): RunDetailSerializer,
            **problem_responses(descriptions={**REFUSALS, **_NO_RUN, 409: "It has ended already."}),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask for it."""
        cancel_run(run=_find_run(pk), by=asker(request))
        return Response(run_detail(_find_run(pk)), status=202)


class RunResumeView(GuardedView):
    """A run that goes on after it had ended."""

    scope = "train"
    rate = "train"
    needed = {"POST": _VIEW}

    @extend_schema(
        operation_id="resume_run",
        tags=["Runs"],
        summary="Resume a failed or cancelled run",
        request=None,
        responses={
            (202, JSON): AcceptedRunSerializer,
            **problem_responses(descriptions={**REFUSALS, **_NO_RUN, **_STATE}),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it again."""
        run = _find_run(pk)
        resume_run(run=run, by=asker(request))
        return _accepted(request, run)


class RunCloneView(GuardedView):
    """A run with the settings of another."""

    scope = "train"
    rate = "train"
    needed = {"POST": _ADD}

    @extend_schema(
        operation_id="clone_run",
        tags=["Runs"],
        summary="Repeat a run",
        request=None,
        responses={
            (202, JSON): AcceptedRunSerializer,
            **problem_responses(
                descriptions={400: "A setting is not allowed any more.", **REFUSALS, **_NO_RUN, **_STATE}
            ),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it."""
        with _naming_fields(under="settings"):
            clone = clone_run(run=_find_run(pk), owner=asker(request))
        return _accepted(request, clone)


class RunExtendView(GuardedView):
    """A run that goes on where another one ended."""

    scope = "train"
    rate = "train"
    needed = {"POST": _ADD}

    @extend_schema(
        operation_id="extend_run",
        tags=["Runs"],
        summary="Train a succeeded run for more epochs",
        description="A run of its own; the one that succeeded and its model stay as they are.",
        request=ExtensionRequestSerializer,
        responses={
            (202, JSON): AcceptedRunSerializer,
            **problem_responses(descriptions={400: "A refused number of epochs.", **REFUSALS, **_NO_RUN, **_STATE}),
        },
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Queue it."""
        run = _find_run(pk)
        epochs = checked_body(ExtensionRequestSerializer, request)["epochs"]
        with _naming_fields():
            extension = extend_run(run=run, epochs=epochs, owner=asker(request))
        return _accepted(request, extension)


class QueuesView(GuardedView):
    """The queues."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="list_queues",
        tags=["Queues"],
        summary="List the queues",
        responses={(200, JSON): QueueStateSerializer(many=True), **problem_responses(descriptions=REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them."""
        return Response([queue_body(state) for state in list_queues()])


_QUEUE_RESPONSES: Final = {
    (200, JSON): QueueStateSerializer,
    **problem_responses(
        descriptions={**REFUSALS, 404: "There is no queue of that name.", 409: "It is in that state already."}
    ),
}


class QueuePauseView(GuardedView):
    """Holding a queue back."""

    scope = "operate"
    needed = {"POST": _MANAGE}

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
        pause_queue(name=queue, by=asker(request))
        return Response(_describe_queue(queue))


class QueueUnpauseView(GuardedView):
    """Letting a queue go on."""

    scope = "operate"
    needed = {"POST": _MANAGE}

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
        unpause_queue(name=queue, by=asker(request))
        return Response(_describe_queue(queue))


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
    address = reverse("api:run", args=[run.pk], request=request)
    return answer_accepted(run, body=run_detail(_find_run(run.pk)), address=address)
