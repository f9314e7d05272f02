"""The C library's allocator, told to keep what is freed.

A training step frees and asks again for the same few megabytes.  glibc by default hands such blocks back to the
system at once, and then each new array costs a page fault for every 4 KB: measured, a third of the time of a small
GAN's step on the CPU.  ``keep_freed_memory`` raises the two thresholds, for the whole process; TRIGRAD_MALLOC=system
leaves them alone.  Elsewhere than on glibc it does nothing.
Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 256 << 20  # larger arrays still come from the system and go back to it
KEPT = 1 << 30  # free memory at the end of the heap that is kept


def keep_freed_memory() -> bool:
    """Raise glibc's thresholds; returns whether that was done."""
    if not sys.platform.startswith("linux") or os.environ.get("TRIGRAD_MALLOC") == "system":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
