"""`manage.py preview_augmentations`: a picture, or one sentence."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from PIL import Image

from training.engine import preview


def test_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "draw_preview", lambda *, seed: Image.new("RGB", (seed, 5), "red"))
    output, out = tmp_path / "preview.png", StringIO()
    call_command("preview_augmentations", "--output", str(output), "--seed", "7", stdout=out)
    assert out.getvalue() == f"{output} is drawn.\n"
    with Image.open(output) as image:
        assert (image.format, image.size) == ("PNG", (7, 5))


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"allowed is a file whose name ends in \.png\."):
        call_command("preview_augmentations", "--output", str(tmp_path / "preview.jpg"))


def test_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "draw_preview", lambda *, seed: Image.new("RGB", (5, 5)))
    output = tmp_path / "nowhere" / "preview.png"
    with pytest.raises(CommandError) as caught:
        call_command("preview_augmentations", "--output", str(output))
    assert str(caught.value) == f"{output} cannot be written: No such file or directory."
