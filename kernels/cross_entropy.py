"""Cross-entropy of logits against classes, or against probabilities of classes.

    out_i      = lse_i - input[i, target_i],  lse_i = log(sum of exp(input_i));  0 where target_i = ignore_index
    grad_input = scale * grad * (exp(input - lse) - [class = target])

or the mean or sum of out, scale = 1 / (number of targets that are not ignored) for the mean, else 1.  With label
smoothing s the target's 1 is 1 - s + s / C for the class and s / C for the others of C classes:

    out_i      = (1 - s) * (lse_i - input[i, target_i]) + s * (lse_i - mean of input_i)

One pass over the logits for the value, which keeps lse, and one for the gradient.  Weighted losses, and targets that
are probabilities, are composed of log_softmax and sums.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import run
from ..framework.language import jit, tl
from ..framework.launch import cast
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import accumulator, plus, reduce
from ..framework.repeat import repeated
from .mse_loss import check_reduction
from .nll_loss import (
    check_classes,
    chosen,
    class_dim,
    error_samples,
    finished,
    gradient_triton,
    loss_triton,
    per_class,
    shares,
    weighted,
)
from .softmax import backward_triton as softmax_backward_triton
from .softmax import shifted, wide


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy between logits and classes: mean, "sum", or with "none" each.

    input (N, C), (C,) or (N, C, d1, ...), floating; target (N,), () or (N, d1, ...), int64 classes of which
    ``ignore_index`` counts for nothing, or probabilities of the input's shape; weight (C,) for each class.  Raises
    ValueError for another reduction and differing batch sizes, RuntimeError for other shapes and dtypes, IndexError for
    a target out of range: that is not looked for on GPUs, where such a target makes the loss nan.

    >>> cross_entropy(Tensor([[0.0, 0.0], [0.0, 1000.0]]), Tensor([0, 1]), reduction="none").numpy()
    array([0.6931472, 0.       ], dtype=float32)
    """
    name = "cross_entropy"
    check_reduction(name, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"{name}: expected label_smoothing between 0 and 1, got {label_smoothing}")
    if target.shape == input.shape and input.ndim:
        return _against_probabilities(input, target, weight, ignore_index, reduction, float(label_smoothing))
    target = check_classes(name, input, target, weight, ignore_index, reduction)
    if weight is None:
        return apply(
            CROSS_ENTROPY,
            input,
            target,
            ignore_index=int(ignore_index),
            reduction=reduction,
            label_smoothing=float(label_smoothing),
        )[0]
    logs = OPS["log_softmax"].function(input, class_dim(input.ndim))
    loss = weighted(logs, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    spread = _sum_of_classes(logs * per_class(weight, input)) * OPS["to"].function(
        target != ignore_index, dtype=input.dtype
    )
    if reduction != "none":
        spread = OPS["sum"].function(spread)
    if reduction == "mean":
        counted = weighted(OPS["expand"].function(_minus_one(logs), input.shape), target, weight, ignore_index, "sum")
        spread = spread / counted
    return loss * (1 - label_smoothing) - spread * (label_smoothing / input.shape[class_dim(input.ndim)])


def _minus_one(like):
    return Tensor(-1.0, dtype=like.dtype, device=like.device)


def _sum_of_classes(x):
    return OPS["sum"].function(x, class_dim(x.ndim))


def _against_probabilities(input, target, weight, ignore_index, reduction, smoothing):
    name, classes = "cross_entropy", input.shape[class_dim(input.ndim)]
    if not input.dtype.is_floating_point or not target.dtype.is_floating_point:
        raise RuntimeError(
            f"{name}: expected a floating input and a target of probabilities, since both have shape "
            f"{input.shape}, got {input.dtype.name} and {target.dtype.name}"
        )
    if ignore_index >= 0:
        raise RuntimeError(f"{name}: ignore_index has no meaning for a target of probabilities, got {ignore_index}")
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"{name}: expected weight of shape ({classes},), one for each class, got {weight.shape}")
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    products = OPS["log_softmax"].function(input, class_dim(input.ndim)) * target
    if weight is not None:
        products = products * per_class(weight, input)
    losses = OPS["neg"].function(_sum_of_classes(products))
    return losses if reduction == "none" else OPS[reduction].function(losses)


# -- NumPy -------------------------------------------------------------------------------------------------------------


def forward_numpy(input, target, *, ignore_index, reduction, label_smoothing):
    at = class_dim(input.ndim)
    counts, places = chosen(target, ignore_index, at)
    below, top = shifted(input, at)
    log_sum = np.log(np.add.reduce(np.exp(below), axis=at, keepdims=True))
    losses = np.squeeze(log_sum - np.take_along_axis(below, places, at), at)
    if label_smoothing:
        even = np.squeeze(log_sum, at) - np.add.reduce(below, axis=at) * below.dtype.type(1 / input.shape[at])
        losses = losses * below.dtype.type(1 - label_smoothing) + even * below.dtype.type(label_smoothing)
    losses = np.where(counts, losses, below.dtype.type(0))
    return (*finished(losses, counts, reduction, input.dtype), np.squeeze(log_sum + top, at))


def _gradient_numpy(grad, input, target, count, lse, ignore_index, reduction, label_smoothing):
    """The gradient in at least float32; ``grad`` None stands for ones."""
    at = class_dim(input.ndim)
    counts, places = chosen(target, ignore_index, at)
    out = np.asarray(np.subtract(wide(input), np.expand_dims(lse, at)))
    np.exp(out, out=out)
    if label_smoothing:
        out -= out.dtype.type(label_smoothing / input.shape[at])
    np.put_along_axis(out, places, np.take_along_axis(out, places, at) - out.dtype.type(1 - label_smoothing), at)
    out *= np.expand_dims(shares(grad, counts, count, reduction, out.dtype), at)
    return out


def backward_numpy(grad, input, target, count, lse, *, ignore_index, reduction, label_smoothing):
    out = _gradient_numpy(grad, input, target, count, lse, ignore_index, reduction, label_smoothing)
    return out.astype(input.dtype, copy=False)


def slope_numpy(grad, input, target, count, lse, *, ignore_index, reduction, label_smoothing):
    """How ``backward`` changes with its first argument: the sum of grad * (gradient for ones)."""
    out = _gradient_numpy(None, input, target, count, lse, ignore_index, reduction, label_smoothing)
    out *= wide(grad)
    total = np.add.reduce(out, axis=class_dim(input.ndim) if reduction == "none" else None)
    return np.asarray(total).astype(input.dtype, copy=False)


def curvature_numpy(grad, arrived, input, target, count, lse, *, ignore_index, reduction, label_smoothing):
    """How ``backward`` changes with the input: scale * arrived * p * (grad - sum grad * p), p = exp(input - lse)."""
    at = class_dim(input.ndim)
    p = np.exp(wide(input) - np.expand_dims(lse, at))
    product = p * wide(grad)
    out = product - p * np.add.reduce(product, axis=at, keepdims=True)
    each = shares(arrived, target != ignore_index, count, reduction, out.dtype)
    return (out * np.expand_dims(each, at)).astype(input.dtype, copy=False)


# -- Triton ------------------------------------------------------------------------------------------------------------


def forward_triton(input, target, *, ignore_index, reduction, label_smoothing):
    return loss_triton(input, target, ignore_index, reduction, True, label_smoothing)


def backward_triton(grad, input, target, count, lse, *, ignore_index, reduction, label_smoothing):
    return gradient_triton(grad, input, lse, target, count, input.shape, ignore_index, reduction, label_smoothing)


@jit
def _product(x, y):
    return x * y


@jit
def _probability(x, lse):
    return tl.exp(x - lse)


@jit
def _negative_product(x, y):
    return -(x * y)


def slope_triton(grad, input, target, count, lse, *, ignore_index, reduction, label_smoothing):
    gradient = gradient_triton(None, input, lse, target, count, input.shape, ignore_index, reduction, label_smoothing)
    dims = (class_dim(input.ndim),) if reduction == "none" else tuple(range(input.ndim))
    return reduce((grad, gradient), dims, False, plus, 0, map=_product)


def curvature_triton(grad, arrived, input, target, count, lse, *, ignore_index, reduction, label_smoothing):
    at, kind = class_dim(input.ndim), accumulator(input.dtype)
    p = run(_probability, (_as(input, kind), lse.viewed(lambda a: np.expand_dims(a, at))), ())
    out = softmax_backward_triton(_as(grad, kind), p, dim=(at,))
    # minus each row's share of the gradient, which is all that a gradient of the likelihood holds
    shares_ = reduce(
        gradient_triton(_as(arrived, kind), None, None, target, count, input.shape, ignore_index, reduction),
        (at,),
        True,
        plus,
        0,
    )
    return run(_negative_product, (out, shares_), (), result=input.dtype)


def _as(array, kind):
    return array if array.dtype == kind else cast(array, kind)


def samples(rng):
    x = np.log(np.array([[1.0, 1.0, 2.0], [3.0, 1.0, 4.0], [1.0, 1.0, 1.0]]))
    t = np.array([2, 0, 7])
    each = [float(np.log(2.0)), float(np.log(8.0 / 3.0)), 0.0]
    slopes = np.array([[0.25, 0.25, -0.5], [-0.625, 0.125, 0.5], [0.0, 0.0, 0.0]])
    lse = np.log([4.0, 8.0, 3.0])
    plain = {"ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0}
    ignoring = {"ignore_index": 7, "label_smoothing": 0.0}
    yield Sample(
        "mean", (x, t), {"reduction": "mean", **ignoring}, answers=(float(np.log(16.0 / 3.0)) / 2, 2, lse, slopes / 2)
    )
    yield Sample("sum", (x, t), {"reduction": "sum", **ignoring}, answers=(float(np.log(16.0 / 3.0)), 2, lse, slopes))
    yield Sample("none", (x, t), {"reduction": "none", **ignoring}, answers=(each, 2, lse, slopes))
    yield Sample(
        "smoothed",
        (np.zeros((1, 4)), np.array([1])),
        {**plain, "label_smoothing": 0.5},
        answers=(float(np.log(4.0)), 1, [float(np.log(4.0))], [[0.125, -0.375, 0.125, 0.125]]),
    )
    yield Sample(
        "large",
        (np.array([[1000.0, 0.0], [0.0, -np.inf]]), np.array([1, 0])),
        {**plain, "reduction": "none"},
        answers=([1000.0, 0.0], 2, [1000.0, 0.0], [[1.0, -1.0], [0.0, 0.0]]),
    )
    yield Sample("one", (rng.normal(size=(5,)), np.array(3)), plain, terms=5)
    yield Sample("planes", (rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))), plain, terms=40)
    yield Sample(
        "planes, smoothed",
        (rng.normal(size=(2, 3, 4)), rng.integers(0, 3, (2, 4))),
        {"ignore_index": 1, "reduction": "none", "label_smoothing": 0.1},
        terms=3,
    )
    yield Sample(
        "many", (rng.normal(size=(130, 10)), rng.integers(0, 10, 130)), {**plain, "label_smoothing": 0.2}, terms=130
    )
    yield Sample(
        "empty", (np.zeros((0, 3)), np.zeros(0, np.int64)), plain, answers=(np.nan, 0, np.zeros(0), np.zeros((0, 3)))
    )
    yield from error_samples("cross_entropy", x)
    yield Sample(
        "smoothing",
        (x, np.array([0, 1, 2])),
        {"label_smoothing": 1.5},
        raises=(RuntimeError, "cross_entropy: expected label_smoothing between 0 and 1, got 1.5"),
    )
    yield Sample(
        "classes of the input's shape",
        (x, np.zeros((3, 3), np.int64)),
        raises=(
            RuntimeError,
            "cross_entropy: expected a floating input and a target of probabilities, since both have shape "
            "(3, 3), got float64 and int64",
        ),
    )


_KEEPS = ("input", "target", "count", "lse")

CROSS_ENTROPY = register(
    Op(
        name="cross_entropy",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        outputs=("output", "count", "lse"),
        grads=(Grad(of=("input",), keeps=_KEEPS, op="cross_entropy_backward"),),
        samples=samples,
        function=cross_entropy,
    )
)

# lse is itself a function of the input: the gradients below with respect to the input account for it
register(
    Op(
        name="cross_entropy_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=_KEEPS, op="cross_entropy_slope"),
            Grad(of=("input",), keeps=("grad", *_KEEPS), op="cross_entropy_curvature"),
        ),
        zero=("target", "count", "lse"),
    )
)

register(
    Op(
        name="cross_entropy_slope",
        kernel=Kernel(numpy=slope_numpy, triton=repeated(slope_triton)),
        zero=("target", "count", "lse"),
    )
)

register(
    Op(
        name="cross_entropy_curvature",
        kernel=Kernel(numpy=curvature_numpy, triton=repeated(curvature_triton)),
        zero=("target", "count", "lse"),
    )
)
