"""The commands: what they print, what they refuse, and with which exit code."""

from __future__ import annotations

import json
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from tests.factories import (
    DatasetFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    dataset_manifest,
    in_state,
    make_transfer_run,
)
from tests.fixtures import StubEngine
from tests.training.engine.test_data_checks import make_dataset
from training.choices import JobStatus, ModelState
from training.engine.data_checks import read_report
from training.management.commands.train import parse_setting
from training.management.following import Display, follow
from training.models import Dataset, DatasetImport, Evaluation, ModelVersion, TrainingRun, Worker
from training.registry import register_package

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run_command(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def refusal(*arguments: str) -> str:
    """Run a command that is refused; the sentence goes to standard error with exit code 1."""
    with pytest.raises(CommandError) as caught:
        run_command(*arguments)
    assert caught.value.returncode == 1
    return str(caught.value)


class TestTrain:
    @pytest.fixture(autouse=True)
    def dataset(self) -> Dataset:
        dataset: Dataset = DatasetFactory.create(name="shapes")
        return dataset

    @pytest.mark.usefixtures("stub_engine")
    def test_here_it_trains_in_this_process(self) -> None:
        printed = run_command("train", "--dataset", "shapes", "--set", "epochs=2", "seed=4", "--here")
        run, version = TrainingRun.objects.get(), ModelVersion.objects.get()
        assert (run.status, run.config["epochs"], run.config["seed"]) == (JobStatus.SUCCEEDED, 2, 4)
        assert printed.splitlines() == [
            f"Run {run.pk} is queued: fast on shapes.",
            "epoch 1/2  loss 1.0000  accuracy 50.00%  0.1 s",
            "epoch 2/2  loss 0.5000  accuracy 50.00%  0.1 s",
            f"Model version v{version.pk}: 100.00% on the test split. "
            f"Make it answer with: manage.py promote v{version.pk}",
        ]

    @pytest.mark.usefixtures("stub_engine")
    def test_json_is_one_object_on_standard_output(self) -> None:
        printed = json.loads(run_command("train", "--dataset", "shapes", "--here", "--json"))
        version = ModelVersion.objects.get()
        assert printed["status"] == "succeeded"
        assert (printed["model_version"], printed["package_sha256"]) == (version.pk, version.package_sha256)
        assert (printed["test_accuracy"], printed["metrics"]["accuracy"]) == (1.0, 1.0)

    def test_a_failure_is_a_sentence_and_exit_code_1(self, stub_engine: StubEngine) -> None:
        stub_engine.behave("diverge")
        sentence = refusal("train", "--dataset", "shapes", "--here")
        run = TrainingRun.objects.get()
        assert sentence == f"Run {run.pk}: Failed. The training loss stopped being a finite number."

    def test_without_waiting_it_only_queues(self) -> None:
        printed = json.loads(run_command("train", "--dataset", "shapes", "--no-wait", "--json"))
        assert printed["status"] == "queued"
        assert TrainingRun.objects.get().pk == printed["run"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--set", "epochs=-1"], "epochs is -1"),
            (["--set", "epochs=two"], "epochs is 'two'"),
            (["--set", "epochs=2.5"], "epochs is '2.5'"),
            (["--set", "learning_rate=nan"], "learning_rate is nan"),
            (["--set", "flip=perhaps"], "flip is 'perhaps'"),
            (["--set", "surprise=1"], "surprise is not a training option"),
            (["--set", "epochs"], "KEY=VALUE"),
            (["--recipe", "slow"], "recipe is 'slow'"),
        ],
    )
    def test_wrong_values_are_one_sentence(self, arguments: list[str], words: str) -> None:
        sentence = refusal("train", "--dataset", "shapes", *arguments)
        assert words in sentence
        assert "\n" not in sentence
        assert not TrainingRun.objects.exists()

    def test_a_missing_dataset_is_answered_with_those_there_are(self, dataset: Dataset) -> None:
        assert refusal("train", "--dataset", "x") == "There is no dataset named x. Imported are: shapes."
        dataset.delete()
        assert "manage.py import_dataset --demo" in refusal("train", "--dataset", "x")

    @pytest.mark.parametrize(
        ("text", "setting"),
        [
            ("epochs=3", ("epochs", 3)),
            ("learning_rate=1e-3", ("learning_rate", 0.001)),
            ("flip=false", ("flip", False)),
            ("notes=a=b", ("notes", "a=b")),
        ],
    )
    def test_settings_have_the_options_type(self, text: str, setting: tuple[str, object]) -> None:
        assert parse_setting(text) == setting


class TestControl:
    @pytest.fixture
    def run(self) -> TrainingRun:
        return make_transfer_run(metrics={"accuracy": 0.75, "per_class": [{"support": 200}, {"support": 200}]})

    @pytest.mark.usefixtures("stub_engine")
    def test_it_is_trained_and_compared(self, run: TrainingRun) -> None:
        lines = run_command("train", "--control-of", str(run.pk), "--here").splitlines()
        control = run.controls.get()
        assert lines[0] == f"Run {control.pk} is queued: fast on {run.dataset.name}, the control of run {run.pk}."
        assert lines[8].startswith("epoch 8/8  ")
        assert lines[-1] == (
            "The first phase is worth -25.00 points of test accuracy (95 % interval -29.47 to -20.90, two independent "
            f"shares of 400 test images), compared with run {run.pk}."
        )

    @pytest.mark.usefixtures("stub_engine")
    def test_json_has_the_difference(self, run: TrainingRun) -> None:
        printed = json.loads(run_command("train", "--control-of", str(run.pk), "--here", "--json"))
        assert printed["control_of"] == printed["difference"]["compared_with"] == run.pk
        assert (printed["difference"]["mean"], printed["difference"]["test_count"]) == (-0.25, 400)

    def test_wrong_values_are_one_sentence(self, run: TrainingRun) -> None:
        assert refusal("train", "--control-of", "404") == "There is no run 404; `manage.py runs` lists them."
        assert "--set does not go with --control-of" in refusal(
            "train", "--control-of", str(run.pk), "--set", "epochs=3"
        )
        assert refusal("train", "--control-of", str(run.pk), "--recipe", "fast") == (
            "--recipe does not go with --control-of: a control has the settings of its run."
        )
        one_phase = TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
        assert "learns in one phase" in refusal("train", "--control-of", str(one_phase.pk))


class TestFollow:
    def test_the_curve_is_printed_line_by_line_in_a_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING, progress_total=20)
        states = iter([1, 2])

        def work(_seconds: float) -> None:
            epoch = next(states, None)
            if epoch is None:
                TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.SUCCEEDED))
                return
            figures = {"train_loss": 1.0, "train_accuracy": 0.25, "learning_rate": 0.1, "seconds": 2.0}
            run.epochs.create(epoch=epoch, step=epoch * 10, **figures)

        monkeypatch.setattr("time.sleep", work)
        out = StringIO()
        follow(run, display=Display(out, epochs_by_phase={0: 2}))
        assert out.getvalue().splitlines() == [
            "epoch 1/2  loss 1.0000  accuracy 25.00%  2.0 s",
            "epoch 2/2  loss 1.0000  accuracy 25.00%  2.0 s",
            f"Run {run.pk}: Succeeded",
        ]

    def test_a_terminal_gets_a_bar_that_is_wiped(self) -> None:
        out = Terminal()
        display = Display(out, epochs_by_phase={0: 2})
        display.show_progress(done=5, total=10, message="Epoch 1/2")
        display.show_line("done")
        assert out.getvalue() == f"[{'#' * 15}{'.' * 15}]  50 %  Epoch 1/2\r\x1b[2Kdone\n"

    def test_control_c_stops_the_watching_and_not_the_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("time.sleep", interrupt)
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        out = StringIO()
        with pytest.raises(SystemExit) as caught:
            follow(run, display=Display(out, epochs_by_phase={0: 2}))
        run.refresh_from_db()
        assert caught.value.code == 130
        assert (run.status, run.cancel_requested) == (JobStatus.RUNNING, False)
        assert f"Run {run.pk} goes on without you" in out.getvalue()

    @pytest.mark.parametrize("is_there", [True, False])
    def test_it_says_when_no_worker_is_there(self, *, is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        run = TrainingRunFactory.create()
        if is_there:
            now = timezone.now()
            Worker.objects.create(name="w", queues=["training"], started_at=now, last_seen_at=now)
        end = lambda _seconds: TrainingRun.objects.update(**in_state(JobStatus.SUCCEEDED))  # noqa: E731
        monkeypatch.setattr("time.sleep", end)
        out = StringIO()
        follow(run, display=Display(out))
        assert ("celery -A cifarsite worker -Q training" in out.getvalue()) is not is_there


class TestImportDataset:
    @pytest.mark.usefixtures("stub_engine")
    def test_the_demo_here(self) -> None:
        printed = run_command("import_dataset", "--demo", "--here")
        assert printed.splitlines() == [
            " 20 %  1 files read",
            " 40 %  2 files read",
            " 60 %  3 files read",
            " 80 %  4 files read",
            "Dataset demo: 8 training and 2 test images, 2 classes, 0 files left out.",
        ]
        assert Dataset.objects.get().name == "demo"

    @pytest.mark.usefixtures("stub_engine")
    def test_an_archive_here_as_json(self, tmp_path: Path) -> None:
        archive = tmp_path / "mine.zip"
        archive.touch()
        options = ["--skip-unreadable", "--notes", "from a drawer", "--here", "--json"]
        printed = json.loads(run_command("import_dataset", "mine", str(archive), *options))
        assert (printed["name"], printed["status"], printed["class_keys"]) == ("mine", "succeeded", ["cat", "dog"])
        job = DatasetImport.objects.get()
        assert (job.source_path, job.skip_unreadable, job.notes) == (str(archive), True, "from a drawer")

    @pytest.mark.parametrize("source", ["cifar10", "stl10"])
    def test_a_download_has_a_name_of_its_own(self, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.services.room.free_bytes", lambda: 10 * 1024**3)
        run_command("import_dataset", f"--{source}", "--no-wait")
        job = DatasetImport.objects.get()
        assert (job.name, job.source, job.status) == (source, source, JobStatus.QUEUED)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "Say what to import"),
            (["mine"], "Say what to import"),
            (["mine", "/x", "--demo"], "either a path"),
            (["mine", "/nowhere/at/all"], "no archive or folder at /nowhere/at/all"),
            (["Mine", "/"], "lower-case"),
            (["taken", "/"], "taken exists already"),
        ],
    )
    def test_wrong_values_are_one_sentence(self, arguments: list[str], words: str) -> None:
        DatasetFactory.create(name="taken")
        sentence = refusal("import_dataset", *arguments)
        assert words in sentence
        assert "\n" not in sentence
        assert not DatasetImport.objects.exists()


class TestCheckDataset:
    @pytest.fixture
    def leaky(self, tmp_path: Path) -> Dataset:
        path = make_dataset(tmp_path / "leaky", wrong=True)
        manifest = json.loads((path / "manifest.json").read_text())
        dataset: Dataset = DatasetFactory.create(name="leaky", location=str(path), manifest=manifest)
        return dataset

    def test_it_says_and_stores_what_it_finds(self, leaky: Dataset) -> None:
        assert run_command("check_dataset", "leaky").splitlines()[-6:] == [
            "train: 20 images, 1 of a single colour, smallest class 82% of the largest",
            "test: 10 images, 0 of a single colour, smallest class 43% of the largest",
            "train in train: 4 exact copies, 0 near copies, 2 with another class",
            "test in test: 0 exact copies, 0 near copies, 0 with another class",
            "test in train: 1 exact copies, 2 near copies, 1 with another class",
            "No run uses leaky until its exact copies are accepted with --accept-copies.",
        ]
        leaky.refresh_from_db()
        assert (leaky.exact_copies, leaky.has_refused_copies) == (1, True)
        assert "test_copies" not in leaky.checks

    def test_json_and_another_dataset(self, leaky: Dataset, tmp_path: Path) -> None:
        DatasetFactory.create(name="other", location=str(make_dataset(tmp_path / "other", seed=1)))
        printed = json.loads(run_command("check_dataset", "leaky", "--against", "other", "--json"))
        assert printed == read_report(leaky.path)
        assert [one["name"] for one in printed["against"]] == ["other"]

    def test_copies_are_accepted_once(self, leaky: Dataset) -> None:
        run_command("check_dataset", "leaky", "--accept-copies")
        leaky.refresh_from_db()
        assert (leaky.has_refused_copies, leaky.copies_accepted_by) == (False, None)
        assert refusal("check_dataset", "leaky", "--accept-copies") == "The copies in leaky were accepted already."

    def test_wrong_values_are_one_sentence(self) -> None:
        DatasetFactory.create(name="empty")
        assert refusal("check_dataset", "x") == "There is no dataset named x. Imported are: empty."
        assert "is not an imported dataset" in refusal("check_dataset", "empty")


class TestEvaluate:
    @pytest.fixture
    def version(self, tiny_package: Path) -> ModelVersion:
        return register_package(tiny_package)

    @pytest.fixture(autouse=True)
    def dataset(self, tiny_dataset: Path) -> Dataset:
        manifest = json.loads((tiny_dataset / "manifest.json").read_text())
        dataset: Dataset = DatasetFactory.create(
            name="tiny", location=str(tiny_dataset), manifest=manifest, sha256=manifest["sha256"], test_count=40
        )
        return dataset

    def test_tables_fit_eighty_columns(self, version: ModelVersion) -> None:
        lines = run_command("evaluate", str(version), "--dataset", "tiny", "--tta", "--here").splitlines()
        assert max(map(len, lines)) <= 80
        assert f"{version} on the 40 test images of tiny" in lines
        assert f"accuracy                             {version.test_accuracy:8.2%}" in lines
        titles = [line for before, line in pairwise(lines) if not before]
        assert titles == [
            "By class",
            "Confusion matrix: of each true class (row), the percentage taken for each class",
            "Most confused pairs",
            "Hardest mistakes",
            "Reliability",
            "Images of no class",
            "Test-time augmentation",
        ]
        served = version.manifest["out_of_distribution"]
        assert "Each threshold keeps 95% of 20 validation images." in lines
        assert f"The model serves {served['score']} with threshold {served['threshold']:.4f}, " in "\n".join(lines)

    @pytest.mark.django_db(transaction=True)  # the engine takes longer than a silent transaction may
    def test_json_is_one_object_and_another_dataset_with_other_classes_is_refused(
        self, version: ModelVersion, tmp_path: Path
    ) -> None:
        printed = json.loads(run_command("evaluate", str(version), "--dataset", "tiny", "--json", "--here"))
        assert (printed["version"], printed["package_sha256"]) == (str(version), version.package_sha256)
        assert printed["status"] == "succeeded"
        assert printed["metrics"]["confusion_matrix"] == version.manifest["metrics"]["confusion_matrix"]
        job = Evaluation.objects.get(pk=printed["evaluation"])
        assert (job.owner, job.accuracy) == (None, version.test_accuracy)
        manifest = dataset_manifest("other", class_keys=["blue", "green"])
        other = DatasetFactory.create(name="other", location=str(make_dataset(tmp_path / "other")), manifest=manifest)
        assert refusal("evaluate", str(version), "--dataset", other.name) == (
            f"{version} knows other classes than the dataset “other” has."
        )

    def test_it_may_be_left_to_a_worker(self, version: ModelVersion) -> None:
        assert run_command("evaluate", str(version), "--dataset", "tiny", "--no-wait") == ""
        assert Evaluation.objects.get().status == JobStatus.QUEUED
        assert refusal("evaluate", str(version), "--dataset", "tiny", "--no-wait") == (
            f"{version} is being evaluated on the dataset “tiny” already."
        )

    def test_wrong_names_are_one_sentence(self, version: ModelVersion) -> None:
        assert refusal("evaluate", str(version), "--dataset", "x") == (
            "There is no dataset named x. Imported are: tiny."
        )
        assert "v999999 names no model version" in refusal("evaluate", "v999999", "--dataset", "tiny")

    @pytest.mark.django_db(transaction=True)
    def test_a_damaged_package_is_one_sentence(self, version: ModelVersion) -> None:
        (version.path / "model.onnx").write_bytes(b"nonsense")
        sentence = refusal("evaluate", str(version), "--dataset", "tiny", "--here")
        assert sentence.startswith(f"Evaluation {Evaluation.objects.get().pk} of {version}: Failed. ")
        assert "model.onnx" in sentence


class TestPromote:
    def test_by_number_or_by_hash(self) -> None:
        first, second = ModelVersionFactory.create_batch(2)
        assert run_command("promote", f"v{first.pk}") == f"v{first.pk} answers now: 100.00% on its test split.\n"
        assert f"instead of v{first.pk}" in run_command("promote", second.package_sha256[:12])
        assert ModelVersion.objects.champion() == second

    @pytest.mark.parametrize("text", ["v999999", "latest", "ab", "../x"])
    def test_an_unknown_version_is_one_sentence(self, text: str) -> None:
        assert f"{text} names no model version" in refusal("promote", text)

    def test_other_classes_want_a_flag(self) -> None:
        ModelVersionFactory.create(state=ModelState.CHAMPION)
        version = ModelVersionFactory.create(class_keys=["cat", "dog"])
        assert "--accept-class-change" in refusal("promote", str(version))
        run_command("promote", str(version), "--accept-class-change")
        assert ModelVersion.objects.champion() == version

    def test_the_champion_is_refused(self) -> None:
        version = ModelVersionFactory.create(state=ModelState.CHAMPION)
        assert refusal("promote", str(version)) == f"{version} is the champion already."

    def test_a_less_accurate_one_wants_a_reason(self) -> None:
        champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
        version = ModelVersionFactory.create()
        ModelVersion.objects.filter(pk=version.pk).update(test_accuracy=0.5)
        assert refusal("promote", str(version)).endswith("Add --reason TEXT.")
        printed = json.loads(run_command("promote", str(version), "--reason", "It is small.", "--json"))
        assert printed["at"]
        assert (printed["kind"], printed["version"], printed["previous"], printed["reason"]) == (
            "promote",
            str(version),
            str(champion),
            "It is small.",
        )

    def test_the_way_back(self) -> None:
        assert "nothing to roll back" in refusal("rollback")
        first, second, third = ModelVersionFactory.create_batch(3)
        for version in (first, second, third):
            run_command("promote", str(version))
        assert run_command("rollback") == f"{second} answers again instead of {third}.\n"
        printed = json.loads(run_command("rollback", "--reason", "Further.", "--json"))
        assert (printed["kind"], printed["version"], printed["reason"]) == ("rollback", str(first), "Further.")


class TestPackages:
    def test_out_and_in(self, tmp_path: Path) -> None:
        version = ModelVersionFactory.create()
        file = tmp_path / "model.zip"
        assert run_command("export_package", str(version), str(file)).startswith(f"{version} is in {file}: ")
        printed = json.loads(run_command("export_package", str(version), str(tmp_path / "b.zip"), "--json"))
        assert (printed["file"], printed["bytes"]) == (str(tmp_path / "b.zip"), file.stat().st_size)
        assert "File exists" in refusal("export_package", str(version), str(file))
        assert run_command("import_package", str(file)) == f"{version} is that package already; it is candidate.\n"
        version.delete()
        printed = json.loads(run_command("import_package", str(file), "--json"))
        assert (printed["package_sha256"], printed["state"], printed["run"], printed["is_new"]) == (
            version.package_sha256,
            "candidate",
            None,
            True,
        )

    def test_a_refusal_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "model.zip").write_bytes(b"text")
        assert refusal("import_package", str(tmp_path / "model.zip")) == (
            "The package is refused. This is no .zip, .tar, .tar.gz or .tar.xz archive."
        )


class TestLists:
    def test_models(self) -> None:
        assert run_command("models") == "No model version yet.\n"
        version = ModelVersionFactory.create(state=ModelState.CHAMPION)
        assert f"{version}  champion   100.00%  fast on colours" in run_command("models")
        [printed] = json.loads(run_command("models", "--json"))
        assert (printed["id"], printed["state"], printed["dataset"]) == (version.pk, "champion", "colours")

    def test_runs(self) -> None:
        assert run_command("runs") == "No training run yet.\n"
        run = TrainingRunFactory.create(progress_done=1, progress_total=4)
        assert f"{run.pk}  queued      25 %  fast on {run.dataset}" in run_command("runs")
        [printed] = json.loads(run_command("runs", "--json"))
        assert (printed["run"], printed["status"]) == (run.pk, "queued")

    def test_runs_can_be_stopped(self) -> None:
        run = TrainingRunFactory.create()
        assert run_command("runs", "--cancel", str(run.pk)) == f"Run {run.pk} was asked to stop.\n"
        run.refresh_from_db()
        assert run.status == JobStatus.CANCELLED
        assert "ended already" in refusal("runs", "--cancel", str(run.pk))
        assert "There is no run 999" in refusal("runs", "--cancel", "999")


def test_a_refusal_is_exit_code_1_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import ManagementUtility

    with pytest.raises(SystemExit) as caught:
        ManagementUtility(["manage.py", "promote", "v999999"]).execute()
    assert caught.value.code == 1
    printed: Any = capsys.readouterr()
    assert printed.err.endswith("CommandError: v999999 names no model version; `manage.py models` lists them.\n")
