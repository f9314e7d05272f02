"""Stride classes: how the operands of an elementwise kernel lie in memory, in as few dimensions as possible."""

from __future__ import annotations

from functools import lru_cache

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
