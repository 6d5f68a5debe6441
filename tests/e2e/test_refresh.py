"""Pages that refresh themselves leave a person where they are: focus, selection, scrolled tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from classifier.batches import pages
from classifier.models import BatchItem
from tests.e2e.conftest import sign_in
from tests.factories import (
    PASSWORD,
    BatchJobFactory,
    DatasetFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    TrainingRunFactory,
    UserFactory,
    make_config,
)
from training.choices import JobStatus
from training.models import TrainingRun, Worker
from training.views import progress, workers
from training.views.run_lists import RunListView

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

REFRESHED: Final = """(count) => new Promise((done) => {
    document.addEventListener("htmx:afterSettle", () => (count -= 1) || done());
})"""
IS_KEPT: Final = "window.kept.isConnected && document.activeElement === window.kept"


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_RUNNING_SECONDS", 0.2)
    monkeypatch.setattr(workers, "_POLL_SECONDS", 0.2)


@pytest.fixture
def ada(artifacts_root: Path, transactional_db: None) -> User:
    ada: User = UserFactory.create(username="ada", is_superuser=True, is_staff=True)
    return ada


def running(**fields: Any) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(status=JobStatus.RUNNING, progress_total=100, **fields)
    return run


def runs_list(ada: User) -> str:
    running(owner=ada)
    running(owner=ada)
    return "/training/"


def batches_list(ada: User) -> str:
    BatchJobFactory.create_batch(2, owner=ada, status=JobStatus.RUNNING)
    return "/batches/"


def data_list(ada: User) -> str:
    DatasetFactory.create()
    DatasetImportFactory.create(status=JobStatus.RUNNING)
    return "/data/"


def workers_page(ada: User) -> str:
    run, now = running(), timezone.now()
    TrainingRun.objects.filter(pk=run.pk).update(worker="w@host:7")
    shared = {"host": "host", "queues": ["training"], "started_at": now, "last_seen_at": now + timedelta(hours=1)}
    Worker.objects.create(name="w@host", **shared)
    return "/workers/"


def comparison(ada: User) -> str:
    dataset = DatasetFactory.create()
    runs = [running(dataset=dataset, config=make_config(epochs=epochs)) for epochs in range(2, 8)]
    return f"/training/compare/?{'&'.join(f'run={run.pk}' for run in runs)}"


def run_page(ada: User) -> str:
    run = running(owner=ada, log_tail="\n".join(f"line {number}" for number in range(200)))
    EpochMetricFactory.create(run=run, epoch=1)
    return f"/training/{run.pk}/"


def import_page(ada: User) -> str:
    return f"/data/imports/{DatasetImportFactory.create(owner=ada, status=JobStatus.RUNNING).pk}/"


def batch_page(ada: User) -> str:
    job = BatchJobFactory.create(owner=ada, status=JobStatus.RUNNING)
    rows = (BatchItem(batch=job, index=number, name=f"{number}.png", error_code="x") for number in range(3))
    BatchItem.objects.bulk_create(rows)
    return f"/batches/{job.pk}/"


def focus_and_refresh(page: Page, selector: str) -> None:
    page.locator(selector).first.focus()
    page.evaluate("window.kept = document.activeElement")
    page.evaluate(REFRESHED, 2)


@pytest.mark.parametrize(
    ("make", "selector"),
    [
        (runs_list, "#sort-recipe"),
        (runs_list, "#page-next"),
        (runs_list, "#run-list .row-link"),
        (runs_list, "#run-list [type=checkbox]"),
        (batches_list, "#page-next"),
        (batches_list, "#batch-list .row-link"),
        (batches_list, "#batch-list [type=checkbox]"),
        (data_list, "[id^=import-]"),
        (data_list, "[id^=dataset-]"),
        (workers_page, "#workers-live a"),
        (comparison, "#compare-live .row-link"),
        (comparison, "#compare-live .table-wrap"),
        (run_page, "#run-log"),
        (run_page, "#cancel-button"),
        (import_page, "#cancel-button"),
        (batch_page, "#page-next"),
        (batch_page, "#cancel-button"),
    ],
)
def test_the_focus_stays(
    page: Page, ada: User, monkeypatch: pytest.MonkeyPatch, make: Callable[[User], str], selector: str
) -> None:
    monkeypatch.setattr(RunListView, "paginate_by", 1)
    monkeypatch.setattr("classifier.batches.views.BATCHES_PAGE", 1)
    monkeypatch.setattr(pages, "ITEMS_PAGE", 1)
    path = make(ada)
    sign_in(page, "ada", PASSWORD)
    page.goto(path)
    focus_and_refresh(page, selector)
    assert page.evaluate(IS_KEPT)


def test_the_focus_goes_with_its_row_when_another_one_comes(page: Page, ada: User) -> None:
    dataset = DatasetFactory.create()
    run = running(dataset=dataset)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    page.locator(f"#run-{run.pk}").focus()
    page.evaluate("window.kept = document.activeElement")
    newer = running(dataset=dataset)
    expect(page.locator("[data-shortcut-row] .row-link")).to_have_text([str(newer), str(run)])
    assert page.evaluate(IS_KEPT)
    page.keyboard.press("k")
    expect(page.locator(f"#run-{newer.pk}")).to_be_focused()


def test_what_is_selected_stays_and_what_changed_is_shown(page: Page, ada: User) -> None:
    run = running(owner=ada)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    moment = page.locator("#run-list time").inner_text()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#run-list [data-label=Recipe]'))")
    page.evaluate("getSelection().extend(document.querySelector('#run-list time').firstChild, 3)")
    selected = page.evaluate("getSelection().toString()")
    TrainingRun.objects.filter(pk=run.pk).update(progress_done=42)
    expect(page.locator("#run-list")).to_contain_text("42%")
    assert page.evaluate("getSelection().toString()") == selected.replace("0%", "42%")
    assert page.locator("#run-list time").inner_text() == moment
    assert page.locator("time[data-local-time]").count() == 0


@pytest.mark.parametrize("make", [comparison, run_page])
def test_a_table_and_a_page_stay_scrolled(phone: Page, ada: User, make: Callable[[User], str]) -> None:
    path = make(ada)
    sign_in(phone, "ada", PASSWORD)
    phone.goto(path)
    if make is run_page:
        phone.get_by_text("The same as a table").click()
    scroller = phone.locator("#compare-live .table-wrap, #run-epochs")
    scroller.evaluate("(element) => element.scrollIntoView({ behavior: 'instant' })")
    scroller.evaluate("(element) => { element.scrollLeft = 60; }")
    before = scroller.evaluate("(element) => [element.scrollLeft, window.scrollY]")
    assert before[0] == 60
    run = TrainingRun.objects.latest("pk")
    EpochMetricFactory.create(run=run, epoch=2)
    phone.evaluate(REFRESHED, 2)
    assert scroller.evaluate("(element) => [element.scrollLeft, window.scrollY]") == before
    if make is run_page:
        expect(phone.locator("#run-epochs tbody tr")).to_have_count(2)


def test_a_log_stays_scrolled(page: Page, ada: User) -> None:
    path = run_page(ada)
    sign_in(page, "ada", PASSWORD)
    page.goto(path)
    log = page.locator("#run-log")
    log.evaluate("(element) => { element.scrollTop = 120; }")
    TrainingRun.objects.update(log_tail="\n".join(f"line {number}" for number in range(201)))
    expect(log).to_contain_text("line 200")
    assert log.evaluate("(element) => element.scrollTop") == 120


def test_a_list_ends_its_asking_when_all_have_ended(page: Page, ada: User) -> None:
    run = running(owner=ada)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    TrainingRun.objects.filter(pk=run.pk).update(
        status=JobStatus.CANCELLED, lease_until=None, finished_at=timezone.now()
    )
    expect(page.locator("#run-list")).to_contain_text("Cancelled")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1_500)
    assert asked == []
