"""Leaky rectifier, elementwise.

    out        = x     where x > 0,  slope * x     elsewhere
    grad_input = grad  where x > 0,  slope * grad  elsewhere

At x = 0 the gradient is ``slope * grad``, as in PyTorch.  In place, where x is gone, the sign of ``out`` stands for
its sign; so slope may not be negative there.
Source: Maas, Hannun, Ng (2013), section 2.
"""

import numpy as np

from ..autograd import Tensor, apply, apply_, is_grad_enabled
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .where import select


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``input`` where it is positive, ``negative_slope * input`` elsewhere; any shape, floating.

    >>> leaky_relu(Tensor([-10.0, 0.0, 3.0]), negative_slope=0.2).numpy()
    array([-2.,  0.,  3.], dtype=float32)
    """
    return apply(LEAKY_RELU, input, negative_slope=negative_slope)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``leaky_relu`` written into ``input`` itself, which is returned.

    Raises RuntimeError for a negative slope where a gradient will be asked for: the sign of the input is lost then.

    >>> x = Tensor([-10.0, 3.0]); leaky_relu_(x, 0.5) is x, x.tolist()
    (True, [-5.0, 3.0])
    """
    if negative_slope < 0 and input.requires_grad and is_grad_enabled():
        raise RuntimeError(f"leaky_relu_: expected negative_slope >= 0 in place, got {negative_slope}")
    return apply_(LEAKY_RELU_, input, negative_slope=negative_slope)


def forward_numpy(input, *, negative_slope):
    if 0 < negative_slope <= 1:  # 0 times inf would spoil the larger of the two
        return np.maximum(input, input * negative_slope)
    return np.where(input > 0, input, input * negative_slope)


def backward_numpy(grad, input, *, negative_slope):
    if not 0 <= negative_slope <= 1:
        return select(input > 0, grad, grad * negative_slope)
    # (1 - slope) + slope rounds to 1 exactly, so that this is a choice without a jump for each element
    slope = grad.dtype.type(negative_slope)
    factor = np.multiply(input > 0, 1 - slope, dtype=grad.dtype)
    factor += slope
    factor *= grad
    return factor


@jit
def _forward(x, slope):
    return tl.where(x > 0, x, slope * x)


@jit
def _backward(grad, x, slope):
    return tl.where(x > 0, grad, slope * grad)


def samples(rng):
    x = np.array([-10.0, 0.0, 3.0])
    yield Sample("worked", (x,), {"negative_slope": 0.2}, answers=([-2.0, 0.0, 3.0], [0.2, 0.2, 1.0]))
    yield Sample("steep", (x,), {"negative_slope": 2.0}, answers=([-20.0, 0.0, 3.0], [2.0, 2.0, 1.0]))
    yield Sample(
        "flat",
        (np.array([np.inf, -3.0, np.nan]),),
        {"negative_slope": 0.0},
        answers=([np.inf, 0.0, np.nan], [1.0, 0.0, 0.0]),
    )
    for shape in [(), (0,), (7,), (3, 1025)]:
        x = rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape)  # stays off the kink at 0
        yield Sample(f"shape {shape}", (x,), {"negative_slope": 0.01})


def in_place_samples(rng):
    x = np.array([-10.0, 0.0, 3.0])
    yield Sample("worked", (x,), {"negative_slope": 0.2}, answers=([-2.0, 0.0, 3.0], [0.2, 0.2, 1.0]))
    yield Sample("flat", (x,), {"negative_slope": 0.0}, answers=([0.0, 0.0, 3.0], [0.0, 0.0, 1.0]))


LEAKY_RELU = register(
    Op(
        name="leaky_relu",
        kernel=elementwise(forward_numpy, _forward),
        grads=(Grad(of=("input",), keeps=("input",), op="leaky_relu_backward"),),
        samples=samples,
        function=leaky_relu,
        promotion="float",
        by_output=lambda settings: settings["negative_slope"] >= 0,  # the output has the input's sign, or is 0 for it
    )
)

LEAKY_RELU_ = register(
    Op(
        name="leaky_relu_",
        kernel=LEAKY_RELU.kernel,
        grads=(Grad(of=("input",), keeps=("output",), op="leaky_relu_backward"),),
        samples=in_place_samples,
        function=leaky_relu_,
    )
)

register(
    Op(
        name="leaky_relu_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("input",), op="leaky_relu_backward"),),
        zero=("input",),
    )
)
