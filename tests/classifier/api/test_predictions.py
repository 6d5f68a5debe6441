"""The API of one's history: filters, pages, deletions, labels, exports, and that other people's rows do not exist."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.choices import Source
from classifier.history import iterate_predictions
from classifier.models import Prediction
from classifier.querysets import Wanted
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.factories import ModelVersionFactory, PredictionFactory
from training.models import ModelVersion

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

LIST = "/api/v1/predictions"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def version(artifacts_root: object) -> ModelVersion:
    version: ModelVersion = ModelVersionFactory.create()
    return version


def make(owner: User, version: ModelVersion, *, created_at: datetime | None = None, **fields: Any) -> Prediction:
    row: Prediction = PredictionFactory.create(owner=owner, model_version=version, **fields)
    if created_at is not None:
        Prediction.objects.filter(pk=row.pk).update(created_at=created_at)
    return row


def ask(program: Program, method: str, path: str, body: object = None) -> Response:
    content: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
    headers = {"authorization": f"Token {program.token}"}
    return getattr(program.client, method)(path, headers=headers, **content)  # type: ignore[no-any-return]


def ids(response: Response) -> list[int]:
    assert response.status_code == 200, response.content
    return [item["prediction_id"] for item in response.json()["results"]]


class TestList:
    def test_a_row_is_told_whole(self, program: Program, user: User, version: ModelVersion) -> None:
        row = make(user, version, file_name="é.png", label_key="dog", created_at=NOON)
        [item] = program.get(LIST).json()["results"]
        assert item == {
            "class_id": 3,
            "class_name": "cat",
            "confidence": 0.91,
            "probabilities": dict(zip(version.class_keys, row.probabilities, strict=True)),
            "class_key": "cat",
            "top": item["top"],
            "out_of_distribution": False,
            "model_version": str(version),
            "model_sha256": version.package_sha256,
            "latency_ms": 1.5,
            "prediction_id": row.pk,
            "created_at": "2026-03-01T12:00:00Z",
            "file_name": "é.png",
            "source": "page",
            "width": 32,
            "height": 32,
            "label": "dog",
            "thumbnail": f"http://testserver{LIST}/{row.pk}/thumbnail",
            "original": None,
            "share": None,
        }
        assert program.get(f"{LIST}?lang=fr").json()["results"][0]["class_name"] == "Chat"

    def test_pages_follow_each_other_both_ways_while_rows_arrive(
        self, program: Program, user: User, version: ModelVersion
    ) -> None:
        rows = [make(user, version).pk for _ in range(5)]
        first = program.get(f"{LIST}?page_size=2&search=cat").json()
        assert first["previous"] is None
        make(user, version)
        second = program.get(first["next"])
        assert ids(second) == [rows[2], rows[1]]
        third = program.get(second.json()["next"])
        assert (ids(third), third.json()["next"]) == ([rows[0]], None)
        assert ids(program.get(third.json()["previous"])) == [rows[2], rows[1]]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("class=dog", "b"),
            ("class=nothing", ""),
            ("source=api", "b"),
            ("label=cat", "b"),
            ("labelled=true", "b"),
            ("labelled=false", "a"),
            ("out_of_distribution=true", "b"),
            ("out_of_distribution=false", "a"),
            ("confidence_min=0.5", "a"),
            ("confidence_max=0.4", "b"),
            ("confidence_min=0.4&confidence_max=0.91", "ba"),
            ("created_from=2026-03-02", "b"),
            ("created_to=2026-03-02", "a"),
            ("created_from=2026-03-01T12:00:00Z&created_to=2026-03-01T12:00:01Z", "a"),
            ("search=HUND", "b"),
            ("search=%25", ""),
            ("class=dog&search=cat", ""),
        ],
    )
    def test_filters(self, program: Program, user: User, version: ModelVersion, query: str, found: str) -> None:
        rows = {
            "a": make(user, version, created_at=NOON).pk,
            "b": make(
                user,
                version,
                class_key="dog",
                class_id=5,
                source=Source.API,
                label_key="cat",
                out_of_distribution=True,
                confidence=0.4,
                file_name="Mein Hund.png",
                created_at=NOON + timedelta(days=1),
            ).pk,
        }
        assert ids(program.get(f"{LIST}?{query}")) == [rows[letter] for letter in found]

    def test_a_version_is_named_with_or_without_its_letter(
        self, program: Program, user: User, version: ModelVersion
    ) -> None:
        row = make(user, version)
        make(user, ModelVersionFactory.create())
        assert ids(program.get(f"{LIST}?model_version={version}")) == [row.pk]
        assert ids(program.get(f"{LIST}?model_version={version.pk}")) == [row.pk]
        assert ids(program.get(f"{LIST}?model_version=v{10**17}")) == []

    @pytest.mark.parametrize(
        ("query", "location", "code"),
        [
            ("ordering=password", "ordering", "unknown"),
            ("owner=1", "owner", "unknown"),
            ("owner__password__startswith=a", "owner__password__startswith", "unknown"),
            ("class=cat&class=dog", "class", "repeated"),
            ("confidence_min=2", "confidence_min", "max_value"),
            ("confidence_min=nan", "confidence_min", "invalid"),
            ("created_from=yesterday", "created_from", "invalid"),
            ("created_from=99999-01-01", "created_from", "invalid"),
            ("source=fax", "source", "invalid_choice"),
            ("labelled=perhaps", "labelled", "invalid"),
            ("model_version=latest", "model_version", "invalid"),
            ("search=%00", "search", "null_characters_not_allowed"),
            ("page_size=0", "page_size", "min_value"),
            ("page_size=101", "page_size", "max_value"),
            ("page_size=two", "page_size", "invalid"),
            ("lang=xx", "lang", "invalid"),
        ],
    )
    def test_wrong_parameters_are_named(self, program: Program, query: str, location: str, code: str) -> None:
        [error] = problem_of(program.get(f"{LIST}?{query}"), 400)["errors"]
        assert (error["location"], error["code"]) == (location, code)

    @pytest.mark.parametrize("cursor", ["x", "cD1hYmM=", "cD0tMQ==", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk=", "cD0%3D"])
    def test_a_forged_cursor_is_none(self, program: Program, user: User, version: ModelVersion, cursor: str) -> None:
        make(user, version)
        assert program.get(f"{LIST}?cursor={cursor}").status_code in {200, 404}

    def test_the_number_of_queries_is_constant(
        self,
        program: Program,
        user: User,
        version: ModelVersion,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for count in (1, 6):
            for _row in range(count):
                make(user, ModelVersionFactory.create())
            with django_assert_num_queries(4):  # the token, the keys, the rows, the classes
                program.get(LIST)

    def test_head_and_options(self, program: Program) -> None:
        assert ask(program, "head", LIST).status_code == 200
        assert ask(program, "options", LIST).headers["Allow"] == "GET, HEAD, OPTIONS"


class TestOwnership:
    PATHS = (
        *(("get", ""), ("delete", ""), ("put", "/label"), ("get", "/thumbnail"), ("head", ""), ("head", "/thumbnail")),
        *(("get", "/original"), ("head", "/original"), ("delete", "/original")),
    )

    @pytest.mark.parametrize(("method", "rest"), PATHS)
    def test_another_persons_prediction_does_not_exist(
        self, program: Program, version: ModelVersion, method: str, rest: str
    ) -> None:
        row = make(make_user("bob"), version)
        body = {"label": "dog"} if method == "put" else None
        assert ask(program, method, f"{LIST}/{row.pk}{rest}", body).status_code == 404
        assert Prediction.objects.get(pk=row.pk).label_key == ""

    @pytest.mark.parametrize(("method", "rest"), PATHS)
    def test_nor_does_one_that_no_row_can_be(self, program: Program, method: str, rest: str) -> None:
        body = {"label": "dog"} if method == "put" else None
        assert ask(program, method, f"{LIST}/{10**30}{rest}", body).status_code == 404

    def test_lists_exports_and_deletions_are_ones_own(self, program: Program, version: ModelVersion) -> None:
        row = make(make_user("bob"), version)
        assert ids(program.get(LIST)) == []
        assert _text(program.get(f"{LIST}/export.jsonl")) == ""
        bodies: list[dict[str, object]] = [{"ids": [row.pk]}, {"filter": {}}]
        for body in bodies:
            assert ask(program, "post", f"{LIST}/delete", body).json()["deleted"] == 0
        assert Prediction.objects.filter(pk=row.pk).exists()

    @pytest.mark.parametrize("path", ["", "/1", "/1/label", "/1/thumbnail", "/export.csv", "/export.jsonl", "/delete"])
    def test_it_needs_a_token(self, stranger: Program, path: str) -> None:
        problem_of(stranger.get(LIST + path), 401)


class TestDelete:
    def test_one(self, program: Program, user: User, version: ModelVersion) -> None:
        row = make(user, version)
        assert ask(program, "delete", f"{LIST}/{row.pk}").status_code == 204
        problem_of(ask(program, "delete", f"{LIST}/{row.pk}"), 404)

    def test_several_by_number_are_counted_exactly(self, program: Program, user: User, version: ModelVersion) -> None:
        rows = [make(user, version).pk for _ in range(3)]
        answer = ask(program, "post", f"{LIST}/delete", {"ids": [rows[0], rows[1], rows[0], 999_999]})
        assert answer.json() == {"deleted": 2, "more": False}
        assert ids(program.get(LIST)) == [rows[2]]

    def test_those_that_a_filter_finds(self, program: Program, user: User, version: ModelVersion) -> None:
        kept = make(user, version, class_key="dog").pk
        make(user, version)
        answer = ask(program, "post", f"{LIST}/delete", {"filter": {"class": "cat"}})
        assert answer.json() == {"deleted": 1, "more": False}
        assert ids(program.get(LIST)) == [kept]

    def test_not_more_than_some_at_once(
        self, program: Program, user: User, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("classifier.history.MOST_DELETED", 2)
        rows = [make(user, version).pk for _ in range(3)]
        assert ask(program, "post", f"{LIST}/delete", {"filter": {}}).json() == {"deleted": 2, "more": True}
        assert ids(program.get(LIST)) == rows[:1]

    @pytest.mark.parametrize(
        ("body", "location"),
        [
            ({}, "body"),
            ({"ids": [1], "filter": {}}, "body"),
            ({"ids": []}, "ids"),
            ({"ids": [0]}, "ids.0"),
            ({"ids": "all"}, "ids"),
            ({"ids": [1] * 10_001}, "ids"),
            ({"filter": {"surprise": 1}}, "filter.surprise"),
            ({"filter": []}, "filter"),
            ({"everything": True}, "everything"),
        ],
    )
    def test_wrong_bodies_delete_nothing(
        self, program: Program, user: User, version: ModelVersion, body: object, location: str
    ) -> None:
        make(user, version)
        answer = problem_of(ask(program, "post", f"{LIST}/delete", body), 400)
        assert answer["errors"][0]["location"] == location
        assert Prediction.objects.count() == 1


class TestLabel:
    def test_it_is_noted_and_taken_back(self, program: Program, user: User, version: ModelVersion) -> None:
        row = make(user, version)
        answer = ask(program, "put", f"{LIST}/{row.pk}/label", {"label": "dog"})
        assert (answer.status_code, answer.json()["label"]) == (200, "dog")
        assert ask(program, "put", f"{LIST}/{row.pk}/label", {"label": ""}).json()["label"] is None

    @pytest.mark.parametrize("body", [{"label": "unicorn"}, {}, {"label": None}, {"label": 3}, {"label": "x" * 64}])
    def test_it_is_one_of_the_models_classes(
        self, program: Program, user: User, version: ModelVersion, body: object
    ) -> None:
        row = make(user, version)
        answer = problem_of(ask(program, "put", f"{LIST}/{row.pk}/label", body), 400)
        assert answer["errors"][0]["location"] == "label"


class TestThumbnail:
    def test_it_is_private_and_not_sent_twice(self, program: Program, user: User, version: ModelVersion) -> None:
        row = make(user, version)
        first = program.get(f"{LIST}/{row.pk}/thumbnail")
        assert (first.status_code, first.headers["Content-Type"]) == (200, "image/jpeg")
        assert first.content == bytes(row.thumbnail)
        assert first.headers["Cache-Control"].startswith("private")
        assert first.headers["X-Content-Type-Options"] == "nosniff"
        again = program.get(f"{LIST}/{row.pk}/thumbnail", {"if-none-match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")

    def test_a_picture_may_be_asked_for_as_one(self, program: Program, user: User, version: ModelVersion) -> None:
        row = make(user, version)
        assert program.get(f"{LIST}/{row.pk}/thumbnail", {"accept": "image/*"}).status_code == 200


def _text(response: Any) -> str:
    assert response.status_code == 200, response
    return b"".join(response.streaming_content).decode()


class TestExport:
    def test_csv_is_safe_in_a_spreadsheet(self, program: Program, user: User, version: ModelVersion) -> None:
        names = ["=1+1.png", "+a.png", "-a.png", "@a.png", 'a,b".png', "plain.png"]
        rows = [make(user, version, file_name=name, created_at=NOON).pk for name in names]
        response = program.get(f"{LIST}/export.csv", {"accept": "text/csv"})
        assert response.headers["Content-Disposition"] == 'attachment; filename="predictions.csv"'
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        lines = list(csv.DictReader(io.StringIO(_text(response))))
        assert [line["prediction_id"] for line in lines] == [str(pk) for pk in reversed(rows)]
        written = ["'=1+1.png", "'+a.png", "'-a.png", "'@a.png", 'a,b".png', "plain.png"]
        assert [line["file_name"] for line in lines] == written[::-1]
        assert lines[0]["created_at"] == "2026-03-01T12:00:00+00:00"
        assert json.loads(lines[0]["probabilities"])["cat"] == 0.91

    def test_lines_have_the_shape_of_the_detail(self, program: Program, user: User, version: ModelVersion) -> None:
        row = make(user, version)
        [line] = _text(program.get(f"{LIST}/export.jsonl?lang=fr")).splitlines()
        assert json.loads(line) == program.get(f"{LIST}/{row.pk}?lang=fr").json()

    def test_filters_are_those_of_the_list(self, program: Program, user: User, version: ModelVersion) -> None:
        make(user, version)
        row = make(user, version, class_key="dog")
        [line] = _text(program.get(f"{LIST}/export.jsonl?class=dog")).splitlines()
        assert json.loads(line)["prediction_id"] == row.pk
        problem_of(program.get(f"{LIST}/export.csv?page_size=2"), 400)

    def test_it_is_read_some_at_a_time(
        self, user: User, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("classifier.history._READ_AT_ONCE", 2)
        rows = [make(user, version).pk for _ in range(5)]
        parts = [[row.pk for row in part] for part in iterate_predictions(owner=user, wanted=Wanted())]
        assert parts == [[rows[4], rows[3]], [rows[2], rows[1]], [rows[0]]]


def test_a_session_deletes_with_its_csrf_token_only(user: User, version: ModelVersion) -> None:
    row = make(user, version)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    problem_of(browser.delete(f"{LIST}/{row.pk}"), 403)
    assert Prediction.objects.filter(pk=row.pk).exists()


def test_two_peoples_lists_differ(program: Program, user: User, version: ModelVersion) -> None:
    mine, bob = make(user, version), make_user("bob")
    theirs = make(bob, version)
    other = Program(Client(), token=make_token(bob))
    assert (ids(program.get(LIST)), ids(other.get(LIST))) == ([mine.pk], [theirs.pk])
