"""Rounding to whole numbers, elementwise: floor, ceil, round, trunc, frac.

    floor = the largest whole number that is not above input
    ceil  = the smallest that is not below
    round = the nearest, of two equally near the even one; to ``decimals`` digits after the point
    trunc = the nearest towards 0
    frac  = input - trunc(input), whose slope is 1

The others have slope 0 wherever they have one.  Integers are whole already.
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Op, Sample, register
from .div import quotient


def floor(input: Tensor) -> Tensor:
    """The largest whole number that is not above ``input``; any shape and dtype but bool, which RuntimeError refuses.

    >>> floor(Tensor([-1.5, 1.5])).tolist()
    [-2.0, 1.0]
    """
    return _whole(FLOOR, input)


def ceil(input: Tensor) -> Tensor:
    """The smallest whole number that is not below ``input``; any shape and dtype but bool, which RuntimeError refuses.

    >>> ceil(Tensor([-1.5, 1.5])).tolist()
    [-1.0, 2.0]
    """
    return _whole(CEIL, input)


def trunc(input: Tensor) -> Tensor:
    """``input`` without what follows the point; any shape and dtype but bool, which RuntimeError refuses.

    >>> trunc(Tensor([-1.5, 1.5])).tolist()
    [-1.0, 1.0]
    """
    return _whole(TRUNC, input)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest number with ``decimals`` digits after the point, halves to even; any shape and dtype but bool.

    Negative ``decimals`` round to tens, hundreds, ...  Raises RuntimeError for bool, and for integers with decimals.

    >>> round(Tensor([0.5, 1.5, -2.6])).tolist()
    [0.0, 2.0, -3.0]
    >>> round(Tensor([1234.5678]), decimals=-2).tolist()
    [1200.0]
    """
    if decimals == 0:
        return _whole(ROUND, input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"round: decimals are for floating tensors, got {input.dtype.name}")
    return apply(ROUND_DECIMALS, input, scale=float(10 ** abs(decimals)), up=decimals > 0)


def round_(input: Tensor, *, decimals: int = 0) -> Tensor:
    """``round`` written into ``input`` itself, which is returned."""
    if decimals == 0:
        return apply_(_numbers(ROUND, input), input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"round_: decimals are for floating tensors, got {input.dtype.name}")
    return apply_(ROUND_DECIMALS, input, scale=float(10 ** abs(decimals)), up=decimals > 0)


def frac(input: Tensor) -> Tensor:
    """What follows the point, with the sign of ``input``; any shape, floating, else RuntimeError is raised.

    >>> frac(Tensor([-1.5, 1.25])).tolist()
    [-0.5, 0.25]
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"frac: expected a floating tensor, got {input.dtype.name}")
    return apply(FRAC, input)


def _whole(row, input):
    return apply(_numbers(row, input), input)


def _numbers(row, input):
    """The row, unless ``input`` is of bool."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{row.name}: expected numbers, got bool")
    return row


def _floats(ufunc):
    """The function for floats; integers as they are."""
    return lambda input: ufunc(input) if input.dtype.kind == "f" else input.copy()


def decimals_numpy(input, *, scale, up):
    return np.rint(input * scale) / scale if up else np.rint(input / scale) * scale


def frac_numpy(input):
    return input - np.trunc(input)


@jit
def _floor(x):
    if x.dtype.is_floating():
        return tl.floor(x)
    else:
        return x


@jit
def _ceil(x):
    if x.dtype.is_floating():
        return tl.ceil(x)
    else:
        return x


@jit
def _trunc(x):
    if x.dtype.is_floating():
        return libdevice.trunc(x)
    else:
        return x


@jit
def _round(x):
    if x.dtype.is_floating():
        return libdevice.nearbyint(x)
    else:
        return x


@jit
def _decimals(x, scale, up):
    unit = tl.zeros_like(x) + scale
    after = quotient(libdevice.nearbyint(x * scale), unit)
    before = libdevice.nearbyint(quotient(x, unit)) * scale
    return tl.where(up, after, before)


@jit
def _frac(x):
    return x - libdevice.trunc(x)


def _samples(name, function):
    values = np.array([-2.5, -1.5, -0.4, 0.0, 0.5, 1.5, 2.7, np.inf, np.nan])

    def samples(rng):
        whole = [float(function(v)) for v in values[:-2]]
        yield Sample("worked", (values,), answers=([*whole, np.inf, np.nan], [0.0] * 9))
        yield Sample("strided", (rng.uniform(-3.0, 3.0, (4, 6))[:, ::2].T,))
        yield Sample("0-d", (np.array(0.7),))
        yield Sample("empty", (np.zeros((0, 2)),))
        yield Sample("integers", (np.array([3, -4]),), answers=([3, -4],), dtypes=())
        yield Sample("bool", (np.array([True]),), raises=(RuntimeError, f"{name}: expected numbers, got bool"))

    return samples


def decimals_samples(rng):
    yield Sample(
        "worked, after the point",
        (np.array([0.125, -1.375, 2.0, np.inf]),),
        {"scale": 100.0, "up": True},
        answers=([0.12, -1.38, 2.0, np.inf], [0.0] * 4),
        dtypes=("float64", "float32"),
    )
    yield Sample(
        "worked, before it",
        (np.array([1250.0, 1350.0, -49.0]),),
        {"scale": 100.0, "up": False},
        answers=([1200.0, 1400.0, 0.0], [0.0] * 3),
        dtypes=("float64", "float32"),
    )


def frac_samples(rng):
    yield Sample("worked", (np.array([-1.5, 1.25, 0.0, 3.0]),), answers=([-0.5, 0.25, 0.0, 0.0], [1.0] * 4))
    yield Sample("strided", (rng.uniform(0.1, 0.9, (4, 6))[:, ::2].T + 2,))
    yield Sample("empty", (np.zeros((0, 2)),))
    yield Sample("integers", (np.array([3]),), raises=(RuntimeError, "frac: expected a floating tensor, got int64"))


def _row(name, ufunc, scalar, function, worked):
    return register(
        Op(
            name=name,
            kernel=elementwise(_floats(ufunc), scalar),
            grads=(Grad(of=("input",), keeps=(), op="flat"),),
            samples=_samples(name, worked),
            function=function,
        )
    )


FLOOR = _row("floor", np.floor, _floor, floor, lambda v: v // 1)
CEIL = _row("ceil", np.ceil, _ceil, ceil, lambda v: -(-v // 1))
TRUNC = _row("trunc", np.trunc, _trunc, trunc, int)
ROUND = _row(
    "round", np.rint, _round, round, lambda v: {-2.5: -2, -1.5: -2, -0.4: 0, 0.0: 0, 0.5: 0, 1.5: 2, 2.7: 3}[v]
)

ROUND_DECIMALS = register(
    Op(
        name="round_decimals",
        kernel=elementwise(decimals_numpy, _decimals),
        grads=(Grad(of=("input",), keeps=(), op="flat", settings=lambda call: {}),),
        samples=decimals_samples,
    )
)

FRAC = register(
    Op(
        name="frac",
        kernel=elementwise(frac_numpy, _frac),
        grads=(Grad(of=("input",), keeps=(), op="identity"),),
        samples=frac_samples,
        function=frac,
    )
)
