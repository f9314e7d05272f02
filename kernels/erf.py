"""The error function and its complement, elementwise.

    erf   out = 2 / sqrt(pi) * integral of e ** -t ** 2 from 0 to x
          f' = 2 / sqrt(pi) * e ** -x ** 2,  f'' = -2 x f'
    erfc  out = 1 - erf(x), with all its digits where x is large
          f' = -2 / sqrt(pi) * e ** -x ** 2,  f'' = -2 x f'

NumPy has neither.  In double precision erf(x) / x is a polynomial in x ** 2 for |x| <= 1; beyond, erfc(z) is
e ** -z ** 2 / (1 + 2 z) times a polynomial in (z - 4) / (z + 4), as in Shepherd and Laframboise (1981).  In float32
erf(x) / x is one rational function of x ** 2 up to |x| = 4, where erf rounds to 1.  The coefficients were computed by
interpolation at Chebyshev's nodes, and the rational function's by weighted least squares, both in 60 digits.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .smooth import smooth, usual


def erf(input: Tensor) -> Tensor:
    """The error function of ``input``; any shape, integers give floats.

    >>> erf(Tensor([0.0, 10.0])).tolist()
    [0.0, 1.0]
    """
    return apply(ERF, input)


def erfc(input: Tensor) -> Tensor:
    """``1 - erf(input)``, accurate where that is small; any shape, integers give floats.

    >>> erfc(Tensor([0.0, float("-inf")])).tolist()
    [1.0, 2.0]
    """
    return apply(ERFC, input)


_SLOPE = 1.1283791670955126  # 2 / sqrt(pi)

# erf(x) / x for |x| <= 1, from the highest power of x ** 2 down
_NEAR = (
    -7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871708e-07, 1.6447424703317364e-06,
    -1.492473690741966e-05, 0.00012055294904839707, -0.0008548325975389693, 0.0052239776071164225,
    -0.02686617064323777, 0.11283791670945006, -0.3761263890318354, 1.1283791670955126,
)  # fmt: skip

# e ** z ** 2 * erfc(z) * (1 + 2 z) for z >= 0, from the highest power of (z - 4) / (z + 4) down
_FAR = (
    1.6403183696752708e-09, -6.984021100158542e-09, -1.673812797437216e-08, 9.290772873032215e-08,
    7.202517584836005e-08, -8.019174684327191e-07, 2.968409172531307e-07, 5.6894090899650724e-06,
    -1.1224122281497544e-05, -2.4387691264306046e-05, 0.00015062257137043143, -0.0001992610018544279,
    -0.0007577735257382458, 0.005031971017234254, -0.016197734020451597, 0.03716751538360477,
    -0.06633036581541651, 0.0937328350110569, -0.10103906603618064, 0.06809705425420673,
    0.015379652102618402, -0.139621116840557, 1.2329951186255526,
)  # fmt: skip

# numerator and denominator of erf(x) / x for |x| <= 4, to the precision of float32, highest power of x ** 2 first
_ABOVE = (1.9889627905e-06, 0.000284092222289, 0.0038652233113, 0.0530448034993, 0.193132192588, 1.12837914238)
_BELOW = (3.74182418215e-05, 0.0011810710385, 0.015170718996, 0.115177290482, 0.504491575903, 1.0)

_PIECE = 16384  # elements at a time, so that what lies between stays in the cache


def _polynomial(x, coefficients):
    out = x * coefficients[0]
    out += coefficients[1]
    for c in coefficients[2:]:
        out *= x
        out += c
    return out


def _tail(z):
    """erfc of float64 z >= 0."""
    out = _polynomial((z - 4) / (z + 4), _FAR)
    out /= 1 + 2 * z
    high = z.astype(np.float32).astype(np.float64)  # its square is exact
    out *= np.exp(-high * high)
    out *= np.exp((high - z) * (high + z))
    return out


def _single(x):
    near = np.clip(x, -4, 4)
    square = near * near
    out = _polynomial(square, _ABOVE)
    out /= _polynomial(square, _BELOW)
    out *= near
    return np.clip(out, -1, 1)


def _double(x):
    size = np.abs(x)
    if not np.any(size > 1):  # NaN included
        return x * _polynomial(x * x, _NEAR)
    near = np.minimum(size, 1)
    inside = near * _polynomial(near * near, _NEAR)
    outside = 1 - _tail(np.clip(size, 1, 6))
    return np.copysign(np.where(size > 1, outside, inside), x)


def _complement(x):
    kind = x.dtype
    x = x.astype(np.float64, copy=False)
    far = _tail(np.minimum(np.abs(x), 30))  # 0 from 27 on
    near = np.clip(x, -1, 1)
    inside = 1 - near * _polynomial(near * near, _NEAR)
    return np.where(x >= 0.5, far, np.where(x < -1, 2 - far, inside)).astype(kind, copy=False)


def _pieces(function, x):
    if x.size <= _PIECE or not x.flags.c_contiguous:
        return function(x)
    flat, out = x.reshape(-1), np.empty_like(x)
    into = out.reshape(-1)
    for i in range(0, flat.size, _PIECE):
        into[i : i + _PIECE] = function(flat[i : i + _PIECE])
    return out


def erf_numpy(input):
    return _pieces(_single if input.dtype == np.float32 else _double, input)


def erfc_numpy(input):
    return _pieces(_complement, input)


@jit
def _erf(x):
    return libdevice.erf(x)


@jit
def _erf_backward(grad, x):
    return 1.1283791670955126 * grad * libdevice.exp(-x * x)


@jit
def _erf_second(grad, scale, x):
    return -2.2567583341910252 * grad * scale * x * libdevice.exp(-x * x)


@jit
def _erfc(x):
    return libdevice.erfc(x)


@jit
def _erfc_backward(grad, x):
    return -1.1283791670955126 * grad * libdevice.exp(-x * x)


@jit
def _erfc_second(grad, scale, x):
    return 2.2567583341910252 * grad * scale * x * libdevice.exp(-x * x)


_POINTS = [-np.inf, -2.0, -0.5, 0.0, 0.5, 1.0, 3.0, np.inf, np.nan]
_SLOPES = [0.0, 2.066698535409205e-02, 8.787825789354448e-01, 1.1283791670955126, 8.787825789354448e-01] + [
    4.151074974205947e-01,
    1.3925305194674786e-04,
    0.0,
    np.nan,
]


def erf_samples(rng):
    values = [-1.0, -0.9953222650189527, -0.5204998778130465, 0.0, 0.5204998778130465]
    values += [0.8427007929497149, 0.9999779095030014, 1.0, np.nan]
    yield Sample("worked", (np.array(_POINTS),), answers=(values, _SLOPES))
    yield Sample("tiny", (np.array([1e-20, -1e-10]),), dtypes=("float64", "float32"))
    yield from usual(rng, -3.0, 3.0)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


def erfc_samples(rng):
    values = [2.0, 1.9953222650189527, 1.5204998778130465, 1.0, 0.4795001221869535]
    values += [0.15729920705028513, 2.2090496998585438e-05, 0.0, np.nan]
    yield Sample("worked", (np.array(_POINTS),), answers=(values, [-s for s in _SLOPES]))
    yield Sample("far", (np.array([5.0, 9.0, 12.0, 26.0, 28.0]),), dtypes=("float64", "float32"))
    yield from usual(rng, -3.0, 3.0)
    yield Sample("integers", (np.array([0]),), answers=([1.0],), dtypes=())


ERF = smooth(
    "erf",
    (erf_numpy, _erf),
    (lambda grad, input: _SLOPE * grad * np.exp(-input * input), _erf_backward),
    (lambda grad, scale, input: -2 * _SLOPE * grad * scale * input * np.exp(-input * input), _erf_second),
    erf_samples,
    erf,
)

ERFC = smooth(
    "erfc",
    (erfc_numpy, _erfc),
    (lambda grad, input: -_SLOPE * grad * np.exp(-input * input), _erfc_backward),
    (lambda grad, scale, input: 2 * _SLOPE * grad * scale * input * np.exp(-input * input), _erfc_second),
    erfc_samples,
    erfc,
)
