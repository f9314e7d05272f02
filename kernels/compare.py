"""Comparisons of two arrays, elementwise, with results of bool.

    eq  out = input == other        ne  out = input != other
    lt  out = input <  other        le  out = input <= other
    gt  out = input >  other        ge  out = input >= other

NaN is unequal to everything, itself included, and neither smaller nor larger.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Op, Sample, register


def eq(input: Tensor | float, other: Tensor | float) -> Tensor:
    """Where ``input`` equals ``other``: a bool tensor; shapes broadcast, dtypes are promoted.

    >>> eq(Tensor([1.0, 2.0]), 2).numpy()
    array([False,  True])
    """
    return apply(ROWS["eq"], input, other)


def ne(input: Tensor | float, other: Tensor | float) -> Tensor:
    """Where ``input`` does not equal ``other``: a bool tensor; shapes broadcast, dtypes are promoted.

    >>> ne(Tensor([1.0, 2.0]), 2).numpy()
    array([ True, False])
    """
    return apply(ROWS["ne"], input, other)


def lt(input: Tensor | float, other: Tensor | float) -> Tensor:
    """Where ``input`` is less than ``other``: a bool tensor; shapes broadcast, dtypes are promoted.

    >>> lt(Tensor([1.0, 2.0]), 2).numpy()
    array([ True, False])
    """
    return apply(ROWS["lt"], input, other)


def le(input: Tensor | float, other: Tensor | float) -> Tensor:
    """Where ``input`` is at most ``other``: a bool tensor; shapes broadcast, dtypes are promoted.

    >>> le(Tensor([1.0, 2.0]), 2).numpy()
    array([ True,  True])
    """
    return apply(ROWS["le"], input, other)


def gt(input: Tensor | float, other: Tensor | float) -> Tensor:
    """Where ``input`` is greater than ``other``: a bool tensor; shapes broadcast, dtypes are promoted.

    >>> gt(Tensor([1.0, 2.0]), 1).numpy()
    array([False,  True])
    """
    return apply(ROWS["gt"], input, other)


def ge(input: Tensor | float, other: Tensor | float) -> Tensor:
    """Where ``input`` is at least ``other``: a bool tensor; shapes broadcast, dtypes are promoted.

    >>> ge(Tensor([1.0, 2.0]), 2).numpy()
    array([False,  True])
    """
    return apply(ROWS["ge"], input, other)


@jit
def _ordered(x):
    """Bool as 0 and 1: as a one-bit integer, true would be -1."""
    if x.dtype == tl.int1:
        return x.to(tl.int32)
    else:
        return x


@jit
def _eq(x, y):
    return _ordered(x) == _ordered(y)


@jit
def _ne(x, y):
    return _ordered(x) != _ordered(y)


@jit
def _lt(x, y):
    return _ordered(x) < _ordered(y)


@jit
def _le(x, y):
    return _ordered(x) <= _ordered(y)


@jit
def _gt(x, y):
    return _ordered(x) > _ordered(y)


@jit
def _ge(x, y):
    return _ordered(x) >= _ordered(y)


def _numpy(ufunc):
    def compare(input, other):
        return ufunc(input, other)

    return compare


def _small(rng, shape):
    """0, 1 or 2, so that many are equal."""
    return np.asarray(rng.integers(0, 3, shape), float)


def _samples(ufunc):
    """Samples of one comparison; what it says of less, equal, greater and NaN is all there is to know."""

    def samples(rng):
        less, same, more, none = (bool(ufunc(x, 2.0)) for x in (1.0, 2.0, 3.0, np.nan))
        yield Sample(
            "worked",
            (np.array([1.0, 2.0, 3.0, np.nan, 2.0]), np.array([2.0, 2.0, 2.0, 2.0, np.nan])),
            answers=([less, same, more, none, none],),
        )
        yield Sample(
            "bool",
            (np.array([False, True, True]), np.array([True, True, False])),
            answers=([less, same, more],),
            dtypes=(),
        )
        yield Sample("integers", (np.array([1, 2, 3], "i1"), 2), answers=([less, same, more],), dtypes=())
        yield Sample("integers and a fraction", (np.array([2, 3]), 2.5), answers=([less, more],), dtypes=())
        yield Sample("wide integers", (np.array([2**62]), np.array([2**62 + 1])), answers=([less],), dtypes=())
        yield Sample("number first", (2.0, np.array([1.0, 2.0])), answers=([more, same],))
        for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,))]:
            yield Sample(f"shapes {a} {b}", (_small(rng, a), _small(rng, b)))
        yield Sample("strided", (_small(rng, (5, 4)).T, _small(rng, (4, 10))[:, ::2]))

    return samples


ROWS = {
    function.__name__: register(
        Op(
            name=function.__name__,
            kernel=elementwise(_numpy(ufunc), scalar, result=bool, ufunc=ufunc),
            samples=_samples(ufunc),
            function=function,
            promotion="comparison",
            zero=("input", "other"),
        )
    )
    for function, ufunc, scalar in (
        (eq, np.equal, _eq),
        (ne, np.not_equal, _ne),
        (lt, np.less, _lt),
        (le, np.less_equal, _le),
        (gt, np.greater, _gt),
        (ge, np.greater_equal, _ge),
    )
}
