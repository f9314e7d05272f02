"""Sine, cosine, tangent and their inverses, elementwise; angles are in radians.

    sin    out = sin(input),  f' = cos x,  f'' = -sin x
    cos    out = cos(input),  f' = -sin x,  f'' = -cos x
    tan    out = tan(input),  f' = 1 + tan x ** 2,  f'' = 2 tan x f'
    asin   out = asin(input),  f' = 1 / sqrt(1 - x ** 2),  f'' = x f' ** 3
    acos   out = acos(input),  f' = -1 / sqrt(1 - x ** 2),  f'' = -x / (1 - x ** 2) ** 1.5
    atan   out = atan(input),  f' = 1 / (1 + x ** 2),  f'' = -2 x f' ** 2

The inverses are NaN outside [-1, 1], except atan.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual
from .sqrt import root


def sin(input: Tensor) -> Tensor:
    """The sine of ``input`` in radians; any shape, integers give floats.

    >>> sin(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(SIN, input)


def cos(input: Tensor) -> Tensor:
    """The cosine of ``input`` in radians; any shape, integers give floats.

    >>> cos(Tensor([0.0])).tolist()
    [1.0]
    """
    return apply(COS, input)


def tan(input: Tensor) -> Tensor:
    """The tangent of ``input`` in radians; any shape, integers give floats.

    >>> tan(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(TAN, input)


def asin(input: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is ``input``; any shape, integers give floats.

    >>> asin(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(ASIN, input)


def acos(input: Tensor) -> Tensor:
    """The angle in [0, pi] whose cosine is ``input``; any shape, integers give floats.

    >>> acos(Tensor([1.0])).tolist()
    [0.0]
    """
    return apply(ACOS, input)


def atan(input: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is ``input``; any shape, integers give floats.

    >>> atan(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(ATAN, input)


def deg2rad(input: Tensor) -> Tensor:
    """``input`` degrees in radians; any shape, integers give floats.

    >>> round(deg2rad(Tensor([180.0])).item(), 4)
    3.1416
    """
    return input * (np.pi / 180)


def deg2rad_(input: Tensor) -> Tensor:
    """``deg2rad`` written into ``input`` itself, which is returned."""
    return input.mul_(np.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """``input`` radians in degrees; any shape, integers give floats.

    >>> round(rad2deg(Tensor([3.14159265])).item(), 4)
    180.0
    """
    return input * (180 / np.pi)


def rad2deg_(input: Tensor) -> Tensor:
    """``rad2deg`` written into ``input`` itself, which is returned."""
    return input.mul_(180 / np.pi)


@jit
def _sin(x):
    return libdevice.sin(x)


@jit
def _sin_backward(grad, x):
    return grad * libdevice.cos(x)


@jit
def _sin_second(grad, scale, x):
    return -grad * scale * libdevice.sin(x)


def sin_samples(rng):
    yield Sample(
        "worked", (np.array([0.0, np.pi / 6, np.pi / 2]),), answers=([0.0, 0.5, 1.0], [1.0, np.sqrt(0.75), 0.0])
    )
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


SIN = smooth(
    "sin",
    (lambda input: np.sin(input), _sin),
    (lambda grad, input: grad * np.cos(input), _sin_backward),
    (lambda grad, scale, input: -grad * scale * np.sin(input), _sin_second),
    sin_samples,
    sin,
    np.sin,
)


@jit
def _cos(x):
    return libdevice.cos(x)


@jit
def _cos_backward(grad, x):
    return -grad * libdevice.sin(x)


@jit
def _cos_second(grad, scale, x):
    return -grad * scale * libdevice.cos(x)


def cos_samples(rng):
    yield Sample(
        "worked", (np.array([0.0, np.pi / 3, np.pi / 2]),), answers=([1.0, 0.5, 0.0], [0.0, -np.sqrt(0.75), -1.0])
    )
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([1.0],), dtypes=())


COS = smooth(
    "cos",
    (lambda input: np.cos(input), _cos),
    (lambda grad, input: -grad * np.sin(input), _cos_backward),
    (lambda grad, scale, input: -grad * scale * np.cos(input), _cos_second),
    cos_samples,
    cos,
    np.cos,
)


@jit
def _tan(x):
    return libdevice.tan(x)


@jit
def _tan_backward(grad, x):
    return grad * (1 + libdevice.tan(x) * libdevice.tan(x))


@jit
def _tan_second(grad, scale, x):
    return 2 * grad * scale * libdevice.tan(x) * (1 + libdevice.tan(x) * libdevice.tan(x))


def tan_samples(rng):
    yield Sample(
        "worked", (np.array([0.0, np.pi / 4, -np.pi / 3]),), answers=([0.0, 1.0, -np.sqrt(3.0)], [1.0, 2.0, 4.0])
    )
    yield from usual(rng, -1.2, 1.2)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


TAN = smooth(
    "tan",
    (lambda input: np.tan(input), _tan),
    (lambda grad, input: grad * (1 + np.tan(input) ** 2), _tan_backward),
    (lambda grad, scale, input: 2 * grad * scale * np.tan(input) * (1 + np.tan(input) ** 2), _tan_second),
    tan_samples,
    tan,
    np.tan,
    autocast="float32",
)


@jit
def _asin(x):
    return libdevice.asin(x)


@jit
def _asin_backward(grad, x):
    return quotient(grad, root((1 - x) * (1 + x)))


@jit
def _asin_second(grad, scale, x):
    return quotient(grad * scale * x, (1 - x) * (1 + x) * root((1 - x) * (1 + x)))


def asin_samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 0.5, 1.0, 2.0]),),
        answers=([0.0, np.pi / 6, np.pi / 2, np.nan], [1.0, 1 / np.sqrt(0.75), np.inf, np.nan]),
    )
    yield from usual(rng, -0.9, 0.9)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


ASIN = smooth(
    "asin",
    (lambda input: np.arcsin(input), _asin),
    (lambda grad, input: grad / np.sqrt((1 - input) * (1 + input)), _asin_backward),
    (lambda grad, scale, input: grad * scale * input / ((1 - input) * (1 + input)) ** 1.5, _asin_second),
    asin_samples,
    asin,
    np.arcsin,
    autocast="float32",
)


@jit
def _acos(x):
    return libdevice.acos(x)


@jit
def _acos_backward(grad, x):
    return -quotient(grad, root((1 - x) * (1 + x)))


@jit
def _acos_second(grad, scale, x):
    return -quotient(grad * scale * x, (1 - x) * (1 + x) * root((1 - x) * (1 + x)))


def acos_samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 0.5, 1.0, 2.0]),),
        answers=([np.pi / 2, np.pi / 3, 0.0, np.nan], [-1.0, -1 / np.sqrt(0.75), -np.inf, np.nan]),
    )
    yield from usual(rng, -0.9, 0.9)
    yield Sample("integers", (np.array([1]),), answers=([0.0],), dtypes=())


ACOS = smooth(
    "acos",
    (lambda input: np.arccos(input), _acos),
    (lambda grad, input: -grad / np.sqrt((1 - input) * (1 + input)), _acos_backward),
    (lambda grad, scale, input: -grad * scale * input / ((1 - input) * (1 + input)) ** 1.5, _acos_second),
    acos_samples,
    acos,
    np.arccos,
    autocast="float32",
)


@jit
def _atan(x):
    return libdevice.atan(x)


@jit
def _atan_backward(grad, x):
    return quotient(grad, 1 + x * x)


@jit
def _atan_second(grad, scale, x):
    return quotient(-2 * grad * scale * x, (1 + x * x) * (1 + x * x))


def atan_samples(rng):
    yield Sample("worked", (np.array([0.0, 1.0, -np.inf]),), answers=([0.0, np.pi / 4, -np.pi / 2], [1.0, 0.5, 0.0]))
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


ATAN = smooth(
    "atan",
    (lambda input: np.arctan(input), _atan),
    (lambda grad, input: grad / (1 + input * input), _atan_backward),
    (lambda grad, scale, input: -2 * grad * scale * input / (1 + input * input) ** 2, _atan_second),
    atan_samples,
    atan,
    np.arctan,
)
