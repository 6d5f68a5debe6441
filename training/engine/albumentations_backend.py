"""Augmentation by Albumentations, image by image on the CPU: for comparison with results obtained that way.

The package is optional and takes seconds to import; it is imported when this backend is chosen, and never phones home.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from training.engine.config import TrainConfig
from training.engine.exceptions import ConfigError
from training.engine.seed import derive_seed

if TYPE_CHECKING:
    from types import ModuleType

SCALE_LIMIT: Final = 0.1
TURN_LIMIT_DEGREES: Final = 15
"""Limits of scale and rotation in the usual shift-scale-rotate pipeline for CIFAR-10's small images."""


class AlbumentationsPipeline:
    """Flip, affine shift, scale and rotation, colour jitter and coarse dropout.

    `flip` mirrors half of the images, `crop_padding` limits the shift, `crop_fill` continues the image, `color_jitter`
    is the strength of the jitter and `cutout` the side of the hole.

    Args:
        config: The fields above and the seed.
        fill: Colour of the hole, each value in 0…255.

    Raises:
        ConfigError: The package is not installed.
    """

    def __init__(self, config: TrainConfig, *, fill: tuple[int, ...]) -> None:
        self.seed = config.seed
        self.pipeline = _build_pipeline(_import_albumentations(), config=config, fill=fill)

    def augment(self, images: Tensor, *, epoch: int, step: int) -> Tensor:
        """Augment the images of one step, with draws that belong to it.

        Args:
            images: (N, H, W, 3) uint8.
            epoch: Epoch, counted from 0.
            step: Global step, counted from 0.

        Returns:
            (N, H, W, 3) uint8 on the same device.
        """
        self.pipeline.set_random_seed(
            derive_seed(seed=self.seed, purpose="albumentations", epoch=epoch, step=step) >> 31
        )
        changed = [torch.from_numpy(self.pipeline(image=image)["image"]) for image in images.cpu().numpy()]
        return torch.stack(changed).to(images.device)


def _import_albumentations() -> ModuleType:
    """Import the package with its version check, which asks a server, switched off.

    Raises:
        ConfigError: It is not installed.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        import albumentations  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        message = (
            "augmentation_backend is 'albumentations', whose package is not installed; "
            "allowed is tensor, or albumentations after `make install-albumentations`."
        )
        raise ConfigError(message, field="augmentation_backend", value="albumentations") from error
    module: ModuleType = albumentations
    return module


def _build_pipeline(library: ModuleType, *, config: TrainConfig, fill: tuple[int, ...]) -> Any:  # noqa: ANN401 - untyped
    """Return the library's pipeline."""
    steps = [library.HorizontalFlip(p=0.5)] if config.flip else []
    shift = config.crop_padding
    steps.append(
        library.Affine(
            translate_px={"x": (-shift, shift), "y": (-shift, shift)},
            scale=(1 - SCALE_LIMIT, 1 + SCALE_LIMIT),
            rotate=(-TURN_LIMIT_DEGREES, TURN_LIMIT_DEGREES),
            border_mode=_BORDER_MODES[config.crop_fill],
            p=1.0,
        )
    )
    if config.color_jitter:
        strength = (1 - config.color_jitter, 1 + config.color_jitter)
        hue = (-config.color_jitter / 4, config.color_jitter / 4)
        steps.append(library.ColorJitter(brightness=strength, contrast=strength, saturation=strength, hue=hue, p=1.0))
    if config.cutout:
        side = (config.cutout, config.cutout)
        steps.append(
            library.CoarseDropout(
                num_holes_range=(1, 1), hole_height_range=side, hole_width_range=side, fill=fill, p=1.0
            )
        )
    return library.Compose(steps)


_BORDER_MODES: Final = {"reflect": 4, "zero": 0}
"""OpenCV's BORDER_REFLECT_101 and BORDER_CONSTANT."""
