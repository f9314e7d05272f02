"""Mean squared error, the least-squares GAN's loss.

    out         = (input - target)^2, or its mean or sum over all elements
    grad_input  = 2 * scale * grad * (input - target),  scale = 1 / n for the mean of n elements, else 1
    grad_target = 2 * scale * grad * (target - input)

Shapes broadcast.  One launch for the value of up to some thousand elements, two beyond, and one for each gradient.
"""

from math import prod

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.elementwise import elementwise, run
from ..framework.language import jit
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import plus, reduce
from ..framework.repeat import repeated
from .softmax import wide

REDUCTIONS = ("none", "mean", "sum")


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """The mean (or "sum", or with "none" each) of the squared differences; floating, shapes broadcast.

    ``weight``, of the input's shape, multiplies each; the mean is then their sum divided by that of the weights.  Raises
    ValueError for another reduction or a weight of another shape, RuntimeError for shapes that do not broadcast and
    integers throughout.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0])).item()
    2.0
    """
    check_reduction("mse_loss", reduction)
    if not (input.dtype.is_floating_point or target.dtype.is_floating_point):
        raise RuntimeError(f"mse_loss: expected floating tensors, got {input.dtype.name} and {target.dtype.name}")
    if weight is None:
        return apply(MSE_LOSS, input, target, reduction=reduction)
    losses, weight = weighted(MSE_LOSS, input, target, weight)
    if reduction == "none":
        return losses
    total = OPS["sum"].function(losses)
    return total / OPS["sum"].function(weight) if reduction == "mean" else total


def weighted(row, input, target, weight, **settings):
    """Each loss times its weight, and the weights, all in float32 where an autocast region asks for it."""
    if weight.shape != input.shape:
        raise ValueError(f"{row.name}: expected weight of the input's shape {input.shape}, got {weight.shape}")
    input, target, weight = autocast_inputs(row, input, target, weight)
    return apply(row, input, target, reduction="none", **settings) * weight, weight


def check_reduction(name, reduction):
    """Raise ValueError for a reduction that does not exist."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: expected reduction to be one of {', '.join(REDUCTIONS)}, got {reduction!r}")


def reciprocal(n, reduction):
    """What a sum over n elements is multiplied by."""
    return 1.0 if reduction != "mean" else 1 / n if n else float("inf")


def forward_numpy(input, target, *, reduction):
    difference = np.asarray(np.subtract(wide(input), wide(target)))
    if reduction == "none":
        return np.multiply(difference, difference).astype(input.dtype, copy=False)
    flat = difference.ravel("K")
    total = np.dot(flat, flat)
    return np.asarray(total * total.dtype.type(reciprocal(flat.size, reduction))).astype(input.dtype, copy=False)


@jit
def _square(x, t):
    return (x - t) * (x - t)


def forward_triton(input, target, *, reduction):
    return reduced_triton(_square, input, target, reduction)


def reduced_triton(function, input, target, reduction):
    """An elementwise function of two arrays that broadcast, and where asked its sum or mean, in one pass."""
    if reduction == "none":
        return run(function, (input, target), ())
    shape = np.broadcast_shapes(input.shape, target.shape)
    return reduce(
        (input, target),
        tuple(range(len(shape))),
        False,
        plus,
        0,
        map=function,
        factor=reciprocal(prod(shape), reduction),
    )


def backward_numpy(grad, input, target, *, scale):
    out = np.asarray(np.subtract(input, target))
    out *= grad * out.dtype.type(scale)
    return out


@jit
def _backward(grad, x, t, scale):
    return grad * scale * (x - t)


def scaled_product_numpy(input, other, *, scale):
    return input * other * other.dtype.type(scale)


@jit
def _scaled_product(x, y, scale):
    return x * y * scale


def share(call):
    """How much of the loss's gradient one element gets."""
    n = prod(np.broadcast_shapes(call.shape("input"), call.shape("target")))
    return 1 / max(n, 1) if call.settings["reduction"] == "mean" else 1.0


def _twice(call):
    return {"scale": 2 * share(call)}


def negated(call):
    """The same scale with its sign changed."""
    return {"scale": -call.settings["scale"]}


def samples(rng):
    x, t = np.array([1.0, 2.0, -1.0, 0.0]), np.array([1.0, 4.0, 1.0, 1.0])
    yield Sample("mean", (x, t), {"reduction": "mean"}, answers=(2.25, [0.0, -1.0, -1.0, -0.5], [0.0, 1.0, 1.0, 0.5]))
    yield Sample("sum", (x, t), {"reduction": "sum"}, answers=(9.0, [0.0, -4.0, -4.0, -2.0], [0.0, 4.0, 4.0, 2.0]))
    yield Sample(
        "none",
        (x, t),
        {"reduction": "none"},
        answers=([0.0, 4.0, 4.0, 1.0], [0.0, -4.0, -4.0, -2.0], [0.0, 4.0, 4.0, 2.0]),
    )
    yield Sample(
        "of nothing",
        (np.zeros((0, 2)), np.zeros((0, 2))),
        {"reduction": "mean"},
        answers=(np.nan, np.zeros((0, 2)), np.zeros((0, 2))),
    )
    for reduction in REDUCTIONS:
        yield Sample(
            f"{reduction} of many",
            (rng.normal(size=(17, 9)), rng.normal(size=(17, 9))),
            {"reduction": reduction},
            terms=153,
        )
    yield Sample("broadcast", (rng.normal(size=(7, 1)), rng.normal(size=(1, 5))), {"reduction": "mean"}, terms=35)
    yield Sample("row", (rng.normal(size=(7, 5)), rng.normal(size=(5,))), {"reduction": "none"}, terms=7)
    yield Sample("0-d", (rng.normal(size=()), rng.normal(size=())), {"reduction": "mean"})
    yield Sample("transposed", (rng.normal(size=(4, 6)).T, rng.normal(size=(6, 4))), {"reduction": "sum"}, terms=24)
    yield Sample(
        "another reduction",
        (x, t),
        {"reduction": "average"},
        raises=(ValueError, "mse_loss: expected reduction to be one of none, mean, sum, got 'average'"),
    )
    yield Sample(
        "integers",
        (np.array([1]), np.array([2])),
        raises=(RuntimeError, "mse_loss: expected floating tensors, got int64 and int64"),
    )
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), np.zeros((2,))),
        raises=(
            RuntimeError,
            "mse_loss: shapes (2, 3) and (2,) do not broadcast: at dimension -1 they have sizes 3 and 2",
        ),
    )


MSE_LOSS = register(
    Op(
        name="mse_loss",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(of=("input",), keeps=("input", "target"), op="mse_loss_backward", settings=_twice),
            Grad(of=("target",), keeps=("target", "input"), op="mse_loss_backward", settings=_twice),
        ),
        samples=samples,
        function=mse_loss,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="mse_loss_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("input", "target"), op="mse_loss_backward"),
            Grad(of=("input",), keeps=("grad",), op="scaled_product"),
            Grad(of=("target",), keeps=("grad",), op="scaled_product", settings=negated),
        ),
    )
)

register(
    Op(
        name="scaled_product",
        kernel=elementwise(scaled_product_numpy, _scaled_product),
        grads=(
            Grad(of=("input",), keeps=("other",), op="scaled_product"),
            Grad(of=("other",), keeps=("input",), op="scaled_product"),
        ),
    )
)
