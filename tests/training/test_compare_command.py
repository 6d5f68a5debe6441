"""`manage.py runs --compare`."""

from __future__ import annotations

import json

import pytest

from tests.factories import DatasetFactory, TrainingRunFactory, make_config
from tests.training.test_commands import refusal, run_command
from training.choices import JobStatus

pytestmark = pytest.mark.django_db


def test_runs_are_printed_side_by_side() -> None:
    dataset = DatasetFactory.create()
    first, second = (
        TrainingRunFactory.create(
            dataset=dataset,
            status=JobStatus.SUCCEEDED,
            config=make_config(epochs=epochs),
            metrics={"accuracy": accuracy},
        )
        for epochs, accuracy in ((2, 0.91), (3, 0.93))
    )
    numbers = (str(first.pk), str(second.pk))
    lines = run_command("runs", "--compare", *numbers).splitlines()
    assert [line.split() for line in lines if line.startswith(("accuracy", "epochs"))] == [
        ["accuracy", "0.91", "0.93*"],
        ["epochs", "0", "0"],
        ["epochs", "2", "3"],
    ]
    printed = json.loads(run_command("runs", "--compare", *numbers, "--json"))
    assert (printed["runs"], printed["same_test"]) == ([first.pk, second.pk], True)
    assert printed["figures"][0] == {"name": "accuracy", "values": [0.91, 0.93], "best": [second.pk]}
    assert [setting["name"] for setting in printed["settings"] if setting["differs"]] == ["epochs"]


def test_what_cannot_be_compared_is_refused() -> None:
    assert "Choose 2 to 6 different runs" in refusal("runs", "--compare", "1")
    assert "There is no run with this number: 8, 9." in refusal("runs", "--compare", "8", "9")
