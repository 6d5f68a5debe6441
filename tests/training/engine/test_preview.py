"""The picture of the augmentations: a row each, drawn by the code that trains."""

from __future__ import annotations

import sys

import pytest
import torch

from training.engine.preview import ROWS, augment_row, draw_preview

IMAGES = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
DRAWN = [(label, changes) for label, changes in ROWS if label not in {"as stored", "Albumentations"}]


def test_first_row_shows_images_as_they_are() -> None:
    assert torch.equal(augment_row(IMAGES, dict(ROWS)["as stored"], seed=0), IMAGES)


@pytest.mark.parametrize(("label", "changes"), DRAWN)
def test_every_other_row_changes_some_image(label: str, changes: dict[str, bool | int | float | str]) -> None:
    changed = augment_row(IMAGES, changes, seed=0)
    assert (changed.shape, changed.dtype) == (IMAGES.shape, torch.uint8)
    assert not torch.equal(changed, IMAGES), label


def test_sheet_has_a_column_per_shape_and_a_row_per_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    sheet = draw_preview()
    assert (sheet.mode, sheet.size) == ("RGB", (210 + 10 * 70, 6 + len(ROWS) * 70))
    last_row = sheet.crop((210, sheet.height - 70, sheet.width, sheet.height))
    assert last_row.getcolors() == [(700 * 70, (255, 255, 255))]  # the package is not there, as its label says
    assert draw_preview().tobytes() == sheet.tobytes()
