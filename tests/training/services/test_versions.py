"""Promotions."""

from __future__ import annotations

import shutil
import threading

import pytest
from django.db import connection
from pytest_django import Settings

from tests.factories import ModelVersionFactory, UserFactory
from training.choices import ModelState, PromotionKind
from training.doorbell import MIRROR_CHAMPION
from training.exceptions import ClassesDifferError, ReasonNeededError, ServiceError
from training.models import ModelVersion, Promotion
from training.services import install_champion, promote_version, roll_back
from training.services.versions import find_predecessor

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


def scored(accuracy: float, **options: object) -> ModelVersion:
    """Return a version with that test accuracy."""
    version: ModelVersion = ModelVersionFactory.create(**options)
    ModelVersion.objects.filter(pk=version.pk).update(test_accuracy=accuracy)
    version.refresh_from_db()
    return version


class TestGate:
    def test_a_less_accurate_version_needs_a_reason(self) -> None:
        champion, worse = scored(0.90, state=ModelState.CHAMPION), scored(0.88)
        with pytest.raises(ReasonNeededError, match=r"88.00% of the test images, the champion v\d+ on 90.00%"):
            promote_version(version=worse, by=None, reason="  ")
        assert ModelVersion.objects.champion() == champion
        promotion = promote_version(version=worse, by=None, reason=" It is four times as fast. ")
        assert (promotion.kind, promotion.reason) == (PromotionKind.PROMOTE, "It is four times as fast.")

    def test_within_the_margin_it_needs_none(self, settings: Settings) -> None:
        scored(0.90, state=ModelState.CHAMPION)
        settings.PROMOTION_MARGIN = 0.05
        assert promote_version(version=scored(0.86), by=None).reason == ""

    def test_what_was_tested_on_other_images_cannot_be_compared(self) -> None:
        scored(0.1, state=ModelState.CHAMPION)
        data = {"name": "other", "sha256": "1" * 64, "train_count": 1, "test_count": 1, "synthetic": True}
        other = ModelVersionFactory.create(dataset=data)
        with pytest.raises(ReasonNeededError, match="nobody can tell which is better"):
            promote_version(version=other, by=None)
        promote_version(version=other, by=None, reason="The shapes are what we need.")

    def test_a_reason_has_its_bound(self) -> None:
        with pytest.raises(ServiceError, match="at most 500 characters"):
            promote_version(version=ModelVersionFactory.create(), by=None, reason="x" * 501)

    def test_what_does_not_answer_its_golden_samples_is_refused(self) -> None:
        champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
        samples = champion.manifest["golden_samples"]
        wrong = [{**sample, "logits": sample["logits"][::-1]} for sample in samples]
        version = ModelVersionFactory.create(golden_samples=wrong)
        with pytest.raises(ServiceError, match="does not answer here as it did"):
            promote_version(version=version, by=None)
        assert ModelVersion.objects.champion() == champion
        assert not Promotion.objects.exists()


class TestRollBack:
    def test_the_version_before_answers_again(self) -> None:
        old, new = scored(0.5), scored(0.9)
        operator = UserFactory.create()
        for version in (old, new):
            promote_version(version=version, by=None)
        promotion = roll_back(by=operator, champion=new.pk, reason="It takes ships for planes.")
        assert (promotion.version, promotion.previous, promotion.by) == (old, new, operator)
        assert (promotion.kind, promotion.reason) == (PromotionKind.ROLLBACK, "It takes ships for planes.")
        assert ModelVersion.objects.champion() == old
        new.refresh_from_db()
        assert new.state == ModelState.ARCHIVED

    def test_repeated_it_goes_back_further(self) -> None:
        versions = ModelVersionFactory.create_batch(3)
        for version in versions:
            promote_version(version=version, by=None)
        assert [roll_back(by=None).version for _time in range(2)] == [versions[1], versions[0]]
        with pytest.raises(ServiceError, match=f"No version answered before {versions[0]}"):
            roll_back(by=None)

    def test_it_asks_no_consent_for_classes_that_people_knew(self) -> None:
        old, new = ModelVersionFactory.create(), ModelVersionFactory.create(class_keys=["cat", "dog"])
        promote_version(version=old, by=None)
        promote_version(version=new, by=None, accept_class_change=True)
        assert roll_back(by=None).version == old

    def test_a_second_click_does_nothing(self) -> None:
        versions = ModelVersionFactory.create_batch(3)
        for version in versions:
            promote_version(version=version, by=None)
        roll_back(by=None, champion=versions[2].pk)
        with pytest.raises(ServiceError, match=f"changed meanwhile: it is {versions[1]} now"):
            roll_back(by=None, champion=versions[2].pk)
        assert Promotion.objects.count() == 4

    def test_a_damaged_package_is_not_rolled_back_to(self) -> None:
        old, new = ModelVersionFactory.create_batch(2)
        for version in (old, new):
            promote_version(version=version, by=None)
        shutil.rmtree(old.path)
        with pytest.raises(ServiceError, match="not those that were registered"):
            roll_back(by=None)
        assert ModelVersion.objects.champion() == new

    def test_without_a_champion_there_is_nothing(self) -> None:
        with pytest.raises(ServiceError, match="nothing to roll back"):
            roll_back(by=None)

    def test_a_worker_is_woken_for_mlflow(self, rung: list[tuple[str, int]], settings: Settings) -> None:
        for version in ModelVersionFactory.create_batch(2):
            promote_version(version=version, by=None)
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
        promotion = roll_back(by=None)
        assert rung == [(MIRROR_CHAMPION, promotion.pk)]

    @pytest.mark.django_db(transaction=True)
    def test_rollbacks_at_the_same_instant_go_back_once(self) -> None:
        versions = ModelVersionFactory.create_batch(4)
        for version in versions:
            promote_version(version=version, by=None)
        start = threading.Barrier(4)
        outcomes: list[str] = []

        def go_back() -> None:
            start.wait()
            try:
                outcomes.append(str(roll_back(by=None, champion=versions[3].pk).version))
            except ServiceError as error:
                outcomes.append(type(error).__name__)
            connection.close()

        threads = [threading.Thread(target=go_back) for _number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["ServiceError"] * 3 + [str(versions[2])]
        assert ModelVersion.objects.champion() == versions[2]


def test_the_shipped_version_is_installed_once(rung: list[tuple[str, int]], settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    first, second = ModelVersionFactory.create_batch(2)
    promotion = install_champion(version=first)
    assert promotion is not None
    assert (promotion.kind, promotion.previous, promotion.by) == (PromotionKind.IMPORT, None, None)
    assert install_champion(version=second) is None
    assert (ModelVersion.objects.champion(), rung, find_predecessor(first)) == (first, [], None)
