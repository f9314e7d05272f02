"""The greater, or the lesser, of two arrays, elementwise; a nan gives way to a number.

    fmax  out = input where input >= other or other is nan,  other elsewhere
    fmin  out = input where input <= other or other is nan,  other elsewhere

    grad_input = grad where input was taken,  0 elsewhere;  grad_other = grad where it was not,  0 elsewhere

Of two equal numbers ``input`` is taken, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import OPS, Grad, Op, Sample, register


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The greater of two tensors; where one is nan, the other; shapes broadcast, dtypes are promoted.

    >>> fmax(Tensor([1.0, float("nan")]), Tensor([2.0, 3.0])).tolist()
    [2.0, 3.0]
    """
    return apply(OPS["fmax"], input, other)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The lesser of two tensors; where one is nan, the other; shapes broadcast, dtypes are promoted.

    >>> fmin(Tensor([1.0, float("nan")]), Tensor([2.0, 3.0])).tolist()
    [1.0, 3.0]
    """
    return apply(OPS["fmin"], input, other)


def fmax_numpy(input, other):
    return np.fmax(input, other)


def fmin_numpy(input, other):
    return np.fmin(input, other)


def first_numpy(grad, input, other, *, sign):
    return np.where((sign * input >= sign * other) | (other != other), grad, 0)


def second_numpy(grad, input, other, *, sign):
    return np.where((sign * input >= sign * other) | (other != other), 0, grad)


@jit
def _fmax(x, y):
    if x.dtype == tl.int1:
        return x | y
    else:
        return tl.where((x >= y) | (y != y), x, y)


@jit
def _fmin(x, y):
    if x.dtype == tl.int1:
        return x & y
    else:
        return tl.where((x <= y) | (y != y), x, y)


@jit
def _first(grad, x, y, sign):
    return tl.where((sign * x >= sign * y) | (y != y), grad, 0)


@jit
def _second(grad, x, y, sign):
    return tl.where((sign * x >= sign * y) | (y != y), 0, grad)


def _samples(answers, firsts, bits):
    x, y = [1.0, np.nan, 2.0, np.nan, 3.0, -np.inf], [1.0, 2.0, np.nan, np.nan, 2.0, 1.0]

    def samples(rng):
        yield Sample("worked", (np.array(x), np.array(y)), answers=(answers, firsts, [1 - f for f in firsts]))
        yield Sample("bool", (np.array([True, False]), np.array([False, False])), answers=(bits,), dtypes=())
        yield Sample("integers", (np.array([2**62, -3]), np.array([2**62 + 1, -4])), dtypes=())
        for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,))]:
            yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.normal(size=b)), terms=5)
        yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]))

    return samples


for _function, _numpy, _scalar, _sign, _worked in (
    (fmax, fmax_numpy, _fmax, 1, ([1.0, 2.0, 2.0, np.nan, 3.0, 1.0], [1.0, 0.0, 1.0, 1.0, 1.0, 0.0], [True, False])),
    (
        fmin,
        fmin_numpy,
        _fmin,
        -1,
        ([1.0, 2.0, 2.0, np.nan, 2.0, -np.inf], [1.0, 0.0, 1.0, 1.0, 0.0, 1.0], [False, False]),
    ),
):
    register(
        Op(
            name=_function.__name__,
            kernel=elementwise(_numpy, _scalar),
            grads=(
                Grad(
                    of=("input",),
                    keeps=("input", "other"),
                    op="fmax_first",
                    settings=lambda call, sign=_sign: {"sign": sign},
                ),
                Grad(
                    of=("other",),
                    keeps=("input", "other"),
                    op="fmax_second",
                    settings=lambda call, sign=_sign: {"sign": sign},
                ),
            ),
            samples=_samples(*_worked),
            function=_function,
            promotion="arithmetic",
        )
    )

for _name, _numpy, _scalar in (("fmax_first", first_numpy, _first), ("fmax_second", second_numpy, _second)):
    register(
        Op(
            name=_name,
            kernel=elementwise(_numpy, _scalar),
            grads=(Grad(of=("grad",), keeps=("input", "other"), op=_name),),
            zero=("input", "other"),
        )
    )
