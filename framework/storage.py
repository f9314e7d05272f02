"""Storage: a piece of memory as autograd sees it, shared by all views of it.

It counts changes.  ``version`` moves with every in-place write, so that a saved tensor can tell that it is no
longer what it was; ``rewrites`` moves with every write that was recorded, so that a view made before can tell
that its own history is no longer the whole truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .device import Block


class Storage:
    """The memory under a tensor: a ``Block`` on a device, the owning ``numpy.ndarray`` on the CPU."""

    __slots__ = ("__weakref__", "memory", "rewrites", "version")

    def __init__(self, memory: Any) -> None:
        self.memory = memory
        self.version = 0
        self.rewrites = 0

    @classmethod
    def under(cls, array: Any) -> Storage:
        """A new storage for the memory in which ``array`` lies."""
        if isinstance(array, np.ndarray):
            while isinstance(array.base, np.ndarray):
                array = array.base
            return cls(array)
        return cls(array.block)

    def nbytes(self) -> int:
        """Bytes of memory held, by all views together."""
        return int(self.memory.nbytes)

    def data_ptr(self) -> int:
        """Address of the first byte."""
        memory: Block | np.ndarray = self.memory
        return memory.ptr if isinstance(memory, Block) else int(memory.ctypes.data)
