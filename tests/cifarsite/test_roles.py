"""What each role sees and may do in the admin panel and on the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import DELETION, LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile

from cifarsite.accounts.deletion import FORMER, LastAdministratorError
from cifarsite.accounts.models import ApiToken, User
from classifier.models import BatchJob, Prediction
from tests.api_fixtures import make_token
from tests.classifier.archive_makers import zip_of
from tests.factories import (
    BatchJobFactory,
    DatasetFactory,
    ModelVersionFactory,
    PredictionFactory,
    TrainingRunFactory,
    UserFactory,
)
from tests.training.people import Person, text_of
from training.choices import JobStatus, ModelState
from training.models import TrainingRun, Worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

LISTS = {
    "training/dataset": "viewer operator administrator",
    "training/datasetimport": "viewer operator administrator",
    "training/trainingrun": "viewer operator administrator",
    "training/modelversion": "viewer operator administrator",
    "training/promotion": "viewer operator administrator",
    "training/worker": "viewer operator administrator",
    "training/jobqueue": "viewer operator administrator",
    "training/transition": "viewer operator administrator",
    "classifier/prediction": "viewer operator administrator",
    "classifier/batchjob": "viewer operator administrator",
    "accounts/user": "administrator",
    "accounts/apitoken": "administrator",
    "auth/group": "administrator",
    "training/trainingrun/add": "operator administrator",
    "training/datasetimport/add": "operator administrator",
    "classifier/batchjob/add": "operator administrator",
    "accounts/user/add": "administrator",
}
ROLES = ["viewer", "operator", "administrator"]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_its_lists(role: str) -> None:
    person = Person(role, is_staff=True)
    seen = {name: person.get(f"/admin/{name}/").status_code for name in LISTS}
    assert seen == {name: 200 if role in roles.split() else 403 for name, roles in LISTS.items()}


@pytest.mark.parametrize("role", ["user", "trainer", *ROLES])
def test_a_role_alone_opens_no_admin_panel(role: str) -> None:
    assert Person(role).get("/admin/").status_code in {302, 403}


def offered(person: Person, name: str) -> list[str]:
    """Return the actions that a list offers."""
    form = person.get(f"/admin/{name}/").context["action_form"]
    return [] if form is None else sorted(key for key, _label in form.fields["action"].choices if key)


@pytest.mark.parametrize(
    ("role", "runs", "batches", "versions", "queues"),
    [
        ("viewer", [], [], [], []),
        (
            "operator",
            ["cancel_selected", "resume_selected"],
            ["cancel_selected"],
            ["promote_selected"],
            ["pause_selected", "unpause_selected"],
        ),
        (
            "administrator",
            ["cancel_selected", "delete_selected", "resume_selected"],
            ["cancel_selected"],
            ["delete_selected", "promote_selected"],
            ["pause_selected", "unpause_selected"],
        ),
    ],
)
def test_each_role_is_offered_its_actions(
    role: str, runs: list[str], batches: list[str], versions: list[str], queues: list[str]
) -> None:
    TrainingRunFactory.create()
    BatchJobFactory.create()
    ModelVersionFactory.create()
    person = Person(role, is_staff=True)
    assert offered(person, "training/trainingrun") == runs
    assert offered(person, "classifier/batchjob") == batches
    assert offered(person, "training/modelversion") == versions
    assert offered(person, "training/jobqueue") == queues


def test_a_viewer_changes_nothing() -> None:
    person = Person("viewer", is_staff=True)
    run, batch, version = TrainingRunFactory.create(), BatchJobFactory.create(), ModelVersionFactory.create()
    for name, action, row in (
        ("training/trainingrun", "cancel_selected", run),
        ("classifier/batchjob", "cancel_selected", batch),
        ("training/modelversion", "promote_selected", version),
    ):
        person.post(f"/admin/{name}/", {"action": action, "_selected_action": [row.pk]})
    assert person.post(f"/training/{run.pk}/cancel/").status_code == 403
    form = {"dataset": DatasetFactory.create().pk, "recipe": "fast"}
    assert person.post("/admin/training/trainingrun/add/", form).status_code == 403
    run.refresh_from_db()
    batch.refresh_from_db()
    version.refresh_from_db()
    assert (run.status, batch.status) == (JobStatus.QUEUED, JobStatus.QUEUED)
    assert version.state == ModelState.CANDIDATE
    assert TrainingRun.objects.count() == 1


def test_a_viewer_reads_the_pages_of_everybody() -> None:
    person = Person("viewer")
    run = TrainingRunFactory.create()
    for path in ("/training/", f"/training/{run.pk}/", "/models/", "/data/", "/workers/"):
        assert person.get(path).status_code == 200
    assert person.get("/training/new/").status_code == 403


# --- Batches ---------------------------------------------------------------------------------------------------------
def test_an_operator_starts_and_cancels_batches() -> None:
    person = Person("operator", is_staff=True)
    upload = SimpleUploadedFile("pictures.zip", zip_of({"a.png": b"x"}))
    response = person.post("/admin/classifier/batchjob/add/", {"archive_file": upload}, follow=True)
    job = BatchJob.objects.get()
    assert (response.status_code, job.owner, job.status) == (200, person.user, JobStatus.QUEUED)
    others = BatchJobFactory.create(status=JobStatus.SUCCEEDED)
    form = {"action": "cancel_selected", "_selected_action": [job.pk, others.pk]}
    shown = text_of(person.post("/admin/classifier/batchjob/", form, follow=True))
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert "1 job is being cancelled." in shown
    assert f"Batch {others.pk} has ended already." in shown


def test_an_archive_that_is_none_is_refused_in_words() -> None:
    person = Person("operator", is_staff=True)
    upload = SimpleUploadedFile("pictures.zip", b"no archive")
    response = person.post("/admin/classifier/batchjob/add/", {"archive_file": upload}, follow=True)
    assert response.context["messages"]
    assert not BatchJob.objects.exists()


# --- People ----------------------------------------------------------------------------------------------------------
def test_an_administrator_deletes_an_account_with_its_data() -> None:
    person = Person("administrator", is_staff=True)
    other = UserFactory.create()
    PredictionFactory.create(owner=other)
    BatchJobFactory.create(owner=other)
    run = TrainingRunFactory.create(owner=other)
    page = person.get(f"/admin/accounts/user/{other.pk}/delete/")
    assert "cat.png" not in page.content.decode()
    person.post(f"/admin/accounts/user/{other.pk}/delete/", {"post": "yes"})
    assert list(User.objects.all()) == [person.user]
    assert not Prediction.objects.exists()
    run.refresh_from_db()
    assert (run.owner, run.status) == (None, JobStatus.CANCELLED)


def test_the_last_administrator_is_protected() -> None:
    person = Person("administrator", is_staff=True)
    path = f"/admin/accounts/user/{person.user.pk}/delete/"
    assert f"{person.user} is the only administrator" in text_of(person.get(path))
    person.post(path, {"post": "yes"})
    assert User.objects.filter(pk=person.user.pk).exists()


def delete_together(person: Person, *users: User) -> str:
    form = {"action": "delete_selected", "_selected_action": [user.pk for user in users], "post": "yes"}
    return text_of(person.post("/admin/accounts/user/", form, follow=True))


def test_all_administrators_at_once_are_protected() -> None:
    person, other = Person("administrator", is_staff=True), UserFactory.create(groups=["administrator"])
    shown = delete_together(person, person.user, other)
    assert f"{other}: one administrator has to stay" in shown
    assert "Successfully deleted" not in shown
    assert User.objects.count() == 2


def refuse(*, user: User) -> None:
    raise LastAdministratorError("Nobody would be left.")


def test_a_refused_deletion_is_said_without_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may have gone since the question was asked."""
    person, other = Person("administrator", is_staff=True), UserFactory.create()
    monkeypatch.setattr("cifarsite.accounts.admin.delete_account", refuse)
    shown = text_of(person.post(f"/admin/accounts/user/{other.pk}/delete/", {"post": "yes"}, follow=True))
    for page in (shown, delete_together(person, other)):
        assert "Nobody would be left." in page
        assert "success" not in page.lower()
    assert User.objects.filter(pk=other.pk).exists()
    assert not LogEntry.objects.exists()


def test_the_account_of_those_that_are_gone_stays() -> None:
    person = Person("administrator", is_staff=True)
    former = UserFactory.create(username=FORMER, is_active=False)
    shown = text_of(person.post(f"/admin/accounts/user/{former.pk}/delete/", {"post": "yes"}, follow=True))
    assert "This account stands for those that are gone" in shown
    assert "success" not in shown.lower()
    assert User.objects.filter(pk=former.pk).exists()


def test_who_deletes_their_own_account_is_in_the_history_without_their_name() -> None:
    person = Person("administrator", is_staff=True)
    UserFactory.create(groups=["administrator"])
    person.post(f"/admin/accounts/user/{person.user.pk}/delete/", {"post": "yes"})
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.action_flag, entry.object_id) == (FORMER, DELETION, str(person.user.pk))


def test_a_deletion_is_in_the_history() -> None:
    person, others = Person("administrator", is_staff=True), UserFactory.create_batch(3)
    person.post(f"/admin/accounts/user/{others[0].pk}/delete/", {"post": "yes"})
    assert "Successfully deleted 2 users." in delete_together(person, *others[1:])
    logged = LogEntry.objects.filter(user=person.user, action_flag=DELETION).values_list("object_repr", flat=True)
    assert sorted(logged) == sorted(str(other) for other in others)


def test_the_key_of_a_second_factor_is_shown_to_nobody() -> None:
    person, other = Person("administrator", is_staff=True), UserFactory.create()
    row = Authenticator.objects.create(user=other, type=Authenticator.Type.TOTP, data={"secret": "KEYOFTHEIRS"})
    for path in ("", f"{row.pk}/change/"):
        page = person.get(f"/admin/mfa/authenticator/{path}")
        assert (page.status_code, "KEYOFTHEIRS" in page.content.decode()) == (200, False)
    person.post(f"/admin/mfa/authenticator/{row.pk}/delete/", {"post": "yes"})  # the telephone is lost
    assert not Authenticator.objects.exists()


def test_tokens_are_listed_and_revoked() -> None:
    person = Person("administrator", is_staff=True)
    for _token in range(3):
        make_token(UserFactory.create())
    row = ApiToken.objects.first()
    assert row is not None
    form = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    person.post("/admin/accounts/apitoken/", form)
    assert ApiToken.objects.count() == 2


# --- The first page --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ROLES)
def test_the_first_page_shows_queues_workers_and_jobs(role: str, django_assert_num_queries: Any) -> None:
    person = Person(role, is_staff=True)
    working = {"status": JobStatus.RUNNING, "worker": "training@here:7"}
    run = TrainingRunFactory.create(**working, progress_done=1, progress_total=2)
    TrainingRunFactory.create(status=JobStatus.FAILED)
    now = run.requested_at
    Worker.objects.create(name="training@here", host="here", started_at=now, last_seen_at=now)
    with django_assert_num_queries(19):
        shown = text_of(person.get("/admin/"))
    assert "Training 1 at work · 0 waiting" in shown
    assert f"Run {run.pk}, 50 %" in shown
    assert "Failed within a day 1" in shown
    TrainingRunFactory.create_batch(3, **working)
    with django_assert_num_queries(19):
        person.get("/admin/")


def test_without_a_worker_it_says_so(tmp_path: Path) -> None:
    assert "None has reported itself." in text_of(Person("operator", is_staff=True).get("/admin/"))
