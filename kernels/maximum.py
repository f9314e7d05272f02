"""The larger of two arrays, elementwise.

    out        = input where input > other, other elsewhere; NaN where one is NaN
    grad_input = grad where input > other, grad / 2 where they are equal, 0 elsewhere
    grad_other = grad where other > input, grad / 2 where they are equal, 0 elsewhere

Where one is NaN both get all of grad, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .clamp import larger


def maximum(input: Tensor, other: Tensor | float) -> Tensor:
    """The larger of ``input`` and ``other``; shapes broadcast, dtypes are promoted.

    >>> maximum(Tensor([1.0, 5.0]), Tensor([3.0, 4.0])).numpy()
    array([3., 5.], dtype=float32)
    """
    return apply(MAXIMUM, input, other)


def forward_numpy(input, other):
    return np.maximum(input, other)


def backward_numpy(grad, first, second):
    return grad * (0.5 * (first == second) + ~(first <= second)).astype(grad.dtype)


@jit
def _backward(grad, x, y):
    return tl.where(x == y, grad * 0.5, tl.where(x < y, 0, grad))


def extremum_samples(answers, not_a_number=(np.nan, np.nan)):
    def samples(rng):
        x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
        yield Sample("worked", (x, y), answers=answers)
        yield Sample(
            "not a number",
            (np.array([np.nan, 1.0]), np.array([1.0, np.nan])),
            answers=(not_a_number, [1.0, 1.0], [1.0, 1.0]),
        )
        for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,)), ((3, 1025), (3, 1025))]:
            yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.normal(size=b)))
        yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]))
        yield Sample("integers", (np.array([1, 2, 3]), np.array([2, 2, 2])), answers=(answers[0],), dtypes=())
        yield Sample(
            "bool",
            (np.array([True, False]), np.array([False, False])),
            answers=([answers[0][0] == 2.0, False],),
            dtypes=(),
        )

    return samples


MAXIMUM = register(
    Op(
        name="maximum",
        kernel=elementwise(forward_numpy, larger, ufunc=np.maximum),
        grads=(
            Grad(of=("input",), keeps=("input", "other"), op="maximum_backward"),
            Grad(of=("other",), keeps=("other", "input"), op="maximum_backward"),
        ),
        samples=extremum_samples(([2.0, 2.0, 3.0], [0.0, 0.5, 1.0], [1.0, 0.5, 0.0])),
        function=maximum,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="maximum_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("first", "second"), op="maximum_backward"),),
        zero=("first", "second"),
    )
)
