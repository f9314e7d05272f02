"""Each output along an axis as a weighted sum of inputs along it: what padding, windows and interpolation have in common.

out[..., o, ...]     = sum over taps t of weight[o, t] * input[..., index[o, t], ...]     (for each of the axes in turn)
grad_input[..., i, ...] = sum over o, t with index[o, t] = i of weight[o, t] * grad[..., o, ...]

``index`` and ``weight`` follow from a few numbers, the axis's line: see ``table``.  The gradient is the same row with the
table transposed, so it has gradients of every order.  Nothing outside the taps is read: a NaN stays where it is.
Half types are added up in float32 and rounded once.  An image laid out channels-last gives one.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd import Tensor, apply, tensor
from ..framework import dtypes, window
from ..framework.array import empty_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, launch, numbers
from ..framework.op import Grad, Kernel, Op, Sample, register
from .div import div

_MOST_TAPS = 36  # taps of all axes together that one pass adds up


def _pad(n, out, before, kind):
    at = np.arange(out) - before
    if kind == "replicate":
        at = np.clip(at, 0, n - 1)
    elif kind == "circular":  # what is left when the rest is cut off comes again
        cut = min(before, 0)
        at = (np.arange(out) - max(before, 0)) % (n + cut + min(out - n - before, 0)) - cut
    else:  # reflect
        at = np.abs(at)
        at = np.where(at >= n, 2 * (n - 1) - at, at)
    return at[:, None], None


def _ratio(n, out, align_corners, scale):
    """Inputs for each output."""
    if align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1 / scale if scale else n / out


def _nearest(n, out, scale, kind, exact):
    """As PyTorch rounds, in the floating dtype ``kind``."""
    number = np.dtype(kind).type
    ratio = number(1 / scale) if scale else number(n) / number(out)
    at = (np.arange(out).astype(kind) + number(0.5 if exact else 0)) * ratio
    return np.minimum(np.floor(at).astype(np.int64), n - 1)[:, None], None


def _linear(n, out, align_corners, scale):
    if n == out:
        return np.arange(n)[:, None], None
    ratio = _ratio(n, out, align_corners, scale)
    o = np.arange(out)
    at = o * ratio if align_corners else np.maximum((o + 0.5) * ratio - 0.5, 0)
    low = np.minimum(np.floor(at).astype(np.int64), n - 1)
    part = np.clip(at - low, 0, 1)
    return np.stack([low, np.minimum(low + 1, n - 1)], 1), np.stack([1 - part, part], 1)


def _cubic_weight(x, a):
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _cubic(n, out, align_corners, scale):
    if n == out and not scale:
        return np.arange(n)[:, None], None
    ratio = _ratio(n, out, align_corners, scale)
    o = np.arange(out)
    at = o * ratio if align_corners else (o + 0.5) * ratio - 0.5
    low = np.floor(at).astype(np.int64)
    taps = low[:, None] + np.arange(-1, 3)
    return np.clip(taps, 0, n - 1), _cubic_weight(at[:, None] - taps, -0.75)


def _smooth(n, out, align_corners, scale, cubic):
    """Interpolation whose filter widens where several inputs meet in an output."""
    ratio = _ratio(n, out, align_corners, scale)
    wide = max(ratio, 1.0)
    support = (2.0 if cubic else 1.0) * wide
    center = (np.arange(out) + 0.5) * ratio
    begin = np.maximum((center - support + 0.5).astype(np.int64), 0)
    end = np.minimum((center + support + 0.5).astype(np.int64), n)
    taps = begin[:, None] + np.arange(max(1, int((end - begin).max(initial=1))))
    away = (taps - center[:, None] + 0.5) / wide
    weight = _cubic_weight(away, -0.5) if cubic else np.maximum(1 - np.abs(away), 0)
    weight = np.where(taps < end[:, None], weight, 0)
    weight /= weight.sum(1, keepdims=True)
    return np.where(taps < end[:, None], taps, -1), weight


def _mean(n, out, k, s, p, count_include_pad, divisor=None):
    """Means over windows, or sums by ``divisor``; taps in the padding count as zeros, or not at all."""
    o = np.arange(out)
    begin = o * s - p
    end = np.minimum(begin + k, n + p)
    taps = begin[:, None] + np.arange(k)
    inside = (taps >= 0) & (taps < np.minimum(end, n)[:, None])
    count = end - begin if count_include_pad else inside.sum(1)
    if divisor is not None:
        return np.where(inside, taps, -1), inside / divisor
    return np.where(inside, taps, -1), inside / np.maximum(count, 1)[:, None]


def _sum(n, out, k, s, p):
    """Sums over windows, without weights."""
    taps, _ = _mean(n, out, k, s, p, True)
    return taps, None


def bounds(n: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of the windows that divide an axis evenly begins and ends."""
    o = np.arange(out)
    return o * n // max(out, 1), -(-(o + 1) * n // max(out, 1))


def _adaptive(n, out):
    begin, end = bounds(n, out)
    taps = begin[:, None] + np.arange(max(1, int((end - begin).max(initial=1))))
    inside = taps < end[:, None]
    return np.where(inside, taps, -1), inside / (end - begin)[:, None]


def _windows(n, out):
    """The windows of ``_adaptive`` one after the other, each as long as the longest: its last element is repeated."""
    begin, end = bounds(n, out)
    taps = begin[:, None] + np.arange(max(1, int((end - begin).max(initial=1))))
    return np.minimum(taps, end[:, None] - 1).reshape(-1, 1), None


def _taps(n, out, k, s, p, d):
    """For each tap, what it reads at each of ``out`` places."""
    at = (np.arange(k)[:, None] * d + np.arange(out) * s - p).reshape(-1, 1)
    return np.where((at >= 0) & (at < n), at, -1), None


_KINDS = {
    "pad": _pad,
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
    "smooth": _smooth,
    "mean": _mean,
    "sum": _sum,
    "adaptive": _adaptive,
    "windows": _windows,
    "taps": _taps,
}
Line = tuple  # (kind, size of the input, then the arguments of that kind)


@lru_cache(maxsize=512)
def table(line: Line, transposed: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """For each output, which inputs are added, (outputs, taps), -1 for none; and their weights, None where all are 1."""
    make: Any = _KINDS[line[0]]
    index, weight = make(*line[1:])
    if not transposed:
        return index.astype(np.int32), weight
    outputs, taps = index.shape
    flat = index.reshape(-1)
    order = np.argsort(flat, kind="stable")
    order = order[np.searchsorted(flat[order], 0) :]  # without those that read nothing
    if weight is not None:
        order = order[weight.reshape(-1)[order] != 0]
    source = flat[order]
    counts = np.bincount(source, minlength=line[1])
    slot = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    most = max(1, int(counts.max(initial=1)))
    back = np.full((line[1], most), -1, np.int32)
    back[source, slot] = order // taps
    if weight is None:
        return back, None
    weights = np.zeros(back.shape)
    weights[source, slot] = weight.reshape(-1)[order]
    return back, weights


def lines_shape(shape: tuple[int, ...], first: int, lines: tuple[Line, ...], transposed: bool) -> tuple[int, ...]:
    """The shape of what ``lines``, of the axes from ``first`` (negative) on, make of an input."""
    made = list(shape)
    for i, line in enumerate(lines):
        made[first + i] = line[1] if transposed else len(table(line, False)[0])
    return tuple(made)


def _by_channels(input, first, lines):
    """Where the lines begin in the order of memory of a channels-last image, None if it is none."""
    if input.ndim != 4 or not window.channels_last(input):
        return None
    if first == -3:
        return -1 if len(lines) == 1 else None
    return first - 1


def _run_of(index):
    """The numbers as a slice where they are one."""
    if len(index) == 1:
        return slice(int(index[0]), int(index[0]) + 1)
    step = int(index[1] - index[0])
    if step > 0 and (np.diff(index) == step).all():
        return slice(int(index[0]), int(index[-1]) + 1, step)
    return index


def _along(x, axis, index, weight):
    """One axis of an array, in the array's dtype."""
    front = (slice(None),) * axis
    outputs, taps = index.shape
    if taps == 1 and weight is None and index.min(initial=0) >= 0:
        return np.take(x, index[:, 0], axis)
    out = np.zeros((*x.shape[:axis], outputs, *x.shape[axis + 1 :]), x.dtype)
    if outputs < taps:
        behind = (1,) * (x.ndim - axis - 1)
        for o in range(outputs):
            there = np.flatnonzero(index[o] >= 0)
            if there.size:
                values = x[(*front, _run_of(index[o, there]))]
                if weight is not None:
                    values = values * weight[o, there].astype(x.dtype).reshape(-1, *behind)
                out[(*front, o)] = np.add.reduce(values, axis=axis)
        return out
    for t in range(taps):
        there = np.flatnonzero(index[:, t] >= 0)
        if not there.size:
            continue
        values = x[(*front, _run_of(index[there, t]))]
        if weight is not None:
            values = values * weight[there, t].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
        out[(*front, _run_of(there))] += values
    return out


def forward_numpy(input, *, first, lines, transposed):
    moved = _by_channels(input, first, lines)
    by_channels = moved is not None
    x = np.moveaxis(input, 1, -1) if by_channels else input
    first = moved if by_channels else first
    tables = [table(line, transposed) for line in lines]
    if input.dtype in dtypes.HALF and any(w is not None or i.shape[1] > 1 for i, w in tables):
        x = x.astype(np.float32)
    for i, (index, weight) in enumerate(tables):
        x = _along(x, x.ndim + first + i, index, weight)
    x = x.astype(input.dtype, copy=False)
    return np.moveaxis(x, -1, 1) if by_channels else x


@jit
def _resample(
    out_ptr,
    in_ptr,
    n,
    zero,
    tables,
    weights,
    sizes,
    outputs,
    inner,
    TAPS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in (outer, *sizes, inner), out (outer, *outputs, inner), row-major, out of n elements · one table for each axis,
    # (outputs[a], TAPS[a]), and weights alike, None for ones · one program per BLOCK elements of out
    AXES: tl.constexpr = len(TAPS)
    element = numbers(tl.program_id(0).to(tl.int64) * BLOCK, BLOCK, WIDE)
    here = element < n
    total = tl.zeros((BLOCK,), zero.dtype)
    ALL: tl.constexpr = TAPS[0] * (TAPS[1] if AXES > 1 else 1) * (TAPS[2] if AXES > 2 else 1)
    for t in range(ALL):
        rest = element // inner
        tap = t
        offset = element % inner
        step = inner
        inside = here
        factor = zero + 1
        for i in tl.static_range(AXES - 1, -1, -1):
            at = rest % outputs[i] * TAPS[i] + tap % TAPS[i]
            index = tl.load(tables[i] + at, mask=here, other=-1)
            if weights[i] is not None:
                factor = factor * tl.load(weights[i] + at, mask=here, other=0.0)
            inside = inside & (index >= 0)
            offset += index.to(element.dtype) * step
            step = step * sizes[i]
            rest = rest // outputs[i]
            tap = tap // TAPS[i]
        value = tl.load(in_ptr + (offset + rest * step), mask=inside, other=0)
        if WEIGHTED:
            total += tl.where(inside, value.to(zero.dtype) * factor, zero)
        elif ALL > 1:
            total += value.to(zero.dtype)
        else:
            total = value.to(zero.dtype)
    tl.store(out_ptr + element, total.to(out_ptr.dtype.element_ty), mask=here)


def _pass(x, first, lines, transposed, dtype):
    """One launch, on contiguous memory."""
    work = np.dtype(np.float32) if x.dtype in dtypes.HALF else x.dtype
    found = [table(line, transposed) for line in lines]
    shape = lines_shape(x.shape, first, lines, transposed)
    out = empty_like(x, shape, dtype)
    if not out.size:
        return out
    backend = x.backend
    tables, weights = [], []
    for line, (index, weight) in zip(lines, found, strict=True):
        tables.append(backend.table(("taps", line, transposed), lambda index=index: index))
        weights.append(
            None
            if weight is None
            else backend.table(("weights", line, transposed, work.name), lambda weight=weight: weight.astype(work))
        )
    rank = x.ndim
    axes = range(rank + first, rank + first + len(lines))
    inner = int(np.prod(shape[rank + first + len(lines) :], dtype=np.int64))
    work = np.dtype(np.int8) if work.kind == "b" else work
    block = backend.block_size(out.size)
    # one program per BLOCK elements of out
    launch(
        _resample,
        (cdiv(out.size, block),),
        out,
        x,
        out.size,
        work.type(0),
        tuple(tables),
        tuple(weights),
        tuple(x.shape[a] for a in axes),
        tuple(shape[a] for a in axes),
        inner,
        TAPS=tuple(index.shape[1] for index, _ in found),
        WEIGHTED=any(w is not None for _, w in found),
        WIDE=max(out.size, x.size) >= 2**31 - 2**20,
        BLOCK=block,
    )
    return out


def forward_triton(input, *, first, lines, transposed):
    moved = _by_channels(input, first, lines)
    by_channels = moved is not None
    x = contiguous(input.viewed(lambda a: np.moveaxis(a, 1, -1)) if by_channels else input)
    first = moved if by_channels else first
    taps = [table(line, transposed)[0].shape[1] for line in lines]
    if np.prod(taps) <= _MOST_TAPS:
        out = _pass(x, first, lines, transposed, input.dtype)
    else:  # one axis at a time, what lies between them not rounded
        wide = np.dtype(np.float32) if input.dtype in dtypes.HALF else input.dtype
        order = sorted(range(len(lines)), key=lambda i: -taps[i])
        for i in order:
            x = _pass(x, first + i, lines[i : i + 1], transposed, input.dtype if i == order[-1] else wide)
        out = x
    return out.viewed(lambda a: np.moveaxis(a, -1, 1)) if by_channels else out


def samples(rng):
    def settings(first, *lines, transposed=False):
        return {"first": first, "lines": lines, "transposed": transposed}

    x = np.array([[1.0, 2.0, 4.0]])
    yield Sample(
        "reflect", (x,), settings(-1, ("pad", 3, 6, 2, "reflect")),
        answers=([[4.0, 2.0, 1.0, 2.0, 4.0, 2.0]], [[1.0, 3.0, 2.0]]),
    )  # fmt: skip
    yield Sample(
        "replicate", (x,), settings(-1, ("pad", 3, 6, 2, "replicate")),
        answers=([[1.0, 1.0, 1.0, 2.0, 4.0, 4.0]], [[3.0, 1.0, 2.0]]),
    )  # fmt: skip
    yield Sample(
        "circular, cut", (x,), settings(-1, ("pad", 3, 4, -1, "circular")),
        answers=([[2.0, 4.0, 2.0, 4.0]], [[0.0, 2.0, 2.0]]),
    )  # fmt: skip
    yield Sample(
        "linear", (np.array([1.0, 5.0]),), settings(-1, ("linear", 2, 4, False, None)),
        answers=([1.0, 2.0, 4.0, 5.0], [2.0, 2.0]),
    )  # fmt: skip
    yield Sample(
        "corners", (np.array([1.0, 4.0]),), settings(-1, ("linear", 2, 4, True, None)),
        answers=([1.0, 2.0, 3.0, 4.0], [2.0, 2.0]), terms=4,
    )  # fmt: skip
    yield Sample(
        "mean", (np.array([1.0, 2.0, 6.0]),), settings(-1, ("mean", 3, 2, 2, 2, 1, False)),
        answers=([1.0, 4.0], [1.0, 0.5, 0.5]),
    )  # fmt: skip
    yield Sample(
        "taps", (np.array([1.0, 2.0, 3.0]),), settings(-1, ("taps", 3, 2, 2, 2, 1, 1)),
        answers=([0.0, 2.0, 1.0, 3.0], [1.0, 1.0, 1.0]),
    )  # fmt: skip
    yield Sample(
        "not a number", (np.array([1.0, np.nan, np.inf, 2.0]),), settings(-1, ("nearest", 4, 2, None, "float32", False)),
        answers=([1.0, np.inf], [1.0, 0.0, 1.0, 0.0]),
    )  # fmt: skip
    yield Sample(
        "integers", (np.array([[3, 1]]),), settings(-1, ("pad", 2, 3, 1, "circular")), answers=([[1, 3, 1]],), dtypes=()
    )
    two = (("linear", 4, 7, False, None), ("cubic", 5, 3, True, None))
    for shape, first, lines, transposed in [
        ((2, 3, 4, 5), -2, two, False),
        ((2, 3, 7, 3), -2, two, True),
        ((2, 3, 4, 5), -3, (("pad", 3, 6, 1, "reflect"),), False),
        ((2, 4, 5, 3), -3, (("mean", 4, 2, 3, 2, 1, True), ("adaptive", 5, 3), ("smooth", 3, 2, False, None, True)), False),
        ((9, 70), -2, (("adaptive", 9, 1), ("adaptive", 70, 2)), False),
        ((3, 6), -1, (("taps", 3, 3, 2, 1, 1, 2),), True),
        ((0, 3), -1, (("pad", 3, 4, 1, "replicate"),), False),
    ]:  # fmt: skip
        yield Sample(
            f"shape {shape} {lines[0][0]}{' back' if transposed else ''}",
            (rng.normal(size=shape),),
            settings(first, *lines, transposed=transposed),
            terms=160,
        )
    yield Sample(
        "channels last",
        (rng.normal(size=(2, 4, 5, 3)).transpose(0, 3, 1, 2),),
        settings(-2, *two),
        terms=16,
    )
    yield Sample(
        "channels last, channels",
        (rng.normal(size=(2, 2, 3, 5)).transpose(0, 3, 1, 2),),
        settings(-3, ("mean", 5, 5, 3, 1, 1, True)),
        terms=3,
    )


def integer_mean(
    input: Tensor,
    out: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Means of integers over windows of the last dimensions, rounded towards zero as PyTorch rounds them.

    >>> integer_mean(tensor([[1, 2, -4]]), (2,), (2,), (1,), (0,), True, None).numpy()
    array([[ 1, -1]])
    """
    shape = input.shape[-len(out) :]
    windows = tuple(zip(shape, out, kernel, stride, padding, strict=True))
    sums = apply(RESAMPLE, input, first=-len(out), lines=tuple(("sum", *w) for w in windows), transposed=False)
    if divisor is not None:
        return div(sums, divisor, rounding_mode="trunc")
    counts = np.ones((1,) * len(out), np.int64)
    for d, (n, o, k, s, p) in enumerate(windows):
        begin = np.arange(o) * s - p
        end = np.minimum(begin + k, n + p)
        own = end - begin if count_include_pad else np.minimum(end, n) - np.maximum(begin, 0)
        counts = counts * np.maximum(own, 1).reshape(-1, *(1,) * (len(out) - d - 1))
    return div(sums, tensor(counts, device=input.device), rounding_mode="trunc")


def _turned(call):
    return {**call.settings, "transposed": not call.settings["transposed"]}


KERNEL = Kernel(numpy=forward_numpy, triton=forward_triton)
GRADS = (Grad(of=("input",), keeps=(), op="resample", settings=_turned),)
RESAMPLE = register(Op(name="resample", kernel=KERNEL, grads=GRADS, samples=samples))
