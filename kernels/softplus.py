"""Softplus and the logarithm of the logistic function, elementwise.

    softplus    out = log(1 + e ** (beta x)) / beta  where beta x <= threshold,  x  elsewhere
                f' = sigmoid(beta x),  f'' = beta sigmoid(beta x) sigmoid(-beta x);  1 and 0 elsewhere
    logsigmoid  out = log(1 / (1 + e ** -x)) = min(x, 0) - log(1 + e ** -|x|)
                f' = sigmoid(-x),  f'' = -sigmoid(x) sigmoid(-x)

The logarithm is computed as ``max(z, 0) + log1p(e ** -|z|)``, which neither overflows nor loses small values.
Source: Dugas, Bengio, Belisle, Nadeau, Garcia (2001).
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice, tl
from ..framework.op import Sample
from .div import quotient
from .sigmoid import logistic
from .smooth import floating, smooth, usual


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``, but ``input`` where ``beta * input`` exceeds ``threshold``; floating.

    Any shape; raises RuntimeError for integers.

    >>> softplus(Tensor([30.0, float("-inf")])).tolist()
    [30.0, 0.0]
    """
    floating("softplus", input)
    return apply(SOFTPLUS, input, beta=float(beta), threshold=float(threshold))


def logsigmoid(input: Tensor) -> Tensor:
    """``log(1 / (1 + exp(-input)))``; any shape, floating, else RuntimeError is raised.

    >>> logsigmoid(Tensor([-1000.0, 1000.0])).tolist()
    [-1000.0, 0.0]
    """
    floating("logsigmoid", input)
    return apply(LOGSIGMOID, input)


def shares(x):
    """The logistic function of ``x``, and 1 less it, each with all its digits."""
    small = np.exp(-np.abs(x))
    large = 1 / (1 + small)
    small *= large
    above = x >= 0
    return np.where(above, large, small), np.where(above, small, large)


def softplus_numpy(input, *, beta, threshold):
    z = input * beta
    out = np.log1p(np.exp(-np.abs(z)))
    out += np.maximum(z, 0)
    return np.where(z > threshold, input, out / beta)


def softplus_slope_numpy(grad, input, *, beta, threshold):
    z = input * beta
    return np.where(z > threshold, grad, grad * shares(z)[0])


def softplus_curve_numpy(grad, scale, input, *, beta, threshold):
    z = input * beta
    rise, rest = shares(z)
    return np.where(z > threshold, np.zeros_like(grad), grad * scale * beta * (rise * rest))


def logsigmoid_numpy(input):
    return np.minimum(input, 0) - np.log1p(np.exp(-np.abs(input)))


def logsigmoid_slope_numpy(grad, input):
    return grad * shares(input)[1]


def logsigmoid_curve_numpy(grad, scale, input):
    rise, rest = shares(input)
    return -grad * scale * (rise * rest)


@jit
def _softplus(x, beta, threshold):
    z = x * beta
    rise = tl.where(z < 0, 0, z) + libdevice.log1p(libdevice.exp(-tl.abs(z)))
    return tl.where(z > threshold, x, quotient(rise, beta + tl.zeros_like(x)))


@jit
def _softplus_slope(grad, x, beta, threshold):
    z = x * beta
    return tl.where(z > threshold, grad, grad * logistic(z))


@jit
def _softplus_curve(grad, scale, x, beta, threshold):
    z = x * beta
    return tl.where(z > threshold, 0, grad * scale * beta * (logistic(z) * logistic(-z)))


@jit
def _logsigmoid(x):
    return tl.where(x < 0, x, 0) - libdevice.log1p(libdevice.exp(-tl.abs(x)))


@jit
def _logsigmoid_slope(grad, x):
    return grad * logistic(-x)


@jit
def _logsigmoid_curve(grad, scale, x):
    return -grad * scale * (logistic(x) * logistic(-x))


def softplus_samples(rng):
    yield Sample(
        "worked",
        (np.array([-np.inf, -np.log(3.0), 0.0, np.log(3.0), np.inf, np.nan]),),
        {"beta": 1.0, "threshold": 20.0},
        answers=(
            [0.0, np.log(4 / 3), np.log(2.0), np.log(4.0), np.inf, np.nan],
            [0.0, 0.25, 0.5, 0.75, 1.0, np.nan],
        ),
    )
    yield Sample(
        "threshold",
        (np.array([0.0, 1.5, 1.75]),),
        {"beta": 2.0, "threshold": 3.0},
        answers=(
            [np.log(2.0) / 2, np.log1p(np.exp(3.0)) / 2, 1.75],
            [0.5, 1 / (1 + np.exp(-3.0)), 1.0],
        ),
    )
    yield Sample(
        "far", (np.array([-80.0, 80.0, -700.0]),), {"beta": 1.0, "threshold": 1e4}, dtypes=("float64", "float32")
    )
    for sample in usual(rng, -3.0, 1.0):
        yield Sample(sample.name, sample.inputs, {"beta": 1.5, "threshold": 2.0})
    yield Sample(
        "integers", (np.array([True]),), raises=(RuntimeError, "softplus: expected a floating tensor, got bool")
    )


def logsigmoid_samples(rng):
    yield Sample(
        "worked",
        (np.array([-np.inf, -np.log(3.0), 0.0, np.log(3.0), np.inf, np.nan]),),
        answers=(
            [-np.inf, np.log(0.25), -np.log(2.0), np.log(0.75), 0.0, np.nan],
            [1.0, 0.75, 0.5, 0.25, 0.0, np.nan],
        ),
    )
    yield Sample("far", (np.array([-80.0, 80.0, -700.0]),), dtypes=("float64", "float32"))
    yield from usual(rng, -3.0, 3.0)
    yield Sample(
        "integers", (np.array([1]),), raises=(RuntimeError, "logsigmoid: expected a floating tensor, got int64")
    )


SOFTPLUS = smooth(
    "softplus",
    (softplus_numpy, _softplus),
    (softplus_slope_numpy, _softplus_slope),
    (softplus_curve_numpy, _softplus_curve),
    softplus_samples,
    softplus,
    promotion="",
    autocast="float32",
)

LOGSIGMOID = smooth(
    "logsigmoid",
    (logsigmoid_numpy, _logsigmoid),
    (logsigmoid_slope_numpy, _logsigmoid_slope),
    (logsigmoid_curve_numpy, _logsigmoid_curve),
    logsigmoid_samples,
    logsigmoid,
    promotion="",
)
