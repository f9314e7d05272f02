"""The reduction launcher: fold arrays along some of their dimensions with a ``@jit`` combination of values.

The order in which values are combined is fixed by the shapes alone, so results do not vary from run to run; nothing
is added atomically.  Few long rows are split over programs in a first pass and folded in a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from operator import index
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray, empty_like
from .elementwise import _number, widen
from .language import cdiv, jit, next_power_of_2, tl
from .language import reduce as fold
from .launch import launch
from .strides import Ints, classify

_LANES = 128  # neighbouring rows a program takes where the rows, not their elements, are neighbours in memory


def dims_of(name: str, ndim: int, dim: int | Iterable[int] | None) -> Ints:
    """The dimensions that ``dim`` names, counted from 0 and in order; all of them for None or an empty sequence.

    Raises IndexError for one that is out of range, RuntimeError for one named twice, TypeError for what is no integer.
    """
    if dim is None:
        return tuple(range(ndim))
    try:
        given = tuple(index(d) for d in dim) if isinstance(dim, Iterable) else (index(dim),)
    except TypeError:
        raise TypeError(f"{name}: expected dim to be an int or several, got {dim!r}") from None
    if not given:
        return tuple(range(ndim))
    least = max(ndim, 1)  # a 0-d array passes for one of a single dimension
    for d in given:
        if not -least <= d < least:
            raise IndexError(f"{name}: dim {d} is out of range for {ndim} dimensions: expected {-least} to {least - 1}")
    dims = sorted(d % least for d in given)
    for d, after in zip(dims, dims[1:], strict=False):
        if d == after:
            raise RuntimeError(f"{name}: dim {d} is named more than once in {given}")
    return tuple(dims) if ndim else ()


@jit
def same(x):
    """The value itself: what a reduction does before combining when it does nothing."""
    return x


@jit
def plus(a, b):
    """The sum of two values."""
    return a + b


@jit
def row_offset(number, KIND: tl.constexpr, shape, strides):
    """Where the row-major element ``number`` of some dimensions lies, by their stride class; int64 where strided."""
    if KIND == "contiguous":
        return number
    elif KIND == "scalar":
        return number * 0
    else:
        offset = number.to(tl.int64) * 0
        rest = number
        for d in tl.static_range(len(shape) - 1, -1, -1):
            if d > 0:
                offset += (rest % shape[d]).to(tl.int64) * strides[d]
                rest = rest // shape[d]
            else:
                offset += rest.to(tl.int64) * strides[d]
        return offset


@jit
def _reduce(
    out_ptr,
    inputs,
    settings,
    M,
    R,
    per_split,
    identity,
    factor,
    kept_shape,
    kept_strides,
    shape,
    strides,
    MAP: tl.constexpr,
    COMBINE: tl.constexpr,
    KEPT_KINDS: tl.constexpr,
    KINDS: tl.constexpr,
    AXIS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # inputs: numbers, and pointers to M rows of R elements each, any strides · out (splits, M), row-major
    # one program per BLOCK_M rows and split of R
    m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    begin = tl.program_id(1) * per_split
    end = tl.minimum(begin + per_split, R)
    if AXIS == 1:
        acc = tl.zeros((BLOCK_M, BLOCK_R), identity.dtype) + identity
    else:
        acc = tl.zeros((BLOCK_R, BLOCK_M), identity.dtype) + identity
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = tl.expand_dims(m < M, AXIS) & tl.expand_dims(r < end, 1 - AXIS)
        values = ()
        for i in tl.static_range(len(inputs)):
            if KINDS[i] == "value":
                value = inputs[i]
            else:
                base = row_offset(m, KEPT_KINDS[i], kept_shape, kept_strides[i])
                step = row_offset(r, KINDS[i], shape, strides[i])
                value = widen(
                    tl.load(inputs[i] + (tl.expand_dims(base, AXIS) + tl.expand_dims(step, 1 - AXIS)), mask=mask)
                )
            values = values + (value.to(identity.dtype),)
        acc = COMBINE(acc, tl.where(mask, MAP(*values, *settings), identity))
    result = fold(acc, AXIS, COMBINE)
    if factor is not None:
        result = result * factor
    tl.store(out_ptr + tl.program_id(1).to(tl.int64) * M + m, result.to(out_ptr.dtype.element_ty), mask=m < M)


@lru_cache(maxsize=8192)
def split_dimensions(shape: Ints, strides: Ints, dims: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Kept and reduced dimensions, each merged: (kept shape, kept strides, reduced shape, reduced strides)."""
    kept, reduced, _ = rows_and_columns(((shape, strides),), dims)
    return kept[0], kept[1][0], reduced[0], reduced[1][0]


@lru_cache(maxsize=8192)
def rows_and_columns(operands: tuple[tuple[Ints, Ints], ...], dims: Ints) -> tuple[Any, Any, bool]:
    """How operands of (shape, strides), broadcast together, lie in memory as rows to be reduced along ``dims``.

    Returns what ``classify`` says of the kept and of the reduced dimensions (merged shape, strides and class of each
    operand), and whether neighbours in the first operand's memory are of different rows.
    """
    shape = np.broadcast_shapes(*(own for own, _ in operands))
    spread = []
    for own, steps in operands:
        fitted = (0,) * (len(shape) - len(own)) + tuple(0 if n == 1 else s for n, s in zip(own, steps, strict=True))
        spread.append(fitted)
    parts = []
    for group in (tuple(d for d in range(len(shape)) if d not in dims), dims):
        merged, steps_, _ = classify(tuple(shape[d] for d in group), tuple(tuple(s[d] for d in group) for s in spread))
        kinds = tuple(
            "scalar" if not any(s) else "contiguous" if len(merged) == 1 and s[0] == 1 else "strided" for s in steps_
        )
        parts.append((merged, steps_, kinds))
    (kept, kept_steps, _), (reduced, reduced_steps, _) = parts
    across = prod(kept) > 1 and kept_steps[0][-1] == 1 and prod(reduced) > 1 and reduced_steps[0][-1] != 1
    return parts[0], parts[1], across


def result_shape(shape: Ints, dims: Ints, keepdim: bool) -> Ints:
    """The shape left when ``dims`` are reduced."""
    if keepdim:
        return tuple(1 if d in dims else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in dims)


def kept_dims(array: Any, dims: Ints, keepdim: bool) -> Any:
    """A view of a reduction's result that broadcasts against the reduced array."""
    if keepdim or not dims:
        return array
    if isinstance(array, DeviceArray):
        return array.viewed(lambda a: np.expand_dims(a, dims))
    return np.expand_dims(array, dims)


def spread_over(array: Any, shape: Ints, dims: Ints, keepdim: bool) -> Any:
    """A reduction's result repeated, without copying, to the shape of what was reduced."""
    wide = kept_dims(array, dims, keepdim)
    if isinstance(wide, DeviceArray):
        return wide.viewed(lambda a: np.broadcast_to(a, shape))
    return np.broadcast_to(wide, shape)


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype sums are carried in: float32 for half types, int64 for integers and bool, else the dtype itself."""
    if dtype in dtypes.HALF:
        return np.dtype(np.float32)
    return dtype if dtype.kind == "f" else np.dtype(np.int64)


def blocks(M: int, R: int, backend: Any, most: int | None = None, across: bool = False) -> tuple[int, int]:
    """BLOCK_M and BLOCK_R for M rows of R: together about ``most`` elements (the back end's block by default).

    ``across`` says that neighbours in memory are of different rows, so that a program takes several of these.
    """
    most = backend.block if most is None else most
    block_r = min(next_power_of_2(R), most)
    block_m = min(next_power_of_2(M), max(most // block_r, min(_LANES, most) if across else 1))
    return block_m, min(block_r, most // block_m)


def reduce(
    inputs: DeviceArray | tuple[Any, ...],
    dims: Ints,
    keepdim: bool,
    combine: Any,
    identity: float | int | bool,
    map: Any = same,
    acc: np.dtype | None = None,
    result: np.dtype | None = None,
    factor: float | None = None,
    settings: tuple[Any, ...] = (),
) -> DeviceArray:
    """Fold ``map(*values, *settings)`` along ``dims`` with ``combine(a, b)``, from ``identity``.

    ``inputs`` is an array, or several arrays and numbers that broadcast; ``dims`` counts from the front of their common
    shape.  Values are carried in ``acc`` (by default the accumulator of the first array's dtype), multiplied by
    ``factor`` at the end where one is given, and stored as ``result`` (by default the first array's dtype).
    """
    given = (inputs,) if isinstance(inputs, DeviceArray) else inputs
    arrays = [x for x in given if isinstance(x, DeviceArray)]
    first = arrays[0]
    carried = accumulator(first.dtype) if acc is None else acc
    number = _number(carried)
    (kept, kept_steps, kept_kinds), (columns, steps, kinds), across = rows_and_columns(
        tuple((x.shape, x.strides) for x in arrays), dims
    )
    shape = first.shape if len(arrays) == 1 else np.broadcast_shapes(*(x.shape for x in arrays))
    out = empty_like(first, result_shape(shape, dims, keepdim), first.dtype if result is None else result)
    M = out.size
    R = prod(shape[d] for d in dims)
    if not M:
        return out
    if len(arrays) != len(given):
        place = iter(range(len(arrays)))
        places = [next(place) if isinstance(x, DeviceArray) else None for x in given]
        kept_steps = tuple((0,) * len(kept) if p is None else kept_steps[p] for p in places)
        steps = tuple((0,) * len(columns) if p is None else steps[p] for p in places)
        kept_kinds = tuple("value" if p is None else kept_kinds[p] for p in places)
        kinds = tuple("value" if p is None else kinds[p] for p in places)
        given = tuple(number(x) if p is None else x for x, p in zip(given, places, strict=True))
    block_m, block_r = blocks(M, R, first.backend, across=across)
    rows = cdiv(M, block_m)
    splits = min(cdiv(R, 4 * block_r), cdiv(2 * first.backend.programs, rows)) if R > 8 * block_r else 1
    last = None if factor is None else number(factor)
    per_split = max(R, 1)
    target = out
    if splits > 1:
        per_split = cdiv(cdiv(R, splits), block_r) * block_r
        splits = cdiv(R, per_split)
        target = empty_like(first, (splits, M), carried)
    launch(
        _reduce,
        (rows, splits),
        target,
        given,
        tuple(number(s) for s in settings),
        M,
        R,
        per_split,
        number(identity),
        None if splits > 1 else last,
        kept,
        kept_steps,
        columns,
        steps,
        MAP=map,
        COMBINE=combine,
        KEPT_KINDS=kept_kinds,
        KINDS=kinds,
        AXIS=0 if across else 1,
        BLOCK_M=block_m,
        BLOCK_R=block_r,
    )
    if splits > 1:
        # one program per BLOCK_M rows of out, (splits, M) folded down its columns
        block_m, block_r = blocks(M, splits, first.backend, across=True)
        launch(
            _reduce,
            (cdiv(M, block_m), 1),
            out,
            (target,),
            (),
            M,
            splits,
            splits,
            number(identity),
            last,
            (M,),
            ((1,),),
            (splits,),
            ((M,),),
            MAP=same,
            COMBINE=combine,
            KEPT_KINDS=("contiguous",),
            KINDS=("strided",),
            AXIS=0,
            BLOCK_M=block_m,
            BLOCK_R=block_r,
        )
    return out
