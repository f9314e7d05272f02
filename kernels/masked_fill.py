"""One value where a mask holds, elementwise.

out        = value where mask holds,  input elsewhere
grad_input = 0     where mask holds,  grad  elsewhere
grad_value = sum of grad where mask holds
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .where import select


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """``value``, a number or a 0-d tensor, where the bool tensor ``mask`` holds, ``input`` elsewhere; shapes broadcast.

    The value is cast to the dtype of ``input``.  Raises RuntimeError for a mask that is not of bool and for a value
    with dimensions.

    >>> masked_fill(Tensor([1.0, 2.0]), Tensor([True, False]), -1).tolist()
    [-1.0, 2.0]
    """
    return apply(MASKED_FILL, input, *_checked(input, mask, value))


def masked_fill_(input: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """``masked_fill`` in place; returns ``input``.  Raises as ``masked_fill``.

    >>> masked_fill_(Tensor([1.0, 2.0]), Tensor([True, False]), -1).tolist()
    [-1.0, 2.0]
    """
    return apply_(MASKED_FILL, input, *_checked(input, mask, value))


def _checked(input, mask, value):
    if not isinstance(mask, Tensor):
        raise TypeError(f"masked_fill: expected mask to be a Tensor, got {type(mask).__name__}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"masked_fill: expected a mask of dtype bool, got {mask.dtype.name}")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"masked_fill: expected a number or a 0-d tensor, got {value.ndim} dimensions")
        if value.dtype is not input.dtype or value.device is not input.device:
            value = value.to(input.device).to(input.dtype)
    elif input.dtype is dtypes.bool_:
        value = bool(value)
    elif not input.dtype.is_floating_point:
        value = int(value)
    return mask, value


def forward_numpy(input, mask, value):
    return select(mask, np.asarray(value).astype(input.dtype, copy=False), input)


@jit
def _fill(x, mask, value):
    return tl.where(mask != 0, value, x)


def samples(rng):
    x, mask = np.array([1.0, np.nan, 3.0]), np.array([False, True, True])
    yield Sample("worked", (x, mask, np.array(-2.0)), answers=([1.0, -2.0, -2.0], [1.0, 0.0, 0.0], 2.0))
    yield Sample("number", (x, mask, -np.inf), answers=([1.0, -np.inf, -np.inf], [1.0, 0.0, 0.0]))
    yield Sample("integers", (np.array([1, 2, 3], "i1"), mask, 7), answers=([1, 7, 7],), dtypes=())
    yield Sample("bool", (np.array([True, True, False]), mask, False), answers=([True, False, False],), dtypes=())
    for a, b in [((), ()), ((3, 4), (4,)), ((4,), (3, 1)), ((0, 3), (3,)), ((2, 1025), (2, 1025))]:
        yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.random(b) < 0.5, rng.normal(size=())), terms=2050)
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.random((4, 10))[:, ::2] < 0.5, 1.5))
    yield Sample(
        "mask", (x, x, 1.0), dtypes=(), raises=(RuntimeError, "masked_fill: expected a mask of dtype bool, got float64")
    )
    yield Sample(
        "value",
        (x, mask, x),
        raises=(RuntimeError, "masked_fill: expected a number or a 0-d tensor, got 1 dimensions"),
    )


MASKED_FILL = register(
    Op(
        name="masked_fill",
        kernel=elementwise(forward_numpy, _fill),
        grads=(
            Grad(of=("input",), keeps=("mask",), op="where_other"),
            Grad(of=("value",), keeps=("mask",), op="where_chosen"),
        ),
        samples=samples,
        function=masked_fill,
    )
)
