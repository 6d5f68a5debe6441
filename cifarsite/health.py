"""Is the site alive, and can it serve? For load balancers, container engines and people."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock, Thread
from typing import Any, Final

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from kombu.exceptions import OperationalError as BrokerError
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from cifarsite.celery import app
from cifarsite.problems import RETRY_SECONDS, Fault, problem
from classifier.inference import ModelNotReady, predictor
from training.api.serializers import problem_responses
from training.models import Worker
from training.services.watching import report_canaries

FRESH: Final = timedelta(seconds=60)
"""A worker that has not been heard of for longer says nothing about the present."""

_LOOK_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 0.3
_BROKER_SECONDS: Final = 1


class GpuWatch:
    """What the workers' last heartbeats say about GPUs, read beside the requests: no request waits for a database."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.forget()

    def forget(self) -> None:
        """Start afresh."""
        self._thread: Thread | None = None
        self._asked_at = float("-inf")
        self._gpu_name: str | None = None

    def gpu_name(self) -> str | None:
        """Return the name of a worker's GPU, an empty text when no worker has one, None when that is not known."""
        with self._lock:
            busy = self._thread is not None and self._thread.is_alive()
            if not busy and time.monotonic() - self._asked_at >= _LOOK_SECONDS:
                self._asked_at = time.monotonic()
                self._thread = Thread(target=self._look, name="gpu-watch", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(_WAIT_SECONDS)
            if thread.is_alive():  # what was known is older than it should be
                return None
        return self._gpu_name

    def _look(self) -> None:
        try:
            fresh = Worker.objects.filter(last_seen_at__gte=timezone.now() - FRESH)
            names = list(fresh.order_by("-gpu_name").values_list("gpu_name", flat=True)[:1])
            self._gpu_name = names[0] if names else None
        except DatabaseFailure:
            self._gpu_name = None
        finally:
            connection.close()


gpu_watch: Final = GpuWatch()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Welcome",
            value={
                "message": "Welcome to the cifarsite API: send a picture to “predict”.",
                "api_version": "1.0.0",
                "links": {"predict": "https://cifarsite.example/api/v1/predict"},
            },
        )
    ]
)
class WelcomeSerializer(serializers.Serializer[Any]):
    """Where everything is."""

    message = serializers.CharField()
    api_version = serializers.CharField()
    links = serializers.DictField(child=serializers.URLField())


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Healthy",
            value={"status": "healthy", "gpu_available": False, "gpu_name": None, "api_version": "1.0.0"},
        )
    ]
)
class HealthSerializer(serializers.Serializer[Any]):
    """The process answers."""

    status = serializers.CharField()
    gpu_available = serializers.BooleanField(allow_null=True, help_text="Null when no worker was heard of lately.")
    gpu_name = serializers.CharField(allow_null=True)
    api_version = serializers.CharField()


class ReadySerializer(serializers.Serializer[Any]):
    """Database, broker and champion are there."""

    status = serializers.CharField()
    canary = serializers.DictField(
        child=serializers.FloatField(allow_null=True),
        help_text=(
            "For each queue, seconds since a tiny task last came through it; null when none has yet. One is sent every "
            "minute. For information: pictures are answered without workers."
        ),
    )


class OpenView(APIView):
    """A view that anybody may look at."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class WelcomeView(OpenView):
    """The API's front door."""

    @extend_schema(
        operation_id="welcome",
        tags=["Site"],
        summary="Find the way",
        auth=[],
        responses={(200, "application/json"): WelcomeSerializer},
    )
    def get(self, request: Request) -> Response:
        """Link to everything."""
        names = ["health", "ready", "classes", "model_info", "predict", "batch_predict", "predict_base64"]
        names += ["predictions", "models", "datasets", "runs", "queues", "tokens", "schema"]
        links = {name: reverse(f"api:{name}", request=request) for name in names}
        links |= {name: reverse(name, request=request) for name in ("swagger", "redoc")}
        message = "Welcome to the cifarsite API: send a picture to “predict”."
        return Response({"message": message, "api_version": settings.API_VERSION, "links": links})


@method_decorator(never_cache, name="dispatch")
class HealthView(OpenView):
    """Whether this process lives; it depends on nothing else."""

    @extend_schema(
        operation_id="health",
        tags=["Site"],
        summary="Is it alive?",
        auth=[],
        responses={(200, "application/json"): HealthSerializer},
    )
    def get(self, request: Request) -> Response:
        """Answer at once."""
        gpu_name = gpu_watch.gpu_name()
        return Response(
            {
                "status": "healthy",
                "gpu_available": None if gpu_name is None else bool(gpu_name),
                "gpu_name": gpu_name or None,
                "api_version": settings.API_VERSION,
            }
        )


@method_decorator(never_cache, name="dispatch")
class ReadyView(OpenView):
    """Whether pictures can be answered and work can be taken in."""

    @extend_schema(
        operation_id="ready",
        tags=["Site"],
        summary="Can it serve?",
        auth=[],
        responses={
            (200, "application/json"): ReadySerializer,
            **problem_responses(descriptions={503: "What is missing, in `errors`."}),
        },
    )
    def get(self, request: Request) -> Response | HttpResponse:
        """Check the database, the broker and the champion."""
        faults = [fault for check in _CHECKS if (fault := check()) is not None]
        if faults:
            return problem(request, 503, faults, headers={"Retry-After": str(RETRY_SECONDS)})
        canary = {queue: report.age_seconds for queue, report in report_canaries().items()}
        return Response({"status": "ready", "canary": canary})


def _check_database() -> Fault | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseFailure:
        return Fault("database", "unavailable", _("The database does not answer."))
    return None


def _check_broker() -> Fault | None:
    try:
        with app.connection_for_write(connect_timeout=_BROKER_SECONDS) as broker:
            broker.ensure_connection(max_retries=0, timeout=_BROKER_SECONDS)
    except (BrokerError, OSError):
        return Fault("broker", "unavailable", _("The message broker does not answer."))
    return None


def _check_champion() -> Fault | None:
    try:
        predictor()
    except ModelNotReady:
        return Fault("model", "model_not_ready", _("No model is ready to answer."))
    except DatabaseFailure:
        return Fault("model", "unknown", _("The database does not say which model answers."))
    return None


_CHECKS: Final[tuple[Callable[[], Fault | None], ...]] = (_check_database, _check_broker, _check_champion)
