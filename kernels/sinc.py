"""The normalised cardinal sine, elementwise.

    out = sin(z) / z,  z = pi x,  f(0) = 1
    f' = pi z g(z),  f'' = -pi ** 2 (f + 2 g(z)),  g(z) = (cos z - f) / z ** 2

For |z| < 1 g is its series, the sum of (-1) ** k 2 k z ** (2 k - 2) / (2 k + 1)! from k = 1 on: the difference would
lose digits there.
"""

from math import factorial

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice, tl
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual


def sinc(input: Tensor) -> Tensor:
    """``sin(pi * input) / (pi * input)``, 1 at 0; any shape, integers give floats.

    >>> sinc(Tensor([0.0, -0.0])).tolist()
    [1.0, 1.0]
    """
    return apply(SINC, input)


_SERIES = [(-1) ** k * 2 * k / factorial(2 * k + 1) for k in range(9, 0, -1)]


def forward_numpy(input):
    z = np.pi * input
    return np.where(z == 0, np.asarray(1, z.dtype), np.sin(z) / z)


def _bend(z):
    square = z * z
    near = np.minimum(square, 1)
    series = near * _SERIES[0] + _SERIES[1]
    for c in _SERIES[2:]:
        series = series * near + c
    return np.where(square < 1, series, (np.cos(z) - np.sin(z) / z) / square)


def slope_numpy(grad, input):
    z = np.pi * input
    return grad * (np.pi * z * _bend(z))


def curve_numpy(grad, scale, input):
    z = np.pi * input
    return grad * scale * (-(np.pi**2) * (forward_numpy(input) + 2 * _bend(z)))


@jit
def _sinc(x):
    z = 3.141592653589793 * x
    return tl.where(z == 0, 1, quotient(libdevice.sin(z), z))


@jit
def _bent(z):
    square = z * z
    near = tl.where(square < 1, square, 1)
    out = near * -1.4797143443923793e-16 + 4.498331606952833e-14
    out = out * near - 1.0706029224547743e-11
    out = out * near + 1.9270852604185937e-09
    out = out * near - 2.505210838544172e-07
    out = out * near + 2.2045855379188714e-05
    out = out * near - 0.0011904761904761906
    out = out * near + 0.03333333333333333
    out = out * near - 0.3333333333333333
    return tl.where(square < 1, out, quotient(libdevice.cos(z) - quotient(libdevice.sin(z), z), square))


@jit
def _slope(grad, x):
    z = 3.141592653589793 * x
    return grad * (3.141592653589793 * z * _bent(z))


@jit
def _curve(grad, scale, x):
    return grad * scale * (-9.869604401089358 * (_sinc(x) + 2 * _bent(3.141592653589793 * x)))


def samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 0.5, -0.5, 1.5, np.nan]),),
        answers=(
            [1.0, 2 / np.pi, 2 / np.pi, -2 / (3 * np.pi), np.nan],
            [0.0, -4 / np.pi, 4 / np.pi, 4 / (9 * np.pi), np.nan],
        ),
    )
    yield Sample("small", (np.array([1e-8, -1e-3, 0.1]),), dtypes=("float64", "float32"))
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([1.0],), dtypes=())


SINC = smooth(
    "sinc",
    (forward_numpy, _sinc),
    (slope_numpy, _slope),
    (curve_numpy, _curve),
    samples,
    sinc,
)
