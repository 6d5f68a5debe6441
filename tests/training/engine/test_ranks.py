"""Two processes that train together end with what one process ends with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.engine.rank_program import CASES, learn_with_norms, train_all
from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine.checkpoint import load_newest_checkpoint
from training.engine.data import load_dataset
from training.engine.device import choose_device
from training.engine.exceptions import ConfigError
from training.engine.fit import Trainer
from training.engine.launch import describe_group
from training.engine.position import divide_batch
from training.engine.ranks import Ranks

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("ranks") / "data")


@pytest.fixture(scope="module")
def together(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the program in two processes, and return the folder of what they left."""
    folder = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "tests.training.engine.rank_program", str(dataset), str(folder)]
    group = describe_group(2)
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
        for rank in "01"
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 1]
    return folder


@pytest.fixture(scope="module")
def alone(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the same in this process."""
    folder = tmp_path_factory.mktemp("alone")
    train_all(dataset, folder, ranks=Ranks())
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_with_the_weights_of_one(case: str, together: Path, alone: Path) -> None:
    """Only the order of sums differs, by rounding; eight steps let it grow to a few millionths."""
    two, one = (load_newest_checkpoint(folder / case / "checkpoints") for folder in (together, alone))
    assert two.state["step"] == one.state["step"] == 8
    assert two.tensors.keys() == one.tensors.keys()
    torch.testing.assert_close(dict(two.tensors), dict(one.tensors), rtol=1e-4, atol=1e-4)
    figures = two.state["selection"]["best_accuracy"], one.state["selection"]["best_accuracy"]
    assert figures[0] == figures[1]


def test_statistics_of_normalisation_are_the_mean_of_both(together: Path) -> None:
    first, second = (load_file(together / f"norms-{rank}.safetensors") for rank in (0, 1))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    expected = learn_with_norms(ranks=Ranks())
    assert torch.allclose(first["blocks.0.norm1.running_mean"], expected["blocks.0.norm1.running_mean"], atol=1e-6)
    assert torch.equal(first["mean"], expected["mean"])
    assert first["sums"][0].item() == pytest.approx(expected["sums"][0].item(), rel=0.1)  # each half normalised apart


def test_a_wish_of_one_is_a_wish_of_all(together: Path) -> None:
    assert [(together / f"agreed-{rank}").read_text() for rank in (0, 1)] == ["[True, False]"] * 2


def test_the_first_process_learns_why_the_other_one_is_gone(together: Path) -> None:
    assert (together / "lost").read_text() == (
        "One of the 2 processes that train together ended unexpectedly, and the others cannot go on without it. "
        "('out_of_memory', 'Too little.')"
    )


def test_a_batch_that_cannot_be_divided_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size is 16; allowed is a multiple of 3, the processes that train"):
        Trainer(
            config=tiny_config(dataset),
            dataset=load_dataset(dataset),
            device=choose_device("float32"),
            workdir=tmp_path,
            ranks=Ranks(size=3),
        )


def test_a_batch_of_a_small_dataset_is_rounded_down() -> None:
    sizes = [
        divide_batch(50, images=images, dataset="few", ranks=Ranks(size=size))
        for images, size in ((41, 1), (41, 2), (60, 2))
    ]
    assert sizes == [41, 40, 50]
    with pytest.raises(ConfigError, match="devices is 2; allowed is at most 1 where dataset few has 1 training images"):
        divide_batch(50, images=1, dataset="few", ranks=Ranks(size=2))


def test_a_process_that_is_alone_exchanges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    ranks, tensor = Ranks.join(), torch.arange(3.0)
    ranks.add_up([tensor])
    ranks.copy_first([tensor])
    ranks.tell_failure("error", "Nobody hears it.")
    assert ranks.read_failure() is None
    assert ranks.agree(wish=True)
    assert not ranks.agree(wish=False)
    assert torch.equal(ranks.share(tensor), torch.arange(3.0))
    assert (ranks.is_first, ranks.size) == (True, 1)
    ranks.leave()
