"""Rectifier, elementwise.

    out        = input where input > 0, 0 elsewhere; NaN stays NaN
    grad_input = grad  where out > 0,   0 elsewhere

At 0 the gradient is 0, as in PyTorch.
Source: Nair, Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .where import masked


def relu(input: Tensor) -> Tensor:
    """``input`` where it is positive, 0 elsewhere; any shape, any dtype but bool, for which RuntimeError is raised.

    >>> relu(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """
    if input.dtype is dtypes.bool_:
        raise RuntimeError("relu: expected numbers, got bool")
    return apply(RELU, input)


def forward_numpy(input):
    return np.maximum(input, 0)


def backward_numpy(grad, output):
    return masked(grad, np.logical_not(output <= 0))  # where the output is NaN, grad


@jit
def _relu(x):
    return tl.where(x <= 0, 0, x)


@jit
def _backward(grad, y):
    return tl.where(y <= 0, 0, grad)


def samples(rng):
    yield Sample(
        "worked", (np.array([-1.0, 0.0, 2.0, np.inf]),), answers=([0.0, 0.0, 2.0, np.inf], [0.0, 0.0, 1.0, 1.0])
    )
    yield Sample("not a number", (np.array([np.nan]),), answers=([np.nan], [1.0]))
    for shape in [(), (0, 2), (7,), (3, 1025)]:
        yield Sample(f"shape {shape}", (rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape),))  # off the kink
    yield Sample("strided", ((rng.uniform(0.1, 2.0, (4, 6)) * rng.choice([-1.0, 1.0], (4, 6)))[:, ::2].T,))
    yield Sample("integers", (np.array([3, -4]),), answers=([3, 0],), dtypes=())
    yield Sample("bool", (np.array([True]),), raises=(RuntimeError, "relu: expected numbers, got bool"))


RELU = register(
    Op(
        name="relu",
        kernel=elementwise(forward_numpy, _relu),
        grads=(Grad(of=("input",), keeps=("output",), op="relu_backward"),),
        samples=samples,
        function=relu,
    )
)

register(
    Op(
        name="relu_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("output",), op="relu_backward"),),
        zero=("output",),
        outputs=("result",),
    )
)
