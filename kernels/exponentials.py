"""Powers of 2, and the exponential function less one, elementwise.

    exp2   out = exp2(input),  f' = ln 2 2 ** x,  f'' = ln 2 f'
    expm1  out = expm1(input),  f' = e ** x,  f'' = e ** x

expm1 keeps its digits near 0.  The exponential function is in ``exp.py``.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.language import jit, libdevice
from ..framework.op import Sample
from .smooth import smooth, usual


def exp2(input: Tensor) -> Tensor:
    """``2 ** input``; any shape, integers give floats.

    >>> exp2(Tensor([3.0])).tolist()
    [8.0]
    """
    return apply(EXP2, input)


def expm1(input: Tensor) -> Tensor:
    """``e ** input - 1``, accurate near 0; any shape, integers give floats.

    >>> expm1(Tensor([0.0])).tolist()
    [0.0]
    """
    return apply(EXPM1, input)


@jit
def _exp2(x):
    return libdevice.exp2(x)


@jit
def _exp2_backward(grad, x):
    return grad * libdevice.exp2(x) * 0.6931471805599453


@jit
def _exp2_second(grad, scale, x):
    return grad * scale * libdevice.exp2(x) * 0.4804530139182014


def exp2_samples(rng):
    yield Sample(
        "worked", (np.array([0.0, 3.0, -np.inf]),), answers=([1.0, 8.0, 0.0], [np.log(2.0), 8 * np.log(2.0), 0.0])
    )
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([3]),), answers=([8.0],), dtypes=())


EXP2 = smooth(
    "exp2",
    (lambda input: np.exp2(input), _exp2),
    (lambda grad, input: grad * np.exp2(input) * 0.6931471805599453, _exp2_backward),
    (lambda grad, scale, input: grad * scale * np.exp2(input) * 0.4804530139182014, _exp2_second),
    exp2_samples,
    exp2,
    np.exp2,
)


@jit
def _expm1(x):
    return libdevice.expm1(x)


@jit
def _expm1_backward(grad, x):
    return grad * libdevice.exp(x)


@jit
def _expm1_second(grad, scale, x):
    return grad * scale * libdevice.exp(x)


def expm1_samples(rng):
    yield Sample("worked", (np.array([0.0, np.log(2.0), -np.inf]),), answers=([0.0, 1.0, -1.0], [1.0, 2.0, 0.0]))
    yield from usual(rng, -1.5, 1.5)
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


EXPM1 = smooth(
    "expm1",
    (lambda input: np.expm1(input), _expm1),
    (lambda grad, input: grad * np.exp(input), _expm1_backward),
    (lambda grad, scale, input: grad * scale * np.exp(input), _expm1_second),
    expm1_samples,
    expm1,
    np.expm1,
    autocast="float32",
)
