"""Heaviside's step, elementwise.

out         = 0 where input < 0 or nan,  values where input = 0,  1 where input > 0
grad_values = grad where input = 0,  0 elsewhere;  the step itself is flat
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 where ``input`` is negative, ``values`` where it is 0, 1 where it is positive; shapes broadcast.

    Raises RuntimeError for unlike dtypes.

    >>> heaviside(Tensor([-2.0, 0.0, 3.0]), Tensor([0.5])).tolist()
    [0.0, 0.5, 1.0]
    """
    for x in (input, values):
        if not isinstance(x, Tensor):
            raise TypeError(f"heaviside: expected tensors, got {type(x).__name__}")
    if input.dtype is not values.dtype:
        raise RuntimeError(f"heaviside: expected one dtype, got {input.dtype.name} and {values.dtype.name}")
    return apply(HEAVISIDE, input, values)


def forward_numpy(input, values):
    return np.where(input == 0, values, np.asarray(input > 0).astype(values.dtype))


def backward_numpy(grad, input):
    return np.where(input == 0, grad, 0)


@jit
def _backward(grad, x):
    return tl.where(x == 0, grad, 0)


@jit
def _step(x, values):
    return tl.where(x == 0, values, (x > 0).to(x.dtype))


def samples(rng):
    yield Sample(
        "worked", (np.array([-2.0, 0.0, -0.0, 3.0, np.nan]), np.array(0.5)), answers=([0.0, 0.5, 0.5, 1.0, 0.0], 2.0)
    )
    yield Sample("integers", (np.array([-1, 0, 5]), np.array([7, 8, 9])), answers=([0, 8, 1],), dtypes=())
    yield Sample("broadcast", (rng.normal(size=(3, 1)), rng.normal(size=(4,))))
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]))
    yield Sample("empty", (np.zeros((0, 2)), np.ones(2)))
    yield Sample(
        "dtypes",
        (np.ones(1), np.ones(1, int)),
        dtypes=(),
        raises=(RuntimeError, "heaviside: expected one dtype, got float64 and int64"),
    )


HEAVISIDE = register(
    Op(
        name="heaviside",
        kernel=elementwise(forward_numpy, _step),
        grads=(Grad(of=("values",), keeps=("input",), op="heaviside_backward"),),
        samples=samples,
        function=heaviside,
        zero=("input",),
    )
)

register(
    Op(
        name="heaviside_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("input",), op="heaviside_backward"),),
        zero=("input",),
    )
)
