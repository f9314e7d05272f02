"""The reduction launcher: fold arrays along some of their dimensions with a ``@jit`` combination of values.

The order in which values are combined is fixed by the shapes alone, so results do not vary from run to run; nothing
is added atomically.  Few long rows are split over programs in a first pass and folded in a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
from .launch import launch, offset_of
from .strides import Ints, classify, unit

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
def line(number, KIND: tl.constexpr, HELD: tl.constexpr, GROUP: tl.constexpr, UNIT: tl.constexpr, shape, strides):
    """Where the elements ``number`` of some dimensions lie: see ``Rows``.

    Numbers go in groups of GROUP neighbours, which is what ``shape`` counts; strides are in units of UNIT elements.
    """
    if KIND == "scalar":
        return number * 0
    elif KIND == "contiguous":
        return number
    elif HELD:
        return offset_of(number // GROUP, shape, strides)
    elif GROUP == 1:
        return offset_of(number, shape, strides) * UNIT
    else:
        return offset_of(number // GROUP, shape, strides) * GROUP + number % GROUP


@jit
def row_at(m, i: tl.constexpr, geometry, FORM: tl.constexpr):
    """Where the rows ``m`` of operand ``i`` begin: see ``Rows``."""
    if FORM[3]:
        return line(m, FORM[0][i], FORM[2][i], FORM[4], 1, geometry[0], geometry[1][i])
    else:
        return line(m, FORM[0][i], False, 1, 1 if FORM[2][i] else FORM[4], geometry[0], geometry[1][i])


@jit
def column_at(r, i: tl.constexpr, geometry, FORM: tl.constexpr):
    """Where the elements ``r`` of a row of operand ``i`` lie, from the row's beginning: see ``Rows``."""
    if FORM[3]:
        return line(r, FORM[1][i], False, 1, 1 if FORM[2][i] else FORM[4], geometry[2], geometry[3][i])
    else:
        return line(r, FORM[1][i], FORM[2][i], FORM[4], 1, geometry[2], geometry[3][i])


@jit
def offsets_of(m, r, i: tl.constexpr, geometry, FORM: tl.constexpr):
    """Where rows ``m``, elements ``r`` of operand ``i`` lie: a tile (m, r), or (r, m) if across."""
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    rows = tl.expand_dims(row_at(m, i, geometry, FORM), AXIS)
    return rows + tl.expand_dims(column_at(r, i, geometry, FORM), 1 - AXIS)


@jit
def load_tile(pointer, m, r, mask, other, i: tl.constexpr, geometry, FORM: tl.constexpr):
    """A tile of operand ``i``, half types as float32: see ``offsets_of``."""
    return widen(tl.load(pointer + offsets_of(m, r, i, geometry, FORM), mask=mask, other=other))


@jit
def store_tile(pointer, value, m, r, mask, i: tl.constexpr, geometry, FORM: tl.constexpr):
    """Store a tile of operand ``i``: see ``offsets_of``."""
    at = offsets_of(m, r, i, geometry, FORM)
    tl.store(pointer + at, value.to(pointer.dtype.element_ty), mask=mask)


@jit
def extent(rows, columns, FORM: tl.constexpr):
    """M and R from the sizes in units: see ``Rows``."""
    if FORM[5]:
        rows = tl.cast(rows, tl.int64)
        columns = tl.cast(columns, tl.int64)
    if FORM[3]:
        return rows * FORM[4], columns
    else:
        return rows, columns * FORM[4]


@jit
def row_numbers(BLOCK_M: tl.constexpr, BLOCK_R: tl.constexpr, FORM: tl.constexpr):
    """The numbers of the rows of this program, and 0 to BLOCK_R - 1; int32 where that is enough."""
    if FORM[5]:
        m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
        return m, tl.arange(0, BLOCK_R).to(tl.int64)
    else:
        return tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_R)


@jit
def _fold_tile(
    acc, inputs, settings, m, r, mask, identity, geometry, MAP: tl.constexpr, COMBINE: tl.constexpr, FORM: tl.constexpr
):
    """``acc`` combined with what MAP makes of a tile; identity where ``mask`` says that there is none."""
    values = ()
    for i in tl.static_range(len(inputs)):
        if FORM[1][i] == "value":
            value = inputs[i]
        else:
            value = load_tile(inputs[i], m, r, mask, None, i, geometry, FORM)
        values = values + (value.to(identity.dtype),)
    return COMBINE(acc, tl.where(mask, MAP(*values, *settings), identity))


@jit
def _reduce(
    out_ptr,
    inputs,
    settings,
    rows,
    columns,
    tiles,
    identity,
    factor,
    geometry,
    MAP: tl.constexpr,
    COMBINE: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # inputs: numbers, and pointers to M rows of R elements each, any strides · out (splits, M), row-major
    # one program per BLOCK_M rows and ``tiles`` of the row's tiles of BLOCK_R
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    M, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    begin = tl.program_id(1) * tiles
    end = tl.minimum(begin + tiles, tl.cdiv(R, BLOCK_R).to(tl.int32))
    whole = tl.minimum(end, (R // BLOCK_R).to(tl.int32))
    here = tl.expand_dims(m < M, AXIS)
    if FORM[3]:
        acc = tl.zeros((BLOCK_R, BLOCK_M), identity.dtype) + identity
    else:
        acc = tl.zeros((BLOCK_M, BLOCK_R), identity.dtype) + identity
    for tile in range(begin, whole):  # only the last tile of a row needs a mask, which stands in the way of wide loads
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        acc = _fold_tile(acc, inputs, settings, m, r, here, identity, geometry, MAP, COMBINE, FORM)
    for tile in range(tl.maximum(begin, whole), end):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        mask = here & tl.expand_dims(r < R, 1 - AXIS)
        acc = _fold_tile(acc, inputs, settings, m, r, mask, identity, geometry, MAP, COMBINE, FORM)
    result = fold(acc, AXIS, COMBINE)
    if factor is not None:
        result = result * factor
    to = out_ptr + tl.program_id(1).to(tl.int64) * M + m
    tl.store(to, result.to(out_ptr.dtype.element_ty), mask=m < M)


@dataclass(frozen=True, slots=True)
class Rows:
    """How operands, broadcast together, lie in memory as ``M`` rows of ``R`` elements, and how kernels walk them.

    Neighbours in memory are neighbours in a row, or are in neighbouring rows if ``across``.  In that direction the kernel
    walks in groups of ``vector`` neighbours, so that loads are wide whatever the strides are: that direction's shape
    counts groups, and strides are in units of ``vector``, but for operands that are ``held``, the same value throughout
    a group.  ``kept_*`` speak of the rows, the others of the elements in a row; strides, kinds and held have one entry
    for each operand.  ``wide`` says that numbers or offsets may pass 2**31.
    """

    shape: Ints  # of all operands together
    M: int
    R: int
    kept_shape: Ints
    kept_strides: tuple[Ints, ...]
    kept_kinds: tuple[str, ...]
    columns_shape: Ints
    strides: tuple[Ints, ...]
    kinds: tuple[str, ...]
    held: tuple[bool, ...]
    across: bool
    vector: int
    wide: bool

    @property
    def units(self) -> tuple[int, int]:
        """M and R as kernels take them: see ``extent``."""
        return (self.M // self.vector, self.R) if self.across else (self.M, self.R // self.vector)

    @property
    def form(self) -> tuple[Any, ...]:
        """FORM, what kernels on these rows are compiled for."""
        return self.kept_kinds, self.kinds, self.held, self.across, self.vector, self.wide

    @property
    def geometry(self) -> tuple[Any, ...]:
        """Kernels' argument: shape and strides of the rows, and of the elements in a row."""
        return self.kept_shape, self.kept_strides, self.columns_shape, self.strides


@lru_cache(maxsize=8192)
def rows_of(operands: tuple[tuple[Ints, Ints], ...], dims: Ints, most: int) -> Rows:
    """``Rows`` along ``dims`` of operands of (shape, strides); ``most`` is the number of elements in the widest load."""
    (kept, kept_steps, kept_kinds), (reduced, steps, kinds), across = rows_and_columns(operands, dims)
    M, R = prod(kept), prod(reduced)
    if M == 1:  # rows that are not there must not hide that the columns begin at an aligned address
        kept_steps, kept_kinds = ((0,),) * len(operands), ("scalar",) * len(operands)
    if R == 1:
        steps, kinds = ((0,),) * len(operands), ("scalar",) * len(operands)
    along, other = ((kept, kept_steps), (reduced, steps)) if across else ((reduced, steps), (kept, kept_steps))
    inner = [s[-1] for s in along[1]]
    vector = 1
    if along[0][-1] > 1 and all(s in (0, 1) for s in inner) and 1 in inner:
        outer = [
            step
            for own, others in zip(along[1], other[1], strict=True)
            if own[-1] == 1
            for step in (*own[:-1], *others)
        ]
        vector = unit(most, (along[0][-1], *outer))
    reach = max(
        sum((n - 1) * abs(s) for n, s in zip((*kept, *reduced), (*a, *b), strict=True))
        for a, b in zip(kept_steps, steps, strict=True)
    )
    wide = max(reach, M, R) >= 2**31 - 2**20  # a block may begin below and end beyond
    held = (False,) * len(operands)
    if vector > 1:
        held = tuple(s == 0 for s in inner)
        grouped = (*along[0][:-1], along[0][-1] // vector)
        down = tuple(own if h else (*(s // vector for s in own[:-1]), 1) for own, h in zip(along[1], held, strict=True))
        beside = tuple(own if h else tuple(s // vector for s in own) for own, h in zip(other[1], held, strict=True))
        if across:
            kept, kept_steps, steps = grouped, down, beside
        else:
            reduced, steps, kept_steps = grouped, down, beside
    shape = np.broadcast_shapes(*(own for own, _ in operands))
    return Rows(
        shape, M, R, kept, kept_steps, kept_kinds, reduced, steps, kinds, held, across, vector, wide
    )  # fmt: skip


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


def row_blocks(
    M: int, R: int, backend: Any, width: int, across: bool, together: bool = False
) -> tuple[int, int, bool, int]:
    """For kernels that read rows more than once: BLOCK_M, BLOCK_R, whether a row fits in one tile, and num_warps.

    ``width`` is the size in bytes of what the kernel computes with; ``together`` says that one program for all rows
    saves a launch.
    """
    most = 16 * backend.block * 4 // max(4, width)  # what 16 warps hold in registers
    block_r = next_power_of_2(R)
    block_m = min(next_power_of_2(M), 32) if across else 1
    whole = block_m * block_r <= most
    if whole and together and next_power_of_2(M) * block_r <= most:
        block_m = next_power_of_2(M)
    elif whole:
        block_m = min(next_power_of_2(M), max(2 * backend.block // block_r, block_m))
    else:
        block_m, block_r = blocks(M, R, backend, 4 * backend.block, across)
    return block_m, block_r, whole, max(4, min(16, block_m * block_r * max(4, width) // 4096))


def _with_numbers(rows: Rows, at: tuple[int | None, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """FORM and geometry where some inputs are numbers; ``at`` says which of the operands each of the others is."""
    none = (0,) * len(rows.kept_shape), (0,) * len(rows.columns_shape)
    form = (
        tuple("value" if p is None else rows.kept_kinds[p] for p in at),
        tuple("value" if p is None else rows.kinds[p] for p in at),
        tuple(p is not None and rows.held[p] for p in at),
        *rows.form[3:],
    )
    kept = tuple(none[0] if p is None else rows.kept_strides[p] for p in at)
    return form, (
        rows.kept_shape,
        kept,
        rows.columns_shape,
        tuple(none[1] if p is None else rows.strides[p] for p in at),
    )


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
    backend = first.backend
    carried = accumulator(first.dtype) if acc is None else acc
    number = _number(carried)
    narrow = min(x.dtype.itemsize for x in arrays)
    rows = rows_of(tuple((x.shape, x.strides) for x in arrays), dims, 16 // narrow)
    out = empty_like(first, result_shape(rows.shape, dims, keepdim), first.dtype if result is None else result)
    M, R = rows.M, rows.R
    if not out.size:
        return out
    form, geometry = rows.form, rows.geometry
    if len(arrays) != len(given):
        places = iter(range(len(arrays)))
        at = [next(places) if isinstance(x, DeviceArray) else None for x in given]
        form, geometry = _with_numbers(rows, tuple(at))
        given = tuple(number(x) if p is None else x for x, p in zip(given, at, strict=True))
    # several loads of 16 bytes must be under way in each thread, where there is enough to load
    most = backend.block if M * R < 64 * backend.block else backend.block * 4
    block_m, block_r = blocks(M, R, backend, most, across=rows.across)
    if rows.across and backend.block <= 65536:  # rather more programs than a second pass; an interpreter's run in turn
        while block_m > 32 and cdiv(M, block_m) < backend.programs and block_r < R:
            block_m, block_r = block_m // 2, block_r * 2
    high = cdiv(M, block_m)
    tiles = max(1, cdiv(R, block_r))
    splits = max(1, min(cdiv(tiles, 2), 2 * backend.programs // high)) if tiles > 4 else 1
    per_split = cdiv(tiles, splits)
    splits = cdiv(tiles, per_split)
    last = None if factor is None else number(factor)
    target = empty_like(first, (splits, M), carried) if splits > 1 else out
    # one program per BLOCK_M rows and share of their tiles
    launch(
        _reduce,
        (high, splits),
        target,
        given,
        tuple(number(s) for s in settings),
        *rows.units,
        per_split,
        number(identity),
        None if splits > 1 else last,
        geometry,
        MAP=map,
        COMBINE=combine,
        FORM=form,
        BLOCK_M=block_m,
        BLOCK_R=block_r,
    )
    if splits > 1:
        partial = rows_of((((splits, M), (M, 1)),), (0,), 16 // carried.itemsize)
        block_m, block_r = blocks(M, splits, backend, backend.block, across=partial.across)
        # one program per BLOCK_M rows of out, (splits, M) folded down its columns
        launch(
            _reduce,
            (cdiv(M, block_m), 1),
            out,
            (target,),
            (),
            *partial.units,
            cdiv(splits, block_r),
            number(identity),
            last,
            partial.geometry,
            MAP=same,
            COMBINE=combine,
            FORM=partial.form,
            BLOCK_M=block_m,
            BLOCK_R=block_r,
        )
    return out
