"""One line per record, plain or JSON, with the request or the job that it belongs to."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from cifarsite.log_stream import LogStream
from cifarsite.logs import make_formatter
from cifarsite.web import granian_command
from classifier.sharing import share_prediction
from tests.api_fixtures import make_user
from tests.factories import PredictionFactory
from training.job_log import bind_job
from training.models import TrainingRun
from training.tracking.follower import Follower

ROOT = Path(__file__).resolve().parents[2]


class Log:
    """What was logged, as text and as objects."""

    def __init__(self) -> None:
        self.stream = StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["logger"] == logger]


@pytest.fixture
def write_log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """A log in the format that the test names, `json` by default, of everything from DEBUG on."""
    log = Log()
    handler = logging.StreamHandler(log.stream)
    handler.setFormatter(make_formatter(getattr(request, "param", "json")))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield log
    root.removeHandler(handler)
    root.setLevel(level)


# --- A line ----------------------------------------------------------------------------------------------------------
def test_a_record_is_one_json_object_that_begins_with_what_happened(write_log: Log) -> None:
    logging.getLogger("training.x").warning("%d files\nare gone", 3, extra={"status_code": 404, "request": object()})
    [record] = write_log.records
    assert list(record) == ["timestamp", "level", "logger", "event", "status_code"]
    assert record["timestamp"].endswith("Z")
    assert (record["level"], record["logger"]) == ("warning", "training.x")
    assert record["event"] == "3 files\nare gone"


def test_a_traceback_stays_in_its_line_and_shows_no_values(write_log: Log) -> None:
    password = "hunter" + "2"
    try:
        raise ValueError
    except ValueError:
        logging.getLogger("training.x").exception("It broke")
    [record] = write_log.records
    assert "ValueError" in record["exception"]
    assert password not in write_log.text


def test_structlogs_own_loggers_write_the_same(write_log: Log) -> None:
    structlog.get_logger("training.x").info("sent", bytes=3)
    [record] = write_log.records
    assert (record["logger"], record["event"], record["bytes"]) == ("training.x", "sent", 3)


@pytest.mark.parametrize("write_log", ["plain"], indirect=True)
def test_a_plain_line_is_for_people(write_log: Log) -> None:
    logging.getLogger("training.x").warning("%d files are gone", 3)
    moment, _space, rest = write_log.text.partition(" [")
    assert len(moment) == len("2026-11-24 20:10:37")
    assert rest == "warning] 3 files are gone [training.x]\n"


# --- A job -----------------------------------------------------------------------------------------------------------
def test_a_record_of_a_job_names_run_fence_and_worker(write_log: Log) -> None:
    run = TrainingRun(pk=12, fence=3, attempts=2, worker="training@here:99")
    with bind_job(run):
        logging.getLogger("training.supervisor").info("The engine starts")
    logging.getLogger("training.supervisor").info("Idle")
    inside, outside = write_log.records
    context = {"job_kind": "trainingrun", "job_id": 12, "fence": 3, "attempt": 2, "worker": "training@here:99"}
    assert {key: inside.get(key) for key in context} == context
    assert not context.keys() & outside.keys()


def test_what_tells_mlflow_beside_a_job_names_it_too(write_log: Log, settings: Any) -> None:
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    follower = Follower(lambda: logging.getLogger("training.tracking.x").info("Told"), name="Run 12")
    with bind_job(TrainingRun(pk=12, fence=3, attempts=2, worker="training@here:99")):
        follower.wake()
        follower.close()
    assert {(record["job_id"], record["fence"]) for record in write_log.of("training.tracking.x")} == {(12, 3)}


@pytest.mark.parametrize("write_log", ["plain"], indirect=True)
def test_a_plain_line_of_a_job_names_it_too(write_log: Log) -> None:
    with bind_job(TrainingRun(pk=12, fence=3, attempts=2, worker="training@here:99")):
        logging.getLogger("training.x").info("Run 12 starts")
    assert write_log.text.endswith(
        "[info] Run 12 starts [training.x] attempt=2 fence=3 job_id=12 job_kind=trainingrun worker=training@here:99\n"
    )


# --- Addresses that are secrets --------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("write_log", ["json", "plain"], indirect=True)
def test_addresses_that_open_a_page_by_themselves_are_masked(write_log: Log) -> None:
    share = share_prediction(owner=(owner := make_user()), pk=PredictionFactory.create(owner=owner).pk)
    visitor = Client(raise_request_exception=False)
    assert visitor.get(f"/shared/{share.token}/").status_code == 200
    assert visitor.get(f"/shared/{share.token}/picture.jpg").status_code == 200
    assert visitor.post(f"/shared/{share.token}/").status_code == 405  # Django logs it itself
    assert visitor.get(f"/shared/{share.token}x/").status_code == 404
    visitor.get("/accounts/password/reset/key/3-c0ffee-5ecret/")
    visitor.get("/accounts/confirm-email/c0ffee-5ecret/")
    assert "/shared/***/" in write_log.text
    assert "/shared/***/picture.jpg" in write_log.text
    assert "/accounts/confirm-email/***/" in write_log.text
    assert share.token not in write_log.text
    assert "c0ffee" not in write_log.text


# --- A request -------------------------------------------------------------------------------------------------------
def careless(request: HttpRequest) -> HttpResponse:
    logging.getLogger("views").info("before")
    if request.user.is_authenticated:
        logging.getLogger("views").info("after")
    return HttpResponse()


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


urlpatterns = [path("careless", careless), path("broken", broken), path("forbidden", forbidden)]


@pytest.fixture
def visitor(db: None) -> Iterator[Client]:
    with override_settings(ROOT_URLCONF=__name__):
        yield Client(raise_request_exception=False)


def test_records_of_a_request_share_its_id_and_tell_the_user_once_known(visitor: Client, write_log: Log) -> None:
    user = make_user()
    visitor.force_login(user)
    write_log.stream.truncate(0)
    visitor.get("/careless?secret=1")
    started, finished = write_log.of("cifarsite.request_logs") or write_log.of("django_structlog.middlewares.request")
    before, after = write_log.of("views")
    assert len({record["request_id"] for record in (started, before, after, finished)}) == 1
    assert [record.get("user_id") for record in (started, before, after, finished)] == [None, None, user.pk, user.pk]
    assert (finished["event"], finished["code"]) == ("request_finished", 200)
    assert finished["request"] == "GET /careless"
    assert "secret" not in "".join(str(record) for record in (started, finished))


def test_two_requests_have_two_ids(visitor: Client, write_log: Log) -> None:
    visitor.get("/careless")
    visitor.get("/careless")
    assert len({record["request_id"] for record in write_log.of("views")}) == 2


def test_nothing_of_a_request_is_left_behind(visitor: Client, write_log: Log) -> None:
    visitor.get("/broken")
    logging.getLogger("later").info("done")
    [record] = write_log.of("later")
    assert list(record) == ["timestamp", "level", "logger", "event"]


def test_a_fault_has_one_traceback_with_the_requests_id(visitor: Client, write_log: Log) -> None:
    assert visitor.get("/broken").status_code == 500
    [record] = [record for record in write_log.records if "exception" in record]
    assert (record["logger"], record["level"], record["status_code"]) == ("django.request", "error", 500)
    assert record["request_id"]


def test_the_log_asks_the_database_nothing(
    visitor: Client, write_log: Log, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    visitor.force_login(make_user())
    with django_assert_num_queries(0):
        visitor.get("/forbidden")


def test_a_program_is_known_by_its_token(db: None, write_log: Log) -> None:
    from cifarsite.accounts.models import ApiToken

    user: User = make_user()
    _row, token = ApiToken.objects.create(user=user)
    Client(raise_request_exception=False).get("/api/v1/workers", headers={"authorization": f"Token {token}"})
    [finished] = [record for record in write_log.records if record["event"] == "request_finished"]
    assert (finished["user_id"], finished["code"]) == (user.pk, 403)
    assert token not in write_log.text


# --- Whole processes -------------------------------------------------------------------------------------------------
def run_python(code: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "CIFARSITE_VAR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": "", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)


def test_a_celery_process_writes_as_the_site_does(tmp_path: Path) -> None:
    code = """
import logging
from cifarsite.celery import app
app.loader.import_default_modules()
app.log.setup(loglevel="WARNING", redirect_stdouts=True)
logging.getLogger("celery.worker").info("ready")
logging.getLogger("celery.app.trace").info("Task training.sweep succeeded")
"""
    result = run_python(code, tmp_path, CIFARSITE_LOG_FORMAT="json")
    [record] = [json.loads(line) for line in result.stderr.splitlines()]
    assert (record["logger"], record["event"]) == ("celery.worker", "ready")


def test_the_web_server_writes_as_the_site_does(tmp_path: Path, settings: Any) -> None:
    settings.LOG_FORMAT = "json"
    command = granian_command("127.0.0.1", 8000)
    config = command[command.index("--log-config") + 1]
    code = f"""
import json, logging
from granian.log import LogLevels, configure_logging
configure_logging(LogLevels.info, json.load(open({config!r})))
logging.getLogger("_granian").info("Starting")
"""
    result = run_python(code, tmp_path)
    [record] = [json.loads(line) for line in result.stderr.splitlines()]
    assert (record["logger"], record["event"]) == ("_granian", "Starting")


def test_the_web_servers_own_lines_are_for_people_in_the_plain_format(settings: Any) -> None:
    settings.LOG_FORMAT = "plain"
    assert "--log-config" not in granian_command("127.0.0.1", 8000)


# --- The one log of `up` ---------------------------------------------------------------------------------------------
def test_the_one_log_of_all_processes_is_json_too() -> None:
    output = StringIO()
    stream = LogStream(output, as_json=True)
    stream.feed("web", b'{"event": "request_finished", "level": "info"}\nTraceback\n[1]\n')
    known, printed, listed = [json.loads(line) for line in output.getvalue().splitlines()]
    assert known == {"event": "request_finished", "level": "info", "process": "web"}
    assert printed.pop("timestamp")
    assert printed == {"level": "info", "logger": "web", "event": "Traceback", "process": "web"}
    assert listed["event"] == "[1]"
