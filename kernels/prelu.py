"""Rectifiers whose slope on the left is learnt, or drawn at random, elementwise.

    prelu  out         = x        where x > 0,  weight * x     elsewhere
           grad_input  = grad     where x > 0,  weight * grad  elsewhere
           grad_weight = 0        where x > 0,  x * grad       elsewhere, summed over what shares a weight
    rrelu  prelu with weights drawn evenly from [lower, upper) for each element; their mean where not training

At x = 0 the gradient is that from the left, as in PyTorch.
Source: He, Zhang, Ren, Sun (2015), section 2.1; Xu, Wang, Chen, Li (2015) for rrelu.
"""

import numpy as np

from ..autograd import Tensor, apply, apply_, autocast_inputs
from ..autograd.tensor import wrap
from ..framework import random
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from ..framework.random import Generator
from .leaky_relu import leaky_relu, leaky_relu_
from .random import key_of
from .smooth import floating


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``input`` where it is positive, ``weight * input`` elsewhere; input (N, C, ...) or 1-d or 0-d, weight (1,) or (C,).

    An input of 1 or 0 dimensions has one channel.  Raises RuntimeError for integers, for dtypes that differ, and for a
    weight of another size.

    >>> prelu(Tensor([-2.0, 3.0]), Tensor([0.25])).tolist()
    [-0.5, 3.0]
    """
    floating("prelu", input)
    floating("prelu", weight)
    input, weight = autocast_inputs(PRELU, input, weight)
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"prelu: expected one dtype, got {input.dtype.name} and a weight of {weight.dtype.name}")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: expected weight (1,) or (C,), got shape {weight.shape}")
    channels = input.shape[1] if input.ndim > 1 else 1
    n = weight.numel()
    if n not in (1, channels):
        raise RuntimeError(f"prelu: expected weight (1,) or ({channels},) for the channels of the input, got ({n},)")
    if n == 1:
        weight = weight.reshape(())
    elif input.ndim > 2:
        weight = weight.reshape((n,) + (1,) * (input.ndim - 2))
    return apply(PRELU, input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """``leaky_relu`` whose slope is drawn for each element from [lower, upper), or is their mean unless ``training``.

    Any shape, floating.  Raises RuntimeError for integers, where lower > upper and for bounds that are not finite.

    >>> rrelu(Tensor([-8.0, 3.0]), 0.25, 0.5).tolist()
    [-3.0, 3.0]
    """
    floating("rrelu", input)
    for name, bound in (("lower", lower), ("upper", upper)):
        if not np.isfinite(bound):
            raise RuntimeError(f"rrelu: expected a finite {name}, got {bound}")
    if lower > upper:
        raise RuntimeError(f"rrelu: expected lower <= upper, got {lower} and {upper}")
    if not training:
        return (leaky_relu_ if inplace else leaky_relu)(input, (lower + upper) / 2)
    key = key_of("rrelu", generator)
    slopes = wrap(random.uniform(input.shape, input.dtype, input.device, key, lower, upper))
    return (apply_ if inplace else apply)(PRELU, input, slopes)


def rrelu_(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """``rrelu`` written into ``input`` itself, which is returned."""
    return rrelu(input, lower, upper, training, True, generator=generator)


def forward_numpy(input, weight):
    return np.where(input > 0, input, input * weight)


def backward_numpy(grad, input, weight):
    return np.where(input > 0, grad, grad * weight)


def product_numpy(grad, other, input):
    return np.where(input > 0, np.asarray(0, grad.dtype), grad * other)


@jit
def _forward(x, weight):
    return tl.where(x > 0, x, x * weight)


@jit
def _backward(grad, x, weight):
    return tl.where(x > 0, grad, grad * weight)


@jit
def _product(grad, other, x):
    return tl.where(x > 0, 0, grad * other)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([[-2.0, 0.0, 3.0], [-4.0, np.nan, -1.0]]), np.array([0.5, 0.25, -1.0])),
        answers=(
            [[-1.0, 0.0, 3.0], [-2.0, np.nan, 1.0]],
            [[0.5, 0.25, 1.0], [0.5, 0.25, -1.0]],
            [-6.0, np.nan, -1.0],
        ),
        terms=2,
    )
    for shape, weights in [((), ()), ((0, 2), (2,)), ((7,), ()), ((2, 3, 5), (3, 1)), ((2, 1025), (1025,))]:
        x = rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
        yield Sample(f"shape {shape}", (x, rng.normal(size=weights)), terms=7)
    x = (rng.uniform(0.1, 2.0, (4, 6)) * rng.choice([-1.0, 1.0], (4, 6)))[:, ::2].T
    yield Sample("strided", (x, rng.normal(size=())), terms=12)
    yield Sample(
        "integers", (np.array([1]), np.ones(1)), raises=(RuntimeError, "prelu: expected a floating tensor, got int64")
    )
    yield Sample(
        "channels",
        (np.ones((2, 3)), np.ones(2)),
        raises=(RuntimeError, "prelu: expected weight (1,) or (3,) for the channels of the input, got (2,)"),
    )
    yield Sample(
        "matrix",
        (np.ones((2, 3)), np.ones((3, 1))),
        raises=(RuntimeError, "prelu: expected weight (1,) or (C,), got shape (3, 1)"),
    )


PRELU = register(
    Op(
        name="prelu",
        kernel=elementwise(forward_numpy, _forward),
        grads=(
            Grad(of=("input",), keeps=("input", "weight"), op="prelu_backward"),
            Grad(of=("weight",), keeps=("input", "input"), op="prelu_product"),
        ),
        samples=samples,
        function=prelu,
        autocast="half",
    )
)

register(
    Op(
        name="prelu_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("input", "weight"), op="prelu_backward"),
            Grad(of=("weight",), keeps=("grad", "input"), op="prelu_product"),
        ),
        zero=("input",),
    )
)

# grad * other where input is not positive: linear in both
register(
    Op(
        name="prelu_product",
        kernel=elementwise(product_numpy, _product),
        grads=(
            Grad(of=("grad",), keeps=("other", "input"), op="prelu_product"),
            Grad(of=("other",), keeps=("grad", "input"), op="prelu_product"),
        ),
        zero=("input",),
    )
)
