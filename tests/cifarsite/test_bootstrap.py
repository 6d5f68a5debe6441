"""What a start prepares, and what the system checks say about it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import Settings

from cifarsite import bootstrap, checks
from cifarsite.accounts.models import User
from cifarsite.bootstrap import StartError, ensure_champion, plan_administrator, prepare_database
from tests.fixtures import RemoteArtifacts
from tests.tiny_model import build_package, register_version
from training.choices import ModelState
from training.models import ModelVersion, Promotion

pytestmark = pytest.mark.django_db


@pytest.fixture
def shipped(settings: Settings, tmp_path: Path) -> Path:
    """A champion folder with one package, and an empty store."""
    settings.ARTIFACTS_ROOT = tmp_path / "artifacts"
    settings.CHAMPION_PACKAGES = tmp_path / "champion"
    return build_package(settings.CHAMPION_PACKAGES)


def test_the_shipped_package_becomes_the_champion_once(shipped: Path) -> None:
    version = ensure_champion()

    assert version is not None
    assert version.package_sha256 == shipped.name
    assert ModelVersion.objects.champion() == version
    assert ensure_champion() is None
    assert Promotion.objects.get().by is None


def test_a_champion_of_ones_own_is_kept(shipped: Path) -> None:
    own = register_version(state=ModelState.CHAMPION)

    assert ensure_champion() is None
    assert ModelVersion.objects.champion() == own


def test_a_damaged_package_is_named(shipped: Path) -> None:
    (shipped / "model.onnx").write_bytes(b"other")

    with pytest.raises(StartError, match=r"^The shipped champion cannot be used: .*model\.onnx was altered"):
        ensure_champion()
    assert not ModelVersion.objects.exists()


def test_nothing_shipped_is_no_error(settings: Settings, tmp_path: Path) -> None:
    settings.CHAMPION_PACKAGES = tmp_path / "absent"

    assert ensure_champion() is None


def test_the_first_administrator_gets_a_generated_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIFARSITE_ADMIN_USERNAME", raising=False)
    monkeypatch.delenv("CIFARSITE_ADMIN_PASSWORD", raising=False)
    planned = plan_administrator()

    assert planned is not None
    assert planned.password is not None
    assert len(planned.password) == 16
    assert not User.objects.exists()
    planned.save()
    stored = User.objects.get()
    assert (stored.username, stored.is_staff, stored.is_superuser) == ("admin", True, True)
    assert stored.check_password(planned.password)
    assert [group.name for group in stored.groups.all()] == ["administrator"]
    assert plan_administrator() is None


def test_the_environment_describes_the_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFARSITE_ADMIN_USERNAME", "root@example.org")
    monkeypatch.setenv("CIFARSITE_ADMIN_PASSWORD", "correct horse")
    planned = plan_administrator()

    assert planned is not None
    assert planned.password is None
    assert planned.user.username == "root@example.org"
    assert planned.user.check_password("correct horse")


@pytest.mark.parametrize("name", ["two words", "x" * 151])
def test_an_unusable_name_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CIFARSITE_ADMIN_USERNAME", name)

    with pytest.raises(StartError, match=r"^CIFARSITE_ADMIN_USERNAME='.*' cannot be used: "):
        plan_administrator()


def test_a_name_somebody_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create(username="admin")
    monkeypatch.delenv("CIFARSITE_ADMIN_USERNAME", raising=False)

    with pytest.raises(StartError, match=r"^CIFARSITE_ADMIN_USERNAME='admin' cannot be used: .*already exists"):
        plan_administrator()


def test_a_prepared_database_needs_nothing() -> None:
    assert prepare_database() == 0


def test_a_database_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    def refuse(*_arguments: object) -> None:
        message = 'connection failed: FATAL: role "nobody" does not exist\nIs the server running?'
        raise DatabaseError(message)

    monkeypatch.setattr(bootstrap, "MigrationExecutor", refuse)
    settings.EMBEDDED = False

    with pytest.raises(StartError) as caught:
        prepare_database()
    assert str(caught.value) == (
        'The database cannot be used: connection failed: FATAL: role "nobody" does not exist. Check DATABASE_URL.'
    )


def test_a_history_of_migrations_that_cannot_be_is_named() -> None:
    MigrationRecorder(connection).record_unapplied("accounts", "0001_initial")

    with pytest.raises(StartError, match=r"^The database.* cannot be used: .*before its dependency accounts.0001"):
        prepare_database()


def test_prepare_does_everything_and_can_be_repeated(monkeypatch: pytest.MonkeyPatch, shipped: Path) -> None:
    monkeypatch.delenv("CIFARSITE_ADMIN_PASSWORD", raising=False)
    first, second = io.StringIO(), io.StringIO()
    call_command("prepare", stdout=first)
    call_command("prepare", stdout=second)

    lines = first.getvalue().splitlines()
    assert lines[0] == "Migrations applied: 0"
    assert [line.split(":")[0] for line in lines[1:]] == ["Champion", "Administrator", "Password"]
    assert second.getvalue() == "Migrations applied: 0\n"


def test_prepare_says_what_is_wrong(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.ARTIFACTS_ROOT = tmp_path / "file" / "artifacts"

    with pytest.raises(CommandError, match=rf"^ARTIFACTS_ROOT={tmp_path}/file/artifacts cannot be used: "):
        call_command("prepare")


def test_prepare_says_what_is_wrong_with_the_store(remote_artifacts: RemoteArtifacts, settings: Settings) -> None:
    remote_artifacts.bucket.delete()

    with pytest.raises(CommandError) as caught:
        call_command("prepare")
    reason = "The bucket that ARTIFACTS_URL names does not exist."
    assert str(caught.value) == f"ARTIFACTS_URL={settings.ARTIFACTS_URL} cannot be used: {reason}"


def test_checks_are_content_with_a_complete_project(shipped: Path) -> None:
    assert checks.check_folders(None) + checks.check_hosts(None) + checks.check_champion(None) == []


@pytest.mark.parametrize(
    ("check", "change", "identifiers"),
    [
        (checks.check_folders, {"VAR": "/dev/null/var"}, ["cifarsite.E001"]),
        (checks.check_folders, {"ARTIFACTS_ROOT": "/dev/null"}, ["cifarsite.E002"]),
        (checks.check_hosts, {"EMBEDDED": False, "ALLOWED_HOSTS": []}, ["cifarsite.E003"]),
        (checks.check_champion, {"CHAMPION_PACKAGES": "/nowhere"}, ["cifarsite.W001"]),
    ],
)
def test_checks_name_what_is_wrong(
    settings: Settings, check: Callable[[None], list[object]], change: dict[str, object], identifiers: list[str]
) -> None:
    for name, value in change.items():
        setattr(settings, name, value)

    assert [getattr(message, "id", None) for message in check(None)] == identifiers
