"""Smooth rectifiers that multiply their input by a gate, elementwise: silu and mish.

    silu  out = x s,  s = 1 / (1 + e ** -x)
          f'  = s (1 + x (1 - s)),  f'' = s (1 - s) (2 + x (1 - 2 s))
    mish  out = x t,  t = tanh(log(1 + e ** x))
          f'  = t + x s (1 - t ** 2),  f'' = s (1 - t ** 2) (2 + x (1 - s - 2 s t))

With n = e ** x (e ** x + 2), t is n / (n + 2); it is computed from ``e ** -|x|``, which does not overflow.
At -inf both are NaN, as in PyTorch.
Source: Hendrycks and Gimpel (2016); Ramachandran, Zoph, Le (2017); Misra (2019).
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework.language import jit, libdevice, tl
from ..framework.op import Sample
from .div import quotient
from .sigmoid import logistic
from .smooth import floating, smooth, usual
from .softplus import shares


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * sigmoid(input)``; any shape, floating, else RuntimeError is raised.

    >>> silu(Tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """
    floating("silu", input)
    return apply_(SILU, input) if inplace else apply(SILU, input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * tanh(softplus(input))``; any shape, floating, else RuntimeError is raised.

    >>> mish(Tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """
    floating("mish", input)
    return apply_(MISH, input) if inplace else apply(MISH, input)


def silu_numpy(input):
    return input * shares(input)[0]


def silu_slope_numpy(grad, input):
    s, rest = shares(input)
    return grad * (s * (1 + input * rest))


def silu_curve_numpy(grad, scale, input):
    s, rest = shares(input)
    return grad * scale * (s * rest * (2 + input * (rest - s)))


def _gate(x):
    """tanh(log(1 + e ** x)), and 1 less its square."""
    small = np.exp(-np.abs(x))
    above = x >= 0
    n = np.where(above, 1 + 2 * small, small * (small + 2))
    two = np.where(above, 2 * small * small, np.asarray(2, small.dtype))  # both n and 2 are taken times e ** -2x there
    total = n + two
    t = n / total
    return t, two / total * (1 + t)


def mish_numpy(input):
    return input * _gate(input)[0]


def mish_slope_numpy(grad, input):
    (t, rest), s = _gate(input), shares(input)[0]
    return grad * (t + input * s * rest)


def mish_curve_numpy(grad, scale, input):
    (t, rest), (s, other) = _gate(input), shares(input)
    return grad * scale * (s * rest * (2 + input * (other - 2 * s * t)))


@jit
def _silu(x):
    return x * logistic(x)


@jit
def _silu_slope(grad, x):
    return grad * (logistic(x) * (1 + x * logistic(-x)))


@jit
def _silu_curve(grad, scale, x):
    s = logistic(x)
    rest = logistic(-x)
    return grad * scale * (s * rest * (2 + x * (rest - s)))


@jit
def _parts(x):
    # n and 2 as in _gate
    small = libdevice.exp(-tl.abs(x))
    n = tl.where(x >= 0, 1 + 2 * small, small * (small + 2))
    return n, tl.where(x >= 0, 2 * small * small, 2)


@jit
def _mish(x):
    n, two = _parts(x)
    return x * quotient(n, n + two)


@jit
def _mish_slope(grad, x):
    n, two = _parts(x)
    t = quotient(n, n + two)
    return grad * (t + x * logistic(x) * (quotient(two, n + two) * (1 + t)))


@jit
def _mish_curve(grad, scale, x):
    n, two = _parts(x)
    t = quotient(n, n + two)
    s = logistic(x)
    bend = s * (quotient(two, n + two) * (1 + t)) * (2 + x * (logistic(-x) - 2 * s * t))
    return grad * scale * bend


def silu_samples(rng):
    log3 = np.log(3.0)
    yield Sample(
        "worked",
        (np.array([-log3, 0.0, log3, np.nan, -np.inf]),),
        answers=(
            [-log3 / 4, 0.0, 0.75 * log3, np.nan, np.nan],
            [0.25 * (1 - 0.75 * log3), 0.5, 0.75 * (1 + 0.25 * log3), np.nan, np.nan],
        ),
    )
    yield Sample("far", (np.array([-80.0, 80.0, -700.0]),), dtypes=("float64", "float32"))
    yield from usual(rng, -3.0, 3.0)
    yield Sample("integers", (np.array([1]),), raises=(RuntimeError, "silu: expected a floating tensor, got int64"))


def mish_samples(rng):
    # at log 2 the gate is tanh(log 3) = 0.8 and the logistic function 2/3; at 0 they are 0.6 and 1/2
    log2 = np.log(2.0)
    yield Sample(
        "worked",
        (np.array([0.0, log2, np.nan, -np.inf]),),
        answers=([0.0, 0.8 * log2, np.nan, np.nan], [0.6, 0.8 + 0.24 * log2, np.nan, np.nan]),
    )
    yield Sample("far", (np.array([-80.0, 80.0, -700.0]),), dtypes=("float64", "float32"))
    yield from usual(rng, -3.0, 3.0)
    yield Sample("integers", (np.array([1]),), raises=(RuntimeError, "mish: expected a floating tensor, got int64"))


SILU = smooth(
    "silu", (silu_numpy, _silu), (silu_slope_numpy, _silu_slope), (silu_curve_numpy, _silu_curve), silu_samples, silu,
    promotion="",
)  # fmt: skip

MISH = smooth(
    "mish", (mish_numpy, _mish), (mish_slope_numpy, _mish_slope), (mish_curve_numpy, _mish_curve), mish_samples, mish,
    promotion="",
)  # fmt: skip
