"""The API's answers to several pictures and to one in base64: shapes as clients of an earlier service rely on them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries, Settings

from classifier.models import Prediction
from tests.api_fixtures import Program, problem_of
from tests.tiny_model import picture
from training.models import ModelVersion

pytestmark = pytest.mark.django_db

BATCH, ENCODED = "/api/v1/batch_predict", "/api/v1/predict_base64"
ANSWER_KEYS = [
    "class_id",
    "class_name",
    "confidence",
    "probabilities",
    "class_key",
    "top",
    "out_of_distribution",
    "model_version",
    "model_sha256",
    "latency_ms",
    "prediction_id",
]


def files(*contents: bytes) -> dict[str, Any]:
    return {"files": [SimpleUploadedFile(f"{number}.png", data) for number, data in enumerate(contents)]}


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def send(program: Program, body: object, *, query: str = "") -> Any:
    return program.client.post(
        ENCODED + query, body, content_type="application/json", headers={"authorization": f"Token {program.token}"}
    )


class TestBatch:
    def test_answers_come_in_the_order_of_the_files(self, program: Program, champion: ModelVersion) -> None:
        response = program.post(BATCH, files(picture(3), picture(7), picture(3)))
        assert response.status_code == 200
        answers = response.json()["predictions"]
        assert list(response.json()) == ["predictions"]
        assert [answer["class_id"] for answer in answers] == [3, 7, 3]
        assert all(list(answer) == ANSWER_KEYS for answer in answers)
        rows = list(Prediction.objects.order_by("pk"))
        assert [row.pk for row in rows] == [answer["prediction_id"] for answer in answers]
        assert [row.file_name for row in rows] == ["0.png", "1.png", "2.png"]

    def test_an_error_stands_in_the_place_of_a_picture_that_is_none(
        self, program: Program, champion: ModelVersion
    ) -> None:
        body = program.post(BATCH, files(b"text", picture(7), picture()[:50], b"")).json()
        assert [list(item) == ["error"] for item in body["predictions"]] == [True, False, True, True]
        assert [item.get("error", {}).get("code") for item in body["predictions"]] == [
            "not_an_image",
            None,
            "broken",
            "empty",
        ]
        assert body["predictions"][1]["class_id"] == 7
        assert Prediction.objects.count() == 1

    def test_errors_are_in_the_language_asked_for(self, program: Program, champion: ModelVersion) -> None:
        body = program.post(f"{BATCH}?lang=fr", files(picture(3), b"")).json()
        assert body["predictions"][0]["class_name"] == "Chat"
        assert body["predictions"][1]["error"] == {"code": "empty", "detail": "Le fichier est vide."}

    def test_all_rows_are_one_insert(
        self, program: Program, champion: ModelVersion, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        program.post(BATCH, files(picture()))
        with django_assert_max_num_queries(4):
            program.post(BATCH, files(*[picture(number) for number in range(10)]))

    @pytest.mark.parametrize(("count", "code"), [(0, "required"), (4, "too_many")])
    def test_there_are_some_and_not_too_many(
        self, program: Program, champion: ModelVersion, settings: Settings, count: int, code: str
    ) -> None:
        settings.BATCH_MAX_IMAGES = 3
        body = problem_of(program.post(BATCH, files(*[picture()] * count)), 400)
        assert (body["errors"][0]["location"], body["errors"][0]["code"]) == ("files", code)
        assert not Prediction.objects.exists()

    def test_together_they_are_not_too_large(
        self, program: Program, champion: ModelVersion, settings: Settings
    ) -> None:
        settings.BATCH_MAX_BYTES = settings.BATCH_MAX_IMAGES = 1
        problem_of(program.post(BATCH, files(b"x" * 100_000)), 413)

    def test_a_file_without_a_name_is_refused(self, program: Program, champion: ModelVersion) -> None:
        body = problem_of(program.post(BATCH, {"file": SimpleUploadedFile("a.png", picture())}), 400)
        assert body["errors"][0]["location"] == "files"

    def test_it_needs_a_token(self, stranger: Program, champion: ModelVersion) -> None:
        problem_of(stranger.post(BATCH, files(picture())), 401)

    def test_it_needs_a_model(self, program: Program) -> None:
        response = program.post(BATCH, files(picture()))
        problem_of(response, 503)
        assert response.headers["Retry-After"] == "5"

    def test_it_needs_a_form(self, program: Program, champion: ModelVersion) -> None:
        headers = {"authorization": f"Token {program.token}"}
        problem_of(program.client.post(BATCH, {}, content_type="application/json", headers=headers), 415)


class TestEncoded:
    @pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "data:;base64,"])
    def test_a_data_url_is_taken_as_well(self, program: Program, champion: ModelVersion, prefix: str) -> None:
        response = send(program, {"image": prefix + encode(picture(7))})
        assert response.status_code == 200, response.content
        assert list(response.json()) == ANSWER_KEYS
        assert (response.json()["class_id"], response.json()["class_name"]) == (7, "horse")
        assert Prediction.objects.get().file_name == ""

    def test_lines_may_be_broken(self, program: Program, champion: ModelVersion) -> None:
        assert send(program, {"image": base64.encodebytes(picture(3)).decode()}).json()["class_key"] == "cat"

    def test_names_are_in_the_language_asked_for(self, program: Program, champion: ModelVersion) -> None:
        assert send(program, {"image": encode(picture(0))}, query="?lang=fr").json()["class_name"] == "Avion"

    @pytest.mark.parametrize(
        ("body", "location", "code"),
        [
            ({}, "image", "required"),
            ({"image": None}, "image", "null"),
            ({"image": ""}, "image", "not_base64"),
            ({"image": "é"}, "image", "not_base64"),
            ({"image": "abc"}, "image", "not_base64"),
            ({"image": "AAAA\u0000"}, "image", "not_base64"),
            ({"image": 7}, "image", "not_base64"),
            ({"image": ["AAAA"]}, "image", "not_base64"),
            ({"image": "data:image/png,AAAA"}, "image", "not_base64"),
            ({"image": "AAAA", "owner": 1}, "owner", "unknown_key"),
            ([], "body", "invalid"),
            ("text", "body", "invalid"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, program: Program, champion: ModelVersion, body: object, location: str, code: str
    ) -> None:
        import json

        error = problem_of(send(program, json.dumps(body)), 400)["errors"][0]
        assert (error["location"], error["code"]) == (location, code)
        assert not Prediction.objects.exists()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            '{"image": NaN}',
            '{"image": Infinity}',
            "[" * 100_000,
            '{"image": "\\ud800"}',
            b'{"image": "\xff"}',
            '{"image": "a"}{}',
        ],
    )
    def test_what_is_no_json_is_refused(self, program: Program, champion: ModelVersion, text: str | bytes) -> None:
        problem_of(send(program, text), 400)

    @pytest.mark.parametrize(
        ("data", "status", "code"), [(b"text", 415, "not_an_image"), (picture()[:60], 422, "broken")]
    )
    def test_what_is_no_picture_is_refused(
        self, program: Program, champion: ModelVersion, data: bytes, status: int, code: str
    ) -> None:
        assert problem_of(send(program, {"image": encode(data)}), status)["errors"][0]["code"] == code

    def test_a_picture_that_is_too_large_is_refused_before_it_is_read(
        self, program: Program, champion: ModelVersion, settings: Settings
    ) -> None:
        settings.IMAGE_MAX_BYTES = 1000
        problem_of(send(program, {"image": "A" * 100_000}), 413)
        assert problem_of(send(program, {"image": "A" * 2000}), 413)["errors"][0]["code"] == "too_many_bytes"

    def test_it_needs_a_token(self, stranger: Program, champion: ModelVersion) -> None:
        response = stranger.client.post(ENCODED, {"image": encode(picture())}, content_type="application/json")
        problem_of(response, 401)
