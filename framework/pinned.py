"""Pinned host memory: NumPy arrays that a GPU reads and writes by itself, while the host goes on.

Pieces are kept for the next request of their size.  A piece whose array is gone is used again only when every copy that
was begun with it is done.
"""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

from .driver import FAILED, require, told

_SMALLEST = 512


class _Shelf:
    """The pieces that nobody uses: size -> [(address, what keeps the memory, events to wait for)]."""

    def __init__(self) -> None:
        self.free: dict[int, list[tuple[int, Any, list[Any]]]] = {}
        self.lock = threading.Lock()
        self.source: Any = None

    def take(self, size: int) -> tuple[int, Any]:
        pieces = self.free.setdefault(size, [])
        with self.lock:
            for i, (address, memory, events) in enumerate(pieces):
                if all(told(FAILED, lambda event=event: event.is_done) for event in events):
                    del pieces[i]
                    return address, memory
        if self.source is None:
            require()
            from cuda.core import LegacyPinnedMemoryResource

            self.source = LegacyPinnedMemoryResource()
        from .gpu import cuda_backend

        cuda_backend(None).make_current()
        try:
            memory = self.source.allocate(size)
        except Exception as error:
            raise RuntimeError(f"pin_memory: no {size} bytes of pinned memory can be had: {error}") from error
        return int(memory.handle), memory


_shelf = _Shelf()


class Pinned:
    """One piece of pinned memory, the base of the NumPy arrays in it."""

    __slots__ = ("__array_interface__", "__weakref__", "_events", "_memory", "_shelf", "_size", "address")

    def __init__(self, nbytes: int) -> None:
        self._size = max(_SMALLEST, 1 << max(nbytes - 1, 0).bit_length())
        self._shelf = _shelf  # no global name is used when the last reference goes
        self.address, self._memory = _shelf.take(self._size)
        self._events: dict[int, Any] = {}  # by stream: behind the last copy there
        self.__array_interface__ = {
            "data": (self.address, False),
            "typestr": "|u1",
            "shape": (nbytes,),
            "version": 3,
        }

    def used_by(self, stream: Any) -> None:
        """Note that a copy with this memory has been given to a stream of cuda-core's."""
        handle = int(stream.handle)
        event = self._events.get(handle)
        if event is None:
            self._events[handle] = told(FAILED, stream.record)
        else:
            told(FAILED, stream.record, event)

    def __del__(self) -> None:
        if hasattr(self, "_memory"):
            self._shelf.free[self._size].append((self.address, self._memory, list(self._events.values())))


def pinned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of pinned memory with whatever is in it.  Raises RuntimeError where there is no GPU to pin it for."""
    memory = np.asarray(Pinned(prod(shape) * dtype.itemsize))
    return memory.view(dtype).reshape(shape)


def pinned_copy(array: np.ndarray) -> np.ndarray:
    """A row-major copy in pinned memory."""
    out = pinned_empty(array.shape, array.dtype)
    np.copyto(out, array)
    return out


def owner(array: np.ndarray) -> Pinned | None:
    """The pinned memory in which an array lies, or None."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if type(base) is Pinned else None
