"""What a graph needs around it: the launch that writes its numbers before a run, and the one that copies small results after.

Both are single launches whose arguments say everything, so the host need not wait for anything: the driver copies a
launch's arguments when it is called.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from .array import DeviceArray
from .device import Backend, Block
from .language import jit, next_power_of_2, tl
from .launch import launch

PAGE = 64  # slots that one launch fills
SMALL = 512  # results of up to so many bytes are copied by one launch
_BYTE = np.dtype(np.int8)


@jit
def _write(out, values):
    # out (n,) int64, values: n numbers of int64; one program
    for i in tl.static_range(len(values)):
        tl.store(out + i, values[i])


@jit
def _collect(out, sources, sizes, SLOT: tl.constexpr):
    # out (n * SLOT,) bytes, sources: n pointers to sizes[i] bytes; one program per source
    byte = tl.arange(0, SLOT)
    for i in tl.static_range(len(sources)):
        if tl.program_id(0) == i:
            mask = byte < sizes[i]
            tl.store(out + i * SLOT + byte, tl.load(sources[i] + byte, mask=mask), mask=mask)


class Page:
    """Some slots of eight bytes in device memory, and what is written there before each run."""

    def __init__(self, array: DeviceArray) -> None:
        self.array = array
        self.used = 0
        self.sources: list[Callable[[], tuple[Any, ...]]] = []
        self.formats = ""

    def take(self, count: int, format: str, source: Callable[[], tuple[Any, ...]]) -> DeviceArray:
        """The next ``count`` slots, which are to hold what ``source`` gives, as ``struct`` formats it.

        They begin where 16 bytes do, as other memory does: kernels may be compiled for that.
        """
        begin, self.used = self.used, self.used + count + count % 2
        self.formats += format * count + "8x" * (count % 2)
        self.sources.append(source)
        return self.array.viewed(lambda a: a[begin : begin + count, ...])

    def writer(self) -> Callable[[list[Any]], None]:
        """A function that launches the filling of the slots with the values given."""
        count = (self.used + 7) // 8 * 8  # few different kernels
        words = struct.Struct(f"<{count}q").unpack
        pack = struct.Struct("<" + self.formats).pack
        rest = bytes(8 * (count - self.used))
        array = self.array
        if not hasattr(array.backend, "bound"):
            return lambda values: launch(_write, (1,), array, tuple(map(np.int64, words(pack(*values) + rest))))
        start = array.backend.bound(_write, (1,), (array, tuple([np.int64(0)] * count)))
        address = array.ptr
        return lambda values: start(address, *words(pack(*values) + rest))


class Collection:
    """Small arrays that are copied together."""

    def __init__(self, arrays: list[DeviceArray]) -> None:
        self._backend: Any = arrays[0].backend
        self.slot = max(16, next_power_of_2(max(a.nbytes for a in arrays)))
        self.nbytes = self.slot * len(arrays)
        self._bytes = tuple([DeviceArray(a.block, a.ptr, _BYTE, (a.nbytes,), (1,), a.backend) for a in arrays])
        self._sizes = tuple([np.int64(a.nbytes) for a in arrays])
        self._flat = (*[a.ptr for a in arrays], *[a.nbytes for a in arrays])
        self._start: Callable[..., None] | None = None

    def copy(self, block: Block) -> None:
        """Copy array number i to ``i * slot`` bytes behind the block's beginning."""
        if self._start is not None:
            self._start(block.ptr, *self._flat)
            return
        to = DeviceArray(block, block.ptr, _BYTE, (block.nbytes,), (1,), self._backend)
        arguments, grid = (to, self._bytes, self._sizes), (len(self._bytes),)
        launch(_collect, grid, *arguments, SLOT=self.slot)
        if hasattr(self._backend, "bound"):
            self._start = self._backend.bound(_collect, grid, arguments, SLOT=self.slot)


def span(array: Any, backend: Backend, strides: tuple[int, ...]) -> DeviceArray:
    """Uninitialised memory for an array like ``array`` with these strides, gaps and repetitions included."""
    extent = 1 + sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True)) if array.size else 0
    block = backend.allocate(extent * array.dtype.itemsize)
    return DeviceArray(block, block.ptr, array.dtype, array.shape, strides, backend)
