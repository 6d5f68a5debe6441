"""What people do with runs that are there, and how the pages show the queue and the history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import EpochMetricFactory, TrainingRunFactory, make_config
from tests.training.people import Person, text_of
from training.choices import JobStatus, Priority, QueueName, Reason
from training.doorbell import Bell
from training.models import JobQueue, TrainingRun, Transition, Worker
from training.services import cancel_run, pause_queue, request_run, resume_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture
def trainer() -> Person:
    return Person("trainer", username="tara")


@pytest.fixture
def operator() -> Person:
    return Person("operator", username="olga")


@pytest.fixture
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("runs", "reruns", "imports"):
        monkeypatch.setattr(f"training.services.{module}.ring", lambda _task, _pk: Bell(was_heard=False))


def act(person: Person, action: str, run: TrainingRun, **data: object) -> Any:
    return person.post(reverse(f"run_{action}", args=[run.pk]), data, follow=True)


def page_of(person: Person, run: TrainingRun) -> str:
    return str(person.get(reverse("run", args=[run.pk])).content.decode())


def succeeded(**fields: Any) -> TrainingRun:
    """Return a run that took its two epochs and left a checkpoint."""
    given = {"status": JobStatus.SUCCEEDED, "checkpoint": "runs/1/1/c", "checkpoint_step": 20, **fields}
    run: TrainingRun = TrainingRunFactory.create(**given)
    for epoch in (1, 2):
        EpochMetricFactory.create(run=run, epoch=epoch)
    return run


class TestResume:
    @pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
    def test_ones_own(self, trainer: Person, status: JobStatus) -> None:
        run = TrainingRunFactory.create(owner=trainer.user, status=status)
        assert "resume-button" in page_of(trainer, run)
        assert f"Run {run.pk} goes on from where it stopped." in text_of(act(trainer, "resume", run))
        run.refresh_from_db()
        assert run.status == JobStatus.QUEUED
        assert "resume-button" not in page_of(trainer, run)

    def test_not_anothers(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        assert "resume-button" not in page_of(trainer, run)
        assert act(trainer, "resume", run).status_code == 403
        run.refresh_from_db()
        assert run.status == JobStatus.FAILED

    def test_an_operator_resumes_everybodys(self, operator: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        act(operator, "resume", run)
        run.refresh_from_db()
        assert run.status == JobStatus.QUEUED

    def test_one_that_succeeded_says_so(self, operator: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
        assert f"Run {run.pk} cannot be resumed" in text_of(act(operator, "resume", run))


class TestClone:
    def test_it_has_the_same_settings(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(config=make_config(epochs=7), status=JobStatus.FAILED)
        response = act(trainer, "clone", run)
        clone = TrainingRun.objects.exclude(pk=run.pk).get()
        assert (clone.config, clone.owner, clone.status) == (run.config, trainer.user, JobStatus.QUEUED)
        assert f"Run {clone.pk} has the settings of Run {run.pk}." in text_of(response)

    def test_who_may_not_train_may_not_clone(self) -> None:
        run = TrainingRunFactory.create()
        assert act(Person("user"), "clone", run).status_code == 403
        assert TrainingRun.objects.count() == 1


class TestExtend:
    def test_it_goes_on_for_so_many_epochs(self, trainer: Person) -> None:
        run = succeeded()
        page = page_of(trainer, run)
        assert "extend-button" in page
        assert 'name="epochs" value="2"' in page
        response = act(trainer, "extend", run, epochs="3")
        extension = run.extensions.get()
        assert (extension.config["epochs"], extension.owner) == (5, trainer.user)
        assert f"Goes on where Run {run.pk} ended." in text_of(response)
        assert f"Goes on in: Run {extension.pk}" in text_of(trainer.get(reverse("run", args=[run.pk])))

    @pytest.mark.parametrize(
        ("epochs", "words"),
        [("", "This field is required."), ("two", "Enter a whole number."), ("0", "greater than or equal to 1")],
    )
    def test_a_number_that_is_none_is_refused(self, trainer: Person, epochs: str, words: str) -> None:
        run = succeeded()
        assert words in text_of(act(trainer, "extend", run, epochs=epochs))
        assert not run.extensions.exists()

    def test_too_many_are_refused_in_the_words_of_the_form(self, trainer: Person) -> None:
        run = succeeded()
        shown = text_of(act(trainer, "extend", run, epochs="999"))
        assert "Epochs is “1001”; allowed is a whole number from 1 to 1000." in shown

    def test_it_is_offered_where_it_can_be_done(self, trainer: Person) -> None:
        without_checkpoint = succeeded(checkpoint="")
        stopped_early = succeeded(config=make_config(epochs=9))
        failed = TrainingRunFactory.create(status=JobStatus.FAILED)
        for run in (without_checkpoint, stopped_early, failed):
            assert "extend-button" not in page_of(trainer, run)


class TestPriority:
    def test_ones_own_run_can_be_put_off(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        page = page_of(trainer, run)
        assert '<option value="-1">Low</option>' in page
        assert '<option value="1"' not in page
        shown = text_of(act(trainer, "priority", run, priority="-1"))
        assert f"The priority of Run {run.pk} is now low." in shown
        run.refresh_from_db()
        assert run.priority == Priority.LOW

    def test_only_operators_let_runs_overtake(self, trainer: Person, operator: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        assert act(trainer, "priority", run, priority="1").status_code == 403
        assert '<option value="1">High</option>' in page_of(operator, run)
        act(operator, "priority", run, priority="1")
        run.refresh_from_db()
        assert run.priority == Priority.HIGH
        assert '<option value="1" selected>High</option>' in page_of(trainer, run)
        assert act(trainer, "priority", run, priority="1").status_code == 200

    def test_wrong_ones_and_late_ones_are_refused(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.RUNNING)
        assert "Select a valid choice" in text_of(act(trainer, "priority", run, priority="9"))
        assert "does not wait any more" in text_of(act(trainer, "priority", run, priority="-1"))
        assert 'name="priority"' not in page_of(trainer, run)

    def test_not_anothers(self, trainer: Person) -> None:
        run = TrainingRunFactory.create()
        assert 'name="priority"' not in page_of(trainer, run)
        assert act(trainer, "priority", run, priority="-1").status_code == 403


@pytest.mark.parametrize("action", ["cancel", "resume", "clone", "extend", "priority", "control"])
def test_every_action_is_a_post_with_a_token(trainer: Person, action: str) -> None:
    run = TrainingRunFactory.create(owner=trainer.user)
    address = reverse(f"run_{action}", args=[run.pk])
    assert trainer.get(address).status_code == 405
    trainer.handler.enforce_csrf_checks = True
    assert trainer.post(address).status_code == 403


@pytest.mark.usefixtures("silent_broker")
class TestSilentBroker:
    WORDS = "The message broker does not answer. Run {} is kept, and starts by itself as soon as it does."

    def test_a_new_run(self, trainer: Person) -> None:
        dataset = TrainingRunFactory.create(status=JobStatus.FAILED).dataset
        response = trainer.post(reverse("run_new"), {"dataset": dataset.pk, "recipe": "fast"}, follow=True)
        run = TrainingRun.objects.get(status=JobStatus.QUEUED)
        assert self.WORDS.format(run.pk) in text_of(response)

    def test_a_resumed_run(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.FAILED)
        assert self.WORDS.format(run.pk) in text_of(act(trainer, "resume", run))

    def test_a_clone(self, trainer: Person) -> None:
        response = act(trainer, "clone", TrainingRunFactory.create())
        assert self.WORDS.format(TrainingRun.objects.latest("pk").pk) in text_of(response)

    def test_an_import(self, trainer: Person) -> None:
        response = trainer.post(reverse("import_new"), {"source": "demo", "name": "demo"}, follow=True)
        assert "The message broker does not answer." in text_of(response)


class TestQueue:
    def test_an_operator_pauses_it_and_lets_it_go_on(self, operator: Person, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        assert "queue-pause" in operator.get(reverse("runs")).content.decode()
        operator.post(reverse("queue_pause"))
        pages = [reverse("runs"), reverse("run_new")]
        for address in pages:
            assert "The training queue is paused since" in text_of(trainer.get(address))
            assert "by olga." in text_of(trainer.get(address))
            assert "queue-unpause" not in trainer.get(address).content.decode()
            assert "queue-unpause" in operator.get(address).content.decode()
        assert "It waits, because the training queue is paused." in text_of(trainer.get(reverse("run", args=[run.pk])))
        response = operator.post(reverse("queue_unpause"), follow=True)
        assert "The training queue goes on; the next run starts within seconds." in text_of(response)
        assert JobQueue.objects.get(name=QueueName.TRAINING).paused_at is None

    def test_twice_is_said(self, operator: Person) -> None:
        assert "is not paused" in text_of(operator.post(reverse("queue_unpause"), follow=True))

    @pytest.mark.parametrize("action", ["queue_pause", "queue_unpause"])
    def test_others_may_not(self, trainer: Person, action: str) -> None:
        assert trainer.post(reverse(action)).status_code == 403
        assert "queue-pause" not in trainer.get(reverse("runs")).content.decode()


class TestWaiting:
    def start_worker(self) -> None:
        now = timezone.now() + timedelta(days=1)
        Worker.objects.create(name="w", queues=["training"], started_at=now, last_seen_at=now)

    def test_the_list_tells_turns_and_priorities(self, trainer: Person) -> None:
        self.start_worker()
        first = TrainingRunFactory.create()
        TrainingRunFactory.create(priority=Priority.HIGH)
        TrainingRunFactory.create(after=first)
        shown = text_of(trainer.get(reverse("runs")))
        assert "Queued priority: high" in shown
        assert "number 2 in the queue" in shown
        assert f"after Run {first.pk}" in shown

    def test_the_list_costs_as_much_for_many(
        self, trainer: Person, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for count in (1, 6):
            TrainingRunFactory.create_batch(count)
            TrainingRunFactory.create_batch(count, status=JobStatus.RUNNING)
            with django_assert_num_queries(17):  # three of them for the filters to offer
                trainer.get(reverse("runs"))

    def test_a_run_tells_its_turn_and_when_it_is_expected(self, trainer: Person) -> None:
        self.start_worker()
        done = succeeded(wall_seconds=600.0)
        runs = [TrainingRunFactory.create(dataset=done.dataset) for _number in range(3)]
        texts = [text_of(trainer.get(reverse("run", args=[run.pk]))) for run in runs]
        assert "A training worker takes it in a moment." in texts[0]
        assert "It waits for its turn: one waiting run is before it. It is expected to start at about" in texts[1]
        assert "It waits for its turn: 2 waiting runs are before it." in texts[2]
        assert "<time datetime=" in page_of(trainer, runs[2])

    def test_links_lead_both_ways(self, trainer: Person) -> None:
        first = TrainingRunFactory.create(status=JobStatus.RUNNING)
        follower = TrainingRunFactory.create(after=first)
        shown = text_of(trainer.get(reverse("run", args=[follower.pk])))
        assert f"Starts after Run {first.pk} ." in shown
        assert f"It waits until Run {first.pk} has succeeded, which is running." in shown
        assert f"Runs that start after it: Run {follower.pk}" in text_of(trainer.get(reverse("run", args=[first.pk])))


class TestHistory:
    def test_it_tells_what_happened_when_and_why(self, trainer: Person) -> None:
        run = request_run(owner=trainer.user, dataset=TrainingRunFactory.create().dataset, recipe="fast", overrides={})
        claimed = TrainingRun.claim(run.pk, worker="host:1")
        assert claimed is not None
        claimed.fail(reason=Reason.DIVERGED, detail="The loss is infinite.")
        resume_run(run=run, by=trainer.user)
        rows = trainer.get(reverse("run", args=[run.pk])).context["history"].changes
        assert [row.to_status for row in rows] == ["queued", "running", "failed", "queued"]
        shown = text_of(trainer.get(reverse("run", args=[run.pk])))
        assert "Queued tara — — Requested" in shown
        assert "Queued → Running host:1 1 1 Taken by a worker" in shown
        assert "Running → Failed host:1 1 1 Failed The loss became infinite or undefined The loss is infinite." in shown
        assert "Failed → Queued tara — 1 Resumed" in shown

    def test_only_the_last_ones_are_loaded(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        pair = {"job_kind": "trainingrun", "job_pk": run.pk}
        for number in range(30):
            Transition.objects.create(**pair, from_status="queued", to_status="running", cause="claimed", fence=number)
            Transition.objects.create(**pair, from_status="running", to_status="queued", cause="released", fence=number)
        response = trainer.get(reverse("run", args=[run.pk]))
        assert [row.fence for row in response.context["history"].changes] == [n for n in range(5, 30) for _ in "ab"]
        assert "Only the last changes are shown." in text_of(response)

    def test_it_is_sent_again_when_it_grew(self, trainer: Person) -> None:
        run = request_run(owner=trainer.user, dataset=TrainingRunFactory.create().dataset, recipe="fast", overrides={})
        seen = Transition.objects.latest("pk").pk
        address = f"{reverse('run_live', args=[run.pk])}?state=queued&epochs=0&history="
        assert "job-history" not in trainer.get(f"{address}{seen}").content.decode()
        cancel_run(run=run, by=trainer.user)
        assert "job-history" in trainer.get(f"{address}{seen}").content.decode()

    def test_what_it_costs_is_the_same_for_many(
        self, trainer: Person, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        run = TrainingRunFactory.create(status=JobStatus.CANCELLED)
        address = reverse("run", args=[run.pk])
        for count in (1, 8):
            for _number in range(count):
                TrainingRun.resume(run.pk, by=trainer.user)
                TrainingRun.request_cancel(run.pk, by=trainer.user)
            # Session, person, two of permissions, run, epochs, control, history, followers, extensions.
            with django_assert_num_queries(9):
                trainer.get(address)


def test_the_form_asks_for_priority_and_order(trainer: Person, operator: Person) -> None:
    first = TrainingRunFactory.create(status=JobStatus.RUNNING)
    ended = TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
    page = trainer.get(reverse("run_new")).content.decode()
    assert f'<option value="{first.pk}">Run {first.pk}: fast on {first.dataset}, running</option>' in page
    assert f'<option value="{ended.pk}">Run' not in page
    form = {"dataset": first.dataset_id, "recipe": "fast", "priority": "1", "after": first.pk}
    refused = trainer.post(reverse("run_new"), form)
    assert "Select a valid choice. 1 is not one of the available choices." in text_of(refused)
    operator.post(reverse("run_new"), form)
    run = TrainingRun.objects.latest("pk")
    assert (run.priority, run.after) == (Priority.HIGH, first)
    trainer.post(reverse("run_new"), {"dataset": first.dataset_id, "recipe": "fast"})
    run = TrainingRun.objects.latest("pk")
    assert (run.priority, run.after) == (Priority.NORMAL, None)


def test_the_form_shows_what_the_service_refuses(trainer: Person, settings: Any) -> None:
    settings.USER_ACTIVE_RUNS = 1
    run = TrainingRunFactory.create(owner=trainer.user)
    shown = text_of(trainer.post(reverse("run_new"), {"dataset": run.dataset_id, "recipe": "fast"}))
    assert "You have 1 run under way, the most that is allowed" in shown


def test_an_import_shows_its_history_and_a_paused_queue(trainer: Person) -> None:
    pause_queue(name=QueueName.TRAINING, by=None)
    response = trainer.post(reverse("import_new"), {"source": "demo", "name": "demo"}, follow=True)
    assert "Queued tara — — Requested" in text_of(response)
    assert "It waits, because the training queue is paused." in text_of(response)
