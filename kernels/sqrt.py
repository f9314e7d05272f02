"""Square root, elementwise.

    out        = sqrt(input)
    grad_input = grad / (2 * out)

The root of a negative number is NaN; the slope at 0 is infinite.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .div import quotient


def sqrt(input: Tensor) -> Tensor:
    """The square root of ``input``; any shape, integers give floats.

    >>> sqrt(Tensor([4.0, 9.0])).numpy()
    array([2., 3.], dtype=float32)
    """
    return apply(SQRT, input)


def forward_numpy(input):
    return np.sqrt(input)


def backward_numpy(grad, root):
    return grad / (2 * root)


@jit
def root(x):
    """The square root of floats, rounded to nearest: the plain float32 root on a GPU is not."""
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    else:
        return tl.sqrt(x)


@jit
def _backward(grad, root):
    return quotient(grad, 2 * root)


def samples(rng):
    yield Sample(
        "worked", (np.array([4.0, 0.25, 0.0, np.inf]),), answers=([2.0, 0.5, 0.0, np.inf], [0.25, 1.0, np.inf, 0.0])
    )
    yield Sample("negative", (np.array([-1.0]),), answers=([np.nan], [np.nan]))
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.uniform(0.5, 3.0, shape),))
    yield Sample("strided", (rng.uniform(0.5, 3.0, (4, 6))[:, ::2].T,))
    yield Sample("integers", (np.array([4]),), answers=([2.0],), dtypes=())


SQRT = register(
    Op(
        name="sqrt",
        kernel=elementwise(forward_numpy, root, ufunc=np.sqrt),
        grads=(Grad(of=("input",), keeps=("output",), op="sqrt_backward"),),
        samples=samples,
        function=sqrt,
        promotion="float",
    )
)

register(
    Op(
        name="sqrt_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("root",), op="sqrt_backward"),
            Grad(of=("root",), keeps=("output", "root"), op="div_backward"),  # -(grad / (2 root)) / root
        ),
    )
)
