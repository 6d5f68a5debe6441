"""The training loop: it learns, it tells, and it resumes from any step as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine.augment import (
    alternate_flips,
    crop_and_flip,
    cut_out,
    draw_corners,
    draw_first_flips,
    to_float,
)
from training.engine.checkpoint import load_checkpoint, load_newest_checkpoint
from training.engine.config import TrainConfig
from training.engine.data import Dataset, Split, load_dataset, split_validation
from training.engine.device import Device, choose_device
from training.engine.evaluate import predict_logits
from training.engine.events import parse_line
from training.engine.exceptions import CheckpointError, DivergedError
from training.engine.fit import StopRequested, Trainer
from training.engine.networks import WhitenedCnn
from training.engine.optim import Muon
from training.engine.position import Validation
from training.engine.seed import make_generator


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


def compact_network(trainer: Trainer) -> WhitenedCnn:
    assert isinstance(trainer.network, WhitenedCnn)
    return trainer.network


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
    assert (epochs[-1]["validation_accuracy"], epochs[-1]["f1_macro"]) == (1.0, 1.0)
    assert {(event["phase"], event["images"]) for event in epochs} == {(0, 64)}
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


def test_a_run_that_is_extended_ends_like_one_that_was_as_long_from_the_start(dataset: Dataset, tmp_path: Path) -> None:
    """With schedules that do not depend on the length."""
    steady = {"schedule": "step", "step_epochs": 1, "start_crop_size": 32, "full_size_from": 0.0}
    whole = make_trainer(tiny_config(dataset.path, epochs=3, **steady), dataset, tmp_path / "whole")
    whole.train()
    make_trainer(tiny_config(dataset.path, epochs=2, **steady), dataset, tmp_path).train()
    extended = make_trainer(tiny_config(dataset.path, epochs=3, **steady), dataset, tmp_path)
    extended.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    assert extended.position.step == 8
    extended.train()
    assert_identical(final_state(extended), final_state(whole))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 1}, {"learning_rate": 0.2}])
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


def test_validation_loss_that_is_not_finite_stops_the_run_before_it_is_compared(
    config: TrainConfig, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(config, dataset, tmp_path)
    monkeypatch.setattr(trainer, "_validate", lambda: Validation(loss=float("nan"), accuracy=0.1, f1_macro=0.1))
    with pytest.raises(DivergedError, match="The validation loss is not a finite number after step 4"):
        trainer.train()
    assert trainer.selection.epochs_run == 0
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

    def measure(network: nn.Module, split: Split, *, device: Device, on_batch: Callable[[], None]) -> torch.Tensor:
        on_batch()
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
    assert (epoch["validation_loss"], epoch["validation_accuracy"], epoch["f1_macro"]) == (None, None, None)


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
        dataset.path,
        architecture="test_resnet",
        width_multiplier=1.0,
        stem="imagenet",
        dropout=0.5,
        optimizer="adamw",
        learning_rate=0.01,
        epochs=1,
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


STATEFUL: dict[str, dict[str, object]] = {
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine", "warmup_epochs": 0.5},
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "schedule": "one_cycle"},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "step", "step_epochs": 1, "gradient_clip": 0.5},
    "layer_decay": {
        "architecture": "test_resnet",
        "width_multiplier": 1.0,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "layer_decay": 0.5,
        "warmup_epochs": 0.5,
    },
    "muon_adamw": {"optimizer": "muon_adamw", "bias_learning_rate": 0.01, "head_learning_rate": 0.01},
    "average": {"ema_decay": 0.7},
    "best": {"tested_weights": "best", "ema_decay": 0.5},
    "plateau": {"schedule": "plateau", "plateau_patience": 1, "min_delta": 1.0, "decay_factor": 0.1},
    "parts": {"accumulation_steps": 3},
    "float16": {"precision": "float16"},
    "mix": {"mixup_probability": 0.5, "cutmix_probability": 0.5},
    "augmentation": {"flip_mode": "random", "color_jitter": 0.4, "erasing_probability": 0.5, "crop_fill": "zero"},
}


@pytest.mark.parametrize("name", STATEFUL)
def test_every_state_survives_an_interruption_to_the_last_bit(name: str, dataset: Dataset, tmp_path: Path) -> None:
    config = tiny_config(dataset.path, **{"epochs": 3, **STATEFUL[name]})
    whole = make_trainer(config, dataset, tmp_path / "whole")
    whole.train()
    for stop_after in (3, 6, 8):  # within the first epoch, within the second, and at its end
        trainer = make_trainer(config, dataset, tmp_path / "work", stop_after=stop_after)
        if stop_after > 3:
            trainer.restore(load_newest_checkpoint(tmp_path / "work" / "checkpoints"))
        with pytest.raises(StopRequested):
            trainer.train()
    torch.manual_seed(99)
    resumed = make_trainer(config, dataset, tmp_path / "work")
    resumed.restore(load_newest_checkpoint(tmp_path / "work" / "checkpoints"))
    resumed.train()
    assert_identical(final_state(resumed), final_state(whole))
    states = [load_checkpoint(t.last_checkpoint).state for t in (resumed, whole) if t.last_checkpoint]
    assert [states[0][key] for key in ("scaler", "selection")] == [states[1][key] for key in ("scaler", "selection")]


def test_scaler_state_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_config(dataset.path, precision="float16"), dataset, tmp_path)
    trainer.learner.scaler.load_state_dict({**trainer.learner.scaler.state_dict(), "scale": 32.0})
    trainer.train()
    resumed = make_trainer(tiny_config(dataset.path, precision="float16"), dataset, tmp_path)
    resumed.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    assert resumed.learner.scaler.state_dict() == trainer.learner.scaler.state_dict()
    assert resumed.learner.scaler.state_dict()["_growth_tracker"] == 8


def report_accuracies(trainer: Trainer, *accuracies: float) -> list[dict[str, torch.Tensor]]:
    """Make a trainer believe in these validation accuracies; return the weights after each epoch, as they come."""
    seen: list[dict[str, torch.Tensor]] = []

    def validate() -> Validation:
        seen.append({name: tensor.clone() for name, tensor in trainer.selection.measured.state_dict().items()})
        return Validation(loss=1.0, accuracy=accuracies[len(seen) - 1], f1_macro=0.5)

    trainer._validate = validate  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize(("tested", "epoch"), [("best", 1), ("last", 3)])
def test_tested_weights_are_the_best_or_the_last(tested: str, epoch: int, dataset: Dataset, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_config(dataset.path, epochs=4, tested_weights=tested), dataset, tmp_path)
    seen = report_accuracies(trainer, 0.5, 0.75, 0.25, 0.75)
    network = trainer.train()
    assert_identical(network.state_dict(), seen[epoch])


def test_best_weights_survive_in_every_later_checkpoint(dataset: Dataset, tmp_path: Path) -> None:
    config = tiny_config(dataset.path, epochs=4, tested_weights="best")
    trainer = make_trainer(config, dataset, tmp_path, stop_after=12)
    seen = report_accuracies(trainer, 0.9, 0.5, 0.5)
    with pytest.raises(StopRequested):
        trainer.train()
    resumed = make_trainer(config, dataset, tmp_path)
    resumed.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    report_accuracies(resumed, 0.5)
    assert_identical(resumed.train().state_dict(), seen[0])


def test_early_stopping_ends_the_run_and_stays_ended(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(dataset.path, epochs=9, early_stopping_patience=2)
    trainer = make_trainer(config, dataset, tmp_path)
    report_accuracies(trainer, 0.5, 0.75, 0.75, 0.7, 0.9)
    trainer.train()
    assert [event["epoch"] for event in events_of(capsys, "epoch_end")] == [1, 2, 3, 4]
    resumed = make_trainer(config, dataset, tmp_path)
    resumed.restore(load_newest_checkpoint(tmp_path / "checkpoints"))
    resumed.train()
    assert events_of(capsys, "epoch_end") == []
    assert resumed.position.step == 16
    assert trainer.selection.summarize() == resumed.selection.summarize() == {"epochs_run": 4, "best_epoch": 2}


def test_without_validation_images_no_epoch_is_the_best(dataset: Dataset, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_config(dataset.path, validation_fraction=0.0), dataset, tmp_path)
    trainer.train()
    assert trainer.selection.summarize() == {"epochs_run": 2, "best_epoch": None}


def test_plateau_lowers_the_rate(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plateau = {"schedule": "plateau", "plateau_patience": 2, "decay_factor": 0.5}
    trainer = make_trainer(tiny_config(dataset.path, epochs=5, **plateau), dataset, tmp_path)
    report_accuracies(trainer, 0.5, 0.5, 0.5, 0.5, 0.5)
    trainer.train()
    rates = [event["learning_rate"] for event in events_of(capsys, "epoch_end")]
    assert rates == pytest.approx([0.12, 0.12, 0.12, 0.06, 0.06])


def test_average_follows_the_weights_and_is_what_is_measured(dataset: Dataset, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_config(dataset.path, epochs=1, ema_decay=0.75), dataset, tmp_path)
    network = compact_network(trainer)
    follow, weights = trainer.selection.follow_step, list[torch.Tensor]()

    def record() -> None:
        weights.append(network.head.weight.detach().clone())
        follow()

    trainer.selection.follow_step = record  # type: ignore[method-assign]
    trainer.train()
    expected = weights[0]
    for later in weights[1:]:
        expected = 0.75 * expected + 0.25 * later
    assert len(weights) == 4
    assert torch.allclose(network.head.weight, expected, atol=1e-6)
    assert not torch.allclose(network.head.weight, weights[-1], atol=1e-4)


def test_fast_recipe_does_what_a_plain_loop_does(dataset: Dataset, tmp_path: Path) -> None:
    """Written out once more, without any option: what `fast` has meant since its figures were measured."""
    config = tiny_config(dataset.path, precision="float32", cutout=8)
    trainer = make_trainer(config, dataset, tmp_path)
    network, split = deepcopy(compact_network(trainer)), trainer.train_split
    filters = [p for p in network.blocks.parameters() if p.ndim == 4]
    biases = [m.bias for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    muon = Muon(filters, lr=0.12, momentum=0.6)
    parts = {
        "whitening": ([network.whitening_bias], 0.053),
        "biases": (biases, 0.053),
        "head": ([network.head.weight], 0.67),
    }
    groups = [{"params": params, "lr": rate, "weight_decay": 2e-6 * 16 / rate} for params, rate in parts.values()]
    sgd = torch.optim.SGD(groups, momentum=0.85, nesterov=True)
    peaks, lengths = [0.12, 0.053, 0.053, 0.67], [8, 4, 8, 8]
    fill = (255 * torch.tensor(dataset.mean)).round().to(torch.uint8)
    for step in range(8):
        epoch, index = divmod(step, 4)
        network.train()
        network.whitening_bias.requires_grad = epoch < 1
        order = torch.randperm(len(split), generator=make_generator(seed=0, purpose="shuffle", epoch=epoch))
        batch = order[16 * index : 16 * index + 16]
        draw = partial(draw_corners, 16, image_size=32, seed=0, epoch=epoch, step=step)
        images = cut_out(split.images[batch], corners=draw(side=8, purpose="cutout"), side=8, fill=fill)
        side = (16, 26)[epoch]
        corners = draw(side=side, purpose="crop", margin=2)
        flips = alternate_flips(draw_first_flips(len(split), seed=0), epoch=epoch)[batch]
        images = crop_and_flip(images, corners=corners, side=side, flips=flips)
        logits = network(to_float(images))
        loss = torch.nn.functional.cross_entropy(logits, split.labels[batch], label_smoothing=0.2, reduction="sum")
        torch.autograd.backward(loss)
        for group, peak, length in zip((*muon.param_groups, *sgd.param_groups), peaks, lengths, strict=True):
            group["lr"] = peak * max(0.0, 1 - step / length)
        for optimizer in (muon, sgd):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert_identical(dict(trainer.train().state_dict()), dict(network.state_dict()))
