"""Memory formats: in which order the dimensions of an image tensor lie in memory.  Shapes and indices never change."""

from __future__ import annotations

from typing import Any

from .array import is_dense


class memory_format:
    """An order of dimensions in memory: ``contiguous_format``, ``channels_last``, ``preserve_format``, no others."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"trigrad.{self.name}"


contiguous_format = memory_format("contiguous_format")  # row-major
channels_last = memory_format("channels_last")  # (N, C, H, W) in the order N, H, W, C
preserve_format = memory_format("preserve_format")  # as it is


def lies_in(shape: tuple[int, ...], strides: tuple[int, ...], format: Any) -> bool:
    """Whether memory with these strides (in elements) is without gaps in the order of ``format``.

    Raises TypeError for what is no memory format, RuntimeError for ``preserve_format``, which names no order.
    """
    if format is contiguous_format:
        return is_dense(shape, strides)
    if format is channels_last:
        return len(shape) == 4 and is_dense(*(tuple(x[d] for d in (0, 2, 3, 1)) for x in (shape, strides)))
    if format is preserve_format:
        raise RuntimeError("is_contiguous: preserve_format is no order; use contiguous_format or channels_last")
    raise TypeError(f"is_contiguous: expected a memory format such as trigrad.channels_last, got {format!r}")
