"""Launching: from a kernel and its arguments to the back end that runs it, and the kernels every device needs.

``launch`` is the only way a Triton kernel is ever started.  ``copy_into`` moves values between any two layouts and
dtypes on one device; ``contiguous``, ``copied`` and ``cast`` are it with a fresh destination.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import DeviceArray, empty_like
from .language import jit, tl
from .strides import accesses, packed, transposition


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
    else:
        return tl.load(pointer + number_at(element, KIND, shape, strides), mask=mask)


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
def number_at(number, KIND: tl.constexpr, shape, strides):
    """``offset_of`` with fewer divisions where the stride class allows."""
    if KIND == "row":  # (rows, columns) with the same row everywhere
        return (number % shape[1]) * strides[1]
    elif KIND == "column":  # (rows, columns) with the same column everywhere
        return (number // shape[1]) * strides[0]
    else:
        return offset_of(number, shape, strides)


@jit
def numbers(first, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """The numbers of BLOCK elements from ``first`` (int64) on, in int32 unless WIDE: division is dear in int64."""
    if WIDE:
        return first + tl.arange(0, BLOCK)
    else:
        return first.to(tl.int32) + tl.arange(0, BLOCK)


@jit
def pointers_at(
    pointer,
    first,
    number,
    KIND: tl.constexpr,
    HELD: tl.constexpr,
    shape,
    strides,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Pointers to one operand's values at a block of elements: see ``Access``.

    ``first`` is the number of the block's first element in int64, ``number`` those of its elements, or of its groups.
    """
    if VECTOR == 1:
        if KIND == "contiguous":
            return (pointer + first) + tl.arange(0, BLOCK)
        else:
            return pointer + number_at(number, KIND, shape, strides)
    elif HELD:
        return pointer + tl.expand_dims(number_at(number, KIND, shape, strides), 1)
    else:
        lane = tl.expand_dims(tl.arange(0, VECTOR), 0)
        if KIND == "contiguous":
            return (pointer + first) + (tl.expand_dims(tl.arange(0, BLOCK // VECTOR), 1) * VECTOR + lane)
        else:
            return pointer + (tl.expand_dims(number_at(number, KIND, shape, strides), 1) * VECTOR + lane)


@jit
def load_block(
    pointer,
    first,
    number,
    mask,
    KIND: tl.constexpr,
    HELD: tl.constexpr,
    shape,
    strides,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """One operand's values at a block of elements: see ``pointers_at``."""
    if KIND == "value":  # a number, not a pointer
        return pointer
    elif KIND == "scalar":
        return tl.load(pointer)
    else:
        return tl.load(pointers_at(pointer, first, number, KIND, HELD, shape, strides, BLOCK, VECTOR), mask=mask)


@jit
def converted(value, KIND: tl.constexpr):
    """``value`` as KIND; floating values become bool by not being 0."""
    if KIND == tl.int1 and value.dtype.is_floating():
        return value != 0
    else:
        return value.to(KIND)


@jit
def _copy_block(
    out_ptr,
    in_ptr,
    first,
    number,
    mask,
    shape,
    out_strides,
    in_strides,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    value = load_block(in_ptr, first, number, mask, KINDS[1], HELD[1], shape, in_strides, BLOCK, VECTOR)
    to = pointers_at(out_ptr, first, number, KINDS[0], HELD[0], shape, out_strides, BLOCK, VECTOR)
    value = tl.broadcast_to(converted(value, out_ptr.dtype.element_ty), to.shape)
    tl.store(to, value, mask=mask)


@jit
def _copy(
    out_ptr,
    in_ptr,
    n,
    shape,
    out_strides,
    in_strides,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # out, in: n elements each, or n groups of VECTOR, any strides and dtypes; one program per BLOCK elements
    first = tl.program_id(0).to(tl.int64) * BLOCK
    number = numbers(first // VECTOR, BLOCK // VECTOR, WIDE)
    if VECTOR > 1:
        mask = tl.expand_dims(number < n, 1)
        _copy_block(out_ptr, in_ptr, first, number, mask, shape, out_strides, in_strides, KINDS, HELD, BLOCK, VECTOR)
    elif first + BLOCK <= n:  # only the last block needs a mask, which stands in the way of wide loads
        _copy_block(out_ptr, in_ptr, first, number, None, shape, out_strides, in_strides, KINDS, HELD, BLOCK, VECTOR)
    else:
        _copy_block(
            out_ptr, in_ptr, first, number, number < n, shape, out_strides, in_strides, KINDS, HELD, BLOCK, VECTOR
        )


@jit
def _transpose(
    out_ptr,
    in_ptr,
    rows,
    columns,
    shape,
    out_strides,
    in_strides,
    out_step,
    in_step,
    ROW_UNIT: tl.constexpr,
    COLUMN_UNIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # out, in: matrices (shape) of rows x columns, given in units: rows = ROW_UNIT * their number, and so on
    # in: rows lie beside each other, a column is in_step * ROW_UNIT elements from the next, matrices in_strides * ROW_UNIT
    # out: columns lie beside each other, with out_step, out_strides and COLUMN_UNIT; so both sides are read wide
    # one program per BLOCK x BLOCK elements of one matrix; Triton exchanges them through shared memory
    R = rows * ROW_UNIT
    C = columns * COLUMN_UNIT
    high = tl.cdiv(R, BLOCK)
    wide = tl.cdiv(C, BLOCK)
    program = tl.program_id(0)
    matrix = (program // (high * wide)).to(tl.int64)
    row = (program // wide % high) * BLOCK + tl.arange(0, BLOCK)
    column = (program % wide) * BLOCK + tl.arange(0, BLOCK)
    mask = (row[:, None] < R) & (column[None, :] < C)
    source = in_ptr + offset_of(matrix, shape, in_strides) * ROW_UNIT
    target = out_ptr + offset_of(matrix, shape, out_strides) * COLUMN_UNIT
    value = tl.load(source + (row[:, None] + (column.to(tl.int64) * in_step * ROW_UNIT)[None, :]), mask=mask)
    to = target + ((row.to(tl.int64) * out_step * COLUMN_UNIT)[:, None] + column[None, :])
    tl.store(to, converted(value, out_ptr.dtype.element_ty), mask=mask)


def copy_into(out: DeviceArray, source: DeviceArray) -> None:
    """Copy ``source`` into the memory of ``out``; same device, shapes that broadcast to out's, any strides and dtypes."""
    if not out.size:
        return
    if source.shape != out.shape:
        source = source.viewed(lambda a: np.broadcast_to(a, out.shape))
    narrow = min(out.dtype.itemsize, source.dtype.itemsize)
    turned = transposition(out.shape, out.strides, source.strides, 16 // narrow)
    if turned is not None and max(out.dtype.itemsize, source.dtype.itemsize) <= 8:
        block = 64 if max(out.dtype.itemsize, source.dtype.itemsize) <= 4 else 32
        matrices, rows, columns, row_unit, column_unit, settings = turned
        launch(
            _transpose,
            (-(-rows // block) * -(-columns // block) * matrices,),
            out,
            source,
            *settings,
            ROW_UNIT=row_unit,
            COLUMN_UNIT=column_unit,
            BLOCK=block,
        )
        return
    access = accesses(out.shape, (out.strides, source.strides), 16 // narrow)
    n = out.size
    block = max(out.backend.block_size(n), access.vector)
    launch(
        _copy,
        (-(-n // block),),
        out,
        source,
        n // access.vector,
        access.shape,
        *access.strides,
        KINDS=access.kinds,
        HELD=access.held,
        VECTOR=access.vector,
        WIDE=access.wide,
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
    """A copy in another dtype; laid out like the array where that fills memory without gaps, else row-major."""
    out = empty_like(array, dtype=dtype)
    out.strides = packed(array.shape, array.strides) or out.strides
    copy_into(out, array)
    return out
