"""Exponential function, elementwise.

out        = e ** input
grad_input = grad * out
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice
from ..framework.op import Grad, Op, Sample, register


def exp(input: Tensor) -> Tensor:
    """``e ** input``; any shape, integers give floats.

    >>> exp(Tensor([0.0, float("-inf")])).numpy()
    array([1., 0.], dtype=float32)
    """
    return apply(EXP, input)


def forward_numpy(input):
    return np.exp(input)


@jit
def _exp(x):
    return libdevice.exp(x)  # tl.exp is a short approximation in float32


def samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, np.log(2.0), -np.inf, np.inf]),),
        answers=([1.0, 2.0, 0.0, np.inf], [1.0, 2.0, 0.0, np.inf]),
    )
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),))
    yield Sample("far", (np.array([-80.0, 80.0, 20.0]),), dtypes=("float64", "float32"))
    yield Sample("strided", (rng.normal(size=(4, 6))[:, ::2].T,))
    yield Sample("integers", (np.array([0]),), answers=([1.0],), dtypes=())


EXP = register(
    Op(
        name="exp",
        autocast="float32",
        kernel=elementwise(forward_numpy, _exp, ufunc=np.exp),
        grads=(Grad(of=("input",), keeps=("output",), op="mul"),),
        samples=samples,
        function=exp,
        promotion="float",
    )
)
