"""Two phases: what is carried over, what is told, and that a run resumes exactly in either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine.checkpoint import load_checkpoint, load_newest_checkpoint
from training.engine.config import TrainConfig
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.engine.data import Dataset, load_dataset
from training.engine.device import choose_device
from training.engine.events import parse_line
from training.engine.exceptions import CheckpointError
from training.engine.fit import StopRequested, Trainer
from training.engine.networks import build_from_config
from training.engine.transfer import MakeTrainer, carry_over, derive_first_config, make_trainers, train_in_phases

AUXILIARY_KEYS = ("red", "blue")
"""In another order than the dataset's, and without green."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep to one thread: bit-identity holds for equal numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("transfer") / "data"))


@pytest.fixture(scope="module")
def auxiliary(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("transfer") / "auxiliary"
    return load_dataset(write_dataset(path, class_keys=AUXILIARY_KEYS, name="two-colours", seed=8))


@pytest.fixture(scope="module")
def config(dataset: Dataset, auxiliary: Dataset) -> TrainConfig:
    """Return a configuration of two epochs of two steps, then two epochs of four."""
    return transfer_config(dataset, auxiliary)


def transfer_config(dataset: Dataset, auxiliary: Dataset, **overrides: object) -> TrainConfig:
    first = {"auxiliary_dataset": str(auxiliary.path), "auxiliary_epochs": 2, "auxiliary_learning_rate": 0.06}
    return tiny_config(dataset.path, **{**first, **overrides})


def train(
    config: TrainConfig, *, dataset: Dataset, auxiliary: Dataset, workdir: Path, stop_after: int | None = None
) -> Trainer:
    """Train from the newest checkpoint, if there is one, and stop after so many more looks at the stop flag."""
    looks = iter(range(10_000))
    folder = workdir / "checkpoints"
    return train_in_phases(
        config=config,
        dataset=dataset,
        auxiliary=auxiliary,
        make=partial(
            Trainer,
            device=choose_device(config.precision),
            workdir=workdir,
            is_stopping=lambda: stop_after is not None and next(looks) >= stop_after,
        ),
        checkpoint=load_newest_checkpoint(folder) if folder.exists() else None,
    )


def in_folder(workdir: Path) -> MakeTrainer:
    return partial(Trainer, device=choose_device("float32"), workdir=workdir)


def final_state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return everything that training changes."""
    trainer.save()
    assert trainer.last_checkpoint is not None
    return dict(load_checkpoint(trainer.last_checkpoint).tensors)


def assert_identical(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def read_events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    events = (parse_line(line) for line in capsys.readouterr().out.splitlines())
    return [dict(event) for event in events if event is not None]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architecture": "test_resnet", "width_multiplier": 1.0, "optimizer": "adamw", "learning_rate": 0.01},
    ],
)
def test_everything_is_carried_over_but_the_rows_of_new_classes(
    changes: dict[str, object], dataset: Dataset, auxiliary: Dataset, tmp_path: Path
) -> None:
    config = transfer_config(dataset, auxiliary, **changes)
    first, second = make_trainers(config=config, dataset=dataset, auxiliary=auxiliary, make=in_folder(tmp_path))
    fresh = {name: tensor.clone() for name, tensor in second.network.state_dict().items()}
    learned = first.train()
    carry_over(learned, second.network, learned_keys=auxiliary.class_keys, class_keys=dataset.class_keys)
    carried, source = second.network.state_dict(), learned.state_dict()
    heads = second.network.head_keys
    assert heads
    assert [name for name in source if name not in heads and not torch.equal(carried[name], source[name])] == []
    for name in heads:
        assert torch.equal(carried[name][0], source[name][1])  # blue
        assert torch.equal(carried[name][1], fresh[name][1])  # green, which is new
        assert torch.equal(carried[name][2], source[name][0])  # red
    assert second.network.normalisation == (tuple(auxiliary.mean), tuple(auxiliary.std))
    assert any(not torch.equal(fresh[name], carried[name]) for name in fresh if name.endswith("running_mean"))


def test_second_phase_draws_what_a_run_without_the_first_draws(dataset: Dataset, auxiliary: Dataset) -> None:
    config = transfer_config(dataset, auxiliary)
    _first, second = make_trainers(config=config, dataset=dataset, auxiliary=auxiliary, make=in_folder(Path()))
    torch.manual_seed(99)
    alone = Trainer(config=tiny_config(dataset.path), dataset=dataset, device=choose_device("float32"), workdir=Path())
    assert torch.equal(second.network.state_dict()["head.weight"], alone.network.state_dict()["head.weight"])
    assert torch.equal(second.train_split.images, alone.train_split.images)


def test_first_phase_differs_in_data_epochs_and_rate(config: TrainConfig, auxiliary: Dataset) -> None:
    first = derive_first_config(config)
    changed = {name for name, value in first.to_dict().items() if value != config.to_dict()[name]}
    assert (first.dataset, first.epochs, first.learning_rate) == (str(auxiliary.path), 2, 0.06)
    assert changed == {
        "dataset", "learning_rate", "auxiliary_dataset", "auxiliary_epochs", "auxiliary_learning_rate"
    }  # fmt: skip


def test_phases_are_told_apart_and_steps_go_on(
    config: TrainConfig, dataset: Dataset, auxiliary: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path)
    events = read_events(capsys)
    started = [event for event in events if event["event"] == "started"]
    assert [(event["phase"], event["epochs"], event["steps_per_epoch"]) for event in started] == [(1, 2, 2), (2, 2, 4)]
    assert [(event["total_steps"], event["resumed_from_step"]) for event in started] == [(12, 0), (12, 4)]
    places = [(e["phase"], e["epoch"], e["step"], e["images"]) for e in events if e["event"] == "epoch_end"]
    assert places == [(1, 1, 2, 32), (1, 2, 4, 32), (2, 1, 8, 64), (2, 2, 12, 64)]
    saved = [(event["phase"], event["path"]) for event in events if event["event"] == "checkpoint"]
    assert saved[1:3] == [(1, "checkpoints/step-00000004"), (2, "checkpoints/step-00000008")]
    assert all(0 <= event["f1_macro"] <= 1 for event in events if event["event"] == "epoch_end")


def test_the_best_weights_of_the_first_phase_are_carried_over(
    dataset: Dataset, auxiliary: Dataset, tmp_path: Path
) -> None:
    config = transfer_config(dataset, auxiliary, tested_weights="best", auxiliary_epochs=3)
    first, _second = make_trainers(config=config, dataset=dataset, auxiliary=auxiliary, make=in_folder(tmp_path))
    learned = {name: tensor.clone() for name, tensor in first.train().state_dict().items()}
    assert first.selection.best
    assert_identical(learned, first.selection.best)


@pytest.mark.parametrize("options", [{}, {"tested_weights": "best", "ema_decay": 0.5}], ids=["last", "best"])
def test_run_resumes_to_the_last_bit_in_either_phase_and_between(
    options: dict[str, object], dataset: Dataset, auxiliary: Dataset, tmp_path: Path
) -> None:
    config = transfer_config(dataset, auxiliary, **options)
    whole = final_state(train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path / "whole"))
    for stop_after in (1, 3, 5, 6, 8, 11, 14):  # in the first phase at 1 to 5, between at 6, in the second from 8
        workdir = tmp_path / str(stop_after)
        with pytest.raises(StopRequested) as stopped:
            train(config, dataset=dataset, auxiliary=auxiliary, workdir=workdir, stop_after=stop_after)
        assert stopped.value.checkpoint == workdir / f"checkpoints/step-{stopped.value.step:08d}"
        torch.manual_seed(99)  # the global generator must not matter
        resumed = train(config, dataset=dataset, auxiliary=auxiliary, workdir=workdir)
        assert_identical(final_state(resumed), whole)
        assert resumed.position.seconds > 0


def test_stop_at_the_border_keeps_the_first_phase(
    config: TrainConfig, dataset: Dataset, auxiliary: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StopRequested) as stopped:
        train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path, stop_after=6)
    assert stopped.value.step == 4
    assert load_newest_checkpoint(tmp_path / "checkpoints").phase == 1
    capsys.readouterr()
    train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path)
    events = read_events(capsys)
    assert [event["phase"] for event in events if event["event"] == "epoch_end"] == [2, 2]


def test_resume_in_the_second_phase_leaves_the_first_alone(
    config: TrainConfig, dataset: Dataset, auxiliary: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StopRequested) as stopped:
        train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path, stop_after=9)
    assert stopped.value.step == 7
    capsys.readouterr()
    train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path)
    started = [event for event in read_events(capsys) if event["event"] == "started"]
    assert [(event["phase"], event["resumed_from_step"]) for event in started] == [(2, 7)]


def test_checkpoint_of_another_auxiliary_dataset_is_refused(
    config: TrainConfig, dataset: Dataset, auxiliary: Dataset, tmp_path: Path
) -> None:
    train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path)
    other = load_dataset(write_dataset(tmp_path / "other", class_keys=AUXILIARY_KEYS, seed=9))
    with pytest.raises(CheckpointError, match="belongs to another configuration or dataset"):
        train(config, dataset=dataset, auxiliary=other, workdir=tmp_path)


def test_checkpoint_of_one_phase_is_no_run_of_its_own(
    config: TrainConfig, dataset: Dataset, auxiliary: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StopRequested):
        train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path, stop_after=3)
    alone = Trainer(
        config=derive_first_config(config), dataset=auxiliary, device=choose_device("auto"), workdir=tmp_path
    )
    with pytest.raises(CheckpointError, match="belongs to another configuration or dataset"):
        alone.restore(load_newest_checkpoint(tmp_path / "checkpoints"))


def test_stl10_s_nine_classes_find_their_rows_among_cifar10_s_ten(dataset: Dataset) -> None:
    config = tiny_config(dataset.path)
    statistics = {"mean": dataset.mean, "std": dataset.std}
    nine = [key for key in CIFAR10_CLASS_KEYS if key != "frog"]
    torch.manual_seed(0)
    learned = build_from_config(config, class_count=9, **statistics)
    network = build_from_config(config, class_count=10, **statistics)
    fresh = network.state_dict()["head.weight"].clone()
    carry_over(learned, network, learned_keys=nine, class_keys=CIFAR10_CLASS_KEYS)
    carried, source = network.state_dict()["head.weight"], learned.state_dict()["head.weight"]
    rows = [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert torch.equal(carried[rows], source)
    assert torch.equal(carried[6], fresh[6])


def test_the_auxiliary_test_split_is_not_looked_at(
    config: TrainConfig, dataset: Dataset, auxiliary: Dataset, tmp_path: Path
) -> None:
    without = replace(auxiliary, test=auxiliary.train.select(torch.tensor([], dtype=torch.int64)))
    trainer = train(config, dataset=dataset, auxiliary=without, workdir=tmp_path)
    whole = train(config, dataset=dataset, auxiliary=auxiliary, workdir=tmp_path / "whole")
    assert_identical(dict(trainer.network.state_dict()), dict(whole.network.state_dict()))


def test_networks_without_a_common_class_share_no_row(dataset: Dataset) -> None:
    config = tiny_config(dataset.path)
    statistics = {"mean": dataset.mean, "std": dataset.std}
    torch.manual_seed(0)
    learned = build_from_config(config, class_count=2, **statistics)
    network = build_from_config(config, class_count=2, **statistics)
    fresh = network.state_dict()["head.weight"].clone()
    carry_over(learned, network, learned_keys=["cat", "dog"], class_keys=["blue", "red"])
    assert torch.equal(network.state_dict()["head.weight"], fresh)
