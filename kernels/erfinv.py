"""The inverse of the error function, elementwise.

    out = erfinv(x), so that erf(out) = x,  f' = sqrt(pi) / 2 e ** f ** 2,  f'' = 2 f f' ** 2

It is infinite at -1 and 1 and NaN outside.  In NumPy it starts from Winitzki's formula (2008), which is good to three
digits, and takes three steps of Halley's method in double precision, on erfc where erf is near 1.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .erf import erf_numpy, erfc_numpy
from .smooth import smooth, usual


def erfinv(input: Tensor) -> Tensor:
    """The number whose error function is ``input``; any shape, integers give floats.

    >>> erfinv(Tensor([0.0, 1.0])).tolist()
    [0.0, inf]
    """
    return apply(ERFINV, input)


_HALF_ROOT = 0.886226925452758  # sqrt(pi) / 2


def forward_numpy(input):
    x = np.abs(input.astype(np.float64, copy=False))
    inside = np.minimum(x, np.nextafter(1.0, 0.0))
    logarithm = np.log1p(-inside * inside)
    middle = 2 / (np.pi * 0.147) + logarithm / 2
    y = np.sqrt(np.sqrt(middle * middle - logarithm / 0.147) - middle)
    for _ in range(3):
        excess = np.where(inside < 0.5, erf_numpy(y) - inside, (1 - inside) - erfc_numpy(y))
        step = excess * _HALF_ROOT * np.exp(y * y)
        y = y - step / (1 + y * step)
    y = np.where(x < 1, y, np.where(x == 1, np.inf, np.nan))
    return np.copysign(y, input).astype(input.dtype, copy=False)


def slope_numpy(grad, input):
    y = forward_numpy(input)
    return grad * (_HALF_ROOT * np.exp(y * y))


def curve_numpy(grad, scale, input):
    y = forward_numpy(input)
    return grad * scale * (2 * _HALF_ROOT * _HALF_ROOT * y * np.exp(2 * y * y))


@jit
def _erfinv(x):
    return libdevice.erfinv(x)


@jit
def _slope(grad, x):
    y = libdevice.erfinv(x)
    return grad * (0.886226925452758 * libdevice.exp(y * y))


@jit
def _curve(grad, scale, x):
    y = libdevice.erfinv(x)
    return grad * scale * (1.5707963267948966 * y * libdevice.exp(2 * y * y))


def samples(rng):
    # erf(1 / 2) = 0.52049987781304653..., erf(2) = 0.99532226501895273...
    yield Sample(
        "worked",
        (np.array([0.0, 0.5204998778130465, -0.5204998778130465, 1.0, -1.0, 1.5, np.nan]),),
        answers=(
            [0.0, 0.5, -0.5, np.inf, -np.inf, np.nan, np.nan],
            [0.886226925452758, 1.1379378972343734, 1.1379378972343734, np.inf, np.inf, np.nan, np.nan],
        ),
    )
    yield from usual(rng, -0.9, 0.9)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


ERFINV = smooth(
    "erfinv",
    (forward_numpy, _erfinv),
    (slope_numpy, _slope),
    (curve_numpy, _curve),
    samples,
    erfinv,
    autocast="float32",
)
