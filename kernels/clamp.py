"""Limit an array to a range, elementwise.

    out        = min(max(input, min), max)
    grad_input = grad where min <= input <= max, 0 elsewhere

With bounds that are tensors, clamp is ``clamp_min`` and then ``clamp_max``:

    clamp_min  out = max(input, min):  grad_input = grad where input >= min,  grad_min = grad where input < min
    clamp_max  out = min(input, max):  grad_input = grad where input <= max,  grad_max = grad where input > max

NaN stays NaN and has no gradient.  Where min > max the result is max.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .where import masked


def clamp(input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None) -> Tensor:
    """``input`` limited to ``min`` from below and ``max`` from above; bounds that are tensors broadcast.

    Integers with floating bounds give floats.  Raises RuntimeError where both bounds are None.

    >>> clamp(Tensor([-2.0, 0.5, 3.0]), 0, 1).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    if min is None and max is None:
        raise RuntimeError("clamp: expected at least one of min and max, got neither")
    for name, bound in (("min", min), ("max", max)):
        if bound is not None and not isinstance(bound, (Tensor, float, int, np.generic)):
            raise TypeError(f"clamp: expected {name} to be a number or a Tensor, got {type(bound).__name__}")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        out = input if min is None else clamp_min(input, min)
        return out if max is None else clamp_max(out, max)
    low, high = (x.item() if isinstance(x, np.generic) else x for x in (min, max))
    kind = input.dtype
    if not kind.is_floating_point:
        kind = dtypes.promote([input.array, *(x for x in (low, high) if x is not None)])
    if kind is not input.dtype:
        input = input.to(kind)
    return apply(CLAMP, input, min=low, max=high)


def clamp_min(input: Tensor, min: Tensor | float) -> Tensor:
    """The larger of ``input`` and ``min``; shapes broadcast, dtypes are promoted.

    >>> clamp_min(Tensor([-2.0, 3.0]), Tensor([0.0, 1.0])).numpy()
    array([0., 3.], dtype=float32)
    """
    return apply(CLAMP_MIN, input, min)


def clamp_max(input: Tensor, max: Tensor | float) -> Tensor:
    """The smaller of ``input`` and ``max``; shapes broadcast, dtypes are promoted.

    >>> clamp_max(Tensor([-2.0, 3.0]), Tensor([0.0, 1.0])).numpy()
    array([-2.,  1.], dtype=float32)
    """
    return apply(CLAMP_MAX, input, max)


def forward_numpy(input, *, min, max):
    return np.clip(input, min, max)


def backward_numpy(grad, input, *, min, max):
    if min is None:
        inside = input <= max
    else:
        inside = input >= min
        if max is not None:
            inside &= input <= max
    return masked(grad, inside)


def min_numpy(input, min):
    return np.maximum(input, min)


def max_numpy(input, max):
    return np.minimum(input, max)


def at_least_numpy(grad, first, second):
    return masked(grad, first >= second)


def less_numpy(grad, first, second):
    return masked(grad, first < second)


@jit
def larger(x, y):
    """The larger of two numbers, NaN where one is."""
    if x.dtype == tl.int1:
        return x | y
    else:
        return tl.where((x >= y) | (x != x), x, y)


@jit
def smaller(x, y):
    """The smaller of two numbers, NaN where one is."""
    if x.dtype == tl.int1:
        return x & y
    else:
        return tl.where((x <= y) | (x != x), x, y)


@jit
def _clamp(x, low, high):
    if low is not None:
        x = larger(x, low)
    if high is not None:
        x = smaller(x, high)
    return x


@jit
def _backward(grad, x, low, high):
    if low is not None:
        grad = tl.where(x >= low, grad, 0)
    if high is not None:
        grad = tl.where(x <= high, grad, 0)
    return grad


@jit
def _at_least(grad, x, y):
    return tl.where(x >= y, grad, 0)


@jit
def _less(grad, x, y):
    return tl.where(x < y, grad, 0)


def samples(rng):
    x = np.array([-1.0, 0.0, 0.25, 1.0, 2.0])
    yield Sample("worked", (x,), {"min": 0, "max": 1}, answers=([0.0, 0.0, 0.25, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0, 0.0]))
    yield Sample(
        "only min", (x,), {"min": 0.25, "max": None}, answers=([0.25, 0.25, 0.25, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0, 1.0])
    )
    yield Sample(
        "only max", (x,), {"min": None, "max": 0.25}, answers=([-1.0, 0.0, 0.25, 0.25, 0.25], [1.0, 1.0, 1.0, 0.0, 0.0])
    )
    yield Sample("crossed", (x,), {"min": 3.0, "max": 1.5}, answers=([1.5] * 5, [0.0] * 5))
    yield Sample(
        "not a number", (np.array([np.nan, np.inf]),), {"min": 0.0, "max": 1.0}, answers=([np.nan, 1.0], [0.0, 0.0])
    )
    for shape in [(), (0, 2), (3, 5), (2, 1025)]:
        yield Sample(f"shape {shape}", (_off(rng, shape, 0.5),), {"min": -0.5, "max": 0.5})
    yield Sample("strided", (_off(rng, (4, 6), 0.5)[:, ::2].T,), {"min": -0.5, "max": 0.5})
    yield Sample("integers", (np.array([3, -4, 0]),), {"min": -1, "max": 2}, answers=([2, -1, 0],), dtypes=())
    yield Sample(
        "no bounds",
        (x,),
        {"min": None, "max": None},
        raises=(RuntimeError, "clamp: expected at least one of min and max, got neither"),
    )


def _off(rng, shape, kink):
    """Numbers of both signs whose size is not near ``kink``."""
    below, above = rng.uniform(0, kink - 0.1, shape), rng.uniform(kink + 0.1, 3 * kink, shape)
    size = np.where(rng.random(shape) < 0.5, below, above)
    return size * rng.choice([-1.0, 1.0], shape)


def bound_samples(out, inside, bound):
    def samples(rng):
        x, y = np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 2.0, 2.0])
        yield Sample("worked", (x, y), answers=(out, inside, bound))
        yield Sample("broadcast", (_off(rng, (3, 5), 1.0), rng.choice([-1.0, 1.0], (5,))))
        yield Sample("strided", (_off(rng, (5, 3), 1.0).T, np.ones((3, 1))))
        yield Sample("number", (_off(rng, (), 1.0), 1.0))
        yield Sample("integers", (np.array([1, 2, 3]), np.array([2, 2, 2])), answers=(out[:3],), dtypes=())

    return samples


CLAMP = register(
    Op(
        name="clamp",
        kernel=elementwise(forward_numpy, _clamp),
        grads=(Grad(of=("input",), keeps=("input",), op="clamp_backward"),),
        samples=samples,
        function=clamp,
    )
)

register(
    Op(
        name="clamp_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("input",), op="clamp_backward"),),
        zero=("input",),
    )
)

CLAMP_MIN = register(
    Op(
        name="clamp_min",
        kernel=elementwise(min_numpy, larger, ufunc=np.maximum),
        grads=(
            Grad(of=("input",), keeps=("input", "min"), op="keep_at_least"),
            Grad(of=("min",), keeps=("input", "min"), op="keep_less"),
        ),
        samples=bound_samples([2.0, 2.0, 3.0, np.nan], [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
        function=clamp_min,
        promotion="arithmetic",
    )
)

CLAMP_MAX = register(
    Op(
        name="clamp_max",
        kernel=elementwise(max_numpy, smaller, ufunc=np.minimum),
        grads=(
            Grad(of=("input",), keeps=("max", "input"), op="keep_at_least"),
            Grad(of=("max",), keeps=("max", "input"), op="keep_less"),
        ),
        samples=bound_samples([1.0, 2.0, 2.0, np.nan], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]),
        function=clamp_max,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="keep_at_least",
        kernel=elementwise(at_least_numpy, _at_least),
        grads=(Grad(of=("grad",), keeps=("first", "second"), op="keep_at_least"),),
        zero=("first", "second"),
    )
)

register(
    Op(
        name="keep_less",
        kernel=elementwise(less_numpy, _less),
        grads=(Grad(of=("grad",), keeps=("first", "second"), op="keep_less"),),
        zero=("first", "second"),
    )
)
