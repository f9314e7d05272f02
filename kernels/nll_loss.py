"""Negative log-likelihood of classes, given log-probabilities.

    out_i      = -input[i, target_i],  0 where target_i = ignore_index;  or their mean or sum
    grad_input = -scale * grad  at [i, target_i],  0 elsewhere

The mean is over the targets that are not ignored (nan if all are), scale = 1 / their number, else 1.  ``weight`` is
applied around the row, and the mean is then divided by the sum of the weights.  The kernels serve cross_entropy too.
"""

from math import prod

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.elementwise import _number, widen
from ..framework.language import cdiv, jit, tl
from ..framework.launch import launch
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import (
    accumulator,
    column_at,
    extent,
    load_tile,
    row_at,
    row_blocks,
    row_numbers,
    rows_of,
    store_tile,
)
from ..framework.repeat import repeated
from ..framework.strides import packed
from .mse_loss import check_reduction
from .softmax import rescaled, wide

_FINISH = 1024  # partial sums that are folded at a time


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """The mean (or "sum", or with "none" each) of ``-input[i, target[i]]``.

    input (N, C), (C,) or (N, C, d1, ...), floating log-probabilities; target (N,), () or (N, d1, ...), int64 classes,
    of which ``ignore_index`` counts for nothing; weight (C,) for each class.  Raises ValueError for another reduction
    and differing batch sizes, RuntimeError for other shapes and dtypes, IndexError for a target out of range: that is
    not looked for on GPUs, where such a target makes the loss nan.

    >>> nll_loss(Tensor([[-1.0, -2.0], [-3.0, -4.0]]), Tensor([0, 1])).item()
    2.5
    """
    target = check_classes("nll_loss", input, target, weight, ignore_index, reduction)
    if weight is None:
        return apply(NLL_LOSS, input, target, ignore_index=int(ignore_index), reduction=reduction)[0]
    return weighted(input, target, weight, ignore_index, reduction)


def weighted(input, target, weight, ignore_index, reduction):
    """The losses, each times the weight of its class; their mean is divided by the sum of the weights."""
    rows = {"ignore_index": int(ignore_index), "reduction": "none"}
    each = OPS["neg"].function(apply(NLL_LOSS, per_class(weight, input), target, **rows)[0])
    losses = apply(NLL_LOSS, input, target, **rows)[0] * each
    if reduction == "none":
        return losses
    total = OPS["sum"].function(losses)
    return total / OPS["sum"].function(each) if reduction == "mean" else total


def per_class(weight, input):
    """A view of weight (C,) as large as the input."""
    if input.ndim > 2:
        weight = OPS["reshape"].function(weight, weight.shape + (1,) * (input.ndim - 2))
    return OPS["expand"].function(weight, input.shape)


def class_dim(ndim):
    """Which dimension the classes are: the second, or the only one."""
    return 1 if ndim > 1 else 0


def check_classes(name, input, target, weight, ignore_index, reduction):
    """Check the arguments of a loss whose targets are classes; returns the target in int64."""
    check_reduction(name, reduction)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating input, got {input.dtype.name}")
    if input.ndim == 0:
        raise RuntimeError(f"{name}: expected input (C,) or (N, C, ...), got a 0-d tensor")
    expected = result_dims(input.shape)
    if target.shape != expected:
        kind = ValueError if input.ndim > 1 and target.shape[:1] != expected[:1] else RuntimeError
        raise kind(f"{name}: expected target of shape {expected} for an input {input.shape}, got {target.shape}")
    if target.dtype is dtypes.uint8:
        target = OPS["to"].function(target, dtype=dtypes.int64)
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}: expected a target of int64 classes, got {target.dtype.name}")
    classes = input.shape[class_dim(input.ndim)]
    if weight is not None:
        if weight.shape != (classes,):
            raise RuntimeError(f"{name}: expected weight of shape ({classes},), one for each class, got {weight.shape}")
        if weight.dtype is not input.dtype:
            kinds = f"{input.dtype.name}, got {weight.dtype.name}"
            raise RuntimeError(f"{name}: expected weight in the input's dtype {kinds}")
    values = target.host() if target.device.type != "cuda" else None  # a GPU is not waited for
    if values is not None and values.size and (values.min() < 0 or values.max() >= classes):
        wrong = values[(values != ignore_index) & ((values < 0) | (values >= classes))]
        if wrong.size:
            raise IndexError(f"{name}: target {wrong.flat[0]} is out of range for {classes} classes")
    return target


def result_dims(shape):
    """The shape without its classes."""
    at = class_dim(len(shape))
    return shape[:at] + shape[at + 1 :]


# -- NumPy -------------------------------------------------------------------------------------------------------------


def chosen(target, ignore_index, at):
    """Where targets count, and classes that can be looked up everywhere, with a dimension for the classes."""
    counts = target != ignore_index
    return counts, np.expand_dims(np.where(counts, target, 0), at)


def finished(losses, counts, reduction, kind):
    """Losses reduced as asked, and how many count; the losses are 0 where they do not."""
    n = np.asarray(np.count_nonzero(counts))
    if reduction == "none":
        return losses.astype(kind, copy=False), n
    total = np.asarray(np.add.reduce(losses, axis=None))
    return (total if reduction == "sum" else np.asarray(total / total.dtype.type(n))).astype(kind, copy=False), n


def shares(grad, counts, count, reduction, kind):
    """The gradient of each loss, 0 where it does not count; ``grad`` None stands for 1."""
    each = kind.type(1) if grad is None else grad.astype(kind)
    if reduction == "mean":
        each = each / kind.type(count)
    return np.where(counts, each, kind.type(0))


def forward_numpy(input, target, *, ignore_index, reduction):
    at = class_dim(input.ndim)
    counts, places = chosen(target, ignore_index, at)
    picked = np.squeeze(np.take_along_axis(input, places, at), at)
    losses = np.where(counts, -wide(picked), accumulator(input.dtype).type(0))
    return finished(losses, counts, reduction, input.dtype)


def backward_numpy(grad, target, count, *, shape, ignore_index, reduction):
    at = class_dim(len(shape))
    counts, places = chosen(target, ignore_index, at)
    out = np.zeros(shape, grad.dtype)
    each = -shares(grad, counts, count, reduction, accumulator(grad.dtype))
    np.put_along_axis(out, places, np.expand_dims(each.astype(grad.dtype, copy=False), at), at)
    return out


def again_numpy(input, target, count, *, ignore_index, reduction):
    """The loss alone: it is linear in the input, so it is also the gradient of its gradient."""
    return forward_numpy(input, target, ignore_index=ignore_index, reduction=reduction)[0]


# -- Triton ------------------------------------------------------------------------------------------------------------


@jit
def _rows(
    out_ptr,
    counts_ptr,
    lse_ptr,
    in_ptr,
    target_ptr,
    rows,
    columns,
    low,
    ignore_index,
    smoothing,
    geometry,
    LOGITS: tl.constexpr,
    EACH: tl.constexpr,
    MEAN: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    # in: M rows of C classes, target: M, any strides (operands 0 and 1) · lse (M,), for LOGITS
    # out: the M losses if EACH, else a sum (if MEAN, a mean) for each program · counts: how many losses it is of
    # one program per BLOCK_M rows, BLOCK_C of their classes at a time
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    M, C = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_C, FORM)
    target = tl.load(target_ptr + row_at(m, 1, geometry, FORM), mask=m < M, other=ignore_index)
    counts = target != ignore_index
    inside = counts & (target >= 0) & (target < C)
    at = row_at(m, 0, geometry, FORM) + column_at(target.to(m.dtype), 0, geometry, FORM)
    loss = -widen(tl.load(in_ptr + at, mask=inside, other=float("nan")))
    if LOGITS:
        tops = tl.zeros((BLOCK_M,), low.dtype) + low
        totals = tl.zeros((BLOCK_M,), low.dtype)
        sums = tl.zeros((BLOCK_M,), low.dtype)
        for start in range(0, C, BLOCK_C):
            mask = tl.expand_dims(m < M, AXIS) & tl.expand_dims(start + lane < C, 1 - AXIS)
            x = load_tile(in_ptr, m, start + lane, mask, float("-inf"), 0, geometry, FORM)
            tops, totals = rescaled(tops, totals, x, AXIS)
            if smoothing is not None:
                sums += tl.sum(tl.where(mask, x, 0.0), AXIS)
        lse = tops + tl.log(totals)
        tl.store(lse_ptr + m, lse, mask=m < M)
        loss += lse
        if smoothing is not None:
            loss = loss * (1 - smoothing) + (lse - sums / C) * smoothing
    loss = tl.where(counts, loss, 0.0)
    count = tl.sum(counts.to(tl.int64), 0)
    if EACH:
        tl.store(out_ptr + m, loss.to(out_ptr.dtype.element_ty), mask=m < M)
    else:
        total = tl.sum(loss, 0)
        if MEAN:
            total = total / count.to(low.dtype)
        tl.store(out_ptr + tl.program_id(0), total.to(out_ptr.dtype.element_ty))
    tl.store(counts_ptr + tl.program_id(0), count)


@jit
def _finish(out_ptr, count_ptr, sums_ptr, counts_ptr, P, low, MEAN: tl.constexpr, BLOCK: tl.constexpr):
    # sums (None where only counting), counts: one of each of P programs · out (), count ()
    # one program
    total = tl.zeros((BLOCK,), low.dtype)
    n = tl.zeros((BLOCK,), tl.int64)
    for start in range(0, P, BLOCK):
        p = start + tl.arange(0, BLOCK)
        n += tl.load(counts_ptr + p, mask=p < P, other=0)
        if sums_ptr is not None:
            total += tl.load(sums_ptr + p, mask=p < P, other=0.0)
    count = tl.sum(n, 0)
    tl.store(count_ptr, count)
    if sums_ptr is not None:
        result = tl.sum(total, 0)
        if MEAN:
            result = result / count.to(low.dtype)
        tl.store(out_ptr, result.to(out_ptr.dtype.element_ty))


def _tall(array, at):
    """One value a row as a column that has a dimension for the classes."""
    return array.viewed(lambda a: np.expand_dims(a, at))


def _laid_out(arrays, at):
    """``Rows`` of arrays along the dimension of the classes."""
    narrow = min(a.dtype.itemsize for a in arrays)
    return rows_of(tuple((a.shape, a.strides) for a in arrays), (at,), 16 // narrow)


def loss_triton(input, target, ignore_index, reduction, logits, smoothing=0.0):
    """The loss, how many targets count and, for logits, the logarithm of each row's sum of exponentials."""
    work = accumulator(input.dtype)
    number = _number(work)
    out_shape = result_dims(input.shape)
    each = reduction == "none"
    out = empty_like(input, out_shape if each else ())
    count = empty_like(input, (), np.dtype(np.int64))
    lse = empty_like(input, out_shape, work) if logits else None
    at = class_dim(input.ndim)
    M = prod(out_shape)
    rows = _laid_out((input, _tall(target, at)), at)
    block_m, block_c, _, warps = row_blocks(M, max(rows.R, 1), input.backend, work.itemsize, rows.across, not each)
    P = cdiv(M, block_m)
    alone = P == 1  # one program knows the result
    sums = out if each or alone else empty_like(input, (P,), work)
    counts = count if alone else empty_like(input, (P,), count.dtype)
    mean = reduction == "mean"
    # one program per BLOCK_M rows
    launch(
        _rows,
        (P,),
        sums,
        counts,
        lse,
        input,
        target,
        *rows.units,
        number(float("-inf")),
        np.int64(ignore_index),
        number(smoothing) if smoothing else None,
        rows.geometry,
        LOGITS=logits,
        EACH=each,
        MEAN=mean and alone,
        FORM=rows.form,
        BLOCK_M=block_m,
        BLOCK_C=block_c,
        num_warps=warps,
    )
    if not alone:
        launch(_finish, (1,), out, count, None if each else sums, counts, P, number(0), MEAN=mean, BLOCK=_FINISH)
    return out, count, lse


def forward_triton(input, target, *, ignore_index, reduction):
    return loss_triton(input, target, ignore_index, reduction, False)[:2]


def again_triton(input, target, count, *, ignore_index, reduction):
    return loss_triton(input, target, ignore_index, reduction, False)[0]


@jit
def _backward(
    out_ptr,
    in_ptr,
    lse_ptr,
    target_ptr,
    grad_ptr,
    count_ptr,
    rows,
    columns,
    low,
    ignore_index,
    smoothing,
    geometry,
    LOGITS: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    # out: M rows of C classes, target: M, grad (None for ones): M, in: as out (None unless LOGITS), any strides
    # (operands 0 to 3) · lse (M,), for LOGITS · count (): what the gradients are divided by, or None
    # one program per BLOCK_M rows and BLOCK_C of their classes
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    M, C = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_C, FORM)
    c = tl.program_id(1) * BLOCK_C + lane
    mask = tl.expand_dims(m < M, AXIS) & tl.expand_dims(c < C, 1 - AXIS)
    target = tl.load(target_ptr + row_at(m, 1, geometry, FORM), mask=m < M, other=ignore_index)
    if grad_ptr is not None:
        each = widen(tl.load(grad_ptr + row_at(m, 2, geometry, FORM), mask=m < M, other=0.0))
    else:
        each = tl.zeros((BLOCK_M,), low.dtype) + 1
    if count_ptr is not None:
        each = each / tl.load(count_ptr).to(low.dtype)
    each = tl.where(target != ignore_index, each, 0.0)
    hit = tl.expand_dims(target, AXIS) == tl.expand_dims(c, 1 - AXIS)
    if LOGITS:
        x = load_tile(in_ptr, m, c, mask, 0.0, 3, geometry, FORM)
        lse = tl.load(lse_ptr + m, mask=m < M, other=0.0)
        p = tl.exp(x - tl.expand_dims(lse, AXIS))
        if smoothing is not None:
            p = p - smoothing / C - tl.where(hit, 1 - smoothing, 0.0)
        else:
            p = p - tl.where(hit, 1.0, 0.0)
        out = tl.where(tl.expand_dims(target, AXIS) != ignore_index, p * tl.expand_dims(each, AXIS), 0.0)
    else:
        out = tl.where(hit, -tl.expand_dims(each, AXIS), 0.0)
    store_tile(out_ptr, out, m, c, mask, 0, geometry, FORM)


def gradient_triton(grad, input, lse, target, count, shape, ignore_index, reduction, smoothing=0.0):
    """The gradient of ``loss_triton``; of the likelihood where ``input`` is None; for ones where ``grad`` is None."""
    first = grad if input is None else input
    out = empty_like(first, shape)
    if input is not None:
        out.strides = packed(input.shape, input.strides) or out.strides  # channels-last stays so
    if not out.size:
        return out
    work = accumulator(out.dtype)
    number = _number(work)
    at = class_dim(len(shape))
    spread = target if grad is None else grad.viewed(lambda a: np.broadcast_to(a, result_dims(shape)))
    rows = _laid_out((out, _tall(target, at), _tall(spread, at), *(() if input is None else (input,))), at)
    block_m, block_c, _, warps = row_blocks(rows.M, rows.R, out.backend, work.itemsize, rows.across)
    # one program per BLOCK_M rows and BLOCK_C of their classes
    launch(
        _backward,
        (cdiv(rows.M, block_m), cdiv(rows.R, block_c)),
        out,
        input,
        lse,
        target,
        grad,
        count if reduction == "mean" else None,
        *rows.units,
        number(0),
        np.int64(ignore_index),
        number(smoothing) if smoothing else None,
        rows.geometry,
        LOGITS=input is not None,
        FORM=rows.form,
        BLOCK_M=block_m,
        BLOCK_C=block_c,
        num_warps=warps,
    )
    return out


def backward_triton(grad, target, count, *, shape, ignore_index, reduction):
    return gradient_triton(grad, None, None, target, count, shape, ignore_index, reduction)


def _with_shape(call):
    settings = call.settings
    return {"shape": call.shape("input"), "ignore_index": settings["ignore_index"], "reduction": settings["reduction"]}


def _without_shape(call):
    return {"ignore_index": call.settings["ignore_index"], "reduction": call.settings["reduction"]}


def samples(rng):
    x = np.array([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0], [-7.0, -8.0, -9.0]])
    t = np.array([2, 0, 7])
    plain = {"ignore_index": -100, "reduction": "mean"}
    yield Sample(
        "mean",
        (x, t),
        {"ignore_index": 7, "reduction": "mean"},
        answers=(3.5, 2, [[0.0, 0.0, -0.5], [-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    yield Sample(
        "sum",
        (x, t),
        {"ignore_index": 7, "reduction": "sum"},
        answers=(7.0, 2, [[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    yield Sample(
        "none",
        (x, t),
        {"ignore_index": 7, "reduction": "none"},
        answers=([3.0, 4.0, 0.0], 2, [[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    yield Sample("all ignored", (x, np.full(3, -100)), plain, answers=(np.nan, 0, np.zeros((3, 3))))
    yield Sample("one", (np.array([-1.0, -2.0]), np.array(1)), plain, answers=(2.0, 1, [0.0, -1.0]))
    yield Sample("planes", (rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))), plain, terms=40)
    yield Sample(
        "planes, each",
        (rng.normal(size=(2, 3, 4)), rng.integers(0, 3, (2, 4))),
        {"ignore_index": 1, "reduction": "none"},
    )
    yield Sample("many", (rng.normal(size=(130, 10)), rng.integers(0, 10, 130)), plain, terms=130)
    yield Sample("empty", (np.zeros((0, 3)), np.zeros(0, np.int64)), plain, answers=(np.nan, 0, np.zeros((0, 3))))
    yield from error_samples("nll_loss", x)


def error_samples(name, x):
    """What is wrong with arguments, the same for each loss with classes; x (3, 3)."""
    t = np.array([0, 1, 2])
    yield Sample(
        "batch sizes",
        (x, t[:2]),
        raises=(ValueError, f"{name}: expected target of shape (3,) for an input (3, 3), got (2,)"),
    )
    yield Sample(
        "dtype of target",
        (x, t.astype(np.int32)),
        raises=(RuntimeError, f"{name}: expected a target of int64 classes, got int32"),
    )
    yield Sample(
        "another reduction",
        (x, t),
        {"reduction": "max"},
        raises=(ValueError, f"{name}: expected reduction to be one of none, mean, sum, got 'max'"),
    )


NLL_LOSS = register(
    Op(
        name="nll_loss",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        outputs=("output", "count"),
        grads=(Grad(of=("input",), keeps=("target", "count"), op="nll_loss_backward", settings=_with_shape),),
        samples=samples,
        function=nll_loss,
    )
)

register(
    Op(
        name="nll_loss_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(Grad(of=("grad",), keeps=("target", "count"), op="nll_loss_again", settings=_without_shape),),
        zero=("target", "count"),
    )
)

register(
    Op(
        name="nll_loss_again",
        kernel=Kernel(numpy=again_numpy, triton=repeated(again_triton)),
        grads=(Grad(of=("input",), keeps=("target", "count"), op="nll_loss_backward", settings=_with_shape),),
        zero=("target", "count"),
    )
)
