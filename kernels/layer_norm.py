"""Rows of values brought to mean 0 and deviation 1: layer, group and root-mean-square normalisation.

A row is all values of one sample (layer_norm, rms_norm), of one group of a sample's channels (group_norm), or of one of
its channels (instance_norm); m(.) is the mean over a row.

    mean        = m(input)                                  (rms_norm: 0)
    rstd        = 1 / sqrt(m((input - mean)^2) + eps)
    x           = (input - mean) * rstd
    out         = weight * x + bias
    D(v)        = rstd * (v - m(v) - x * m(v * x))          (rms_norm: without m(v)); symmetric, and d x = D(d input)
    grad_input  = D(grad * weight)
    grad_weight = sum(grad * x),   grad_bias = sum(grad)    over all samples and places of a channel

With cotangents v of grad_input, p of grad_weight and q of grad_bias, h = grad * weight, a = m(v * x), b = m(h * x):

    of_grad     = D(v) * weight + p * x + q
    of_weight   = sum(D(v) * grad)
    of_input    = D(p * grad - rstd * (b * v + a * h)) - rstd^2 * (m(v * h) - m(v) * m(h) - a * b) * x

Half types are normalised in float32.
Source: Ba, Kiros, Hinton (2016); Wu, He (2018) for groups; Zhang, Sennrich (2019) for rms_norm.
"""

from math import prod
from operator import index

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework import dtypes
from ..framework.array import empty_like, from_numpy
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, launch, load_at
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import plus, reduce, row_blocks, same
from ..framework.repeat import repeated
from .batch_norm import batch_norm
from .resample import RESAMPLE, integer_mean


def layer_norm(
    input: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``input`` (..., *normalized_shape), floating, each sample with mean 0 and deviation 1, times ``weight`` plus ``bias``.

    Both parameters have shape ``normalized_shape``, or are None.  Half inputs may come with float32 parameters.  Raises
    RuntimeError for shapes and dtypes that do not fit, TypeError for a shape that is no integers.

    >>> layer_norm(Tensor([[1.0, 3.0]]), (2,), eps=0.0).numpy()
    array([[-1.,  1.]], dtype=float32)
    """
    input, weight, bias = autocast_inputs(LAYER_NORM, input, weight, bias)
    shape = _normalized("layer_norm", input, normalized_shape)
    _check("layer_norm", input, shape, weight=weight, bias=bias)
    return _run(LAYER_NORM, input, weight, bias, 1, prod(shape), 1, eps, True)


def rms_norm(
    input: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """``input`` (..., *normalized_shape), floating, each sample divided by its root mean square, times ``weight``.

    ``eps`` is added to the mean square; by default the distance from 1 to the next number of the dtype (for half types,
    which are computed in float32, that of float32).  Raises RuntimeError for shapes and dtypes that do not fit, TypeError
    for a shape that is no integers.

    >>> rms_norm(Tensor([[3.0, 3.0]]), (2,), eps=0.0).numpy()
    array([[1., 1.]], dtype=float32)
    """
    input, weight = autocast_inputs(RMS_NORM, input, weight)
    shape = _normalized("rms_norm", input, normalized_shape)
    _check("rms_norm", input, shape, weight=weight)
    least = float(np.finfo(_work(input.array)).eps) if eps is None else eps
    return _run(RMS_NORM, input, weight, None, 1, prod(shape), 1, least, False)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``input`` (N, C, ...), floating, with each group of C / ``num_groups`` channels of a sample at mean 0, deviation 1.

    ``weight`` and ``bias`` are (C,) or None; half inputs may come with float32 ones.  A channels-last input gives a
    channels-last output.  Raises RuntimeError for shapes, groups and dtypes that do not fit.

    >>> group_norm(Tensor([[1.0, 3.0, 5.0, 5.0]]), 2).numpy().round(3)
    array([[-1.,  1.,  0.,  0.]], dtype=float32)
    """
    input, weight, bias = autocast_inputs(GROUP_NORM, input, weight, bias)
    if input.ndim < 2:
        raise RuntimeError(f"group_norm: expected an input of shape (N, C) or (N, C, ...), got {input.shape}")
    channels = input.shape[1]
    if num_groups < 1:
        raise RuntimeError(f"group_norm: expected num_groups to be at least 1, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            f"group_norm: num_groups={num_groups} does not divide the {channels} channels of {input.shape}"
        )
    _check("group_norm", input, (channels,), weight=weight, bias=bias)
    return _run(GROUP_NORM, input, weight, bias, num_groups, channels // num_groups, prod(input.shape[2:]), eps, True)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``input`` (N, C, ...), floating, with each channel of each sample at mean 0, deviation 1.  Other tensors are (C,) or None.

    With ``use_input_stats`` the running statistics, where given, move in place towards the means over the batch of the
    samples' own; else they are what is normalised by, for all samples alike.  Raises RuntimeError for shapes and dtypes
    that do not fit and for missing statistics, ValueError for samples of one value a channel.

    >>> instance_norm(Tensor([[[1.0, 3.0]]]), eps=0.0).numpy()
    array([[[-1.,  1.]]], dtype=float32)
    """
    if input.ndim < 2:
        raise RuntimeError(f"instance_norm: expected an input of shape (N, C, ...), got {input.shape}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "instance_norm: running_mean and running_var are needed without use_input_stats, got None"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    channels, places = input.shape[1], prod(input.shape[2:])
    if places == 1:
        raise ValueError(f"instance_norm: expected more than 1 value per channel and sample, got input {input.shape}")
    _check(
        "instance_norm",
        input,
        (channels,),
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    out, mean, rstd = _outputs(INSTANCE_NORM, input, weight, bias, channels, 1, places, eps, True)
    if mean.numel():
        var = (rstd.detach() ** -2 - eps) * (places / max(places - 1, 1))
        for running, own in ((running_mean, mean.detach()), (running_var, var)):
            if running is not None:
                moved = running.detach() * (1 - momentum) + own.reshape(-1, channels).mean(0) * momentum
                running.detach().copy_(moved)
    return out


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """``input / (k + alpha * m) ** beta``, m the mean of the squares in ``size`` neighbouring channels of (N, C, L, ...).

    Channels beyond the border count as zeros.  Raises ValueError for fewer than 3 dimensions.

    >>> local_response_norm(Tensor([[[2.0], [2.0]]]), 1, alpha=1.0, beta=1.0, k=0.0).numpy().ravel()
    array([0.5, 0.5], dtype=float32)
    """
    if input.ndim < 3:
        raise ValueError(f"local_response_norm: expected an input of at least 3 dimensions, got {input.shape}")
    if not input.numel():
        return input
    channels = input.shape[1]
    squares, first = input * input, 1 - input.ndim
    if input.dtype.is_floating_point:
        line = ("mean", channels, channels, size, 1, size // 2, True)
        means = apply(RESAMPLE, squares, first=first, lines=(line,), transposed=False)
    else:
        flat = squares.reshape(input.shape[0], channels, -1).transpose(1, 2)
        means = integer_mean(flat, (channels,), (size,), (1,), (size // 2,), True, None)
        means = means.transpose(1, 2).reshape(input.shape)
    return input / (means * alpha + k) ** beta


def _normalized(op, input, given):
    try:
        shape = tuple(index(n) for n in given) if isinstance(given, (tuple, list)) else (index(given),)
    except TypeError:
        raise TypeError(f"{op}: normalized_shape must be an int or several, got {given!r}") from None
    if not shape:
        raise RuntimeError(f"{op}: expected a normalized_shape of at least 1 dimension, got {given!r}")
    if input.shape[max(0, input.ndim - len(shape)) :] != shape:
        raise RuntimeError(f"{op}: expected an input of shape (..., {', '.join(map(str, shape))}), got {input.shape}")
    return shape


def _check(op, input, shape, **given):
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{op}: expected a floating input, got {input.dtype.name}")
    allowed = [input.dtype, dtypes.float32] if input.dtype.numpy in dtypes.HALF else [input.dtype]
    for name, t in given.items():
        if t is None:
            continue
        if t.shape != shape:
            raise RuntimeError(f"{op}: {name} must have shape {shape} for input {input.shape}, got {t.shape}")
        if t.dtype not in allowed:
            names = " or ".join(d.name for d in allowed)
            raise RuntimeError(f"{op}: {name} must be {names} for an input of {input.dtype.name}, got {t.dtype.name}")


def _run(*given):
    return _outputs(*given)[0]


def _outputs(row, input, weight, bias, groups, channels, places, eps, centred):
    if weight is None and bias is not None:
        weight = Tensor(np.ones(bias.shape, bias.array.dtype), device=bias.device)
    scale = 1.0 if weight is None else weight.reshape(-1)
    shift = 0.0 if bias is None else bias.reshape(-1)
    settings = {"groups": int(groups), "channels": channels, "places": places, "eps": float(eps), "centred": centred}
    return apply(row, input, scale, shift, **settings)


def _work(array):
    return np.dtype(np.float32) if array.dtype in dtypes.HALF else array.dtype


def _channels_last(input, places):
    """Whether samples lie in memory as places of channels, not as channels of places."""
    if places == 1 or input.ndim < 3:
        return False
    order = (0, *range(2, input.ndim), 1)
    if isinstance(input, np.ndarray):
        return not input.flags.c_contiguous and input.transpose(order).flags.c_contiguous
    return not input.is_contiguous and input.viewed(lambda a: a.transpose(order)).is_contiguous


# -- NumPy: (samples, groups, channels of a group, places) -----------------------------------------------------------


def _moved(array, restored, channels_last):
    """Values in the order of rows as an array like ``array``, laid out like it."""
    out = restored.reshape(array.shape).astype(array.dtype, copy=False)
    if not channels_last:
        return out
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(out, 1, -1)), -1, 1)


def _rows(array, groups, channels, places):
    return array.astype(_work(array), copy=False).reshape(-1 if array.size else 0, groups, channels, places)


def _parameter(value, work, groups, channels):
    if not isinstance(value, np.ndarray):
        return work.type(value)
    return value.astype(work, copy=False).reshape(groups, channels, 1)


def _mean(values):
    """Means of rows, pairwise summed along contiguous memory."""
    flat = values.reshape(*values.shape[:2], -1)
    return (np.add.reduce(flat, axis=2) / flat.dtype.type(max(flat.shape[2], 1)))[..., None, None]


def _count(input, channels, places):
    return input.size // max(channels * places, 1)


def forward_numpy(input, weight, bias, *, groups, channels, places, eps, centred):
    work = _work(input)
    count = _count(input, channels, places)
    if not input.size:
        return input.copy(), np.zeros(count, work), np.zeros(count, work)
    x = _rows(input, groups, channels, places)
    if centred:
        mean = _mean(x)
        x = x - mean
    else:
        mean = np.zeros((*x.shape[:2], 1, 1), work)
    rstd = 1 / np.sqrt(_mean(x * x) + work.type(eps))
    out = x * rstd
    if isinstance(weight, np.ndarray):
        out *= _parameter(weight, work, groups, channels)
    if isinstance(bias, np.ndarray):
        out += _parameter(bias, work, groups, channels)
    return _moved(input, out, _channels_last(input, places)), mean.reshape(-1), rstd.reshape(-1)


def _stored(values, like):
    """The gradient of a parameter; of a number that stands for none, nothing."""
    return values.reshape(-1).astype(like.dtype) if isinstance(like, np.ndarray) else np.zeros(0, values.dtype)


def backward_numpy(grad, input, weight, mean, rstd, *, groups, channels, places, eps, centred):
    work = _work(input)
    if not input.size:
        nothing = _stored(np.zeros(groups * channels, work), weight)
        return input.copy(), nothing, nothing.copy() if centred else np.zeros(0, work)
    shape = (-1, groups, 1, 1)
    x = (_rows(input, groups, channels, places) - mean.reshape(shape)) * rstd.reshape(shape)
    g = _rows(grad, groups, channels, places)
    gx = g * x
    given = isinstance(weight, np.ndarray)
    of_weight = _stored(np.add.reduce(gx, axis=(0, 3), dtype=np.float64).astype(work) if given else gx[:0], weight)
    of_bias = _stored(
        np.add.reduce(g, axis=(0, 3), dtype=np.float64).astype(work) if given and centred else g[:0], weight
    )
    w = _parameter(weight, work, groups, channels)
    h = g * w
    x *= _mean(gx * w)
    out = h - x
    if centred:
        out -= _mean(h)
    out *= rstd.reshape(shape)
    return (
        _moved(input, out, _channels_last(input, places)),
        of_weight,
        of_bias if centred else np.zeros(0, of_bias.dtype),
    )


def double_backward_numpy(
    grad_input, grad_weight, grad_bias, grad, input, weight, mean, rstd, *, groups, channels, places, eps, centred
):
    work = _work(input)
    if not input.size:
        return input.copy(), input.copy(), _stored(np.zeros(groups * channels, work), weight)
    given = isinstance(weight, np.ndarray)
    shape = (-1, groups, 1, 1)
    s = rstd.reshape(shape)
    x = (_rows(input, groups, channels, places) - mean.reshape(shape)) * s
    v, g = (_rows(t, groups, channels, places) for t in (grad_input, grad))
    w = _parameter(weight, work, groups, channels)
    h = g * w
    a, b = _mean(v * x), _mean(h * x)
    apart = _mean(v * h) - a * b
    through = v - x * a
    if centred:
        mean_v = _mean(v)
        through -= mean_v
        apart -= mean_v * _mean(h)
    through *= s
    of_grad = through * w
    t = -s * (b * v + a * h)
    if given:
        p = _parameter(grad_weight, work, groups, channels)
        of_grad += p * x
        t += p * g
        if centred:
            of_grad += _parameter(grad_bias, work, groups, channels)
    of_input = t - x * (_mean(t * x) + s * apart)
    if centred:
        of_input -= _mean(t)
    of_input *= s
    through *= g
    of_weight = np.add.reduce(through, axis=(0, 3), dtype=np.float64).astype(work) if given else through[:0]
    last = _channels_last(input, places)
    return _moved(input, of_grad, last), _moved(input, of_input, last), _stored(of_weight, weight)


# -- Triton: rows of R values in the order of memory, several or a part of one at a time -----------------------------


@jit
def _place(row, r, G, D, S, LAST: tl.constexpr):
    """Where elements ``r`` of rows lie, (rows, BLOCK_R), and the numbers of their channels among all."""
    if LAST:
        channel = row % G * D + r % D
        return row // G * (G * D * S) + (r // D).to(tl.int64) * (G * D) + channel, channel
    else:
        return row * (D * S).to(tl.int64) + r, row % G * D + r // S


@jit
def _row_numbers(BLOCK_M: tl.constexpr):
    return tl.expand_dims(tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M), 1)


@jit
def _forward(
    out_ptr,
    mean_ptr,
    rstd_ptr,
    x_ptr,
    weight,
    bias,
    M,
    G,
    D,
    S,
    eps,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    CENTRED: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    WHOLE: tl.constexpr,
):
    # out, x: M rows of R = D * S values · mean, rstd (M,) · weight, bias (G * D,) or a number
    # one program per BLOCK_M rows; WHOLE: they fit in one tile
    KIND: tl.constexpr = eps.dtype
    R = tl.cast(D * S, tl.int32)
    row = _row_numbers(BLOCK_M)
    lane = tl.expand_dims(tl.arange(0, BLOCK_R), 0)
    there = row < M
    mean = tl.zeros((BLOCK_M, 1), KIND)
    square = tl.zeros((BLOCK_M, BLOCK_R), KIND)
    if WHOLE:
        at, channel = _place(row, lane, G, D, S, LAST)
        mask = there & (lane < R)
        x = tl.load(x_ptr + at, mask=mask, other=0.0).to(KIND)
        if CENTRED:
            mean = tl.expand_dims(tl.sum(x, 1), 1) / R.to(KIND)
            x = tl.where(mask, x - mean, 0.0)
        rstd = 1 / tl.sqrt(tl.expand_dims(tl.sum(x * x, 1), 1) / R.to(KIND) + eps)
        value = x * rstd * load_at(weight, channel, mask, WEIGHT, (1,), (1,)).to(KIND)
        value += load_at(bias, channel, mask, BIAS, (1,), (1,)).to(KIND)
        tl.store(out_ptr + at, value.to(out_ptr.dtype.element_ty), mask=mask)
    else:
        if CENTRED:
            for first in range(0, R, BLOCK_R):
                at, channel = _place(row, first + lane, G, D, S, LAST)
                square += tl.load(x_ptr + at, mask=there & (first + lane < R), other=0.0).to(KIND)
            mean = tl.expand_dims(tl.sum(square, 1), 1) / R.to(KIND)
            square = tl.zeros((BLOCK_M, BLOCK_R), KIND)
        for first in range(0, R, BLOCK_R):
            at, channel = _place(row, first + lane, G, D, S, LAST)
            mask = there & (first + lane < R)
            x = tl.load(x_ptr + at, mask=mask, other=0.0).to(KIND)
            x = tl.where(mask, x - mean, 0.0)
            square += x * x
        rstd = 1 / tl.sqrt(tl.expand_dims(tl.sum(square, 1), 1) / R.to(KIND) + eps)
        for first in range(0, R, BLOCK_R):
            at, channel = _place(row, first + lane, G, D, S, LAST)
            mask = there & (first + lane < R)
            x = tl.load(x_ptr + at, mask=mask, other=0.0).to(KIND)
            value = (x - mean) * rstd * load_at(weight, channel, mask, WEIGHT, (1,), (1,)).to(KIND)
            value += load_at(bias, channel, mask, BIAS, (1,), (1,)).to(KIND)
            tl.store(out_ptr + at, value.to(out_ptr.dtype.element_ty), mask=mask)
    tl.store(mean_ptr + row, mean, mask=there)
    tl.store(rstd_ptr + row, rstd, mask=there)


@jit
def _backward_tile(
    grad_ptr, x_ptr, weight, row, r, mask, mean, rstd, G, D, S, WEIGHT: tl.constexpr, LAST: tl.constexpr
):
    KIND: tl.constexpr = mean.dtype
    at, channel = _place(row, r, G, D, S, LAST)
    h = tl.load(grad_ptr + at, mask=mask, other=0.0).to(KIND) * load_at(weight, channel, mask, WEIGHT, (1,), (1,)).to(
        KIND
    )
    x = (tl.load(x_ptr + at, mask=mask, other=0.0).to(KIND) - mean) * rstd
    return at, tl.where(mask, h, 0.0), tl.where(mask, x, 0.0)


@jit
def _backward(
    out_ptr,
    grad_ptr,
    x_ptr,
    weight,
    mean_ptr,
    rstd_ptr,
    M,
    G,
    D,
    S,
    WEIGHT: tl.constexpr,
    CENTRED: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    WHOLE: tl.constexpr,
):
    # out, grad, x: M rows of R = D * S values · mean, rstd (M,) · weight (G * D,) or a number
    # one program per BLOCK_M rows; WHOLE: they fit in one tile
    KIND: tl.constexpr = mean_ptr.dtype.element_ty
    R = tl.cast(D * S, tl.int32)
    row = _row_numbers(BLOCK_M)
    lane = tl.expand_dims(tl.arange(0, BLOCK_R), 0)
    there = row < M
    mean = tl.load(mean_ptr + row, mask=there, other=0.0)
    rstd = tl.load(rstd_ptr + row, mask=there, other=0.0)
    average = tl.zeros((BLOCK_M, 1), KIND)
    if WHOLE:
        mask = there & (lane < R)
        at, h, x = _backward_tile(grad_ptr, x_ptr, weight, row, lane, mask, mean, rstd, G, D, S, WEIGHT, LAST)
        if CENTRED:
            average = tl.expand_dims(tl.sum(h, 1), 1) / R.to(KIND)
        along = tl.expand_dims(tl.sum(h * x, 1), 1) / R.to(KIND)
        value = rstd * (h - average - x * along)
        tl.store(out_ptr + at, value.to(out_ptr.dtype.element_ty), mask=mask)
    else:
        sum_h = tl.zeros((BLOCK_M, BLOCK_R), KIND)
        sum_hx = tl.zeros((BLOCK_M, BLOCK_R), KIND)
        for first in range(0, R, BLOCK_R):
            mask = there & (first + lane < R)
            at, h, x = _backward_tile(
                grad_ptr, x_ptr, weight, row, first + lane, mask, mean, rstd, G, D, S, WEIGHT, LAST
            )
            sum_h += h
            sum_hx += h * x
        if CENTRED:
            average = tl.expand_dims(tl.sum(sum_h, 1), 1) / R.to(KIND)
        along = tl.expand_dims(tl.sum(sum_hx, 1), 1) / R.to(KIND)
        for first in range(0, R, BLOCK_R):
            mask = there & (first + lane < R)
            at, h, x = _backward_tile(
                grad_ptr, x_ptr, weight, row, first + lane, mask, mean, rstd, G, D, S, WEIGHT, LAST
            )
            value = rstd * (h - average - x * along)
            tl.store(out_ptr + at, value.to(out_ptr.dtype.element_ty), mask=mask)


@jit
def _double_tile(
    v_ptr,
    p,
    grad_ptr,
    x_ptr,
    weight,
    row,
    r,
    mask,
    mean,
    rstd,
    G,
    D,
    S,
    WEIGHT: tl.constexpr,
    LAST: tl.constexpr,
):
    KIND: tl.constexpr = mean.dtype
    at, channel = _place(row, r, G, D, S, LAST)
    w = load_at(weight, channel, mask, WEIGHT, (1,), (1,)).to(KIND)
    v = tl.load(v_ptr + at, mask=mask, other=0.0).to(KIND)
    g = tl.load(grad_ptr + at, mask=mask, other=0.0).to(KIND)
    x = (tl.load(x_ptr + at, mask=mask, other=0.0).to(KIND) - mean) * rstd
    p = load_at(p, channel, mask, WEIGHT, (1,), (1,)).to(KIND)
    return at, channel, w, p, v, tl.where(mask, g * w, 0.0), tl.where(mask, g * p, 0.0), tl.where(mask, x, 0.0)


@jit
def _double_backward(
    of_grad_ptr,
    of_input_ptr,
    mean_v_ptr,
    along_v_ptr,
    v_ptr,
    p,
    q,
    grad_ptr,
    x_ptr,
    weight,
    mean_ptr,
    rstd_ptr,
    M,
    G,
    D,
    S,
    WEIGHT: tl.constexpr,
    SHIFT: tl.constexpr,
    CENTRED: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # of_grad, of_input, v, grad, x: M rows of R = D * S values · mean_v, along_v, mean, rstd (M,)
    # weight, p, q (G * D,) or numbers · one program per BLOCK_M rows
    KIND: tl.constexpr = mean_ptr.dtype.element_ty
    R = tl.cast(D * S, tl.int32)
    row = _row_numbers(BLOCK_M)
    lane = tl.expand_dims(tl.arange(0, BLOCK_R), 0)
    there = row < M
    mean = tl.load(mean_ptr + row, mask=there, other=0.0)
    rstd = tl.load(rstd_ptr + row, mask=there, other=0.0)
    zero = tl.zeros((BLOCK_M, BLOCK_R), KIND)
    v1 = zero
    h1 = zero
    k1 = zero
    vx = zero
    hx = zero
    kx = zero
    vh = zero
    for first in range(0, R, BLOCK_R):
        mask = there & (first + lane < R)
        at, channel, w, own, v, h, k, x = _double_tile(
            v_ptr, p, grad_ptr, x_ptr, weight, row, first + lane, mask, mean, rstd, G, D, S, WEIGHT, LAST
        )
        v1 += v
        h1 += h
        k1 += k
        vx += v * x
        hx += h * x
        kx += k * x
        vh += v * h
    n = R.to(KIND)
    a = tl.expand_dims(tl.sum(vx, 1), 1) / n
    b = tl.expand_dims(tl.sum(hx, 1), 1) / n
    apart = tl.expand_dims(tl.sum(vh, 1), 1) / n - a * b
    mean_v = tl.zeros((BLOCK_M, 1), KIND)
    mean_t = mean_v
    if CENTRED:
        mean_v = tl.expand_dims(tl.sum(v1, 1), 1) / n
        mean_h = tl.expand_dims(tl.sum(h1, 1), 1) / n
        apart -= mean_v * mean_h
        mean_t = tl.expand_dims(tl.sum(k1, 1), 1) / n - rstd * (b * mean_v + a * mean_h)
    along_t = tl.expand_dims(tl.sum(kx, 1), 1) / n - 2 * rstd * a * b + rstd * apart
    for first in range(0, R, BLOCK_R):
        mask = there & (first + lane < R)
        at, channel, w, own, v, h, k, x = _double_tile(
            v_ptr, p, grad_ptr, x_ptr, weight, row, first + lane, mask, mean, rstd, G, D, S, WEIGHT, LAST
        )
        of_grad = rstd * (v - mean_v - x * a) * w + own * x + load_at(q, channel, mask, SHIFT, (1,), (1,)).to(KIND)
        of_input = rstd * (k - rstd * (b * v + a * h) - mean_t - x * along_t)
        tl.store(of_grad_ptr + at, of_grad.to(of_grad_ptr.dtype.element_ty), mask=mask)
        tl.store(of_input_ptr + at, of_input.to(of_input_ptr.dtype.element_ty), mask=mask)
    tl.store(mean_v_ptr + row, mean_v, mask=there)
    tl.store(along_v_ptr + row, a, mask=there)


@jit
def _weighted(grad, x, mean, rstd):
    return grad * ((x - mean) * rstd)


@jit
def _of_weight(grad, x, v, mean, rstd, mean_v, along_v):
    return grad * (rstd * (v - mean_v - (x - mean) * rstd * along_v))


def _arranged(array, last):
    """The array itself, or a copy, row-major or (``last``) with channels beside each other."""
    if not last:
        return contiguous(array)
    moved = contiguous(array.viewed(lambda a: np.moveaxis(a, 1, -1)))
    return moved.viewed(lambda a: np.moveaxis(a, -1, 1))


def _like(array, last):
    if not last:
        return empty_like(array)
    moved = (array.shape[0], *array.shape[2:], array.shape[1])
    return empty_like(array, moved).viewed(lambda a: np.moveaxis(a, -1, 1))


def _value(value, kind):
    if isinstance(value, (int, float)):
        return kind.type(value), "value"
    return contiguous(value), "contiguous"


def _walk(array, M, R, kind, times=1):
    block_m, block_r, whole, warps = row_blocks(M, R, array.backend, kind.itemsize * times, False)
    return {"BLOCK_M": block_m, "BLOCK_R": block_r}, whole, warps


def forward_triton(input, weight, bias, *, groups, channels, places, eps, centred):
    kind = _work(input)
    M, R = _count(input, channels, places), channels * places
    last = _channels_last(input, places)
    out, mean, rstd = _like(input, last), empty_like(input, (M,), kind), empty_like(input, (M,), kind)
    if not input.size:
        return out, mean, rstd
    weight, weight_is = _value(weight, kind)
    bias, bias_is = _value(bias, kind)
    blocks, whole, warps = _walk(input, M, R, kind)
    # one program per BLOCK_M rows
    launch(
        _forward,
        (cdiv(M, blocks["BLOCK_M"]),),
        out,
        mean,
        rstd,
        _arranged(input, last),
        weight,
        bias,
        M,
        groups,
        channels,
        places,
        kind.type(eps),
        WEIGHT=weight_is,
        BIAS=bias_is,
        CENTRED=centred,
        LAST=last,
        WHOLE=whole,
        num_warps=warps,
        **blocks,
    )
    return out, mean, rstd


def _summed(arrays, rows, weight, map, groups, channels, places, last):
    """The sum over samples and places of what ``map`` makes of arrays like the input and of values of each row.

    In the dtype of the parameter; nothing where that is a number.
    """
    kind = _work(arrays[0])
    if isinstance(weight, (int, float)):
        return empty_like(arrays[0], (0,), kind)

    def view(a):
        if not last:
            return a.reshape(-1, groups, channels, places)
        moved = np.moveaxis(a, 1, -1)
        return np.moveaxis(moved.reshape(moved.shape[0], places, groups, channels), 1, -1)

    tables = tuple(a.viewed(view) for a in arrays)
    beside = tuple(a.viewed(lambda b: b.reshape(-1, groups, 1, 1)) for a in rows)
    total = reduce((*tables, *beside), (0, 3), False, plus, 0.0, map=map, acc=kind, result=np.dtype(weight.dtype))
    return total.viewed(lambda a: a.reshape(-1))


def _nothing(input, weight, size):
    """The gradient of a parameter for an empty input."""
    if isinstance(weight, (int, float)):
        return empty_like(input, (0,), _work(input))
    return from_numpy(np.zeros(size, weight.dtype), input.backend)


def backward_triton(grad, input, weight, mean, rstd, *, groups, channels, places, eps, centred):
    kind = _work(input)
    M, R = _count(input, channels, places), channels * places
    last = _channels_last(input, places)
    out = _like(input, last)
    if not input.size:
        nothing = _nothing(input, weight, groups * channels)
        return out, nothing, _nothing(input, weight if centred else 1.0, groups * channels)
    grad, x, mean, rstd = _arranged(grad, last), _arranged(input, last), contiguous(mean), contiguous(rstd)
    scale, weight_is = _value(weight, kind)
    blocks, whole, warps = _walk(input, M, R, kind, 2)
    # one program per BLOCK_M rows
    launch(
        _backward,
        (cdiv(M, blocks["BLOCK_M"]),),
        out,
        grad,
        x,
        scale,
        mean,
        rstd,
        M,
        groups,
        channels,
        places,
        WEIGHT=weight_is,
        CENTRED=centred,
        LAST=last,
        WHOLE=whole,
        num_warps=warps,
        **blocks,
    )
    shape = groups, channels, places, last
    of_weight = _summed((grad, x), (mean, rstd), weight, _weighted, *shape)
    return out, of_weight, _summed((grad,), (), weight if centred else 1.0, same, *shape)


def double_backward_triton(
    grad_input, grad_weight, grad_bias, grad, input, weight, mean, rstd, *, groups, channels, places, eps, centred
):
    kind = _work(input)
    M, R = _count(input, channels, places), channels * places
    last = _channels_last(input, places)
    of_grad, of_input = _like(input, last), _like(input, last)
    if not input.size:
        return of_grad, of_input, _nothing(input, weight, groups * channels)
    given = not isinstance(weight, (int, float))
    v, g, x = (_arranged(t, last) for t in (grad_input, grad, input))
    mean, rstd = contiguous(mean), contiguous(rstd)
    mean_v, along_v = empty_like(mean), empty_like(mean)
    scale, weight_is = _value(weight, kind)
    blocks, _, warps = _walk(input, M, R, kind, 4)
    # one program per BLOCK_M rows
    launch(
        _double_backward,
        (cdiv(M, blocks["BLOCK_M"]),),
        of_grad,
        of_input,
        mean_v,
        along_v,
        v,
        contiguous(grad_weight) if given else kind.type(0),
        contiguous(grad_bias) if given and centred else kind.type(0),
        g,
        x,
        scale,
        mean,
        rstd,
        M,
        groups,
        channels,
        places,
        WEIGHT=weight_is,
        SHIFT="contiguous" if given and centred else "value",
        CENTRED=centred,
        LAST=last,
        num_warps=warps,
        **blocks,
    )
    shape = groups, channels, places, last
    return of_grad, of_input, _summed((g, x, v), (mean, rstd, mean_v, along_v), weight, _of_weight, *shape)


def _sized(shape, groups=None, normalized=None, eps=0.1):
    if normalized is not None:
        return {"groups": 1, "channels": prod(normalized), "places": 1, "eps": eps, "centred": True}
    return {
        "groups": groups,
        "channels": shape[1] // groups,
        "places": prod(shape[2:]),
        "eps": eps,
        "centred": True,
    }


def samples(rng):
    settings = _sized((), normalized=(2,), eps=3.0)
    yield Sample(
        "worked",
        (np.array([[1.0, 3.0]]), np.array([2.0, 4.0]), np.array([0.0, 1.0])),
        settings,
        answers=([[-1.0, 3.0]], [2.0], [0.5], [[-0.375, 0.375]], [-0.5, 0.5], [1.0, 1.0]),
    )
    yield Sample(
        "without parameters",
        (np.array([[1.0, 3.0], [2.0, 2.0]]), 1.0, 0.0),
        settings,
        answers=([[-0.5, 0.5], [0.0, 0.0]], [2.0, 2.0], [0.5, 3.0**-0.5], [[0.0, 0.0], [0.0, 0.0]]),
    )
    for shape, normalized in [((5, 7), (7,)), ((2, 3, 2, 5), (2, 5)), ((4,), (4,)), ((0, 3), (3,)), ((2, 1), (1,))]:
        n = prod(normalized)
        yield Sample(
            f"shape {shape}",
            (rng.normal(size=shape) + 1, rng.uniform(0.5, 2, n), rng.normal(size=n)),
            _sized(shape, normalized=normalized),
            terms=max(n, prod(shape) // n) * 4,
        )
    yield Sample(
        "far mean",
        (rng.normal(size=(1, 8200)) + 100, 1.0, 0.0),
        _sized((), normalized=(8200,)),
        dtypes=("float64",),
        terms=4000,
    )
    yield Sample(
        "not contiguous",
        (rng.normal(size=(6, 3)).T, rng.uniform(0.5, 2, 6), rng.normal(size=6)),
        _sized((), normalized=(6,)),
        terms=24,
    )
    yield Sample(
        "shape differs",
        (np.zeros((2, 3)),),
        {"normalized_shape": (2,)},
        raises=(RuntimeError, "layer_norm: expected an input of shape (..., 2), got (2, 3)"),
    )
    yield Sample(
        "weight differs",
        (np.zeros((2, 3)), 3, np.zeros(2)),
        raises=(RuntimeError, "layer_norm: weight must have shape (3,) for input (2, 3), got (2,)"),
    )


def group_samples(rng):
    yield Sample(
        "worked",
        (np.array([[[1.0], [3.0], [4.0], [4.0]]]), np.array([2.0, 4.0, 1.0, 1.0]), np.array([0.0, 1.0, 2.0, 3.0])),
        _sized((1, 4, 1), 2, eps=3.0),
        answers=(
            [[[-1.0], [3.0], [2.0], [3.0]]],
            [2.0, 4.0],
            [0.5, 3.0**-0.5],
            [[[-0.375], [0.375], [0.0], [0.0]]],
            [-0.5, 0.5, 0.0, 0.0],
            [1.0, 1.0, 1.0, 1.0],
        ),
    )
    for shape, groups in [((2, 6, 3, 5), 3), ((3, 4), 2), ((2, 3, 7), 3), ((0, 4, 2), 2)]:
        c = shape[1]
        yield Sample(
            f"shape {shape}",
            (rng.normal(size=shape) + 1, rng.uniform(0.5, 2, c), rng.normal(size=c)),
            _sized(shape, groups),
            terms=160,
        )
    yield Sample(
        "channels last",
        (rng.normal(size=(2, 3, 5, 6)).transpose(0, 3, 1, 2), rng.uniform(0.5, 2, 6), rng.normal(size=6)),
        _sized((2, 6, 3, 5), 2),
        terms=160,
    )
    yield Sample(
        "groups differ",
        (np.zeros((2, 3)),),
        {"num_groups": 2},
        raises=(RuntimeError, "group_norm: num_groups=2 does not divide the 3 channels of (2, 3)"),
    )


def rms_samples(rng):
    def settings(n, eps):
        return {"groups": 1, "channels": n, "places": 1, "eps": eps, "centred": False}

    yield Sample(
        "worked",  # mean square 3, with eps 4: x = input / 2, m(h * x) = (1 * 2 * 0.5 + ...) / 2
        (np.array([[1.0, 5.0**0.5]]), np.array([2.0, 0.0]), 0.0),
        settings(2, 1.0),
        answers=(
            [[1.0, 0.0]],
            [0.0],
            [0.5],
            [[0.875, -0.125 * 5.0**0.5]],
            [0.5, 0.5 * 5.0**0.5],
        ),
    )
    for shape in [(5, 7), (3, 1, 40), (0, 3)]:
        yield Sample(
            f"shape {shape}",
            (rng.normal(size=shape) + 1, rng.uniform(0.5, 2, shape[-1]), 0.0),
            settings(shape[-1], 0.1),
            terms=160,
        )
    yield Sample("no weight", (rng.normal(size=(4, 6)), 1.0, 0.0), settings(6, 0.1), terms=24)
    yield Sample(
        "shape differs",
        (np.zeros((2, 3)),),
        {"normalized_shape": (2, 2)},
        raises=(RuntimeError, "rms_norm: expected an input of shape (..., 2, 2), got (2, 3)"),
    )


def instance_samples(rng):
    yield Sample(
        "worked",
        (np.array([[[1.0, 3.0], [4.0, 4.0]]]), np.array([2.0, 1.0]), np.array([0.0, 5.0])),
        _sized((1, 2, 2), 2, eps=3.0),
        answers=(
            [[[-1.0, 1.0], [5.0, 5.0]]],
            [2.0, 4.0],
            [0.5, 3.0**-0.5],
            [[[0.0, 0.0], [0.0, 0.0]]],
            [0.0, 0.0],
            [2.0, 2.0],
        ),
    )
    yield Sample(
        "one value",
        (np.zeros((2, 3, 1)),),
        raises=(ValueError, "instance_norm: expected more than 1 value per channel and sample, got input (2, 3, 1)"),
    )


def _row(name, function, samples, autocast="float32"):
    return register(
        Op(
            name=name,
            kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
            grads=(
                Grad(
                    of=("input", "weight", "bias"),
                    keeps=("input", "weight", "mean", "rstd"),
                    op="layer_norm_backward",
                ),
            ),
            samples=samples,
            function=function,
            outputs=("output", "mean", "rstd"),
            autocast=autocast,
        )
    )


LAYER_NORM = _row("layer_norm", layer_norm, samples)
GROUP_NORM = _row("group_norm", group_norm, group_samples)
RMS_NORM = _row("rms_norm", rms_norm, rms_samples)
INSTANCE_NORM = _row("instance_norm", instance_norm, instance_samples, autocast="")

register(
    Op(
        name="layer_norm_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(
                of=("grad", "input", "weight"),
                keeps=("grad", "input", "weight", "mean", "rstd"),
                op="layer_norm_double_backward",
            ),
        ),
        outputs=("grad_input", "grad_weight", "grad_bias"),
        differentiable=3,
        zero=("mean", "rstd"),  # their part is in the gradient of input
    )
)

register(
    Op(
        name="layer_norm_double_backward",
        kernel=Kernel(numpy=double_backward_numpy, triton=repeated(double_backward_triton)),
        outputs=("of_grad", "of_input", "of_weight"),
        differentiable=3,
    )
)
