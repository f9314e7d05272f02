"""Convolution, its transpose and its weight gradient, told twice: on columns for BLAS, as implicit products on tiles.

With ``p`` an output place, ``y`` an input place and ``r`` a tap, in each of two dimensions:

    correlate        out[n, k, p] = sum over c, r of input[n, c, p * stride - padding + r * dilation] * weight[k, c, r]
    spread           out[n, c, y] = sum over k, and p, r with p * stride - padding + r * dilation = y, of
                                    input[n, k, p] * weight[k, c, r]
    weight_gradient  out[k, c, r] = sum over n, p of grad[n, k, p] * input[n, c, p * stride - padding + r * dilation]

Places outside the input count as zero, and ``size``, the output's height and width, is given.  So ``spread`` is the
input gradient of ``correlate`` and the other way round, whatever was rounded down, cropped or padded on one side.

``spread`` is computed as stride * stride *phases*: outputs whose places agree modulo the stride use the same few taps
and see the input as a correlation with stride 1.  So nothing is scattered and no product with an inserted zero is made.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import dtypes
from .array import DeviceArray, empty_like
from .gemm import accumulates_in, accumulator_type, multiply_add, splits_of, stepped, sum_parts, tiles
from .language import cdiv, jit, tl
from .launch import contiguous, launch
from .threads import shared_out

Pair = tuple[int, int]
CHUNK = 1 << 21  # bytes of columns made at a time: they should stay in a core's cache


@lru_cache(maxsize=4096)
def phases(taps: int, stride: int, padding: int, dilation: int) -> tuple[tuple[int, int, int, int, int], ...]:
    """For each place modulo ``stride``: the first tap, the step between taps, how many, and where they look.

    Output place ``stride * j + phase`` sees, through tap ``first + t * step``, input place ``j + base - t * apart``:
    the entries are (first, step, count, base, apart).
    """
    common = gcd(dilation, stride)
    step, apart = stride // common, dilation // common
    inverse = pow(apart, -1, step) if step > 1 else 0
    found = []
    for phase in range(stride):
        place = phase + padding
        first = place // common * inverse % step
        count = 0 if place % common else max(cdiv(taps - first, step), 0)
        found.append((first, step, count, (place - first * dilation) // stride, apart))
    return tuple(found)


# -- on columns --------------------------------------------------------------------------------------------------


class _Scratch(threading.local):
    """Memory for columns and products, kept from call to call: fresh memory costs more than filling it."""

    def __init__(self) -> None:
        self.held: dict[str, np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Uninitialised; good until the next call with the same name."""
        size = prod(shape) * dtype.itemsize
        memory = self.held.get(name)
        if memory is None or memory.size < size:
            memory = np.empty(size, np.uint8)
            if size <= 2 * CHUNK:
                self.held[name] = memory
        return memory[:size].view(dtype).reshape(shape)


_scratch = _Scratch()


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype in dtypes.HALF else array


def is_channels_last(shape: tuple[int, ...], strides: tuple[int, ...], width: int = 1) -> bool:
    """Whether a (N, C, H, W) array lies in memory as (N, H, W, C), and is not row-major as well."""
    n, c, h, w = shape
    wanted = (h * w * c * width, width, w * c * width, c * width)
    return c > 1 and h * w > 1 and all(a == b or size == 1 for size, a, b in zip(shape, strides, wanted, strict=True))


def _empty(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    """Memory for (N, C, H, W), channels last where ``like`` is."""
    if is_channels_last(like.shape, like.strides, like.itemsize):
        n, c, h, w = shape
        return np.empty((n, h, w, c), like.dtype).transpose(0, 3, 1, 2)
    return np.empty(shape, like.dtype)


def _chunks(n: int, bytes_each: int) -> list[slice]:
    """Slices of the batch, as equal as can be, whose columns take about CHUNK bytes."""
    count = min(n, max(cdiv(n * bytes_each, CHUNK), 2 if n * bytes_each > CHUNK // 8 else 1)) or 1
    step = cdiv(n, count)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _store(out: np.ndarray, values: np.ndarray, bias: np.ndarray | None) -> None:
    if bias is None:
        np.copyto(out, values)
    else:
        np.add(values, bias[:, None, None], out=out)


@lru_cache(maxsize=4096)
def _taps(
    taps: int, stride: int, padding: int, dilation: int, inner: int, outer: int
) -> tuple[tuple[slice, slice], ...]:
    """For each tap r, which ``inner`` places p see an ``outer`` one, p * stride - padding + r * dilation, and which."""
    found = []
    for r in range(taps):
        shift = r * dilation - padding
        first = max(cdiv(-shift, stride), 0)
        last = max(min((outer - 1 - shift) // stride + 1, inner), first)  # one past
        begin = first * stride + shift
        found.append((slice(first, last), slice(begin, max(begin + (last - first - 1) * stride + 1, begin), stride)))
    return tuple(found)


def _patch(input: np.ndarray, columns: np.ndarray, rows: Any, cols: Any) -> None:
    """Fill columns (C, R, S, n, P, Q), zero where a tap lies outside, from input (n, C, H, W)."""
    channels_first = input.transpose(1, 0, 2, 3)
    for r, (p, y) in enumerate(rows):
        for s, (q, x) in enumerate(cols):
            columns[:, r, s, :, p, q] = channels_first[:, :, y, x]


def _padded(input: np.ndarray, before: Pair, extent: Pair) -> np.ndarray:
    """Input (n, C, H, W) as (n, *extent, C), moved by ``before`` places, zero where there is none."""
    n, c, h, w = input.shape
    last = input.transpose(0, 2, 3, 1)
    if before == (0, 0) and extent == (h, w) and last.flags.c_contiguous:
        return last
    shape = (n, *extent, c)
    inside = tuple((max(b, 0), max(min(b + size, e), 0)) for b, size, e in zip(before, (h, w), extent, strict=True))
    out = _scratch("padded", shape, input.dtype)
    (top, bottom), (left, right) = inside
    out[:, :top] = out[:, bottom:] = out[:, :, :left] = out[:, :, right:] = 0
    if bottom > top and right > left:
        out[:, top:bottom, left:right] = last[
            :, top - before[0] : bottom - before[0], left - before[1] : right - before[1]
        ]
    return out


def _windows(padded: np.ndarray, start: Pair, step: Pair, apart: Pair, size: Pair, taps: Pair) -> np.ndarray:
    """Rows (n * P * Q, R * S * C) of what places see in padded (n, H, W, C): ``start + p * step + r * apart``."""
    n, _, _, c = padded.shape
    a, b, d, e = padded.strides
    view = as_strided(
        padded[:, start[0] :, start[1] :],
        (n, *size, *taps, c),
        (a, b * step[0], d * step[1], b * apart[0], d * apart[1], e),
        writeable=False,
    )
    columns = view
    if not view.flags.c_contiguous:  # as that of a 1 x 1 kernel may be
        columns = _scratch("columns", view.shape, padded.dtype)
        np.copyto(columns, view)
    return columns.reshape(n * size[0] * size[1], taps[0] * taps[1] * c)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b``, good until the next call."""
    return np.matmul(a, b, out=_scratch("product", (*a.shape[:-1], b.shape[-1]), a.dtype))


def _extents(size: Pair, stride: Pair, taps: Pair, dilation: Pair) -> Pair:
    """Height and width of the input that ``size`` places see."""
    high, wide = ((size[d] - 1) * stride[d] + (taps[d] - 1) * dilation[d] + 1 for d in (0, 1))
    return high, wide


def correlate_numpy(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
) -> np.ndarray:
    """``correlate`` (module docstring): input (N, C, H, W), weight (K, C/groups, R, S), bias (K) or None."""
    if input.dtype in dtypes.HALF:
        wide = _wide(input), _wide(weight), None if bias is None else _wide(bias)
        return correlate_numpy(*wide, stride, padding, dilation, groups, size).astype(input.dtype)
    (n, c), (k, each, *taps) = input.shape[:2], weight.shape
    out = _empty((n, k, *size), input)
    if not out.size:
        return out
    places, width = size[0] * size[1], taps[0] * taps[1] * input.itemsize
    if groups == 1 and c >= 8:
        extent = _extents(size, stride, (taps[0], taps[1]), dilation)
        matrix = weight.transpose(2, 3, 1, 0).reshape(-1, k)

        def part_of_output(part: slice) -> None:
            padded = _padded(input[part], padding, extent)
            rows = _product(_windows(padded, (0, 0), stride, dilation, size, (taps[0], taps[1])), matrix)
            _store(out[part], rows.reshape(-1, *size, k).transpose(0, 3, 1, 2), bias)

        shared_out(part_of_output, _chunks(n, places * c * width))
        return out
    depth = each * taps[0] * taps[1]
    matrix = weight.reshape(groups, k // groups, depth)
    rows, cols = (_taps(taps[d], stride[d], padding[d], dilation[d], size[d], input.shape[2 + d]) for d in (0, 1))

    def part_of_output(part: slice) -> None:
        count = part.stop - part.start
        columns = _scratch("columns", (c, *taps, count, *size), input.dtype)
        columns[...] = 0
        _patch(input[part], columns, rows, cols)
        product = _product(matrix, columns.reshape(groups, depth, count * places))
        _store(out[part], product.reshape(k, count, *size).transpose(1, 0, 2, 3), bias)

    shared_out(part_of_output, _chunks(n, places * c * width))
    return out


def spread_numpy(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
) -> np.ndarray:
    """``spread`` (module docstring): input (N, K, P, Q), weight (K, C/groups, R, S), bias (C) or None."""
    if input.dtype in dtypes.HALF:
        wide = _wide(input), _wide(weight), None if bias is None else _wide(bias)
        return spread_numpy(*wide, stride, padding, dilation, groups, size).astype(input.dtype)
    (n, k, p, q), (_, each, *taps) = input.shape, weight.shape
    c = each * groups
    out = _empty((n, c, *size), input)
    if not out.size:
        return out
    if groups == 1 and 8 <= c and k <= 4 * c:
        _spread_by_phases(out, input, weight, bias, stride, padding, dilation)
        return out
    out[...] = 0 if bias is None else bias[:, None, None]
    if not input.size:
        return out
    matrix = weight.reshape(groups, k // groups, each * taps[0] * taps[1]).transpose(0, 2, 1)
    rows, cols = (_taps(taps[d], stride[d], padding[d], dilation[d], input.shape[2 + d], size[d]) for d in (0, 1))

    def part_of_output(part: slice) -> None:
        count = part.stop - part.start
        flat = input[part].transpose(1, 0, 2, 3).reshape(groups, k // groups, -1)
        columns = _product(matrix, flat).reshape(c, *taps, count, p, q)
        target = out[part].transpose(1, 0, 2, 3)
        for r, (inner_p, y) in enumerate(rows):
            for s, (inner_q, x) in enumerate(cols):
                target[:, :, y, x] += columns[:, r, s, :, inner_p, inner_q]

    shared_out(part_of_output, _chunks(n, p * q * c * taps[0] * taps[1] * input.itemsize))
    return out


def _spread_by_phases(
    out: np.ndarray,
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> None:
    n, (c, *taps), size = input.shape[0], weight.shape[1:], out.shape[2:]
    plans = [phases(taps[d], stride[d], padding[d], dilation[d]) for d in (0, 1)]
    before, extent, spans = [], [], []
    for d, plan in enumerate(plans):
        counts = [cdiv(size[d] - phase, stride[d]) for phase in range(len(plan))]  # outputs of each phase
        lows = [base - (count - 1) * apart for _, _, count, base, apart in plan]  # where its first output looks first
        used = [i for i, entry in enumerate(plan) if entry[2] and counts[i] > 0]
        low = min((lows[i] for i in used), default=0)
        high = max((plan[i][3] + counts[i] for i in used), default=low)
        before.append(-low)
        extent.append(high - low)
        spans.append([(counts[i], lows[i] - low, *plan[i]) for i in range(len(plan))])
    flipped = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)  # (R, S, K, C): windows are read upwards, taps go down
    matrices = {}
    for a, (high_count, _, first_r, step_r, many_r, _, _) in enumerate(spans[0]):
        for b, (wide_count, _, first_s, step_s, many_s, _, _) in enumerate(spans[1]):
            if high_count > 0 and wide_count > 0 and many_r and many_s:
                r = taps[0] - 1 - (first_r + (many_r - 1) * step_r)
                s = taps[1] - 1 - (first_s + (many_s - 1) * step_s)
                matrices[a, b] = flipped[r::step_r, s::step_s][:many_r, :many_s].reshape(-1, c)
    largest = max((m.shape[0] * spans[0][a][0] * spans[1][b][0] for (a, b), m in matrices.items()), default=0)

    def part_of_output(part: slice) -> None:
        padded = _padded(input[part], (before[0], before[1]), (extent[0], extent[1]))
        for a, (high_count, top, _, _, many_r, _, apart_r) in enumerate(spans[0]):
            for b, (wide_count, left, _, _, many_s, _, apart_s) in enumerate(spans[1]):
                target = out[part, :, a :: stride[0], b :: stride[1]]
                if (a, b) in matrices:
                    count = (high_count, wide_count)
                    seen = _windows(padded, (top, left), (1, 1), (apart_r, apart_s), count, (many_r, many_s))
                    rows = _product(seen, matrices[a, b]).reshape(-1, *count, c)
                    _store(target, rows.transpose(0, 3, 1, 2), bias)
                else:
                    target[...] = 0 if bias is None else bias[:, None, None]

    shared_out(part_of_output, _chunks(n, largest * input.itemsize))


def weight_gradient_numpy(
    grad: np.ndarray, input: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int, taps: Pair
) -> np.ndarray:
    """``weight_gradient`` (module docstring): grad (N, K, P, Q), input (N, C, H, W), result (K, C/groups, R, S)."""
    if grad.dtype in dtypes.HALF:
        wide = _wide(grad), _wide(input)
        return weight_gradient_numpy(*wide, stride, padding, dilation, groups, taps).astype(grad.dtype)
    (n, k, *size), c = grad.shape, input.shape[1]
    if not grad.size or not input.size:
        return np.zeros((k, c // groups, *taps), grad.dtype)
    places, width = size[0] * size[1], taps[0] * taps[1] * input.itemsize
    total: Any = None
    if groups == 1 and c >= 8:
        extent = _extents((size[0], size[1]), stride, taps, dilation)

        def part_of_sum(part: slice) -> np.ndarray:
            padded = _padded(input[part], padding, extent)
            flat = grad[part].transpose(1, 0, 2, 3).reshape(k, -1)
            return flat @ _windows(padded, (0, 0), stride, dilation, (size[0], size[1]), taps)

        for product in shared_out(part_of_sum, _chunks(n, places * c * width)):
            total = product if total is None else np.add(total, product, out=total)
        return np.ascontiguousarray(total.reshape(k, *taps, c).transpose(0, 3, 1, 2))
    rows, cols = (_taps(taps[d], stride[d], padding[d], dilation[d], size[d], input.shape[2 + d]) for d in (0, 1))

    def part_of_sum_by_group(part: slice) -> np.ndarray:
        count = part.stop - part.start
        columns = _scratch("columns", (c, *taps, count, *size), input.dtype)
        columns[...] = 0
        _patch(input[part], columns, rows, cols)
        flat = grad[part].transpose(1, 0, 2, 3).reshape(groups, k // groups, -1)
        return np.matmul(flat, columns.reshape(groups, -1, count * places).transpose(0, 2, 1))

    for product in shared_out(part_of_sum_by_group, _chunks(n, places * c * width)):
        total = product if total is None else np.add(total, product, out=total)
    return total.reshape(k, c // groups, *taps)


# -- on tiles ----------------------------------------------------------------------------------------------------


@jit
def _phase(
    phase,
    TAPS: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    COMMON: tl.constexpr,
    INVERSE: tl.constexpr,
):
    """First tap and base place of one phase, as ``phases`` has them; a first tap of TAPS where it has none."""
    place = phase + PADDING
    first = (place // COMMON * INVERSE) % (STRIDE // COMMON)
    first = tl.where(place % COMMON == 0, first, TAPS)
    return first, (place - first * DILATION) // STRIDE


@jit
def _convolve(
    out_ptr,
    in_ptr,
    weight_ptr,
    bias_ptr,
    N,
    OH,
    OW,
    K,
    H,
    W,
    C,
    out_strides,
    in_strides,
    weight_strides,
    weight_group,
    R: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    SPREAD: tl.constexpr,
    COMMON: tl.constexpr,
    INVERSE: tl.constexpr,
    COUNT: tl.constexpr,
    FLAT: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
):
    # out (N, groups * K, OH, OW) · in (N, groups * C, H, W) · weight (output channel, input channel, R, S) of one
    # group, the next one weight_group further · bias (groups * K) or None; any strides, UNIT says whether those of
    # out's, in's, weight's output and weight's input channels are 1
    # one program per tile of output places by output channels; second axis: group by phase
    # the sum runs over tap and channel in one loop: block after block of channels at one tap, or, where channels are
    # few (FLAT), over all pairs of them
    if SPREAD:
        PHASES_H: tl.constexpr = STRIDE[0]
        PHASES_W: tl.constexpr = STRIDE[1]
    else:
        PHASES_H: tl.constexpr = 1
        PHASES_W: tl.constexpr = 1
    rows = tl.cdiv(OH, PHASES_H)
    columns = tl.cdiv(OW, PHASES_W)
    M = N.to(tl.int64) * rows * columns
    tiles_n = tl.cdiv(K, BLOCK_N)
    tile = tl.program_id(0).to(tl.int64)
    m = tile // tiles_n * BLOCK_M + tl.arange(0, BLOCK_M)
    k = tile % tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    group = (tl.program_id(1) // (PHASES_H * PHASES_W)).to(tl.int64)
    phase_h = tl.program_id(1) % (PHASES_H * PHASES_W) // PHASES_W
    phase_w = tl.program_id(1) % PHASES_W
    image = m // (rows * columns)
    row = m // columns % rows
    column = m % columns
    if SPREAD:
        first_r, base_h = _phase(phase_h, R, STRIDE[0], PADDING[0], DILATION[0], COMMON[0], INVERSE[0])
        first_s, base_w = _phase(phase_w, S, STRIDE[1], PADDING[1], DILATION[1], COMMON[1], INVERSE[1])
        top = row + base_h
        left = column + base_w
        STEP_R: tl.constexpr = STRIDE[0] // COMMON[0]
        STEP_S: tl.constexpr = STRIDE[1] // COMMON[1]
        APART_H: tl.constexpr = -(DILATION[0] // COMMON[0])
        APART_W: tl.constexpr = -(DILATION[1] // COMMON[1])
    else:
        first_r = 0
        first_s = 0
        top = row * STRIDE[0] - PADDING[0]
        left = column * STRIDE[1] - PADDING[1]
        STEP_R: tl.constexpr = 1
        STEP_S: tl.constexpr = 1
        APART_H: tl.constexpr = DILATION[0]
        APART_W: tl.constexpr = DILATION[1]
    source = in_ptr + (image * in_strides[0] + group * C * in_strides[1])[:, None]
    weights = weight_ptr + group * weight_group + stepped(k, weight_strides[0], UNIT[2])[None, :]
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    if FLAT:
        blocks = tl.cdiv(COUNT[0] * COUNT[1] * C, BLOCK_K)
    else:
        channel_blocks = tl.cdiv(C, BLOCK_K)
        blocks = COUNT[0] * COUNT[1] * channel_blocks
    for i in range(blocks):
        if FLAT:
            pair = i * BLOCK_K + tl.arange(0, BLOCK_K)
            c = pair % C
            tap = pair // C
            t_r = tap // COUNT[1]
            t_s = tap % COUNT[1]
            wanted = (tap < COUNT[0] * COUNT[1]) & (first_r + t_r * STEP_R < R) & (first_s + t_s * STEP_S < S)
            y = top[:, None] + (t_r * APART_H)[None, :]
            x = left[:, None] + (t_s * APART_W)[None, :]
        else:
            tap = i // channel_blocks
            c = i % channel_blocks * BLOCK_K + tl.arange(0, BLOCK_K)
            t_r = tap // COUNT[1]
            t_s = tap % COUNT[1]
            wanted = (c < C) & (first_r + t_r * STEP_R < R) & (first_s + t_s * STEP_S < S)
            y = (top + t_r * APART_H)[:, None]
            x = (left + t_s * APART_W)[:, None]
        r = first_r + t_r * STEP_R
        s = first_s + t_s * STEP_S
        inside = (m < M)[:, None] & (y >= 0) & (y < H) & (x >= 0) & (x < W) & wanted[None, :]
        a = tl.load(
            source + y * in_strides[2] + x * in_strides[3] + stepped(c.to(tl.int64), in_strides[1], UNIT[1])[None, :],
            mask=inside,
            other=0,
        )
        place = stepped(c.to(tl.int64), weight_strides[1], UNIT[3]) + r * weight_strides[2] + s * weight_strides[3]
        b = tl.load(weights + place[:, None], mask=wanted[:, None] & (k < K)[None, :], other=0)
        acc = multiply_add(a, b, acc, DOT)
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + group * K + k, mask=k < K, other=0).to(ACC)[None, :]
    h = row * PHASES_H + phase_h
    w = column * PHASES_W + phase_w
    target = (
        out_ptr
        + (image * out_strides[0] + h * out_strides[2] + w * out_strides[3])[:, None]
        + stepped(group * K + k, out_strides[1], UNIT[0])[None, :]
    )
    mask = ((m < M) & (h < OH) & (w < OW))[:, None] & (k < K)[None, :]
    tl.store(target, acc.to(out_ptr.dtype.element_ty), mask=mask)


@jit
def _weights(
    out_ptr,
    grad_ptr,
    in_ptr,
    N,
    P,
    Q,
    K,
    H,
    W,
    C,
    per_split,
    total,
    grad_strides,
    in_strides,
    R: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    CHANNELS_FIRST: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
):
    # out (splits, groups * K, C, R, S), row-major, total elements a split · grad (N, groups * K, P, Q) ·
    # in (N, groups * C, H, W), any strides, UNIT says whether those of grad's and in's channels are 1
    # one program per tile of K by (C, R, S), flattened so that neighbours are near in memory; second axis: part of
    # the sum over places; third: group
    tiles_n = tl.cdiv(C * R * S, BLOCK_N)
    tile = tl.program_id(0)
    k = tile // tiles_n * BLOCK_M + tl.arange(0, BLOCK_M)
    j = tile % tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1).to(tl.int64)
    group = tl.program_id(2).to(tl.int64)
    if CHANNELS_FIRST:
        c = j // (R * S)
        tap = j % (R * S)
    else:
        c = j % C
        tap = j // C
    wanted = j < C * R * S
    down = tap // S * DILATION[0] - PADDING[0]
    along = tap % S * DILATION[1] - PADDING[1]
    begin = split * per_split
    end = tl.minimum(begin + per_split, N.to(tl.int64) * P * Q)
    grads = grad_ptr + stepped(group * K + k, grad_strides[1], UNIT[0])[:, None]
    source = in_ptr + stepped(group * C + c, in_strides[1], UNIT[1])[None, :]
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    for start in range(begin, end, BLOCK_K):
        m = start + tl.arange(0, BLOCK_K)
        image = m // (P * Q)
        p = m // Q % P
        q = m % Q
        a = tl.load(
            grads + (image * grad_strides[0] + p * grad_strides[2] + q * grad_strides[3])[None, :],
            mask=(k < K)[:, None] & (m < end)[None, :],
            other=0,
        )
        y = (p * STRIDE[0])[:, None] + down[None, :]
        x = (q * STRIDE[1])[:, None] + along[None, :]
        inside = (m < end)[:, None] & wanted[None, :] & (y >= 0) & (y < H) & (x >= 0) & (x < W)
        b = tl.load(
            source + (image * in_strides[0])[:, None] + y * in_strides[2] + x * in_strides[3], mask=inside, other=0
        )
        acc = multiply_add(a, b, acc, DOT)
    place = split * total + ((group * K + k) * C * R * S)[:, None] + (c * R * S + tap)[None, :]
    tl.store(out_ptr + place, acc.to(out_ptr.dtype.element_ty), mask=(k < K)[:, None] & wanted[None, :])


def _empty_device(shape: tuple[int, ...], like: DeviceArray) -> DeviceArray:
    if is_channels_last(like.shape, like.strides):
        n, c, h, w = shape
        return empty_like(like, (n, h, w, c)).viewed(lambda a: a.transpose(0, 3, 1, 2))
    return empty_like(like, shape)


def _convolve_on(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
    spread: bool,
) -> DeviceArray:
    n = input.shape[0]
    taps = weight.shape[2:]
    strides = weight.strides
    if spread:
        c, k = weight.shape[0] // groups, weight.shape[1]
        weight_group, weight_strides = c * strides[0], (strides[1], strides[0], strides[2], strides[3])
        common = tuple(gcd(d, s) for d, s in zip(dilation, stride, strict=True))
        inverse = tuple(
            pow(d // g, -1, s // g) if s > g else 0 for d, s, g in zip(dilation, stride, common, strict=True)
        )
        count = tuple(cdiv(t * g, s) for t, s, g in zip(taps, stride, common, strict=True))
        each = stride
    else:
        c, k = weight.shape[1], weight.shape[0] // groups
        weight_group, weight_strides = k * strides[0], strides
        common, inverse, count, each = (1, 1), (0, 0), taps, (1, 1)
    out = _empty_device((n, k * groups, *size), input)
    if not out.size:
        return out
    large = out.backend.block > 65536
    M = n * cdiv(size[0], each[0]) * cdiv(size[1], each[1])
    flat = c < 16
    dot = k > 4 and input.dtype.kind not in "iub"
    block_m, block_n, block_k, warps = tiles(M, k, count[0] * count[1] * c if flat else c, input.dtype, dot, large)
    # one program per tile of places by channels; second axis: groups by phases
    launch(
        _convolve,
        (cdiv(M, block_m) * cdiv(k, block_n), groups * each[0] * each[1]),
        out,
        input,
        weight,
        None if bias is None else contiguous(bias),
        n,
        *size,
        k,
        *input.shape[2:],
        c,
        out.strides,
        input.strides,
        weight_strides,
        weight_group,
        R=taps[0],
        S=taps[1],
        STRIDE=stride,
        PADDING=padding,
        DILATION=dilation,
        SPREAD=spread,
        COMMON=common,
        INVERSE=inverse,
        COUNT=count,
        FLAT=flat,
        UNIT=(out.strides[1] == 1, input.strides[1] == 1, weight_strides[0] == 1, weight_strides[1] == 1),
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
        ACC=accumulator_type(input.dtype),
        DOT=dot,
        num_warps=warps,
    )
    return out


def correlate_triton(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
) -> DeviceArray:
    """``correlate`` as ``correlate_numpy`` has it."""
    return _convolve_on(input, weight, bias, stride, padding, dilation, groups, size, False)


def spread_triton(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
) -> DeviceArray:
    """``spread`` as ``spread_numpy`` has it."""
    return _convolve_on(input, weight, bias, stride, padding, dilation, groups, size, True)


def weight_gradient_triton(
    grad: DeviceArray, input: DeviceArray, stride: Pair, padding: Pair, dilation: Pair, groups: int, taps: Pair
) -> DeviceArray:
    """``weight_gradient`` as ``weight_gradient_numpy`` has it."""
    (n, k, p, q), c = grad.shape, input.shape[1] // groups
    k //= groups
    out = empty_like(grad, (k * groups, c, *taps))
    if not out.size:
        return out
    columns, places = c * taps[0] * taps[1], n * p * q
    dot = k > 4 and columns > 4
    block_m, block_n, block_k, warps = tiles(k, columns, places, grad.dtype, dot, out.backend.block > 65536)
    programs = cdiv(k, block_m) * cdiv(columns, block_n)
    splits, per_split = splits_of(programs * groups, places, block_k, out.backend)
    into = out if splits == 1 else empty_like(grad, (splits, *out.shape), accumulates_in(grad.dtype))
    # one program per tile of one group's weights and part of the sum over places
    launch(
        _weights,
        (programs, splits, groups),
        into,
        grad,
        input,
        n,
        p,
        q,
        k,
        *input.shape[2:],
        c,
        per_split,
        out.size,
        grad.strides,
        input.strides,
        R=taps[0],
        S=taps[1],
        STRIDE=stride,
        PADDING=padding,
        DILATION=dilation,
        CHANNELS_FIRST=input.strides[1] != 1 or input.shape[1] == 1,
        UNIT=(grad.strides[1] == 1, input.strides[1] == 1),
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
        ACC=accumulator_type(grad.dtype),
        DOT=dot,
        num_warps=warps,
    )
    return out if splits == 1 else sum_parts(into, grad.dtype)
