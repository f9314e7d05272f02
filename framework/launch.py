"""Launching: from a kernel and its arguments to the back end that runs it, and the kernels every device needs.

``launch`` is the only way a Triton kernel is ever started.  ``copy_into`` moves values between any two layouts and
dtypes on one device; ``contiguous``, ``copied`` and ``cast`` are it with a fresh destination.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import DeviceArray, empty_like
from .language import jit, tl
from .strides import ROW_MAJOR, classify


def launch(
    function: Any, grid: tuple[int, ...], *arguments: Any, num_warps: int = 4, num_stages: int = 3, **constants: Any
) -> None:
    """Run a ``@jit`` kernel over ``grid`` on the device of the first ``DeviceArray`` among its arguments.

    ``arguments`` are the kernel's run-time parameters in order: a ``DeviceArray`` (its address), a typed NumPy
    scalar, an int, None, or a tuple of these; ``constants`` its ``tl.constexpr`` parameters.  An empty grid is no work.
    """
    if 0 in grid:
        return
    _backend(arguments).launch(function, grid, arguments, constants, num_warps, num_stages)


def _backend(arguments: tuple[Any, ...]) -> Any:
    for x in arguments:
        if isinstance(x, DeviceArray):
            return x.backend
        if type(x) is tuple:
            found = _backend(x)
            if found is not None:
                return found
    return None


@jit
def load_at(pointer, element, mask, KIND: tl.constexpr, shape, strides):
    """One operand's values at the row-major numbers ``element``, by its stride class."""
    if KIND == "contiguous":
        return tl.load(pointer + element, mask=mask)
    elif KIND == "value":  # a number, not a pointer
        return pointer
    elif KIND == "scalar":
        return tl.load(pointer)
    elif KIND == "row":  # (rows, columns) with the same row everywhere
        return tl.load(pointer + (element % shape[1]) * strides[1], mask=mask)
    elif KIND == "column":  # (rows, columns) with the same column everywhere
        return tl.load(pointer + (element // shape[1]) * strides[0], mask=mask)
    else:
        return tl.load(pointer + offset_of(element, shape, strides), mask=mask)


@jit
def offset_of(element, shape, strides):
    """Where the row-major element number ``element`` lies in memory."""
    offset = element * 0
    rest = element
    for d in tl.static_range(len(shape) - 1, -1, -1):
        if d > 0:
            offset += (rest % shape[d]) * strides[d]
            rest = rest // shape[d]
        else:
            offset += rest * strides[d]
    return offset


@jit
def _copy(
    out_ptr,
    in_ptr,
    n,
    shape,
    out_strides,
    in_strides,
    OUT_KIND: tl.constexpr,
    IN_KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # out, in: n elements each, any strides and dtypes; one program per BLOCK elements
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    value = load_at(in_ptr, element, mask, IN_KIND, shape, in_strides)
    if OUT_KIND == "contiguous":
        where = element
    else:
        where = offset_of(element, shape, out_strides)
    if in_ptr.dtype.element_ty.is_floating() and out_ptr.dtype.element_ty == tl.int1:
        value = value != 0
    tl.store(out_ptr + where, value.to(out_ptr.dtype.element_ty), mask=mask)


def copy_into(out: DeviceArray, source: DeviceArray) -> None:
    """Copy ``source`` into the memory of ``out``; same device, shapes that broadcast to out's, any strides and dtypes."""
    if not out.size:
        return
    if source.shape != out.shape:
        source = source.viewed(lambda a: np.broadcast_to(a, out.shape))
    shape, (out_strides, in_strides), kinds = classify(out.shape, (out.strides, source.strides))
    n = out.size
    block = out.backend.block_size(n)
    launch(
        _copy,
        (-(-n // block),),
        out,
        source,
        n,
        shape,
        out_strides,
        in_strides,
        OUT_KIND=ROW_MAJOR if kinds[0] == ROW_MAJOR else "strided",
        IN_KIND=kinds[1],
        BLOCK=block,
    )


def copied(array: DeviceArray) -> DeviceArray:
    """A row-major copy."""
    out = empty_like(array)
    copy_into(out, array)
    return out


def contiguous(array: DeviceArray) -> DeviceArray:
    """The array itself where it is row-major, else a row-major copy."""
    return array if array.is_contiguous else copied(array)


def cast(array: DeviceArray, dtype: np.dtype) -> DeviceArray:
    """A row-major copy in another dtype."""
    out = empty_like(array, dtype=dtype)
    copy_into(out, array)
    return out
