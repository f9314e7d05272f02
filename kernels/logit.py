"""The inverse of the logistic function, elementwise.

    out = log(x / (1 - x)),  f' = 1 / (x (1 - x)),  f'' = (2 x - 1) f' ** 2

With ``eps`` x is first limited to [eps, 1 - eps]; outside f' = f'' = 0.  Without it all are NaN outside [0, 1].
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework.language import jit, libdevice, tl
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``, of ``input`` limited to [eps, 1 - eps]; any shape, integers give floats.

    >>> logit(Tensor([0.0, 0.5])).tolist()
    [-inf, 0.0]
    """
    return apply(LOGIT, input, eps=None if eps is None or eps < 0 else float(eps))


def logit_(input: Tensor, eps: float | None = None) -> Tensor:
    """``logit`` written into ``input`` itself, which is returned."""
    return apply_(LOGIT, input, eps=None if eps is None or eps < 0 else float(eps))


def _outside(x, eps):
    return (x < 0) | (x > 1) if eps is None else (x < eps) | (x > x.dtype.type(1) - x.dtype.type(eps))


def forward_numpy(input, *, eps):
    if eps is not None:
        low = input.dtype.type(eps)
        high = input.dtype.type(1) - low
        input = np.where(input < low, low, np.where(input > high, high, input))
    return np.log(input / (1 - input))


def slope_numpy(grad, input, *, eps):
    beyond = np.asarray(np.nan if eps is None else 0, grad.dtype)
    return np.where(_outside(input, eps), beyond, grad / (input * (1 - input)))


def curve_numpy(grad, scale, input, *, eps):
    beyond = np.asarray(np.nan if eps is None else 0, grad.dtype)
    square = input * (1 - input)
    return np.where(_outside(input, eps), beyond, grad * scale * (2 * input - 1) / (square * square))


@jit
def _logit(x, eps):
    if eps is not None:
        x = tl.where(x < eps, eps, tl.where(x > 1 - eps, 1 - eps, x))
    return libdevice.log(quotient(x, 1 - x))


@jit
def _within(x, value, eps):
    if eps is not None:
        return tl.where((x < eps) | (x > 1 - eps), 0, value)
    else:
        return tl.where((x < 0) | (x > 1), float("nan"), value)


@jit
def _slope(grad, x, eps):
    return _within(x, quotient(grad, x * (1 - x)), eps)


@jit
def _curve(grad, scale, x, eps):
    square = x * (1 - x)
    return _within(x, quotient(grad * scale * (2 * x - 1), square * square), eps)


def samples(rng):
    log4 = np.log(4.0)
    yield Sample(
        "worked",
        (np.array([0.0, 0.2, 0.5, 0.8, 1.0, -0.5, 2.0, np.nan]),),
        {"eps": None},
        answers=(
            [-np.inf, -log4, 0.0, log4, np.inf, np.nan, np.nan, np.nan],
            [np.inf, 6.25, 4.0, 6.25, np.inf, np.nan, np.nan, np.nan],
        ),
    )
    yield Sample(
        "limited",
        (np.array([0.0, 0.2, 0.5, 0.875, 1.0, np.nan]),),
        {"eps": 0.25},
        answers=(
            [-np.log(3.0), -np.log(3.0), 0.0, np.log(3.0), np.log(3.0), np.nan],
            [0.0, 0.0, 4.0, 0.0, 0.0, np.nan],
        ),
    )
    for sample in usual(rng, 0.55, 0.9):
        yield Sample(sample.name, sample.inputs, {"eps": None})
    yield Sample("limited, line", (rng.uniform(0.1, 0.9, (9,)),), {"eps": 0.05})
    yield Sample("integers", (np.array([0, 1]),), {"eps": None}, answers=([-np.inf, np.inf],), dtypes=())


LOGIT = smooth(
    "logit",
    (forward_numpy, _logit),
    (slope_numpy, _slope),
    (curve_numpy, _curve),
    samples,
    logit,
)
