"""Kullback-Leibler divergence of log-probabilities from probabilities, element by element.

    out         = target * (log(target) - input),  0 log 0 = 0;  or its mean or sum
    grad_input  = -scale * grad * target
    grad_target = scale * grad * (log(target) + 1 - input),  scale = 1 / n for the mean of n elements, else 1

With ``log_target`` the target is a logarithm too, and out = exp(target) * (target - input), composed of other rows.
Source: Kullback, Leibler (1951).
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from .mse_loss import REDUCTIONS, negated, reciprocal, reduced_triton, share
from .softmax import wide


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """``target * (log(target) - input)``, the input a logarithm of probabilities; floating, shapes broadcast.

    ``reduction`` "batchmean" divides the sum by the first size, which is the mathematical definition; "mean" (the
    default) divides by the number of elements; "sum" and "none".  Raises ValueError for another reduction, RuntimeError
    for shapes that do not broadcast and integers throughout.

    >>> kl_div(Tensor([[0.0, -1.0]]), Tensor([[1.0, 0.0]]), reduction="batchmean").item()
    0.0
    """
    if reduction not in (*REDUCTIONS, "batchmean"):
        raise ValueError(f"kl_div: expected reduction to be one of none, mean, sum, batchmean, got {reduction!r}")
    if not (input.dtype.is_floating_point or target.dtype.is_floating_point):
        raise RuntimeError(f"kl_div: expected floating tensors, got {input.dtype.name} and {target.dtype.name}")
    inner = "sum" if reduction == "batchmean" else reduction
    if log_target:
        input, target = autocast_inputs(KL_DIV, input, target)
        out = OPS["exp"].function(target) * (target - input)
        out = out if inner == "none" else OPS[inner].function(out)
    else:
        if input.shape != target.shape:  # the row of a gradient does not see the shape of the other
            shape = common_shape("kl_div", input, target)
            input, target = (OPS["expand"].function(x, shape) for x in (input, target))
        out = apply(KL_DIV, input, target, reduction=inner)
    return out / input.shape[0] if reduction == "batchmean" and input.ndim else out


def common_shape(name, *tensors):
    """The shape to which these broadcast.  Raises RuntimeError where they do not."""
    shapes = [t.shape for t in tensors]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(f"{name}: shapes {' and '.join(map(str, shapes))} do not broadcast") from None


def forward_numpy(input, target, *, reduction):
    t = wide(target)
    out = np.asarray(np.where(t == 0, 0, t * np.log(t)) - t * wide(input))
    if reduction == "none":
        return out.astype(input.dtype, copy=False)
    total = np.add.reduce(out, axis=None)
    return np.asarray(total * total.dtype.type(reciprocal(out.size, reduction))).astype(input.dtype, copy=False)


def target_numpy(grad, input, target, *, scale):
    return grad * (np.log(target) + 1 - input) * input.dtype.type(scale)


def curvature_numpy(grad, arrived, target, *, scale):
    """How the target's gradient changes with the target."""
    return grad * arrived / target * target.dtype.type(scale)


@jit
def _loss(x, t):
    return tl.where(t == 0, 0.0, t * libdevice.log(t)).to(t.dtype) - t * x


@jit
def _target(grad, x, t, scale):
    return grad * (libdevice.log(t) + 1.0 - x) * scale


@jit
def _curvature(grad, arrived, t, scale):
    return grad * arrived / t * scale


def forward_triton(input, target, *, reduction):
    return reduced_triton(_loss, input, target, reduction)


def _scale(call):
    return {"scale": share(call)}


def _negative_scale(call):
    return {"scale": -share(call)}


def samples(rng):
    x, t = np.array([0.0, -1.0, -2.0, 1.0]), np.array([1.0, 0.0, 0.5, 2.0])
    half, two = float(np.log(0.5)), float(np.log(2.0))
    losses = np.array([0.0, 0.0, 0.5 * half + 1.0, 2.0 * two - 2.0])
    slopes, others = -t, np.array([1.0, -np.inf, half + 3.0, two])
    yield Sample("none", (x, t), {"reduction": "none"}, answers=(losses, slopes, others))
    yield Sample("sum", (x, t), {"reduction": "sum"}, answers=(losses.sum(), slopes, others))
    yield Sample("mean", (x, t), {"reduction": "mean"}, answers=(losses.mean(), slopes / 4, others / 4))
    empty = np.zeros((0, 2))
    yield Sample("of nothing", (empty, empty), {"reduction": "sum"}, answers=(0.0, empty, empty))
    for reduction in REDUCTIONS:
        many = (rng.normal(size=(17, 9)), rng.uniform(0.2, 1.0, size=(17, 9)))
        yield Sample(f"{reduction} of many", many, {"reduction": reduction}, terms=153)
    strided = (rng.normal(size=(4, 6)).T, rng.uniform(0.2, 1.0, (6, 4)))
    yield Sample("transposed", strided, {"reduction": "sum"}, terms=24)
    yield Sample("0-d", (np.array(0.5), np.array(0.25)), {"reduction": "mean"})
    yield Sample(
        "another reduction",
        (x, t),
        {"reduction": "batch"},
        raises=(ValueError, "kl_div: expected reduction to be one of none, mean, sum, batchmean, got 'batch'"),
    )
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), np.zeros((2,))),
        raises=(RuntimeError, "kl_div: shapes (2, 3) and (2,) do not broadcast"),
    )
    yield Sample(
        "integers",
        (np.array([1]), np.array([1])),
        raises=(RuntimeError, "kl_div: expected floating tensors, got int64 and int64"),
    )


KL_DIV = register(
    Op(
        name="kl_div",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(of=("input",), keeps=("target",), op="scaled_product", settings=_negative_scale),
            Grad(of=("target",), keeps=("input", "target"), op="kl_div_target", settings=_scale),
        ),
        samples=samples,
        function=kl_div,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="kl_div_target",
        kernel=elementwise(target_numpy, _target),
        grads=(
            Grad(of=("grad",), keeps=("input", "target"), op="kl_div_target"),
            Grad(of=("input",), keeps=("grad",), op="scaled_product", settings=negated),
            Grad(of=("target",), keeps=("grad", "target"), op="kl_div_curvature"),
        ),
    )
)

register(Op(name="kl_div_curvature", kernel=elementwise(curvature_numpy, _curvature)))
