"""Reciprocal and reciprocal of the square root, elementwise.

    reciprocal = 1 / input        f' = -1 / input ** 2        f'' = 2 / input ** 3
    rsqrt      = 1 / sqrt(input)  f' = -1 / (2 input ** 1.5)  f'' = 3 / (4 input ** 2.5)

Both are infinite at 0; ``rsqrt`` is NaN below.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.language import jit, tl
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual
from .sqrt import root


def reciprocal(input: Tensor) -> Tensor:
    """``1 / input``; any shape, integers give floats.

    >>> reciprocal(Tensor([4.0, -0.5])).tolist()
    [0.25, -2.0]
    """
    return apply(RECIPROCAL, input)


def rsqrt(input: Tensor) -> Tensor:
    """``1 / sqrt(input)``; any shape, integers give floats.

    >>> rsqrt(Tensor([4.0, 0.25])).tolist()
    [0.5, 2.0]
    """
    return apply(RSQRT, input)


def square(input: Tensor) -> Tensor:
    """``input ** 2``; any shape and dtype, int64 for bool.

    >>> square(Tensor([-3, 2])).tolist()
    [9, 4]
    """
    return (input.long() if input.dtype is dtypes.bool_ else input) ** 2


def square_(input: Tensor) -> Tensor:
    """``square`` written into ``input`` itself, which is returned."""
    return input.pow_(2)


@jit
def _reciprocal(x):
    return quotient(tl.zeros_like(x) + 1, x)


@jit
def _reciprocal_backward(grad, x):
    return -quotient(quotient(grad, x), x)


@jit
def _reciprocal_second(grad, scale, x):
    return 2 * quotient(quotient(quotient(grad * scale, x), x), x)


@jit
def _rsqrt(x):
    return quotient(tl.zeros_like(x) + 1, root(x))


@jit
def _rsqrt_backward(grad, x):
    return quotient(quotient(-grad, root(x)), 2 * x)


@jit
def _rsqrt_second(grad, scale, x):
    return quotient(quotient(3 * grad * scale, root(x)), 4 * x * x)


def reciprocal_samples(rng):
    yield Sample(
        "worked",
        (np.array([4.0, -0.5, 0.0, np.inf]),),
        answers=([0.25, -2.0, np.inf, 0.0], [-0.0625, -4.0, -np.inf, 0.0]),
    )
    yield from usual(rng, 0.5, 3.0)
    yield Sample("integers", (np.array([4]),), answers=([0.25],), dtypes=())


def rsqrt_samples(rng):
    yield Sample(
        "worked",
        (np.array([4.0, 0.25, 0.0, -1.0]),),
        answers=([0.5, 2.0, np.inf, np.nan], [-0.0625, -4.0, -np.inf, np.nan]),
    )
    yield from usual(rng, 0.5, 3.0)
    yield Sample("integers", (np.array([4]),), answers=([0.5],), dtypes=())


RECIPROCAL = smooth(
    "reciprocal",
    (lambda input: 1 / input, _reciprocal),
    (lambda grad, input: -(grad / input) / input, _reciprocal_backward),
    (lambda grad, scale, input: 2 * (((grad * scale) / input) / input) / input, _reciprocal_second),
    reciprocal_samples,
    reciprocal,
    autocast="float32",
)

RSQRT = smooth(
    "rsqrt",
    (lambda input: 1 / np.sqrt(input), _rsqrt),
    (lambda grad, input: (-grad / np.sqrt(input)) / (2 * input), _rsqrt_backward),
    (lambda grad, scale, input: (3 * grad * scale / np.sqrt(input)) / (4 * input * input), _rsqrt_second),
    rsqrt_samples,
    rsqrt,
    autocast="float32",
)
