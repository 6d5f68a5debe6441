"""Which images an assessment uses for what."""

from __future__ import annotations

import pytest
import torch

from training.engine import assess, evaluate, progress
from training.engine.assess import STAGES, assess_network, gather_material
from training.engine.data import Split
from training.engine.networks import build_network


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


def test_every_stage_is_told_again_while_it_lasts_and_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "EVALUATION_BATCH_SIZE", 2)
    monkeypatch.setattr(progress, "REPEAT_SECONDS", 0.0)
    network = build_network("whitened_cnn", class_count=2, mean=[0.5] * 3, std=[0.2] * 3, width_multiplier=0.0625)
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    few = Split(images=images, labels=torch.arange(4) % 2)
    material = gather_material(class_keys=["a", "b"], test=few, training=few, validation=few, copies=[])
    told: list[int] = []
    assess_network(
        network.eval(),
        material=material,
        augments_at_test_time=True,
        on_stage=lambda stage, _name: told.append(stage),
    )
    batches = [told.count(stage) - 1 for stage in range(len(STAGES))]
    assert told == sorted(told)
    assert batches[:2] == [2, 2 + 6 * 2]  # the test images once as they are and in six views
    assert batches[2] >= 4  # learnt and foreign ones

    def stop(stage: int, _name: str) -> None:
        told.append(stage)
        if told.count(1) > 1:
            raise InterruptedError

    told.clear()
    with pytest.raises(InterruptedError):
        assess_network(network, material=material, augments_at_test_time=False, on_stage=stop)
    assert told == [0, 0, 0, 1, 1]
