"""The API of runs side by side."""

from __future__ import annotations

import pytest

from tests.api_fixtures import problem_of
from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, make_config
from tests.training.api.callers import Caller
from training.choices import JobStatus

pytestmark = pytest.mark.django_db

COMPARE = "/api/v1/runs/compare"


def test_runs_are_told_side_by_side() -> None:
    dataset = DatasetFactory.create()
    first, second = (
        TrainingRunFactory.create(
            dataset=dataset, status=JobStatus.SUCCEEDED, config=make_config(seed=seed), metrics={"accuracy": accuracy}
        )
        for seed, accuracy in ((1, 0.91), (2, 0.93))
    )
    EpochMetricFactory.create(run=first, epoch=1, validation_accuracy=0.5)
    body = Caller("trainer").ask("get", f"{COMPARE}?run={second.pk}&run={first.pk}").json()
    assert body["runs"] == [
        {"id": second.pk, "status": "succeeded", "epochs": 0, "model_version": None},
        {"id": first.pk, "status": "succeeded", "epochs": 1, "model_version": None},
    ]
    assert [setting for setting in body["settings"] if setting["differs"]] == [
        {"name": "seed", "values": [2, 1], "differs": True}
    ]
    figures = {figure["name"]: figure for figure in body["figures"]}
    assert figures["accuracy"] == {"name": "accuracy", "values": [0.93, 0.91], "best": [second.pk]}
    assert figures["validation_accuracy"]["values"] == [None, 0.5]
    assert body["same_test"] is True


@pytest.mark.parametrize(
    ("query", "status", "location"),
    [
        ("", 400, "run"),
        ("?run=1", 400, "run"),
        ("?run=1&run=1", 400, "run"),
        ("?run=1&run=two", 400, "run.1"),
        ("?" + "&".join(f"run={number}" for number in range(1, 9)), 400, "run"),
        ("?run=1&run=2&colour=red", 400, "colour"),
        ("?run=987654&run=987655", 404, "run"),
    ],
)
def test_what_cannot_be_compared_is_refused(query: str, status: int, location: str) -> None:
    [error] = problem_of(Caller("trainer").ask("get", COMPARE + query), status)["errors"]
    assert error["location"].endswith(location), error


def test_a_member_without_the_permission_is_refused() -> None:
    problem_of(Caller("user").ask("get", f"{COMPARE}?run=1&run=2"), 403)
