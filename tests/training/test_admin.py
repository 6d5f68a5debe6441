"""Training in the admin panel."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    EvaluationFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    make_config,
)
from tests.training.people import Person, text_of
from training.choices import JobStatus, ModelState, Priority, QueueName
from training.models import (
    DatasetImport,
    Evaluation,
    JobQueue,
    ModelVersion,
    Promotion,
    TrainingRun,
    Transition,
    Worker,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]
MODELS = [
    "dataset",
    "datasetimport",
    "trainingrun",
    "evaluation",
    "modelversion",
    "promotion",
    "worker",
    "jobqueue",
    "transition",
]


@pytest.fixture
def administrator() -> Person:
    return Person(is_staff=True, is_superuser=True)


def address(page: str, *arguments: object) -> str:
    return reverse(f"admin:training_{page}", args=arguments)


def act(person: Person, model: str, action: str, *rows: Any, **more: str) -> Any:
    """Choose rows of a list and run an action on them."""
    form = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return person.post(address(f"{model}_changelist"), form, follow=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_list_opens_and_can_be_searched(
    administrator: Person, model: str, django_assert_max_num_queries: Any
) -> None:
    for _row in range(3):
        version = ModelVersionFactory.create(run=TrainingRunFactory.create())
        Promotion.objects.create(version=version, by=administrator.user)
        DatasetImportFactory.create(owner=administrator.user)
        EvaluationFactory.create(version=version, dataset=version.run.dataset, owner=administrator.user)
        EpochMetricFactory.create()
    with django_assert_max_num_queries(14):
        assert administrator.get(address(f"{model}_changelist")).status_code == 200
    assert administrator.get(address(f"{model}_changelist"), {"q": "1"}).status_code == 200


def test_every_row_opens_read_only(administrator: Person) -> None:
    version = ModelVersionFactory.create(run=TrainingRunFactory.create(log_tail="the last line"))
    promotion = Promotion.objects.create(version=version)
    worker = Worker.objects.create(name="w", started_at=version.created_at, last_seen_at=version.created_at)
    queue = JobQueue.hold(QueueName.TRAINING)
    TrainingRun.request_cancel(TrainingRunFactory.create().pk)
    change = Transition.objects.get()
    evaluation = EvaluationFactory.create(version=version)
    jobs = [version.run.dataset, DatasetImportFactory.create(), version.run, evaluation]
    rows = [*jobs, version, promotion, worker, queue, change]
    for model, row in zip(MODELS, rows, strict=True):
        response = administrator.get(address(f"{model}_change", row.pk))
        assert response.status_code == 200
        assert 'name="_save"' not in response.content.decode()
        assert administrator.post(address(f"{model}_change", row.pk), {"status": "succeeded"}).status_code == 403
    assert "the last line" in text_of(administrator.get(address("trainingrun_change", version.run.pk)))


def test_the_add_form_asks_for_a_run(administrator: Person) -> None:
    dataset = DatasetFactory.create()
    form = {"dataset": dataset.pk, "recipe": "fast", "epochs": "3", "status": "succeeded"}
    response = administrator.post(address("trainingrun_add"), form)
    run = TrainingRun.objects.get()
    assert response.status_code == 302
    assert (run.dataset, run.owner, run.status) == (dataset, administrator.user, JobStatus.QUEUED)
    assert run.config == make_config(epochs=3)


def test_the_add_form_names_what_is_refused(administrator: Person) -> None:
    form = {"dataset": DatasetFactory.create().pk, "recipe": "fast", "momentum": "7"}
    response = administrator.post(address("trainingrun_add"), form)
    assert "Momentum is “7”; allowed is a number from 0 to 0.999." in text_of(response)
    assert not TrainingRun.objects.exists()


def test_the_add_form_tells_what_the_service_refuses(administrator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.services.room.free_bytes", lambda: 1024)
    form = {"dataset": DatasetFactory.create().pk, "recipe": "fast"}
    response = administrator.post(address("trainingrun_add"), form, follow=True)
    assert "The disk is almost full" in text_of(response)
    assert not TrainingRun.objects.exists()


def test_the_add_form_asks_for_an_import(administrator: Person) -> None:
    administrator.post(address("datasetimport_add"), {"source": "demo", "name": "demo"})
    job = DatasetImport.objects.get()
    assert (job.name, job.owner, job.status) == ("demo", administrator.user, JobStatus.QUEUED)
    response = administrator.post(address("datasetimport_add"), {"source": "demo", "name": "demo"}, follow=True)
    assert "A dataset named demo is being imported already." in text_of(response)
    assert DatasetImport.objects.count() == 1


def test_the_add_form_asks_for_an_evaluation(administrator: Person) -> None:
    version, dataset = ModelVersionFactory.create(), DatasetFactory.create(name="shapes")
    form = {"version": version.pk, "dataset": dataset.pk}
    administrator.post(address("evaluation_add"), form)
    job = Evaluation.objects.get()
    assert (job.version, job.dataset, job.owner, job.status) == (
        version, dataset, administrator.user, JobStatus.QUEUED
    )  # fmt: skip
    response = administrator.post(address("evaluation_add"), form, follow=True)
    assert "is being evaluated on the dataset “shapes” already." in text_of(response)
    assert "1 job is being cancelled." in text_of(act(administrator, "evaluation", "cancel_selected", job))


def test_cancel_selected(administrator: Person) -> None:
    queued, running = TrainingRunFactory.create(), TrainingRunFactory.create(status=JobStatus.RUNNING)
    ended = TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
    shown = text_of(act(administrator, "trainingrun", "cancel_selected", queued, running, ended))
    assert "2 jobs are being cancelled." in shown
    assert f"Run {ended.pk} has ended already." in shown
    queued.refresh_from_db()
    running.refresh_from_db()
    assert (queued.status, running.cancel_requested) == (JobStatus.CANCELLED, True)
    job = DatasetImportFactory.create()
    assert "1 job is being cancelled." in text_of(act(administrator, "datasetimport", "cancel_selected", job))


def test_resume_selected(administrator: Person) -> None:
    failed, cancelled = (TrainingRunFactory.create(status=s) for s in (JobStatus.FAILED, JobStatus.CANCELLED))
    running = TrainingRunFactory.create(status=JobStatus.RUNNING)
    shown = text_of(act(administrator, "trainingrun", "resume_selected", failed, cancelled, running))
    assert "2 runs go on from where they stopped." in shown
    assert f"Run {running.pk} cannot be resumed" in shown
    assert [change.by for change in Transition.objects.all()] == [administrator.user] * 2


def test_the_add_form_asks_for_priority_and_order(administrator: Person) -> None:
    first = TrainingRunFactory.create()
    form = {"dataset": first.dataset_id, "recipe": "fast", "priority": "1", "after": first.pk}
    administrator.post(address("trainingrun_add"), form)
    run = TrainingRun.objects.latest("pk")
    assert (run.priority, run.after) == (Priority.HIGH, first)
    page = administrator.get(address("trainingrun_changelist"), {"priority__exact": "1"})
    assert [row.pk for row in page.context["cl"].result_list] == [run.pk]


def test_queues_are_paused_and_let_go_on(administrator: Person) -> None:
    administrator.get(address("jobqueue_changelist"))
    training, inference = JobQueue.objects.get(name=QueueName.TRAINING), JobQueue.objects.get(name=QueueName.INFERENCE)
    assert "The queue “Training” is paused." in text_of(act(administrator, "jobqueue", "pause_selected", training))
    shown = text_of(act(administrator, "jobqueue", "pause_selected", training, inference))
    assert "The queue “Training” is paused already." in shown
    assert "The queue “Inference” is paused." in shown
    training.refresh_from_db()
    assert training.paused_by == administrator.user
    assert "The queue “Training” goes on." in text_of(act(administrator, "jobqueue", "unpause_selected", training))


def test_the_history_is_found_by_number_and_cause(administrator: Person) -> None:
    runs = TrainingRunFactory.create_batch(2)
    for run in runs:
        TrainingRun.request_cancel(run.pk)
    for query in ({"q": str(runs[0].pk)}, {"q": str(runs[0].pk), "cause__exact": "cancelled"}):
        page = administrator.get(address("transition_changelist"), query)
        assert [row.job_pk for row in page.context["cl"].result_list] == [runs[0].pk]
    page = administrator.get(address("transition_changelist"), {"cause__exact": "failed"})
    assert list(page.context["cl"].result_list) == []


def test_a_live_run_cannot_be_deleted(administrator: Person) -> None:
    live, ended = TrainingRunFactory.create(), TrainingRunFactory.create(status=JobStatus.FAILED)
    assert administrator.post(address("trainingrun_delete", live.pk), {"post": "yes"}).status_code == 403
    shown = text_of(act(administrator, "trainingrun", "delete_selected", live, ended, post="yes"))
    assert f"Run {live.pk} is still at work" in shown
    assert TrainingRun.objects.count() == 2
    act(administrator, "trainingrun", "delete_selected", ended, post="yes")
    assert list(TrainingRun.objects.all()) == [live]


def test_the_champion_cannot_be_deleted(administrator: Person) -> None:
    champion, other = ModelVersionFactory.create(state=ModelState.CHAMPION), ModelVersionFactory.create()
    assert administrator.post(address("modelversion_delete", champion.pk), {"post": "yes"}).status_code == 403
    shown = text_of(act(administrator, "modelversion", "delete_selected", champion, other, post="yes"))
    assert f"v{champion.pk} is the champion" in shown
    assert ModelVersion.objects.count() == 2
    administrator.post(address("modelversion_delete", other.pk), {"post": "yes"})
    assert list(ModelVersion.objects.all()) == [champion]


def test_promote_selected_wants_exactly_one(administrator: Person) -> None:
    first, second = ModelVersionFactory.create(), ModelVersionFactory.create()
    shown = text_of(act(administrator, "modelversion", "promote_selected", first, second))
    assert "Choose exactly one version: one model answers." in shown
    assert not Promotion.objects.exists()
    assert f"The champion is now v{second.pk}." in text_of(
        act(administrator, "modelversion", "promote_selected", second)
    )
    second.refresh_from_db()
    assert second.state == ModelState.CHAMPION


def test_promote_selected_leaves_other_classes_to_their_page(administrator: Person) -> None:
    ModelVersionFactory.create(state=ModelState.CHAMPION)
    other = ModelVersionFactory.create(class_keys=["circle", "square"])
    response = act(administrator, "modelversion", "promote_selected", other)
    assert response.redirect_chain[-1][0] == reverse("version_promote", args=[other.pk])
    assert not Promotion.objects.exists()


def test_staff_without_the_permissions_are_not_offered_the_actions() -> None:
    staff = Person("trainer", is_staff=True)
    run, version = TrainingRunFactory.create(), ModelVersionFactory.create()
    page = staff.get(address("trainingrun_changelist")).content.decode()
    assert "cancel_selected" not in page
    act(staff, "trainingrun", "cancel_selected", run)
    act(staff, "modelversion", "promote_selected", version)
    run.refresh_from_db()
    assert run.status == JobStatus.QUEUED
    assert not Promotion.objects.exists()
