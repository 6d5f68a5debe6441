"""What can be known about the containers without a container engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE_SERVICES = {"migrate", "web", "beat", "worker", "deliveries", "training-cpu", "training-gpu"}
TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
STRINGS = {"type": "array", "items": {"type": "string"}}
# The part of the Compose Specification that this file uses; anything else in it is a slip.
SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image", "command"],
    "properties": {
        "image": {"type": "string", "pattern": r"^[a-z-]+:[a-z0-9.-]+$"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "required": ["context", "target"],
            "properties": {"context": {"const": "."}, "target": {"enum": ["web", "worker", "mlflow"]}},
        },
        "command": {"type": "string"},
        "environment": TEXTS,
        "init": {"type": "boolean"},
        "restart": {"enum": ["no", "unless-stopped"]},
        "stop_grace_period": {"type": "string", "pattern": r"^\d+s$"},
        "profiles": STRINGS,
        "ports": STRINGS,
        "volumes": STRINGS,
        "configs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"source": {"type": "string"}, "target": {"type": "string"}},
            },
        },
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["condition"],
                "properties": {"condition": {"enum": ["service_healthy", "service_completed_successfully"]}},
            },
        },
        "healthcheck": {
            "type": "object",
            "additionalProperties": False,
            "required": ["test", "interval"],
            "properties": {
                "test": {"type": "string"},
                "interval": {"type": "string", "pattern": r"^\d+s$"},
                "timeout": {"type": "string", "pattern": r"^\d+s$"},
                "start_period": {"type": "string", "pattern": r"^\d+s$"},
                "retries": {"type": "integer"},
            },
        },
        "deploy": {"type": "object"},
    },
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    # Images of others name their command themselves.
    return {name: {"command": "", **service} for name, service in compose["services"].items()}


def documented_names() -> set[str]:
    return set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))


def test_every_service_is_well_formed(services: dict[str, Any]) -> None:
    for service in services.values():
        jsonschema.validate(service, SERVICE)


def test_every_part_of_production_is_there(services: dict[str, Any]) -> None:
    assert set(services) == SITE_SERVICES | {"postgres", "redis", "mlflow"}


def test_every_lasting_service_has_a_health_check(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate"}


def test_names_that_services_use_are_defined(compose: dict[str, Any], services: dict[str, Any]) -> None:
    volumes = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    configs = {config["source"] for service in services.values() for config in service.get("configs", [])}
    needed = {name for service in services.values() for name in service.get("depends_on", {})}

    assert volumes == set(compose["volumes"])
    assert configs == set(compose["configs"])
    assert needed <= set(services)


def test_the_site_reads_every_variable_it_is_given(services: dict[str, Any]) -> None:
    for name in SITE_SERVICES:
        environment = services[name]["environment"]

        assert set(environment) <= documented_names()
        assert {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS"} <= set(environment)


def test_every_variable_of_the_file_is_explained() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))

    assert used - documented_names() == {"POSTGRES_PASSWORD"}  # named in the file's own header


def test_only_the_gpu_service_reserves_a_device(services: dict[str, Any]) -> None:
    reserving = {name for name, service in services.items() if "deploy" in service}
    (device,) = services["training-gpu"]["deploy"]["resources"]["reservations"]["devices"]

    assert reserving == {"training-gpu"}
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_build_targets_exist_and_the_web_has_no_torch(services: dict[str, Any]) -> None:
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", dockerfile(), flags=re.MULTILINE | re.DOTALL))

    assert {service["build"]["target"] for service in services.values() if "build" in service} <= set(stages)
    assert services["web"]["build"]["target"] == services["beat"]["build"]["target"] == "web"
    assert "requirements/base.txt" in stages["web"]
    assert not re.search(r"^(torch|mlflow-skinny)==", (ROOT / "requirements" / "base.txt").read_text(), re.MULTILINE)


def test_what_images_copy_is_there() -> None:
    copied = re.findall(r"^COPY (requirements/\S+) ", dockerfile(), flags=re.MULTILINE)

    assert copied == ["requirements/mlflow.txt", "requirements/base.txt", "requirements/worker.txt"]
    assert all((ROOT / name).exists() for name in copied)


def test_static_files_can_be_collected_with_production_settings(tmp_path: Path) -> None:
    code = (
        "import sys; from django.conf import settings; import django; django.setup();"
        "settings.STATIC_ROOT = sys.argv[1];"
        # What can go wrong is a reference to a file that is not there; compressing takes the time and cannot.
        "settings.WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ['css', 'js', 'svg', 'html', 'json', 'map', 'txt', 'md'];"
        "from django.core.management import call_command;"
        "call_command('collectstatic', interactive=False, verbosity=0)"
    )
    environment = {
        **os.environ,
        "DATABASE_URL": "postgres://build/none",
        "REDIS_URL": "redis://build",
        "ALLOWED_HOSTS": "build",
        "SECRET_KEY": "only-while-building",
        "DJANGO_SETTINGS_MODULE": "cifarsite.settings",
    }
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment, check=True)

    assert (tmp_path / "staticfiles.json").exists()
    assert len(list(tmp_path.glob("css/theme.*.css"))) == 1


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()
