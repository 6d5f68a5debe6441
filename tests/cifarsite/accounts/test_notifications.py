"""Notifications: written with the end of a job, read by its owner alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from cifarsite.accounts.models import Delivery, Notification, User, Webhook
from cifarsite.accounts.notifications import _PAGES, describe, mark_read
from tests.api_fixtures import Program, make_user
from tests.factories import BatchJobFactory, DatasetImportFactory, TrainingRunFactory
from tests.training.people import Person, text_of
from training.choices import Reason
from training.job_kinds import job_models
from training.models import DatasetImport, TrainingRun

pytestmark = pytest.mark.django_db


def running(owner: User | None) -> TrainingRun:
    """Return a run that a worker has claimed."""
    run = TrainingRunFactory.create(owner=owner)
    claimed: TrainingRun | None = TrainingRun.claim(run.pk, worker="w:1")
    assert claimed is not None
    return claimed


def unread(user: User) -> int:
    user.refresh_from_db()
    return user.unread_notifications


@pytest.mark.parametrize(
    ("end", "title"),
    [
        (lambda run: run.succeed(), "Succeeded"),
        (lambda run: run.fail(reason=Reason.DIVERGED, detail="x"), "Failed"),
        (lambda run: run.cancel(), "Cancelled"),
    ],
)
def test_each_end_is_told_once(user: User, end: Any, title: str) -> None:
    run = running(user)
    end(run)
    [notice] = describe(Notification.objects.owned_by(user))
    assert (notice.title, notice.path) == (f"Run {run.pk}: {title}", f"/training/{run.pk}/")
    assert (notice.kind, notice.job_id, notice.is_read) == ("trainingrun", run.pk, False)
    assert unread(user) == 1


def test_a_job_that_goes_on_or_has_no_owner_is_not_told(user: User) -> None:
    running(user).release()
    running(None).succeed()
    assert not Notification.objects.exists()


def test_nobody_is_told_of_what_they_did_themselves(user: User) -> None:
    mine, other = TrainingRunFactory.create(owner=user), TrainingRunFactory.create(owner=user)
    TrainingRun.request_cancel(mine.pk, by=user)
    TrainingRun.request_cancel(other.pk, by=make_user("grace"))
    assert [row.transition.job_pk for row in Notification.objects.owned_by(user)] == [other.pk]


def test_an_end_that_is_undone_was_never_told(user: User) -> None:
    run = running(user)
    with transaction.atomic():
        run.succeed()
        transaction.set_rollback(True)
    assert not Notification.objects.exists()
    assert unread(user) == 0


def test_a_run_that_is_resumed_and_ends_again_is_told_again(user: User) -> None:
    run = running(user)
    run.fail(reason=Reason.KILLED, detail="")
    TrainingRun.resume(run.pk, by=user)
    again = TrainingRun.claim(run.pk, worker="w:2")
    assert again is not None
    again.succeed()
    assert [notice.status for notice in describe(Notification.objects.owned_by(user))] == ["succeeded", "failed"]


def test_what_goes_out_is_written_in_the_same_transaction(user: User) -> None:
    user.wants_mail = True
    user.save()
    Webhook.objects.create(owner=user, url="https://example.org/", secret="s")
    running(user).succeed()
    assert sorted(Delivery.objects.values_list("channel", flat=True)) == ["mail", "webhook"]
    assert not Delivery.objects.filter(due_at=None).exists()


def test_marking_as_read_counts_again(user: User) -> None:
    for _run in range(3):
        running(user).succeed()
    newest = Notification.objects.owned_by(user).first()
    assert newest is not None
    assert mark_read(owner=user, pk=newest.pk) == 1
    assert unread(user) == 2
    assert mark_read(owner=make_user("grace")) == 0
    assert mark_read(owner=user) == 2
    assert unread(user) == 0


def test_a_job_that_is_gone_keeps_its_notification(user: User) -> None:
    run = running(user)
    pk = run.pk
    run.succeed()
    run.delete()
    [notice] = describe(Notification.objects.owned_by(user))
    assert (notice.job, notice.path) == (f"Deleted job {pk}", "")


# --- The page --------------------------------------------------------------------------------------------------------
def end_one_of_each(owner: User) -> None:
    running(owner).fail(reason=Reason.DIVERGED, detail="")
    for job in (BatchJobFactory.create(owner=owner), DatasetImportFactory.create(owner=owner)):
        type(job).request_cancel(job.pk)


def test_the_page_lists_what_happened(django_assert_num_queries: Any) -> None:
    person = Person("trainer")
    end_one_of_each(person.user)
    with django_assert_num_queries(9):  # session, user, two of permissions, two of the page, one for each kind of job
        shown = text_of(person.get("/notifications/"))
    for _more in range(4):
        end_one_of_each(person.user)
    with django_assert_num_queries(9):
        person.get("/notifications/")
    assert "3 unread notifications" in shown
    assert "The loss became infinite or undefined" in shown


def test_the_badge_costs_no_query(django_assert_num_queries: Any) -> None:
    person = Person("user")
    counts = []
    for _notification in range(2):
        with django_assert_num_queries(5) as counted:
            counts.append("unread notification" in text_of(person.get(reverse("tokens"))))
        assert counted is not None
        running(person.user).succeed()
    assert counts == [False, True]


def test_opening_one_marks_it_and_leads_to_the_job() -> None:
    person = Person("trainer")
    run = running(person.user)
    run.succeed()
    row = Notification.objects.get()
    response = person.post(f"/notifications/{row.pk}/read/")
    assert (response.status_code, response.headers["Location"]) == (302, f"/training/{run.pk}/")
    assert unread(person.user) == 0
    assert person.get(f"/notifications/{row.pk}/read/").status_code == 405


def test_all_are_marked_at_once() -> None:
    person = Person("trainer")
    end_one_of_each(person.user)
    assert "new" not in text_of(person.post("/notifications/read/", follow=True)).split()
    assert unread(person.user) == 0


def test_an_empty_page_says_what_will_be_there() -> None:
    assert "Nothing yet" in text_of(Person("user").get("/notifications/"))


def test_a_wrong_number_is_not_there() -> None:
    assert Person("user").post(f"/notifications/{2**70}/read/").status_code == 404


# --- The API ---------------------------------------------------------------------------------------------------------
def test_programs_read_and_mark_them(user: User, program: Program) -> None:
    run = running(user)
    run.succeed()
    DatasetImport.request_cancel(DatasetImportFactory.create(owner=user, name="shapes").pk)
    body = program.get("/api/v1/notifications").json()
    assert [row["status"] for row in body["results"]] == ["cancelled", "succeeded"]
    newest, oldest = body["results"]
    assert oldest["job"] == {"kind": "trainingrun", "id": run.pk, "name": f"Run {run.pk}"}
    assert (newest["job"]["kind"], newest["reason"], newest["read"]) == ("datasetimport", "cancelled", False)
    marked = program.post(f"/api/v1/notifications/{oldest['id']}/read", {})
    assert (marked.status_code, marked.json()) == (200, {"marked": 1, "unread": 1})
    left = program.get("/api/v1/notifications?unread=true").json()["results"]
    assert [row["id"] for row in left] == [newest["id"]]
    assert program.post("/api/v1/notifications/read", {}).json() == {"marked": 1, "unread": 0}


def test_a_wrong_parameter_is_named(program: Program) -> None:
    response = program.get("/api/v1/notifications?unread=perhaps")
    assert (response.status_code, json.loads(response.content)["errors"][0]["location"]) == (400, "unread")


def test_strangers_are_refused(db: None) -> None:
    assert Client().get("/api/v1/notifications").status_code == 401
    assert Client().get("/notifications/").status_code == 302


def test_every_kind_of_job_has_a_page() -> None:
    assert set(_PAGES) == {model.kind() for model in job_models()}
