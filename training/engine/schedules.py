"""Learning rates and crop sizes as pure functions of the position in a run."""

from __future__ import annotations

import math
from typing import Final

from training.engine.config import TrainConfig
from training.engine.constants import IMAGE_SIZE

ONE_CYCLE_START: Final = 1 / 25
ONE_CYCLE_END: Final = 1 / 25e4
"""Rates, relative to the peak, at both ends of a cycle: the defaults of torch's and fastai's implementations."""


def rate_at(step: int, *, steps: int, steps_per_epoch: int, config: TrainConfig, plateaus: int = 0) -> float:
    """Return the factor of the peak learning rate at one step.

    After the warm-up, `linear` and `cosine` fall over the steps that are left; after the last step it is 0.

    Args:
        step: Global step, counted from 0.
        steps: Steps of the run.
        steps_per_epoch: Steps of one epoch.
        config: Schedule, warm-up and the schedule's own settings.
        plateaus: How often the plateau schedule has lowered the rate so far.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if step >= steps:
        return 0.0
    if step < warmup_steps:
        return warm_up(step, steps=warmup_steps)
    match config.schedule:
        case "cosine":
            factor = decay_by_cosine(step - warmup_steps, steps=steps - warmup_steps)
        case "step":
            factor = config.decay_factor ** (step // (config.step_epochs * steps_per_epoch))
        case "plateau":
            factor = config.decay_factor**plateaus
        case "one_cycle":
            factor = cycle_once(step, steps=steps, peak_position=config.peak_position)
        case _:
            factor = decay_linearly(step - warmup_steps, steps=steps - warmup_steps)
    return factor


def warm_up(step: int, *, steps: int) -> float:
    """Return the factor at one step of a straight rise: 1 / (steps + 1) at step 0, 1 at `steps` (Goyal et al. 2017).

    Args:
        step: Global step, counted from 0.
        steps: Steps of the rise.
    """
    return min(1.0, (step + 1) / (steps + 1))


def decay_by_cosine(step: int, *, steps: int) -> float:
    """Return the factor at one step of half a cosine: 1 at step 0, 0 at `steps` (Loshchilov & Hutter 2017).

    Args:
        step: Global step, counted from 0.
        steps: Number of steps over which the rate falls; 0 means that it has fallen already.
    """
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))) if steps > 0 else 0.0


def cycle_once(step: int, *, steps: int, peak_position: float) -> float:
    """Return the factor at one step of a cycle: two half cosines, up to the peak and down to almost nothing.

    Source: Smith & Topin 2018, arXiv 1708.07120; numbers as torch's `OneCycleLR`, without its cycle of momentum.

    Args:
        step: Global step, counted from 0.
        steps: Steps of the cycle.
        peak_position: Share of the steps after which the rate is highest, in (0, 1).
    """
    peak = peak_position * steps - 1
    if step <= peak:
        start, end, share = ONE_CYCLE_START, 1.0, step / peak if peak > 0 else 1.0
    else:
        start, end, share = 1.0, ONE_CYCLE_END, min(1.0, (step - peak) / (steps - 1 - peak))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def decay_linearly(step: int, *, steps: int) -> float:
    """Return the factor of the peak learning rate at one step: 1 at step 0, falling straight to 0 at `steps`.

    Args:
        step: Global step, counted from 0.
        steps: Number of steps over which the rate falls; 0 means that it has fallen already.
    """
    return max(0.0, 1.0 - step / steps) if steps > 0 else 0.0


def crop_size_at(epoch: int, *, epochs: int, start: int, full_from: float) -> int:
    """Return the side of training crops in one epoch: an even number that grows from `start` to the whole image.

    Small crops cost less (the square of the side), and hiding the borders keeps a network from overfitting; the last
    epochs at full size fit it to what it will see. Source: Touvron et al. 2019, arXiv 1906.06423 (train small, end at
    the test size); Tan & Le 2021, arXiv 2104.00298 (growing sizes).

    Args:
        epoch: Epoch, counted from 0.
        epochs: Epochs of the run.
        start: Side in the first epoch, in pixels.
        full_from: Fraction of the epochs after which crops have full size.
    """
    growing_epochs = full_from * epochs
    if epoch >= growing_epochs:
        return IMAGE_SIZE
    size = start + (IMAGE_SIZE - start) * epoch / growing_epochs
    return min(IMAGE_SIZE, 2 * round(size / 2))
