"""How fast training images are augmented: whole batches of tensors beside one PIL picture after the other.

    python -m bench.pipeline --dataset DIR [--images 5000] [--rounds 5]

Both cut a random 32 px window out of each image with its border reflected by 4 px, mirror half of them, jitter the
colours where it says so, and end with float tensors in [0, 1]. Per picture it is torchvision's transforms on PIL images
in one process, which is what a DataLoader's worker does. Every round measures everything in turn; medians are told.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from bench.machine import save_result
from training.engine.config import TrainConfig
from training.engine.data import load_dataset
from training.engine.memory import keep_freed_memory
from training.engine.pipeline import Augmenter

BATCH_SIZE: Final = 1000
PADDING: Final = 4
JITTER: Final = 0.4
SETTINGS: Final[dict[str, dict[str, object]]] = {
    "crop and flip": {},
    "crop, flip and colour jitter": {"color_jitter": JITTER},
    "crop, flip and TrivialAugment": {"policy": "trivialaugment"},
}
_CROP_AND_FLIP: Final = (
    v2.RandomCrop(32, padding=PADDING, padding_mode="reflect"),
    v2.RandomHorizontalFlip(),
)
_TO_FLOAT: Final = (v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True))
PER_PICTURE: Final = {
    "crop and flip": v2.Compose([*_CROP_AND_FLIP, *_TO_FLOAT]),
    "crop, flip and colour jitter": v2.Compose(
        [*_CROP_AND_FLIP, v2.ColorJitter(JITTER, JITTER, JITTER, JITTER / 4), *_TO_FLOAT]
    ),
    "crop, flip and TrivialAugment": v2.Compose([*_CROP_AND_FLIP, v2.TrivialAugmentWide(), *_TO_FLOAT]),
}


def augment_batches(images: Tensor, *, augmenter: Augmenter) -> None:
    """Augment (N, 32, 32, 3) uint8 images as training does."""
    for step, rows in enumerate(torch.split(torch.arange(len(images)), BATCH_SIZE)):
        augmenter.augment(images[rows], rows=rows, side=32, epoch=0, step=step)


def augment_pictures(pictures: list[Image.Image], *, transform: Callable[[Image.Image], Tensor]) -> None:
    """Augment PIL pictures one by one and stack them into batches."""
    for start in range(0, len(pictures), BATCH_SIZE):
        torch.stack([transform(picture) for picture in pictures[start : start + BATCH_SIZE]])


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=Path, help="imported dataset directory")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keep_freed_memory()
    dataset = load_dataset(arguments.dataset)
    images = dataset.train.images[: arguments.images].clone()
    pictures = [Image.fromarray(image.numpy()) for image in images]
    rates: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in SETTINGS}
    for _ in range(arguments.rounds):
        for name, overrides in SETTINGS.items():
            config = TrainConfig.from_recipe(
                "fast", dataset=str(arguments.dataset), flip_mode="random", crop_padding=PADDING, **overrides
            )
            augmenter = Augmenter(
                config, image_count=len(images), mean=dataset.mean, class_count=10, device=torch.device("cpu")
            )
            started = time.perf_counter()
            augment_batches(images, augmenter=augmenter)
            rates[name][0].append(len(images) / (time.perf_counter() - started))
            started = time.perf_counter()
            augment_pictures(pictures, transform=PER_PICTURE[name])
            rates[name][1].append(len(images) / (time.perf_counter() - started))
    rows = []
    print(f"{'augmentation':<32} {'batches img/s':>14} {'pictures img/s':>15} {'ratio':>7}")
    for name, measured in rates.items():
        batches, each = (statistics.median(rate) for rate in measured)
        print(f"{name:<32} {batches:>14,.0f} {each:>15,.0f} {batches / each:>7.1f}")
        rows.append({"augmentation": name, "batches_images_per_second": batches, "pictures_images_per_second": each,
                     "ratio": batches / each})  # fmt: skip
    figures = {"images": len(images), "rounds": arguments.rounds, "threads": torch.get_num_threads(), "rows": rows}
    save_result("pipeline.json", figures, packages=("torch", "torchvision", "pillow"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
