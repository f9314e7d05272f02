"""Losses that ask for a margin, composed of other rows.

    hinge_embedding_loss        input where target = 1,  max(0, margin - input) where target = -1
    margin_ranking_loss         max(0, -target * (input1 - input2) + margin)
    cosine_embedding_loss       1 - cos(input1, input2) where target = 1,  max(0, cos(...) - margin) where target = -1
    triplet_margin_loss         max(0, d(anchor, positive) - d(anchor, negative) + margin)
    soft_margin_loss            log(1 + exp(-target * input))
    multi_margin_loss           1 / C * sum over j != target of weight[target] * max(0, margin - input[target] + input[j])^p
    multilabel_margin_loss      1 / C * sum over targets t, non-targets j of max(0, 1 - input[t] + input[j])
    multilabel_soft_margin_loss mean over C of the binary cross-entropy of logits

Each of them, or their mean or sum.  Source: Hadsell, Chopra, LeCun (2006); Balntas, Riba, Ponsa, Mikolajczyk (2016).
"""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from ..autograd import Tensor, autocast_inputs
from ..autograd.tensor import wrap
from ..framework import dtypes
from ..framework.array import from_numpy
from ..framework.op import OPS
from .binary_cross_entropy_with_logits import binary_cross_entropy_with_logits
from .distance import FLOAT32, pairwise_distance
from .kl_div import common_shape
from .mse_loss import check_reduction
from .nll_loss import check_classes, nll_loss, per_class


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses themselves, their mean or their sum."""
    return losses if reduction == "none" else OPS[reduction].function(losses)


def begin(name: str, reduction: str, *tensors: Tensor | None) -> tuple[Any, ...]:
    """Check the reduction; the tensors in float32 where an autocast region asks for it."""
    check_reduction(name, reduction)
    return autocast_inputs(FLOAT32, *tensors)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Distances ``input`` for pairs that are alike (target 1), ``max(0, margin - input)`` for others (target -1).

    Shapes broadcast.  Raises ValueError for another reduction, RuntimeError for shapes that do not broadcast.

    >>> hinge_embedding_loss(Tensor([0.5, 0.25]), Tensor([1.0, -1.0]), reduction="none").tolist()
    [0.5, 0.75]
    """
    input, target = begin("hinge_embedding_loss", reduction, input, target)
    common_shape("hinge_embedding_loss", input, target)
    where = OPS["where"].function
    apart = where(target != 1, (margin - input).clamp_min(0), 0.0)
    return reduced(apart + where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``max(0, -target * (input1 - input2) + margin)``: target 1 wants input1 larger, -1 input2.

    Raises ValueError for another reduction, RuntimeError where the tensors differ in their number of dimensions or do not
    broadcast.

    >>> margin_ranking_loss(Tensor([1.0]), Tensor([3.0]), Tensor([1.0])).item()
    2.0
    """
    name = "margin_ranking_loss"
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            f"{name}: expected tensors of equally many dimensions, got {input1.shape}, {input2.shape} and {target.shape}"
        )
    input1, input2, target = begin(name, reduction, input1, input2, target)
    common_shape(name, input1, input2, target)
    return reduced((margin - target * (input1 - input2)).clamp_min(0), reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos(input1, input2)`` where target is 1, ``max(0, cos(input1, input2) - margin)`` where it is -1.

    Inputs (N, D) and target (N,), or (D,) and (); 1e-12 is added to the squared lengths.  Raises ValueError for another
    reduction, RuntimeError for other shapes.

    >>> cosine_embedding_loss(Tensor([[1.0, 0.0]]), Tensor([[0.0, 1.0]]), Tensor([1.0])).item()
    1.0
    """
    name = "cosine_embedding_loss"
    if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != input1.ndim:
        raise RuntimeError(
            f"{name}: expected inputs (N, D) and target (N,), or (D,) and (), got {input1.shape}, {input2.shape} and "
            f"{target.shape}"
        )
    input1, input2, target = begin(name, reduction, input1, input2, target)
    common_shape(name, input1, input2)
    products, first, second = ((a * b).sum(-1) for a, b in ((input1, input2), (input1, input1), (input2, input2)))
    cosine = products / ((first + 1e-12) * (second + 1e-12)).sqrt()
    common_shape(name, cosine, target)
    where = OPS["where"].function
    apart = where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return reduced(where(target == 1, 1 - cosine, 0.0) + apart, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm ``pairwise_distance``.

    With ``swap`` d(positive, negative) stands for d(anchor, negative) where it is smaller.  Raises ValueError for another
    reduction or a margin that is not positive, RuntimeError where dimensions differ or do not broadcast.

    >>> triplet_margin_loss(Tensor([[0.0]]), Tensor([[3.0]]), Tensor([[1.0]])).item()
    3.0
    """

    def distance(a, b):
        return pairwise_distance(a, b, p, eps)

    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with any distance of two tensors; ``pairwise_distance`` by default.  Raises likewise.

    >>> def farthest(a, b):
    ...     return (a - b).abs().sum(-1)
    >>> x = Tensor([[0.0, 0.0]])
    >>> triplet_margin_with_distance_loss(x, x + 1, x + 2, distance_function=farthest, margin=3.0).item()
    1.0
    """
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet("triplet_margin_with_distance_loss", anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(name, anchor, positive, negative, distance, margin, swap, reduction):
    if not margin > 0:
        raise ValueError(f"{name}: expected margin > 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            f"{name}: expected tensors of equally many dimensions, got {anchor.shape}, {positive.shape} and {negative.shape}"
        )
    anchor, positive, negative = begin(name, reduction, anchor, positive, negative)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = OPS["minimum"].function(far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), reduction)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-target * input))``, target 1 or -1; shapes broadcast.  Stable for any input.

    Raises ValueError for another reduction, RuntimeError for integers and shapes that do not broadcast.

    >>> soft_margin_loss(Tensor([0.0, 1000.0]), Tensor([1.0, -1.0]), reduction="none").numpy()
    array([6.931472e-01, 1.000000e+03], dtype=float32)
    """
    input, target = begin("soft_margin_loss", reduction, input, target)
    common_shape("soft_margin_loss", input, target)
    return reduced(OPS["softplus"].function(-(target * input), 1.0, inf), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over j != target of weight[target] * max(0, margin - input[target] + input[j]) ** p / C``, p 1 or 2.

    input (N, C) or (C,), target (N,) or (), int64 classes, weight (C,).  Raises ValueError for another reduction, p or
    margin, RuntimeError for other shapes and dtypes, IndexError for a target out of range (not looked for on GPUs).

    >>> multi_margin_loss(Tensor([[0.0, 0.5]]), Tensor([0])).item()
    0.75
    """
    name = "multi_margin_loss"
    if p not in (1, 2):
        raise ValueError(f"{name}: expected p 1 or 2, got {p}")
    if input.ndim not in (1, 2):
        raise RuntimeError(f"{name}: expected input (N, C) or (C,), got {input.shape}")
    input, weight = begin(name, reduction, input, weight)
    if input.ndim == 1 and target.shape == (1,):
        target = target.reshape(())
    target = check_classes(name, input, target, weight, -1 - input.shape[-1], reduction)
    picked = -nll_loss(input, target, ignore_index=-1 - input.shape[-1], reduction="none")
    others = _numbers(input) != target.unsqueeze(-1)
    short = (margin - picked.unsqueeze(-1) + input).clamp_min(0) * others
    losses = (short * short if p == 2 else short).sum(-1) / max(input.shape[-1], 1)
    if weight is not None:
        losses = losses * -nll_loss(
            per_class(weight, input), target, ignore_index=-1 - input.shape[-1], reduction="none"
        )
    return reduced(losses, reduction)


def _numbers(input):
    """0, 1, ... for the classes of the last dimension, where the input is."""
    host = np.arange(input.shape[-1])
    array = input.array
    return wrap(host if isinstance(array, np.ndarray) else from_numpy(host, array.backend))


def multilabel_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``sum over targets t and non-targets j of max(0, 1 - input[t] + input[j]) / C``.

    input (N, C) or (C,); target of the same shape, int64 classes, of which those before the first negative one count.
    Takes memory for N * C * C numbers.  Raises ValueError for another reduction, RuntimeError for other shapes and
    dtypes, IndexError for a target out of range (not looked for on GPUs).

    >>> multilabel_margin_loss(Tensor([0.0, 0.5, 0.0]), Tensor([1, -1, 0])).item()
    0.3333333432674408
    """
    name = "multilabel_margin_loss"
    (input,) = begin(name, reduction, input)
    if input.ndim not in (1, 2) or target.shape != input.shape:
        raise RuntimeError(f"{name}: expected input and target (N, C) or (C,), got {input.shape} and {target.shape}")
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}: expected a target of int64 classes, got {target.dtype.name}")
    classes = input.shape[-1]
    if target.device.type != "cuda":  # a GPU is not waited for
        values = target.host()
        if values.size and (values.max() >= classes or values.min() < -1):
            raise IndexError(f"{name}: expected targets from -1 to {classes - 1}, got {values.min()} to {values.max()}")
    batched = input.ndim == 2
    if not batched:
        input, target = input.unsqueeze(0), target.unsqueeze(0)
    numbers = _numbers(input)
    # whether the target at place k counts: no negative one stands there or before
    ended = (target < 0).unsqueeze(-2) & (numbers <= numbers.unsqueeze(-1))
    counts = ended.sum(-1) == 0
    chosen = (target.unsqueeze(-1) == numbers) & counts.unsqueeze(-1)  # (N, place, class)
    labels = chosen.sum(-2) != 0
    picked = (input.unsqueeze(-2) * chosen).sum(-1)
    short = (1 - picked.unsqueeze(-1) + input.unsqueeze(-2)).clamp_min(0)
    pairs = counts.unsqueeze(-1) & ~labels.unsqueeze(-2)
    losses = (short * pairs).sum((-1, -2)) / max(classes, 1)
    return reduced(losses if batched else losses.squeeze(0), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean over the last dimension of the binary cross-entropy between logits and 0 or 1, ``weight`` (C,) times.

    Raises ValueError for another reduction and a target of another shape.

    >>> multilabel_soft_margin_loss(Tensor([[0.0, 1000.0]]), Tensor([[1.0, 1.0]])).item()
    0.3465735912322998
    """
    check_reduction("multilabel_soft_margin_loss", reduction)
    losses = binary_cross_entropy_with_logits(input, target, weight, "none")
    return reduced(losses.mean(-1), reduction)
