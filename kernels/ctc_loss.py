"""Connectionist temporal classification, composed of other rows.

    out = -log(sum over paths that collapse to the target of the product of their probabilities)

A path names a class or the blank at every step; it collapses by dropping repeats, then blanks.  With l the target and a
blank before, between and after its classes, a_t(s) sums the paths of t steps that have come to place s of l:

    a_t(s) = p_t(l_s) (a_{t-1}(s) + a_{t-1}(s - 1) + [l_s is no blank and not l_{s-2}] a_{t-1}(s - 2))

in logarithms, all places and sequences at once, one step after another.  Source: Graves et al. (2006).
"""

from math import inf

import numpy as np

from ..autograd import Tensor, autocast_inputs
from ..framework import dtypes
from ..framework.op import OPS
from .cat import cat
from .create import full
from .distance import FLOAT32
from .margin_losses import reduced
from .mse_loss import check_reduction
from .stack import stack

_LOW = -1e30  # stands for the logarithm of 0, so that no difference of infinities arises


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | tuple[int, ...],
    target_lengths: Tensor | tuple[int, ...],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the log-probability of each target, whatever its alignment: log_probs (T, N, C) or (T, C), from log_softmax.

    targets (N, S), or all of them one after another (sum of target_lengths,), integers other than ``blank``; the lengths
    (N,) say how many steps and classes count.  "mean" divides each loss by its target's length first.  A target that no
    path can reach costs infinity, or with ``zero_infinity`` nothing, and has no gradient.  Raises RuntimeError for lengths
    and shapes that do not fit, ValueError for another reduction.

    >>> probabilities = Tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> round(ctc_loss(probabilities.log(), Tensor([1]), (2,), (1,), reduction="sum").item(), 4)
    0.2877
    """
    name = "ctc_loss"
    check_reduction(name, reduction)
    batched = log_probs.ndim == 3
    if log_probs.ndim not in (2, 3) or not log_probs.dtype.is_floating_point:
        raise RuntimeError(
            f"{name}: expected floating log_probs (T, N, C) or (T, C), got {log_probs.shape} of {log_probs.dtype.name}"
        )
    if targets.dtype.is_floating_point or targets.dtype is dtypes.bool_:
        raise RuntimeError(f"{name}: expected targets of integers, got {targets.dtype.name}")
    (log_probs,) = autocast_inputs(FLOAT32, log_probs)
    if not batched:
        log_probs, targets = log_probs.unsqueeze(1), targets.unsqueeze(0)
    steps, n, classes = log_probs.shape
    given, wanted = (
        _lengths(name, "input_lengths", input_lengths, n),
        _lengths(name, "target_lengths", target_lengths, n),
    )
    if not 0 <= blank < classes:
        raise RuntimeError(f"{name}: expected blank from 0 to {classes - 1}, got {blank}")
    if max(given, default=0) > steps:
        raise RuntimeError(f"{name}: expected input_lengths of at most T = {steps}, got {max(given)}")
    labels, blanks = _labels(name, targets.to(dtypes.int64), wanted, blank)
    alpha = _walked(log_probs, labels, blanks, given)
    ends = _beside([[2 * k, max(2 * k - 1, 0)] for k in wanted], targets)
    last = OPS["gather"].function(alpha, 1, ends)
    lone = _beside([[0.0, _LOW if k == 0 else 0.0] for k in wanted], log_probs)
    losses = -_sum_of(*(last + lone).unbind(1))
    losses = OPS["where"].function(losses.detach() > -_LOW / 2, 0.0 if zero_infinity else inf, losses)
    if not batched:
        losses = losses.squeeze(0)
    if reduction == "mean":
        sizes = _beside([max(k, 1) for k in wanted], log_probs)
        losses = losses / (sizes if batched else sizes.squeeze(0))
    return reduced(losses, reduction)


def _lengths(name, what, lengths, n):
    values = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    found = [int(k) for k in values] if isinstance(values, (list, tuple)) else [int(values)]
    if len(found) != n or min(found, default=0) < 0:
        raise RuntimeError(f"{name}: expected {what} of {n} numbers from 0 on, got {found}")
    return found


def _beside(values, like):
    """Numbers as a tensor in the dtype and on the device of another."""
    return Tensor(np.asarray(values, like.dtype.numpy), device=like.device)


def _labels(name, targets, wanted, blank):
    """The classes of each target with blanks between: (N, 2 S + 1); and where they are blanks."""
    longest = max(wanted, default=0)
    if targets.ndim == 1:
        if targets.shape[0] != sum(wanted):
            raise RuntimeError(f"{name}: expected {sum(wanted)} targets one after another, got {targets.shape[0]}")
        begins = np.cumsum([0, *wanted])[:-1, None] + np.arange(longest)
        picked = np.minimum(begins, max(targets.shape[0] - 1, 0))
        rows = targets[_beside(picked, targets)] if targets.shape[0] else targets.reshape((len(wanted), 0))
    elif targets.ndim == 2 and targets.shape[0] == len(wanted) and targets.shape[1] >= longest:
        rows = targets[:, :longest]
    else:
        raise RuntimeError(f"{name}: expected targets ({len(wanted)}, S) with S >= {longest}, got {targets.shape}")
    inside = Tensor(np.arange(longest) < np.asarray(wanted, int)[:, None], device=targets.device)
    rows = OPS["where"].function(inside, rows, blank)
    empty = full(rows.shape, blank, dtype=dtypes.int64, device=rows.device)
    first = full((rows.shape[0], 1), blank, dtype=dtypes.int64, device=rows.device)
    labels = cat((first, stack((rows, empty), 2).reshape((rows.shape[0], 2 * longest))), 1)
    return labels, labels == blank


def _walked(log_probs, labels, blanks, given):
    """The logarithms of a at the end of each sequence: (N, 2 S + 1)."""
    where = OPS["where"].function
    steps, n, _ = log_probs.shape
    width = labels.shape[1]
    said = OPS["gather"].function(log_probs, 2, labels.unsqueeze(0).expand((steps, n, width)))
    said = said.clamp_min(_LOW).unbind(0)
    # before the first step all paths are at the place before the first
    alpha = full((n, width), _LOW, dtype=log_probs.dtype, device=log_probs.device)
    edge = alpha[:, :1]
    start = cat((edge + -_LOW, edge + -_LOW, alpha[:, 2:]), 1)[:, :width]
    repeated = cat((labels[:, :2] == labels[:, :2], labels[:, 2:] == labels[:, :-2]), 1)[:, :width]
    stays = blanks | repeated  # no way in from two places before
    for t, now in enumerate(said):
        if t == 0:
            new = start + now
        else:
            one = cat((edge, alpha), 1)[:, :width]
            two = where(stays, _LOW, cat((edge, edge, alpha), 1)[:, :width])
            new = _sum_of(alpha, one, two) + now
        going = _beside([[float(t < k)] for k in given], log_probs) != 0
        alpha = where(going, new.clamp_min(_LOW), alpha)
    nothing = _beside([[float(k == 0)] for k in given], log_probs) != 0  # no step: the empty path
    return where(nothing, cat((edge + -_LOW, alpha[:, 1:]), 1), alpha)


def _sum_of(*logs):
    """The logarithm of the sum of what these are logarithms of."""
    top = logs[0].detach()
    for x in logs[1:]:
        top = OPS["maximum"].function(top, x.detach())
    total = (logs[0] - top).exp()
    for x in logs[1:]:
        total = total + (x - top).exp()
    return total.log() + top
