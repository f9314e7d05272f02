"""Hyperbolic sine and cosine, and the inverses of both and of the tangent, elementwise.

    sinh   out = sinh(input),  f' = cosh x,  f'' = sinh x
    cosh   out = cosh(input),  f' = sinh x,  f'' = cosh x
    asinh  out = asinh(input),  f' = 1 / sqrt(x ** 2 + 1),  f'' = -x f' ** 3
    acosh  out = acosh(input),  f' = 1 / sqrt(x ** 2 - 1),  f'' = -x f' ** 3
    atanh  out = atanh(input),  f' = 1 / (1 - x ** 2),  f'' = 2 x f' ** 2

acosh is NaN below 1, atanh outside [-1, 1].  The hyperbolic tangent is in ``tanh.py``.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .div import quotient
from .smooth import smooth, usual
from .sqrt import root


def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine of ``input``; any shape, integers give floats.

    >>> sinh(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(SINH, input)


def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine of ``input``; any shape, integers give floats.

    >>> cosh(Tensor([0.0])).tolist()
    [1.0]
    """
    return apply(COSH, input)


def asinh(input: Tensor) -> Tensor:
    """The number whose hyperbolic sine is ``input``; any shape, integers give floats.

    >>> asinh(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(ASINH, input)


def acosh(input: Tensor) -> Tensor:
    """The number from 0 on whose hyperbolic cosine is ``input``; any shape, integers give floats.

    >>> acosh(Tensor([1.0])).tolist()
    [0.0]
    """
    return apply(ACOSH, input)


def atanh(input: Tensor) -> Tensor:
    """The number whose hyperbolic tangent is ``input``; any shape, integers give floats.

    >>> atanh(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(ATANH, input)


@jit
def _sinh(x):
    return libdevice.sinh(x)


@jit
def _sinh_backward(grad, x):
    return grad * libdevice.cosh(x)


@jit
def _sinh_second(grad, scale, x):
    return grad * scale * libdevice.sinh(x)


def sinh_samples(rng):
    yield Sample("worked", (np.array([0.0, np.log(2.0)]),), answers=([0.0, 0.75], [1.0, 1.25]))
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


SINH = smooth(
    "sinh",
    (lambda input: np.sinh(input), _sinh),
    (lambda grad, input: grad * np.cosh(input), _sinh_backward),
    (lambda grad, scale, input: grad * scale * np.sinh(input), _sinh_second),
    sinh_samples,
    sinh,
    np.sinh,
    autocast="float32",
)


@jit
def _cosh(x):
    return libdevice.cosh(x)


@jit
def _cosh_backward(grad, x):
    return grad * libdevice.sinh(x)


@jit
def _cosh_second(grad, scale, x):
    return grad * scale * libdevice.cosh(x)


def cosh_samples(rng):
    yield Sample("worked", (np.array([0.0, np.log(2.0)]),), answers=([1.0, 1.25], [0.0, 0.75]))
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([1.0],), dtypes=())


COSH = smooth(
    "cosh",
    (lambda input: np.cosh(input), _cosh),
    (lambda grad, input: grad * np.sinh(input), _cosh_backward),
    (lambda grad, scale, input: grad * scale * np.cosh(input), _cosh_second),
    cosh_samples,
    cosh,
    np.cosh,
    autocast="float32",
)


@jit
def _asinh(x):
    return libdevice.asinh(x)


@jit
def _asinh_backward(grad, x):
    return quotient(grad, root(x * x + 1))


@jit
def _asinh_second(grad, scale, x):
    return quotient(-grad * scale * x, (x * x + 1) * root(x * x + 1))


def asinh_samples(rng):
    yield Sample("worked", (np.array([0.0, 0.75]),), answers=([0.0, np.log(2.0)], [1.0, 0.8]))
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


ASINH = smooth(
    "asinh",
    (lambda input: np.arcsinh(input), _asinh),
    (lambda grad, input: grad / np.sqrt(input * input + 1), _asinh_backward),
    (lambda grad, scale, input: -grad * scale * input / (input * input + 1) ** 1.5, _asinh_second),
    asinh_samples,
    asinh,
    np.arcsinh,
)


@jit
def _acosh(x):
    return libdevice.acosh(x)


@jit
def _acosh_backward(grad, x):
    return quotient(grad, root((x - 1) * (x + 1)))


@jit
def _acosh_second(grad, scale, x):
    return quotient(-grad * scale * x, (x - 1) * (x + 1) * root((x - 1) * (x + 1)))


def acosh_samples(rng):
    yield Sample(
        "worked", (np.array([1.0, 1.25, 0.0]),), answers=([0.0, np.log(2.0), np.nan], [np.inf, 1 / 0.75, np.nan])
    )
    yield from usual(rng, 1.5, 4.0)
    yield Sample("integers", (np.array([1]),), answers=([0.0],), dtypes=())


ACOSH = smooth(
    "acosh",
    (lambda input: np.arccosh(input), _acosh),
    (lambda grad, input: grad / np.sqrt((input - 1) * (input + 1)), _acosh_backward),
    (lambda grad, scale, input: -grad * scale * input / ((input - 1) * (input + 1)) ** 1.5, _acosh_second),
    acosh_samples,
    acosh,
    np.arccosh,
)


@jit
def _atanh(x):
    return libdevice.atanh(x)


@jit
def _atanh_backward(grad, x):
    return quotient(grad, (1 - x) * (1 + x))


@jit
def _atanh_second(grad, scale, x):
    return quotient(2 * grad * scale * x, (1 - x) * (1 + x) * (1 - x) * (1 + x))


def atanh_samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 0.6, 1.0, 2.0]),),
        answers=([0.0, np.log(2.0), np.inf, np.nan], [1.0, 1 / 0.64, np.inf, -1 / 3]),
    )
    yield from usual(rng, -0.8, 0.8)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


ATANH = smooth(
    "atanh",
    (lambda input: np.arctanh(input), _atanh),
    (lambda grad, input: grad / ((1 - input) * (1 + input)), _atanh_backward),
    (lambda grad, scale, input: 2 * grad * scale * input / ((1 - input) * (1 + input)) ** 2, _atanh_second),
    atanh_samples,
    atanh,
    np.arctanh,
)
