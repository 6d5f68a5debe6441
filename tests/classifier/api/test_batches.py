"""The API of batch jobs: accepted or refused, told, listed, downloaded, and nobody else's business."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from cifarsite.accounts.models import User
from classifier.models import BatchJob
from classifier.runner import execute_batch
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.classifier.archive_makers import BROKEN, pictures, request, zip_of
from tests.factories import BatchJobFactory
from tests.tiny_model import picture
from tests.training.engine.conftest import HOSTILE
from training.engine.constants import CIFAR10_CLASS_KEYS as KEYS
from training.models import ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

BATCHES = "/api/v1/batches"


def send(program: Program, data: bytes, *, name: str = "my pictures.zip") -> Any:
    return program.post(BATCHES, {"archive": SimpleUploadedFile(name, data)})


def done(user: User, files: dict[str, bytes]) -> BatchJob:
    job = request(user, files)
    execute_batch(job.pk)
    return BatchJob.objects.get(pk=job.pk)


class TestRequest:
    def test_an_archive_is_accepted(self, program: Program, champion: ModelVersion) -> None:
        response = send(program, zip_of(pictures(3)))
        assert response.status_code == 202
        body = response.json()
        job = BatchJob.objects.get()
        assert response.headers["Location"] == f"http://testserver{BATCHES}/{job.pk}"
        assert (body["id"], body["status"], body["name"]) == (job.pk, "queued", "my pictures.zip")
        assert body["progress"] == {"done": 0, "total": 3}
        assert body["waiting"] == {"for": "no_worker", "position": 1}
        assert body["broker_reached"] is False  # the message goes when the test's transaction is committed
        assert "archive" not in body

    def test_many_files_become_one_archive(self, program: Program, user: User, champion: ModelVersion) -> None:
        names = ["a.png", "A.png", "a.png", ".hidden.png", "=1+1.png", "notes.zip.png"]
        files = [SimpleUploadedFile(name, picture(number)) for number, name in enumerate(names)]
        response = program.post(BATCHES, {"files": files})
        assert response.status_code == 202, response.content
        assert response.json()["name"] == ""
        job = BatchJob.objects.get()
        execute_batch(job.pk)
        stored = list(job.items.values_list("name", "class_key"))
        expected = ["a.png", "A (2).png", "a (3).png", "hidden.png", "=1+1.png", "notes.zip.png"]
        assert stored == list(zip(expected, KEYS, strict=False))

    @pytest.mark.parametrize(
        "name", ["zip-traversal", "zip-encrypted", "zip-bomb", "zip-overlap", "tar-symlink", "empty"]
    )
    def test_a_hostile_archive_leaves_nothing(self, program: Program, artifacts_root: Path, name: str) -> None:
        case = HOSTILE[name]
        body = problem_of(send(program, case.make()), 413 if case.too_large else 422)
        assert body["errors"][0]["location"] == "archive"
        assert not BatchJob.objects.exists()
        assert [path for path in artifacts_root.rglob("*") if path.is_file()] == []

    def test_it_is_refused_in_french(self, program: Program) -> None:
        body = program.post(f"{BATCHES}?lang=fr", {}).json()
        assert body["errors"][0]["code"] == "required"

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, "required"),
            ({"file": b"x"}, "required"),
            ({"archive": b"x", "files": b"x"}, "too_many"),
            ({"archive": [b"x", b"y"]}, "too_many"),
        ],
    )
    def test_there_is_one_archive_or_files(self, program: Program, fields: dict[str, Any], code: str) -> None:
        form = {
            name: [SimpleUploadedFile("a.zip", data) for data in (value if isinstance(value, list) else [value])]
            for name, value in fields.items()
        }
        body = problem_of(program.post(BATCHES, form), 400)
        assert body["errors"][0]["code"] == code

    def test_too_many_files(self, program: Program, settings: Settings) -> None:
        settings.BATCH_FORM_MAX_FILES = 2
        files = [SimpleUploadedFile(f"{number}.png", picture()) for number in range(3)]
        problem_of(program.post(BATCHES, {"files": files}), 400)

    def test_too_many_bytes(self, program: Program, settings: Settings) -> None:
        settings.ARCHIVE_MAX_BYTES, settings.BATCH_FORM_MAX_FILES = 1000, 1
        problem_of(send(program, b"x" * 100_000), 413)
        problem_of(send(program, zip_of(pictures(10))), 413)

    def test_a_nul_in_the_name(self, program: Program) -> None:
        body = b'--X\r\nContent-Disposition: form-data; name="archive"; filename="a\0.zip"\r\n\r\n' + b"x\r\n--X--\r\n"
        response = program.client.post(
            BATCHES,
            body,
            content_type="multipart/form-data; boundary=X",
            headers={"authorization": f"Token {program.token}"},
        )
        problem_of(response, 400)

    def test_a_form_that_ends_too_early(self, program: Program) -> None:
        body = b'--X\r\nContent-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\nPK'
        response = program.client.post(
            BATCHES,
            body,
            content_type="multipart/form-data; boundary=X",
            headers={"authorization": f"Token {program.token}"},
        )
        problem_of(response, 400)

    def test_no_form(self, program: Program) -> None:
        headers = {"authorization": f"Token {program.token}"}
        problem_of(program.client.post(BATCHES, {}, content_type="application/json", headers=headers), 415)

    def test_too_many_batches(self, program: Program, settings: Settings) -> None:
        settings.BATCH_JOBS_PER_USER = 1
        send(program, zip_of(pictures(1)))
        problem_of(send(program, zip_of(pictures(1))), 409)

    def test_a_session_needs_its_csrf_token(self, user: User) -> None:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        client.force_login(user)
        problem_of(client.post(BATCHES, {"archive": SimpleUploadedFile("a.zip", zip_of(pictures(1)))}), 403)
        assert not BatchJob.objects.exists()


class TestReading:
    def test_the_list_has_pages_and_a_filter(self, program: Program, user: User, champion: ModelVersion) -> None:
        first, second = done(user, pictures(1)), request(user, pictures(1))
        body = program.get(f"{BATCHES}?page_size=1").json()
        assert [job["id"] for job in body["results"]] == [second.pk]
        assert [job["id"] for job in program.get(body["next"]).json()["results"]] == [first.pk]
        assert [job["id"] for job in program.get(f"{BATCHES}?status=succeeded").json()["results"]] == [first.pk]
        problem_of(program.get(f"{BATCHES}?status=odd"), 400)

    def test_a_page_costs_the_same_however_long_it_is(
        self,
        program: Program,
        user: User,
        champion: ModelVersion,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _number in range(5):
            done(user, pictures(1))
        with django_assert_max_num_queries(4):
            assert len(program.get(BATCHES).json()["results"]) == 5

    def test_a_batch_that_has_ended(self, program: Program, user: User, champion: ModelVersion) -> None:
        job = done(user, {"cat/a.png": picture(3), "cat/b.png": picture(5)})
        body = program.get(f"{BATCHES}/{job.pk}").json()
        assert (body["status"], body["accuracy"], body["waiting"]) == ("succeeded", 0.5, None)
        assert (body["model_version"], body["model_sha256"]) == (str(champion), champion.package_sha256)
        assert body["metrics"]["confusion_matrix"][3][5] == 1
        assert [change["cause"] for change in body["history"]] == ["requested", "claimed", "succeeded"]

    def test_answers_come_in_pages(self, program: Program, user: User, champion: ModelVersion) -> None:
        job = done(user, {**pictures(3), "bad.png": BROKEN})
        body = program.get(f"{BATCHES}/{job.pk}/items?page_size=3").json()
        assert [item["class_key"] for item in body["results"]] == ["airplane", "automobile", "bird"]
        last = program.get(body["next"]).json()["results"]
        assert last == [
            {
                "index": 3,
                "name": "bad.png",
                "class_id": None,
                "class_key": None,
                "class_name": None,
                "confidence": None,
                "probabilities": None,
                "out_of_distribution": False,
                "label": None,
                "error": {"code": "broken", "detail": "The picture is damaged or incomplete."},
            }
        ]
        assert sum(body["results"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)

    def test_answers_are_filtered(self, program: Program, user: User, champion: ModelVersion) -> None:
        job = done(user, {**pictures(12), "bad.png": BROKEN})

        def listed(query: str) -> list[int]:
            return [item["index"] for item in program.get(f"{BATCHES}/{job.pk}/items?{query}").json()["results"]]

        assert listed("errors=1") == [12]
        assert listed("class=automobile") == [1, 11]
        assert listed("class=unicorn") == []
        job.items.filter(index__in=[2, 3]).update(confidence=0.25, expected_key="cat")
        assert listed("confidence_max=0.5") == [2, 3]
        assert (listed("right=true"), listed("right=false")) == ([3], [2])

    def test_names_and_errors_are_in_the_language_asked_for(
        self, program: Program, user: User, champion: ModelVersion
    ) -> None:
        job = done(user, {"a.png": picture(3), "b.png": b""})
        first, second = program.get(f"{BATCHES}/{job.pk}/items?lang=fr").json()["results"]
        assert (first["class_name"], first["class_key"]) == ("Chat", "cat")
        assert second["error"]["detail"] == "Le fichier est vide."
        lines = b"".join(program.get(f"{BATCHES}/{job.pk}/results.jsonl?lang=fr")).decode().splitlines()
        assert json.loads(lines[0])["class_name"] == "Chat"


class TestDownloads:
    def test_csv_is_harmless_to_a_spreadsheet(self, program: Program, user: User, champion: ModelVersion) -> None:
        job = done(user, {"=HYPERLINK(1).png": picture(3), '-2+3,"x".png': b"", "é.png": picture(5)})
        response = program.get(f"{BATCHES}/{job.pk}/results.csv")
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"] == f'attachment; filename="batch-{job.pk}.csv"'
        text = b"".join(response).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["name"] for row in rows] == ["'=HYPERLINK(1).png", '\'-2+3,"x".png', "é.png"]
        assert [row["class_key"] for row in rows] == ["cat", "", "dog"]
        assert [row["error"] for row in rows] == ["", "empty", ""]
        assert float(rows[0]["p_cat"]) == float(rows[0]["confidence"])
        assert rows[1]["p_cat"] == ""

    def test_json_lines(self, program: Program, user: User, champion: ModelVersion) -> None:
        job = done(user, {"=1.png": picture(3), "b.png": b""})
        response = program.get(f"{BATCHES}/{job.pk}/results.jsonl", headers={"accept": "application/jsonl"})
        items = [json.loads(line) for line in b"".join(response).decode().splitlines()]
        assert [(item["name"], item["class_key"]) for item in items] == [("=1.png", "cat"), ("b.png", None)]


class TestSteering:
    def test_cancel_resume_delete(self, program: Program, user: User, champion: ModelVersion) -> None:
        job = request(user, pictures(2))
        path = f"{BATCHES}/{job.pk}"
        problem_of(program.client.delete(path, headers={"authorization": f"Token {program.token}"}), 409)
        response = program.post(f"{path}/cancel", {})
        assert (response.status_code, response.json()["status"]) == (202, "cancelled")
        problem_of(program.post(f"{path}/cancel", {}), 409)
        assert program.get(path).json()["can_resume"] is True
        response = program.post(f"{path}/resume", {})
        assert (response.status_code, response.json()["status"]) == (202, "queued")
        problem_of(program.post(f"{path}/resume", {}), 409)
        execute_batch(job.pk)
        deleted = program.client.delete(path, headers={"authorization": f"Token {program.token}"})
        assert (deleted.status_code, deleted.content) == (204, b"")
        problem_of(program.get(path), 404)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", ""),
            ("delete", ""),
            ("post", "/cancel"),
            ("post", "/resume"),
            ("get", "/items"),
            ("get", "/results.csv"),
            ("get", "/results.jsonl"),
        ],
    )
    def test_another_persons_batch_does_not_exist(
        self, user: User, champion: ModelVersion, method: str, path: str
    ) -> None:
        job = done(user, pictures(1))
        other = make_token(make_user("bob"))
        client = Client(raise_request_exception=False)
        ask = getattr(client, method)
        problem_of(ask(f"{BATCHES}/{job.pk}{path}", headers={"authorization": f"Token {other}"}), 404)
        problem_of(ask(f"{BATCHES}/{job.pk}{path}"), 401)
        job.refresh_from_db()
        assert (job.status, job.items.count()) == ("succeeded", 1)
        assert client.get(BATCHES, headers={"authorization": f"Token {other}"}).json()["results"] == []

    def test_a_number_that_no_row_can_have(self, program: Program) -> None:
        problem_of(program.get(f"{BATCHES}/{10**30}"), 404)


class TestIdempotency:
    KEY = {"idempotency-key": "once"}

    def ask(self, program: Program, number: int) -> Any:
        form = {"files": [SimpleUploadedFile("same-name.png", picture(number))]}
        return program.post(BATCHES, form, headers=self.KEY)

    def test_what_is_sent_twice_is_one_batch(self, program: Program, artifacts_root: Path) -> None:
        first, second = (self.ask(program, 3) for _number in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert second.headers["Idempotency-Replayed"] == "true"
        assert second.json()["id"] == first.json()["id"] == BatchJob.objects.get().pk
        assert len(list((artifacts_root / "uploads").iterdir())) == 1

    def test_other_pictures_under_the_same_names_are_another_request(self, program: Program) -> None:
        self.ask(program, 3)
        body = problem_of(self.ask(program, 4), 422)
        assert body["errors"][0]["code"] == "key_reused"


@pytest.mark.parametrize("part", ["", "/{pk}/items"])
def test_a_forged_cursor(program: Program, user: User, part: str) -> None:
    job = BatchJobFactory.create(owner=user)
    cursor = b64encode(b"p=abc").decode()
    problem_of(program.get(f"{BATCHES}{part.format(pk=job.pk)}?cursor={quote(cursor)}"), 404)


@pytest.mark.parametrize("part", ["", "/{pk}/items"])
def test_an_unknown_parameter(program: Program, user: User, part: str) -> None:
    job = BatchJobFactory.create(owner=user)
    body = problem_of(program.get(f"{BATCHES}{part.format(pk=job.pk)}?ordering=password"), 400)
    assert [(fault["location"], fault["code"]) for fault in body["errors"]] == [("ordering", "unknown")]
