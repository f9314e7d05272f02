"""Sign, elementwise.

out        = 1 where input > 0, -1 where input < 0, 0 elsewhere (NaN included)
grad_input = 0
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def sign(input: Tensor) -> Tensor:
    """1, 0 or -1 as ``input`` is positive, zero or negative; any shape and dtype.

    >>> sign(Tensor([-3.0, 0.0, 0.5])).numpy()
    array([-1.,  0.,  1.], dtype=float32)
    """
    return apply(SIGN, input)


def positive(input: Tensor) -> Tensor:
    """``input`` itself.  Raises RuntimeError for bool, which has no unary plus.

    >>> x = Tensor([-3.0]); positive(x) is x
    True
    """
    if input.dtype is dtypes.bool_:
        raise RuntimeError("positive: expected numbers, got bool")
    return input


def forward_numpy(input):
    if input.dtype == np.bool_:
        return input.copy()
    return (input > 0).astype(input.dtype) - (input < 0).astype(input.dtype)


@jit
def _sign(x):
    if x.dtype == tl.int1:
        return x
    else:
        return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


def samples(rng):
    yield Sample("worked", (np.array([-1.5, 0.0, 2.0, np.nan]),), answers=([-1.0, 0.0, 1.0, 0.0], [0.0] * 4))
    yield Sample("strided", (rng.uniform(0.1, 2.0, (4, 6))[:, ::2].T - 3,))
    yield Sample("0-d", (np.array(0.5),))
    yield Sample("empty", (np.zeros((0, 2)),))
    yield Sample("integers", (np.array([3, -4, 0]),), answers=([1, -1, 0],), dtypes=())
    yield Sample("bool", (np.array([True, False]),), answers=([True, False],), dtypes=())


SIGN = register(
    Op(
        name="sign",
        kernel=elementwise(forward_numpy, _sign),
        grads=(Grad(of=("input",), keeps=(), op="flat"),),
        samples=samples,
        function=sign,
    )
)
