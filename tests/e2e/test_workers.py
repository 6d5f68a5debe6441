"""The Workers page in a real browser: it follows what happens, and fits a telephone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import has_sideways_scroll, sign_in
from tests.factories import PASSWORD, TrainingRunFactory, UserFactory
from training.choices import JobStatus
from training.models import Worker

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

GIB = 2**30


def make_worker(name: str, *, silent: timedelta = timedelta(0)) -> Worker:
    now = timezone.now()
    worker: Worker = Worker.objects.create(
        name=name,
        host=name.partition("@")[2],
        queues=["training"],
        gpus=[{"name": "NVIDIA H200", "used_bytes": 70 * GIB, "total_bytes": 140 * GIB}],
        memory_used_bytes=5 * GIB,
        memory_total_bytes=8 * GIB,
        started_at=now,
        last_seen_at=now - silent,
    )
    return worker


@pytest.fixture
def operator(transactional_db: None) -> str:
    UserFactory.create(username="olga", groups=["operator"])
    return "olga"


def test_the_page_follows_what_happens(page: Page, operator: str) -> None:
    worker = make_worker("training@gpu-1.example.org", silent=timedelta(minutes=5))
    sign_in(page, operator, PASSWORD)
    page.get_by_role("link", name="Workers").click()
    row = page.get_by_role("row", name="training@gpu-1.example.org")
    expect(row).to_contain_text("silent for")
    expect(row).to_contain_text("none")
    run = TrainingRunFactory.create(status=JobStatus.RUNNING, worker=f"{worker.name}:7")
    Worker.objects.update(last_seen_at=timezone.now() + timedelta(minutes=1))
    expect(row.get_by_role("link", name=f"Run {run.pk}")).to_be_visible()
    expect(row).to_contain_text("0 s ago")
    expect(row).not_to_contain_text("silent for")


def test_it_fits_a_telephone(phone: Page, operator: str) -> None:
    make_worker("training@a-rather-long-name.of-a-machine.in.some.data-centre.example.org")
    sign_in(phone, operator, PASSWORD)
    phone.goto("/workers/")
    expect(phone.locator("#workers-live")).to_contain_text("NVIDIA H200")
    assert not has_sideways_scroll(phone)
