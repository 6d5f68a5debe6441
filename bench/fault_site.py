"""The installation that `bench.faults` breaks: its machines, its broker, its jobs, and somebody who keeps asking.

Django must be set up before this is imported.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from django.db import connection
from django.db.utils import InterfaceError, OperationalError

from cifarsite.accounts.models import ApiToken, User
from tests.fixtures import TINY_CONFIG
from tests.installation import ROOT, Installation, Program
from tests.stub_app import REAL
from tests.stub_engine import MODES
from tests.tiny_model import picture
from tests.web_server import FORM, form
from training.choices import TERMINAL_STATUSES, ImportSource, JobStatus
from training.engine.package import hash_file
from training.exceptions import NameTakenError
from training.models import Dataset, DatasetImport, ModelVersion, TrainingRun
from training.services import request_import, request_run

MACHINES: Final = ("north", "south", "west", "east", "hill", "lake")
SWEEPER: Final = "sweeper"
IMPORT_EVERY: Final = 20  # of so many jobs one is an import
_ASKED_EVERY_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Loss:
    """A claim that an injected fault ended, and when.

    Attributes:
        kind: Of fault.
        pk: The run.
        fence: The claim.
        at: Seconds since the epoch.
    """

    kind: str
    pk: int
    fence: int
    at: float


@dataclass
class Visitor:
    """Somebody who has a picture of class 1 classified all the time, in a thread.

    Attributes:
        port: Of the web server.
        token: Of a person.
        answers: How often which version gave which class, or the status of other answers.
        seen: When which version was seen, as (seconds since the epoch, version, class).
    """

    port: int
    token: str
    answers: Counter[str] = field(default_factory=Counter)
    seen: list[tuple[float, str, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to stop."""
        body = form(picture(1))
        headers = {"Authorization": f"Token {self.token}", "Content-Type": FORM}
        while not self.stop.wait(_ASKED_EVERY_SECONDS):
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                client.request("POST", "/api/v1/predict", body, headers)
                response = client.getresponse()
                answer = json.loads(response.read())
                self.answers[str(response.status)] += 1
                if response.status == 200:
                    self.seen.append((time.time(), answer["model_version"], answer["class_id"]))
            except (OSError, http.client.HTTPException):
                self.answers["no answer"] += 1
            finally:
                client.close()


@dataclass
class Site:
    """A running installation and what was asked of it.

    Attributes:
        installation: Its processes.
        web_port: Of its web server.
        chance: The source of every choice.
        dataset: What runs train on.
        jobs: How many are to be submitted.
        real_jobs: How many of them use the real engine.
    """

    installation: Installation
    web_port: int
    chance: random.Random
    dataset: Dataset
    jobs: int
    real_jobs: int
    workers: dict[str, Program] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    web: Program | None = None
    beat: Program | None = None
    runs: list[int] = field(default_factory=list)
    imports: list[int] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)
    stopped_engines: set[int] = field(default_factory=set)
    visitor: Visitor | None = None
    damaged_versions: dict[str, float] = field(default_factory=dict)
    damaged_for: list[tuple[str, float, float]] = field(default_factory=list)
    other_faults: list[str] = field(default_factory=list)
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        runs = [number for number in range(self.jobs) if number % IMPORT_EVERY]
        self._real = set(self.chance.sample(runs, self.real_jobs))
        self._numbers = list(reversed(range(self.jobs)))  # of those that are still to be submitted

    @property
    def submitted(self) -> int:
        """How many jobs were accepted."""
        return len(self.runs) + len(self.imports)

    def start(self) -> None:
        """Start every program."""
        for name in MACHINES:
            self.restart(name)
        self.restart(SWEEPER)
        self.beat = self.installation.start_beat()
        self.web = self.installation.start_web(self.web_port)
        for worker in self.workers.values():
            self.installation.wait_until_ready(worker)

    def restart(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a machine's worker, from now on with these variables when there are any."""
        if environment is not None:
            self.environments[name] = dict(environment)
        queues = "default" if name == SWEEPER else "training"
        self.workers[name] = self.installation.start_worker(
            name, queues=queues, environment=self.environments.get(name, {})
        )

    def keep_alive(self) -> None:
        """Start again what ended, as a service manager does, and do what is due."""
        for name, worker in list(self.workers.items()):
            if not worker.is_running:
                self.restart(name)
        if self.web is not None and not self.web.is_running:
            self.web = self.installation.start_web(self.web_port)
        if self.beat is not None and not self.beat.is_running:
            self.beat = self.installation.start_beat()
        for entry in [entry for entry in self.later if entry[0] <= time.monotonic()]:
            with forgiving_database():  # what fails is done at the next round
                entry[1]()
                self.later.remove(entry)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have something done later, by `keep_alive`."""
        self.later.append((time.monotonic() + seconds, act))

    def submit(self, *, mode: str = "ok") -> None:
        """Ask for the next job: a run of the stand-in or of the real engine, or an import."""
        number = self._numbers.pop()
        try:
            if number % IMPORT_EVERY == 0:
                self.imports.append(self._submit_import(f"set-{number}"))
                return
            if number in self._real:
                options: dict[str, object] = {**TINY_CONFIG, "seed": 100 * number + REAL}
            else:
                options = {"epochs": 1 + number % 4, "seed": 100 * number + MODES.index(mode)}
            run = request_run(owner=None, dataset=self.dataset, recipe="fast", overrides=options)
            self.runs.append(run.pk)
        except (OperationalError, InterfaceError):
            self._numbers.append(number)  # it was not accepted
            raise

    @property
    def is_stub_next(self) -> bool:
        """Whether the next job is a run of the stand-in, which may be asked to misbehave."""
        number = self._numbers[-1] if self._numbers else 0
        return bool(number % IMPORT_EVERY) and number not in self._real

    def _submit_import(self, name: str) -> int:
        """Ask for an import; one that was accepted although the answer was lost is found by its name."""
        try:
            return int(request_import(owner=None, name=name, source=ImportSource.DEMO).pk)
        except NameTakenError:
            return int(DatasetImport.objects.get(name=name).pk)

    def count_real_jobs(self) -> int:
        """Return how many of the accepted runs were the real engine's."""
        rows = TrainingRun.objects.filter(pk__in=self.runs)
        return sum(int(run.config["seed"]) % 100 == REAL for run in rows)

    def count_ended(self) -> int:
        """Return how many jobs have ended."""
        return sum(model.objects.filter(status__in=TERMINAL_STATUSES).count() for model in (TrainingRun, DatasetImport))

    def running(self, *, least_step: int = 0) -> list[TrainingRun]:
        """Return the runs under way, the oldest first, that may be lost once more without being given up.

        The third loss in a row without progress ends a run as the specification says, so nobody aims at it.
        """
        rows = TrainingRun.objects.filter(status=JobStatus.RUNNING, attempts__lt=2, checkpoint_step__gte=least_step)
        return list(rows.order_by("pk"))

    def choose(self, *, least_step: int = 0) -> TrainingRun | None:
        """Return one of the runs under way."""
        runs = self.running(least_step=least_step)
        return self.chance.choice(runs) if runs else None

    def supervisor_of(self, run: TrainingRun) -> psutil.Process | None:
        """Return the process that supervises a run."""
        number = run.worker.rpartition(":")[2]
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(number)) if number else None
            if process is not None and process.ppid() in {worker.pid for worker in self.workers.values()}:
                return process
        return None

    def engine_of(self, run: TrainingRun) -> psutil.Process | None:
        """Return the engine of a run."""
        supervisor = self.supervisor_of(run)
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in supervisor.children() if supervisor else []:
                if f"/runs/{run.pk}/{run.fence}" in " ".join(child.cmdline()):
                    return child
        return None

    def machine_of(self, run: TrainingRun) -> str | None:
        """Return the machine whose worker has a run."""
        supervisor = self.supervisor_of(run)
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = supervisor.ppid() if supervisor else None
            return next((name for name, worker in self.workers.items() if worker.pid == parent), None)
        return None

    def visitor_seen(self) -> list[tuple[float, str, int]]:
        """Return what the visitor was answered so far."""
        return list(self.visitor.seen) if self.visitor else []

    def repair(self, version: str) -> None:
        """Remember that a version's files are sound again."""
        self.damaged_for.append((version, self.damaged_versions.pop(version), time.time()))

    def count_corrupt_answers(self) -> int:
        """Return how many answers came from damaged files, or were not those of the version that they name."""
        classes = {str(version): expected_class(version) for version in ModelVersion.objects.all()}
        spans = [*self.damaged_for, *((name, since, time.time()) for name, since in self.damaged_versions.items())]
        return sum(
            classes[name] != found or any(name == bad and since < at < until for bad, since, until in spans)
            for at, name, found in self.visitor_seen()
        )

    def note_loss(self, kind: str, run: TrainingRun) -> None:
        """Remember that a claim was ended just now."""
        self.losses.append(Loss(kind=kind, pk=run.pk, fence=run.fence, at=time.time()))


@contextlib.contextmanager
def forgiving_database() -> Any:  # noqa: ANN401 - a context manager
    """Let the bench itself get over a database that is away: what was to be done is done at the next round."""
    try:
        yield
    except (OperationalError, InterfaceError):
        connection.close()


def make_person() -> str:
    """Return the token of a new person."""
    _row, token = ApiToken.objects.create(user=User.objects.create(username="visitor"))
    return str(token)


def expected_class(version: ModelVersion) -> int:
    """Return the class that a stand-in's package gives for a picture of class 1."""
    return (1 - int(version.manifest["seed"]) // 100) % 10


def newest_stub_versions() -> list[ModelVersion]:
    """Return some of the newest versions that the stand-in made, whose answers are known."""
    rows = ModelVersion.objects.exclude(run=None).order_by("-pk")[:15]
    return [version for version in rows if int(version.manifest["seed"]) % 100 != REAL]


def mode_of(run: TrainingRun) -> str:
    """Return how the stand-in was asked to behave; "" for the real engine."""
    number = int(run.config["seed"]) % 100
    return "" if number == REAL else MODES[number]


def make_dataset(folder: Path, *, name: str = "tiny", per_class: int = 20) -> Dataset:
    """Draw a dataset of ten classes with the real engine and return its row."""
    output = folder / name
    command = [sys.executable, "-m", "training.engine", "demo", "--name", name, "--output", str(output)]
    command += ["--train-per-class", str(per_class), "--test-per-class", "4"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=-3)
    dataset: Dataset = Dataset.objects.create(
        name=name,
        sha256=hash_file(output / "manifest.json"),
        location=str(output),
        manifest=json.loads((output / "manifest.json").read_text()),
        synthetic=True,
        train_count=10 * per_class,
        test_count=40,
    )
    return dataset
