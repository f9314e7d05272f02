"""Which values are numbers, elementwise, with results of bool.

    isnan     out = input != input
    isinf     out = |input| == inf
    isfinite  out = |input| < inf

Integers are always finite.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import OPS, Op, Sample, register


def isnan(input: Tensor) -> Tensor:
    """Where ``input`` is NaN: a bool tensor; any shape and dtype.

    >>> isnan(Tensor([1.0, float("nan")])).numpy()
    array([False,  True])
    """
    return apply(OPS["isnan"], input)


def isinf(input: Tensor) -> Tensor:
    """Where ``input`` is infinite: a bool tensor; any shape and dtype.

    >>> isinf(Tensor([1.0, float("-inf")])).numpy()
    array([False,  True])
    """
    return apply(OPS["isinf"], input)


def isfinite(input: Tensor) -> Tensor:
    """Where ``input`` is neither infinite nor NaN: a bool tensor; any shape and dtype.

    >>> isfinite(Tensor([1.0, float("nan")])).numpy()
    array([ True, False])
    """
    return apply(OPS["isfinite"], input)


def isnan_numpy(input):
    return np.isnan(input)


def isinf_numpy(input):
    return np.isinf(input)


def isfinite_numpy(input):
    return np.isfinite(input)


@jit
def _isnan(x):
    return x != x


@jit
def _isinf(x):
    if x.dtype.is_floating():
        return tl.abs(x) == float("inf")
    else:
        return x != x


@jit
def _isfinite(x):
    if x.dtype.is_floating():
        return tl.abs(x) < float("inf")
    else:
        return x == x


def _samples(answers):
    def samples(rng):
        yield Sample("worked", (np.array([1.0, np.nan, np.inf, -np.inf]),), answers=(answers,))
        yield Sample("integers", (np.array([1, 0]),), answers=([answers[0]] * 2,), dtypes=())
        yield Sample("bool", (np.array([True, False]),), answers=([answers[0]] * 2,), dtypes=())
        yield Sample("strided", (np.where(rng.random((4, 3)) < 0.5, np.nan, np.inf).T,))
        yield Sample("empty", (np.zeros((0, 2)),))

    return samples


for _function, _numpy, _scalar, _answers in (
    (isnan, isnan_numpy, _isnan, [False, True, False, False]),
    (isinf, isinf_numpy, _isinf, [False, False, True, True]),
    (isfinite, isfinite_numpy, _isfinite, [True, False, False, False]),
):
    register(
        Op(
            name=_function.__name__,
            kernel=elementwise(_numpy, _scalar, result=bool),
            samples=_samples(_answers),
            function=_function,
            zero=("input",),
        )
    )
