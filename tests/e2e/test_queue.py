"""The queue and runs that go on, in a real browser: pause and go on, cancel and resume, extend."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import OpenPage, has_sideways_scroll, sign_in
from tests.factories import (
    PASSWORD,
    DatasetFactory,
    EpochMetricFactory,
    TrainingRunFactory,
    UserFactory,
)
from tests.fixtures import WorkerProcess
from training.choices import JobStatus, Priority, QueueName, Reason
from training.models import TrainingRun
from training.services import pause_queue

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WORK_MS = 240_000  # a worker, an engine and a browser may have to share the machine with others


@pytest.fixture
def ada(artifacts_root: Path, transactional_db: None) -> User:
    ada: User = UserFactory.create(username="ada", is_superuser=True, is_staff=True)
    return ada


def test_submit_to_a_paused_queue_and_let_it_go_on(page: Page, ada: User) -> None:
    DatasetFactory.create(name="shapes")
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.get_by_text("The training queue is paused since")).to_be_visible()
    page.get_by_role("link", name="New run").first.click()
    expect(page.get_by_text("The training queue is paused since")).to_be_visible()
    page.get_by_text("When it starts").click()
    page.get_by_label("Priority").select_option("High")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#run-live")).to_contain_text("It waits, because the training queue is paused.")
    expect(page.locator("#job-history tbody tr")).to_have_count(1)
    page.get_by_label("Priority").select_option("Low")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_text(re.compile(r"The priority of Run \d+ is now low."))).to_be_visible()
    page.get_by_role("link", name="Training", exact=True).first.click()
    expect(page.locator("#run-list")).to_contain_text("priority: low")
    page.get_by_role("button", name="Let the queue go on").click()
    expect(page.get_by_text("The training queue goes on")).to_be_visible()
    expect(page.get_by_text("The training queue is paused since")).to_have_count(0)
    assert TrainingRun.objects.get().priority == Priority.LOW


@pytest.mark.integration
def test_cancel_resume_and_extend(
    page: Page, ada: User, tiny_dataset: Path, celery_worker_process: WorkerProcess
) -> None:
    manifest = json.loads((tiny_dataset / "manifest.json").read_text())
    dataset = DatasetFactory.create(name="tiny", location=str(tiny_dataset), manifest=manifest)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/new/?dataset={dataset.pk}&epochs=150&batch_size=50&width_multiplier=0.0625")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", re.compile("[1-9]"), timeout=WORK_MS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator("#run-live")).to_have_attribute("data-state", "cancelled", timeout=WORK_MS)
    expect(page.locator("#job-history tbody tr")).to_have_count(3)

    page.get_by_role("button", name="Resume").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("goes on from where it stopped.")).to_be_visible()
    expect(page.locator("#run-live")).to_have_attribute("data-state", "succeeded", timeout=WORK_MS)
    expect(page.locator("#job-history")).to_contain_text("Resumed")
    first = TrainingRun.objects.get()
    assert (first.status, first.fence, first.epochs.count()) == (JobStatus.SUCCEEDED, 2, 150)

    page.get_by_role("button", name="Extend…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Epochs more").fill("2")
    dialog.get_by_role("button", name="Extend").click()
    expect(page.get_by_text(f"Goes on where Run {first.pk} ended.")).to_be_visible()
    expect(page.locator("#run-live")).to_have_attribute("data-state", "succeeded", timeout=WORK_MS)
    second = TrainingRun.objects.get(continues=first)
    assert (second.config["epochs"], second.epochs.count()) == (152, 152)


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, locale: str) -> None:
    phone = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True, locale=locale)
    succeeded = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, checkpoint="c")
    for epoch in (1, 2):
        EpochMetricFactory.create(run=succeeded, epoch=epoch)
    failed, waiting = TrainingRunFactory.create(status=JobStatus.FAILED), TrainingRunFactory.create(after=succeeded)
    TrainingRun.resume(failed.pk, by=ada)
    TrainingRun.claim(failed.pk, worker=f"{'a-very-long-name-of-a-host.' * 4}:12345")
    TrainingRun.objects.get(pk=failed.pk).fail(reason=Reason.ERROR, detail="no/space/in/this/path" * 20)
    pause_queue(name=QueueName.TRAINING, by=ada)
    sign_in(phone, "ada", PASSWORD)
    paths = ["/training/", "/training/new/", *(f"/training/{run.pk}/" for run in (succeeded, failed, waiting))]
    assert [path for path in paths if phone.goto(path) and has_sideways_scroll(phone)] == []
    phone.goto(f"/training/{succeeded.pk}/")
    phone.locator("#extend-button").click()
    expect(phone.locator("#extend-dialog")).to_be_visible()
    assert not has_sideways_scroll(phone)
