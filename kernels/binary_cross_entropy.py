"""Binary cross-entropy of probabilities.

    out         = -target * log(input) - (1 - target) * log(1 - input), or its mean or sum;  logarithms at least -100
    grad_input  = scale * grad * (input - target) / max(input * (1 - input), 1e-12)
    grad_target = scale * grad * (log(1 - input) - log(input)),  scale = 1 / n for the mean of n elements, else 1

``weight`` is applied around the row.  ``binary_cross_entropy_with_logits`` is better wherever there are logits.
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from .mse_loss import REDUCTIONS, check_reduction, reciprocal, reduced_triton, share
from .softmax import wide

LOWEST = -100.0  # of a logarithm, so that no loss is infinite
_SMALL = 1e-12  # of input * (1 - input), so that no gradient is


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The cross-entropy of probabilities ``input`` against probabilities ``target`` of the same shape, floating.

    ``weight`` multiplies each loss and broadcasts.  Raises ValueError where shapes differ and for a reduction other than
    "none", "mean", "sum", RuntimeError for integers and for an input outside [0, 1]: that is not looked for on GPUs.

    >>> binary_cross_entropy(Tensor([0.5, 1.0]), Tensor([1.0, 0.0]), reduction="none").numpy()
    array([  0.6931472, 100.       ], dtype=float32)
    """
    name = "binary_cross_entropy"
    check_reduction(name, reduction)
    if target.shape != input.shape:
        raise ValueError(f"{name}: expected target of the input's shape {input.shape}, got {target.shape}")
    for what, x in (("input", input), ("target", target)):
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"{name}: expected a floating {what}, got {x.dtype.name}")
    input, target, weight = autocast_inputs(BCE, input, target, weight)
    if input.device.type != "cuda":  # a GPU is not waited for
        values = input.host()
        if not np.all((values >= 0) & (values <= 1)):
            raise RuntimeError(f"{name}: expected an input between 0 and 1, got values from outside")
    if weight is None:
        return apply(BCE, input, target, reduction=reduction)
    losses = apply(BCE, input, target, reduction="none") * weight
    return losses if reduction == "none" else OPS[reduction].function(losses)


def forward_numpy(input, target, *, reduction):
    x, t = wide(input), wide(target)
    no, yes = np.maximum(np.log1p(-x), LOWEST), np.maximum(np.log(x), LOWEST)
    out = np.asarray((t - 1) * no - t * yes)
    if reduction == "none":
        return out.astype(input.dtype, copy=False)
    total = np.add.reduce(out, axis=None)
    return np.asarray(total * total.dtype.type(reciprocal(out.size, reduction))).astype(input.dtype, copy=False)


def _spread(x):
    return np.maximum(x * (1 - x), x.dtype.type(_SMALL))


def backward_numpy(grad, input, target, *, scale):
    return grad * (input - target) / _spread(input) * input.dtype.type(scale)


def target_numpy(grad, input, *, scale):
    return grad * (np.maximum(np.log1p(-input), LOWEST) - np.maximum(np.log(input), LOWEST)) * input.dtype.type(scale)


def curvature_numpy(grad, arrived, input, target, *, scale):
    """How ``backward`` changes with the input."""
    spread = _spread(input)
    inner = input * input - 2 * input * target + target
    return grad * arrived * (inner / spread) / spread * input.dtype.type(scale)


def mixed_numpy(grad, arrived, input, *, scale):
    """How ``backward`` changes with the target, and ``target``'s row with the input."""
    return -grad * arrived / _spread(input) * input.dtype.type(scale)


@jit
def _at_least(x, low):
    # nan stays
    return tl.where(x < low, low, x)


@jit
def _loss(x, t):
    no = _at_least(libdevice.log1p(-x), -100.0)
    yes = _at_least(libdevice.log(x), -100.0)
    return (t - 1.0) * no - t * yes


@jit
def _spread_of(x):
    return _at_least(x * (1.0 - x), 1e-12)


@jit
def _backward(grad, x, t, scale):
    return grad * (x - t) / _spread_of(x) * scale


@jit
def _target(grad, x, scale):
    return grad * (_at_least(libdevice.log1p(-x), -100.0) - _at_least(libdevice.log(x), -100.0)) * scale


@jit
def _curvature(grad, arrived, x, t, scale):
    spread = _spread_of(x)
    return grad * arrived * ((x * x - 2.0 * x * t + t) / spread) / spread * scale


@jit
def _mixed(grad, arrived, x, scale):
    return -grad * arrived / _spread_of(x) * scale


def forward_triton(input, target, *, reduction):
    return reduced_triton(_loss, input, target, reduction)


def _scale(call):
    return {"scale": share(call)}


def samples(rng):
    x, t = np.array([0.5, 0.25, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    a, b = float(np.log(2.0)), float(np.log(4.0 / 3.0))
    slopes, others = np.array([-2.0, 4.0 / 3.0, 0.0, 0.0]), np.array([0.0, float(np.log(3.0)), -100.0, 100.0])
    yield Sample("none", (x, t), {"reduction": "none"}, answers=([a, b, 0.0, 0.0], slopes, others))
    yield Sample("mean", (x, t), {"reduction": "mean"}, answers=((a + b) / 4, slopes / 4, others / 4))
    yield Sample("sum", (x, t), {"reduction": "sum"}, answers=(a + b, slopes, others))
    yield Sample(
        "wholly wrong",
        (np.array([1.0, 0.0]), np.array([0.0, 1.0])),
        {"reduction": "none"},
        answers=([100.0, 100.0], [1e12, -1e12], [-100.0, 100.0]),
        dtypes=("float64", "float32"),
    )
    yield Sample("empty", (np.zeros(0), np.zeros(0)), {"reduction": "mean"}, answers=(np.nan, np.zeros(0), np.zeros(0)))
    for reduction in REDUCTIONS:
        many = (rng.uniform(0.2, 0.8, size=(17, 9)), rng.uniform(size=(17, 9)))
        yield Sample(f"{reduction} of many", many, {"reduction": reduction}, terms=153)
    yield Sample("0-d", (np.array(0.25), np.array(0.5)), {"reduction": "mean"})
    yield Sample(
        "misfit",
        (np.zeros((2, 1)), np.zeros((2,))),
        raises=(ValueError, "binary_cross_entropy: expected target of the input's shape (2, 1), got (2,)"),
    )
    yield Sample(
        "no probability",
        (np.array([0.5, 1.5]), np.zeros((2,))),
        raises=(RuntimeError, "binary_cross_entropy: expected an input between 0 and 1, got values from outside"),
    )
    yield Sample(
        "integers",
        (np.array([1]), np.array([1.0])),
        raises=(RuntimeError, "binary_cross_entropy: expected a floating input, got int64"),
    )


BCE = register(
    Op(
        name="binary_cross_entropy",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(of=("input",), keeps=("input", "target"), op="binary_cross_entropy_backward", settings=_scale),
            Grad(of=("target",), keeps=("input",), op="binary_cross_entropy_target", settings=_scale),
        ),
        samples=samples,
        function=binary_cross_entropy,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="binary_cross_entropy_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("input", "target"), op="binary_cross_entropy_backward"),
            Grad(of=("input",), keeps=("grad", "input", "target"), op="binary_cross_entropy_curvature"),
            Grad(of=("target",), keeps=("grad", "input"), op="binary_cross_entropy_mixed"),
        ),
    )
)

register(
    Op(
        name="binary_cross_entropy_target",
        kernel=elementwise(target_numpy, _target),
        grads=(
            Grad(of=("grad",), keeps=("input",), op="binary_cross_entropy_target"),
            Grad(of=("input",), keeps=("grad", "input"), op="binary_cross_entropy_mixed"),
        ),
    )
)

register(Op(name="binary_cross_entropy_curvature", kernel=elementwise(curvature_numpy, _curvature)))
register(Op(name="binary_cross_entropy_mixed", kernel=elementwise(mixed_numpy, _mixed)))
