"""The training loop: it learns, it tells, and it resumes from any step as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine.checkpoint import load_checkpoint, load_newest_checkpoint
from training.engine.config import TrainConfig
from training.engine.data import Dataset, Split, load_dataset, split_validation
from training.engine.device import Device, choose_device
from training.engine.evaluate import predict_logits
from training.engine.events import parse_line
from training.engine.exceptions import CheckpointError, DivergedError
from training.engine.fit import StopRequested, Trainer
from training.engine.networks import WhitenedCnn


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep to one thread: images so few gain nothing from more, and bit-identity holds for equal numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("fit") / "data"))


@pytest.fixture(scope="module")
def config(dataset: Dataset) -> TrainConfig:
    return tiny_config(dataset.path)


def make_trainer(config: TrainConfig, dataset: Dataset, workdir: Path, *, stop_after: int | None = None) -> Trainer:
    """Build a trainer that is told to stop once it has taken `stop_after` steps."""
    trainer = Trainer(config=config, dataset=dataset, device=choose_device(config.precision), workdir=workdir)
    if stop_after is not None:
        trainer.is_stopping = lambda: trainer.position.step >= stop_after
    return trainer


def events_of(capsys: pytest.CaptureFixture[str], name: str) -> list[dict[str, Any]]:
    events = (parse_line(line) for line in capsys.readouterr().out.splitlines())
    return [dict(event) for event in events if event is not None and event["event"] == name]


def final_state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return everything that training changes."""
    trainer.save()
    return dict(load_checkpoint(trainer.last_checkpoint).tensors) if trainer.last_checkpoint else {}


def assert_identical(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def uninterrupted(config: TrainConfig, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    trainer = make_trainer(config, dataset, tmp_path_factory.mktemp("uninterrupted"))
    trainer.train()
    return final_state(trainer)


def test_three_colours_are_learned(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_trainer(tiny_config(dataset.path, epochs=6), dataset, tmp_path).train()
    epochs = events_of(capsys, "epoch_end")
    assert [(event["epoch"], event["step"]) for event in epochs] == [(n, 4 * n) for n in range(1, 7)]
    assert epochs[-1]["train_accuracy"] > 0.9
    assert epochs[-1]["validation_accuracy"] == 1.0
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert epochs[-1]["learning_rate"] == pytest.approx(0.12 / 24)


def test_start_is_announced(
    config: TrainConfig, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StopRequested):
        make_trainer(config, dataset, tmp_path, stop_after=0).train()
    (started,) = events_of(capsys, "started")
    assert (started["epochs"], started["steps_per_epoch"], started["total_steps"]) == (2, 4, 8)
    assert (started["device"], started["resumed_from_step"]) == ("cpu", 0)
    assert started["trainable_parameters"] < started["total_parameters"]


def test_steps_are_announced_at_most_once_a_second(
    config: TrainConfig,
    dataset: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks: Iterator[float] = (0.3 * n for n in range(10_000))  # every look at the clock takes 0.3 s
    monkeypatch.setattr("training.engine.fit.time.monotonic", lambda: next(ticks))
    make_trainer(config, dataset, tmp_path).train()
    steps = events_of(capsys, "step")
    assert [event["step"] for event in steps] == sorted({event["step"] for event in steps})
    assert 1 <= len(steps) < 8
    assert all(event["images_per_second"] > 0 and event["loss"] > 0 for event in steps)


def test_checkpoint_of_every_epoch_is_announced(
    config: TrainConfig, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(config, dataset, tmp_path).train()
    announced = events_of(capsys, "checkpoint")
    assert [(event["epoch"], event["path"]) for event in announced] == [
        (1, "checkpoints/step-00000004"),
        (2, "checkpoints/step-00000008"),
    ]
    assert load_checkpoint(tmp_path / announced[-1]["path"]).sha256 == announced[-1]["sha256"]


@pytest.mark.parametrize("stop_after", [1, 3, 4, 6])
def test_resumed_run_is_identical_to_the_last_bit(
    config: TrainConfig, dataset: Dataset, tmp_path: Path, uninterrupted: dict[str, Any], stop_after: int
) -> None:
    with pytest.raises(StopRequested) as stopped:
        make_trainer(config, dataset, tmp_path, stop_after=stop_after).train()
    assert stopped.value.step == stop_after
    assert stopped.value.checkpoint == tmp_path / f"checkpoints/step-{stop_after:08d}"
    torch.manual_seed(99)  # the global generator must not matter
    resumed = make_trainer(config, dataset, tmp_path)
    resumed.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    assert resumed.position.step == stop_after
    resumed.train()
    assert_identical(final_state(resumed), uninterrupted)


def test_resumed_epoch_reports_all_its_images(
    config: TrainConfig, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(config, dataset, tmp_path / "whole").train()
    whole = events_of(capsys, "epoch_end")[0]
    with pytest.raises(StopRequested):
        make_trainer(config, dataset, tmp_path, stop_after=2).train()
    resumed = make_trainer(config, dataset, tmp_path)
    resumed.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    resumed.train()
    first = events_of(capsys, "epoch_end")[0]
    assert {key: first[key] for key in first if key != "seconds"} == {
        key: whole[key] for key in whole if key != "seconds"
    }


def test_other_seed_is_another_run(dataset: Dataset, tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    trainer = make_trainer(tiny_config(dataset.path, seed=1), dataset, tmp_path)
    trainer.train()
    assert not torch.equal(final_state(trainer)["network.head.weight"], uninterrupted["network.head.weight"])


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 3}, {"learning_rate": 0.2}])
def test_checkpoint_of_another_configuration_is_refused(
    config: TrainConfig, dataset: Dataset, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(StopRequested):
        make_trainer(config, dataset, tmp_path, stop_after=1).train()
    other = make_trainer(tiny_config(dataset.path, **change), dataset, tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another configuration or dataset"):
        other.restore(load_newest_checkpoint(tmp_path / "checkpoints"))


def test_checkpoint_continues_where_the_dataset_has_moved(
    config: TrainConfig, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StopRequested):
        make_trainer(config, dataset, tmp_path, stop_after=1).train()
    moved = make_trainer(TrainConfig.from_dict({**config.to_dict(), "dataset": "elsewhere"}), dataset, tmp_path)
    moved.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    assert moved.position.step == 1


def test_loss_that_is_not_finite_stops_the_run_without_a_checkpoint(
    config: TrainConfig, dataset: Dataset, tmp_path: Path
) -> None:
    trainer = make_trainer(config, dataset, tmp_path)
    assert isinstance(trainer.network, WhitenedCnn)
    with torch.no_grad():
        trainer.network.head.weight[0, 0] = float("nan")
    with pytest.raises(DivergedError, match="The training loss stopped being a finite number before step 4"):
        trainer.train()
    assert not (tmp_path / "checkpoints").exists()


def test_validation_images_are_set_apart_and_never_augmented(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tiny_config(dataset.path, epochs=1, cutout=8, crop_padding=4), dataset, tmp_path)
    labels = dataset.train.labels
    training, validation = split_validation(labels, class_count=3, fraction=0.1, seed=0)
    assert torch.bincount(labels[validation]).tolist() == [2, 2, 2]
    assert torch.equal(trainer.train_split.images, dataset.train.images[training])
    measured: list[Split] = []

    def measure(network: nn.Module, split: Split, *, device: Device) -> torch.Tensor:
        measured.append(split)
        return predict_logits(network, split, device=device)

    monkeypatch.setattr("training.engine.fit.predict_logits", measure)
    trainer.train()
    [split] = measured
    assert torch.equal(split.images, dataset.train.images[validation])
    assert torch.equal(split.labels, labels[validation])


def test_run_without_validation_reports_none(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(tiny_config(dataset.path, epochs=1, validation_fraction=0.0), dataset, tmp_path).train()
    (epoch,) = events_of(capsys, "epoch_end")
    assert (epoch["validation_loss"], epoch["validation_accuracy"]) == (None, None)


def test_batch_is_never_larger_than_the_data(dataset: Dataset, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_config(dataset.path, batch_size=8192), dataset, tmp_path)
    assert (trainer.batch_size, trainer.steps_per_epoch) == (len(trainer.train_split), 1)


def test_whitening_bias_learns_only_in_its_epochs(dataset: Dataset, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_config(dataset.path), dataset, tmp_path, stop_after=4)
    assert isinstance(trainer.network, WhitenedCnn)
    with pytest.raises(StopRequested):
        trainer.train()
    after_first = trainer.network.whitening_bias.detach().clone()
    trainer.is_stopping = lambda: False
    trainer.train()
    assert not torch.equal(after_first, torch.zeros(24))
    assert torch.equal(trainer.network.whitening_bias, after_first)


def test_a_timm_network_with_dropout_resumes_to_the_last_bit(dataset: Dataset, tmp_path: Path) -> None:
    config = tiny_config(
        dataset.path, architecture="test_resnet", width_multiplier=1.0, stem="imagenet", dropout=0.5, epochs=1
    )
    whole = make_trainer(config, dataset, tmp_path / "whole")
    whole.train()
    with pytest.raises(StopRequested):
        make_trainer(config, dataset, tmp_path, stop_after=2).train()
    torch.manual_seed(99)  # the global generator's state must not matter
    resumed = make_trainer(config, dataset, tmp_path)
    resumed.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    resumed.train()
    assert_identical(final_state(resumed), final_state(whole))
