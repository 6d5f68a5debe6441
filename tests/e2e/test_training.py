"""Training in a real browser: the whole journey with a real worker and engine, and the pages on every screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import Session, User
from classifier.models import Prediction
from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import OpenPage, has_sideways_scroll, sign_in
from tests.factories import (
    PASSWORD,
    DatasetFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    UserFactory,
    in_state,
    make_config,
    make_transfer_run,
)
from tests.fixtures import WorkerProcess
from tests.tiny_model import picture
from training.choices import JobStatus, ModelState, Reason
from training.models import DatasetImport, ModelVersion, TrainingRun

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WORK_MS = 240_000  # a worker, an engine and a browser may have to share the machine with others
SEEN_BY_ALL_MS = 2_000  # within which every web process answers with a new champion
REMEMBER_POINTS = """() => {
    window.sameDocument = true;
    window.points = [];
    const root = document.querySelector("[data-curves]");
    const note = () => window.points.push(Number(root.dataset.points));
    new MutationObserver(note).observe(root, { attributes: true, attributeFilter: ["data-points"] });
}"""


@pytest.fixture
def ada(artifacts_root: Path, transactional_db: None) -> User:
    ada: User = UserFactory.create(username="ada", is_superuser=True, is_staff=True)
    return ada


def import_the_demo(page: Page) -> None:
    """Let the worker draw the demo dataset, and arrive on its page's way to a run."""
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("link", name="Draw the demo dataset").click()
    expect(page.get_by_label("Name")).to_have_value("demo")
    expect(page.get_by_label("Archive", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("2,000 training and 400 test images are ready.")).to_be_visible(timeout=WORK_MS)
    page.get_by_role("link", name="Look at the dataset").click()
    strip = page.get_by_role("img", name="Pictures of the class star")
    strip.scroll_into_view_if_needed()
    expect(strip).to_have_js_property("naturalWidth", 270)
    page.get_by_role("link", name="Train on it").click()


def start_a_long_run_and_cancel_it(page: Page) -> None:
    """Ask for far too many epochs, see the run begin, and stop it."""
    page.get_by_label("Epochs", exact=True).fill("1001")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("Epochs is “1001”; allowed is a whole number from 1 to 1000.")).to_be_visible()
    page.get_by_label("Epochs", exact=True).fill("1000")
    page.get_by_label("Batch size").fill("100")
    page.get_by_text("More settings").click()
    page.get_by_label("Width").fill("0.0625")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#run-live")).to_have_attribute("data-state", "running", timeout=WORK_MS)
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", re.compile("[1-9]"), timeout=WORK_MS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_text("is being cancelled.")).to_be_visible()
    expect(page.locator("#run-live")).to_have_attribute("data-state", "cancelled", timeout=WORK_MS)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def train_and_watch(page: Page) -> None:
    """Repeat the run with six epochs and see the curve grow to the end, in one and the same document."""
    page.get_by_role("link", name="Repeat with changes").click()
    expect(page.get_by_label("Batch size")).to_have_value("100")
    page.get_by_label("Epochs", exact=True).fill("6")
    page.get_by_role("button", name="Start training").click()
    page.locator("[data-curves]").wait_for(state="attached")  # the run's page has come
    page.evaluate(REMEMBER_POINTS)
    expect(page.locator("#run-live")).to_have_attribute("data-state", "succeeded", timeout=WORK_MS)
    expect(page.locator("[data-curves]")).to_have_attribute("data-points", "6")
    points = page.evaluate("window.points")
    assert page.evaluate("window.sameDocument") is True
    assert points == sorted(set(points))
    assert len(points) >= 2, points
    expect(page.locator("[data-announcer]")).to_have_text(re.compile(r"^Run \d+: Succeeded$"))
    expect(page.get_by_role("heading", name="Result on the test images")).to_be_visible()
    page.get_by_role("region", name="Learning curves").get_by_text("The same as a table").click()
    expect(page.locator("#run-epochs tbody tr")).to_have_count(6)


def promote(page: Page) -> None:
    """Make the run's model the champion, although its classes are others."""
    page.get_by_role("link", name="Promote…").click()
    page.get_by_label("Yes, answer with these classes from now on").check()
    page.get_by_label("Why it shall answer").fill("The shapes are what we sort.")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text("now answers in place of")).to_be_visible()


@pytest.mark.integration
def test_the_whole_journey(page: Page, ada: User, celery_worker_process: WorkerProcess) -> None:
    old = ModelVersionFactory.create(state=ModelState.CHAMPION)
    sign_in(page, "ada", PASSWORD)
    import_the_demo(page)
    start_a_long_run_and_cancel_it(page)
    train_and_watch(page)
    promote(page)
    champion = ModelVersion.objects.champion()
    assert champion is not None
    assert champion.pk != old.pk
    assert champion.run == TrainingRun.objects.get(status=JobStatus.SUCCEEDED)

    page.wait_for_timeout(SEEN_BY_ALL_MS)
    page.get_by_role("link", name="Classify", exact=True).click()
    page.locator("#id_file").set_input_files(
        {"name": "drawing.png", "mimeType": "image/png", "buffer": picture(3, size=(64, 64))}
    )
    expect(page.locator(".answers .answer-meta")).to_contain_text(f"by model v{champion.pk}")
    assert Prediction.objects.get().class_key in champion.class_keys
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.locator(".history-row")).to_contain_text("drawing.png")
    expect(page.locator(".history-row")).to_contain_text(f"v{champion.pk}")


def test_the_page_stops_asking_when_the_run_has_ended(page: Page, ada: User) -> None:
    run = TrainingRunFactory.create(status=JobStatus.RUNNING, owner=ada, config=make_config(epochs=4))
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    expect(page.get_by_text("The first point appears at the end of the first epoch.").first).to_be_visible()
    EpochMetricFactory.create(run=run, epoch=1, train_loss=1.25)
    expect(page.locator("[data-series=train_loss]")).to_have_text("1.250")
    page.get_by_role("button", name="Cancel").focus()
    EpochMetricFactory.create(run=run, epoch=2, train_loss=0.5)
    expect(page.locator("[data-series=train_loss]")).to_have_text("0.500")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()

    TrainingRun.objects.update(**in_state(JobStatus.FAILED), reason=Reason.DIVERGED, detail="The loss is infinite.")
    expect(page.get_by_text("The loss is infinite.")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)
    assert asked == []


def test_the_curve_shows_the_values_under_the_pointer(page: Page, ada: User) -> None:
    run = TrainingRunFactory.create(status=JobStatus.CANCELLED, config=make_config(epochs=3))
    for epoch, loss in ((1, 2.0), (2, 1.5), (3, 1.25)):
        EpochMetricFactory.create(run=run, epoch=epoch, train_loss=loss, validation_loss=None)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    value, newest = page.locator("[data-series=train_loss]"), page.locator("[data-series-epoch]").first
    expect(value).to_have_text("1.250")
    expect(page.locator("[data-series=validation_loss]")).to_have_text("")
    chart = page.locator("[data-curve-kind=loss] .u-over")
    chart.hover(position={"x": 2, "y": 20})
    expect(value).to_have_text("2.000")
    expect(newest).to_have_text("epoch 1")
    page.mouse.move(0, 0)
    expect(newest).to_have_text("epoch 3")


def test_two_phases_follow_each_other_in_one_curve(page: Page, ada: User) -> None:
    run = make_transfer_run(status=JobStatus.CANCELLED)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    newest = page.locator("[data-series-epoch]").first
    expect(newest).to_have_text("phase 2, epoch 2")
    page.locator("[data-curve-kind=loss] .u-over").hover(position={"x": 2, "y": 20})
    expect(newest).to_have_text("phase 1, epoch 1")


def test_an_ended_session_leads_from_a_watched_run_to_the_login(page: Page, ada: User) -> None:
    run = TrainingRunFactory.create(status=JobStatus.RUNNING)
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    Session.objects.all().delete()
    expect(page).to_have_url(f"/accounts/login/?next=/training/{run.pk}/")


def test_the_lists_move_by_themselves(page: Page, ada: User) -> None:
    run = TrainingRunFactory.create(status=JobStatus.RUNNING, progress_total=100)
    job = DatasetImportFactory.create(status=JobStatus.RUNNING)
    sign_in(page, "ada", PASSWORD)
    page.goto("/training/")
    TrainingRun.objects.filter(pk=run.pk).update(progress_done=42)
    expect(page.locator("#run-list")).to_contain_text("42%")
    page.goto("/data/")
    expect(page.locator("#data-list")).to_contain_text("Running")
    DatasetImport.objects.filter(pk=job.pk).update(**in_state(JobStatus.FAILED), detail="cat/1.png is no image.")
    expect(page.locator("#data-list")).to_contain_text("cat/1.png is no image.")
    expect(page.locator("#data-list")).not_to_have_attribute("hx-get", re.compile(".*"))


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, tiny_dataset: Path, locale: str) -> None:
    phone = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True, locale=locale)
    name = "a-very-long-name-of-a-dataset-that-nobody-would-ever-type-twice"
    dataset = DatasetFactory.create(name=name, location=str(tiny_dataset))
    run = make_transfer_run(dataset=dataset, log_tail="x" * 500)
    control = TrainingRunFactory.create(dataset=dataset, status=JobStatus.SUCCEEDED, control_of=run)
    version = ModelVersionFactory.create(run=run)
    TrainingRun.objects.update(metrics=version.manifest["metrics"])
    EpochMetricFactory.create_batch(12, run=control)
    failed = TrainingRunFactory.create(
        status=JobStatus.FAILED, reason=Reason.ERROR, detail="no/space/in/this/path" * 20
    )
    job = DatasetImportFactory.create(status=JobStatus.FAILED, detail="train/cat/" + "x" * 300)
    other = ModelVersionFactory.create(state=ModelState.CHAMPION, class_keys=["circle", "square"])
    sign_in(phone, "ada", PASSWORD)
    paths = ["/training/", "/training/new/", *(f"/training/{it.pk}/" for it in (run, control, failed)), "/models/"]
    paths += [
        "/models/import/",
        f"/models/{version.pk}/",
        f"/models/{version.pk}/promote/",
        f"/models/{other.pk}/",
        "/data/",
    ]
    paths += [f"/data/{dataset.pk}/", "/data/new/", f"/data/imports/{job.pk}/"]
    wide = [path for path in paths if phone.goto(path) and has_sideways_scroll(phone)]
    assert wide == []


def test_the_colours_follow_the_theme_and_are_light_on_paper(open_page: OpenPage, ada: User) -> None:
    run = TrainingRunFactory.create(status=JobStatus.CANCELLED)
    EpochMetricFactory.create_batch(2, run=run)
    page = open_page(color_scheme="dark")
    sign_in(page, "ada", PASSWORD)
    page.goto(f"/training/{run.pk}/")
    canvas = page.locator("[data-curve-kind=loss] canvas")
    drawn = [canvas.element_handle(), canvas.evaluate("canvas => canvas.toDataURL()")]
    is_dark = "([canvas, dark]) => canvas.toDataURL() === dark"
    is_light = "([canvas, dark]) => canvas.toDataURL() !== dark"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(is_light, arg=drawn)
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(is_dark, arg=drawn)
    page.locator("[data-theme-button]").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.wait_for_function(is_light, arg=drawn)
