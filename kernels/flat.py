"""The gradient of a function that is constant piece by piece: nothing.

out        = 0, in the shape of grad
grad_grad  = 0
"""

import numpy as np

from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def forward_numpy(grad):
    return np.zeros_like(grad)


@jit
def _zero(grad):
    return tl.zeros_like(grad)


def samples(rng):
    yield Sample("worked", (np.array([1.5, np.inf]),), answers=([0.0, 0.0], [0.0, 0.0]))
    yield Sample("0-d", (rng.normal(size=()),))


register(
    Op(
        name="flat",
        kernel=elementwise(forward_numpy, _zero),
        grads=(Grad(of=("grad",), keeps=(), op="flat"),),
        samples=samples,
    )
)
