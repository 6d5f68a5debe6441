"""Pages are compressed for whoever reads gzip; answers to programs and short ones are not."""

from __future__ import annotations

import gzip

import pytest
from django.test import Client

GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.mark.django_db
def test_a_page_is_compressed() -> None:
    plain = Client().get("/accounts/login/")
    packed = Client().get("/accounts/login/", headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert packed.headers["Content-Length"] == str(len(packed.content))
    assert len(packed.content) < len(plain.content) / 2
    assert b"<!DOCTYPE html>" in gzip.decompress(packed.content)
    assert "Content-Encoding" not in plain.headers


@pytest.mark.django_db
def test_an_answer_to_a_program_is_not() -> None:
    response = Client().get("/api/v1/", headers=GZIP)
    assert len(response.content) > 500
    assert "Content-Encoding" not in response.headers


@pytest.mark.django_db
def test_but_the_description_of_the_api_is() -> None:
    plain = Client().get("/api/v1/schema").content
    packed = Client().get("/api/v1/schema", headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(plain) / 5
    assert gzip.decompress(packed.content) == plain
    again = Client().get("/api/v1/schema", headers={**GZIP, "If-None-Match": packed.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.django_db
def test_nor_what_is_no_text() -> None:
    assert "Content-Encoding" not in Client().get("/metrics", headers=GZIP).headers
