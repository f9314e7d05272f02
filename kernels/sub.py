"""Difference of two arrays, elementwise.

out        = input - alpha * other
grad_input = grad
grad_other = -alpha * grad
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.op import Grad, Op, Sample, register


def sub(input: Tensor | float, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``; shapes broadcast, dtypes are promoted.

    Raises RuntimeError where the shapes do not broadcast, for bool operands, and for a floating ``alpha`` between
    integers.

    >>> sub(Tensor([5.0, 7.0]), Tensor([1.0, 2.0]), alpha=2).numpy()
    array([3., 3.], dtype=float32)
    """
    for x in (input, other):
        if isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype is dtypes.bool_):
            raise RuntimeError("sub: bool operands have no difference; use logical_xor, or logical_not for a mask")
    if isinstance(alpha, float) and not any(_is_floating(x) for x in (input, other)):
        raise RuntimeError(f"sub: alpha must be an integer between integers, got {alpha}")
    return apply(SUB, input, other, alpha=alpha)


def _is_floating(x):
    return x.dtype.is_floating_point if isinstance(x, Tensor) else isinstance(x, float)


def forward_numpy(input, other, *, alpha):
    return np.subtract(input, other if alpha == 1 else other * alpha)


def backward_numpy(grad, *, alpha):
    return grad * -alpha


@jit
def _difference(x, y, alpha):
    return x - alpha * y


@jit
def _backward(grad, alpha):
    return grad * -alpha


def samples(rng):
    x, y = np.array([1.0, -2.0]), np.array([0.5, 2.0])
    yield Sample("worked", (x, y), {"alpha": 1}, answers=([0.5, -4.0], [1.0, 1.0], [-1.0, -1.0]))
    yield Sample("alpha", (x, y), {"alpha": 3}, answers=([-0.5, -8.0], [1.0, 1.0], [-3.0, -3.0]))
    for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,)), ((3, 1025), (3, 1025))]:
        yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.normal(size=b)), {"alpha": 1})
    yield Sample("fraction", (rng.normal(size=(2, 3)), rng.normal(size=(3,))), {"alpha": 0.25})
    yield Sample("number", (rng.normal(size=(3,)), 2.5), {"alpha": 1})
    yield Sample("number first", (2, rng.normal(size=(3,))), {"alpha": 2})
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]), {"alpha": 1})
    yield Sample("integers", (np.array([1, 2]), np.array([3, -4])), {"alpha": 2}, answers=([-5, 10],), dtypes=())
    yield Sample(
        "bool",
        (np.array([True]), np.array([True])),
        {"alpha": 1},
        raises=(RuntimeError, "sub: bool operands have no difference; use logical_xor, or logical_not for a mask"),
    )
    yield Sample(
        "floating alpha",
        (np.array([1]), np.array([1])),
        {"alpha": 0.5},
        raises=(RuntimeError, "sub: alpha must be an integer between integers, got 0.5"),
    )


SUB = register(
    Op(
        name="sub",
        kernel=elementwise(forward_numpy, _difference),
        grads=(
            Grad(of=("input",), keeps=(), op="identity", settings=lambda call: {}),
            Grad(of=("other",), keeps=(), op="sub_backward"),
        ),
        samples=samples,
        function=sub,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="sub_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=(), op="sub_backward"),),
    )
)
