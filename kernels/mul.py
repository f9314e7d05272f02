"""Product of two arrays, elementwise.

out        = input * other
grad_input = grad * other
grad_other = grad * input
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.op import Grad, Op, Sample, register


def mul(input: Tensor | float, other: Tensor | float) -> Tensor:
    """``input * other``; shapes broadcast, dtypes are promoted.

    Raises RuntimeError where the shapes do not broadcast.

    >>> mul(Tensor([2.0, 3.0]), Tensor([4.0, 5.0])).numpy()
    array([ 8., 15.], dtype=float32)
    """
    return apply(MUL, input, other)


def forward_numpy(input, other):
    return np.multiply(input, other)


@jit
def _product(x, y):
    return x * y


def samples(rng):
    x, y = np.array([2.0, 3.0]), np.array([4.0, 5.0])
    yield Sample("worked", (x, y), answers=([8.0, 15.0], [4.0, 5.0], [2.0, 3.0]))
    for a, b in [((), ()), ((3, 4), (3, 4)), ((3, 1), (1, 4)), ((2, 3), (3,)), ((0, 2), (2,)), ((2, 3, 1030), (3, 1))]:
        terms = 2060 if len(a) == 3 else 4
        yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.normal(size=b)), terms=terms)
    yield Sample("number", (rng.normal(size=(5,)), -1.25))
    yield Sample("strided", (rng.normal(size=(4, 6))[::-1, ::2], rng.normal(size=(3, 4)).T))
    yield Sample("integers", (np.array([3, -4]), np.array([5, 6])), answers=([15, -24],), dtypes=())
    yield Sample("bool", (np.array([True, False]), np.array([True, True])), answers=([True, False],), dtypes=())


MUL = register(
    Op(
        name="mul",
        kernel=elementwise(forward_numpy, _product, ufunc=np.multiply),
        grads=(Grad(of=("input",), keeps=("other",), op="mul"), Grad(of=("other",), keeps=("input",), op="mul")),
        samples=samples,
        function=mul,
        promotion="arithmetic",
    )
)
