"""Hyperbolic tangent, elementwise.

out        = (e ** input - e ** -input) / (e ** input + e ** -input)
grad_input = grad * (1 - out ** 2)
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice
from ..framework.op import Grad, Op, Sample, register


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent of ``input``; any shape, integers give floats.

    >>> tanh(Tensor([0.0, 100.0])).numpy()
    array([0., 1.], dtype=float32)
    """
    return apply(TANH, input)


def forward_numpy(input):
    return np.tanh(input)


def backward_numpy(grad, output):
    return grad * (1 - output * output)


def second_numpy(grad, scale, output):
    return -2 * grad * scale * output


@jit
def _tanh(x):
    return libdevice.tanh(x)


@jit
def _backward(grad, y):
    return grad * (1 - y * y)


@jit
def _second(grad, scale, y):
    return -2 * grad * scale * y


def samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, np.log(3.0), -np.inf, 1000.0]),),
        answers=([0.0, 0.8, -1.0, 1.0], [1.0, 0.36, 0.0, 0.0]),
    )
    yield Sample("tiny", (np.array([1e-5, -1e-4, 3e-2]),), dtypes=("float64", "float32"))
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),))
    yield Sample("strided", (rng.normal(size=(4, 6))[:, ::2].T,))
    yield Sample("integers", (np.array([0]),), answers=([0.0],), dtypes=())


TANH = register(
    Op(
        name="tanh",
        kernel=elementwise(forward_numpy, _tanh, ufunc=np.tanh),
        grads=(Grad(of=("input",), keeps=("output",), op="tanh_backward"),),
        samples=samples,
        function=tanh,
        promotion="float",
    )
)

register(
    Op(
        name="tanh_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("output",), op="tanh_backward"),
            Grad(of=("output",), keeps=("grad", "output"), op="tanh_second"),
        ),
        outputs=("result",),
    )
)

# -2 a b c: its derivatives are itself
register(
    Op(
        name="tanh_second",
        kernel=elementwise(second_numpy, _second),
        grads=(
            Grad(of=("grad",), keeps=("scale", "output"), op="tanh_second"),
            Grad(of=("scale",), keeps=("grad", "output"), op="tanh_second"),
            Grad(of=("output",), keeps=("grad", "scale"), op="tanh_second"),
        ),
        outputs=("result",),
    )
)
