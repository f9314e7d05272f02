"""Exponential linear units, elementwise: elu, selu, celu are one function with different constants.

    out        = above * x     where x > 0,  below * (e ** (rate * x) - 1)           elsewhere
    grad_input = above * grad  where x > 0,  below * rate * e ** (rate * x) * grad  elsewhere

elu has (above, below, rate) = (1, alpha, 1), celu (1, alpha, 1 / alpha), and selu (scale, alpha * scale, 1) with the two
constants of its source.  At x = 0 the gradient is that from below.
Source: Clevert, Unterthiner, Hochreiter (2015); Klambauer and others (2017); Barron (2017).
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework.language import jit, libdevice, tl
from ..framework.op import Sample
from .smooth import floating, smooth, usual

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where it is positive, ``alpha * (exp(input) - 1)`` elsewhere; any shape, floating, else RuntimeError.

    >>> elu(Tensor([2.0, float("-inf")]), alpha=0.5).tolist()
    [2.0, -0.5]
    """
    return _run("elu", input, 1.0, float(alpha), 1.0, inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``elu`` written into ``input`` itself, which is returned."""
    return elu(input, alpha, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``elu`` with the constants that keep mean 0 and variance 1; any shape, floating, else RuntimeError is raised.

    >>> [round(v, 4) for v in selu(Tensor([1.0, float("-inf")])).tolist()]
    [1.0507, -1.7581]
    """
    return _run("selu", input, SELU_SCALE, SELU_ALPHA * SELU_SCALE, 1.0, inplace)


def selu_(input: Tensor) -> Tensor:
    """``selu`` written into ``input`` itself, which is returned."""
    return selu(input, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where it is positive, ``alpha * (exp(input / alpha) - 1)`` elsewhere; any shape, floating.

    Raises RuntimeError for integers and for alpha 0.

    >>> celu(Tensor([2.0, float("-inf")]), alpha=0.5).tolist()
    [2.0, -0.5]
    """
    if alpha == 0:
        raise RuntimeError("celu: expected alpha other than 0, got 0")
    return _run("celu", input, 1.0, float(alpha), 1.0 / alpha, inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``celu`` written into ``input`` itself, which is returned."""
    return celu(input, alpha, True)


def _run(name, input, above, below, rate, inplace):
    floating(name, input)
    return (apply_ if inplace else apply)(ELU, input, above=above, below=below, rate=rate)


def elu_numpy(input, *, above, below, rate):
    out = np.expm1(np.minimum(input, 0) * rate)
    out *= below
    return np.where(input > 0, input * above, out)


def slope_numpy(grad, input, *, above, below, rate):
    out = np.exp(np.minimum(input, 0) * rate)
    out *= below * rate
    return grad * np.where(input <= 0, out, np.asarray(above, out.dtype))


def curve_numpy(grad, scale, input, *, above, below, rate):
    out = np.exp(np.minimum(input, 0) * rate)
    out *= below * rate * rate
    return grad * scale * np.where(input <= 0, out, np.asarray(0, out.dtype))


@jit
def _elu(x, above, below, rate):
    return tl.where(x > 0, x * above, libdevice.expm1(x * rate) * below)


@jit
def _slope(grad, x, above, below, rate):
    return tl.where(x <= 0, grad * (libdevice.exp(x * rate) * (below * rate)), grad * above)


@jit
def _curve(grad, scale, x, above, below, rate):
    return tl.where(x <= 0, grad * scale * (libdevice.exp(x * rate) * (below * rate * rate)), 0)


def samples(rng):
    x = np.array([-np.inf, -np.log(2.0), 0.0, 2.0, np.inf, np.nan])
    yield Sample(
        "worked",
        (x,),
        {"above": 2.0, "below": 1.0, "rate": 1.0},
        answers=([-1.0, -0.5, 0.0, 4.0, np.inf, np.nan], [0.0, 0.5, 1.0, 2.0, 2.0, 2.0]),
    )
    yield Sample(
        "worked, celu",
        (np.array([-np.log(2.0) / 2, 0.0, 2.0]),),
        {"above": 1.0, "below": 0.5, "rate": 2.0},
        answers=([-0.25, 0.0, 2.0], [0.5, 1.0, 1.0]),
    )
    settings = {"above": 1.1, "below": 0.7, "rate": 1.3}
    for sample in usual(rng, 0.1, 2.0):
        sign = rng.choice([-1.0, 1.0], sample.inputs[0].shape)
        yield Sample(sample.name, (sample.inputs[0] * sign,), settings)
    yield Sample("falling", (rng.uniform(-2.0, -0.1, (5,)),), {"above": 1.0, "below": -0.5, "rate": 1.0})
    yield Sample(
        "integers",
        (np.array([1]),),
        {"alpha": 1.0},
        raises=(RuntimeError, "elu: expected a floating tensor, got int64"),
    )


ELU = smooth("elu", (elu_numpy, _elu), (slope_numpy, _slope), (curve_numpy, _curve), samples, elu, promotion="")
