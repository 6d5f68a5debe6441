"""Pictures in a real browser: dropped, pasted, picked; answered, kept, judged; in French, in the dark, by keyboard."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from cifarsite.accounts.models import Session, User
from classifier.models import Prediction
from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import OpenPage, PageLog, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, PredictionFactory, UserFactory
from tests.tiny_model import picture, register_version
from training.choices import ModelState
from training.models import ModelVersion

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHIP, FROG = 8, 6


@pytest.fixture
def champion(transactional_db: None) -> ModelVersion:
    return register_version(state=ModelState.CHAMPION)


@pytest.fixture
def ada(champion: ModelVersion) -> User:
    user: User = UserFactory.create(username="ada", groups=["user"])
    return user


def file_of(name: str, colour: int = SHIP, *, data: bytes | None = None) -> FilePayload:
    content = picture(colour, size=(320, 240)) if data is None else data
    return {"name": name, "mimeType": "image/png", "buffer": content}


def carry(page: Page, *files: FilePayload) -> Any:
    """Return a DataTransfer with the files, as a drag or the clipboard carries them."""
    described = [
        {"name": f["name"], "type": f["mimeType"], "data": base64.b64encode(f["buffer"]).decode()} for f in files
    ]
    return page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const { name, type, data } of files) {
                const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
            }
            return transfer;
        }""",
        described,
    )


def test_a_picture_is_answered_in_place_kept_and_judged(page: Page, ada: User, champion: ModelVersion) -> None:
    page.goto("/")
    expect(page).to_have_url("/accounts/login/?next=/")
    sign_in(page, "ada", PASSWORD)
    page.locator("#id_file").set_input_files(file_of("harbour.png"))

    answer = page.locator(".answers .answer")
    expect(answer.locator(".answer-class")).to_have_text("ship")
    expect(answer.locator(".bars > li")).to_have_count(10)
    expect(answer.locator(".answer-meta")).to_contain_text(f"by model v{champion.pk}")
    expect(page.locator("[data-announcements]")).to_have_text("harbour.png: ship, 99.9%.")
    expect(page.locator(".answers img").first).not_to_have_js_property("naturalWidth", 0)

    answer.get_by_role("button", name="Yes").click()
    expect(answer.locator(".feedback-said")).to_have_text("You said: ship.")
    expect(answer.locator(".feedback-said")).to_be_focused()
    assert Prediction.objects.get().label_key == "ship"

    page.get_by_role("link", name="History").first.click()
    row = page.locator(".history-row")
    expect(row).to_contain_text("harbour.png")
    expect(row.locator(".chip-good")).to_have_text("right")
    row.click()
    expect(page).to_have_url(f"/history/{Prediction.objects.get().pk}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("harbour.png")

    page.locator(".feedback-other summary").click()
    page.get_by_role("button", name="frog").click()
    expect(page.locator(".feedback-said")).to_have_text("You said: frog.")

    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    assert not Prediction.objects.exists()


def test_several_pictures_are_answered_in_turn(page: Page, ada: User, page_log: PageLog) -> None:
    page_log.expect("status of 415")
    sign_in(page, "ada", PASSWORD)
    files = [file_of("a.png", SHIP), file_of("no-picture.png", data=b"text"), file_of("b.png", FROG)]
    page.locator("#id_file").set_input_files(files)
    expect(page.locator(".answers > .answer:not(.is-pending)")).to_have_count(2)
    expect(page.locator(".answers > *").nth(0)).to_contain_text("ship")
    expect(page.locator(".answers > *").nth(1)).to_contain_text("no-picture.png")
    expect(page.locator(".answers > *").nth(1)).to_have_class("answer-problem notice notice-error")
    expect(page.locator(".answers > *").nth(2)).to_contain_text("frog")
    assert [made.file_name for made in Prediction.objects.order_by("pk")] == ["a.png", "b.png"]


def test_pictures_are_dropped_anywhere_or_pasted(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    transfer = carry(page, file_of("dropped.png", FROG))
    page.dispatch_event("main", "dragover", {"dataTransfer": transfer})
    expect(page.locator("[data-drop]")).to_have_class("drop is-over")
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    expect(page.locator(".answer-class")).to_have_text("frog")
    expect(page.locator("[data-drop]")).to_have_class("drop")

    page.evaluate(
        "transfer => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer }))",
        carry(page, file_of("pasted.png", SHIP)),
    )
    expect(page.locator(".answers .answer:not(.is-pending)")).to_have_count(2)
    expect(page.locator(".answer-class")).to_have_text(["ship", "frog"])


def test_a_lost_connection_is_said_and_the_picture_can_be_tried_again(page: Page, ada: User, page_log: PageLog) -> None:
    page_log.expect("ERR_INTERNET_DISCONNECTED")
    sign_in(page, "ada", PASSWORD)
    page.context.set_offline(True)
    page.locator("#id_file").set_input_files(file_of("harbour.png"))
    expect(page.locator(".answer-problem")).to_contain_text("The server could not be reached.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer-class")).to_have_text("ship")


def test_an_ended_session_leads_to_the_login_and_back(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    Session.objects.all().delete()
    page.locator("#id_file").set_input_files(file_of("harbour.png"))
    expect(page).to_have_url("/accounts/login/?next=/")
    assert not Prediction.objects.exists()


def test_a_picture_that_is_too_large_is_not_even_sent(page: Page, ada: User, settings: Any) -> None:
    settings.IMAGE_MAX_BYTES = 2000
    sign_in(page, "ada", PASSWORD)
    page.locator("#id_file").set_input_files(file_of("huge.png", data=b"x" * 2001))
    expect(page.locator(".answer-problem")).to_contain_text("The picture is larger than")


def test_without_a_model_the_page_says_so(page: Page, ada: User, page_log: PageLog) -> None:
    page_log.expect("status of 503")
    ModelVersion.objects.all().delete()
    sign_in(page, "ada", PASSWORD)
    expect(page.get_by_text("No model answers yet.")).to_be_visible()
    page.locator("#id_file").set_input_files(file_of("harbour.png"))
    expect(page.locator(".answer-problem")).to_contain_text("No model is ready to answer yet.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_everything_speaks_french(open_page: OpenPage, ada: User) -> None:
    page = open_page(locale="fr-FR")
    sign_in(page, "ada", PASSWORD)
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    page.locator("#id_file").set_input_files(file_of("port.png"))
    expect(page.locator(".answer-class")).to_have_text("Navire")
    expect(page.locator(".answer-confidence")).to_have_text("99,9\N{NARROW NO-BREAK SPACE}%")
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("button", name="Français").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Que montre l’image\N{NARROW NO-BREAK SPACE}?")


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: OpenPage, ada: User) -> None:
    page = open_page(color_scheme="dark")
    sign_in(page, "ada", PASSWORD)
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.locator("[data-theme-button]").click()
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.locator("[data-theme-button]").click()
    expect(root).to_have_attribute("data-theme-choice", "dark")
    page.locator("[data-theme-button]").click()
    expect(root).to_have_attribute("data-theme-choice", "auto")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-bs-theme", "light")


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_a_telephone_never_scrolls_sideways(open_page: OpenPage, ada: User, locale: str) -> None:
    phone = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True, locale=locale)
    made = PredictionFactory.create(
        owner=ada,
        model_version=ModelVersion.objects.get(),
        file_name="a-very-long-name-without-any-space-" * 5 + ".png",
        out_of_distribution=True,
        label_key="ship",
    )
    sign_in(phone, "ada", PASSWORD)
    paths = ["/", "/history/", f"/history/{made.pk}/", f"/history/{made.pk}/delete/", "/accounts/password/change/"]
    for path in [*paths, "/accounts/email/", "/history/?class_key=frog"]:
        phone.goto(path)
        assert not has_sideways_scroll(phone), path
    phone.goto("/")
    expect(phone.locator(".picker-camera")).to_be_visible()
    phone.locator(".navbar-toggler").click()
    phone.locator("#site-nav a[href='/history/']").click()
    expect(phone).to_have_url("/history/")


def test_the_keyboard_is_enough(page: Page, ada: User) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files(file_of("harbour.png")))
    page.goto("/accounts/login/")
    page.locator("input[name=login]").focus()
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url("/")
    page.wait_for_load_state()

    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#id_file")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".answer-class")).to_have_text("ship")

    yes = page.get_by_role("button", name="Yes")
    for _ in range(4):
        page.keyboard.press("Tab")
        if yes.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".feedback-said")).to_be_focused()
    assert Prediction.objects.get().label_key == "ship"


def test_the_site_works_without_javascript(open_page: OpenPage, ada: User) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, "ada", PASSWORD)
    page.locator("#id_file").set_input_files([file_of("a.png", SHIP), file_of("b.png", FROG)])
    page.locator("main").get_by_role("button", name="Classify").click()
    expect(page.locator(".answer-class")).to_have_text(["ship", "frog"])
    page.get_by_role("button", name="Yes").first.click()
    expect(page.get_by_text("Thank you: noted as “ship”.")).to_be_visible()


def test_moments_are_told_in_the_readers_time_zone(open_page: OpenPage, ada: User) -> None:
    PredictionFactory.create(owner=ada, model_version=ModelVersion.objects.get())
    page = open_page(timezone_id="Asia/Tokyo", locale="en-GB")
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/")
    moment = page.locator("time")
    shown = page.evaluate(
        "m => new Intl.DateTimeFormat('en', {dateStyle: 'medium', timeStyle: 'short'}).format(new Date(m))",
        moment.get_attribute("datetime"),
    )
    expect(moment).to_have_text(shown)
    assert "UTC" not in shown
