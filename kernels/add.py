"""Sum of two arrays, elementwise.

out        = input + other
grad_input = grad
grad_other = grad
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def add(input: Tensor | float, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``; shapes broadcast, dtypes are promoted.

    Raises RuntimeError where the shapes do not broadcast.

    >>> add(Tensor([1.0, 2.0]), 10).numpy()
    array([11., 12.], dtype=float32)
    """
    return apply(ADD, input, other if alpha == 1 else other * alpha)


def forward_numpy(input, other):
    return np.add(input, other)


@jit
def _sum(x, y):
    if x.dtype == tl.int1:
        return x | y  # one bit would wrap
    else:
        return x + y


def samples(rng):
    yield Sample("worked", (np.array([1.0, -2.0]), np.array([0.5, 2.0])), answers=([1.5, 0.0], [1.0, 1.0], [1.0, 1.0]))
    yield Sample("row", (rng.normal(size=(3, 4)), rng.normal(size=(4,))), terms=3)
    yield Sample("column", (rng.normal(size=(3, 4)), rng.normal(size=(3, 1))), terms=4)
    yield Sample("both", (rng.normal(size=(3, 1)), rng.normal(size=(1, 5))), terms=5)
    yield Sample("scalar", (rng.normal(size=(7,)), rng.normal(size=())), terms=7)
    yield Sample("number", (rng.normal(size=(3,)), 2.5))
    yield Sample("number first", (2, rng.normal(size=(3,))))
    yield Sample("0-d", (rng.normal(size=()), rng.normal(size=())))
    yield Sample("empty", (rng.normal(size=(0, 3)), rng.normal(size=(3,))))
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]))
    yield Sample("large", (rng.normal(size=(3, 1025)), rng.normal(size=(3, 1025))))
    yield Sample("integers", (np.array([1, 2]), np.array([3, -4])), answers=([4, -2],), dtypes=())
    yield Sample("bool", (np.array([True, False]), np.array([True, False])), answers=([True, False],), dtypes=())
    yield Sample(
        "integers and floats",
        (np.array([1, 2]), np.array([0.5, 0.5], np.float32)),
        answers=([1.5, 2.5], [1.0, 1.0]),
        dtypes=(),
    )
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), np.zeros((2,))),
        raises=(RuntimeError, "add: shapes (2, 3) and (2,) do not broadcast: at dimension -1 they have sizes 3 and 2"),
    )


ADD = register(
    Op(
        name="add",
        kernel=elementwise(forward_numpy, _sum, ufunc=np.add),
        grads=(Grad(of=("input",), keeps=(), op="identity"), Grad(of=("other",), keeps=(), op="identity")),
        samples=samples,
        function=add,
        promotion="arithmetic",
    )
)
