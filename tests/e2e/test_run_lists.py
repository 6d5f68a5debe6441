"""The runs list and the comparison in a real browser: keys, choosing, charts, on a telephone too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from tests.e2e.conftest import OpenPage, has_sideways_scroll, sign_in
from tests.factories import (
    PASSWORD,
    DatasetFactory,
    EpochMetricFactory,
    TrainingRunFactory,
    UserFactory,
    make_config,
    make_transfer_run,
)
from training.choices import JobStatus
from training.models import Dataset, TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ada(artifacts_root: Path, transactional_db: None) -> User:
    ada: User = UserFactory.create(username="ada", is_superuser=True, is_staff=True)
    return ada


@pytest.fixture
def dataset(ada: User) -> Dataset:
    dataset: Dataset = DatasetFactory.create()
    return dataset


def run_with_epochs(dataset: Dataset, *losses: float, status: JobStatus = JobStatus.SUCCEEDED) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(
        dataset=dataset, status=status, config=make_config(epochs=len(losses)), metrics={"accuracy": 0.9}
    )
    for epoch, loss in enumerate(losses, start=1):
        EpochMetricFactory.create(run=run, epoch=epoch, train_loss=loss, learning_rate=0.1 / epoch)
    return run


def test_runs_are_chosen_with_keys_and_compared(page: Page, ada: User, dataset: Dataset) -> None:
    first = run_with_epochs(dataset, 2.0, 1.0)
    second = run_with_epochs(dataset, 1.5, 0.75, 0.5)
    running = TrainingRunFactory.create(dataset=dataset, status=JobStatus.RUNNING, progress_total=100)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    page.keyboard.press("j")
    expect(page.locator(f"#run-{running.pk}")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("Chosen: 1")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(compare).to_be_enabled()
    TrainingRun.objects.filter(pk=running.pk).update(progress_done=42)
    expect(page.locator("#run-list")).to_contain_text("42%")  # the list was fetched again
    expect(page.locator(f"#pick-{first.pk}")).to_be_checked()
    expect(page.get_by_text("Chosen: 2")).to_be_visible()
    compare.click()
    expect(page).to_have_url(f"/training/compare/?run={second.pk}&run={first.pk}")
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", "5")


def test_keys_search_explain_and_can_be_turned_off(page: Page, ada: User, dataset: Dataset) -> None:
    run = TrainingRunFactory.create(dataset=dataset)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    page.keyboard.press("/")
    search = page.get_by_label("Search")
    expect(search).to_be_focused()
    page.keyboard.type("jx?")
    expect(search).to_have_value("jx?")
    page.get_by_role("heading", name="Training").click()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Use these keys in this browser").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("j")
    expect(page.locator(f"#run-{run.pk}")).not_to_be_focused()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_label("Use these keys in this browser").check()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"/training/{run.pk}/")


def test_filters_stay_in_the_address(page: Page, ada: User, dataset: Dataset) -> None:
    run_with_epochs(dataset, 1.0)
    kept = TrainingRunFactory.create(dataset=dataset, recipe="accurate")
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    page.locator("#id_recipe").select_option("accurate")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page).to_have_url(re.compile("recipe=accurate"))
    expect(page.locator("[data-shortcut-row]")).to_have_count(1)
    page.get_by_role("link", name="Queued").click()
    expect(page).to_have_url(re.compile("status=queued.*recipe=accurate"))
    expect(page.locator(f"#run-{kept.pk}")).to_be_visible()


def test_several_runs_are_cancelled(page: Page, ada: User, dataset: Dataset) -> None:
    runs = TrainingRunFactory.create_batch(2, dataset=dataset, owner=ada)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    for run in runs:
        page.get_by_label(f"Choose Run {run.pk}", exact=True).check()
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_text("2 runs are being cancelled.")).to_be_visible()
    assert set(TrainingRun.objects.values_list("status", flat=True)) == {JobStatus.CANCELLED}


def test_the_charts_tell_the_values_under_the_pointer_of_every_run(page: Page, ada: User, dataset: Dataset) -> None:
    first, second = run_with_epochs(dataset, 2.0, 1.0, 0.5), run_with_epochs(dataset, 1.5, 0.75)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/compare/?run={first.pk}&run={second.pk}")
    losses = page.locator("[data-series=train_loss]")
    expect(losses).to_have_text(["0.500", "0.750"])
    chart = page.locator("[data-curve-kind=loss] .u-over").nth(1)
    chart.hover(position={"x": 2, "y": 20})
    expect(losses).to_have_text(["2.000", "1.500"])
    expect(page.locator("[data-series=learning_rate]")).to_have_text(["0.1", "0.1"])  # the cursors go together
    page.mouse.move(0, 0)
    figure = page.locator("figure").filter(has_text="Training loss")
    figure.get_by_text("The same as a table").click()
    rows = figure.get_by_role("table", name="Training loss").get_by_role("row")
    expect(rows).to_have_text([f"EpochRun {first.pk}Run {second.pk}", "12.0001.500", "21.0000.750", "30.500—"])


def test_scale_and_smoothing_change_the_lines_and_stay_in_the_address(page: Page, ada: User, dataset: Dataset) -> None:
    runs = run_with_epochs(dataset, 2.0, 0.1, 1.0, 0.05), make_transfer_run(dataset=dataset)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/compare/?run={runs[0].pk}&run={runs[1].pk}")
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", "8")
    canvas = page.locator("[data-curve-kind=loss] canvas").nth(1)
    drawings = [canvas.evaluate("canvas => canvas.toDataURL()")]
    page.get_by_label("Logarithmic scale of losses and rates").check()
    canvas = page.locator("[data-curve-kind=loss] canvas").nth(1)
    drawings.append(canvas.evaluate("canvas => canvas.toDataURL()"))
    page.get_by_label("Smoothing").fill("0.8")
    page.wait_for_timeout(200)  # uPlot draws in a microtask
    drawings.append(canvas.evaluate("canvas => canvas.toDataURL()"))
    assert len(set(drawings)) == 3
    expect(page.locator("[data-series=train_loss]").first).to_have_text("0.050")  # as it was measured
    expect(page).to_have_url(re.compile("scale=log&smoothing=0.8$"))
    page.reload()
    expect(page.get_by_label("Logarithmic scale of losses and rates")).to_be_checked()
    expect(page.get_by_label("Smoothing")).to_have_value("0.8")


def test_links_and_languages_keep_how_the_charts_are_drawn(page: Page, ada: User, dataset: Dataset) -> None:
    runs = run_with_epochs(dataset, 2.0, 1.0), run_with_epochs(dataset, 1.5, 0.5)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/compare/?run={runs[0].pk}&run={runs[1].pk}&sort=owner")
    page.get_by_label("Logarithmic scale of losses and rates").check()
    page.get_by_label("Smoothing").fill("0.5")
    page.get_by_role("link", name="Differences only").click()
    expect(page).to_have_url(re.compile("sort=owner&differences=only&scale=log&smoothing=0.5#settings$"))
    expect(page.get_by_label("Logarithmic scale of losses and rates")).to_be_checked()
    page.get_by_label("Smoothing").fill("0.8")
    page.get_by_role("link", name="All (").click()
    expect(page).to_have_url(re.compile("sort=owner&scale=log&smoothing=0.8#settings$"))
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_role("button", name="Français").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page).to_have_url(re.compile("sort=owner&scale=log&smoothing=0.9"))


def test_cancelling_leads_back_to_the_list_as_it_was(page: Page, ada: User, dataset: Dataset) -> None:
    run = TrainingRunFactory.create(dataset=dataset, owner=ada)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/?status=queued&sort=owner")
    page.locator(f"#pick-{run.pk}").check()
    page.get_by_role("button", name="Cancel…").click()
    expect(page).to_have_url(f"/training/cancel/?status=queued&sort=owner&run={run.pk}")
    page.get_by_role("link", name="No", exact=True).click()
    expect(page).to_have_url("/training/?status=queued&sort=owner")


def test_a_logarithmic_scale_of_no_values_is_an_empty_chart(page: Page, ada: User, dataset: Dataset) -> None:
    runs = run_with_epochs(dataset, 2.0, 1.0), run_with_epochs(dataset, 1.5, 0.5)
    for run in runs:
        run.epochs.update(validation_loss=None)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/compare/?run={runs[0].pk}&run={runs[1].pk}&scale=log")
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", "4")
    assert page.evaluate("1 + 1") == 2  # the page still answers


def test_the_comparison_follows_a_run_at_work(page: Page, ada: User, dataset: Dataset) -> None:
    running, ended = run_with_epochs(dataset, 2.0, status=JobStatus.RUNNING), run_with_epochs(dataset, 1.0)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/compare/?run={running.pk}&run={ended.pk}")
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", "2")
    EpochMetricFactory.create(run=running, epoch=2, train_loss=0.25)
    expect(page.locator("[data-series=train_loss]").first).to_have_text("0.250")


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, locale: str) -> None:
    dataset = DatasetFactory.create(name="a-very-long-name-of-a-dataset-that-nobody-would-ever-type-twice")
    phone = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True, locale=locale)
    runs = [run_with_epochs(dataset, 1.0, 0.5) for _number in range(6)]
    named = "&".join(f"run={run.pk}" for run in runs)
    sign_in(phone, "ada", PASSWORD)
    wide = []
    for path in ("/training/", f"/training/compare/?{named}", f"/training/cancel/?{named}"):
        phone.goto(path)
        phone.wait_for_load_state("networkidle")
        if has_sideways_scroll(phone):
            wide.append(path)
    assert wide == []
