"""Several batches at once: the pages and the API end or delete them, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.models import BatchJob
from tests.api_fixtures import Program, problem_of
from tests.factories import BatchJobFactory
from tests.training.people import text_of
from training.choices import JobStatus

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture
def client(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make(owner: User, status: JobStatus = JobStatus.QUEUED) -> BatchJob:
    job: BatchJob = BatchJobFactory.create(owner=owner, status=status)
    return job


def send(client: Client, name: str, *numbers: int) -> str:
    return text_of(client.post(reverse(name), {"batch": numbers}, follow=True))


class TestPages:
    def test_the_list_offers_both(self, client: Client, user: User) -> None:
        job = make(user)
        page = client.get(reverse("batches"), {"status": "queued"}).content.decode()
        assert f'id="pick-{job.pk}"' in page
        assert f'action="{reverse("batches_cancel")}"' in page
        assert f'formaction="{reverse("batches_delete")}"' in page
        assert '<input type="hidden" name="status" value="queued">' in page

    @pytest.mark.parametrize("name", ["batches_cancel", "batches_delete"])
    def test_the_question_names_those_with_which_it_can_be_done(self, client: Client, user: User, name: str) -> None:
        live, ended = make(user, JobStatus.RUNNING), make(user, JobStatus.FAILED)
        others = BatchJobFactory.create(status=JobStatus.FAILED)
        response = client.get(reverse(name), {"batch": [live.pk, ended.pk, others.pk]})
        assert response.context["jobs"] == [live if name == "batches_cancel" else ended]
        verb, why = ("cancelled", "have ended") if name == "batches_cancel" else ("deleted", "have not ended")
        assert f"2 more cannot be {verb}: they {why}." in text_of(response)
        assert str(others) not in text_of(response)
        assert BatchJob.objects.filter(status=JobStatus.RUNNING).exists()

    def test_each_is_cancelled_or_the_list_says_why_not(self, client: Client, user: User) -> None:
        waiting, running, ended = make(user), make(user, JobStatus.RUNNING), make(user, JobStatus.SUCCEEDED)
        others = BatchJobFactory.create()
        shown = send(client, "batches_cancel", waiting.pk, running.pk, ended.pk, others.pk)
        assert "2 batches are being cancelled; their answers stay." in shown
        assert f"Ended already: {ended.pk}." in shown
        assert f"Not there: {others.pk}." in shown
        asked = dict(BatchJob.objects.values_list("pk", "cancel_requested"))
        assert asked == {waiting.pk: True, running.pk: True, ended.pk: False, others.pk: False}

    def test_each_is_deleted_or_the_list_says_why_not(self, client: Client, user: User) -> None:
        ended, live = make(user, JobStatus.CANCELLED), make(user, JobStatus.RUNNING)
        others = BatchJobFactory.create(status=JobStatus.SUCCEEDED)
        shown = send(client, "batches_delete", ended.pk, live.pk, others.pk)
        assert "1 batch and its answers are deleted." in shown
        assert f"Not ended yet, and left alone: {live.pk}." in shown
        assert f"Not there: {others.pk}." in shown
        assert set(BatchJob.objects.values_list("pk", flat=True)) == {live.pk, others.pk}

    @pytest.mark.parametrize("name", ["batches_cancel", "batches_delete"])
    def test_nonsense_is_refused(self, client: Client, user: User, name: str) -> None:
        response = client.get(reverse(name), {"batch": "<b>"})
        assert (response.status_code, "“<b>” is no number of a batch." in text_of(response)) == (400, True)
        assert "Choose 1 to 100 batches; these are 0." in send(client, name)
        assert "Choose 1 to 100 batches; these are 101." in send(client, name, *range(1, 102))
        assert "None of the chosen batches can be" in text_of(client.get(reverse(name), {"batch": "1"}))

    @pytest.mark.parametrize("name", ["batches_cancel", "batches_delete"])
    def test_the_list_is_shown_again_as_it_was(self, client: Client, user: User, name: str) -> None:
        job = make(user)
        asked = reverse(name, query={"status": "queued", "page": "1", "batch": job.pk})
        assert client.post(asked, {"batch": job.pk}).headers["Location"] == "/batches/?status=queued"
        assert 'href="/batches/?status=queued&amp;page=1"' in client.get(asked).content.decode()

    @pytest.mark.parametrize("name", ["batches_cancel", "batches_delete"])
    def test_strangers_sign_in_first(self, name: str) -> None:
        for verb in ("get", "post"):
            response = getattr(Client(), verb)(reverse(name))
            assert (response.status_code, response.headers["Location"]) == (
                302,
                f"{reverse('account_login')}?next={reverse(name)}",
            )

    def test_the_question_asks_a_constant_number_of_queries(
        self, client: Client, user: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for count in (1, 8):
            jobs = BatchJobFactory.create_batch(count, owner=user)
            with django_assert_num_queries(5):  # session, person, two of permissions, the batches
                client.get(reverse("batches_cancel"), {"batch": [job.pk for job in jobs]})


def ask(program: Program, action: str, batches: object) -> Any:
    headers = {"authorization": f"Token {program.token}"}
    path = f"/api/v1/batches/{action}"
    return program.client.post(path, {"batches": batches}, content_type="application/json", headers=headers)


class TestApi:
    def test_several_are_cancelled(self, program: Program, user: User) -> None:
        job, ended, others = make(user), make(user, JobStatus.FAILED), BatchJobFactory.create()
        answer = ask(program, "cancel", [job.pk, others.pk, ended.pk, job.pk])
        assert answer.status_code == 200
        assert answer.json() == {"cancelled": [job.pk], "ended": [ended.pk], "missing": [others.pk]}
        others.refresh_from_db()
        assert (BatchJob.objects.get(pk=job.pk).status, others.status) == (JobStatus.CANCELLED, JobStatus.QUEUED)

    def test_several_are_deleted(self, program: Program, user: User) -> None:
        job, live = make(user, JobStatus.FAILED), make(user, JobStatus.RUNNING)
        others = BatchJobFactory.create(status=JobStatus.FAILED)
        answer = ask(program, "delete", [job.pk, live.pk, others.pk])
        assert answer.status_code == 200
        assert answer.json() == {"deleted": [job.pk], "active": [live.pk], "missing": [others.pk]}
        assert set(BatchJob.objects.values_list("pk", flat=True)) == {live.pk, others.pk}

    @pytest.mark.parametrize("action", ["cancel", "delete"])
    @pytest.mark.parametrize("batches", [[], ["x"], [0], [10**18], list(range(1, 102)), "1"])
    def test_nonsense_is_refused(self, program: Program, action: str, batches: object) -> None:
        [error] = problem_of(ask(program, action, batches), 400)["errors"]
        assert error["location"].partition(".")[0].partition("[")[0] == "batches"
