"""Absolute value, elementwise.

    out        = |input|
    grad_input = grad * sign(input)

At 0 the gradient is 0, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def abs(input: Tensor) -> Tensor:
    """``|input|``; any shape, any dtype but bool, for which RuntimeError is raised.

    >>> abs(Tensor([-1.0, 2.0])).numpy()
    array([1., 2.], dtype=float32)
    """
    if input.dtype is dtypes.bool_:
        raise RuntimeError("abs: expected numbers, got bool")
    return apply(ABS, input)


def forward_numpy(input):
    return np.abs(input)


def backward_numpy(grad, input):
    return grad * ((input > 0).astype(grad.dtype) - (input < 0))  # np.sign would make NaN of NaN


@jit
def _abs(x):
    return tl.abs(x)


@jit
def _backward(grad, x):
    return grad * ((x > 0).to(grad.dtype) - (x < 0).to(grad.dtype))


def samples(rng):
    yield Sample(
        "worked", (np.array([-1.5, 0.0, 2.0, -np.inf]),), answers=([1.5, 0.0, 2.0, np.inf], [-1.0, 0.0, 1.0, -1.0])
    )
    yield Sample("not a number", (np.array([np.nan]),), answers=([np.nan], [0.0]))
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.uniform(0.1, 2.0, shape) * rng.choice([-1, 1], shape),))
    yield Sample("strided", (rng.uniform(0.1, 2.0, (4, 6))[:, ::2].T - 3,))
    yield Sample("integers", (np.array([3, -4, 0]),), answers=([3, 4, 0],), dtypes=())
    yield Sample("bool", (np.array([True]),), raises=(RuntimeError, "abs: expected numbers, got bool"))


ABS = register(
    Op(
        name="abs",
        kernel=elementwise(forward_numpy, _abs, ufunc=np.abs),
        grads=(Grad(of=("input",), keeps=("input",), op="abs_backward"),),
        samples=samples,
        function=abs,
    )
)

register(
    Op(
        name="abs_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("input",), op="abs_backward"),),
        zero=("input",),
    )
)
