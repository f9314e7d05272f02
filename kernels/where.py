"""Choose between two arrays, elementwise.

out        = input where condition holds, other elsewhere
grad_input = grad  where condition holds, 0 elsewhere
grad_other = 0     where condition holds, grad elsewhere
"""

from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def where(condition: Tensor, input: Tensor | float | None = None, other: Tensor | float | None = None) -> Any:
    """``input`` where the bool tensor ``condition`` holds, ``other`` elsewhere; all three broadcast.

    ``condition`` alone gives the places where it is not 0, as ``nonzero`` with ``as_tuple``.  The dtypes of ``input`` and
    ``other`` are promoted.  Raises RuntimeError for a condition of another dtype, TypeError for one of the two without the
    other.

    >>> where(Tensor([True, False]), Tensor([1.0, 2.0]), 0).numpy()
    array([1., 0.], dtype=float32)
    """
    if not isinstance(condition, Tensor):
        raise TypeError(f"where: expected condition to be a Tensor, got {type(condition).__name__}")
    if input is None and other is None:
        from .nonzero import nonzero

        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where: expected condition alone, or with both input and other")
    if condition.dtype is not dtypes.bool_:
        raise RuntimeError(f"where: expected condition of dtype bool, got {condition.dtype.name}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = Tensor(input, device=condition.device)
    return apply(WHERE, condition, input, other)


def forward_numpy(condition, input, other):
    kind = (input if isinstance(input, np.ndarray) else other).dtype
    return select(condition, np.asarray(input, kind), np.asarray(other, kind))


def chosen_numpy(grad, condition):
    return masked(grad, condition)


def other_numpy(grad, condition):
    return masked(grad, np.logical_not(condition))


# np.where jumps for every element, which costs more than anything else where the condition is irregular.  Times 0 or
# 1, the bits of a value become those of 0 or stay, whatever the value.


def masked(values, condition):
    """The array ``values`` where the bool array ``condition`` holds, 0 elsewhere; any dtype, NaN and inf included."""
    bits = np.dtype(f"i{values.dtype.itemsize}")
    return np.multiply(values.view(bits), condition, dtype=bits).view(values.dtype)


def select(condition, x, y):
    """The array ``x`` where the bool array ``condition`` holds, ``y`` elsewhere; x and y of one dtype, of any kind."""
    bits = np.dtype(f"i{x.dtype.itemsize}")
    chosen = np.multiply(x.view(bits), condition, dtype=bits)
    return (chosen | np.multiply(y.view(bits), np.logical_not(condition), dtype=bits)).view(x.dtype)


@jit
def _where(condition, x, y):
    return tl.where(condition != 0, x, y)


@jit
def _chosen(grad, condition):
    return tl.where(condition != 0, grad, 0)


@jit
def _other(grad, condition):
    return tl.where(condition != 0, 0, grad)


def samples(rng):
    yes = np.array([True, False])
    yield Sample(
        "worked", (yes, np.array([1.0, 2.0]), np.array([3.0, 4.0])), answers=([1.0, 4.0], [1.0, 0.0], [0.0, 1.0])
    )
    yield Sample(
        "not a number",
        (yes, np.array([1.0, np.nan]), np.array([np.nan, 4.0])),
        answers=([1.0, 4.0], [1.0, 0.0], [0.0, 1.0]),
    )
    for a, b, c in [((), (), ()), ((3, 1), (4,), (1,)), ((4,), (3, 1), ()), ((0, 2), (2,), (1, 2)), ((3, 1025),) * 3]:
        yield Sample(f"shapes {a} {b} {c}", (rng.random(a) < 0.5, rng.normal(size=b), rng.normal(size=c)))
    yield Sample("number", (rng.random((3, 4)) < 0.5, rng.normal(size=(4,)), 0.5))
    yield Sample("number first", (rng.random((3, 4)) < 0.5, 2, rng.normal(size=(3, 1))))
    yield Sample("strided", (rng.random((5, 4)).T < 0.5, rng.normal(size=(4, 10))[:, ::2], rng.normal(size=(5, 4)).T))
    yield Sample("integers", (yes, np.array([1, 2]), np.array([3, 4])), answers=([1, 4],), dtypes=())
    yield Sample(
        "integers and floats",
        (yes, np.array([1, 2]), np.array([0.5, 0.5], np.float32)),
        answers=([1.0, 0.5], [0.0, 1.0]),
        dtypes=(),
    )
    yield Sample(
        "condition",
        (np.array([1.0]), np.ones(1), np.ones(1)),
        dtypes=(),
        raises=(RuntimeError, "where: expected condition of dtype bool, got float64"),
    )


WHERE = register(
    Op(
        name="where",
        kernel=elementwise(forward_numpy, _where),
        grads=(
            Grad(of=("input",), keeps=("condition",), op="where_chosen"),
            Grad(of=("other",), keeps=("condition",), op="where_other"),
        ),
        samples=samples,
        function=where,
        promotion="arithmetic",
        promotes=("input", "other"),
        zero=("condition",),
    )
)

register(
    Op(
        name="where_chosen",
        kernel=elementwise(chosen_numpy, _chosen),
        grads=(Grad(of=("grad",), keeps=("condition",), op="where_chosen"),),
        zero=("condition",),
    )
)

register(
    Op(
        name="where_other",
        kernel=elementwise(other_numpy, _other),
        grads=(Grad(of=("grad",), keeps=("condition",), op="where_other"),),
        zero=("condition",),
    )
)
