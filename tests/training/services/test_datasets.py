"""What may be accepted of datasets."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from tests.factories import (
    DatasetFactory,
    UserFactory,
    check_report,
)
from training.exceptions import CopiesRefusedError, ServiceError
from training.models import Dataset, TrainingRun
from training.services import (
    accept_copies,
    request_run,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class TestCopies:
    @pytest.fixture
    def leaky(self) -> Dataset:
        dataset: Dataset = DatasetFactory.create(name="leaky", checks=check_report("leaky", exact=3, near=5))
        return dataset

    def test_exact_copies_across_the_splits_stop_a_run(self, leaky: Dataset, rung: list[tuple[str, int]]) -> None:
        with pytest.raises(CopiesRefusedError, match=r"^3 test images of leaky are exact copies of training images; "):
            request_run(owner=None, dataset=leaky, recipe="fast", overrides={})
        assert not TrainingRun.objects.exists()
        assert rung == []

    def test_near_copies_stop_nothing(self) -> None:
        dataset = DatasetFactory.create(checks=check_report("near", near=9))
        assert request_run(owner=None, dataset=dataset, recipe="fast", overrides={}).pk

    def test_they_are_accepted_once_for_everybody(self, leaky: Dataset) -> None:
        trainer = UserFactory.create(groups=["trainer"])
        accept_copies(dataset=leaky, by=trainer)
        leaky.refresh_from_db()
        assert leaky.copies_accepted_by == trainer
        assert leaky.copies_accepted_at is not None
        assert request_run(owner=UserFactory.create(), dataset=leaky, recipe="fast", overrides={}).pk
        with pytest.raises(ServiceError, match="The copies in leaky were accepted already"):
            accept_copies(dataset=leaky, by=None)
        leaky.refresh_from_db()
        assert leaky.copies_accepted_by == trainer

    def test_not_everybody_may(self, leaky: Dataset) -> None:
        with pytest.raises(PermissionDenied):
            accept_copies(dataset=leaky, by=UserFactory.create(groups=["user"]))
        leaky.refresh_from_db()
        assert leaky.copies_accepted_at is None

    @pytest.mark.parametrize("checks", [{}, check_report("x", near=9)], ids=["unchecked", "near"])
    def test_there_must_be_something_to_accept(self, checks: dict[str, Any]) -> None:
        with pytest.raises(ServiceError, match="No test image of sound is a copy"):
            accept_copies(dataset=DatasetFactory.create(name="sound", checks=checks), by=None)
