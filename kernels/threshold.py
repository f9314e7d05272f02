"""Functions that set small inputs to a constant, elementwise: threshold, hardshrink, softshrink.

    threshold   out        = x where x > threshold,  value elsewhere
                grad_input = grad where x > threshold,  0 elsewhere
    hardshrink  out        = 0 where |x| <= lambd,  x elsewhere
    softshrink  out        = x - lambd where x > lambd,  x + lambd where x < -lambd,  0 elsewhere
                grad_input = 0 where |x| <= lambd,  grad elsewhere, for both

NaN stays NaN and has the gradient ``grad``, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .smooth import floating
from .where import masked


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` where it exceeds ``threshold``, ``value`` elsewhere; any shape and dtype but bool.

    Integers stay integers, and so do the two numbers for them.  Raises RuntimeError for bool, and for numbers that an
    integer dtype does not have.

    >>> threshold(Tensor([-1.0, 0.5, 2.0]), 0.5, 7.0).tolist()
    [7.0, 7.0, 2.0]
    """
    return _replaced(input, threshold, value, apply_ if inplace else apply)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """``threshold`` written into ``input`` itself, which is returned."""
    return _replaced(input, threshold, value, apply_)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input``, but 0 from ``-lambd`` to ``lambd``; any shape, floating, else RuntimeError is raised.

    >>> hardshrink(Tensor([-1.0, 0.5, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    floating("hardshrink", input)
    return apply(HARDSHRINK, input, lambd=float(lambd))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` moved towards 0 by ``lambd``, and 0 where it would pass it; any shape, floating.

    Raises RuntimeError for integers and for a negative or infinite ``lambd``.

    >>> softshrink(Tensor([-1.0, 0.5, 2.0])).tolist()
    [-0.5, 0.0, 1.5]
    """
    floating("softshrink", input)
    if not 0 <= lambd < float("inf"):
        raise RuntimeError(f"softshrink: expected 0 <= lambd < inf, got {lambd}")
    return apply(SOFTSHRINK, input, lambd=float(lambd))


def _replaced(input, threshold, value, run):
    if not isinstance(input, Tensor):
        raise TypeError(f"threshold: expected a Tensor, got {type(input).__name__}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError("threshold: expected numbers, got bool")
    if input.dtype.is_floating_point:
        return run(THRESHOLD, input, threshold=float(threshold), value=float(value))
    numbers = {"threshold": int(threshold), "value": int(value)}
    limits = np.iinfo(input.dtype.numpy)
    for name, number in numbers.items():
        if not limits.min <= number <= limits.max:
            raise RuntimeError(f"threshold: {input.dtype.name} has no {number}, got it for {name}")
    return run(THRESHOLD, input, **numbers)


def threshold_numpy(input, *, threshold, value):
    return np.where(input <= threshold, np.asarray(value, input.dtype), input)


def threshold_slope_numpy(grad, input, *, threshold):
    return masked(grad, ~(input <= threshold))


def hard_numpy(input, *, lambd):
    return masked(input, ~((input >= -lambd) & (input <= lambd)))


def soft_numpy(input, *, lambd):
    return np.where(input > lambd, input - lambd, np.where(input < -lambd, input + lambd, input * 0))


def shrink_slope_numpy(grad, input, *, lambd):
    return masked(grad, ~((input >= -lambd) & (input <= lambd)))


@jit
def _threshold(x, limit, value):
    return tl.where(x <= limit, value, x)


@jit
def _threshold_slope(grad, x, limit):
    return tl.where(x <= limit, 0, grad)


@jit
def _hard(x, lambd):
    return tl.where((x >= -lambd) & (x <= lambd), 0, x)


@jit
def _soft(x, lambd):
    return tl.where(x > lambd, x - lambd, tl.where(x < -lambd, x + lambd, x * 0))


@jit
def _shrink_slope(grad, x, lambd):
    return tl.where((x >= -lambd) & (x <= lambd), 0, grad)


def threshold_samples(rng):
    yield Sample(
        "worked",
        (np.array([-np.inf, 0.5, 1.0, 2.0, np.nan]),),
        {"threshold": 1.0, "value": 7.0},
        answers=([7.0, 7.0, 7.0, 2.0, np.nan], [0.0, 0.0, 0.0, 1.0, 1.0]),
    )
    for name, x in _sizes(rng):
        yield Sample(name, (x,), {"threshold": 0.5, "value": -2.0})
    yield Sample("integers", (np.array([1, 2]),), {"threshold": 1, "value": 7}, answers=([7, 2],), dtypes=())
    yield Sample(
        "bool",
        (np.array([True]),),
        {"threshold": 1, "value": 7},
        raises=(RuntimeError, "threshold: expected numbers, got bool"),
    )


def _sizes(rng):
    """Inputs of both signs whose size is not near 1/2."""
    for name, shape in [("0-d", ()), ("empty", (0, 2)), ("line", (7,)), ("long", (2, 1025))]:
        x = np.where(rng.random(shape) < 0.5, rng.uniform(0, 0.4, shape), rng.uniform(0.6, 2.0, shape))
        yield name, x * rng.choice([-1.0, 1.0], shape)
    yield "strided", np.where(rng.random((4, 6)) < 0.5, 0.25, -1.5)[:, ::2].T


def hard_samples(rng):
    yield Sample(
        "worked",
        (np.array([-2.0, -0.5, 0.25, 0.5, 2.0, np.inf, np.nan]),),
        {"lambd": 0.5},
        answers=([-2.0, 0.0, 0.0, 0.0, 2.0, np.inf, np.nan], [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
    )
    yield Sample("negative", (np.array([-1.0, 0.0]),), {"lambd": -1.0}, answers=([-1.0, 0.0], [1.0, 1.0]))
    for name, x in _sizes(rng):
        yield Sample(name, (x,), {"lambd": 0.5})
    yield Sample(
        "integers", (np.array([1]),), raises=(RuntimeError, "hardshrink: expected a floating tensor, got int64")
    )


def soft_samples(rng):
    yield Sample(
        "worked",
        (np.array([-2.0, -0.5, 0.25, 0.5, 2.0, np.inf, np.nan]),),
        {"lambd": 0.5},
        answers=([-1.5, 0.0, 0.0, 0.0, 1.5, np.inf, np.nan], [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
    )
    for name, x in _sizes(rng):
        yield Sample(name, (x,), {"lambd": 0.5})
    yield Sample(
        "integers", (np.array([1]),), raises=(RuntimeError, "softshrink: expected a floating tensor, got int64")
    )
    yield Sample(
        "negative",
        (np.ones(2),),
        {"lambd": -1.0},
        raises=(RuntimeError, "softshrink: expected 0 <= lambd < inf, got -1.0"),
    )


THRESHOLD = register(
    Op(
        name="threshold",
        kernel=elementwise(threshold_numpy, _threshold),
        grads=(
            Grad(
                of=("input",),
                keeps=("input",),
                op="threshold_backward",
                settings=lambda call: {"threshold": call.settings["threshold"]},
            ),
        ),
        samples=threshold_samples,
        function=threshold,
    )
)

register(
    Op(
        name="threshold_backward",
        kernel=elementwise(threshold_slope_numpy, _threshold_slope),
        grads=(Grad(of=("grad",), keeps=("input",), op="threshold_backward"),),
        zero=("input",),
    )
)

HARDSHRINK = register(
    Op(
        name="hardshrink",
        kernel=elementwise(hard_numpy, _hard),
        grads=(Grad(of=("input",), keeps=("input",), op="shrink_backward"),),
        samples=hard_samples,
        function=hardshrink,
    )
)

SOFTSHRINK = register(
    Op(
        name="softshrink",
        kernel=elementwise(soft_numpy, _soft),
        grads=(Grad(of=("input",), keeps=("input",), op="shrink_backward"),),
        samples=soft_samples,
        function=softshrink,
    )
)

register(
    Op(
        name="shrink_backward",
        kernel=elementwise(shrink_slope_numpy, _shrink_slope),
        grads=(Grad(of=("grad",), keeps=("input",), op="shrink_backward"),),
        zero=("input",),
    )
)
