"""Two-phase transfer: learn from an auxiliary dataset first, and go on from its best weights on the dataset itself.

The second network takes over everything that the first one learned or measured: weights, running statistics of
normalisation, and also the colour statistics and the whitening filters, because the layers behind them know their input
by these. Only the last layer is put together: a class that both datasets have keeps its row, any other begins with the
row that the second network drew for itself.

Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?", arXiv 1411.1792.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from training.engine.checkpoint import Checkpoint
from training.engine.config import TrainConfig
from training.engine.data import Dataset
from training.engine.fit import Trainer
from training.engine.networks import Network
from training.engine.position import Phase

MakeTrainer = Callable[..., Trainer]
"""`Trainer` to which only configuration and data are still to be told."""


def train_in_phases(
    *,
    config: TrainConfig,
    dataset: Dataset,
    auxiliary: Dataset,
    make: MakeTrainer,
    checkpoint: Checkpoint | None = None,
) -> Trainer:
    """Take both phases, or what is left of them after a checkpoint of either.

    Args:
        config: What to do in the second phase; the first differs by `derive_first_config`.
        dataset: What the network is for.
        auxiliary: What it learns from first.
        make: What both phases share.
        checkpoint: Where to continue.

    Returns:
        The second phase's trainer, whose network is as it is to be tested.

    Raises:
        CheckpointError: The checkpoint belongs to another run.
        DivergedError: The loss is not finite.
        DiskFullError: No space left for a checkpoint.
        StopRequested: Somebody asked the run to stop.
    """
    first, second = make_trainers(config=config, dataset=dataset, auxiliary=auxiliary, make=make)
    if checkpoint is not None and checkpoint.phase == second.phase.number:
        second.restore(checkpoint)
    else:
        if checkpoint is not None:
            first.restore(checkpoint)
        carry_over(first.train(), second.network, learned_keys=auxiliary.class_keys, class_keys=dataset.class_keys)
        second.position.seconds = first.position.seconds
        second.last_checkpoint = first.last_checkpoint
    del first  # its images, optimizer and average leave their memory to the second phase
    second.train()
    return second


def make_trainers(
    *, config: TrainConfig, dataset: Dataset, auxiliary: Dataset, make: MakeTrainer
) -> tuple[Trainer, Trainer]:
    """Build the trainers of both phases; the arguments are those of `train_in_phases`.

    A first phase that stops early leaves numbers of steps unused: the second one begins at the same number always.
    """
    first = make(config=derive_first_config(config), dataset=auxiliary)
    second = make(config=config, dataset=dataset, normalised_as=auxiliary)
    first.phase = Phase(number=1, steps_after=second.total_steps, auxiliary_sha256=auxiliary.sha256)
    second.phase = Phase(number=2, steps_before=first.total_steps, auxiliary_sha256=auxiliary.sha256)
    return first, second


def derive_first_config(config: TrainConfig) -> TrainConfig:
    """Return the first phase's settings: the run's own, but for data, epochs and learning rate.

    Raises:
        ConfigError: A setting contradicts the number of epochs or the learning rate of the first phase.
    """
    return replace(
        config,
        dataset=config.auxiliary_dataset,
        epochs=config.auxiliary_epochs,
        learning_rate=config.auxiliary_learning_rate,
        auxiliary_dataset="",
        auxiliary_epochs=0,
        auxiliary_learning_rate=0.0,
    )


@torch.no_grad()
def carry_over(learned: Network, network: Network, *, learned_keys: Sequence[str], class_keys: Sequence[str]) -> None:
    """Give a network what another of the same architecture learned.

    Args:
        learned: The network to take from.
        network: The network to change; the last layer's rows of classes that are new stay as they are.
        learned_keys: Names of the first network's classes.
        class_keys: Names of the second network's classes.
    """
    state = learned.state_dict()
    own = network.state_dict()
    shared = [(row, learned_keys.index(key)) for row, key in enumerate(class_keys) if key in learned_keys]
    for name in network.head_keys:
        rows = own[name].clone()
        for row, learned_row in shared:
            rows[row] = state[name][learned_row]
        state[name] = rows
    network.load_state_dict(state)
