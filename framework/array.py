"""DeviceArray: a typed, strided window on a block of device memory.

On the CPU a raw array is a ``numpy.ndarray``; elsewhere it is this.  It computes nothing.  How a view's shape and
strides come about is left to NumPy: ``viewed`` shows NumPy an array that *describes* the memory, at the device's
own addresses, lets a function slice or transpose it, and reads the description back.  Nobody ever dereferences it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .device import Backend, Block, device

_BYTES = {
    1: np.dtype("u1"),
    2: np.dtype("u2"),
    4: np.dtype("u4"),
    8: np.dtype("u8"),
}  # stand-ins: bfloat16 has no typestr


@lru_cache(maxsize=4096)
def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a row-major array."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


@lru_cache(maxsize=4096)
def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether these strides are row-major; the strides of dimensions of size 1 do not matter."""
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1 and s != step:
            return prod(shape) == 0
        step *= n
    return True


class _Description:
    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


class DeviceArray:
    """``shape`` and ``strides`` (both in elements) over memory that begins at address ``ptr`` inside ``block``.

    Of a table of addresses, ``reaches`` names the arrays at these, so that whoever runs or captures a kernel knows
    what it touches beside its arguments.  Other arrays do not have it.
    """

    __slots__ = ("__weakref__", "backend", "block", "dtype", "ptr", "reaches", "shape", "strides")
    reaches: tuple[DeviceArray, ...]

    def __init__(
        self,
        block: Block,
        ptr: int,
        dtype: np.dtype,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        backend: Backend,
    ) -> None:
        self.block = block
        self.ptr = ptr
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        self.backend = backend

    @property
    def device(self) -> device:
        return self.backend.device

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @property
    def offset(self) -> int:
        """Elements between the block's beginning and the first element."""
        return (self.ptr - self.block.ptr) // self.dtype.itemsize

    @property
    def is_contiguous(self) -> bool:
        return is_dense(self.shape, self.strides)

    def viewed(self, function: Callable[[np.ndarray], np.ndarray]) -> DeviceArray:
        """The view that ``function`` makes of a NumPy array; it may index, reshape and transpose, never read or copy."""
        width = self.dtype.itemsize
        stand_in = np.asarray(
            _Description(
                {
                    "data": (self.ptr, False),
                    "typestr": _BYTES[width].str,
                    "version": 3,
                    "shape": self.shape,
                    "strides": tuple(s * width for s in self.strides),
                }
            )
        )
        out = function(stand_in)
        ptr = out.__array_interface__["data"][0] if out.size else self.ptr
        return DeviceArray(self.block, ptr, self.dtype, out.shape, tuple(s // width for s in out.strides), self.backend)

    def reinterpreted(self, dtype: np.dtype) -> DeviceArray:
        """The same memory read as another dtype of the same width."""
        return DeviceArray(self.block, self.ptr, dtype, self.shape, self.strides, self.backend)

    def numpy(self) -> np.ndarray:
        """A copy in host memory, row-major whatever the strides here; waits for the device."""
        flat = self
        if not self.is_contiguous:
            from .launch import contiguous

            flat = contiguous(self)
        out = np.empty(self.shape, self.dtype)
        if out.size:
            self.backend.copy_out(out, flat.ptr)
        return out

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, strides={self.strides}, dtype={self.dtype}, device={self.device})"


def empty(shape: tuple[int, ...], dtype: np.dtype, backend: Backend) -> DeviceArray:
    """Uninitialised row-major memory."""
    block = backend.allocate(prod(shape) * dtype.itemsize)
    return DeviceArray(block, block.ptr, dtype, shape, contiguous_strides(shape), backend)


def empty_like(array: DeviceArray, shape: tuple[int, ...] | None = None, dtype: np.dtype | None = None) -> DeviceArray:
    """Uninitialised row-major memory beside ``array``, of its shape and dtype unless told otherwise."""
    return empty(array.shape if shape is None else shape, array.dtype if dtype is None else dtype, array.backend)


def laid_out(array: DeviceArray, strides: tuple[int, ...]) -> DeviceArray:
    """Uninitialised memory beside ``array``, of its shape and dtype, with strides that leave no gaps."""
    out = empty_like(array)
    out.strides = strides
    return out


def from_numpy(array: np.ndarray, backend: Backend) -> DeviceArray:
    """A copy of a NumPy array in the memory of ``backend``."""
    out = empty(array.shape, array.dtype, backend)
    if out.size:
        backend.copy_in(out.ptr, np.ascontiguousarray(array))
    return out


RawArray = np.ndarray | DeviceArray
