"""What happens to the images and labels of one training step, as a configuration says.

Every draw belongs to (seed, epoch, step), so that a resumed run sees exactly the images that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor

from training.engine.augment import (
    alternate_flips,
    crop_and_flip,
    cut_out,
    draw_corners,
    draw_first_flips,
    draw_flips,
    to_float,
)
from training.engine.boxes import draw_erasing_boxes, erase
from training.engine.colour import draw_jitter, jitter_colors
from training.engine.config import TrainConfig
from training.engine.device import send
from training.engine.mix import draw_mix, mix_images, mix_labels


class Augmenter:
    """Augments batches on the device that holds them.

    Args:
        config: What to do.
        image_count: Number of training images, for flips that alternate.
        mean: Mean of each colour, in [0, 1], with which holes are filled.
        class_count: Number of classes K.
        device: Where the images are.

    Raises:
        ConfigError: The chosen backend is not installed.
    """

    def __init__(
        self, config: TrainConfig, *, image_count: int, mean: Sequence[float], class_count: int, device: torch.device
    ) -> None:
        self.config, self.class_count = config, class_count
        self.first_flips = draw_first_flips(image_count, seed=config.seed).to(device)
        self.mean_colour = (255 * torch.tensor(mean)).round().to(device, torch.uint8)
        if config.augmentation_backend == "albumentations":
            from training.engine.albumentations_backend import AlbumentationsPipeline  # noqa: PLC0415 - optional

            self.albumentations = AlbumentationsPipeline(config, fill=tuple(self.mean_colour.tolist()))

    def augment(self, images: Tensor, *, rows: Tensor, side: int, epoch: int, step: int) -> Tensor:
        """Augment the images of one step.

        Args:
            images: (N, S, S, 3) uint8.
            rows: (N,) int64, the images' numbers among all training images.
            side: Side of the crops, in pixels.
            epoch: Epoch, counted from 0.
            step: Global step, counted from 0.

        Returns:
            (N, 3, side, side) float in [0, 1].
        """
        if self.config.augmentation_backend == "albumentations":
            return to_float(self.albumentations.augment(images, epoch=epoch, step=step))
        images = self._place(images, rows=rows, side=side, epoch=epoch, step=step)
        return self._change(to_float(images), epoch=epoch, step=step)

    def mix(self, images: Tensor, labels: Tensor, *, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Apply MixUp or CutMix, or neither, to the batch of one step.

        Args:
            images: (N, 3, S, S) float.
            labels: (N,) int64.
            epoch: Epoch, counted from 0.
            step: Global step, counted from 0.

        Returns:
            Images, and targets: the labels as they are, or (N, K) float shares where the images were mixed.
        """
        mix = draw_mix(len(images), size=images.shape[-1], config=self.config, epoch=epoch, step=step)
        if mix is None:
            return images, labels
        mix = mix.to(images.device)
        return mix_images(images, mix), mix_labels(labels, mix, class_count=self.class_count)

    def _place(self, images: Tensor, *, rows: Tensor, side: int, epoch: int, step: int) -> Tensor:
        """Cut out, crop and mirror (N, S, S, 3) uint8 images."""
        config = self.config
        draw = partial(draw_corners, len(images), image_size=images.shape[1], seed=config.seed, epoch=epoch, step=step)
        if config.cutout:
            corners = send(draw(side=config.cutout, purpose="cutout"), images.device)
            images = cut_out(images, corners=corners, side=config.cutout, fill=self.mean_colour)
        corners = send(draw(side=side, purpose="crop", margin=config.crop_padding), images.device)
        flips = self._choose_flips(rows, epoch=epoch, step=step)
        fill = cast("Literal['reflect', 'zero']", config.crop_fill)
        return crop_and_flip(images, corners=corners, side=side, flips=flips, fill=fill)

    def _choose_flips(self, rows: Tensor, *, epoch: int, step: int) -> Tensor:
        """Return which of the images with the given numbers are mirrored, as (N,) bool."""
        if not self.config.flip:
            return torch.zeros_like(rows, dtype=torch.bool)
        if self.config.flip_mode == "alternating":
            return alternate_flips(self.first_flips, epoch=epoch)[rows]
        return send(draw_flips(len(rows), seed=self.config.seed, epoch=epoch, step=step), rows.device)

    def _change(self, images: Tensor, *, epoch: int, step: int) -> Tensor:
        """Apply the policy, colour jitter and random erasing to (N, 3, S, S) float images."""
        config = self.config
        if config.policy != "none":
            from training.engine import policy  # noqa: PLC0415 - needs torchvision, which takes seconds to import

            ranges = policy.RANDAUGMENT if config.policy == "randaugment" else policy.TRIVIALAUGMENT
            for operations, strengths in policy.draw_policy(len(images), config=config, epoch=epoch, step=step):
                images = policy.apply_policy(images, operations=operations, strengths=strengths, ranges=ranges)
        if config.color_jitter:
            jitter = draw_jitter(len(images), strength=config.color_jitter, seed=config.seed, epoch=epoch, step=step)
            images = jitter_colors(images, jitter.to(images.device))
        if config.erasing_probability:
            boxes = draw_erasing_boxes(
                len(images),
                size=images.shape[-1],
                probability=config.erasing_probability,
                seed=config.seed,
                epoch=epoch,
                step=step,
            )
            images = erase(images, boxes=send(boxes, images.device), fill=self.mean_colour / 255)
        return images
