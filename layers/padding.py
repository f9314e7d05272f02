"""Layers that put borders around signals, images and volumes, with or without a batch dimension."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..kernels.pad import pad
from .module import Module


class _Padding(Module):
    """What padding layers share: how wide the borders are.  Abstract."""

    padding: tuple[int, ...]  # before and after the last dimension, then the last but one, and so on
    dimensions: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        count = 2 * self.dimensions
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * count
        if len(self.padding) != count:
            raise ValueError(f"{type(self).__name__}: padding must be one number or {count}, got {padding!r}")

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Padding):
    """Borders of one value.  Abstract."""

    mode = "constant"
    value: float

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    """Borders of zeros.  Abstract."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """Borders of ``value`` around the last dimension.

    ``padding`` is one number or (left, right).

    >>> ConstantPad1d(1, 7.0)(Tensor([[1.0, 2.0]])).tolist()
    [[7.0, 1.0, 2.0, 7.0]]
    """

    dimensions = 1


class ConstantPad2d(_ConstantPad):
    """Borders of ``value`` around the last two dimensions.

    ``padding`` is one number or (left, right, top, bottom).
    """

    dimensions = 2


class ConstantPad3d(_ConstantPad):
    """Borders of ``value`` around the last three dimensions.

    ``padding`` is one number or (left, right, top, bottom, front, back).
    """

    dimensions = 3


class ZeroPad1d(_ZeroPad):
    """Borders of zeros around the last dimension.

    ``padding`` is one number or (left, right).

    >>> ZeroPad1d(1)(Tensor([[1.0, 2.0]])).tolist()
    [[0.0, 1.0, 2.0, 0.0]]
    """

    dimensions = 1


class ZeroPad2d(_ZeroPad):
    """Borders of zeros around the last two dimensions.

    ``padding`` is one number or (left, right, top, bottom).
    """

    dimensions = 2


class ZeroPad3d(_ZeroPad):
    """Borders of zeros around the last three dimensions.

    ``padding`` is one number or (left, right, top, bottom, front, back).
    """

    dimensions = 3


class ReflectionPad1d(_Padding):
    """Borders that mirror the inside, the outermost element not repeated, around the last dimension.

    ``padding`` is one number or (left, right).

    >>> ReflectionPad1d(1)(Tensor([[1.0, 2.0]])).tolist()
    [[2.0, 1.0, 2.0, 1.0]]
    """

    dimensions = 1
    mode = "reflect"


class ReflectionPad2d(_Padding):
    """Borders that mirror the inside, the outermost element not repeated, around the last two dimensions.

    ``padding`` is one number or (left, right, top, bottom).
    """

    dimensions = 2
    mode = "reflect"


class ReflectionPad3d(_Padding):
    """Borders that mirror the inside, the outermost element not repeated, around the last three dimensions.

    ``padding`` is one number or (left, right, top, bottom, front, back).
    """

    dimensions = 3
    mode = "reflect"


class ReplicationPad1d(_Padding):
    """Borders that repeat the outermost element around the last dimension.

    ``padding`` is one number or (left, right).

    >>> ReplicationPad1d(1)(Tensor([[1.0, 2.0]])).tolist()
    [[1.0, 1.0, 2.0, 2.0]]
    """

    dimensions = 1
    mode = "replicate"


class ReplicationPad2d(_Padding):
    """Borders that repeat the outermost element around the last two dimensions.

    ``padding`` is one number or (left, right, top, bottom).
    """

    dimensions = 2
    mode = "replicate"


class ReplicationPad3d(_Padding):
    """Borders that repeat the outermost element around the last three dimensions.

    ``padding`` is one number or (left, right, top, bottom, front, back).
    """

    dimensions = 3
    mode = "replicate"


class CircularPad1d(_Padding):
    """Borders taken from the other end around the last dimension.

    ``padding`` is one number or (left, right).

    >>> CircularPad1d(1)(Tensor([[1.0, 2.0]])).tolist()
    [[2.0, 1.0, 2.0, 1.0]]
    """

    dimensions = 1
    mode = "circular"


class CircularPad2d(_Padding):
    """Borders taken from the other end around the last two dimensions.

    ``padding`` is one number or (left, right, top, bottom).
    """

    dimensions = 2
    mode = "circular"


class CircularPad3d(_Padding):
    """Borders taken from the other end around the last three dimensions.

    ``padding`` is one number or (left, right, top, bottom, front, back).
    """

    dimensions = 3
    mode = "circular"
