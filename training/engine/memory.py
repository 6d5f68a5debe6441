"""One setting of the C library's allocator that makes training on a CPU faster."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_MAX: Final = -4
"""Parameters of `mallopt`, from glibc's malloc.h."""

TOP_PAD_BYTES: Final = 256 << 20
LARGEST_INT: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step instead of returning it to the kernel.

    Activations of a batch are tens of megabytes each; by default every one is mapped, zeroed page by page and unmapped
    in every step. On 2 shared cores at batch 500, the best of three short runs rose from 368 to 462 images a second at
    32 px; at 24 px no gain stood out from the noise.

    Returns:
        Whether the allocator accepted; false on other systems than Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST_INT), (M_TOP_PAD, TOP_PAD_BYTES))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
