"""The first layers of a timm network, replaced for small pictures: 3×3 filters, stride 1, no max-pool.

Source: He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2 (CIFAR-10).
"""

from __future__ import annotations

from typing import Final

from torch import nn

CIFAR_KERNEL: Final = 3


def find_stem(backbone: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Return the name and the first convolution, or None when that does not merely halve the picture.

    Stems that cut the picture into patches (vision transformers, ConvNeXt) are no filters sliding over it.
    """
    convolutions = [(name, m) for name, m in backbone.named_modules() if isinstance(m, nn.Conv2d)]
    if not convolutions:
        return None
    name, first = convolutions[0]
    is_square = first.kernel_size[0] == first.kernel_size[1] and first.kernel_size[0] % 2 == 1
    return (name, first) if is_square and first.kernel_size[0] > 1 and first.stride == (2, 2) else None


def use_cifar_stem(backbone: nn.Module) -> bool:
    """Let the first convolution slide by one pixel with 3×3 filters, and leave a max-pool behind it out.

    Filters that are 3×3 already are kept, so that pretrained weights still fit; others are drawn anew.

    Args:
        backbone: Changed in place.

    Returns:
        Whether there was such a stem.
    """
    found = find_stem(backbone)
    if found is None:
        return False
    name, first = found
    if first.kernel_size[0] == CIFAR_KERNEL:
        first.stride = (1, 1)
    else:
        parent, _, attribute = name.rpartition(".")
        replaced = nn.Conv2d(
            first.in_channels, first.out_channels, CIFAR_KERNEL, padding=1, bias=first.bias is not None
        )
        nn.init.kaiming_normal_(replaced.weight, mode="fan_out", nonlinearity="relu")
        setattr(backbone.get_submodule(parent), attribute, replaced)
    if isinstance(getattr(backbone, "maxpool", None), nn.Module):
        backbone.maxpool = nn.Identity()
    return True
