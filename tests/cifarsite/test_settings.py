"""Configuration by environment: defaults, the two modes, and a clear word for every wrong value."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {"DATABASE_URL": "postgres://u:p@db:5432/name", "REDIS_URL": "redis://broker:6379/0", "SECRET_KEY": "x"}
READERS = {"read_choice", "read_fraction", "read_number", "read_switch", "read_url"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environ.Env, "read_env", lambda *_arguments, **_options: None)
    for name in documented_names() - {"CIFARSITE_VAR"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CIFARSITE_VAR", str(tmp_path / "var"))


def load_settings() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "cifarsite" / "settings.py"))


def documented_names() -> set[str]:
    return set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))


def names_read(path: Path) -> set[str]:
    """Collect the variables that a module reads with `env.…("NAME")`, our readers or `os.environ`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func)
            if function in READERS or re.fullmatch(r"env\.\w+|os\.environ\.get|os\.getenv", function):
                names.add(str(node.args[0].value))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            names.add(ast.literal_eval(node.slice))
    return names


def test_every_variable_is_documented() -> None:
    modules = [path for folder in ("cifarsite", "classifier", "training") for path in (ROOT / folder).rglob("*.py")]
    read = set().union(*(names_read(path) for path in modules))

    conventions = {
        *("NO_ALBUMENTATIONS_UPDATE", "NO_COLOR", "PYTHONPATH", "DJANGO_SETTINGS_MODULE"),
        *("LOCAL_RANK", "LOCAL_WORLD_SIZE", "RANK", "WORLD_SIZE"),  # torchrun's
        "CUDA_VISIBLE_DEVICES",
    }  # of others, not ours to explain
    assert read - conventions == documented_names()


def test_no_environment_is_the_embedded_mode(tmp_path: Path) -> None:
    settings = load_settings()

    assert settings["EMBEDDED"] is True
    assert settings["DATABASES"]["default"]["NAME"] == tmp_path / "var" / "db.sqlite3"
    assert settings["DATABASES"]["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert settings["CELERY_BROKER_URL"] == f"redis+socket://{tmp_path}/var/valkey/valkey.sock"
    assert settings["ALLOWED_HOSTS"] == ["127.0.0.1", "localhost", "[::1]"]
    assert settings["LOG_FORMAT"] == "plain"
    assert (tmp_path / "var" / "secret_key").read_text() == settings["SECRET_KEY"]


def test_urls_make_it_production(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert settings["EMBEDDED"] is False
    assert settings["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert settings["CELERY_BROKER_URL"] == "redis://broker:6379/0"
    assert settings["ALLOWED_HOSTS"] == []
    assert settings["LOG_FORMAT"] == "json"
    assert settings["SESSION_COOKIE_SECURE"] is True
    assert settings["SECURE_HSTS_SECONDS"] == 31_536_000
    assert settings["ALLAUTH_TRUSTED_PROXY_COUNT"] == 1
    assert settings["STATIC_ROOT"] == ROOT / "staticfiles"


def test_without_a_proxy_nobody_is_believed_about_who_asks() -> None:
    settings = load_settings()

    assert settings["HTTPS"] is False
    assert "ALLAUTH_TRUSTED_PROXY_COUNT" not in settings
    assert "SECURE_PROXY_SSL_HEADER" not in settings


def test_a_folder_collected_for_production_is_not_served_in_embedded_mode() -> None:
    assert load_settings()["STATIC_ROOT"] is None


@pytest.mark.parametrize(
    ("production", "given", "used"),
    [
        (False, "", "sqlite:///{var}/mlflow.sqlite3"),
        (False, "off", ""),
        (False, " OFF ", ""),
        (False, "http://mlflow:5000", "http://mlflow:5000"),
        (True, "", ""),
        (True, "off", ""),
        (True, "http://mlflow:5000", "http://mlflow:5000"),
    ],
)
def test_where_runs_are_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, production: bool, given: str, used: str
) -> None:
    for name, value in {**(PRODUCTION if production else {}), "MLFLOW_TRACKING_URI": given}.items():
        monkeypatch.setenv(name, value)

    assert load_settings()["MLFLOW_TRACKING_URI"] == used.format(var=tmp_path / "var")


@pytest.mark.parametrize(
    ("url", "bucket", "location"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b_c/", "my.bucket-1", "a/b_c"),
    ],
)
def test_artifacts_may_be_kept_in_a_store(
    monkeypatch: pytest.MonkeyPatch, url: str, bucket: str, location: str
) -> None:
    monkeypatch.setenv("ARTIFACTS_URL", url)
    monkeypatch.setenv("ARTIFACTS_S3_ENDPOINT", "https://store:9000")

    assert load_settings()["STORAGES"]["default"] == {
        "BACKEND": "training.remote_store.ArtifactStorage",
        "OPTIONS": {"bucket_name": bucket, "location": location, "endpoint_url": "https://store:9000"},
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DATABASE_URL": "mysql://db/name"}, "DATABASE_URL is not valid: it must start with postgres://"),
        ({"DATABASE_URL": "postgres://db/name"}, "DATABASE_URL and REDIS_URL go together"),
        ({"REDIS_URL": "redis://broker"}, "DATABASE_URL and REDIS_URL go together"),
        ({**PRODUCTION, "REDIS_URL": "http://broker"}, "REDIS_URL is not valid: it must start with redis://"),
        ({**PRODUCTION, "DATABASE_URL": "postgres://db:port/name"}, "DATABASE_URL is not valid"),
        ({**PRODUCTION, "SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"DEBUG": "maybe"}, "DEBUG='maybe' is not valid: give true or false."),
        ({"CIFARSITE_HTTPS": "2"}, "CIFARSITE_HTTPS='2' is not valid"),
        ({"CIFARSITE_SIGNUP_OPEN": "si"}, "CIFARSITE_SIGNUP_OPEN='si' is not valid"),
        (
            {"CIFARSITE_IMAGE_MAX_MIB": "0"},
            "CIFARSITE_IMAGE_MAX_MIB='0' is not valid: give a whole number from 1 to 2147483647.",
        ),
        ({"CIFARSITE_IMAGE_MAX_MEGAPIXELS": "-4"}, "CIFARSITE_IMAGE_MAX_MEGAPIXELS='-4' is not valid"),
        ({"CIFARSITE_ARCHIVE_MAX_MIB": "2G"}, "CIFARSITE_ARCHIVE_MAX_MIB='2G' is not valid"),
        ({"CIFARSITE_TOKEN_DAYS": "1.5"}, "CIFARSITE_TOKEN_DAYS='1.5' is not valid"),
        (
            {"CIFARSITE_TOKEN_DAYS": "3651"},
            "CIFARSITE_TOKEN_DAYS='3651' is not valid: give a whole number from 1 to 3650.",
        ),
        ({"CIFARSITE_PREDICT_RATE": "-1"}, "CIFARSITE_PREDICT_RATE='-1' is not valid"),
        ({"CIFARSITE_BATCH_RATE": "1/s"}, "CIFARSITE_BATCH_RATE='1/s' is not valid"),
        ({"CIFARSITE_TRAIN_RATE": "x"}, "CIFARSITE_TRAIN_RATE='x' is not valid"),
        ({"CIFARSITE_API_RATE": "none"}, "CIFARSITE_API_RATE='none' is not valid"),
        ({"CIFARSITE_IDEMPOTENCY_HOURS": "0"}, "CIFARSITE_IDEMPOTENCY_HOURS='0' is not valid"),
        *(
            ({"CIFARSITE_CORS_ORIGINS": f"https://ok.example,{origin}"}, f"CIFARSITE_CORS_ORIGINS holds {origin!r}")
            for origin in ("example.org", "https://example.org/", "*", "null", "https://a b", "ftp://a")
        ),
        ({"CIFARSITE_TRAINING_THREADS": "9" * 5000}, "CIFARSITE_TRAINING_THREADS='999"),
        ({"CIFARSITE_TRAINING_THREADS": "all"}, "CIFARSITE_TRAINING_THREADS='all' is not valid"),
        ({**PRODUCTION, "CIFARSITE_HSTS_SECONDS": "year"}, "CIFARSITE_HSTS_SECONDS='year' is not valid"),
        ({"MLFLOW_URL": "127.0.0.1:5000"}, "MLFLOW_URL is not valid: it must start with http:// or https://."),
        ({"MLFLOW_TRACKING_URI": "file:///runs"}, "MLFLOW_TRACKING_URI is not valid: it must start with http://"),
        ({"ARTIFACTS_URL": "/srv/artifacts"}, "ARTIFACTS_URL is not valid: it must start with s3://."),
        *(
            ({"ARTIFACTS_URL": url}, "ARTIFACTS_URL is not valid: give s3://BUCKET or s3://BUCKET/PREFIX")
            for url in (
                "s3://",
                "s3://B",
                "s3://key:secret@bucket",
                "s3://bucket/../x",
                "s3://bucket?x=1",
                "s3://b_c/x",
            )
        ),
        ({"ARTIFACTS_S3_ENDPOINT": "https://store"}, "ARTIFACTS_S3_ENDPOINT is set without ARTIFACTS_URL"),
        (
            {"ARTIFACTS_URL": "s3://bucket", "ARTIFACTS_S3_ENDPOINT": "store:9000"},
            "ARTIFACTS_S3_ENDPOINT is not valid: it must start with http:// or https://.",
        ),
        ({"CIFARSITE_CHECKPOINT_DAYS": "0"}, "CIFARSITE_CHECKPOINT_DAYS='0' is not valid"),
        ({"LANGUAGE_CODE": "de"}, "LANGUAGE_CODE='de' is not valid: give en or fr."),
        ({"TIME_ZONE": "Europe/Atlantis"}, "TIME_ZONE='Europe/Atlantis' is not valid"),
        ({"EMAIL_URL": "pigeon://home"}, "EMAIL_URL is not valid"),
        ({"CIFARSITE_LOG_FORMAT": "xml"}, "CIFARSITE_LOG_FORMAT='xml' is not valid: give plain or json."),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL='LOUD' is not valid: give DEBUG, INFO, WARNING, ERROR or CRITICAL."),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], named: str) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(named)}"):
        load_settings()


def test_a_folder_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIFARSITE_VAR", str(tmp_path / "file"))

    with pytest.raises(ImproperlyConfigured, match=rf"^CIFARSITE_VAR={tmp_path}/file cannot be used: "):
        load_settings()


def test_the_command_line_says_it_in_one_sentence() -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr == (
        "Configuration: LOG_LEVEL='LOUD' is not valid: give DEBUG, INFO, WARNING, ERROR or CRITICAL.\n"
    )


def test_options_in_the_address_of_the_database_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    options = "?sslmode=require&options=-c%20statement_timeout=9000"
    monkeypatch.setenv("DATABASE_URL", PRODUCTION["DATABASE_URL"] + options)
    monkeypatch.setenv("CIFARSITE_LEASE_SECONDS", "30")
    assert load_settings()["DATABASES"]["default"]["OPTIONS"] == {
        "sslmode": "require",
        "options": "-c idle_in_transaction_session_timeout=30000 -c statement_timeout=9000",
    }


def test_a_sweep_never_expires_by_a_clock() -> None:
    """A worker whose clock is ahead of beat's would drop each one."""
    assert load_settings()["CELERY_BEAT_SCHEDULE"]["sweep"].get("options") is None


@pytest.mark.parametrize("raw", ["-0.1", "1.1", "one", "nan", "1e-2", ""])
def test_the_margin_is_a_fraction(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    assert load_settings()["PROMOTION_MARGIN"] == 0.01
    monkeypatch.setenv("CIFARSITE_PROMOTION_MARGIN", raw)
    with pytest.raises(ImproperlyConfigured, match="give a number from 0 to 1"):
        load_settings()
