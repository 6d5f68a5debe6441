"""The commands about the queue, and about runs that are there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django import Settings

from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, UserFactory
from tests.training.test_commands import refusal, run_command
from training.choices import JobStatus, Priority, QueueName, Reason
from training.devices import hold_devices
from training.doorbell import Bell
from training.models import JobQueue, TrainingRun
from training.services import pause_queue, request_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class TestRuns:
    def test_resume(self) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        assert run_command("runs", "--resume", str(run.pk)) == f"Run {run.pk} goes on from where it stopped.\n"
        run.refresh_from_db()
        assert run.status == JobStatus.QUEUED
        assert "cannot be resumed" in refusal("runs", "--resume", str(run.pk))

    def test_clone(self) -> None:
        run = TrainingRunFactory.create()
        printed = run_command("runs", "--clone", str(run.pk))
        clone = TrainingRun.objects.latest("pk")
        assert printed == f"Run {clone.pk} is queued, with the settings of run {run.pk}.\n"
        assert clone.config == run.config

    def test_extend(self) -> None:
        run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, checkpoint="runs/1/1/c")
        EpochMetricFactory.create(run=run, epoch=1)
        EpochMetricFactory.create(run=run, epoch=2)
        printed = run_command("runs", "--extend", str(run.pk), "--epochs", "3")
        new = run.extensions.get()
        assert printed == f"Run {new.pk} is queued and goes on where run {run.pk} ended, for 3 more epochs.\n"
        assert refusal("runs", "--extend", str(run.pk)) == "--extend and --epochs go together."
        assert refusal("runs", "--epochs", "3") == "--extend and --epochs go together."
        assert refusal("runs", "--extend", str(run.pk), "--epochs", "0") == "epochs is 0; allowed is a number from 1."

    def test_priority(self) -> None:
        run = TrainingRunFactory.create()
        assert run_command("runs", "--priority", str(run.pk), "HIGH") == f"The priority of run {run.pk} is now high.\n"
        run.refresh_from_db()
        assert run.priority == Priority.HIGH
        sentence = refusal("runs", "--priority", str(run.pk), "highest")
        assert sentence == "The priority is 'highest'; allowed are low, normal, high."
        assert refusal("runs", "--priority", "x", "low") == "x is no number of a run."
        assert "does not wait any more" in refusal(
            "runs", "--priority", str(TrainingRunFactory.create(status=JobStatus.RUNNING).pk), "low"
        )

    def test_history(self) -> None:
        ada = UserFactory.create(username="ada")
        run = request_run(owner=ada, dataset=DatasetFactory.create(), recipe="fast", overrides={})
        claimed = TrainingRun.claim(run.pk, worker="host:1")
        assert claimed is not None
        claimed.fail(reason=Reason.DIVERGED, detail="The loss is infinite.")
        assert [line[21:] for line in run_command("runs", "--history", str(run.pk)).splitlines()] == [
            "        - -> queued     requested      attempt 0  fence 0  ada",
            "   queued -> running    claimed        attempt 1  fence 1  host:1",
            "  running -> failed     failed         attempt 1  fence 1  host:1  diverged  The loss is infinite.",
        ]
        printed = json.loads(run_command("runs", "--history", str(run.pk), "--json"))
        assert [(row["from"], row["to"], row["by"]) for row in printed] == [
            ("", "queued", "ada"),
            ("queued", "running", None),
            ("running", "failed", None),
        ]

    @pytest.mark.parametrize("action", ["cancel", "resume", "clone"])
    def test_json_is_the_run(self, action: str) -> None:
        status = JobStatus.FAILED if action == "resume" else JobStatus.QUEUED
        run = TrainingRunFactory.create(status=status)
        printed = json.loads(run_command("runs", f"--{action}", str(run.pk), "--json"))
        shown = TrainingRun.objects.latest("pk")
        assert (printed["run"], printed["status"]) == (shown.pk, shown.status)

    @pytest.mark.parametrize("option", ["cancel", "resume", "clone", "history"])
    def test_an_unknown_run_is_one_sentence(self, option: str) -> None:
        assert refusal("runs", f"--{option}", "999999") == "There is no run 999999; `manage.py runs` lists them."

    def test_a_silent_broker_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.services.reruns.ring", lambda _task, _pk: Bell(was_heard=False))
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        assert "The message broker does not answer" in run_command("runs", "--resume", str(run.pk))

    def test_the_list_tells_turns(self) -> None:
        first = TrainingRunFactory.create()
        follower = TrainingRunFactory.create(after=first)
        lines = run_command("runs").splitlines()
        assert [line.split("  ")[-1] for line in lines] == [f"after run {first.pk}", "number 1 in the queue"]
        printed = {row["run"]: row for row in json.loads(run_command("runs", "--json"))}
        assert printed[first.pk]["waiting"] == {
            "for": "no_worker",
            "position": 1,
            "expected_start": None,
            "after": None,
        }
        assert printed[follower.pk]["waiting"]["for"] == "run"
        assert printed[follower.pk]["after"] == first.pk


class TestQueue:
    def test_it_lists_pauses_and_lets_go_on(self) -> None:
        TrainingRunFactory.create()
        listed = run_command("queue")
        assert listed.splitlines() == [
            "training       1 queued    0 running  open",
            "inference      0 queued    0 running  open",
        ]
        assert "paused since" in run_command("queue", "--pause", "training").splitlines()[0]
        assert JobQueue.objects.get(name=QueueName.TRAINING).paused_at is not None
        assert refusal("queue", "--pause", "training") == "The queue “Training” is paused already."
        assert run_command("queue", "--unpause", "training") == listed

    def test_json(self) -> None:
        pause_queue(name=QueueName.TRAINING, by=UserFactory.create(username="olga", is_superuser=True))
        training, inference = json.loads(run_command("queue", "--json"))
        assert (training["queue"], training["paused_by"], training["paused_at"] is None) == ("training", "olga", False)
        assert inference == {"queue": "inference", "paused_at": None, "paused_by": "", "queued": 0, "running": 0}


class TestTrain:
    @pytest.fixture(autouse=True)
    def _dataset(self) -> None:
        DatasetFactory.create(name="shapes")

    def test_priority_and_order(self) -> None:
        first = TrainingRunFactory.create()
        options = ["--after", str(first.pk), "--priority", "high", "--no-wait", "--json"]
        printed = json.loads(run_command("train", "--dataset", "shapes", *options))
        assert (printed["after"], printed["priority"], printed["waiting"]["for"]) == (first.pk, "high", "run")
        assert refusal("train", "--dataset", "shapes", "--priority", "x").startswith("The priority is 'x'")
        assert refusal("train", "--dataset", "shapes", "--after", "999999").startswith("There is no run 999999")
        sentence = refusal("train", "--control-of", str(first.pk), "--after", str(first.pk))
        assert sentence == "--after does not go with --control-of: a control has the settings of its run."

    def refused_here(self, *options: str) -> str:
        """Return why a run that was to be trained in this process did not start."""
        sentence = refusal("train", "--dataset", "shapes", "--here", *options)
        run = TrainingRun.objects.latest("pk")
        start = f"Run {run.pk} has not started: "
        end = f". It is kept and waits for a worker; `manage.py runs --cancel {run.pk}` drops it."
        assert run.status == JobStatus.QUEUED
        assert sentence.startswith(start)
        assert sentence.endswith(end)
        return sentence[len(start) : -len(end)]

    def test_here_it_says_when_the_devices_are_in_use(self, settings: Settings, monkeypatch: Any) -> None:
        monkeypatch.setattr("training.devices.list_gpus", lambda: ())
        settings.TRAINING_SLOTS = 1
        with hold_devices(1):
            assert self.refused_here() == "all devices of this machine are in use by other runs"

    def test_here_it_says_what_else_holds_it_back(self) -> None:
        first = TrainingRunFactory.create()
        follows = f"run {first.pk}, which it is to follow, has not succeeded"
        assert self.refused_here("--after", str(first.pk)) == follows
        pause_queue(name=QueueName.TRAINING, by=None)
        paused = "the training queue is paused (`manage.py queue --unpause training`)"
        assert self.refused_here() == paused
