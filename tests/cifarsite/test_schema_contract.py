"""Requests that fit the API's schema, and that break it: each answer is one that the schema tells of, none is 500."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from pytest_django.live_server_helper import LiveServer
from schemathesis import checks

from cifarsite.accounts.models import User
from tests.api_fixtures import make_token
from training.models import ModelVersion

generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
schema = schemathesis.openapi.from_dict(generator.get_schema(request=None, public=True))

CHECKS: Any = checks.CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


@pytest.fixture
def administrator_token(transactional_db: None, champion: ModelVersion) -> str:
    return make_token(User.objects.create(username="root", is_superuser=True))


@schema.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_answers_as_the_schema_says(
    case: schemathesis.Case[Any], live_server: LiveServer, administrator_token: str
) -> None:
    headers = {"Authorization": f"Token {administrator_token}"}
    case.call_and_validate(base_url=live_server.url, headers=headers, checks=CHECKS)
