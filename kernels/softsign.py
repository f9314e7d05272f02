"""Softsign, and what tanh takes off its input, elementwise.

    softsign    out = x / (1 + |x|),  f' = 1 / (1 + |x|) ** 2,  f'' = -2 sign(x) / (1 + |x|) ** 3
    tanhshrink  out = x - t,  t = tanh x,  f' = t ** 2,  f'' = 2 t (1 - t ** 2)

softsign is NaN at both infinities, as in PyTorch; its second derivative at 0 is given as 0.
Source: Bergstra, Desjardins, Lamblin, Bengio (2009).
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.language import jit, libdevice, tl
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual


def softsign(input: Tensor) -> Tensor:
    """``input / (1 + abs(input))``; any shape, integers give floats, RuntimeError is raised for bool.

    >>> softsign(Tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """
    _refuse_bool("softsign", input)
    return apply(SOFTSIGN, input)


def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``; any shape, integers give floats, RuntimeError is raised for bool.

    >>> tanhshrink(Tensor([0.0, 100.0])).tolist()
    [0.0, 99.0]
    """
    _refuse_bool("tanhshrink", input)
    return apply(TANHSHRINK, input)


def _refuse_bool(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{name}: expected numbers, got bool")


def sign_numpy(input):
    return input / (1 + np.abs(input))


def sign_slope_numpy(grad, input):
    low = 1 + np.abs(input)
    return grad / low / low * (1 + input * 0)  # NaN at infinity


def sign_curve_numpy(grad, scale, input):
    low = 1 + np.abs(input)
    return -2 * grad * scale * np.sign(input) / (low * low * low)


def shrink_numpy(input):
    return input - np.tanh(input)


def shrink_slope_numpy(grad, input):
    return grad * np.tanh(input) ** 2


def shrink_curve_numpy(grad, scale, input):
    t = np.tanh(input)
    return 2 * grad * scale * t * (1 - t * t)


@jit
def _sign(x):
    return quotient(x, 1 + tl.abs(x))


@jit
def _sign_slope(grad, x):
    low = 1 + tl.abs(x)
    return quotient(quotient(grad, low), low) * (1 + x * 0)


@jit
def _sign_curve(grad, scale, x):
    low = 1 + tl.abs(x)
    bend = quotient(2 * grad * scale, low * low * low)
    return tl.where(x > 0, -bend, tl.where(x < 0, bend, x * bend))


@jit
def _shrink(x):
    return x - libdevice.tanh(x)


@jit
def _shrink_slope(grad, x):
    t = libdevice.tanh(x)
    return grad * t * t


@jit
def _shrink_curve(grad, scale, x):
    t = libdevice.tanh(x)
    return 2 * grad * scale * t * (1 - t * t)


def sign_samples(rng):
    yield Sample(
        "worked",
        (np.array([-1.0, 0.0, 3.0, np.inf, np.nan]),),
        answers=([-0.5, 0.0, 0.75, np.nan, np.nan], [0.25, 1.0, 0.0625, np.nan, np.nan]),
    )
    for sample in usual(rng, 0.1, 2.0):
        yield Sample(sample.name, (sample.inputs[0] * rng.choice([-1.0, 1.0], sample.inputs[0].shape),))
    yield Sample("integers", (np.array([3]),), answers=([0.75],), dtypes=())
    yield Sample("bool", (np.array([True]),), raises=(RuntimeError, "softsign: expected numbers, got bool"))


def shrink_samples(rng):
    log3 = np.log(3.0)
    yield Sample(
        "worked",
        (np.array([-log3, 0.0, log3, np.inf, np.nan]),),
        answers=([0.8 - log3, 0.0, log3 - 0.8, np.inf, np.nan], [0.64, 0.0, 0.64, 1.0, np.nan]),
    )
    yield from usual(rng, -2.0, 2.0)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())
    yield Sample("bool", (np.array([True]),), raises=(RuntimeError, "tanhshrink: expected numbers, got bool"))


SOFTSIGN = smooth(
    "softsign",
    (sign_numpy, _sign),
    (sign_slope_numpy, _sign_slope),
    (sign_curve_numpy, _sign_curve),
    sign_samples,
    softsign,
)

TANHSHRINK = smooth(
    "tanhshrink",
    (shrink_numpy, _shrink),
    (shrink_slope_numpy, _shrink_slope),
    (shrink_curve_numpy, _shrink_curve),
    shrink_samples,
    tanhshrink,
)
