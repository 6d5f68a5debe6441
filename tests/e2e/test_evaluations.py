"""Evaluating a version, in a real browser: asking, watching, and what came of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.e2e.conftest import OpenPage, sign_in
from tests.evaluations import make_evaluation
from tests.factories import PASSWORD, DatasetFactory, ModelVersionFactory, UserFactory, in_state
from training.choices import JobStatus
from training.models import Dataset, Evaluation, ModelVersion

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def version(transactional_db: None) -> ModelVersion:
    UserFactory.create(username="grace", groups=["trainer"])
    version: ModelVersion = ModelVersionFactory.create()
    return version


@pytest.fixture
def dataset(version: ModelVersion, tiny_dataset: Path) -> Dataset:
    dataset: Dataset = DatasetFactory.create(name="photographs", location=str(tiny_dataset))
    return dataset


def test_it_is_asked_for_watched_and_cancelled(open_page: OpenPage, version: ModelVersion, dataset: Dataset) -> None:
    page = open_page()
    sign_in(page, "grace", PASSWORD)
    page.goto(reverse("version", args=[version.pk]))
    page.get_by_label("Dataset").select_option("photographs")
    page.get_by_label("Measure test-time augmentation").check()
    page.get_by_role("button", name="Evaluate").click()
    job = Evaluation.objects.get()
    assert job.with_augmentation
    expect(page.get_by_role("heading", level=1)).to_have_text(str(job))
    expect(page.locator("#evaluation-live")).to_contain_text("Queued")
    Evaluation.objects.update(**in_state(JobStatus.RUNNING), progress_done=3, progress_total=5)
    expect(page.locator("#evaluation-progress")).to_have_attribute("value", "60")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator("#evaluation-live")).to_contain_text("Cancelling")


def test_its_figures_appear_when_it_succeeds(open_page: OpenPage, version: ModelVersion, dataset: Dataset) -> None:
    job = make_evaluation(version, dataset, answers=np.load(dataset.path / "test_labels.npy"))
    Evaluation.objects.update(**in_state(JobStatus.RUNNING), report={}, location="")
    page = open_page()
    sign_in(page, "grace", PASSWORD)
    page.goto(reverse("evaluation", args=[job.pk]))
    expect(page.locator("#evaluation-live")).to_contain_text("Running")
    Evaluation.objects.update(**in_state(JobStatus.SUCCEEDED), report=job.report, location=job.location)
    expect(page.get_by_role("heading", name="Result on the test images")).to_be_visible()
    dots = page.locator(".image-map > svg .dots-0")
    expect(dots).to_be_visible()
    page.get_by_label("airplane").uncheck()
    expect(dots).to_be_hidden()
    expect(page.locator(".image-map > svg .dots-1")).to_be_visible()
    page.locator("table.confusion").first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("airplane → airplane")
    expect(page.locator(".answered img")).to_have_count(4)
