"""New arrays of one value, and one value written into an array: what creation functions and gradients of views need."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import DeviceArray, empty, empty_like
from .device import Backend
from .language import jit, tl
from .launch import launch, offset_of
from .strides import ROW_MAJOR, classify

_BYTE = np.dtype(np.int8)
_SHORT = np.dtype(np.int16)


@jit
def _fill(out_ptr, value, n, shape, strides, KIND: tl.constexpr, BLOCK: tl.constexpr):
    # out: n elements, any strides · one program per BLOCK elements
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if KIND == "contiguous":
        where = element
    else:
        where = offset_of(element, shape, strides)
    tl.store(out_ptr + where, (tl.zeros((BLOCK,), value.dtype) + value).to(out_ptr.dtype.element_ty), mask=element < n)


def fill(out: DeviceArray, value: Any) -> DeviceArray:
    """Write one number into every element of ``out``; the number is rounded to its dtype first."""
    n = out.size
    if not n:
        return out
    # the value's bits as an integer: one kernel for each width, whatever the dtype
    number = np.asarray(value).astype(out.dtype)
    if number.dtype == bool:
        bits = number.astype(_BYTE)[()]
        out = out.reinterpreted(_BYTE)
    elif number.dtype.itemsize == 2:
        bits = number.view(_SHORT)[()]
        out = out.reinterpreted(_SHORT)
    else:
        bits = number[()]
    shape, (strides,), (kind,) = classify(out.shape, (out.strides,))
    block = out.backend.block_size(n)
    # one program per BLOCK elements of out
    launch(
        _fill,
        (-(-n // block),),
        out,
        bits,
        n,
        shape,
        strides,
        KIND=ROW_MAJOR if kind == ROW_MAJOR else "strided",
        BLOCK=block,
    )
    return out


def full(shape: tuple[int, ...], value: Any, dtype: np.dtype, backend: Backend | None) -> Any:
    """A new row-major array of one value, in the memory of ``backend``, or on the CPU where it is None."""
    if backend is None:
        return np.full(shape, value, dtype)
    made = empty(shape, dtype, backend)
    fill(made, value)
    return made


def zeros_like(array: Any, shape: tuple[int, ...] | None = None) -> Any:
    """A new row-major array of zeros beside ``array``, of its dtype, and of its shape unless told otherwise."""
    if isinstance(array, DeviceArray):
        made = empty_like(array, shape)
        fill(made, 0)
        return made
    return np.zeros(array.shape if shape is None else shape, array.dtype)
