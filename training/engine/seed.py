"""Random draws that depend on nothing but (seed, purpose, epoch, step), so that a resumed run repeats them exactly."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Purpose = Literal["init", "split", "shuffle", "flip", "crop", "cutout", "patches", "golden"]


def make_generator(*, seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> torch.Generator:
    """Return a CPU generator for one draw.

    Args:
        seed: The run's seed.
        purpose: What is drawn; different purposes are independent.
        epoch: Epoch of the draw, counted from 0.
        step: Global optimizer step of the draw, counted from 0.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def seed_everything(seed: int, *, epoch: int = 0, step: int = 0) -> None:
    """Seed torch's global generator, from which layers draw their first weights and, in training, their dropout."""
    digest = hashlib.sha256(f"{seed}/init/{epoch}/{step}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
