"""Stride classes: how the operands of an elementwise kernel lie in memory, in as few dimensions as possible."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ROW_MAJOR = "contiguous"
MOST_DIMENSIONS = 8

Ints = tuple[int, ...]


@lru_cache(maxsize=8192)
def classify(shape: Ints, strides: tuple[Ints, ...]) -> tuple[Ints, tuple[Ints, ...], tuple[str, ...]]:
    """Merge dimensions that all operands step through alike, and name each operand's class.

    ``strides`` are in elements, 0 along broadcast dimensions, one tuple per operand, all for ``shape``.  Returns the
    merged shape, the merged strides and for each operand "contiguous", "scalar", "row" (the same row for all rows),
    "column" (the same column for all columns) or "strided".  Raises ValueError for more than 8 merged dimensions.
    """
    merged: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for i, n in enumerate(shape):
        if n == 1:
            continue
        if merged and all(s[-1] == own[i] * n for s, own in zip(steps, strides, strict=True)):
            merged[-1] *= n
            for s, own in zip(steps, strides, strict=True):
                s[-1] = own[i]
        else:
            merged.append(n)
            for s, own in zip(steps, strides, strict=True):
                s.append(own[i])
    if not merged:
        merged = [1]
        steps = [[1] for _ in strides]
    if len(merged) > MOST_DIMENSIONS:
        raise ValueError(
            f"elementwise: at most {MOST_DIMENSIONS} dimensions of different stride, these arrays need {len(merged)}"
        )
    dense = []
    step = 1
    for n in reversed(merged):
        dense.append(step)
        step *= n
    dense.reverse()
    return tuple(merged), tuple(map(tuple, steps)), tuple(_kind(merged, s, dense) for s in steps)


def _kind(shape: list[int], steps: list[int], dense: list[int]) -> str:
    if steps == dense:
        return ROW_MAJOR
    if not any(steps):
        return "scalar"
    if len(shape) == 2 and steps[0] == 0:
        return "row"
    if len(shape) == 2 and steps[1] == 0:
        return "column"
    return "strided"


@lru_cache(maxsize=8192)
def packed(shape: Ints, strides: Ints) -> Ints | None:
    """These strides, completed, where they fill memory without gaps in some order of the dimensions; else None."""
    order = sorted((d for d in range(len(shape)) if shape[d] != 1), key=lambda d: -strides[d])
    step = 1
    full = [0] * len(shape)
    for d in reversed(order):
        if strides[d] != step:
            return None
        full[d] = step
        step *= shape[d]
    after = 1
    for d in range(len(shape) - 1, -1, -1):
        if shape[d] == 1:
            full[d] = strides[d] or after
        after *= max(shape[d], 1)
    return tuple(full)


def unit(most: int, values: Ints) -> int:
    """The largest power of two up to ``most`` (one itself) that divides all values."""
    while any(v % most for v in values):
        most //= 2
    return most


@dataclass(frozen=True, slots=True)
class Access:
    """How a kernel walks operands of one shape, in the order in which the first lies in memory.

    With ``vector`` 1, element by element: ``kinds`` are the classes of ``classify`` for ``shape`` and ``strides``.
    Else in groups of ``vector`` neighbours, so that loads are wide whatever the strides are: ``shape`` counts groups, and
    ``strides`` are in groups too, but for operands that are ``held``: the same value throughout a group.  ``wide`` says
    that numbers or offsets may pass 2**31.
    """

    shape: Ints
    strides: tuple[Ints, ...]
    kinds: tuple[str, ...]
    held: tuple[bool, ...]
    vector: int
    wide: bool


@lru_cache(maxsize=8192)
def accesses(shape: Ints, strides: tuple[Ints, ...], most: int) -> Access:
    """The access to operands of ``strides`` (0 along broadcast dimensions), of which the first is written.

    ``most`` is the number of elements in the widest load.
    """
    merged, steps, kinds = classify(*_sorted(shape, strides))
    count = 1
    for n in merged:
        count *= n
    reach = max(sum((n - 1) * abs(s) for n, s in zip(merged, own, strict=True)) for own in steps)
    wide = max(count, reach) >= 2**31 - 2**20  # a block may begin below and end beyond
    none = (False,) * len(steps)
    if kinds[0] == ROW_MAJOR and all(k in (ROW_MAJOR, "scalar") for k in kinds):
        return Access(merged, steps, kinds, none, 1, wide)
    vector = 1
    if all(s[-1] in (0, 1) for s in steps) and steps[0][-1] == 1:
        outer = [own[d] for own in steps if own[-1] == 1 for d in range(len(merged) - 1)]
        vector = unit(most, (merged[-1], *outer))
    if vector == 1:
        # of the first, only that it is contiguous is of use
        return Access(merged, steps, (_first(kinds[0]), *kinds[1:]), none, 1, wide)
    held = tuple(s[-1] == 0 for s in steps)
    grouped = tuple(own if h else (*(s // vector for s in own[:-1]), 1) for own, h in zip(steps, held, strict=True))
    return Access((*merged[:-1], merged[-1] // vector), grouped, (_first(kinds[0]), *kinds[1:]), held, vector, wide)


def _first(kind: str) -> str:
    return ROW_MAJOR if kind == ROW_MAJOR else "strided"


@lru_cache(maxsize=8192)
def transposition(shape: Ints, out: Ints, source: Ints, most: int) -> Any:
    """How a copy between arrays of these strides is a transposition of matrices, or None where it is not.

    That is where neighbours in memory are along another dimension for ``source`` than for ``out``.  Returns the numbers
    of matrices, rows (neighbours in source) and columns (neighbours in out), the units that they and the other strides
    are multiples of, up to ``most``, and then the kernel's arguments in these units.
    """
    merged, (to, own), _ = classify(*_sorted(shape, (out, source)))
    if len(merged) < 2 or 1 not in to or 1 not in own:
        return None
    column, row = to.index(1), own.index(1)
    if row == column or not own[column] or min(merged[row], merged[column]) < 8 or max(merged) >= 2**31:
        return None
    others = [d for d in range(len(merged)) if d not in (row, column)]
    row_unit = unit(most, (merged[row], *(own[d] for d in range(len(merged)) if d != row)))
    column_unit = unit(most, (merged[column], *(to[d] for d in range(len(merged)) if d != column)))
    matrices = 1
    for d in others:
        matrices *= merged[d]
    settings = (
        merged[row] // row_unit,
        merged[column] // column_unit,
        tuple(merged[d] for d in others) or (1,),
        tuple(to[d] // column_unit for d in others) or (0,),
        tuple(own[d] // row_unit for d in others) or (0,),
        to[row] // column_unit,
        own[column] // row_unit,
    )
    return matrices, merged[row], merged[column], row_unit, column_unit, settings


def _sorted(shape: Ints, strides: tuple[Ints, ...]) -> tuple[Ints, tuple[Ints, ...]]:
    """Shape and strides with the dimensions in the order in which the first strides take them."""
    order = sorted(range(len(shape)), key=lambda d: (-strides[0][d], d))
    return tuple(shape[d] for d in order), tuple(tuple(s[d] for d in order) for s in strides)
