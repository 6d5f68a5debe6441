"""The API of model versions: bodies, packages in and out, promotion, the way back, and who may do what."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries, Settings

from tests.api_fixtures import problem_of
from tests.factories import ModelVersionFactory, TrainingRunFactory
from tests.tiny_model import build_package
from tests.training.api.callers import Caller
from training.choices import ModelState, PromotionKind
from training.models import ModelVersion, Promotion
from training.services import packages, promote_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

LIST = "/api/v1/models"


@pytest.fixture
def operator() -> Caller:
    return Caller("operator")


def zip_of(package: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in package.iterdir():
            archive.write(path, path.name)
    return stream.getvalue()


def sent(data: bytes, name: str = "model.zip") -> dict[str, Any]:
    return {"file": SimpleUploadedFile(name, data)}


def content(response: Any) -> bytes:
    assert response.status_code == 200, response
    return b"".join(response.streaming_content)


class TestRead:
    def test_a_version_in_a_list(self) -> None:
        run = TrainingRunFactory.create()
        version = ModelVersionFactory.create(run=run, state=ModelState.CHAMPION)
        body = Caller("user").ask("get", LIST).json()
        assert body == {
            "next": None,
            "previous": None,
            "results": [
                {
                    "id": version.pk,
                    "name": str(version),
                    "state": "champion",
                    "test_accuracy": 1.0,
                    "class_keys": version.class_keys,
                    "recipe": "fast",
                    "dataset": {"name": "colours", "sha256": "0" * 64, "synthetic": True},
                    "run": run.pk,
                    "imported_by": None,
                    "package_sha256": version.package_sha256,
                    "created_at": version.created_at.isoformat().replace("+00:00", "Z"),
                }
            ],
        }

    def test_a_version_in_detail(self) -> None:
        version = ModelVersionFactory.create()
        body = Caller("user").ask("get", f"{LIST}/{version.pk}").json()
        assert body["files"] == version.manifest["files"]
        assert body["metrics"] == version.manifest["metrics"]
        assert body["sealed_at"] == version.manifest["created_at"]
        assert (body["seed"], body["parameters"]) == (0, {"total": 30, "trainable": 30})
        assert "golden_samples" not in body

    def test_a_state_is_kept(self) -> None:
        ModelVersionFactory.create()
        champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
        user = Caller("user")
        found = user.ask("get", f"{LIST}?state=champion").json()["results"]
        assert [row["id"] for row in found] == [champion.pk]
        for query in ("state=best", "ordering=password", "manifest=x"):
            problem_of(user.ask("get", f"{LIST}?{query}"), 400)

    def test_the_number_of_queries_is_constant(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        user = Caller("user")
        for count in (1, 6):
            ModelVersionFactory.create_batch(count)
            with django_assert_num_queries(4):  # the token, two of permissions, the page
                user.ask("get", LIST)

    def test_absent_ones(self, operator: Caller) -> None:
        for pk in (99, 10**30):
            for method, rest in (("get", ""), ("get", "/package"), ("post", "/promote")):
                assert operator.ask(method, f"{LIST}/{pk}{rest}").status_code == 404


class TestPackage:
    def test_it_is_sent_once(self) -> None:
        version, trainer = ModelVersionFactory.create(), Caller("trainer")
        response = trainer.ask("get", f"{LIST}/{version.pk}/package", headers={"accept": "application/zip"})
        assert response.headers["ETag"] == f'"{version.package_sha256}"'
        assert response.headers["Content-Type"] == "application/zip"
        assert response.headers["Content-Disposition"] == f'attachment; filename="model-{version}.zip"'
        with zipfile.ZipFile(io.BytesIO(content(response))) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == [
                f"{version.package_sha256}/{name}" for name in ("manifest.json", "model.onnx", "weights.safetensors")
            ]
        known = {"if-none-match": response.headers["ETag"]}
        assert trainer.ask("get", f"{LIST}/{version.pk}/package", headers=known).status_code == 304

    def test_a_damaged_one_is_not_sent(self) -> None:
        version = ModelVersionFactory.create()
        (version.path / "model.onnx").write_bytes(b"damaged")
        problem_of(Caller("trainer").ask("get", f"{LIST}/{version.pk}/package"), 409)

    def test_it_needs_the_permission(self) -> None:
        version = ModelVersionFactory.create()
        problem_of(Caller("user").ask("get", f"{LIST}/{version.pk}/package"), 403)


class TestImport:
    def test_what_was_downloaded_is_imported(self, operator: Caller) -> None:
        version = ModelVersionFactory.create()
        data = content(operator.ask("get", f"{LIST}/{version.pk}/package"))
        version.delete()
        response = operator.send(LIST, sent(data))
        assert response.status_code == 201, response.content
        taken = ModelVersion.objects.get()
        assert response.headers["Location"] == f"http://testserver{LIST}/{taken.pk}"
        body = response.json()
        assert (body["state"], body["run"], body["imported_by"]) == ("candidate", None, "a-operator")
        assert body["package_sha256"] == version.package_sha256
        again = operator.send(LIST, sent(data))
        assert (again.status_code, again.json()["id"]) == (200, taken.pk)

    def test_a_key_imports_once(self, operator: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages, "require_replayed_apart", lambda _package: None)
        data, key = zip_of(build_package(tmp_path)), {"idempotency-key": "one"}
        first, second = (operator.send(LIST, sent(data), key) for _time in range(2))
        assert (first.status_code, second.status_code) == (201, 201)
        assert second.headers["Idempotency-Replayed"] == "true"
        assert ModelVersion.objects.count() == 1

    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [(b"text", 422, "package_refused"), (b"", 400, "empty"), (b"x" * 1_000_001, 413, "too_large")],
    )
    def test_what_is_refused(self, operator: Caller, settings: Settings, data: bytes, status: int, code: str) -> None:
        settings.PACKAGE_MAX_BYTES = 1_000_000
        [error] = problem_of(operator.send(LIST, sent(data)), status)["errors"]
        assert (error["location"], error["code"]) == ("file", code)
        assert not ModelVersion.objects.exists()

    def test_a_body_that_is_far_too_large_is_not_read(self, operator: Caller, settings: Settings) -> None:
        settings.PACKAGE_MAX_BYTES = 1
        problem_of(operator.send(LIST, sent(b"x" * 100_000)), 413)

    def test_forms_that_are_none(self, operator: Caller) -> None:
        problem_of(operator.send(LIST, {}), 400)
        problem_of(operator.send(LIST, {**sent(b"x"), "state": "champion"}), 400)
        problem_of(operator.ask("post", LIST, {}), 415)

    def test_it_needs_the_permission(self) -> None:
        problem_of(Caller("trainer").send(LIST, sent(b"x")), 403)


class TestPromote:
    def test_it_answers_with_the_record(self, operator: Caller) -> None:
        old, new = ModelVersionFactory.create(state=ModelState.CHAMPION), ModelVersionFactory.create()
        body = operator.ask("post", f"{LIST}/{new.pk}/promote", {"reason": "Better."}).json()
        record = Promotion.objects.get()
        assert body == {
            "id": record.pk,
            "at": record.at.isoformat().replace("+00:00", "Z"),
            "version": str(new),
            "previous": str(old),
            "kind": "promote",
            "reason": "Better.",
            "by": "a-operator",
        }

    def test_without_a_body(self, operator: Caller) -> None:
        version = ModelVersionFactory.create()
        assert operator.ask("post", f"{LIST}/{version.pk}/promote", {}).status_code == 200

    def test_missing_consents_have_codes_of_their_own(self, operator: Caller) -> None:
        ModelVersionFactory.create(state=ModelState.CHAMPION)
        other, worse = ModelVersionFactory.create(class_keys=["cat", "dog"]), ModelVersionFactory.create()
        ModelVersion.objects.filter(pk=worse.pk).update(test_accuracy=0.5)
        for version, code, consent in (
            (worse, "reason_needed", {"reason": "It is small."}),
            (other, "classes_differ", {"accept_class_change": True}),
        ):
            path = f"{LIST}/{version.pk}/promote"
            [error] = problem_of(operator.ask("post", path, {}), 409)["errors"]
            assert (error["location"], error["code"]) == ("state", code)
            assert operator.ask("post", path, consent).status_code == 200

    @pytest.mark.parametrize(
        ("body", "location"),
        [
            ({"reason": "x" * 501}, "reason"),
            ({"by": 1}, "by"),
            ({"accept_class_change": "perhaps"}, "accept_class_change"),
        ],
    )
    def test_wrong_bodies(self, operator: Caller, body: object, location: str) -> None:
        version = ModelVersionFactory.create()
        answer = problem_of(operator.ask("post", f"{LIST}/{version.pk}/promote", body), 400)
        assert answer["errors"][0]["location"] == location
        assert not Promotion.objects.exists()

    @pytest.mark.parametrize("group", ["", "user", "trainer"])
    def test_it_needs_the_permission(self, group: str) -> None:
        version, caller = ModelVersionFactory.create(), Caller(group)
        problem_of(caller.ask("post", f"{LIST}/{version.pk}/promote", {}), 403)
        problem_of(caller.ask("post", f"{LIST}/rollback", {}), 403)


class TestRollback:
    @pytest.fixture
    def versions(self) -> list[ModelVersion]:
        versions: list[ModelVersion] = ModelVersionFactory.create_batch(3)
        for version in versions:
            promote_version(version=version, by=None)
        return versions

    def test_the_version_before_answers(self, operator: Caller, versions: list[ModelVersion]) -> None:
        body = operator.ask("post", f"{LIST}/rollback", {"champion": str(versions[2]), "reason": "Odd."}).json()
        assert (body["version"], body["previous"], body["kind"], body["reason"], body["by"]) == (
            str(versions[1]),
            str(versions[2]),
            "rollback",
            "Odd.",
            "a-operator",
        )

    def test_one_key_goes_back_once(self, operator: Caller, versions: list[ModelVersion]) -> None:
        for _time in range(2):
            assert operator.ask("post", f"{LIST}/rollback", {}, {"idempotency-key": "back"}).status_code == 200
        assert ModelVersion.objects.champion() == versions[1]

    def test_another_champion_is_a_conflict(self, operator: Caller, versions: list[ModelVersion]) -> None:
        problem_of(operator.ask("post", f"{LIST}/rollback", {"champion": str(versions[0])}), 409)
        problem_of(operator.ask("post", f"{LIST}/rollback", {"champion": "best"}), 400)
        assert ModelVersion.objects.champion() == versions[2]

    def test_the_record_is_listed(self, operator: Caller, versions: list[ModelVersion]) -> None:
        operator.ask("post", f"{LIST}/rollback", {})
        listed = operator.ask("get", f"{LIST}/promotions").json()["results"]
        assert [(row["version"], row["kind"]) for row in listed] == [
            (str(versions[1]), PromotionKind.ROLLBACK),
            *((str(version), PromotionKind.PROMOTE) for version in reversed(versions)),
        ]
        found = operator.ask("get", f"{LIST}/promotions?version={versions[1]}").json()["results"]
        assert len(found) == 2
        problem_of(operator.ask("get", f"{LIST}/promotions?version=all"), 400)
        problem_of(Caller("user").ask("get", f"{LIST}/promotions"), 403)
