"""A copy in memory of its own: ``clone`` keeps the layout, ``contiguous`` makes it row-major.

out        = input
grad_input = grad
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.launch import copied
from ..framework.op import Grad, Kernel, Op, Sample, register


def clone(input: Tensor) -> Tensor:
    """A copy of ``input`` in new memory, through which gradients flow; any shape and dtype.

    >>> x = Tensor([1.0, 2.0]); y = clone(x); y.data_ptr() == x.data_ptr()
    False
    """
    return apply(CLONE, input)


def forward_numpy(input):
    return input.copy(order="K")


@jit
def _same(x):
    return x


def contiguous(input: Tensor) -> Tensor:
    """``input`` itself where it is row-major, else a row-major copy.

    >>> contiguous(Tensor([[1.0, 2.0], [3.0, 4.0]]).transpose(0, 1)).stride()
    (2, 1)
    """
    return input if input.is_contiguous() else apply(CONTIGUOUS, input)


def contiguous_numpy(input):
    return np.array(input, order="C")


def contiguous_triton(input):
    return copied(input)


def samples(rng):
    yield Sample("worked", (np.array([[1.0, 2.0]]),), answers=([[1.0, 2.0]], [[1.0, 1.0]]))
    yield Sample("transposed", (rng.normal(size=(3, 4)).T,))
    yield Sample("0-d", (rng.normal(size=()),))
    yield Sample("empty", (rng.normal(size=(0, 2)),))


CLONE = register(
    Op(
        name="clone",
        kernel=elementwise(forward_numpy, _same),
        grads=(Grad(of=("input",), keeps=(), op="identity"),),
        samples=samples,
        function=clone,
    )
)

CONTIGUOUS = register(
    Op(
        name="contiguous",
        kernel=Kernel(numpy=contiguous_numpy, triton=contiguous_triton),
        grads=(Grad(of=("input",), keeps=(), op="identity"),),
        samples=samples,
        function=contiguous,
    )
)
