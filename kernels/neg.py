"""Negation, elementwise.

out        = -input
grad_input = -grad
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.op import Grad, Op, Sample, register


def neg(input: Tensor) -> Tensor:
    """``-input``; any shape, any dtype but bool, for which RuntimeError is raised.

    >>> neg(Tensor([1.0, -2.0])).numpy()
    array([-1.,  2.], dtype=float32)
    """
    if input.dtype is dtypes.bool_:
        raise RuntimeError("neg: expected numbers, got bool; use logical_not to invert a mask")
    return apply(NEG, input)


def forward_numpy(input):
    return np.negative(input)


@jit
def _negative(x):
    return -x


def samples(rng):
    yield Sample("worked", (np.array([1.5, -2.0]),), answers=([-1.5, 2.0], [-1.0, -1.0]))
    for shape in [(), (0, 2), (3, 5)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),))
    yield Sample("strided", (rng.normal(size=(4, 6))[:, ::2].T,))
    yield Sample("integers", (np.array([3, -4]),), answers=([-3, 4],), dtypes=())
    yield Sample("bytes", (np.array([1, 0], np.uint8),), answers=([255, 0],), dtypes=())
    yield Sample(
        "bool",
        (np.array([True]),),
        raises=(RuntimeError, "neg: expected numbers, got bool; use logical_not to invert a mask"),
    )


NEG = register(
    Op(
        name="neg",
        kernel=elementwise(forward_numpy, _negative, ufunc=np.negative),
        grads=(Grad(of=("input",), keeps=(), op="neg"),),
        samples=samples,
        function=neg,
    )
)
