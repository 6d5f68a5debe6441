"""`?keep=1` and the file that it keeps: on each address that takes pictures, once, described, downloaded, deleted."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries, Settings

from cifarsite.accounts.models import User
from classifier.models import Original, Prediction
from tests.api_fixtures import Program, problem_of
from tests.factories import OriginalFactory, PredictionFactory
from tests.tiny_model import picture
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
ADDRESSES = ("predict", "batch_predict", "predict_base64")
LIST = "/api/v1/predictions"


@pytest.fixture(autouse=True)
def _keeping(settings: Settings) -> None:
    settings.KEEP_ORIGINALS = True


def send(program: Program, address: str, headers: dict[str, str] | None = None) -> Any:
    path = f"/api/v1/{address}"
    if address.startswith("predict_base64"):
        body = {"image": base64.b64encode(picture(3)).decode()}
        return program.client.post(path, body, "application/json", headers=program._headers(headers))
    field = "files" if address.startswith("batch") else "file"
    return program.post(path, {field: SimpleUploadedFile("a.png", picture(3))}, headers)


def delete(program: Program, path: str) -> Any:
    return program.client.delete(path, headers=program._headers(None))


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_is_kept_when_the_program_wants_it(program: Program, champion: ModelVersion, address: str) -> None:
    for query in ("", "?keep=0", "?keep=1", "?keep=1&tta=1"):
        assert send(program, address + query).status_code == 200
    wanted = list(Prediction.objects.order_by("pk"))[2:]
    kept = list(Original.objects.order_by("pk"))
    assert [row.pk for row in kept] == [row.pk for row in wanted]
    assert {bytes(row.data) for row in kept} == {picture(3)}


@pytest.mark.parametrize("address", ADDRESSES)
def test_another_value_is_refused(program: Program, champion: ModelVersion, address: str) -> None:
    body = problem_of(send(program, f"{address}?keep=true"), 400)
    assert body["errors"] == [{"location": "keep", "code": "invalid_choice", "detail": "Give 0 or 1."}]
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_site_that_keeps_none_refuses_and_answers_nothing(
    program: Program, champion: ModelVersion, settings: Settings, address: str
) -> None:
    settings.KEEP_ORIGINALS = False
    body = problem_of(send(program, f"{address}?keep=1"), 400)
    assert body["errors"] == [
        {
            "location": "keep",
            "code": "not_kept",
            "detail": "This site keeps no original files. Send the picture without asking for it.",
        }
    ]
    assert not Prediction.objects.exists()
    assert send(program, f"{address}?keep=0").status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_asked_twice_with_one_key_it_is_kept_once(program: Program, champion: ModelVersion, address: str) -> None:
    key = {"idempotency-key": "a-key"}
    first, second = (send(program, f"{address}?keep=1", key) for _time in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert (Prediction.objects.count(), Original.objects.count()) == (1, 1)
    problem_of(send(program, address, key), 422)


def test_the_description_says_where_it_is(program: Program, user: User) -> None:
    without = PredictionFactory.create(owner=user)
    original = OriginalFactory.create(prediction__owner=user)
    address = f"http://testserver{LIST}/{original.pk}/original"
    assert program.get(f"{LIST}/{original.pk}").json()["original"] == address
    assert program.get(f"{LIST}/{without.pk}").json()["original"] is None
    assert [item["original"] for item in program.get(LIST).json()["results"]] == [address, None]


def test_lists_cost_the_same_with_originals(
    program: Program, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 6):
        for _row in range(count):
            OriginalFactory.create(prediction__owner=user)
        with django_assert_num_queries(4) as queries:  # the token, the keys, the rows, the classes
            program.get(LIST)
        assert not any('"data"' in query["sql"] for query in queries.captured_queries)


def test_it_is_downloaded_once(program: Program, user: User) -> None:
    original = OriginalFactory.create(prediction__owner=user)
    response = program.get(f"{LIST}/{original.pk}/original")
    assert (response.status_code, response.content) == (200, original.data)
    expected = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="cat.png"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private",
        "ETag": f'"{hashlib.sha256(original.data).hexdigest()}"',
    }
    assert {name: response.headers[name] for name in expected} == expected
    again = program.get(f"{LIST}/{original.pk}/original", {"if-none-match": expected["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_it_is_deleted_alone(program: Program, user: User) -> None:
    original = OriginalFactory.create(prediction__owner=user)
    path = f"{LIST}/{original.pk}"
    response = delete(program, f"{path}/original")
    assert (response.status_code, response.content) == (204, b"")
    assert program.get(path).json()["original"] is None
    problem_of(delete(program, f"{path}/original"), 404)
    problem_of(program.get(f"{path}/original"), 404)


@pytest.mark.parametrize("pk", [10**30, 1])
def test_what_no_row_can_be_is_not_there(program: Program, pk: int) -> None:
    problem_of(program.get(f"{LIST}/{pk}/original"), 404)
    problem_of(delete(program, f"{LIST}/{pk}/original"), 404)


def test_predictions_take_it_along(program: Program, user: User) -> None:
    kept = [OriginalFactory.create(prediction__owner=user).pk for _number in range(3)]
    assert delete(program, f"{LIST}/{kept[0]}").status_code == 204
    response = program.client.post(
        f"{LIST}/delete", {"ids": [kept[1]]}, "application/json", headers=program._headers(None)
    )
    assert response.json() == {"deleted": 1, "more": False}
    assert list(Original.objects.values_list("pk", flat=True)) == [kept[2]]
