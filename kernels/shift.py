"""Bits moved to the left or to the right, elementwise.

    bitwise_left_shift   out = input * 2^other, in the bits that there are
    bitwise_right_shift  out = floor(input / 2^other)

A shift that is negative, or as wide as the type, moves every bit out: 0 is left, or -1 of a negative number moved to
the right.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import OPS, Op, Sample, register


def bitwise_left_shift(input: Tensor | int, other: Tensor | int) -> Tensor:
    """The bits of integers moved ``other`` places to the left; shapes broadcast, dtypes are promoted.

    Raises RuntimeError for floats and for bool.

    >>> bitwise_left_shift(Tensor([1, 3]), 2).tolist()
    [4, 12]
    """
    return _shift("bitwise_left_shift", input, other)


def bitwise_right_shift(input: Tensor | int, other: Tensor | int) -> Tensor:
    """The bits of integers moved ``other`` places to the right, the sign repeated; shapes broadcast.

    Raises RuntimeError for floats and for bool.

    >>> bitwise_right_shift(Tensor([12, -3]), 1).tolist()
    [6, -2]
    """
    return _shift("bitwise_right_shift", input, other)


def _shift(name, input, other):
    for x in (input, other):
        if x.dtype.is_floating_point if isinstance(x, Tensor) else isinstance(x, float):
            raise RuntimeError(f"{name}: expected integers, got {x.dtype.name if isinstance(x, Tensor) else x}")
    if all(isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype is dtypes.bool_) for x in (input, other)):
        raise RuntimeError(f"{name}: expected integers, got bool")
    return apply(OPS[name], input, other)


def _both(input, other):
    kind = (input if isinstance(input, (np.ndarray, np.generic)) else other).dtype
    return np.asarray(input).astype(kind, copy=False), np.asarray(other).astype(kind, copy=False)


def left_numpy(input, other):
    return np.left_shift(*_both(input, other))


def right_numpy(input, other):
    return np.right_shift(*_both(input, other))


@jit
def _left(x, y):
    out = (y < 0) | (y >= x.dtype.primitive_bitwidth)
    return tl.where(out, x * 0, x << tl.where(out, y * 0, y)).to(x.dtype)


@jit
def _right(x, y):
    out = (y < 0) | (y >= x.dtype.primitive_bitwidth)
    return tl.where(out, (x * 0 - (x < 0).to(x.dtype)).to(x.dtype), x >> tl.where(out, y * 0, y)).to(x.dtype)


def _samples(name, worked, wide, byte):
    def samples(rng):
        yield Sample("worked", (np.array([1, -5, 12, 0]), np.array([3, 1, 2, 4])), answers=(worked,), dtypes=())
        yield Sample(
            "too far",
            (np.array([1, -1, 4, -4], "i4"), np.array([70, -1, 32, 40], "i4")),
            answers=(wide,),
            dtypes=(),
        )
        yield Sample("bytes", (np.array([255, 4], "u1"), np.array([1, 9], "u1")), answers=(byte,), dtypes=())
        yield Sample("number", (rng.integers(-99, 99, (3, 4)), 2), dtypes=())
        yield Sample("number first", (5, rng.integers(0, 9, (3, 4))), dtypes=())
        yield Sample("strided", (rng.integers(-99, 99, (5, 4)).T, rng.integers(0, 9, (4, 10))[:, ::2]), dtypes=())
        yield Sample(
            "narrow", (rng.integers(-99, 99, (7,)).astype("i1"), rng.integers(0, 9, (7,)).astype("i1")), dtypes=()
        )
        yield Sample("empty", (np.zeros((0, 2), int), np.ones(2, int)), dtypes=())
        yield Sample(
            "floats", (np.ones(1), 2), dtypes=(), raises=(RuntimeError, f"{name}: expected integers, got float64")
        )

    return samples


for _function, _numpy, _scalar, _worked in (
    (bitwise_left_shift, left_numpy, _left, ([8, -10, 48, 0], [0, 0, 0, 0], [254, 0])),
    (bitwise_right_shift, right_numpy, _right, ([0, -3, 3, 0], [0, -1, 0, -1], [127, 0])),
):
    register(
        Op(
            name=_function.__name__,
            kernel=elementwise(_numpy, _scalar),
            samples=_samples(_function.__name__, *_worked),
            function=_function,
            promotion="arithmetic",
        )
    )
