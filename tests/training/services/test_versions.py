"""Promotions."""

from __future__ import annotations

import shutil
import threading

import pytest
from django.db import connection
from pytest_django import Settings

from tests.factories import (
    ModelVersionFactory,
    UserFactory,
)
from training.choices import ModelState
from training.doorbell import MIRROR_CHAMPION
from training.exceptions import ClassesDifferError, ServiceError
from training.models import ModelVersion, Promotion
from training.services import (
    promote_version,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class TestPromoteVersion:
    def test_the_first_champion(self) -> None:
        version, operator = ModelVersionFactory.create(), UserFactory.create(groups=["operator"])
        promotion = promote_version(version=version, by=operator)
        assert version.state == ModelState.CHAMPION
        assert ModelVersion.objects.champion() == version
        assert (promotion.version, promotion.previous, promotion.by) == (version, None, operator)

    def test_a_worker_is_woken_for_mlflow(self, rung: list[tuple[str, int]], settings: Settings) -> None:
        first, second = ModelVersionFactory.create_batch(2)
        promote_version(version=first, by=None)
        assert rung == []  # nothing is tracked
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
        promotion = promote_version(version=second, by=None)
        assert rung == [(MIRROR_CHAMPION, promotion.pk)]

    def test_the_champion_before_is_archived(self) -> None:
        old, new = ModelVersionFactory.create_batch(2)
        promote_version(version=old, by=None)
        promotion = promote_version(version=new, by=None)
        old.refresh_from_db()
        assert (old.state, promotion.previous) == (ModelState.ARCHIVED, old)
        assert promote_version(version=old, by=None).previous == new

    def test_the_champion_cannot_be_promoted_again(self) -> None:
        version = ModelVersionFactory.create(state=ModelState.CHAMPION)
        with pytest.raises(ServiceError, match="champion already"):
            promote_version(version=version, by=None)
        assert not Promotion.objects.exists()

    @pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "manifest.json"])
    def test_a_changed_byte_is_refused(self, name: str) -> None:
        version = ModelVersionFactory.create()
        with (version.path / name).open("ab") as file:
            file.write(b"\n")
        with pytest.raises(ServiceError, match="not those that were registered") as caught:
            promote_version(version=version, by=None)
        assert str(version.path) not in str(caught.value)
        assert ModelVersion.objects.champion() is None

    def test_a_package_that_is_gone_is_refused(self) -> None:
        version = ModelVersionFactory.create()
        shutil.rmtree(version.path)
        with pytest.raises(ServiceError, match="not those that were registered"):
            promote_version(version=version, by=None)

    def test_another_package_under_the_rows_location_is_refused(self) -> None:
        version, other = ModelVersionFactory.create_batch(2)
        version.location = other.location
        with pytest.raises(ServiceError, match="another model"):
            promote_version(version=version, by=None)

    def test_other_classes_want_a_confirmation(self) -> None:
        old = ModelVersionFactory.create(state=ModelState.CHAMPION)
        new = ModelVersionFactory.create(class_keys=["cat", "dog"])
        with pytest.raises(ClassesDifferError, match="cat, dog"):
            promote_version(version=new, by=None)
        assert ModelVersion.objects.champion() == old
        promote_version(version=new, by=None, accept_class_change=True)
        assert ModelVersion.objects.champion() == new

    def test_the_same_classes_in_another_order_are_other_classes(self) -> None:
        ModelVersionFactory.create(state=ModelState.CHAMPION, class_keys=["cat", "dog"])
        with pytest.raises(ClassesDifferError):
            promote_version(version=ModelVersionFactory.create(class_keys=["dog", "cat"]), by=None)

    @pytest.mark.django_db(transaction=True)
    def test_promotions_at_the_same_instant_leave_one_champion_and_a_true_record(self) -> None:
        versions = ModelVersionFactory.create_batch(6)
        start = threading.Barrier(len(versions))

        def promote(version: ModelVersion) -> None:
            start.wait()
            promote_version(version=version, by=None)
            connection.close()

        threads = [threading.Thread(target=promote, args=[version]) for version in versions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        promotions = list(Promotion.objects.order_by("pk"))
        assert [promotion.previous for promotion in promotions] == [None, *(p.version for p in promotions[:-1])]
        assert ModelVersion.objects.champion() == promotions[-1].version
        assert ModelVersion.objects.filter(state=ModelState.ARCHIVED).count() == 5
