"""The Learn page in a real browser: the playground mixes exactly as training does, by pointer and by keyboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage, PageLog
from tests.tiny_model import COLOURS, picture
from training.engine.mix import Mix, mix_images, mix_labels, own_share, place_box

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CAT, SHIP = 3, 8
WEIGHTS = (0.0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 0.99, 1.0)
CENTERS = ((0, 0), (0, 31), (31, 0), (31, 31), (16, 12), (5, 30), (15, 15))
READ_CANVAS = """name => Array.from(
    document.querySelector(`[data-canvas=${name}]`).getContext("2d").getImageData(0, 0, 32, 32).data
)"""


@pytest.fixture
def learn(page: Page) -> Page:
    page.goto("/learn/")
    page.locator("[data-playground][data-ready]").wait_for()
    return page


def call(page: Page, function: str, *arguments: Any) -> Any:
    """Call a function of the page's own module."""
    script = "async ([name, given]) => (await import('/static/js/mix.js'))[name](...given)"
    return page.evaluate(script, [function, list(arguments)])


def read_canvas(page: Page, name: str) -> NDArray[np.uint8]:
    """Return (32, 32, 3) pixels."""
    return np.array(page.evaluate(READ_CANVAS, name), dtype=np.uint8).reshape(32, 32, 4)[..., :3]


def mix_by_engine(own: NDArray[np.uint8], partner: NDArray[np.uint8], mix: Mix) -> NDArray[np.uint8]:
    """Let the engine mix a batch of the two, as double precision, and round as images are stored."""
    batch = torch.from_numpy(np.stack([own, partner])).permute(0, 3, 1, 2).double()
    mixed: NDArray[np.uint8] = mix_images(batch, mix)[0].round().byte().permute(1, 2, 0).numpy()
    return mixed


def pair(weight: float, box: tuple[int, int, int, int] | None = None) -> Mix:
    return Mix(order=torch.tensor([1, 0]), weight=weight, box=box)


def test_boxes_and_shares_are_the_engines(learn: Page) -> None:
    for size in (32, 24, 7):
        for weight in WEIGHTS:
            for row, column in CENTERS:
                box = place_box(weight, center=(row, column), size=size)
                assert tuple(call(learn, "placeBox", weight, [row, column], size)) == box
                assert call(learn, "ownShare", list(box), size) == own_share(box, size=size)


def test_pixels_are_the_engines(learn: Page) -> None:
    """Shares that are sums of powers of two leave nothing to rounding: every value has to agree to the last bit."""
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(2, 3, 8, 8))).double()
    own, partner = (image.permute(1, 2, 0).flatten().tolist() for image in images)
    for weight in (0.0, 0.25, 0.40625, 0.5, 0.8125, 1.0):
        blended = mix_images(images, pair(weight))[0].permute(1, 2, 0).flatten().tolist()
        assert call(learn, "blend", own, partner, weight) == blended
    for weight, center in ((0.75, (4, 4)), (0.1, (0, 7)), (1.0, (3, 3)), (0.0, (4, 4))):
        box = place_box(weight, center=center, size=8)
        pasted = mix_images(images, pair(own_share(box, size=8), box))[0].permute(1, 2, 0).flatten().tolist()
        assert call(learn, "paste", own, partner, list(box), 8) == pasted


@pytest.mark.parametrize(("own", "partner"), [(CAT, SHIP), (SHIP, SHIP)])
def test_labels_are_the_engines(learn: Page, own: int, partner: int) -> None:
    for weight in (0.0, 0.25, 0.609375, 1.0):
        expected = mix_labels(torch.tensor([own, partner]), pair(weight), class_count=10)[0].tolist()
        assert call(learn, "mixLabels", own, partner, weight, 10) == expected


def test_mixup_draws_what_training_would_see(learn: Page) -> None:
    learn.get_by_label("λ, what remains of the first").fill("0.25")
    expected = mix_by_engine(read_canvas(learn, "own"), read_canvas(learn, "partner"), pair(0.25))
    np.testing.assert_array_equal(read_canvas(learn, "mixed"), expected)
    expect(learn.locator("[data-sum]")).to_have_text("λ = 0.25: 25% and 75% of each pixel.")
    assert learn.locator("[data-bars] .bar-value").all_text_contents() == [
        {CAT: "0.25", SHIP: "0.75"}.get(index, "0.00") for index in range(10)
    ]
    expect(learn.locator("[data-announcement]")).to_have_text("Mixed label: 0.25 cat, 0.75 ship.")


def test_cutmix_corrects_the_share_of_a_square_that_is_cut_off(learn: Page) -> None:
    learn.get_by_label("CutMix", exact=True).check()
    learn.get_by_label("λ, what remains of the first").fill("0.75")
    learn.get_by_label("Middle of the square, across").fill("31")
    learn.get_by_label("Middle of the square, down").fill("0")
    box = place_box(0.75, center=(0, 31), size=32)
    share = own_share(box, size=32)
    assert (box, share) == ((0, 23, 8, 32), 0.9296875)
    expected = mix_by_engine(read_canvas(learn, "own"), read_canvas(learn, "partner"), pair(share, box))
    np.testing.assert_array_equal(read_canvas(learn, "mixed"), expected)
    text = "Rows 0 to 7, columns 23 to 31: 72 of 1,024 pixels. λ = 1 − 72 ÷ 1,024 = 0.9297."
    expect(learn.locator("[data-sum]")).to_have_text(text)
    expect(learn.locator("[data-bars] .is-first .bar-value")).to_have_text("0.93")


def test_a_click_places_the_square(learn: Page) -> None:
    learn.get_by_label("CutMix", exact=True).check()
    canvas = learn.locator("[data-canvas=mixed]")
    width = canvas.evaluate("canvas => canvas.clientWidth")
    canvas.click(position={"x": width * 0.76, "y": width * 0.26})
    expect(learn.get_by_label("Middle of the square, across")).to_have_value("24")
    expect(learn.get_by_label("Middle of the square, down")).to_have_value("8")


def test_the_keyboard_is_enough(learn: Page) -> None:
    learn.get_by_label("MixUp", exact=True).focus()
    learn.keyboard.press("ArrowRight")
    expect(learn.get_by_label("CutMix", exact=True)).to_be_checked()
    learn.keyboard.press("Tab")
    expect(learn.get_by_label("λ, what remains of the first")).to_be_focused()
    learn.keyboard.press("Home")
    learn.keyboard.press("Tab")
    learn.keyboard.press("ArrowLeft")
    expect(learn.get_by_label("Middle of the square, across")).to_have_value("15")
    expect(learn.locator("[data-sum]")).to_have_text(
        "Rows 0 to 27, columns 0 to 30: 868 of 1,024 pixels. λ = 1 − 868 ÷ 1,024 = 0.1523."
    )


def test_a_picture_of_ones_own_is_mixed_here_and_sent_nowhere(learn: Page) -> None:
    sent: list[str] = []
    learn.on("request", lambda request: sent.append(request.url))
    own = learn.locator("[data-picture=own]")
    file = {"name": "own.png", "mimeType": "image/png", "buffer": picture(1, size=(90, 64))}
    own.get_by_label("Your own picture").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
    learn.wait_for_function(f"({READ_CANVAS})('own').slice(0, 3).join() === '{','.join(map(str, COLOURS[1]))}'")
    assert np.unique(read_canvas(learn, "own").reshape(-1, 3), axis=0).tolist() == [list(COLOURS[1])]
    own.get_by_label("Class").select_option(label="truck")
    assert read_canvas(learn, "own")[0, 0].tolist() == list(COLOURS[1])  # its label changes, not the picture
    expect(learn.locator("[data-bars] li").last.locator(".bar-value")).to_have_text("0.60")
    broken = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"}
    own.get_by_label("Your own picture").set_input_files(broken)  # type: ignore[arg-type]
    expect(own.get_by_role("alert")).to_have_text("This file is no picture that your browser can show.")
    assert [address for address in sent if not address.startswith("blob:")] == []


def test_the_supplied_picture_comes_back(learn: Page) -> None:
    supplied = read_canvas(learn, "own")
    own = learn.locator("[data-picture=own]")
    back = own.get_by_role("button", name="Take the supplied picture again")
    expect(back).to_be_hidden()
    file = {"name": "own.png", "mimeType": "image/png", "buffer": picture(1)}
    own.get_by_label("Your own picture").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
    expect(back).to_be_visible()
    assert read_canvas(learn, "own")[0, 0].tolist() == list(COLOURS[1])
    back.click()
    expect(own.get_by_label("Class")).to_be_focused()
    expect(back).to_be_hidden()
    np.testing.assert_array_equal(read_canvas(learn, "own"), supplied)
    expected = mix_by_engine(supplied, read_canvas(learn, "partner"), pair(0.6))
    assert np.abs(read_canvas(learn, "mixed").astype(int) - expected).max() <= 1
    own.get_by_label("Your own picture").set_input_files(file)  # type: ignore[arg-type]  # the same one again
    expect(back).to_be_visible()


def test_pictures_that_do_not_load_are_told(page: Page, page_log: PageLog) -> None:
    page_log.expect("classes.png")  # that it could not be loaded
    page.route("**/img/classes*.png", lambda route: route.fulfill(body="no picture", content_type="image/png"))
    page.goto("/learn/")
    page.locator("[data-playground][data-ready]").wait_for()
    expect(page.get_by_role("alert")).to_have_text(
        "The supplied pictures could not be loaded. Load the page again, or choose pictures of your own."
    )
    for side in ("own", "partner"):
        file = {"name": "own.png", "mimeType": "image/png", "buffer": picture(1)}
        page.locator(f"#playground-{side}-file").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
        expect(page.locator(f"[data-picture={side}] [data-supplied]")).to_be_visible()
    assert read_canvas(page, "mixed")[5, 5].tolist() == list(COLOURS[1])


def test_it_speaks_french(open_page: OpenPage) -> None:
    page = open_page(locale="fr-FR")
    page.goto("/learn/")
    expect(page.locator("[data-sum]")).to_contain_text("λ = 0,60")
    expect(page.locator("[data-announcement]")).to_contain_text("0,60 Chat, 0,40 Navire.")


def test_it_can_be_read_without_scripts(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto("/learn/")
    expect(page.get_by_text("The playground that belongs here needs JavaScript.")).to_be_visible()
    expect(page.locator("[data-playground]")).to_be_hidden()
    expect(page.get_by_role("img", name="Test accuracy by time of training")).to_be_visible()
    page.get_by_text("Its 21 choices").click()
    expect(page.get_by_text("Share of the target spread over all classes.").first).to_be_visible()
