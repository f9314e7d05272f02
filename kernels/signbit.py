"""Whether a number carries a minus sign, elementwise; -0.0 and negative NaNs do.

out = the topmost bit of a float, input < 0 of an integer
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Op, Sample, register


def signbit(input: Tensor) -> Tensor:
    """Where ``input`` is negative or -0.0: a bool tensor; any shape and dtype.

    >>> signbit(Tensor([-0.0, 0.0, -2.0])).tolist()
    [True, False, True]
    """
    return apply(SIGNBIT, input)


def forward_numpy(input):
    return np.signbit(input) if input.dtype.kind == "f" else input < 0


@jit
def _signbit(x):
    if x.dtype == tl.float64:
        return x.to(tl.int64, bitcast=True) < 0
    elif x.dtype.is_floating():
        return x.to(tl.int32, bitcast=True) < 0
    else:
        return x < 0


def samples(rng):
    x = np.array([-1.5, -0.0, 0.0, 2.0, np.nan, -np.inf])
    yield Sample("worked", (x,), answers=([True, True, False, False, False, True],))
    yield Sample("strided", (rng.normal(size=(4, 6))[:, ::2].T,))
    yield Sample("0-d", (np.array(-0.5),))
    yield Sample("empty", (np.zeros((0, 2)),))
    yield Sample("integers", (np.array([3, -4, 0]),), answers=([False, True, False],), dtypes=())
    yield Sample("bytes", (np.array([3, 255], np.uint8),), answers=([False, False],), dtypes=())
    yield Sample("bool", (np.array([True, False]),), answers=([False, False],), dtypes=())


SIGNBIT = register(
    Op(
        name="signbit",
        kernel=elementwise(forward_numpy, _signbit, result=bool),
        samples=samples,
        function=signbit,
        zero=("input",),
    )
)
