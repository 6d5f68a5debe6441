"""Batches in a real browser: send an archive, watch it, read the answers, cancel and go on, delete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from cifarsite.accounts.models import User
from classifier.models import BatchJob
from tests.api_fixtures import _fresh_process
from tests.classifier.archive_makers import BROKEN, pictures, request, zip_of
from tests.e2e.conftest import OpenPage, PageLog, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, UserFactory
from tests.fixtures import StartWorker
from tests.tiny_model import picture, register_version
from training.choices import ModelState

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WORK_MS = 120_000
SHOTS = os.environ.get("CIFARSITE_SHOTS", "")


@pytest.fixture
def ada(artifacts_root: Path, transactional_db: None) -> User:
    register_version(state=ModelState.CHAMPION)
    ada: User = UserFactory.create(username="ada", is_superuser=True, is_staff=True)
    return ada


def labelled() -> dict[str, bytes]:
    keys = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    right = {f"test/{keys[number % 10]}/{number:03}.png": picture(number % 10) for number in range(120)}
    wrong = {f"test/cat/wrong-{number}.png": picture(5) for number in range(6)}
    return {**right, **wrong, "test/dog/broken.png": BROKEN, "test/frog/grey.png": picture((170, 170, 170))}


def shoot(page: Page, name: str) -> None:
    """Keep what a person would see, where somebody wants to look."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.mark.integration
def test_an_archive_from_drop_to_report(
    page: Page, ada: User, tmp_path: Path, start_worker: StartWorker, open_page: OpenPage
) -> None:
    archive = tmp_path / "my pictures.zip"
    archive.write_bytes(zip_of(labelled()))
    sign_in(page, "ada", PASSWORD)
    page.get_by_role("link", name="Batches", exact=True).click()
    expect(page.get_by_role("heading", name="No batch yet")).to_be_visible()
    shoot(page, "batches-empty")
    page.locator("#id_archive").set_input_files(archive)
    expect(page.locator("#batch-live")).to_contain_text("no worker is running")
    expect(page.locator("#batch-items")).to_contain_text("Answers appear here as they come.")
    shoot(page, "batch-waiting")
    start_worker(queues="inference,default")
    expect(page.locator("#batch-live")).to_have_attribute("data-state", "succeeded", timeout=WORK_MS)
    expect(page.locator("#batch-live")).to_contain_text("128 of 128")
    expect(page.locator("#batch-items tbody tr")).to_have_count(50)
    expect(page.locator("#batch-report")).to_contain_text("On your labels")
    expect(page.locator("#batch-report")).to_contain_text("127 pictures have a label and an answer.")
    expect(page.get_by_role("button", name="Delete", exact=True).first).to_be_visible()
    shoot(page, "batch-done")
    page.get_by_label("Show").select_option("errors")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#batch-items tbody tr")).to_have_count(1)
    expect(page.locator("#batch-items")).to_contain_text("The picture is damaged or incomplete.")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV").click()
    assert len(downloading.value.path().read_text().splitlines()) == 129
    job = BatchJob.objects.get()
    looks: dict[str, dict[str, Any]] = {
        "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
        "dark": {"color_scheme": "dark"},
        "french": {"locale": "fr-FR"},
    }
    for name, options in looks.items():
        other = open_page(**options)
        sign_in(other, "ada", PASSWORD)
        for path, shot in ((f"/batches/{job.pk}/", "batch-done"), ("/batches/", "batches")):
            other.goto(path)
            assert not has_sideways_scroll(other)
            shoot(other, f"{shot}-{name}")
    page.goto(f"/batches/{job.pk}/")
    page.locator("#delete-button").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("and its answers are deleted.")).to_be_visible()
    assert not BatchJob.objects.exists()


def test_cancel_and_go_on(page: Page, ada: User) -> None:
    job = request(ada, pictures(3))
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/batches/{job.pk}/")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator("#batch-live")).to_have_attribute("data-state", "cancelled")
    page.get_by_role("button", name="Resume").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#batch-live")).to_have_attribute("data-state", "queued")
    expect(page.locator("#job-history tbody tr")).to_have_count(3)


def test_several_are_cancelled_and_then_deleted_with_keys(page: Page, ada: User) -> None:
    jobs = [request(ada, pictures(1)) for _number in range(2)]
    sign_in(page, "ada", PASSWORD)
    page.goto("/batches/")
    expect(page.get_by_role("button", name="Cancel…")).to_be_disabled()
    for verb, going in (("Cancel", "are being cancelled; their answers stay."), ("Delete", "are deleted.")):
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(page.get_by_text("Chosen: 2")).to_be_visible()
        shoot(page, f"batches-chosen-{verb}")
        page.get_by_role("button", name=f"{verb}…").click()
        expect(page.get_by_role("heading", name=f"{verb} batches")).to_be_visible()
        for job in jobs:
            expect(page.get_by_role("link", name=str(job), exact=True)).to_be_visible()
        shoot(page, f"batches-{verb}")
        page.get_by_role("button", name=f"Yes, {verb.lower()}").click()
        expect(page.get_by_text(going)).to_be_visible()
    assert not BatchJob.objects.exists()


def test_a_refusal_is_told_where_it_was_chosen(page: Page, ada: User, page_log: PageLog, tmp_path: Path) -> None:
    page_log.expect("422")
    bad = tmp_path / "bad.zip"
    bad.write_bytes(zip_of({"../evil.png": picture()}))
    sign_in(page, "ada", PASSWORD)
    page.goto("/batches/")
    page.locator("#id_archive").set_input_files(bad)
    expect(page.get_by_role("alert")).to_contain_text("climbs out of its folder")
    shoot(page, "batches-refused")
    page.locator("#id_files").set_input_files(
        [FilePayload(name=f"{number}.png", mimeType="image/png", buffer=picture(number)) for number in range(3)]
    )
    expect(page.locator("#batch-live")).to_contain_text("0 of 3")
    assert BatchJob.objects.get().progress_total == 3


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, locale: str) -> None:
    phone = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True, locale=locale)
    job = request(ada, {f"{'a-very-long-name' * 20}.png": picture()}, name=f"{'no-space-in-this' * 14}.zip")
    sign_in(phone, "ada", PASSWORD)
    assert [
        path for path in ("/batches/", f"/batches/{job.pk}/") if phone.goto(path) and has_sideways_scroll(phone)
    ] == []
