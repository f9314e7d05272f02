"""Memory formats: in which order the dimensions of an image tensor lie in memory.  Shapes and indices never change."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import DeviceArray, RawArray, contiguous_strides, empty_like, is_dense
from .launch import copy_into
from .strides import Ints, packed


class memory_format:
    """An order of dimensions in memory: ``contiguous_format``, ``channels_last``, ``preserve_format``, no others."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"trigrad.{self.name}"


contiguous_format = memory_format("contiguous_format")  # row-major
channels_last = memory_format("channels_last")  # (N, C, H, W) in the order N, H, W, C
preserve_format = memory_format("preserve_format")  # as it is
FORMATS = {f.name: f for f in (contiguous_format, channels_last, preserve_format)}


def lies_in(shape: Ints, strides: Ints, format: Any) -> bool:
    """Whether memory with these strides (in elements) is without gaps in the order of ``format``.

    Raises TypeError for what is no memory format, RuntimeError for ``preserve_format``, which names no order.
    """
    if format is contiguous_format:
        return is_dense(shape, strides)
    if format is channels_last:
        return len(shape) == 4 and is_dense(*(tuple(x[d] for d in (0, 2, 3, 1)) for x in (shape, strides)))
    check("is_contiguous", format, shape, preserve=False)
    return False


def check(op: str, format: Any, shape: Ints, preserve: bool = True) -> None:
    """Raise TypeError for what is no memory format, RuntimeError for one that ``op`` or the shape cannot have."""
    if not isinstance(format, memory_format):
        raise TypeError(f"{op}: expected a memory format such as trigrad.channels_last, got {format!r}")
    if format is preserve_format and not preserve:
        raise RuntimeError(f"{op}: preserve_format is no order; use contiguous_format or channels_last")
    if format is channels_last and len(shape) != 4:
        raise RuntimeError(f"{op}: channels_last is for tensors (N, C, H, W), got shape {shape}")


def element_strides(array: RawArray) -> Ints:
    """An array's strides in elements."""
    return tuple(s // array.itemsize for s in array.strides) if isinstance(array, np.ndarray) else array.strides


def strides_for(shape: Ints, strides: Ints, format: memory_format) -> Ints:
    """Strides without gaps in the order of ``format``; to preserve is to keep the order that ``strides`` have."""
    if format is channels_last:
        n, c, h, w = shape
        return (max(c, 1) * max(h, 1) * max(w, 1), 1, max(w, 1) * max(c, 1), max(c, 1))
    if format is contiguous_format or 0 in shape:
        return contiguous_strides(shape)
    dense = packed(shape, strides)
    if dense is None and 0 not in strides:
        order = sorted(range(len(shape)), key=lambda d: (-strides[d], d))
        found = dict(zip(order, contiguous_strides(tuple(shape[d] for d in order)), strict=True))
        dense = tuple(found[d] for d in range(len(shape)))
    return dense or contiguous_strides(shape)


def arranged(fresh: Any, strides: Ints) -> Any:
    """A row-major array that nobody has written to, or of one value, with other strides that leave no gaps."""
    if isinstance(fresh, DeviceArray):
        fresh.strides = strides
        return fresh
    if strides == contiguous_strides(fresh.shape):
        return fresh
    order = sorted(range(fresh.ndim), key=lambda d: (-strides[d], -fresh.shape[d]))
    return fresh.reshape(tuple(fresh.shape[d] for d in order)).transpose(np.argsort(order))


def relaid(array: RawArray, strides: Ints) -> Any:
    """A copy of the array with these strides, which leave no gaps."""
    if isinstance(array, np.ndarray):
        out = arranged(np.empty(array.shape, array.dtype), strides)
        np.copyto(out, array)
        return out
    copied = arranged(empty_like(array), strides)
    copy_into(copied, array)
    return copied


def memory_order(array: RawArray) -> Ints | None:
    """The dimensions in the order in which they lie in memory without gaps, where that is not row-major; else None."""
    strides = element_strides(array)
    if is_dense(array.shape, strides) or packed(array.shape, strides) is None:
        return None
    return tuple(sorted(range(len(strides)), key=lambda d: (-strides[d], -array.shape[d])))


def permuted(array: Any, order: Any) -> Any:
    """A view with the dimensions in this order."""
    if isinstance(array, np.ndarray):
        return array.transpose(order)
    return array.viewed(lambda a: a.transpose(order))
