"""The moving average of a network's weights and of what it remembers besides."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tests.training.engine.tiny_data import tiny_config
from training.engine.selection import Selection


def test_indices_are_taken_as_they_are_and_weights_averaged() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.register_buffer("indices", torch.tensor([0, 1, 3]))
    network.register_buffer("mean", torch.tensor([0.0]))
    selection = Selection(network, config=tiny_config(Path("d"), ema_decay=0.75))
    state = network.state_dict()
    for value in (0.0, 4.0, 8.0):
        for name in ("weight", "mean"):
            state[name].fill_(value)
        selection.follow_step()
    state["indices"].copy_(torch.tensor([0, 2, 3]))
    selection.follow_step()
    average = selection.measured.state_dict()
    assert (average["indices"].dtype, average["indices"].tolist()) == (torch.int64, [0, 2, 3])
    assert average["mean"].item() == average["weight"].item() == 0.75 * (0.75 * 1 + 0.25 * 8) + 0.25 * 8
