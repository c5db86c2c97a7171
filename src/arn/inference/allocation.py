"""How this process keeps memory that it has freed."""

from __future__ import annotations

import os
import sys

# Of <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
CHOSEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def reuse_memory(largest: int = 2**30) -> bool:
    """Keep freed blocks of up to `largest` bytes in this process for its next allocation, where the C library is glibc.

    A network allocates and frees the same large blocks for every picture. glibc hands each back to the system, which
    gives it out again page by page, zeroed: a third of the time of a light network on CPU.

    Returns whether anything was changed: not with another C library, with ``ARN_ALLOCATOR=default``, nor where the
    environment has chosen (``CHOSEN``).
    """
    left_alone = os.environ.get("ARN_ALLOCATOR") == "default" or any(name in os.environ for name in CHOSEN)
    if not sys.platform.startswith("linux") or left_alone:
        return False
    import ctypes  # the command's help does without

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # A version that refuses so much may take its own upper bound of the threshold that it moves by itself.
    kept = mallopt(M_MMAP_THRESHOLD, largest) or mallopt(M_MMAP_THRESHOLD, 2**25)
    return bool(kept and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
