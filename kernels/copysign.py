"""The size of one array with the sign of another, elementwise.

out        = |input| where other has no sign,  -|input| where it has (-0.0 has)
grad_input = grad * out / input,  0 where input = 0
grad_other = 0
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Op, Sample, register


def copysign(input: Tensor, other: Tensor | float) -> Tensor:
    """``|input|`` with the sign of ``other``; shapes broadcast, integers give floats.

    >>> copysign(Tensor([1.0, -2.0]), -0.0).tolist()
    [-1.0, -2.0]
    """
    return apply(COPYSIGN, input, other)


def forward_numpy(input, other):
    return np.copysign(input, other)


def backward_numpy(grad, input, output):
    return np.where(input == 0, 0, np.where((input < 0) == (output < 0), grad, -grad))


@jit
def _copysign(x, y):
    return libdevice.copysign(x, y)


@jit
def _backward(grad, x, output):
    return tl.where(x == 0, 0, tl.where((x < 0) == (output < 0), grad, -grad))


def samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, -2.0, 0.0, 3.0]), np.array([-0.0, 5.0, -1.0, 2.0])),
        answers=([-1.0, 2.0, -0.0, 3.0], [-1.0, -1.0, 0.0, 1.0], [0.0] * 4),
    )
    yield Sample("number", (rng.normal(size=(3, 4)), -2.0))
    yield Sample("integers", (np.array([1, -2]), np.array([-3, 4])), answers=([-1.0, 2.0],), dtypes=())
    for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,))]:
        yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.normal(size=b)), terms=5)
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]))


COPYSIGN = register(
    Op(
        name="copysign",
        kernel=elementwise(forward_numpy, _copysign),
        grads=(
            Grad(of=("input",), keeps=("input", "output"), op="copysign_backward"),
            Grad(of=("other",), keeps=(), op="flat"),
        ),
        samples=samples,
        function=copysign,
        promotion="float",
    )
)

register(
    Op(
        name="copysign_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("input", "output"), op="copysign_backward"),),
        zero=("input", "output"),
    )
)
