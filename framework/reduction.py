"""The reduction launcher: fold an array along some of its dimensions with a ``@jit`` combination of two values.

The order in which values are combined is fixed by the shapes alone, so results do not vary from run to run; nothing
is added atomically.  Few long rows are split over programs in a first pass and folded in a second.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray, empty_like
from .elementwise import _number, widen
from .language import cdiv, jit, next_power_of_2, tl
from .launch import launch, offset_of
from .strides import Ints, classify


@jit
def same(x):
    """The value itself: what a reduction does before combining when it does nothing."""
    return x


@jit
def plus(a, b):
    """The sum of two values."""
    return a + b


@jit
def add_up(block):
    """The sum of each row of a block: what ``plus`` makes of it.  ``tl.reduce`` wants its function by name."""
    return tl.sum(block, axis=1)


@jit
def _reduce(out_ptr, in_ptr, M, R, per_split, identity, factor, kept_shape, kept_strides, shape, strides,
            MAP: tl.constexpr, COMBINE: tl.constexpr, FOLD: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_R: tl.constexpr):
    # in: M rows of R elements, any strides · out (splits, M), row-major
    # one program per BLOCK_M rows and split of R
    m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, R)
    base = offset_of(m, kept_shape, kept_strides)
    acc = tl.zeros((BLOCK_M, BLOCK_R), identity.dtype) + identity
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = (m[:, None] < M) & (r[None, :] < end)
        x = tl.load(in_ptr + base[:, None] + offset_of(r, shape, strides)[None, :], mask=mask)
        x = tl.where(mask, MAP(widen(x).to(acc.dtype)), acc * 0 + identity)
        acc = COMBINE(acc, x)
    result = FOLD(acc)
    if factor is not None:
        result = result * factor
    tl.store(out_ptr + tl.program_id(1).to(tl.int64) * M + m, result.to(out_ptr.dtype.element_ty), mask=m < M)


@lru_cache(maxsize=8192)
def split_dimensions(shape: Ints, strides: Ints, dims: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Kept and reduced dimensions, each merged: (kept shape, kept strides, reduced shape, reduced strides)."""
    parts: list[Ints] = []
    for group in ([d for d in range(len(shape)) if d not in dims], list(dims)):
        merged, (steps,), _ = classify(tuple(shape[d] for d in group), (tuple(strides[d] for d in group),))
        parts += [merged, steps]
    return parts[0], parts[1], parts[2], parts[3]


def result_shape(shape: Ints, dims: Ints, keepdim: bool) -> Ints:
    """The shape left when ``dims`` are reduced."""
    if keepdim:
        return tuple(1 if d in dims else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in dims)


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype sums are carried in: float32 for half types, int64 for integers and bool, else the dtype itself."""
    if dtype in dtypes.HALF:
        return np.dtype(np.float32)
    return dtype if dtype.kind == "f" else np.dtype(np.int64)


def blocks(M: int, R: int, backend: Any, most: int | None = None) -> tuple[int, int]:
    """BLOCK_M and BLOCK_R for M rows of R: together about ``most`` elements (the back end's block by default)."""
    most = backend.block if most is None else most
    block_r = min(next_power_of_2(max(R, 1)), most)
    block_m = max(1, min(next_power_of_2(max(M, 1)), most // block_r))
    return block_m, block_r


def reduce(input: DeviceArray, dims: Ints, keepdim: bool, combine: Any, identity: float | int | bool,
           fold: Any = add_up, map: Any = same, acc: np.dtype | None = None, result: np.dtype | None = None,
           factor: float | None = None) -> DeviceArray:
    """Fold ``input`` along ``dims`` with ``combine(a, b)``, applied to ``map(value)``, from ``identity``.

    ``fold(block)`` combines each row of a 2-d block in the same way (``add_up`` for ``plus``).
    Values are carried in ``acc`` (by default the accumulator of the input's dtype), multiplied by ``factor`` at the
    end where one is given, and stored as ``result`` (by default the input's dtype).
    """
    carried = accumulator(input.dtype) if acc is None else acc
    number = _number(carried)
    kept, kept_strides, shape, strides = split_dimensions(input.shape, input.strides, dims)
    out = empty_like(input, result_shape(input.shape, dims, keepdim), input.dtype if result is None else result)
    M = out.size
    R = int(np.prod([input.shape[d] for d in dims], dtype=np.int64))
    if not M:
        return out
    block_m, block_r = blocks(M, R, input.backend)
    rows = cdiv(M, block_m)
    splits = min(cdiv(R, 4 * block_r), cdiv(2 * input.backend.programs, rows)) if R > 8 * block_r else 1
    last = None if factor is None else number(factor)
    if splits <= 1:
        launch(_reduce, (rows, 1), out, input, M, R, max(R, 1), number(identity), last, kept, kept_strides, shape, strides,
               MAP=map, COMBINE=combine, FOLD=fold, BLOCK_M=block_m, BLOCK_R=block_r)
        return out
    per_split = cdiv(cdiv(R, splits), block_r) * block_r
    splits = cdiv(R, per_split)
    partial = empty_like(input, (splits, M), carried)
    launch(_reduce, (rows, splits), partial, input, M, R, per_split, number(identity), None, kept, kept_strides, shape,
           strides, MAP=map, COMBINE=combine, FOLD=fold, BLOCK_M=block_m, BLOCK_R=block_r)
    block_m, block_r = blocks(M, splits, input.backend)
    launch(_reduce, (cdiv(M, block_m), 1), out, partial, M, splits, splits, number(identity), last, (M,), (1,), (splits,),
           (M,), MAP=same, COMBINE=combine, FOLD=fold, BLOCK_M=block_m, BLOCK_R=block_r)
    return out
