"""Natural logarithm, elementwise.

    out        = log(input)
    grad_input = grad / input

log(0) is -inf, the logarithm of a negative number NaN.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice
from ..framework.op import Grad, Op, Sample, register


def log(input: Tensor) -> Tensor:
    """The natural logarithm of ``input``; any shape, integers give floats.

    >>> log(Tensor([1.0, 0.0])).numpy()
    array([  0., -inf], dtype=float32)
    """
    return apply(LOG, input)


def forward_numpy(input):
    return np.log(input)


@jit
def _log(x):
    return libdevice.log(x)


def samples(rng):
    yield Sample("worked", (np.array([1.0, 0.0, np.inf]),), answers=([0.0, -np.inf, np.inf], [1.0, np.inf, 0.0]))
    yield Sample("negative", (np.array([-1.0]),), answers=([np.nan], [-1.0]))
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.uniform(0.5, 3.0, shape),))
    yield Sample("strided", (rng.uniform(0.5, 3.0, (4, 6))[:, ::2].T,))
    yield Sample("integers", (np.array([1]),), answers=([0.0],), dtypes=())


LOG = register(
    Op(
        name="log",
        autocast="float32",
        kernel=elementwise(forward_numpy, _log, ufunc=np.log),
        grads=(Grad(of=("input",), keeps=("input",), op="div"),),
        samples=samples,
        function=log,
        promotion="float",
    )
)
