"""Convolution, its transpose and its weight gradient: what they are, and how they run on columns for BLAS.

With ``p`` an output place, ``y`` an input place and ``r`` a tap, in each of two dimensions:

    correlate        out[n, k, p] = sum over c, r of input[n, c, p * stride - padding + r * dilation] * weight[k, c, r]
    spread           out[n, c, y] = sum over k, and p, r with p * stride - padding + r * dilation = y, of
                                    input[n, k, p] * weight[k, c, r]
    weight_gradient  out[k, c, r] = sum over n, p of grad[n, k, p] * input[n, c, p * stride - padding + r * dilation]

Places outside the input count as zero, and ``size``, the output's height and width, is given.  So ``spread`` is the
input gradient of ``correlate`` and the other way round, whatever was rounded down, cropped or padded on one side.

``spread`` is computed as stride * stride *phases*: outputs whose places agree modulo the stride use the same few taps
and see the input as a correlation with stride 1.  So nothing is scattered and no product with an inserted zero is made.

Results lie in memory as PyTorch's do: channels last where the input or the weight does, else row-major.  The module
``convolve`` has the same functions for GPUs.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import dtypes
from .language import cdiv
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


@lru_cache(maxsize=8192)
def is_channels_last(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether strides suggest (N, H, W, C) in memory, as PyTorch judges: not where row-major would do as well."""
    least = 0
    if strides[1] == 0:
        return False
    for d in (1, 3, 2, 0):
        if shape[d] == 0 or strides[d] < least or (d == 0 and least == strides[1]):
            return False
        least = strides[d] * max(shape[d], 1)
    return True


def output_is_channels_last(input: Any, weight: Any) -> bool:
    """Whether the result for two arrays of four dimensions lies channels last: where either of them does."""
    return is_channels_last(input.shape, input.strides) or is_channels_last(weight.shape, weight.strides)


def _empty(shape: tuple[int, ...], dtype: np.dtype, last: bool) -> np.ndarray:
    """Memory for (N, C, H, W), channels last or row-major."""
    n, c, h, w = shape
    return np.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2) if last else np.empty(shape, dtype)


def _as_laid(array: np.ndarray, dtype: np.dtype, last: bool) -> np.ndarray:
    """The array (N, C, H, W) in that dtype and layout, itself where it is so: to the strides of dimensions of size 1."""
    out = _empty(array.shape, dtype, last)
    if array.dtype == dtype and array.strides == out.strides:
        return array
    np.copyto(out, array, casting="unsafe")
    return out


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
        out = correlate_numpy(*wide, stride, padding, dilation, groups, size)
        return _as_laid(out, input.dtype, output_is_channels_last(input, weight))
    (n, c), (k, each, *taps) = input.shape[:2], weight.shape
    out = _empty((n, k, *size), input.dtype, output_is_channels_last(input, weight))
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
        out = spread_numpy(*wide, stride, padding, dilation, groups, size)
        return _as_laid(out, input.dtype, output_is_channels_last(input, weight))
    (n, k, p, q), (_, each, *taps) = input.shape, weight.shape
    c = each * groups
    out = _empty((n, c, *size), input.dtype, output_is_channels_last(input, weight))
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
    dtype, last = grad.dtype, output_is_channels_last(input, grad)
    if dtype in dtypes.HALF:
        wide = _wide(grad), _wide(input)
        return _as_laid(weight_gradient_numpy(*wide, stride, padding, dilation, groups, taps), dtype, last)
    (n, k, *size), c = grad.shape, input.shape[1]
    if not grad.size or not input.size:
        return _as_laid(np.zeros((k, c // groups, *taps), dtype), dtype, last)
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
        return _as_laid(total.reshape(k, *taps, c).transpose(0, 3, 1, 2), dtype, last)
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
    return _as_laid(total.reshape(k, c // groups, *taps), dtype, last)
