"""Binary cross-entropy of logits, the original GAN's loss.

    out         = -target * log(sigmoid(input)) - (1 - target) * log(1 - sigmoid(input)), or its mean or sum
                = max(input, 0) - input * target + log(1 + exp(-|input|))
    grad_input  = scale * grad * (sigmoid(input) - target),  scale = 1 / n for the mean of n elements, else 1
    grad_target = -scale * grad * input

The second form never overflows.  ``weight`` and ``pos_weight`` are applied around the row.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from .mse_loss import REDUCTIONS, check_reduction, negated, reciprocal, reduced_triton, share
from .softmax import wide


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The cross-entropy of ``sigmoid(input)`` against probabilities ``target`` of the same shape, stable for any logit.

    ``weight`` multiplies each loss, ``pos_weight`` its part for target 1; both broadcast.  Raises ValueError where
    shapes differ and for a reduction other than "none", "mean", "sum".

    >>> binary_cross_entropy_with_logits(Tensor([0.0, 1000.0]), Tensor([1.0, 1.0]), reduction="none").numpy()
    array([0.6931472, 0.       ], dtype=float32)
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction)
    if target.shape != input.shape:
        raise ValueError(f"{name}: expected target of the input's shape {input.shape}, got {target.shape}")
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected floating logits, got {input.dtype.name}")
    if weight is None and pos_weight is None:
        return apply(BCE, input, target, reduction=reduction)
    losses = apply(BCE, input, target, reduction="none")
    if pos_weight is not None:
        # against target 1 the loss is -log(sigmoid(input)), the part that pos_weight multiplies
        losses = losses + target * (pos_weight - 1) * apply(BCE, input, 1.0, reduction="none")
    if weight is not None:
        losses = losses * weight
    return losses if reduction == "none" else OPS[reduction].function(losses)


def forward_numpy(input, target, *, reduction):
    x, t = wide(input), wide(target)
    out = np.asarray(np.abs(x))
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += np.maximum(x, 0)
    out = np.asarray(out - x * t)
    if reduction == "none":
        return out.astype(input.dtype, copy=False)
    total = np.add.reduce(out.ravel("K"))
    return np.asarray(total * total.dtype.type(reciprocal(out.size, reduction))).astype(input.dtype, copy=False)


def _sigmoid_numpy(x):
    out = np.asarray(np.exp(-x))
    out += 1
    return np.divide(1, out, out=out)  # exp may be inf, and this is then 0


def backward_numpy(grad, input, target, *, scale):
    out = _sigmoid_numpy(input)
    out = np.asarray(np.subtract(out, target, out=out if out.shape == np.shape(target) else None))
    out *= grad * out.dtype.type(scale)
    return out


def curvature_numpy(grad, arrived, input, *, scale):
    """How ``backward`` changes with the input: grad * arrived * scale * s * (1 - s), s = sigmoid(input)."""
    s = _sigmoid_numpy(input)
    return grad * arrived * (s * (1 - s)) * s.dtype.type(scale)


@jit
def _log1p(e):
    # exact where 1 + e rounds: the quotient makes up for what the sum lost
    u = 1.0 + e
    return tl.where(u == 1.0, e, tl.log(u) * (e / (u - 1.0)))


@jit
def _sigmoid(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, e * 0 + 1) / (1.0 + e)


@jit
def _loss(x, t):
    return tl.maximum(x, x * 0) - x * t + _log1p(tl.exp(-tl.abs(x)))


@jit
def _backward(grad, x, t, scale):
    return grad * scale * (_sigmoid(x) - t)


@jit
def _curvature(v, grad, x, scale):
    s = _sigmoid(x)
    return v * grad * scale * (s * (1.0 - s))


def forward_triton(input, target, *, reduction):
    return reduced_triton(_loss, input, target, reduction)


def _scale(call):
    return {"scale": share(call)}


def _negative_scale(call):
    return {"scale": -share(call)}


def samples(rng):
    x, t = np.array([0.0, 1000.0, -1000.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.5])
    two = float(np.log(2.0))
    yield Sample(
        "none",
        (x, t),
        {"reduction": "none"},
        answers=([two, 0.0, 1000.0, two], [-0.5, 0.0, -1.0, 0.0], [0.0, -1000.0, 1000.0, 0.0]),
    )
    yield Sample(
        "mean",
        (x, t),
        {"reduction": "mean"},
        answers=(250.0 + two / 2, [-0.125, 0.0, -0.25, 0.0], [0.0, -250.0, 250.0, 0.0]),
    )
    yield Sample(
        "sum",
        (x, t),
        {"reduction": "sum"},
        answers=(1000.0 + 2 * two, [-0.5, 0.0, -1.0, 0.0], [0.0, -1000.0, 1000.0, 0.0]),
    )
    for reduction in REDUCTIONS:
        yield Sample(
            f"{reduction} of many",
            (rng.normal(size=(17, 9)), rng.uniform(size=(17, 9))),
            {"reduction": reduction},
            terms=153,
        )
    yield Sample("0-d", (rng.normal(size=()), rng.uniform(size=())), {"reduction": "mean"})
    yield Sample("number", (rng.normal(size=(5,)), 1.0), {"reduction": "none"})
    yield Sample(
        "empty", (np.zeros((0,)), np.zeros((0,))), {"reduction": "sum"}, answers=(0.0, np.zeros(0), np.zeros(0))
    )
    yield Sample(
        "misfit",
        (np.zeros((2, 1)), np.zeros((2,))),
        raises=(ValueError, "binary_cross_entropy_with_logits: expected target of the input's shape (2, 1), got (2,)"),
    )
    yield Sample(
        "another reduction",
        (x, t),
        {"reduction": None},
        raises=(
            ValueError,
            "binary_cross_entropy_with_logits: expected reduction to be one of none, mean, sum, got None",
        ),
    )


BCE = register(
    Op(
        name="binary_cross_entropy_with_logits",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(
                of=("input",),
                keeps=("input", "target"),
                op="binary_cross_entropy_with_logits_backward",
                settings=_scale,
            ),
            Grad(of=("target",), keeps=("input",), op="scaled_product", settings=_negative_scale),
        ),
        samples=samples,
        function=binary_cross_entropy_with_logits,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="binary_cross_entropy_with_logits_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("input", "target"), op="binary_cross_entropy_with_logits_backward"),
            Grad(of=("input",), keeps=("grad", "input"), op="binary_cross_entropy_with_logits_curvature"),
            Grad(of=("target",), keeps=("grad",), op="scaled_product", settings=negated),
        ),
    )
)

register(
    Op(
        name="binary_cross_entropy_with_logits_curvature",
        kernel=elementwise(curvature_numpy, _curvature),
    )
)
