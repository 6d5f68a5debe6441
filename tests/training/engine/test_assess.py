"""Which images an assessment uses for what."""

from __future__ import annotations

import pytest
import torch

from training.engine import assess
from training.engine.assess import gather_material
from training.engine.data import Split


def split(labels: list[int]) -> Split:
    """Return a split whose images tell their position."""
    positions = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    return Split(images=positions.expand(-1, 32, 32, 3), labels=torch.tensor(labels, dtype=torch.int64))


def positions(of: Split) -> list[int]:
    return of.images[:, 0, 0, 0].tolist()


def gather(training: Split, validation: Split) -> assess.Material:
    return gather_material(
        class_keys=["a", "b"], test=split([0, 1]), training=training, validation=validation, copies=[]
    )


def test_no_class_gives_more_than_its_part_of_the_learnt_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assess, "LEARNT_IMAGE_COUNT", 4)
    material = gather(split([1, 0, 0, 0, 1]), split([1, 0]))
    assert positions(material.learnt) == [1, 2, 0, 4]
    assert (positions(material.held_out), material.held_out_from) == ([0, 1], "validation")


def test_training_images_calibrate_where_none_were_set_aside() -> None:
    material = gather(split([0, 1, 0]), split([]))
    assert (positions(material.held_out), material.held_out_from) == ([0, 1, 2], "train")
