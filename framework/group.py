"""One step over a group of arrays, such as all of an optimizer's parameters with their gradients and moments.

Arrays come by role: one tuple per role (parameters, gradients, ...), all equally long; arrays of one place have one
size.  The step itself is elementwise: a function of one value per role gives the new values of the first few roles,
which are written back.  On a device the whole group is one launch, of one kernel that is compiled once however many
arrays there are: their addresses lie in a table in device memory, and each program looks up the piece that is its own.
On the CPU each array is walked in pieces that stay in cache, so that the many passes of the formula read memory once.

Arrays stay where they are.  A flat buffer that holds all parameters would save neither a launch nor a byte of traffic
over the table, and it would forbid what PyTorch allows: parameters that are shared, frozen, moved or assigned anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import dtypes
from .array import DeviceArray, contiguous_strides
from .elementwise import _number, widen
from .language import jit, tl
from .launch import contiguous, copy_into, launch

PIECE = 65536  # elements that the NumPy half takes at a time

Roles = tuple[tuple[Any, ...], ...]
Ints = tuple[int, ...]


@jit
def place_of(table, programs, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """The table's line for this program, where in that line's arrays the program begins, and their size."""
    # table (arrays, WIDTH) int64: an address per role, then the size · programs (programs, 2) int32: array, block
    program = tl.program_id(0).to(tl.int64)
    line = table + tl.load(programs + 2 * program).to(tl.int64) * WIDTH
    begin = tl.load(programs + 2 * program + 1).to(tl.int64) * BLOCK
    return line, begin, tl.load(line + WIDTH - 1)


@jit
def base_of(line, role, like, ALIGNMENT: tl.constexpr):
    """Where a role's array begins; its dtype is that of ``like``."""
    # an address from memory says nothing of itself: said here, loads and stores can be 16 bytes wide
    return tl.multiple_of(tl.load(line + role).to(like.dtype), ALIGNMENT)


@jit
def computed_as(value, like):
    """A number in the precision in which elements of ``like`` are computed: float64 for float64, else float32."""
    if like.dtype.element_ty == tl.float64:
        return value.to(tl.float64)
    else:
        return value.to(tl.float32)


@jit
def inverse(x):
    """1 / x, rounded to nearest."""
    if x.dtype == tl.float32:
        return tl.div_rn(x * 0 + 1, x)
    else:
        return 1 / x


@jit
def _part(
    bases,
    begin,
    size,
    settings,
    unscale,
    alarm,
    STEP: tl.constexpr,
    WRITES: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # BLOCK elements of one array from ``begin`` on; only the last ones need a mask, which stands in the way of wide loads
    element = begin + tl.arange(0, BLOCK)
    mask = element < size if LAST else None
    values = ()
    for r in tl.static_range(len(bases)):
        value = widen(tl.load(bases[r] + element, mask=mask))
        if unscale is not None and r == len(bases) - 1:
            value = value * unscale
        values = values + (value,)
    results = STEP(*values, *settings)
    for r in tl.static_range(WRITES):
        tl.store(bases[r] + element, results[r].to(bases[r].dtype.element_ty), mask=mask)
    if alarm is not None:
        raised = results[WRITES]
        if LAST:
            raised = raised & mask
        # whoever has a reason stores the same 1, so it does not matter who comes last
        tl.store(alarm, 1.0, mask=tl.max(raised.to(tl.int32), 0) != 0)


@jit
def _group(
    table,
    programs,
    likes,
    numbers,
    settings,
    scale,
    stop,
    alarm,
    STEP: tl.constexpr,
    WRITES: tl.constexpr,
    NUMBERS: tl.constexpr,
    ALIGNMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # table, programs: see place_of · likes: an array of each role's dtype · numbers: NUMBERS settings in memory, if any
    # scale, stop, alarm: one element each, or None
    # one program per BLOCK elements of one array
    line, begin, size = place_of(table, programs, len(likes) + 1, BLOCK)
    bases = ()
    for r in tl.static_range(len(likes)):
        bases = bases + (base_of(line, r, likes[r], ALIGNMENT),)
    told = ()
    for i in tl.static_range(NUMBERS):
        told = told + (computed_as(tl.load(numbers + i), likes[0]),)
    told = told + settings
    unscale = None
    if scale is not None:
        unscale = inverse(computed_as(tl.load(scale), likes[0]))
    if stop is not None:
        size = tl.where(tl.load(stop) != 0, 0, size)  # nothing is left to be done
    if begin + BLOCK <= size:
        _part(bases, begin, size, told, unscale, alarm, STEP, WRITES, False, BLOCK)
    else:
        _part(bases, begin, size, told, unscale, alarm, STEP, WRITES, True, BLOCK)


class Batch(NamedTuple):
    """Arrays that one launch can walk: alike in dtypes, and all or none of them where 16-byte loads may begin."""

    kind: np.dtype  # of the first role
    places: list[Sequence[DeviceArray]]  # the roles' arrays of each place, in memory in one order and without gaps
    sizes: list[int]
    moved: list[tuple[DeviceArray, DeviceArray]]  # (an array of the caller's, the copy that stands for it)
    alignment: int

    @property
    def likes(self) -> tuple[DeviceArray, ...]:
        """An array of each role's dtype."""
        return tuple(self.places[0])

    def tables(self, block: int) -> tuple[DeviceArray, DeviceArray, int]:
        """What ``place_of`` reads, in device memory, and the number of programs."""
        sizes = tuple(self.sizes)
        backend = self.places[0][0].backend
        arrays = tuple(chain.from_iterable(self.places))
        addresses = tuple([a.ptr for a in arrays])
        held = backend.table(("addresses", addresses, sizes), lambda: _lines(addresses, sizes))
        programs = backend.table(("programs", sizes, block), lambda: _programs(sizes, block))
        line = DeviceArray(held.block, held.ptr, held.dtype, held.shape, held.strides, backend)
        line.reaches = arrays
        return line, programs, programs.shape[0]

    def finish(self) -> None:
        """Bring what was written into copies back to where it belongs."""
        for array, copy in self.moved:
            copy_into(array, copy)


def _lines(addresses: Ints, sizes: Ints) -> np.ndarray:
    lines = np.array(addresses, np.int64).reshape(len(sizes), -1)
    return np.concatenate([lines, np.array(sizes, np.int64)[:, None]], axis=1)


def _programs(sizes: Ints, block: int) -> np.ndarray:
    blocks = [-(-n // block) for n in sizes]
    first = np.cumsum([0, *blocks[:-1]])
    array = np.repeat(np.arange(len(sizes)), blocks)
    return np.stack([array, np.arange(array.size) - first[array]], axis=1).astype(np.int32)


@lru_cache(maxsize=8192)
def dense_order(shape: Ints, strides: Ints) -> Ints | None:
    """The strides, with 0 for dimensions of size 1, of an array without gaps in memory; None where there are any."""
    step = 1
    for d in sorted((d for d in range(len(shape)) if shape[d] != 1), key=lambda d: (strides[d], -d)):
        if strides[d] != step:
            return None
        step *= shape[d]
    return tuple(s if n != 1 else 0 for n, s in zip(shape, strides, strict=True))


def _alike(arrays: list[DeviceArray], writes: int, moved: list[tuple[DeviceArray, DeviceArray]]) -> list[DeviceArray]:
    """The arrays of one place in one order of memory: the first one's where that has no gaps, else row-major."""
    first = arrays[0]
    order = dense_order(first.shape, first.strides)
    strides = contiguous_strides(first.shape) if order is None else first.strides
    if order is None:
        order = dense_order(first.shape, strides)
    out = []
    for role, a in enumerate(arrays):
        if a.strides != strides and dense_order(a.shape, a.strides) != order:
            block = a.backend.allocate(a.nbytes)
            copy = DeviceArray(block, block.ptr, a.dtype, a.shape, strides, a.backend)
            copy_into(copy, a)
            if role < writes:
                moved.append((a, copy))
            a = copy
        out.append(a)
    return out


def batches(roles: Roles, writes: int) -> list[Batch]:
    """The roles' arrays, those without elements left out, as launches can take them: mostly all in one."""
    found: dict[tuple[Any, ...], Batch] = {}
    for arrays in zip(*roles, strict=True):  # a few hundred arrays at every step: nothing is done twice here
        first = arrays[0]
        shape, strides = first.shape, first.strides
        size = prod(shape)
        if not size:
            continue
        together, moved = arrays, None
        if dense_order(shape, strides) is None or any([a.strides != strides for a in arrays]):
            moved = []
            together = _alike(list(arrays), writes, moved)
        bits = 0
        for a in together:
            bits |= a.ptr
        key = (bits & 15 == 0, *[a.dtype for a in together])
        batch = found.get(key)
        if batch is None:
            alignment = 16 if key[0] else min(a.dtype.itemsize for a in together)
            batch = found[key] = Batch(together[0].dtype, [], [], [], alignment)
        batch.places.append(together)
        batch.sizes.append(size)
        if moved:
            batch.moved.extend(moved)
    return list(found.values())


def step_group(
    function: Any,
    roles: Roles,
    numbers: tuple[float, ...] | DeviceArray,
    settings: tuple[float, ...] = (),
    writes: int = 1,
    *,
    scale: DeviceArray | None = None,
    stop: DeviceArray | None = None,
    alarm: DeviceArray | None = None,
) -> None:
    """Run a scalar ``@jit`` step over device arrays.

    It takes a value per role, ``numbers`` and ``settings``, and returns ``writes`` values.  All numbers arrive in the
    computation's own precision; ``numbers`` may lie in device memory, for steps that are launched again with others.
    The last role is divided by the one element of ``scale``; where that of ``stop`` is not 0, nothing is written;
    ``alarm`` becomes 1 where the function's further result is true anywhere.
    """
    held = contiguous(numbers) if isinstance(numbers, DeviceArray) else None
    for batch in batches(roles, writes):
        number = _number(np.dtype(np.float32) if batch.kind in dtypes.HALF else batch.kind)
        given = settings if isinstance(numbers, DeviceArray) else (*numbers, *settings)
        block = batch.places[0][0].backend.block_size(max(batch.sizes))
        table, programs, count = batch.tables(block)
        # one program per BLOCK elements of each array, array after array
        launch(
            _group,
            (count,),
            table,
            programs,
            batch.likes,
            held,
            tuple(number(s) for s in given),
            scale,
            stop,
            alarm,
            STEP=function,
            WRITES=writes,
            NUMBERS=0 if held is None else held.size,
            ALIGNMENT=batch.alignment,
            BLOCK=block,
        )
        batch.finish()


def reciprocal(scale: Any, like: np.ndarray) -> Any:
    """For NumPy: 1 / scale in the precision in which ``like`` is computed."""
    number = (np.dtype(np.float32) if like.dtype in dtypes.HALF else like.dtype).type
    return number(1) / number(scale)


def pieces(roles: Roles, writes: int) -> Iterator[tuple[np.ndarray, ...]]:
    """For NumPy: each place's arrays, piece by piece, as views to be read and, for the first ``writes`` roles, written.

    Half types come as float32 copies and are rounded once, when the next piece is asked for.
    """
    for arrays in zip(*roles, strict=True):
        for piece in _views(arrays):
            if piece[0].dtype in dtypes.HALF:
                wide = tuple(a.astype(np.float32) for a in piece)
                yield wide
                for held, computed in zip(piece[:writes], wide, strict=False):
                    held[...] = computed
            else:
                yield piece


def _views(arrays: tuple[np.ndarray, ...]) -> Iterator[tuple[np.ndarray, ...]]:
    if not all(a.flags.c_contiguous for a in arrays):
        order = sorted(range(arrays[0].ndim), key=lambda d: -arrays[0].strides[d])
        arrays = tuple(a.transpose(order) for a in arrays)  # channels-last parameters are row-major like this
        if not all(a.flags.c_contiguous for a in arrays):
            yield arrays
            return
    flat = [a.reshape(-1) for a in arrays]
    for begin in range(0, flat[0].size, PIECE):
        yield tuple(a[begin : begin + PIECE] for a in flat)


def scratch(roles: Roles, count: int) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
    """A function giving ``count`` buffers like a piece; their memory is the same for every piece of a step."""
    held: dict[tuple[Any, ...], tuple[np.ndarray, ...]] = {}

    def buffers(piece: np.ndarray) -> tuple[np.ndarray, ...]:
        if piece.ndim != 1:
            return tuple(np.empty_like(piece) for _ in range(count))
        found = held.get(piece.dtype)  # type: ignore[call-overload]
        if found is None or found[0].size < piece.size:
            found = held[piece.dtype] = tuple(np.empty(max(piece.size, 1), piece.dtype) for _ in range(count))  # type: ignore[index]
        return tuple(b[: piece.size] for b in found)

    return buffers
