"""Windows that slide over images: their arguments, their sizes, and memory for what comes out of them.

The i-th tap of window o reads the input at ``o * stride - padding + i * dilation``, one axis at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from .array import DeviceArray, empty_like, is_dense
from .language import jit, tl
from .strides import unit

Pair = tuple[int, int]


def pair(op: str, name: str, value: Any) -> Pair:
    """``value``, an int or one or two ints, as two.

    Raises TypeError for other types, RuntimeError for other lengths.
    """
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    try:
        if any(isinstance(v, bool) for v in parts):
            raise TypeError
        ints = tuple(index(v) for v in parts)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an int or a tuple of two ints, got {value!r}") from None
    if len(ints) not in (1, 2):
        raise RuntimeError(f"{op}: {name} must be an int or a tuple of two ints, got {value!r}")
    return ints[0], ints[-1]


def check_image(op: str, shape: tuple[int, ...]) -> None:
    """Raises RuntimeError unless ``shape`` is (N, C, H, W) or (C, H, W) and nothing but N is 0."""
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError(
            f"{op}: expected an input of shape (N, C, H, W) or (C, H, W), where only N may be 0, got {shape}"
        )


def pooling(
    op: str, shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> dict[str, Any]:
    """The arguments of a pooling as settings of its row, checked against the input's shape.

    Raises RuntimeError for those that do not make sense or leave no output, TypeError for wrong types.
    """
    kernel = pair(op, "kernel_size", kernel_size)
    no_stride = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    step = kernel if no_stride else pair(op, "stride", stride)
    pad = pair(op, "padding", padding)
    dilate = pair(op, "dilation", dilation)
    if not isinstance(ceil_mode, (bool, np.bool_)):
        raise TypeError(f"{op}: ceil_mode must be a bool, got {ceil_mode!r}")
    for name, values in (("kernel_size", kernel), ("stride", step), ("dilation", dilate)):
        if min(values) <= 0:
            raise RuntimeError(f"{op}: {name} must be greater than zero, got {values}")
    check_image(op, shape)
    if any(p < 0 or 2 * p > k for k, p in zip(kernel, pad, strict=True)):
        raise RuntimeError(
            f"{op}: padding must be between 0 and half of kernel_size, got padding {pad} with kernel_size {kernel}"
        )
    out = sizes(shape, kernel, step, pad, dilate, bool(ceil_mode))
    if min(out) < 1:
        raise RuntimeError(
            f"{op}: kernel_size {kernel} with padding {pad} and dilation {dilate} leaves an output of "
            f"{out} from an input of {shape}"
        )
    return {"kernel_size": kernel, "stride": step, "padding": pad, "dilation": dilate, "ceil_mode": bool(ceil_mode)}


def sizes(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pair:
    """Height and width of what a pooling makes of an input of ``shape``."""
    h, w = (_size(*one, ceil_mode) for one in zip(shape[-2:], kernel, stride, padding, dilation, strict=True))
    return h, w


def _size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    room = n + 2 * p - d * (k - 1) - 1
    out = (room + (s - 1 if ceil_mode else 0)) // s + 1
    if ceil_mode and (out - 1) * s >= n + p:  # a window must begin inside the input or the padding before it
        out -= 1
    return out


def taps(n: int, out: int, k: int, s: int, p: int, d: int) -> Iterator[tuple[slice, slice]]:
    """For each tap along one axis: the windows where it falls inside the input, and where it falls there."""
    for i in range(k):
        first = i * d - p
        low = max(0, -(first // s))  # the first window with low * s + first >= 0
        high = min(out, (n - 1 - first) // s + 1)
        count = max(0, high - low)
        begin = low * s + first if count else 0
        yield slice(low, low + count), slice(begin, begin + (count - 1) * s + 1 if count else 0, s)


def channels_last(array: Any) -> bool:
    """Whether images (..., C, H, W) lie in memory as (..., H, W, C)."""
    shape, rank = array.shape, array.ndim
    order = (*range(rank - 3), rank - 2, rank - 1, rank - 3)
    if isinstance(array, DeviceArray):
        strides = array.strides
    else:
        strides = tuple(s // array.itemsize for s in array.strides)
    return (
        rank in (3, 4)
        and not is_dense(shape, strides)
        and is_dense(tuple(shape[d] for d in order), tuple(strides[d] for d in order))
    )


def empty(like: Any, shape: tuple[int, ...], dtype: Any = None) -> Any:
    """Uninitialised memory beside ``like``, channels-last where ``like`` is, else row-major."""
    last = channels_last(like)
    made = (*shape[:-3], shape[-2], shape[-1], shape[-3]) if last else shape
    kind = like.dtype if dtype is None else np.dtype(dtype)
    if isinstance(like, DeviceArray):
        out = empty_like(like, made, kind)
        return out.viewed(lambda a: np.moveaxis(a, -1, -3)) if last else out
    out = np.empty(made, kind)
    return np.moveaxis(out, -1, -3) if last else out


def batched(array: DeviceArray) -> DeviceArray:
    """(C, H, W) as (1, C, H, W); four dimensions as they are."""
    return array if array.ndim == 4 else array.viewed(lambda a: a[None])


@lru_cache(maxsize=1024)
def vector(C: int, last: bool, strides: tuple[tuple[int, ...], ...], most: int) -> int:
    """How many neighbouring channels kernels take at a time: up to ``most`` where all arrays are channels-last."""
    if not last or any(s[1] != 1 for s in strides):
        return 1
    return unit(most, (C, *(s[d] for s in strides for d in (0, 2, 3))))


def walk(out: DeviceArray, arrays: tuple[DeviceArray, ...]) -> tuple[tuple[Any, ...], dict[str, Any], int]:
    """How a kernel walks the images ``out`` (row-major or channels-last) and reads ``arrays``, which have 4 dimensions.

    Returns the strides of ``arrays`` in units of VECTOR, the constants LAST, VECTOR and WIDE, and the channels in units.
    """
    last = channels_last(out)
    strides = tuple(a.strides for a in arrays)
    narrow = min(a.dtype.itemsize for a in (out, *arrays))
    channels = arrays[0].shape[1]
    group = vector(channels, last, strides, 16 // narrow)
    reach = max(
        out.size,
        *(sum((n - 1) * abs(s) for n, s in zip(a.shape, a.strides, strict=True)) for a in arrays),
    )
    constants = {"LAST": last, "VECTOR": group, "WIDE": reach >= 2**31 - 2**20}
    if group == 1:
        return strides, constants, channels
    units = tuple((s[0] // group, 1, s[2] // group, s[3] // group) for s in strides)
    return units, constants, channels // group


@jit
def place_of(element, C, H, W, LAST: tl.constexpr):
    """The indices (n, c, h, w) of an element of (N, C, H, W) by its place in memory, row-major or channels-last."""
    if LAST:
        c = element % C
        w = element // C % W
        h = element // C // W % H
        n = element // C // W // H
    else:
        w = element % W
        h = element // W % H
        c = element // W // H % C
        n = element // W // H // C
    return n, c, h, w


@jit
def elements(C, H, W, LAST: tl.constexpr, VECTOR: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """This program's elements of (N, C, H, W): numbers (BLOCK / VECTOR, VECTOR), and indices (BLOCK / VECTOR, 1).

    They are in the order of memory; C and the index c are in units of VECTOR.  int32 unless WIDE.
    """
    first = tl.program_id(0).to(tl.int64) * (BLOCK // VECTOR)
    if not WIDE:
        first = first.to(tl.int32)
    group = tl.expand_dims(first + tl.arange(0, BLOCK // VECTOR), 1)
    n, c, h, w = place_of(group, C, H, W, LAST)
    return group * VECTOR + tl.expand_dims(tl.arange(0, VECTOR), 0), n, c, h, w


@jit
def pixel(n, c, h, w, strides, VECTOR: tl.constexpr):
    """Where VECTOR neighbouring channels of pixels lie; strides in units of VECTOR."""
    at = n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3]
    return at * VECTOR + tl.expand_dims(tl.arange(0, VECTOR), 0)
