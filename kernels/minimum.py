"""The smaller of two arrays, elementwise.

    out        = input where input < other, other elsewhere; NaN where one is NaN
    grad_input = grad where input < other, grad / 2 where they are equal, 0 elsewhere
    grad_other = grad where other < input, grad / 2 where they are equal, 0 elsewhere

Where one is NaN both get all of grad, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.op import Grad, Op, register
from .clamp import smaller
from .maximum import extremum_samples


def minimum(input: Tensor, other: Tensor | float) -> Tensor:
    """The smaller of ``input`` and ``other``; shapes broadcast, dtypes are promoted.

    >>> minimum(Tensor([1.0, 5.0]), Tensor([3.0, 4.0])).numpy()
    array([1., 4.], dtype=float32)
    """
    return apply(MINIMUM, input, other)


def forward_numpy(input, other):
    return np.minimum(input, other)


MINIMUM = register(
    Op(
        name="minimum",
        kernel=elementwise(forward_numpy, smaller, ufunc=np.minimum),
        grads=(  # the gradient of maximum with the operands exchanged
            Grad(of=("input",), keeps=("other", "input"), op="maximum_backward"),
            Grad(of=("other",), keeps=("input", "other"), op="maximum_backward"),
        ),
        samples=extremum_samples(([1.0, 2.0, 2.0], [1.0, 0.5, 0.0], [0.0, 0.5, 1.0])),
        function=minimum,
        promotion="arithmetic",
    )
)
