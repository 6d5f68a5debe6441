"""Runs that come of other runs."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from pytest_django import Settings

from tests.factories import (
    EpochMetricFactory,
    TrainingRunFactory,
    UserFactory,
    in_state,
    make_transfer_run,
)
from training.choices import Cause, JobStatus, Reason
from training.doorbell import EXECUTE_RUN
from training.engine.exceptions import ConfigError
from training.exceptions import ServiceError
from training.models import TrainingRun, Transition
from training.services import clone_run, extend_run, request_control, resume_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class TestControl:
    def test_it_has_the_same_settings_and_sees_as_many_images(self, rung: list[tuple[str, int]]) -> None:
        run = make_transfer_run()
        control = request_control(owner=None, run=run)
        without = {"auxiliary_dataset": "", "auxiliary_epochs": 0, "auxiliary_learning_rate": 0.0}
        assert control.config == {**run.config, **without, "epochs": 2 + 6}
        assert (control.control_of, control.dataset, control.recipe) == (run, run.dataset, run.recipe)
        assert (control.is_transfer, control.status) == (False, JobStatus.QUEUED)
        assert rung == [(EXECUTE_RUN, control.pk)]

    def test_a_first_phase_that_stopped_early_counts_for_what_it_saw(self) -> None:
        run = make_transfer_run()
        run.epochs.get(phase=1, epoch=2).delete()
        assert request_control(owner=None, run=run).config["epochs"] == 2 + 3

    def test_a_first_phase_of_few_images_counts_as_one_epoch(self) -> None:
        run = make_transfer_run()
        run.epochs.filter(phase=1).update(images=20)
        assert request_control(owner=None, run=run).config["epochs"] == 2 + 1

    def test_only_two_phases_have_one(self) -> None:
        with pytest.raises(ServiceError, match="learns in one phase"):
            request_control(owner=None, run=TrainingRunFactory.create(status=JobStatus.SUCCEEDED))

    def test_a_second_click_is_refused_until_the_control_has_gone_wrong(self) -> None:
        run = make_transfer_run()
        first = request_control(owner=None, run=run)
        for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
            run.controls.update(**in_state(status))
            with pytest.raises(ServiceError) as caught:
                request_control(owner=None, run=run)
            assert str(caught.value) == f"{run} has a control already: {first}."
        run.controls.update(**in_state(JobStatus.FAILED))
        assert request_control(owner=None, run=run) != first

    def test_only_a_run_that_succeeded_has_one(self) -> None:
        with pytest.raises(ServiceError, match="has not succeeded"):
            request_control(owner=None, run=make_transfer_run(status=JobStatus.FAILED))


class TestResume:
    @pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
    def test_a_run_goes_back_into_the_queue_with_all_its_attempts(
        self, status: JobStatus, rung: list[tuple[str, int]]
    ) -> None:
        run = TrainingRunFactory.create(
            status=status, reason=Reason.KILLED, detail="Gone.", attempts=3, fence=4, cancel_requested=True
        )
        resume_run(run=run, by=run.owner)
        run.refresh_from_db()
        assert (run.status, run.attempts, run.fence, run.reason, run.detail) == (JobStatus.QUEUED, 0, 4, "", "")
        assert (run.cancel_requested, run.finished_at) == (False, None)
        assert rung == [(EXECUTE_RUN, run.pk)]
        [change] = Transition.objects.of(run)
        assert (change.from_status, change.to_status, change.cause, change.by) == (
            status,
            JobStatus.QUEUED,
            Cause.RESUMED,
            run.owner,
        )

    @pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED])
    def test_other_runs_are_refused(self, status: JobStatus) -> None:
        run = TrainingRunFactory.create(status=status)
        with pytest.raises(ServiceError, match=f"^Run {run.pk} cannot be resumed: only a run that failed or was"):
            resume_run(run=run, by=None)
        run.refresh_from_db()
        assert run.status == status

    def test_somebody_elses_run_is_refused(self) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        with pytest.raises(PermissionDenied):
            resume_run(run=run, by=UserFactory.create(groups=["trainer"]))
        resume_run(run=run, by=UserFactory.create(groups=["operator"]))

    def test_it_counts_among_the_owners_runs(self, settings: Settings) -> None:
        settings.USER_ACTIVE_RUNS = 1
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        TrainingRunFactory.create(owner=run.owner)
        with pytest.raises(ServiceError, match=r"^You have 1 run under way, the most that is allowed"):
            resume_run(run=run, by=run.owner)


class TestClone:
    def test_it_has_the_same_settings_and_nothing_else_of_the_run(self, rung: list[tuple[str, int]]) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED, fence=2, checkpoint="runs/1/2/checkpoints/step-1")
        other = UserFactory.create(groups=["trainer"])
        clone = clone_run(run=run, owner=other)
        clone.refresh_from_db()
        assert clone.pk != run.pk
        assert (clone.config, clone.recipe, clone.dataset, clone.owner) == (run.config, run.recipe, run.dataset, other)
        assert (clone.status, clone.fence, clone.checkpoint) == (JobStatus.QUEUED, 0, "")
        assert rung == [(EXECUTE_RUN, clone.pk)]


class TestExtend:
    @pytest.fixture
    def run(self) -> TrainingRun:
        run: TrainingRun = TrainingRunFactory.create(
            status=JobStatus.SUCCEEDED,
            checkpoint="runs/1/1/checkpoints/step-00000020",
            checkpoint_sha256="5" * 64,
            checkpoint_step=20,
        )
        for epoch in (1, 2):
            EpochMetricFactory.create(run=run, epoch=epoch)
        return run

    def test_it_starts_from_the_last_checkpoint_with_the_curves_so_far(
        self, run: TrainingRun, rung: list[tuple[str, int]]
    ) -> None:
        longer = extend_run(run=run, epochs=3, owner=run.owner)
        longer.refresh_from_db()
        assert longer.config == {**run.config, "epochs": 5}
        assert (longer.continues, longer.checkpoint, longer.checkpoint_sha256, longer.checkpoint_step) == (
            run,
            run.checkpoint,
            run.checkpoint_sha256,
            20,
        )
        assert list(longer.epochs.values_list("epoch", "step", "train_loss")) == list(
            run.epochs.values_list("epoch", "step", "train_loss")
        )
        assert rung == [(EXECUTE_RUN, longer.pk)]

    def test_it_needs_at_least_one_epoch(self, run: TrainingRun) -> None:
        with pytest.raises(ConfigError, match=r"^epochs is 0; allowed is a number from 1\.$"):
            extend_run(run=run, epochs=0, owner=None)

    def test_it_has_no_more_epochs_than_are_allowed(self, run: TrainingRun) -> None:
        with pytest.raises(ConfigError, match=r"^epochs is 10002; "):
            extend_run(run=run, epochs=10_000, owner=None)
        assert TrainingRun.objects.count() == 1

    def test_the_run_must_have_succeeded(self) -> None:
        with pytest.raises(ServiceError, match="has not succeeded; resume it instead"):
            extend_run(run=TrainingRunFactory.create(status=JobStatus.FAILED), epochs=1, owner=None)

    def test_a_run_that_stopped_early_is_refused(self, run: TrainingRun) -> None:
        run.epochs.filter(epoch=2).delete()
        with pytest.raises(ServiceError, match="stopped early"):
            extend_run(run=run, epochs=1, owner=None)

    def test_the_checkpoint_must_be_there(self, run: TrainingRun) -> None:
        run.checkpoint = ""
        with pytest.raises(ServiceError, match=r"The last checkpoint of .* was removed; clone it instead"):
            extend_run(run=run, epochs=1, owner=None)
