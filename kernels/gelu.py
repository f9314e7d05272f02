"""Gaussian error linear unit, elementwise, exact or by a hyperbolic tangent.

    gelu       out = x P(x),  P(x) = (1 + erf(x / sqrt 2)) / 2,  p = P' = e ** (-x ** 2 / 2) / sqrt(2 pi)
               f'  = P + x p,  f'' = p (2 - x ** 2)
    gelu_tanh  out = x (1 + t) / 2,  t = tanh(u),  u = sqrt(2 / pi) (x + 0.044715 x ** 3)
               f'  = (1 + t) / 2 + x (1 - t ** 2) u' / 2
               f'' = (1 - t ** 2) (u' + x (u'' / 2 - t u' ** 2))

At -inf both are NaN, as in PyTorch.
Source: Hendrycks and Gimpel (2016).
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .erf import erf_numpy
from .smooth import floating, smooth, usual


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``input`` times the share of a normal distribution below it; any shape, floating.

    With ``approximate="tanh"`` that share is computed by a hyperbolic tangent.  Raises RuntimeError for integers and for
    another ``approximate``.

    >>> gelu(Tensor([0.0, 10.0])).tolist()
    [0.0, 10.0]
    """
    floating("gelu", input)
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: expected approximate 'none' or 'tanh', got {approximate!r}")
    return apply(GELU if approximate == "none" else GELU_TANH, input)


_ROOT = 0.7071067811865476  # sqrt(1 / 2)
_PEAK = 0.3989422804014327  # 1 / sqrt(2 pi)
_RATE = 0.7978845608028654  # sqrt(2 / pi)
_CUBE = 0.044715


def _share(x):
    """The share of a normal distribution below x."""
    out = erf_numpy(x * _ROOT)
    out += 1
    out *= 0.5
    return out


def gelu_numpy(input):
    return input * _share(input)


def slope_numpy(grad, input):
    return grad * (_share(input) + input * (_PEAK * np.exp(-0.5 * input * input)))


def curve_numpy(grad, scale, input):
    square = input * input
    return grad * scale * (_PEAK * np.exp(-0.5 * square) * (2 - square))


def _tanh_parts(x):
    square = x * x
    t = np.tanh(x * (_RATE + _RATE * _CUBE * square))
    return t, _RATE + 3 * _RATE * _CUBE * square, 6 * _RATE * _CUBE * x


def tanh_numpy(input):
    return 0.5 * input * (1 + _tanh_parts(input)[0])


def tanh_slope_numpy(grad, input):
    t, rise, _ = _tanh_parts(input)
    return grad * (0.5 * (1 + t) + 0.5 * input * ((1 - t * t) * rise))


def tanh_curve_numpy(grad, scale, input):
    t, rise, bend = _tanh_parts(input)
    return grad * scale * ((1 - t * t) * (rise + input * (0.5 * bend - t * rise * rise)))


@jit
def _gelu(x):
    return x * (0.5 * (1 + libdevice.erf(x * 0.7071067811865476)))


@jit
def _slope(grad, x):
    share = 0.5 * (1 + libdevice.erf(x * 0.7071067811865476))
    return grad * (share + x * (0.3989422804014327 * libdevice.exp(-0.5 * x * x)))


@jit
def _curve(grad, scale, x):
    return grad * scale * (0.3989422804014327 * libdevice.exp(-0.5 * x * x) * (2 - x * x))


@jit
def _tanh(x):
    return libdevice.tanh(x * (0.7978845608028654 + 0.035677408136300125 * x * x))


@jit
def _gelu_tanh(x):
    return 0.5 * x * (1 + _tanh(x))


@jit
def _tanh_slope(grad, x):
    t = _tanh(x)
    rise = 0.7978845608028654 + 0.10703222440890037 * x * x
    return grad * (0.5 * (1 + t) + 0.5 * x * ((1 - t * t) * rise))


@jit
def _tanh_curve(grad, scale, x):
    t = _tanh(x)
    rise = 0.7978845608028654 + 0.10703222440890037 * x * x
    return grad * scale * ((1 - t * t) * (rise + x * (0.10703222440890037 * x - t * rise * rise)))


def samples(rng):
    # the normal distribution's shares below 1 and 2 are 0.84134474606854293 and 0.97724986805182079
    one, two = 0.8413447460685429, 0.9772498680518208
    at_one, at_two = 0.24197072451914337, 0.05399096651318806  # its densities
    yield Sample(
        "worked",
        (np.array([0.0, 1.0, -2.0, np.nan, -np.inf]),),
        answers=(
            [0.0, one, -2 * (1 - two), np.nan, np.nan],
            [0.5, one + at_one, 1 - two - 2 * at_two, np.nan, np.nan],
        ),
    )
    yield from usual(rng, -3.0, 3.0)
    yield Sample("integers", (np.array([1]),), raises=(RuntimeError, "gelu: expected a floating tensor, got int64"))
    yield Sample(
        "approximation",
        (np.array([1.0]),),
        {"approximate": "sigmoid"},
        raises=(RuntimeError, "gelu: expected approximate 'none' or 'tanh', got 'sigmoid'"),
    )


def tanh_samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 1.0, np.nan, -np.inf]),),
        answers=([0.0, 0.8411919906082768, np.nan, np.nan], [0.5, 1.0829640838457826, np.nan, np.nan]),
    )
    yield from usual(rng, -3.0, 3.0)


GELU = smooth("gelu", (gelu_numpy, _gelu), (slope_numpy, _slope), (curve_numpy, _curve), samples, gelu, promotion="")

GELU_TANH = smooth(
    "gelu_tanh",
    (tanh_numpy, _gelu_tanh),
    (tanh_slope_numpy, _tanh_slope),
    (tanh_curve_numpy, _tanh_curve),
    tanh_samples,
    None,
    promotion="",
)
