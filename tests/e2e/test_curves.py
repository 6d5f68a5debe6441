"""Learning curves in a real browser: what is asked meanwhile, what is replaced, and what cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from cifarsite.accounts.models import User
from tests.e2e.conftest import PageLog, sign_in
from tests.factories import PASSWORD, EpochMetricFactory, TrainingRunFactory, UserFactory, in_state, make_config
from training.choices import JobStatus
from training.models import TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CURVES = "**/curve.json"
SECTION = "section[aria-labelledby=curves-title]"


@pytest.fixture
def run(artifacts_root: Path, transactional_db: None) -> TrainingRun:
    ada: User = UserFactory.create(username="ada", is_superuser=True, is_staff=True)
    made: TrainingRun = TrainingRunFactory.create(
        status=JobStatus.RUNNING, owner=ada, config=make_config(epochs=4), log_tail="begun"
    )
    EpochMetricFactory.create(run=made, epoch=1, train_loss=2.0)
    return made


def test_what_changes_while_curves_are_fetched_is_drawn_as_well(page: Page, run: TrainingRun) -> None:
    held: list[Route] = []
    page.route(CURVES, lambda route: held.append(route) if not held else route.continue_())
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    expect(page.locator("#run-log")).to_have_text("begun")
    [route] = held
    stale = route.fetch()
    EpochMetricFactory.create(run=run, epoch=2, train_loss=0.5)
    TrainingRun.objects.update(**in_state(JobStatus.CANCELLED))
    expect(page.locator("#run-live")).to_have_attribute("data-state", "cancelled")  # the panel changes no more
    route.fulfill(response=stale)
    expect(page.locator("[data-series=train_loss]")).to_have_text("0.500")


def test_an_answer_is_not_drawn_where_it_was_replaced_meanwhile(page: Page, run: TrainingRun) -> None:
    TrainingRun.objects.update(**in_state(JobStatus.CANCELLED))
    held: list[Route] = []
    page.route(CURVES, lambda route: held.append(route) if not held else route.continue_())
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    page.wait_for_function("document.querySelector('[data-curves]')")
    page.evaluate(
        """async (section) => {
            window.old = document.querySelector(section);
            await htmx.ajax("GET", location.pathname, { target: section, select: section, swap: "outerHTML" });
        }""",
        SECTION,
    )
    expect(page.locator("[data-series=train_loss]")).to_have_text("2.000")
    expect(page.locator(f"{SECTION} .u-over")).to_have_count(3)
    assert held[0].request.failure == "net::ERR_ABORTED"
    page.get_by_label("Smoothing").fill("0.5")
    expect(page.locator("[data-curve-smoothing-shown]")).to_have_text("0.50")
    assert page.evaluate("[window.old.isConnected, window.old.querySelectorAll('.u-over').length]") == [False, 0]
    expect(page.locator("[data-curves-problem]")).to_be_hidden()


@pytest.mark.parametrize("failure", ["no connection", "an error", "no JSON"])
def test_a_failed_answer_is_told_and_asked_for_again(
    page: Page, run: TrainingRun, page_log: PageLog, failure: str
) -> None:
    TrainingRun.objects.update(**in_state(JobStatus.CANCELLED))
    page_log.expect("Failed to load resource")

    def fail(route: Route) -> None:
        if failure == "no connection":
            route.abort()
        else:
            route.fulfill(status=500 if failure == "an error" else 200, body="<html>")

    page.route(CURVES, fail)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    problem = page.locator("[data-curves-problem]")
    expect(problem).to_contain_text("The curves could not be fetched, so what is drawn may be old or missing.")
    expect(problem).to_be_visible()
    expect(page.locator("[data-curve-empty]:visible")).to_have_count(0)  # nobody knows whether there are no points
    page.unroute(CURVES)
    problem.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-series=train_loss]")).to_have_text("2.000")
    expect(problem).to_be_hidden()
