"""What the arguments that speak of shapes mean: sizes, dimensions, and the size that is left to be found out."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from operator import index
from typing import Any

Ints = tuple[int, ...]


def sizes(name: str, given: tuple[Any, ...], named: Any = None) -> Ints:
    """``f(2, 3)``, ``f((2, 3))``, ``f([2, 3])``, and what is given by name instead, as ``(2, 3)``.

    Raises TypeError, naming ``name``, for what is no integer and for what is given in both ways.
    """
    if named is not None:
        if given:
            raise TypeError(f"{name}: {given} and {named} stand for the same argument")
        given = (named,)
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    try:
        return tuple(index(n) for n in given)
    except TypeError:
        odd = next(type(n).__name__ for n in given if not hasattr(n, "__index__"))
        raise TypeError(f"{name}: expected integers or one tuple of integers, got {odd}") from None


def shape_of(name: str, given: tuple[Any, ...], named: Any = None) -> Ints:
    """As ``sizes``, for a new tensor.  Raises RuntimeError for a negative size."""
    shape = sizes(name, given, named)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"{name}: sizes must not be negative, got {shape}")
    return shape


def dimension(name: str, dim: Any, ndim: int) -> int:
    """``dim`` counted from the front.  A 0-d tensor takes 0 and -1.

    Raises IndexError where there is no such dimension and TypeError where ``dim`` is no integer.
    """
    try:
        found = index(dim)
    except TypeError:
        raise TypeError(f"{name}: a dimension must be an integer, got {type(dim).__name__}") from None
    most = max(ndim, 1)
    if not -most <= found < most:
        raise IndexError(f"{name}: dimension {found} is out of range for a tensor of {ndim} dimensions")
    return found + most if found < 0 else found


def dimensions(name: str, dims: Any, ndim: int) -> Ints:
    """One dimension, or several, counted from the front.  Raises RuntimeError for one that is named twice."""
    several: Iterable[Any] = dims if isinstance(dims, (tuple, list)) else (dims,)
    found = tuple(dimension(name, d, ndim) for d in several)
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"{name}: dimension {twice} is named twice in {tuple(several)}")
    return found


def filled_in(name: str, shape: Ints, total: int) -> Ints:
    """``shape`` with its -1, if it has one, replaced so that it has ``total`` elements.

    Raises RuntimeError for two of them, for other negative sizes, and where the elements do not fit.
    """
    if shape.count(-1) > 1:
        raise RuntimeError(f"{name}: only one size can be -1, got {shape}")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"{name}: sizes must not be negative, but for one -1, got {shape}")
    rest = prod(n for n in shape if n != -1)
    if -1 not in shape:
        if rest != total:
            raise RuntimeError(f"{name}: shape {shape} has {rest} elements, the input has {total}")
        return shape
    if rest == 0:
        raise RuntimeError(f"{name}: the size -1 in {shape} can be anything, since the others hold no element")
    if total % rest:
        raise RuntimeError(f"{name}: shape {shape} does not divide the input's {total} elements")
    return tuple(total // rest if n == -1 else n for n in shape)
