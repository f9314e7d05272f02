"""Logistic function, elementwise.

    out        = 1 / (1 + e ** -input)
    grad_input = grad * out * (1 - out)

Computed from ``e ** -|input|``, which neither overflows nor loses the small values on the left.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Op, Sample, register
from .div import quotient


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``; any shape, integers give floats.

    >>> sigmoid(Tensor([0.0, 1000.0, -1000.0])).numpy()
    array([0.5, 1. , 0. ], dtype=float32)
    """
    return apply(SIGMOID, input)


def forward_numpy(input):
    small = np.exp(-np.abs(input))
    return np.maximum(small, input >= 0) / (1 + small)  # small is at most 1


def backward_numpy(grad, output):
    return grad * (output * (1 - output))


def second_numpy(grad, scale, output):
    return grad * scale * (1 - 2 * output)


@jit
def logistic(x):
    """``1 / (1 + e ** -x)`` without overflow."""
    small = libdevice.exp(-tl.abs(x))
    return quotient(tl.where(x >= 0, 1, small), 1 + small)


@jit
def _backward(grad, y):
    return grad * (y * (1 - y))


@jit
def _second(grad, scale, y):
    return grad * scale * (1 - 2 * y)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, np.log(4.0), -np.inf, np.inf]),),
        answers=([0.5, 0.8, 0.0, 1.0], [0.25, 0.16, 0.0, 0.0]),
    )
    yield Sample("far", (np.array([-80.0, 80.0, -1000.0, 1000.0]),), dtypes=("float64", "float32"))
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),))
    yield Sample("strided", (rng.normal(size=(4, 6))[:, ::2].T,))
    yield Sample("integers", (np.array([0]),), answers=([0.5],), dtypes=())


SIGMOID = register(
    Op(
        name="sigmoid",
        kernel=elementwise(forward_numpy, logistic),
        grads=(Grad(of=("input",), keeps=("output",), op="sigmoid_backward"),),
        samples=samples,
        function=sigmoid,
        promotion="float",
    )
)

register(
    Op(
        name="sigmoid_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("output",), op="sigmoid_backward"),
            Grad(of=("output",), keeps=("grad", "output"), op="sigmoid_second"),
        ),
        outputs=("result",),
    )
)

register(
    Op(
        name="sigmoid_second",
        kernel=elementwise(second_numpy, _second),
        grads=(
            Grad(of=("grad",), keeps=("scale", "output"), op="sigmoid_second"),
            Grad(of=("scale",), keeps=("grad", "output"), op="sigmoid_second"),
            Grad(of=("output",), keeps=("grad", "scale"), op="tanh_second"),  # -2 grad scale, the same product
        ),
        outputs=("result",),
    )
)
