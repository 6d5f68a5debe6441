"""The API's documentation in a real browser, under the site's strict content security policy.

The fixtures fail a test whose page logs an error (a refused style or script is one) or asks another host.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import ApiToken, User
from classifier.models import Prediction
from tests.api_fixtures import _fresh_process
from tests.tiny_model import picture, register_version
from training.choices import ModelState

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_swagger_classifies_a_picture(page: Page) -> None:
    register_version(state=ModelState.CHAMPION)
    _row, token = ApiToken.objects.create(user=User.objects.create(username="ada"))
    page.goto("/docs", timeout=60_000)  # megabytes of script
    page.get_by_role("button", name="Authorize").first.click()
    scheme = page.locator(".auth-container").filter(has_text="Authorization")
    scheme.get_by_role("textbox").fill(f"Token {token}")
    scheme.get_by_role("button", name="Apply credentials").click()
    scheme.get_by_role("button", name="Close").click()
    operation = page.locator("#operations-Pictures-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    file = {"name": "frog.png", "mimeType": "image/png", "buffer": picture(6)}
    operation.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]  # as its documentation has it
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
    assert Prediction.objects.get().class_key == "frog"


def test_redoc_is_drawn_with_its_own_styles_and_can_be_searched(page: Page) -> None:
    page.goto("/redoc", timeout=60_000)  # megabytes of script
    expect(page.get_by_role("heading", name="predict Classify a picture")).to_be_visible()
    # Its styles are in force: the sample column is dark.
    backgrounds = page.evaluate(
        "[...document.querySelectorAll('#redoc div')].map(e => getComputedStyle(e).backgroundColor)"
    )
    assert "rgb(38, 50, 56)" in backgrounds
    page.get_by_placeholder("Search").fill("picture")
    expect(page.get_by_role("search").get_by_text("Classify a picture").first).to_be_visible()
