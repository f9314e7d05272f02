"""A number times a logarithm, elementwise.

out        = nan where other is nan,  0 where input = 0,  input * log(other) elsewhere
grad_input = grad * log(other),  0 where input = 0 and other <= 0
grad_other = grad * input / other
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Op, Sample, register


def xlogy(input: Tensor | float, other: Tensor | float) -> Tensor:
    """``input * log(other)``, which is 0 where ``input`` is; shapes broadcast, integers give floats.

    >>> xlogy(Tensor([0.0, 2.0]), Tensor([0.0, 1.0])).tolist()
    [0.0, 0.0]
    """
    return apply(XLOGY, input, other)


def _log(other, like):
    return np.log(np.asarray(other, like.dtype))


def forward_numpy(input, other):
    like = input if isinstance(input, (np.ndarray, np.generic)) else other
    x, y = np.asarray(input, like.dtype), np.asarray(other, like.dtype)
    return np.where((x == 0) & (y == y), 0, x * np.log(y)).astype(like.dtype, copy=False)


def backward_numpy(grad, input, other):
    return np.where((input == 0) & (other <= 0), 0, grad * _log(other, grad))


@jit
def _xlogy(x, y):
    return tl.where((x == 0) & (y == y), 0, x * libdevice.log(y))


@jit
def _backward(grad, x, y):
    return tl.where((x == 0) & (y <= 0), 0, grad * libdevice.log(y))


def samples(rng):
    yield Sample(
        "worked",
        (np.array([2.0, 0.0, 0.0, 3.0]), np.array([np.e, 2.0, np.nan, -1.0])),
        answers=([2.0, 0.0, np.nan, np.nan], [1.0, np.log(2.0), np.nan, np.nan], [2 / np.e, 0.0, np.nan, -3.0]),
    )
    yield Sample(
        "at zero",
        (np.array([0.0, 0.0, 2.0]), np.array([0.0, -1.0, 0.0])),
        answers=([0.0, 0.0, -np.inf], [0.0, 0.0, -np.inf], [np.nan, 0.0, np.inf]),
    )
    yield Sample("number", (rng.normal(size=(3, 4)), 2.5))
    yield Sample("number first", (2.0, rng.uniform(0.5, 2.0, (3, 4))))
    yield Sample("integers", (np.array([3]), np.array([1])), answers=([0.0],), dtypes=())
    for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,))]:
        yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.uniform(0.5, 2.0, b)), terms=5)
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.uniform(0.5, 2.0, (4, 10))[:, ::2]))


XLOGY = register(
    Op(
        name="xlogy",
        kernel=elementwise(forward_numpy, _xlogy),
        grads=(
            Grad(of=("input",), keeps=("input", "other"), op="xlogy_backward"),
            Grad(
                of=("other",),
                keeps=("input", "other"),
                op="power_ratio",
                settings=lambda call: {"value": 1, "power": 1},
            ),
        ),
        samples=samples,
        function=xlogy,
        promotion="float",
    )
)

register(
    Op(
        name="xlogy_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("input", "other"), op="xlogy_backward"),
            Grad(
                of=("other",),
                keeps=("grad", "other"),
                op="power_ratio",
                settings=lambda call: {"value": 1, "power": 1},
            ),
        ),
        zero=("input",),
    )
)
