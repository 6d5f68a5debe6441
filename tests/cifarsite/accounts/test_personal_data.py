"""Taking one's data along, and leaving with it."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from PIL import Image

from cifarsite.accounts import deletion
from cifarsite.accounts.deletion import FORMER, FormerAccountError, LastAdministratorError, delete_account
from cifarsite.accounts.models import ApiToken, Notification, Session, User, Webhook
from classifier.models import BatchItem, BatchJob, Original, Prediction, Share
from tests.api_fixtures import make_token, make_user
from tests.factories import (
    PASSWORD,
    BatchJobFactory,
    DatasetFactory,
    DatasetImportFactory,
    OriginalFactory,
    PredictionFactory,
    TrainingRunFactory,
    UserFactory,
)
from tests.training.people import Person, errors_of, text_of
from training.choices import JobStatus
from training.models import DatasetImport, TrainingRun, Transition

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def fill(owner: User) -> dict[str, Any]:
    """Give a person one of everything."""
    original = OriginalFactory.create(prediction__owner=owner, prediction__pixels=bytes(32 * 32 * 3))
    Share.objects.create(prediction=original.prediction, token=f"token-{owner.pk}")
    batch = BatchJobFactory.create(owner=owner, status=JobStatus.SUCCEEDED)
    BatchItem.objects.create(batch=batch, index=0, name="x.txt", error_code="not_an_image", error_detail="no")
    run = TrainingRunFactory.create(owner=owner)
    TrainingRun.request_cancel(run.pk)
    make_token(owner)
    return {"prediction": original.prediction, "original": original, "batch": batch, "run": run}


def archive_of(person: Person) -> zipfile.ZipFile:
    response = person.get("/account/data.zip")
    assert response.headers["Content-Type"] == "application/zip"
    return zipfile.ZipFile(io.BytesIO(response.getvalue()))


def lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


# --- Download --------------------------------------------------------------------------------------------------------
def test_the_archive_holds_everything_of_its_owner_alone() -> None:
    person = Person("trainer", username="ada")
    mine = fill(person.user)
    fill(UserFactory.create())
    archive = archive_of(person)
    assert archive.testzip() is None
    key = mine["prediction"].pk
    assert sorted(archive.namelist()) == sorted(
        [
            "README.txt",
            "profile.json",
            "tokens.json",
            "notifications.jsonl",
            "runs.jsonl",
            "imports.jsonl",
            "evaluations.jsonl",
            "batches.jsonl",
            f"batches/{mine['batch'].pk}.jsonl",
            "predictions.csv",
            "predictions.jsonl",
            f"seen/{key}.png",
            f"thumbnails/{key}.jpg",
            f"originals/{key}.png",
        ]
    )
    assert archive.read(f"thumbnails/{key}.jpg") == bytes(mine["prediction"].thumbnail)
    assert archive.read(f"originals/{key}.png") == bytes(mine["original"].data)
    [prediction] = lines(archive, "predictions.jsonl")
    assert (prediction["prediction_id"], prediction["class_key"]) == (key, "cat")
    assert prediction["thumbnail"] == f"thumbnails/{key}.jpg"
    assert prediction["shared_since"] is not None
    with Image.open(io.BytesIO(archive.read(f"seen/{key}.png"))) as seen:
        assert (seen.size, seen.getpixel((0, 0))) == ((32, 32), (0, 0, 0))
    [row] = csv.DictReader(archive.read("predictions.csv").decode().splitlines())
    assert row["prediction_id"] == str(key)
    assert [run["id"] for run in lines(archive, "runs.jsonl")] == [mine["run"].pk]
    assert [job["id"] for job in lines(archive, "batches.jsonl")] == [mine["batch"].pk]
    assert lines(archive, f"batches/{mine['batch'].pk}.jsonl")[0]["error"]["code"] == "not_an_image"
    assert [notice["job"]["id"] for notice in lines(archive, "notifications.jsonl")] == [mine["run"].pk]
    profile = json.loads(archive.read("profile.json"))
    assert (profile["username"], profile["groups"]) == ("ada", ["trainer"])
    [token] = json.loads(archive.read("tokens.json"))
    assert token["scopes"] == ["predict", "train", "operate", "account"]


def test_an_empty_account_has_an_archive_too() -> None:
    archive = archive_of(Person("user"))
    assert lines(archive, "predictions.jsonl") == []


def test_nobody_else_gets_it() -> None:
    assert Client().get("/account/data.zip").status_code == 302


def test_the_archive_costs_the_same_queries_whatever_its_length(django_assert_num_queries: Any) -> None:
    person = Person("user")
    version = PredictionFactory.create(owner=person.user).model_version
    with django_assert_num_queries(23) as counted:
        archive_of(person)
    assert counted is not None
    PredictionFactory.create_batch(20, owner=person.user, model_version=version)
    with django_assert_num_queries(23):
        archive_of(person)


# --- Deletion --------------------------------------------------------------------------------------------------------
def test_everything_private_goes_and_what_is_shared_stays() -> None:
    user, other = make_user(), make_user("grace")
    mine, others = fill(user), fill(other)
    import_job = DatasetImportFactory.create(owner=user, status=JobStatus.SUCCEEDED)
    Webhook.objects.create(owner=user, url="https://example.org/", secret="s")
    Transition.objects.create(job_kind="batchjob", job_pk=mine["batch"].pk, to_status="queued", cause="requested")
    delete_account(user=user)
    assert list(Prediction.objects.values_list("owner", flat=True)) == [other.pk]
    assert list(Original.objects.values_list("pk", flat=True)) == [others["original"].pk]
    assert list(BatchJob.objects.all()) == [others["batch"]]
    assert list(BatchItem.objects.values_list("batch", flat=True)) == [others["batch"].pk]
    assert list(ApiToken.objects.values_list("user", flat=True)) == [other.pk]
    assert list(Notification.objects.values_list("owner", flat=True)) == [other.pk]
    assert list(Share.objects.values_list("prediction", flat=True)) == [others["prediction"].pk]
    assert not Webhook.objects.exists()
    assert not Transition.objects.filter(job_kind="batchjob").exists()
    assert not User.objects.filter(username="ada").exists()
    assert TrainingRun.objects.get(pk=mine["run"].pk).owner is None
    assert DatasetImport.objects.get(pk=import_job.pk).owner is None


def test_live_jobs_are_cancelled() -> None:
    user = make_user()
    queued = TrainingRunFactory.create(owner=user)
    running = TrainingRunFactory.create(owner=user, status=JobStatus.RUNNING)
    import_job = DatasetImportFactory.create(owner=user)
    batch = BatchJobFactory.create(owner=user, status=JobStatus.RUNNING)
    delete_account(user=user)
    assert TrainingRun.objects.get(pk=queued.pk).status == JobStatus.CANCELLED
    assert TrainingRun.objects.get(pk=running.pk).cancel_requested
    assert DatasetImport.objects.get(pk=import_job.pk).status == JobStatus.CANCELLED
    assert not BatchJob.objects.filter(pk=batch.pk).exists()


@pytest.mark.parametrize("submit", [TrainingRunFactory.create, DatasetImportFactory.create])
def test_what_is_asked_for_amid_a_deletion_is_cancelled_too(
    submit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    asked: list[Any] = []

    def delete_history(owner: User) -> None:
        if not asked:
            asked.append(submit(owner=owner))

    monkeypatch.setattr(deletion, "_delete_history", delete_history)
    delete_account(user=user)
    [job] = asked
    job.refresh_from_db()
    assert (job.owner, job.status) == (None, JobStatus.CANCELLED)


@pytest.mark.skipif(settings.EMBEDDED, reason="SQLite lets one write at a time")
@pytest.mark.django_db(transaction=True)
def test_what_is_asked_for_in_the_last_moment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    user, run = make_user(), TrainingRunFactory.build(dataset=DatasetFactory.create())
    run.owner = user
    met: list[type[BaseException]] = []

    def submit() -> None:
        try:
            run.save()
        except IntegrityError as error:
            met.append(type(error))
        finally:
            connection.close()

    submitting = threading.Thread(target=submit)

    def amid(_user: User) -> None:
        submitting.start()
        submitting.join(1)
        assert submitting.is_alive()  # it waits for what becomes of the account

    monkeypatch.setattr(deletion, "_hand_over_log", amid)
    delete_account(user=user)
    submitting.join(10)
    assert met == [IntegrityError]
    assert not TrainingRun.objects.exists()


def test_what_was_done_in_the_admin_panel_stays_in_its_history() -> None:
    admin, other = UserFactory.create(is_superuser=True), UserFactory.create(is_superuser=True)
    entries = [
        LogEntry.objects.create(user=who, action_flag=ADDITION, object_repr=name)
        for who, name in ((admin, "theirs"), (other, "another's"))
    ]
    delete_account(user=admin)
    former = LogEntry.objects.get(pk=entries[0].pk).user
    assert (former.username, former.is_active, former.has_usable_password()) == ("(deleted)", False, False)
    assert LogEntry.objects.get(pk=entries[1].pk).user == other
    with pytest.raises(FormerAccountError):
        delete_account(user=former)
    assert LogEntry.objects.count() == 2


def test_nobody_can_sign_up_as_the_account_of_those_that_are_gone() -> None:
    form = {"username": FORMER, "password1": PASSWORD, "password2": PASSWORD}
    assert "username" in Client().post("/accounts/signup/", form).context["form"].errors
    assert not User.objects.exists()


def test_ending_sessions_reads_none() -> None:
    user, others = make_user(), [Client() for _visitor in range(30)]
    for other in others:
        other.force_login(UserFactory.create())
    Client().force_login(user)
    with CaptureQueriesContext(connection) as queries:
        delete_account(user=user)
    reading = [
        query["sql"] for query in queries if query["sql"].startswith("SELECT") and "session_data" in query["sql"]
    ]
    assert (reading, Session.objects.count()) == ([], 30)


def test_a_batchs_archive_leaves_the_disk(artifacts_root: Path, django_capture_on_commit_callbacks: Any) -> None:
    user = make_user()
    archive = artifacts_root / "uploads" / "some.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"x")
    BatchJobFactory.create(owner=user, status=JobStatus.SUCCEEDED, archive="uploads/some.zip")
    with django_capture_on_commit_callbacks(execute=True):
        delete_account(user=user)
    assert not archive.exists()


def test_the_last_administrator_stays() -> None:
    admin = UserFactory.create(is_superuser=True)
    UserFactory.create(is_superuser=True, is_active=False)
    run = TrainingRunFactory.create(owner=admin)
    with pytest.raises(LastAdministratorError):
        delete_account(user=admin)
    assert TrainingRun.objects.get(pk=run.pk).status == JobStatus.QUEUED
    UserFactory.create(groups=["administrator"])
    delete_account(user=admin)
    assert not User.objects.filter(pk=admin.pk).exists()


def signed_in() -> Client:
    UserFactory.create(username="ada", groups=["user"])
    client = Client()
    client.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    return client


def test_the_page_asks_for_the_password_and_ends_every_session() -> None:
    client, other = signed_in(), Client()
    other.force_login(User.objects.get(username="ada"))
    page = client.get("/account/delete/")
    assert "These go for good:" in text_of(page)
    wrong = client.post("/account/delete/", {"proof": "wrong"})
    assert (wrong.status_code, errors_of(wrong)["proof"]) == (400, ["This is not your password."])
    done = client.post("/account/delete/", {"proof": PASSWORD}, follow=True)
    assert done.redirect_chain == [("/accounts/login/", 302)]
    assert "Your account and your data are deleted." in text_of(done)
    assert not User.objects.exists()
    assert other.get("/account/").status_code == 302
    assert not any("_auth_user_id" in row.get_decoded() for row in Session.objects.all())
    assert not Session.objects.exclude(owner=None).exists()


def test_who_has_no_password_types_their_name() -> None:
    person = Person("user", username="ada")
    person.user.set_unusable_password()
    person.user.save()
    person.force_login(person.user)
    assert person.post("/account/delete/", {"proof": "grace"}).status_code == 400
    assert person.post("/account/delete/", {"proof": "ada"}).status_code == 302


def test_the_last_administrator_is_told_instead_of_asked() -> None:
    person = Person(is_superuser=True)
    assert "You are the only administrator." in text_of(person.get("/account/delete/"))
    assert "You are the only administrator." in text_of(person.post("/account/delete/", {"proof": PASSWORD}))
    assert User.objects.count() == 1


# --- Commands --------------------------------------------------------------------------------------------------------
def test_commands_do_the_same(tmp_path: Path) -> None:
    fill(make_user())
    call_command("account_data", "ada", output=tmp_path / "ada.zip")
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        assert json.loads(archive.read("profile.json"))["username"] == "ada"
    call_command("delete_account", "ada", yes=True)
    assert not User.objects.exists()
    with pytest.raises(CommandError, match="There is no account named 'ada'"):
        call_command("delete_account", "ada", yes=True)


def test_the_command_deletes_nobody_by_accident() -> None:
    make_user()
    with pytest.raises(CommandError, match="--yes"):
        call_command("delete_account", "ada")
    assert User.objects.count() == 1
