"""Linear interpolation, elementwise.

out         = input + weight * (end - input)
grad_input  = grad * (1 - weight)
grad_end    = grad * weight
grad_weight = grad * (end - input)

From weight 1/2 on it is computed as end - (end - input) * (1 - weight), so that weight 1 gives end itself.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """``input + weight * (end - input)``; floating, of one dtype; shapes broadcast.

    Raises TypeError where ``input`` or ``end`` is no tensor, RuntimeError for unlike dtypes and for integers.

    >>> lerp(Tensor([1.0, 2.0]), Tensor([3.0, 6.0]), 0.25).tolist()
    [1.5, 3.0]
    """
    for x in (input, end):
        if not isinstance(x, Tensor):
            raise TypeError(f"lerp: expected tensors, got {type(x).__name__}")
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"lerp: expected a floating tensor, got {input.dtype.name}")
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype and not (name == "weight" and not x.ndim):
            raise RuntimeError(f"lerp: expected {name} to be of {input.dtype.name}, got {x.dtype.name}")
    if isinstance(weight, Tensor) and weight.dtype is not input.dtype:
        weight = weight.to(input.dtype)
    return apply(LERP, input, end, weight)


def forward_numpy(input, end, weight):
    gap = end - input
    return np.where(np.abs(weight) < 0.5, input + weight * gap, end - gap * (1 - weight))


def rest_numpy(grad, weight):
    return grad * (1 - weight)


def gap_numpy(grad, input, end):
    return grad * (end - input)


@jit
def _lerp(x, end, weight):
    gap = end - x
    return tl.where(tl.abs(weight) < 0.5, x + weight * gap, end - gap * (1 - weight))


@jit
def _rest(grad, weight):
    return grad * (1 - weight)


@jit
def _gap(grad, x, end):
    return grad * (end - x)


def samples(rng):
    x, end = np.array([1.0, 2.0, -1.0]), np.array([3.0, 6.0, 0.0])
    yield Sample(
        "worked",
        (x, end, np.array([0.25, 0.5, 1.0])),
        answers=([1.5, 4.0, 0.0], [0.75, 0.5, 0.0], [0.25, 0.5, 1.0], [2.0, 4.0, 1.0]),
    )
    yield Sample("number", (x, end, 0.75), answers=([2.5, 5.0, -0.25], [0.25] * 3, [0.75] * 3))
    for a, b, c in [((), (), ()), ((3, 1), (4,), (1,)), ((0, 2), (2,), (1, 2)), ((2, 1025),) * 3]:
        yield Sample(f"shapes {a} {b} {c}", (rng.normal(size=a), rng.normal(size=b), rng.uniform(-1, 0.4, c)), terms=12)
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2], rng.normal(size=(5, 4)).T))
    yield Sample(
        "integers",
        (np.array([1]), np.array([2]), 0.5),
        raises=(RuntimeError, "lerp: expected a floating tensor, got int64"),
    )
    yield Sample(
        "dtypes",
        (np.ones(1), np.ones(1, np.float32), 0.5),
        dtypes=(),
        raises=(RuntimeError, "lerp: expected end to be of float64, got float32"),
    )


LERP = register(
    Op(
        name="lerp",
        kernel=elementwise(forward_numpy, _lerp),
        grads=(
            Grad(of=("input",), keeps=("weight",), op="lerp_rest"),
            Grad(of=("end",), keeps=("weight",), op="mul"),
            Grad(of=("weight",), keeps=("input", "end"), op="lerp_gap"),
        ),
        samples=samples,
        function=lerp,
        promotion="arithmetic",
    )
)

_MINUS = {"value": -1}

register(
    Op(
        name="lerp_rest",
        kernel=elementwise(rest_numpy, _rest),
        grads=(
            Grad(of=("grad",), keeps=("weight",), op="lerp_rest"),
            Grad(of=("weight",), keeps=("grad",), op="product_times", settings=lambda call: _MINUS),
        ),
    )
)

register(
    Op(
        name="lerp_gap",
        kernel=elementwise(gap_numpy, _gap),
        grads=(
            Grad(of=("grad",), keeps=("input", "end"), op="lerp_gap"),
            Grad(of=("input",), keeps=("grad",), op="product_times", settings=lambda call: _MINUS),
            Grad(of=("end",), keeps=("grad",), op="mul"),
        ),
    )
)
