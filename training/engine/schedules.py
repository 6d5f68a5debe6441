"""Learning rates and crop sizes as pure functions of the position in a run."""

from __future__ import annotations

from training.engine.constants import IMAGE_SIZE


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
