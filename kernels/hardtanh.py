"""Piecewise linear and quadratic stand-ins for tanh, the logistic function and silu, elementwise.

    hardtanh     out        = min(max(x, low), high)
                 grad_input = 0 where x <= low or x >= high,  grad elsewhere;  relu6 has (low, high) = (0, 6)
    hardsigmoid  out        = min(max(x + 3, 0), 6) / 6
                 grad_input = grad / 6 where -3 < x < 3,  0 elsewhere
    hardswish    out        = x * min(max(x + 3, 0), 6) / 6
                 grad_input = 0 where x <= -3,  grad * (x / 3 + 1 / 2) where -3 < x < 3,  grad elsewhere

The gradients at the kinks and of NaN are PyTorch's.
Source: Collobert (2004); Krizhevsky (2010) for relu6; Howard and others (2019) for the last two.
"""

import numpy as np

from ..autograd import Tensor, apply, apply_
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .clamp import CLAMP, larger, smaller
from .div import quotient
from .smooth import floating, smooth
from .where import masked, select


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` limited to ``min_val`` from below and ``max_val`` from above, which have no gradient; any shape.

    Integers stay integers, and so do their bounds.  Raises ValueError where min_val > max_val, RuntimeError for bool, and
    for unsigned integers with negative bounds.

    >>> hardtanh(Tensor([-2.0, 0.5, 2.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    return _limited("hardtanh", input, min_val, max_val, inplace)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``hardtanh`` written into ``input`` itself, which is returned."""
    return _limited("hardtanh", input, min_val, max_val, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``input`` limited to 0 from below and 6 from above; any shape and dtype but bool, for which RuntimeError is raised.

    >>> relu6(Tensor([-2.0, 0.5, 8.0])).tolist()
    [0.0, 0.5, 6.0]
    """
    return _limited("relu6", input, 0, 6, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``input / 6 + 1 / 2``, limited to 0 and 1; any shape, floating, else RuntimeError is raised.

    >>> hardsigmoid(Tensor([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    floating("hardsigmoid", input)
    return (apply_ if inplace else apply)(HARDSIGMOID, input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * hardsigmoid(input)``; any shape, floating, else RuntimeError is raised.

    >>> hardswish(Tensor([-4.0, 1.5, 4.0])).tolist()
    [-0.0, 1.125, 4.0]
    """
    floating("hardswish", input)
    return (apply_ if inplace else apply)(HARDSWISH, input)


def _limited(name, input, low, high, inplace):
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
    if low > high:
        raise ValueError(f"{name}: expected min_val <= max_val, got {low} and {high}")
    kind = input.dtype
    if kind is dtypes.bool_:
        raise RuntimeError(f"{name}: expected numbers, got bool")
    if not kind.is_floating_point:
        low, high = int(low), int(high)
        if min(low, high) < 0 and not kind.is_signed:
            raise RuntimeError(f"{name}: {kind.name} has no negative numbers, got the bounds {low} and {high}")
    return (apply_ if inplace else apply)(HARDTANH, input, min=low, max=high)


def tanh_slope_numpy(grad, input, *, min, max):
    return masked(grad, ~((input <= min) | (input >= max)))


def sigmoid_numpy(input):
    out = np.clip(input + 3, 0, 6)
    out /= 6
    return out


def sigmoid_slope_numpy(grad, input):
    return masked(grad / 6, (input > -3) & (input < 3))


def swish_numpy(input):
    return input * np.clip(input + 3, 0, 6) / 6


def swish_slope_numpy(grad, input):
    return select(input < 3, masked(grad * (input / 3 + 0.5), input > -3), grad)


def swish_curve_numpy(grad, scale, input):
    return masked(grad * scale / 3, (input > -3) & (input < 3))


@jit
def _tanh_slope(grad, x, low, high):
    return tl.where((x <= low) | (x >= high), 0, grad)


@jit
def _ramp(x):
    return smaller(larger(x + 3, tl.zeros_like(x)), tl.zeros_like(x) + 6)


@jit
def _sixth(x):
    return quotient(x, tl.zeros_like(x) + 6)


@jit
def _sigmoid(x):
    return _sixth(_ramp(x))


@jit
def _sigmoid_slope(grad, x):
    return tl.where((x > -3) & (x < 3), _sixth(grad), 0)


@jit
def _swish(x):
    return _sixth(x * _ramp(x))


@jit
def _swish_slope(grad, x):
    inner = grad * (quotient(x, tl.zeros_like(x) + 3) + 0.5)
    return tl.where(x < 3, tl.where(x > -3, inner, 0), grad)


@jit
def _swish_curve(grad, scale, x):
    return tl.where((x > -3) & (x < 3), quotient(grad * scale, tl.zeros_like(x) + 3), 0)


def _off(rng, kinks, low=-5.0, high=5.0):
    """Inputs that are not near a kink, in the usual shapes."""
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield f"shape {shape}", _moved(rng.uniform(low, high, shape), kinks)
    yield "strided", _moved(rng.uniform(low, high, (4, 6)), kinks)[:, ::2].T


def _moved(x, kinks):
    for kink in kinks:
        x = np.where(np.abs(x - kink) < 0.1, kink + 0.2, x)
    return x


def tanh_samples(rng):
    x = np.array([-np.inf, -2.0, -1.0, 0.25, 2.0, 3.0, np.nan])
    yield Sample(
        "worked",
        (x,),
        {"min": -1.0, "max": 2.0},
        answers=([-1.0, -1.0, -1.0, 0.25, 2.0, 2.0, np.nan], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
    )
    for name, x in _off(rng, (-1.0, 2.0)):
        yield Sample(name, (x,), {"min": -1.0, "max": 2.0})
    yield Sample("integers", (np.array([-4, 1, 9]),), {"min": 0, "max": 6}, answers=([0, 1, 6],), dtypes=())
    yield Sample(
        "bounds",
        (x,),
        {"min_val": 2.0, "max_val": 1.0},
        raises=(ValueError, "hardtanh: expected min_val <= max_val, got 2.0 and 1.0"),
    )
    yield Sample("bool", (np.array([True]),), raises=(RuntimeError, "hardtanh: expected numbers, got bool"))
    yield Sample(
        "unsigned",
        (np.array([1], np.uint8),),
        raises=(RuntimeError, "hardtanh: uint8 has no negative numbers, got the bounds -1 and 1"),
    )


def sigmoid_samples(rng):
    yield Sample(
        "worked",
        (np.array([-np.inf, -3.0, -1.5, 0.0, 1.5, 3.0, np.inf, np.nan]),),
        answers=([0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, np.nan], [0.0, 0.0, 1 / 6, 1 / 6, 1 / 6, 0.0, 0.0, 0.0]),
    )
    for name, x in _off(rng, (-3.0, 3.0)):
        yield Sample(name, (x,))
    yield Sample(
        "integers", (np.array([1]),), raises=(RuntimeError, "hardsigmoid: expected a floating tensor, got int64")
    )


def swish_samples(rng):
    yield Sample(
        "worked",
        (np.array([-4.0, -3.0, -1.5, 0.0, 1.5, 3.0, np.inf, np.nan]),),
        answers=([0.0, 0.0, -0.375, 0.0, 1.125, 3.0, np.inf, np.nan], [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
    )
    for name, x in _off(rng, (-3.0, 3.0)):
        yield Sample(name, (x,))
    yield Sample(
        "integers", (np.array([1]),), raises=(RuntimeError, "hardswish: expected a floating tensor, got int64")
    )


HARDTANH = register(
    Op(
        name="hardtanh",
        kernel=CLAMP.kernel,
        grads=(Grad(of=("input",), keeps=("input",), op="hardtanh_backward"),),
        samples=tanh_samples,
        function=hardtanh,
    )
)

register(
    Op(
        name="hardtanh_backward",
        kernel=elementwise(tanh_slope_numpy, _tanh_slope),
        grads=(Grad(of=("grad",), keeps=("input",), op="hardtanh_backward"),),
        zero=("input",),
    )
)

HARDSIGMOID = register(
    Op(
        name="hardsigmoid",
        kernel=elementwise(sigmoid_numpy, _sigmoid),
        grads=(Grad(of=("input",), keeps=("input",), op="hardsigmoid_backward"),),
        samples=sigmoid_samples,
        function=hardsigmoid,
    )
)

register(
    Op(
        name="hardsigmoid_backward",
        kernel=elementwise(sigmoid_slope_numpy, _sigmoid_slope),
        grads=(Grad(of=("grad",), keeps=("input",), op="hardsigmoid_backward"),),
        zero=("input",),
    )
)

HARDSWISH = smooth(
    "hardswish",
    (swish_numpy, _swish),
    (swish_slope_numpy, _swish_slope),
    (swish_curve_numpy, _swish_curve),
    swish_samples,
    hardswish,
    promotion="",
)
