"""One step over a group of arrays, such as all of an optimizer's parameters with their gradients and moments.

Arrays come by role: one tuple per role (parameters, gradients, ...), all equally long; arrays of one place have one
size.  The step itself is elementwise: a function of one value per role gives the new values of the first few roles,
which are written back.  On a device the whole group is one launch (per 64 arrays and per dtype); on the CPU each
array is walked in pieces that stay in cache, so that the many passes of the formula read memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray
from .elementwise import _number, widen
from .language import jit, tl
from .launch import copied, copy_into, launch

MOST = 64  # arrays in one launch: their addresses are kernel parameters, which may take 4 KiB in all
PIECE = 65536  # elements that the NumPy half takes at a time

Roles = tuple[tuple[Any, ...], ...]


@jit
def _part(
    bases, begin, size, settings, STEP: tl.constexpr, WRITES: tl.constexpr, LAST: tl.constexpr, BLOCK: tl.constexpr
):
    # BLOCK elements of one array from ``begin`` on; only the last ones need a mask, which stands in the way of wide loads
    element = begin + tl.arange(0, BLOCK)
    mask = element < size if LAST else None
    values = ()
    for r in tl.static_range(len(bases)):
        values = values + (widen(tl.load(bases[r] + element, mask=mask)),)
    results = STEP(*values, *settings)
    for r in tl.static_range(WRITES):
        tl.store(bases[r] + element, results[r].to(bases[r].dtype.element_ty), mask=mask)


@jit
def _group(
    pointers,
    sizes,
    ends,
    settings,
    STEP: tl.constexpr,
    WRITES: tl.constexpr,
    ALIGNMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # pointers: per role, a tuple of arrays; array i has sizes[i] elements and ends before program ends[i]
    # one program per BLOCK elements of one array
    program = tl.program_id(0).to(tl.int64)
    size = tl.full((), 0, tl.int64) + sizes[0]
    first = tl.full((), 0, tl.int64)
    bases = ()
    for r in tl.static_range(len(pointers)):
        base = pointers[r][0].to(tl.int64)
        for i in tl.static_range(1, len(sizes)):
            base = tl.where(program >= ends[i - 1], pointers[r][i].to(tl.int64), base)
        # choosing among addresses loses what is known of each; said again, loads and stores are 16 bytes wide
        bases = bases + (tl.multiple_of(base.to(pointers[r][0].dtype), ALIGNMENT),)
    for i in tl.static_range(1, len(sizes)):
        size = tl.where(program >= ends[i - 1], sizes[i], size)
        first = tl.where(program >= ends[i - 1], ends[i - 1], first)
    begin = (program - first) * BLOCK
    if begin + BLOCK <= size:
        _part(bases, begin, size, settings, STEP, WRITES, False, BLOCK)
    else:
        _part(bases, begin, size, settings, STEP, WRITES, True, BLOCK)


def step_group(function: Any, roles: Roles, settings: tuple[Any, ...], writes: int) -> None:
    """Run a scalar ``@jit`` step over device arrays: it takes a value per role, then ``settings``, and returns ``writes`` values.

    Numbers among the settings arrive in the computation's own precision.
    """
    kinds: dict[np.dtype, list[int]] = {}
    for i, array in enumerate(roles[0]):
        if array.size:
            kinds.setdefault(array.dtype, []).append(i)
    for kind, places in kinds.items():
        number = _number(np.dtype(np.float32) if kind in dtypes.HALF else kind)
        typed = tuple(number(s) for s in settings)
        for begin in range(0, len(places), MOST):
            _launch(function, [[role[i] for i in places[begin : begin + MOST]] for role in roles], typed, writes)


def _launch(function: Any, roles: list[list[DeviceArray]], settings: tuple[Any, ...], writes: int) -> None:
    dense = [[a if a.is_contiguous else copied(a) for a in role] for role in roles]
    sizes = tuple(a.size for a in dense[0])
    block = dense[0][0].backend.block_size(max(sizes))
    ends, end = [], 0
    for n in sizes:
        end += -(-n // block)
        ends.append(end)
    aligned = all(a.ptr % 16 == 0 for role in dense for a in role)
    # one program per BLOCK elements of each array, array after array
    launch(
        _group,
        (end,),
        tuple(map(tuple, dense)),
        sizes,
        tuple(ends),
        settings,
        STEP=function,
        WRITES=writes,
        ALIGNMENT=16 if aligned else dense[0][0].dtype.itemsize,
        BLOCK=block,
    )
    for role, used in zip(roles[:writes], dense[:writes], strict=True):
        for array, flat in zip(role, used, strict=True):
            if flat is not array:
                copy_into(array, flat)


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
