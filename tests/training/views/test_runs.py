"""The pages of one training run, and the form of a new one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.urls import reverse

from tests.factories import (
    DatasetFactory,
    EpochMetricFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    make_config,
    make_transfer_run,
)
from tests.training.people import Person, errors_of, text_of
from training.choices import JobStatus, ModelState, Reason
from training.engine.config import TrainConfig
from training.engine.recipes import RECIPES
from training.models import TrainingRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def trainer() -> Person:
    return Person("trainer", username="tara")


def finished_run(**fields: Any) -> TrainingRun:
    """Return a run that made a version."""
    run: TrainingRun = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, **fields)
    version = ModelVersionFactory.create(run=run)
    TrainingRun.objects.filter(pk=run.pk).update(metrics=version.manifest["metrics"])
    EpochMetricFactory.create(run=run, epoch=1)
    run.refresh_from_db()
    return run


class TestNew:
    def test_without_data_it_says_where_to_get_some(self, trainer: Person) -> None:
        response = trainer.get(reverse("run_new"))
        assert "There is nothing to learn from yet" in text_of(response)
        assert f"{reverse('import_new')}?source=demo" in response.content.decode()

    def test_it_queues_a_run_with_what_was_changed(self, trainer: Person) -> None:
        dataset = DatasetFactory.create()
        form = {"dataset": dataset.pk, "recipe": "fast", "epochs": "3", "learning_rate": "0.05"}
        response = trainer.post(reverse("run_new"), form)
        run = TrainingRun.objects.get()
        assert (response.status_code, response.headers["Location"]) == (302, reverse("run", args=[run.pk]))
        assert (run.owner, run.dataset, run.status) == (trainer.user, dataset, JobStatus.QUEUED)
        assert run.config == make_config(epochs=3, learning_rate=0.05)

    def test_a_refused_value_is_shown_at_its_field(self, trainer: Person) -> None:
        form = {"dataset": DatasetFactory.create().pk, "recipe": "fast", "epochs": "0"}
        response = trainer.post(reverse("run_new"), form)
        assert errors_of(response) == {"epochs": ["Epochs is “0”; allowed is a whole number from 1 to 1000."]}
        page = response.content.decode()
        assert 'aria-invalid="true"' in page
        assert 'aria-describedby="id_epochs_helptext id_epochs_error"' in page
        assert not TrainingRun.objects.exists()

    def test_the_folded_settings_open_when_one_is_refused(self, trainer: Person) -> None:
        form = {"dataset": DatasetFactory.create().pk, "recipe": "fast", "momentum": "7"}
        page = trainer.post(reverse("run_new"), form).content.decode()
        assert re.search(r'<details class="more"\s+open', page)

    def test_what_the_service_refuses_is_shown(self, trainer: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.services.room.free_bytes", lambda: 1024)
        response = trainer.post(reverse("run_new"), {"dataset": DatasetFactory.create().pk, "recipe": "fast"})
        assert "The disk is almost full" in errors_of(response)["__all__"][0]
        assert not TrainingRun.objects.exists()

    def test_the_address_fills_the_form(self, trainer: Person) -> None:
        DatasetFactory.create()
        second = DatasetFactory.create()
        page = trainer.get(reverse("run_new"), {"dataset": second.pk, "epochs": "5"}).content.decode()
        assert f'<option value="{second.pk}" selected>' in page
        assert re.search(r'name="epochs" value="5"', page)

    def test_no_field_of_the_row_can_be_smuggled_in(self, trainer: Person) -> None:
        form = {"dataset": DatasetFactory.create().pk, "recipe": "fast", "status": "succeeded", "owner": "1"}
        trainer.post(reverse("run_new"), form)
        run = TrainingRun.objects.get()
        assert (run.status, run.owner) == (JobStatus.QUEUED, trainer.user)


class TestPage:
    def test_it_shows_settings_and_what_differs_from_the_recipe(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(config=make_config(epochs=12))
        response = trainer.get(reverse("run", args=[run.pk]))
        assert f"Epochs 12 epochs recipe: {RECIPES['fast'].defaults['epochs']}" in text_of(response)
        query = f"{reverse('run_new')}?dataset={run.dataset_id}&amp;recipe=fast&amp;epochs=12"
        assert query in response.content.decode()

    def test_it_shows_the_result_in_the_end(self, trainer: Person, artifacts_root: object) -> None:
        run = finished_run()
        shown = text_of(trainer.get(reverse("run", args=[run.pk])))
        assert "Result on the test images" in shown
        assert f"Model v{run.version.pk}" in shown
        assert "Confusion matrix" in trainer.get(reverse("run", args=[run.pk])).content.decode()

    def test_it_tells_the_best_epoch_and_where_training_stopped_early(self, trainer: Person) -> None:
        config = {**TrainingRunFactory.build().config, "epochs": 12}
        run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, config=config)
        for epoch, accuracy in ((1, 0.5), (2, 0.75), (3, 0.75), (4, None)):
            EpochMetricFactory.create(run=run, epoch=epoch, validation_accuracy=accuracy)
        shown = text_of(trainer.get(reverse("run", args=[run.pk])))
        assert "Best epoch 2 stopped early, after epoch 4" in shown

    def test_a_run_that_took_all_its_epochs_did_not_stop_early(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
        EpochMetricFactory.create(run=run, epoch=run.config["epochs"], validation_accuracy=0.5)
        shown = text_of(trainer.get(reverse("run", args=[run.pk])))
        assert f"Best epoch {run.config['epochs']}" in shown
        assert "stopped early" not in shown

    def test_a_champion_is_called_so(self, artifacts_root: object) -> None:
        run = finished_run()
        operator = Person("operator")
        promote = reverse("version_promote", args=[run.version.pk])
        assert promote in operator.get(reverse("run", args=[run.pk])).content.decode()
        type(run.version).objects.update(state=ModelState.CHAMPION)
        response = operator.get(reverse("run", args=[run.pk]))
        assert promote not in response.content.decode()
        assert "Champion" in text_of(response)

    def test_it_tells_why_a_run_failed_and_escapes_it(self, trainer: Person) -> None:
        detail = "The loss became infinite at step 3: <script>alert(1)</script>"
        run = TrainingRunFactory.create(status=JobStatus.FAILED, reason=Reason.DIVERGED, detail=detail, log_tail="<b>x")
        page = trainer.get(reverse("run", args=[run.pk])).content.decode()
        assert "The loss became infinite or undefined" in page
        assert "step 3: &lt;script&gt;" in page
        assert "&lt;b&gt;x" in page
        assert "<script>alert" not in page

    def test_it_has_no_inline_script_or_style(self, trainer: Person, artifacts_root: object) -> None:
        page = trainer.get(reverse("run", args=[finished_run().pk])).content.decode()
        assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []

    def test_it_links_to_mlflow_when_there_is_one(self, trainer: Person, settings: Any) -> None:
        run = TrainingRunFactory.create(mlflow_run_id="abc")
        address = reverse("run", args=[run.pk])
        assert "MLflow" not in text_of(trainer.get(address))
        (Path(settings.VAR) / "mlflow.url").write_text("http://127.0.0.1:5000\n")  # as `make mlflow` does
        assert 'href="http://127.0.0.1:5000/#/runs/abc"' in trainer.get(address).content.decode()
        (Path(settings.VAR) / "mlflow.url").unlink()
        settings.MLFLOW_URL = "http://mlflow.example/"
        assert 'href="http://mlflow.example/#/runs/abc"' in trainer.get(address).content.decode()

    def test_a_waiting_run_says_for_what(self, trainer: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = TrainingRunFactory.create_batch(2)
        waiting = text_of(trainer.get(reverse("run", args=[second.pk])))
        assert "no training worker is running" in waiting
        monkeypatch.setattr("training.services.waiting.count_training_lanes", lambda: 1)
        assert "one waiting run is before it" in text_of(trainer.get(reverse("run", args=[second.pk])))
        assert "A training worker takes it in a moment." in text_of(trainer.get(reverse("run", args=[first.pk])))


class TestLive:
    def address(self, run: TrainingRun, *, state: str, epochs: int = 0) -> str:
        return f"{reverse('run_live', args=[run.pk])}?state={state}&epochs={epochs}&history=0"

    def test_it_asks_again_while_the_run_is_alive(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING, progress_done=3, progress_total=12)
        response = trainer.get(self.address(run, state="running"))
        page = response.content.decode()
        assert f'hx-get="{reverse("run_live", args=[run.pk])}?state=running&amp;epochs=0&amp;history=0"' in page
        assert 'hx-trigger="every 1s"' in page
        assert 'value="25"' in page
        assert "no-store" in response.headers["Cache-Control"]

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
    def test_it_stops_asking_once_the_run_has_ended(self, trainer: Person, status: JobStatus) -> None:
        page = trainer.get(self.address(TrainingRunFactory.create(status=status), state="running")).content.decode()
        assert "hx-get" not in page
        assert "hx-trigger" not in page

    def test_it_sends_what_lies_outside_only_when_it_changed(self, trainer: Person) -> None:
        run = EpochMetricFactory.create(run=TrainingRunFactory.create(status=JobStatus.RUNNING), epoch=1).run

        def outside(**shown: Any) -> set[str]:
            page = trainer.get(self.address(run, **shown)).content.decode()
            return set(re.findall(r'id="([a-z-]+)"[^>]*?\shx-swap-oob', page))

        assert outside(state="running", epochs=1) == {"run-log"}
        assert outside(state="running", epochs=0) == {"run-log", "run-epochs"}
        assert outside(state="queued", epochs=1) == {"run-log", "run-actions", "run-result"}

    def test_the_result_arrives_without_a_reload(self, trainer: Person, artifacts_root: object) -> None:
        shown = text_of(trainer.get(self.address(finished_run(), state="running", epochs=1)))
        assert "Result on the test images" in shown

    def test_cancelling_shows_at_once(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING, cancel_requested=True, owner=trainer.user)
        page = trainer.get(self.address(run, state="running")).content.decode()
        assert 'data-state="running-ending"' in page
        assert "Cancelling" in page
        assert "cancel-button" not in page


class TestCurve:
    def test_it_is_columns_as_long_as_the_epochs(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        EpochMetricFactory.create(run=run, epoch=2, train_loss=1.5, validation_loss=None)
        EpochMetricFactory.create(run=run, epoch=1, train_loss=2.0)
        curve = trainer.get(reverse("run_curve", args=[run.pk])).json()
        assert curve["epoch"] == [1, 2]
        assert curve["train_loss"] == [2.0, 1.5]
        assert curve["validation_loss"] == [1.0, None]
        assert (curve["status"], curve["total_epochs"]) == ("running", 2)

    def test_it_is_empty_before_the_first_epoch(self, trainer: Person) -> None:
        curve = trainer.get(reverse("run_curve", args=[TrainingRunFactory.create().pk])).json()
        assert [curve[name] for name in ("epoch", "train_loss", "validation_accuracy")] == [[], [], []]


class TestTwoPhases:
    def metrics_of(self, accuracy: float) -> dict[str, Any]:
        metrics: dict[str, Any] = dict(ModelVersionFactory.create().manifest["metrics"])
        metrics["accuracy"] = accuracy
        return metrics

    def test_both_histories_are_shown(self, trainer: Person) -> None:
        run = make_transfer_run(status=JobStatus.RUNNING)
        shown = text_of(trainer.get(reverse("run", args=[run.pk])))
        assert "In two phases: first on photos, then on its own dataset." in shown
        assert "Epochs, phase 2 2 / 2" in shown
        assert "Phase Epoch Training loss" in shown
        curve = trainer.get(reverse("run_curve", args=[run.pk])).json()
        assert (curve["phase"], curve["epoch"], curve["total_epochs"]) == ([1, 1, 2, 2], [1, 2, 1, 2], 4)

    def test_the_control_is_one_click_away(self, trainer: Person, artifacts_root: object) -> None:
        run = make_transfer_run(metrics=self.metrics_of(0.75))
        address = reverse("run_control", args=[run.pk])
        assert address in trainer.get(reverse("run", args=[run.pk])).content.decode()
        response = trainer.post(address)
        control = run.controls.get()
        assert response.headers["Location"] == reverse("run", args=[control.pk])
        assert control.owner == trainer.user
        page = trainer.get(reverse("run", args=[run.pk]))
        assert f"Run {control.pk} is the control of this run." in text_of(page)
        assert address not in page.content.decode()
        assert f"The control of Run {run.pk} : without the first phase" in text_of(trainer.get(response["Location"]))

    def test_a_refusal_is_told_in_the_words_of_the_form(self, trainer: Person, artifacts_root: object) -> None:
        run = make_transfer_run()
        TrainingRun.objects.filter(pk=run.pk).update(config={**run.config, "epochs": 1000})
        response = trainer.post(reverse("run_control", args=[run.pk]), follow=True)
        assert "Epochs is “1006”; allowed is a whole number from 1 to 1000." in text_of(response)

    def test_a_control_can_be_repeated(self, trainer: Person, artifacts_root: object) -> None:
        """Its recipe has a first phase, which a field left empty would bring back."""
        first = {"auxiliary_dataset": "", "auxiliary_epochs": 0, "auxiliary_learning_rate": 0.0}
        config = TrainConfig.from_recipe("transfer-stl10", dataset="x", **first).to_dict()
        del config["dataset"]
        control = TrainingRunFactory.create(recipe="transfer-stl10", config=config)
        context = trainer.get(reverse("run", args=[control.pk])).context
        trainer.post(reverse("run_new"), dict(parse_qsl(context["repeat_query"])))
        assert TrainingRun.objects.exclude(pk=control.pk).get().config == config

    def test_both_pages_show_the_difference(self, trainer: Person, artifacts_root: object) -> None:
        run = make_transfer_run(metrics=self.metrics_of(0.75))
        control = TrainingRunFactory.create(
            control_of=run, status=JobStatus.SUCCEEDED, metrics={**run.metrics, "accuracy": 0.5}
        )
        for shown, other in ((run, control), (control, run)):
            page = trainer.get(reverse("run", args=[shown.pk]))
            assert "Difference +25.00 95% interval" in text_of(page)
            assert reverse("run", args=[other.pk]) in page.content.decode()

    @pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
    def test_a_control_that_ended_untested_promises_nothing(self, trainer: Person, status: JobStatus) -> None:
        run = make_transfer_run(metrics=self.metrics_of(0.75))
        control = TrainingRunFactory.create(control_of=run, status=status)
        shown = text_of(trainer.get(reverse("run", args=[control.pk])))
        assert f"This run ended before it was tested: there is nothing to compare with Run {run.pk}." in shown
        assert "Once it has been tested" not in shown

    def test_a_transfer_run_without_a_test_promises_nothing(self, trainer: Person) -> None:
        run = make_transfer_run()
        control = TrainingRunFactory.create(control_of=run)
        shown = text_of(trainer.get(reverse("run", args=[control.pk])))
        assert f"Run {run.pk} ended before it was tested: there is nothing to compare this run with." in shown

    def test_a_run_of_one_phase_has_no_control(self, trainer: Person, artifacts_root: object) -> None:
        run = finished_run()
        assert "first phase" not in text_of(trainer.get(reverse("run", args=[run.pk])))
        response = trainer.post(reverse("run_control", args=[run.pk]), follow=True)
        assert "only a run of two has a control" in text_of(response)
        assert not run.controls.exists()

    def test_who_may_not_train_may_not_ask(self) -> None:
        run = make_transfer_run()
        assert Person("user").post(reverse("run_control", args=[run.pk])).status_code == 403


class TestCancel:
    def cancel(self, person: Person, run: TrainingRun) -> Any:
        return person.post(reverse("run_cancel", args=[run.pk]), follow=True)

    def test_ones_own(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        response = self.cancel(trainer, run)
        run.refresh_from_db()
        assert run.status == JobStatus.CANCELLED
        assert f"Run {run.pk} is being cancelled." in text_of(response)

    def test_not_anothers(self, trainer: Person) -> None:
        run = TrainingRunFactory.create()
        assert self.cancel(trainer, run).status_code == 403
        run.refresh_from_db()
        assert (run.status, run.cancel_requested) == (JobStatus.QUEUED, False)
        assert "cancel-button" not in trainer.get(reverse("run", args=[run.pk])).content.decode()

    def test_an_operator_cancels_everybodys(self) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        self.cancel(Person("operator"), run)
        run.refresh_from_db()
        assert (run.status, run.cancel_requested) == (JobStatus.RUNNING, True)

    def test_one_that_has_ended_says_so(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.SUCCEEDED)
        assert "has ended already" in text_of(self.cancel(trainer, run))
