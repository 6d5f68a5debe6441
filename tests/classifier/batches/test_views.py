"""The pages of batch jobs, without a browser: what they show, what they take, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from cifarsite.accounts.models import User
from classifier.models import BatchJob
from classifier.runner import execute_batch
from tests.api_fixtures import make_user
from tests.classifier.archive_makers import BROKEN, pictures, request, zip_of
from tests.tiny_model import picture
from training.models import ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture
def client(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def done(user: User, files: dict[str, bytes]) -> BatchJob:
    job = request(user, files)
    execute_batch(job.pk)
    return BatchJob.objects.get(pk=job.pk)


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.content
    return response.content.decode()


class TestUpload:
    def test_an_archive_is_taken(self, client: Client, champion: ModelVersion) -> None:
        response = client.post("/batches/", {"archive": SimpleUploadedFile("a.zip", zip_of(pictures(2)))})
        job = BatchJob.objects.get()
        assert (response.status_code, response.headers["Location"]) == (302, f"/batches/{job.pk}/")

    def test_pictures_are_taken(self, client: Client, champion: ModelVersion) -> None:
        client.post("/batches/", {"files": [SimpleUploadedFile(f"{n}.png", picture(n)) for n in range(3)]})
        assert BatchJob.objects.get().progress_total == 3

    @pytest.mark.parametrize(
        ("data", "status", "says"),
        [
            (b"nothing", 422, "This is no .zip"),
            (zip_of({}), 422, "There are no pictures"),
            (zip_of({"../<b>.png": b"x"}), 422, "../&lt;b&gt;.png"),
        ],
    )
    def test_a_refusal_is_told_on_the_page(
        self, client: Client, artifacts_root: Path, data: bytes, status: int, says: str
    ) -> None:
        response = client.post("/batches/", {"archive": SimpleUploadedFile("a.zip", data)})
        assert response.status_code == status
        assert says in response.content.decode()
        assert [path for path in artifacts_root.rglob("*") if path.is_file()] == []

    def test_too_much(self, client: Client, settings: Settings) -> None:
        settings.ARCHIVE_MAX_BYTES = settings.BATCH_FORM_MAX_FILES = 1
        response = client.post("/batches/", {"archive": SimpleUploadedFile("a.zip", b"x" * 100_000)})
        assert response.status_code == 413

    def test_it_is_a_form_of_ours(self, user: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        response = client.post("/batches/", {"archive": SimpleUploadedFile("a.zip", zip_of(pictures(1)))})
        assert (response.status_code, BatchJob.objects.count()) == (403, 0)


class TestPage:
    def test_a_batch_with_labels(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = done(user, {"cat/a.png": picture(3), "cat/b.png": picture(5), "cat/c.png": BROKEN})
        shown = text(client, f"/batches/{job.pk}/")
        assert "3 of 3" in shown
        assert "50.00%" in shown
        assert shown.count("Not readable") >= 2
        assert "The picture is damaged or incomplete." in shown
        assert "hx-get" not in shown

    def test_answers_are_filtered_and_cut_into_pages(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = done(user, pictures(120))
        first = text(client, f"/batches/{job.pk}/")
        assert ("00049.png" in first, "00050.png" in first) == (True, False)
        assert f"/batches/{job.pk}/?start=50&amp;show=#answers-title" in first
        last = text(client, f"/batches/{job.pk}/?start=100")
        assert ("00099.png" in last, "00119.png" in last) == (False, True)
        assert f"/batches/{job.pk}/?start=50&amp;show=#answers-title" in last
        cats = text(client, f"/batches/{job.pk}/?show=class:cat")
        assert ("00003.png" in cats, "00004.png" in cats) == (True, False)
        assert "No picture fits this filter." in text(client, f"/batches/{job.pk}/?show=errors")
        assert text(client, f"/batches/{job.pk}/?start=x&show={'y' * 100}")

    def test_unsure_and_wrong_answers_are_found(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = done(user, {"cat/a.png": picture(3), "cat/b.png": picture(5), "cat/c.png": BROKEN, "d.png": picture(3)})
        job.items.filter(name="d.png").update(confidence=0.4)
        unsure, wrong = (text(client, f"/batches/{job.pk}/?show={show}") for show in ("unsure", "wrong"))
        assert ["a.png" in unsure, "b.png" in unsure, "c.png" in unsure, "d.png" in unsure] == [
            False,
            False,
            False,
            True,
        ]
        assert ["a.png" in wrong, "b.png" in wrong, "c.png" in wrong, "d.png" in wrong] == [False, True, False, False]

    def test_the_fragment_is_asked_for_until_the_end(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = request(user, pictures(3))
        shown = text(client, f"/batches/{job.pk}/")
        assert f'hx-get="/batches/{job.pk}/live/?state=queued&amp;items=0-0' in shown
        assert "no worker is running" in shown
        execute_batch(job.pk)
        fragment = text(client, f"/batches/{job.pk}/live/?state=queued&items=0-0&history=0")
        assert "hx-get" not in fragment
        assert 'id="batch-items" hx-swap-oob="morph"' in fragment
        assert 'id="delete-button"' in fragment
        unchanged = text(client, f"/batches/{job.pk}/live/?state=succeeded&items=3-0")
        assert "batch-items" not in unchanged

    def test_a_signed_out_fragment_reloads_its_page(self, user: User) -> None:
        response = Client().get(f"/batches/{request(user, pictures(1)).pk}/live/")
        assert (response.status_code, response.headers["HX-Refresh"]) == (204, "true")

    def test_names_are_shown_escaped(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = done(user, {"<script>alert(1)<!-- .png": picture(1)})
        assert "<script>alert" not in text(client, f"/batches/{job.pk}/")

    def test_the_list(
        self,
        client: Client,
        user: User,
        champion: ModelVersion,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _number in range(3):
            done(user, pictures(1))
        with django_assert_max_num_queries(7):
            shown = text(client, "/batches/")
        assert shown.count('class="row-link"') == 3
        assert "hx-get" not in shown.partition('id="batch-list"')[2].partition(">")[0]

    def test_the_list_keeps_one_state(self, client: Client, user: User, champion: ModelVersion) -> None:
        ended, waiting = done(user, pictures(1)), request(user, pictures(1))
        assert f'id="batch-{ended.pk}"' in text(client, "/batches/?status=succeeded")
        assert f'id="batch-{waiting.pk}"' not in text(client, "/batches/?status=succeeded")
        assert "No batch is in this state" in text(client, "/batches/?status=failed")
        assert f'id="batch-{waiting.pk}"' in text(client, "/batches/?status=nonsense")

    def test_french(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = done(user, {"a.png": picture(3), "b.png": b""})
        response = client.get(f"/batches/{job.pk}/", headers={"accept-language": "fr"})
        assert "Le fichier est vide." in response.content.decode()


class TestSteering:
    def test_cancel_resume_delete(self, client: Client, user: User, champion: ModelVersion) -> None:
        job = request(user, pictures(2))
        for action, status in (("cancel", "cancelled"), ("resume", "queued"), ("cancel", "cancelled")):
            assert client.post(f"/batches/{job.pk}/{action}/").status_code == 302
            job.refresh_from_db()
            assert job.status == status
        response = client.post(f"/batches/{job.pk}/delete/", follow=True)
        assert f"Batch {job.pk} and its answers are deleted." in response.content.decode()
        assert not BatchJob.objects.exists()

    def test_what_its_state_forbids_is_said(self, client: Client, user: User) -> None:
        job = request(user, pictures(2))
        assert "has not ended" in client.post(f"/batches/{job.pk}/delete/", follow=True).content.decode()
        assert "neither failed" in client.post(f"/batches/{job.pk}/resume/", follow=True).content.decode()

    @pytest.mark.parametrize("path", ["", "live/", "results.csv", "results.jsonl"])
    def test_another_persons_batch_does_not_exist(self, user: User, path: str) -> None:
        job = request(user, pictures(1))
        other = Client()
        assert other.get(f"/batches/{job.pk}/{path}").status_code in {302, 204}
        other.force_login(make_user("bob"))
        assert other.get(f"/batches/{job.pk}/{path}").status_code == 404
        for action in ("cancel", "resume", "delete"):
            assert other.post(f"/batches/{job.pk}/{action}/").status_code == 404
        job.refresh_from_db()
        assert job.status == "queued"


def test_downloads(client: Client, user: User, champion: ModelVersion) -> None:
    job = done(user, pictures(2))
    response = client.get(f"/batches/{job.pk}/results.csv")
    assert response.headers["Content-Disposition"] == f'attachment; filename="batch-{job.pk}.csv"'
    assert len(b"".join(response).splitlines()) == 3
    assert len(b"".join(client.get(f"/batches/{job.pk}/results.jsonl")).splitlines()) == 2
