"""Random draws that depend on nothing but (seed, purpose, epoch, step), so that a resumed run repeats them exactly."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch

Purpose = Literal[
    "init",
    "split",
    "shuffle",
    "flip",
    "crop",
    "cutout",
    "jitter",
    "erase",
    "policy",
    "mix",
    "albumentations",
    "layers",
    "patches",
    "golden",
    "foreign",
]


def derive_seed(*, seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> int:
    """Return the seed of one draw, in [0, 2^63).

    Args:
        seed: The run's seed.
        purpose: What is drawn; different purposes are independent.
        epoch: Epoch of the draw, counted from 0.
        step: Global optimizer step of the draw, counted from 0.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_generator(*, seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> torch.Generator:
    """Return a CPU generator for one draw; the arguments are those of `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed=seed, purpose=purpose, epoch=epoch, step=step))


def make_numpy_generator(*, seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """Return numpy's generator for one draw from a distribution that torch draws from its global generator alone."""
    return np.random.default_rng(derive_seed(seed=seed, purpose=purpose, epoch=epoch, step=step))


def seed_everything(seed: int) -> None:
    """Seed torch's global generators, from which the initialisation of layers draws."""
    torch.manual_seed(derive_seed(seed=seed, purpose="init"))


def seed_layers(*, seed: int, epoch: int, step: int, rank: int = 0) -> None:
    """Seed torch's global generators for the layers that draw during one step, such as dropout.

    Each of the processes that train together, `rank`, draws for images of its own.
    """
    torch.manual_seed(derive_seed(seed=seed, purpose="layers", epoch=epoch, step=step) + rank)
