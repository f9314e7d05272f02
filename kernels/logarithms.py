"""Logarithms to the bases 2 and 10, and of one more than the input, elementwise.

    log2   out = log2(input),  f' = 1 / (x ln 2),  f'' = -f' / x
    log10  out = log10(input),  f' = 1 / (x ln 10),  f'' = -f' / x
    log1p  out = log1p(input),  f' = 1 / (1 + x),  f'' = -f' ** 2

NaN below 0, or below -1 for log1p, which keeps its digits near 0.  The natural logarithm is in ``log.py``.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual


def log2(input: Tensor) -> Tensor:
    """The logarithm of ``input`` to the base 2; any shape, integers give floats.

    >>> log2(Tensor([8.0])).tolist()
    [3.0]
    """
    return apply(LOG2, input)


def log10(input: Tensor) -> Tensor:
    """The logarithm of ``input`` to the base 10; any shape, integers give floats.

    >>> log10(Tensor([1.0])).tolist()
    [0.0]
    """
    return apply(LOG10, input)


def log1p(input: Tensor) -> Tensor:
    """``log(1 + input)``, accurate near 0; any shape, integers give floats.

    >>> log1p(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(LOG1P, input)


@jit
def _log2(x):
    return libdevice.log2(x)


@jit
def _log2_backward(grad, x):
    return quotient(grad, x * 0.6931471805599453)


@jit
def _log2_second(grad, scale, x):
    return quotient(-grad * scale, x * x * 0.6931471805599453)


def log2_samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 8.0, 0.0, -1.0]),),
        answers=([0.0, 3.0, -np.inf, np.nan], [1 / np.log(2.0), 0.125 / np.log(2.0), np.inf, -1 / np.log(2.0)]),
    )
    yield from usual(rng, 0.5, 3.0)
    yield Sample("integers", (np.array([8]),), answers=([3.0],), dtypes=())


LOG2 = smooth(
    "log2",
    (lambda input: np.log2(input), _log2),
    (lambda grad, input: grad / (input * 0.6931471805599453), _log2_backward),
    (lambda grad, scale, input: -grad * scale / (input * input * 0.6931471805599453), _log2_second),
    log2_samples,
    log2,
    np.log2,
    autocast="float32",
)


@jit
def _log10(x):
    return libdevice.log10(x)


@jit
def _log10_backward(grad, x):
    return quotient(grad, x * 2.302585092994046)


@jit
def _log10_second(grad, scale, x):
    return quotient(-grad * scale, x * x * 2.302585092994046)


def log10_samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 100.0, 0.0, -1.0]),),
        answers=([0.0, 2.0, -np.inf, np.nan], [1 / np.log(10.0), 0.01 / np.log(10.0), np.inf, -1 / np.log(10.0)]),
    )
    yield from usual(rng, 0.5, 3.0)
    yield Sample("integers", (np.array([1]),), answers=([0.0],), dtypes=())


LOG10 = smooth(
    "log10",
    (lambda input: np.log10(input), _log10),
    (lambda grad, input: grad / (input * 2.302585092994046), _log10_backward),
    (lambda grad, scale, input: -grad * scale / (input * input * 2.302585092994046), _log10_second),
    log10_samples,
    log10,
    np.log10,
    autocast="float32",
)


@jit
def _log1p(x):
    return libdevice.log1p(x)


@jit
def _log1p_backward(grad, x):
    return quotient(grad, 1 + x)


@jit
def _log1p_second(grad, scale, x):
    return quotient(-grad * scale, (1 + x) * (1 + x))


def log1p_samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 1.0, -1.0, -3.0]),),
        answers=([0.0, np.log(2.0), -np.inf, np.nan], [1.0, 0.5, np.inf, -0.5]),
    )
    yield from usual(rng, -0.5, 3.0)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


LOG1P = smooth(
    "log1p",
    (lambda input: np.log1p(input), _log1p),
    (lambda grad, input: grad / (1 + input), _log1p_backward),
    (lambda grad, scale, input: -grad * scale / ((1 + input) * (1 + input)), _log1p_second),
    log1p_samples,
    log1p,
    np.log1p,
    autocast="float32",
)
