"""One line on the terminal while kernels are compiled, so that a first step that takes long says why.

It is written only where standard error is a terminal, and only once compiling has taken half a second; it is gone when
the kernel is ready.  TRIGRAD_PROGRESS=0 turns it off, TRIGRAD_PROGRESS=1 has lines written wherever standard error goes.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.5  # seconds


class _Total:
    """What has been compiled in this process."""

    def __init__(self) -> None:
        self.kernels = 0
        self.seconds = 0.0
        self.lock = threading.Lock()


total = _Total()


@contextmanager
def compiling(kernel: str) -> Iterator[None]:
    """Say that ``kernel`` is being compiled, until the ``with`` block ends."""
    asked = os.environ.get("TRIGRAD_PROGRESS")
    terminal = sys.stderr is not None and sys.stderr.isatty()
    wanted = sys.stderr is not None and (asked == "1" or (terminal and asked != "0"))
    shown = wanted and (asked == "1" or total.seconds >= PATIENCE)
    if shown:
        text = (
            f"trigrad: compiling kernel {total.kernels + 1}, {kernel}; {total.seconds:.0f} s so far, once per machine"
        )
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[2K{text[:width]}")
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
    begin = time.perf_counter()
    try:
        yield
    finally:
        with total.lock:
            total.kernels += 1
            total.seconds += time.perf_counter() - begin
        if shown and terminal:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
