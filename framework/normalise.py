"""Kernels that bring channels to a mean and a deviation, and their gradients: what batch normalisation runs.

An array of C channels is walked as ``Rows``, one row a channel: BLOCK_M channels and BLOCK_R of their values at a time,
wide along channels where these are neighbours in memory (channels-last), else along the values.  Statistics and sums
are taken of shares of the values, one program each, and merged by every program that needs them, in the same order;
where a channel's values are few enough for one program, it does both in one launch.  Deviations are Welford's, merged
as by Chan, Golub and LeVeque (1983), so that a mean far larger than the deviation costs no digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray, empty_like
from .epilogue import Chain, finish, unpacked
from .language import cdiv, jit, next_power_of_2, tl
from .launch import contiguous, launch, load_at
from .reduction import Rows, extent, load_tile, offsets_of, row_numbers, rows_of, store_tile
from .repeat import repeated
from .strides import Ints, packed

_MOST_SPLITS = 128  # each program merges them all


@jit
def _parameter(value, m, here, KIND: tl.constexpr, TYPE: tl.constexpr):
    """A weight or bias of each channel, which may be one number for all."""
    return load_at(value, m, here, KIND, (1,), (1,)).to(TYPE)


@jit
def _shares(R, tiles, BLOCK_R: tl.constexpr):
    """This program's tiles, from ``begin`` to ``end``; those before ``whole`` have no place beyond R."""
    begin = tl.program_id(1) * tiles
    end = tl.minimum(begin + tiles, tl.cdiv(R, BLOCK_R).to(tl.int32))
    return begin, tl.minimum(end, (R // BLOCK_R).to(tl.int32)), end


@jit
def _beside(values, FORM: tl.constexpr):
    """One value a channel, to be combined with a tile."""
    return tl.expand_dims(values, 0 if FORM[3] else 1)


@jit
def _blank(KIND: tl.constexpr, FORM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_R: tl.constexpr):
    """A tile of zeros."""
    if FORM[3]:
        return tl.zeros((BLOCK_R, BLOCK_M), KIND)
    else:
        return tl.zeros((BLOCK_M, BLOCK_R), KIND)


@jit
def _moments(
    x_ptr,
    i: tl.constexpr,
    R,
    tiles,
    m,
    lane,
    here,
    geometry,
    KIND: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """Mean and sum of squares about it of this program's share of each channel; ``i`` is the operand's number."""
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    begin, whole, end = _shares(R, tiles, BLOCK_R)
    mean = _blank(KIND, FORM, BLOCK_M, BLOCK_R)
    m2 = _blank(KIND, FORM, BLOCK_M, BLOCK_R)
    # Welford's update, at each place of the tile for itself; only the last tile has places outside
    for tile in range(begin, whole):
        x = load_tile(x_ptr, m, tl.cast(tile, lane.dtype) * BLOCK_R + lane, here, 0.0, i, geometry, FORM).to(KIND)
        delta = x - mean
        mean += delta * (1.0 / (tile - begin + 1).to(KIND))
        m2 += delta * (x - mean)
    for tile in range(tl.maximum(begin, whole), end):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        mask = here & tl.expand_dims(r < R, 1 - AXIS)
        x = load_tile(x_ptr, m, r, mask, 0.0, i, geometry, FORM).to(KIND)
        delta = tl.where(mask, x - mean, 0.0)
        mean += delta * (1.0 / (tile - begin + 1).to(KIND))
        m2 += delta * (x - mean)
    seen = tl.maximum(whole - begin, 0)
    length = tl.minimum(R, end.to(R.dtype) * BLOCK_R) - begin.to(R.dtype) * BLOCK_R
    counts = tl.expand_dims((seen + (lane < length - seen * BLOCK_R).to(tl.int32)).to(KIND), 1 - AXIS)
    center = tl.sum(mean * counts, AXIS) / length.to(KIND)
    apart = mean - tl.expand_dims(center, AXIS)
    return center, tl.sum(m2 + counts * apart * apart, AXIS)


@jit
def _advance(running_mean_ptr, running_var_ptr, steps, mean, var, momentum, unbiased, m, mask):
    """Running averages, if there are any, move towards a batch's own."""
    if running_mean_ptr is not None:
        at_mean = running_mean_ptr + m * steps[0]
        at_var = running_var_ptr + m * steps[1]
        old_mean = tl.load(at_mean, mask=mask, other=0.0).to(mean.dtype)
        old_var = tl.load(at_var, mask=mask, other=0.0).to(mean.dtype)
        mean = (1 - momentum) * old_mean + momentum * mean
        var = (1 - momentum) * old_var + momentum * (var * unbiased)
        tl.store(at_mean, mean.to(running_mean_ptr.dtype.element_ty), mask=mask)
        tl.store(at_var, var.to(running_var_ptr.dtype.element_ty), mask=mask)


@jit
def _statistics(
    mean_ptr,
    m2_ptr,
    x_ptr,
    rows,
    columns,
    tiles,
    geometry,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # x: C channels of R values (operand 1) · mean, m2 (splits, C), row-major: each share's mean and sum of squares
    # about it
    # one program per BLOCK_M channels and ``tiles`` tiles of their values
    C, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    there = m < C
    KIND: tl.constexpr = mean_ptr.dtype.element_ty
    mean, m2 = _moments(x_ptr, 1, R, tiles, m, lane, _beside(there, FORM), geometry, KIND, FORM, BLOCK_M, BLOCK_R)
    at = tl.program_id(1) * C + m
    tl.store(mean_ptr + at, mean, mask=there)
    tl.store(m2_ptr + at, m2, mask=there)


@jit
def _merged(mean_ptr, m2_ptr, m, C, R, split_values, splits, KIND: tl.constexpr, SPLITS: tl.constexpr):
    """Mean and variance of each channel from those of its shares of ``split_values`` values."""
    s = tl.arange(0, SPLITS)
    some = (s[:, None] < splits) & (m[None, :] < C)
    counts = tl.maximum(tl.minimum(R - s.to(R.dtype) * split_values, split_values), 0).to(KIND)[:, None]
    at = s[:, None] * C + m[None, :]
    means = tl.load(mean_ptr + at, mask=some, other=0.0)
    m2 = tl.load(m2_ptr + at, mask=some, other=0.0)
    mean = tl.sum(means * counts, 0) / R.to(KIND)
    apart = means - mean[None, :]
    return mean, tl.sum(m2 + counts * apart * apart, 0) / R.to(KIND)


@jit
def _apply_tile(
    out_ptr, x_ptr, m, r, mask, mean, scale, shift, geometry, operands, settings, FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr, KIND: tl.constexpr, FORM: tl.constexpr,
):  # fmt: skip
    x = load_tile(x_ptr, m, r, mask, 0.0, 1, geometry, FORM).to(KIND)
    at = offsets_of(m, r, 0, geometry, FORM)
    value = (x - mean) * scale + shift
    value = finish(value, at, mask, FUNCTIONS, FIRST, operands, settings, out_ptr.dtype.element_ty)
    tl.store(out_ptr + at, value, mask=mask)


@jit
def _apply(
    out_ptr,
    mean_ptr,
    var_ptr,
    x_ptr,
    weight,
    bias,
    split_mean_ptr,
    split_m2_ptr,
    running_mean_ptr,
    running_var_ptr,
    batches_ptr,
    running_steps,
    momentum,
    unbiased,
    eps,
    rows,
    columns,
    tiles,
    split_values,
    splits,
    geometry,
    operands,
    settings,
    FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr,
    STATISTICS: tl.constexpr,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    SPLITS: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # out, x: C channels of R values (operands 0 and 1) · weight, bias (C,) or a number
    # mean, var (C,): read if STATISTICS is "given"; written if "split": merged from those of shares, (splits, C) each;
    # or if "own": this program has all values of its channels · running_mean, running_var (C,): None, or updated ·
    # batches (): None, or counted up
    # one program per BLOCK_M channels and ``tiles`` tiles of their values
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    KIND: tl.constexpr = eps.dtype
    C, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    there = m < C
    here = _beside(there, FORM)
    if STATISTICS == "given":
        mean = tl.load(mean_ptr + m, mask=there, other=0.0).to(KIND)
        var = tl.load(var_ptr + m, mask=there, other=1.0).to(KIND)
    else:
        if STATISTICS == "own":
            mean, var = _moments(x_ptr, 1, R, tiles, m, lane, here, geometry, KIND, FORM, BLOCK_M, BLOCK_R)
            var = var / R.to(KIND)
        else:
            mean, var = _merged(split_mean_ptr, split_m2_ptr, m, C, R, split_values, splits, KIND, SPLITS)
        if tl.program_id(1) == 0:
            tl.store(mean_ptr + m, mean, mask=there)
            tl.store(var_ptr + m, var, mask=there)
            _advance(running_mean_ptr, running_var_ptr, running_steps, mean, var, momentum, unbiased, m, there)
            if batches_ptr is not None:
                if tl.program_id(0) == 0:
                    tl.store(batches_ptr, tl.load(batches_ptr) + 1)
    scale = _beside(_parameter(weight, m, there, WEIGHT, KIND) / tl.sqrt(var + eps), FORM)
    shift = _beside(tl.broadcast_to(_parameter(bias, m, there, BIAS, KIND), (BLOCK_M,)), FORM)
    mean = _beside(mean, FORM)
    begin, whole, end = _shares(R, tiles, BLOCK_R)
    for tile in range(begin, whole):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        _apply_tile(
            out_ptr, x_ptr, m, r, here, mean, scale, shift, geometry, operands, settings, FUNCTIONS, FIRST, KIND, FORM
        )
    for tile in range(tl.maximum(begin, whole), end):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        mask = here & tl.expand_dims(r < R, 1 - AXIS)
        _apply_tile(
            out_ptr, x_ptr, m, r, mask, mean, scale, shift, geometry, operands, settings, FUNCTIONS, FIRST, KIND, FORM
        )


@jit
def _add_up(
    grad_ptr,
    x_ptr,
    other_ptr,
    places: tl.constexpr,
    mean,
    R,
    tiles,
    m,
    lane,
    here,
    geometry,
    KIND: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """The sums that gradients need of this program's share: see ``_sums``.  ``places`` are the operands' numbers."""
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    sum_grad = _blank(KIND, FORM, BLOCK_M, BLOCK_R)
    grad_x = _blank(KIND, FORM, BLOCK_M, BLOCK_R)
    sum_other = sum_grad
    other_x = sum_grad
    other_grad = sum_grad
    begin, whole, end = _shares(R, tiles, BLOCK_R)
    for tile in range(begin, end):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        mask = here & tl.expand_dims(r < R, 1 - AXIS)
        grad = load_tile(grad_ptr, m, r, mask, 0.0, places[0], geometry, FORM).to(KIND)
        x = load_tile(x_ptr, m, r, mask, 0.0, places[1], geometry, FORM).to(KIND) - mean
        sum_grad += grad
        grad_x += grad * x
        if other_ptr is not None:
            other = load_tile(other_ptr, m, r, mask, 0.0, places[2], geometry, FORM).to(KIND)
            sum_other += other
            other_x += other * x
            other_grad += other * grad
    if other_ptr is None:
        return (tl.sum(sum_grad, AXIS), tl.sum(grad_x, AXIS))
    else:
        return (
            tl.sum(sum_grad, AXIS),
            tl.sum(grad_x, AXIS),
            tl.sum(sum_other, AXIS),
            tl.sum(other_x, AXIS),
            tl.sum(other_grad, AXIS),
        )


@jit
def _sums(
    out_ptr,
    grad_ptr,
    x_ptr,
    other_ptr,
    mean_ptr,
    rows,
    columns,
    tiles,
    splits,
    geometry,
    PLACES: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # grad, x, other: C channels of R values (operands PLACES) · mean (C,) · out (2 or 5, splits, C): sums of grad, of
    # grad * (x - mean) and, where other is given, of other, of other * (x - mean) and of other * grad
    # one program per BLOCK_M channels and ``tiles`` tiles of their values
    KIND: tl.constexpr = out_ptr.dtype.element_ty
    C, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    there = m < C
    mean = _beside(tl.load(mean_ptr + m, mask=there, other=0.0).to(KIND), FORM)
    sums = _add_up(
        grad_ptr, x_ptr, other_ptr, PLACES, mean, R, tiles, m, lane, _beside(there, FORM), geometry, KIND, FORM,
        BLOCK_M, BLOCK_R,
    )  # fmt: skip
    for i in tl.static_range(len(sums)):
        tl.store(out_ptr + ((i * splits + tl.program_id(1)) * C + m), sums[i], mask=there)


@jit
def _total(sums_ptr, i: tl.constexpr, m, C, splits, SPLITS: tl.constexpr):
    """One of the sums of each channel, over all shares."""
    s = tl.arange(0, SPLITS)
    at = (i * splits + s[:, None]) * C + m[None, :]
    return tl.sum(tl.load(sums_ptr + at, mask=(s[:, None] < splits) & (m[None, :] < C), other=0.0), 0)


@jit
def _backward(
    out_ptr,
    grad_weight_ptr,
    grad_bias_ptr,
    grad_ptr,
    x_ptr,
    weight,
    mean_ptr,
    var_ptr,
    sums_ptr,
    eps,
    rows,
    columns,
    tiles,
    splits,
    geometry,
    WEIGHT: tl.constexpr,
    TRAINING: tl.constexpr,
    SPLITS: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # out, grad, x: C channels of R values (operands 0 to 2) · grad_weight, grad_bias, mean, var (C,) · weight (C,) or a
    # number · sums (2, splits, C), or None: this program has all values of its channels
    # one program per BLOCK_M channels and ``tiles`` tiles of their values
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    KIND: tl.constexpr = eps.dtype
    C, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    there = m < C
    here = _beside(there, FORM)
    mean = _beside(tl.load(mean_ptr + m, mask=there, other=0.0).to(KIND), FORM)
    inverse = 1 / tl.sqrt(tl.load(var_ptr + m, mask=there, other=1.0).to(KIND) + eps)
    scale = _parameter(weight, m, there, WEIGHT, KIND) * inverse
    if sums_ptr is not None:
        grad_bias = _total(sums_ptr, 0, m, C, splits, SPLITS)
        grad_weight = _total(sums_ptr, 1, m, C, splits, SPLITS)
    else:
        grad_bias, grad_weight = _add_up(
            grad_ptr, x_ptr, None, (1, 2), mean, R, tiles, m, lane, here, geometry, KIND, FORM, BLOCK_M, BLOCK_R
        )
    grad_weight = grad_weight * inverse
    if tl.program_id(1) == 0:
        tl.store(grad_weight_ptr + m, grad_weight.to(grad_weight_ptr.dtype.element_ty), mask=there)
        tl.store(grad_bias_ptr + m, grad_bias.to(grad_bias_ptr.dtype.element_ty), mask=there)
    total = R.to(KIND)
    along = _beside(inverse * grad_weight / total, FORM)
    level = _beside(grad_bias / total, FORM)
    scale = _beside(scale, FORM)
    begin, whole, end = _shares(R, tiles, BLOCK_R)
    for tile in range(begin, end):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        mask = here & tl.expand_dims(r < R, 1 - AXIS)
        value = load_tile(grad_ptr, m, r, mask, 0.0, 1, geometry, FORM).to(KIND)
        if TRAINING:
            x = load_tile(x_ptr, m, r, mask, 0.0, 2, geometry, FORM).to(KIND) - mean
            value = value - level - x * along
        store_tile(out_ptr, value * scale, m, r, mask, 0, geometry, FORM)


@jit
def _double_backward(
    of_grad_ptr,
    of_input_ptr,
    of_weight_ptr,
    other_ptr,
    grad_weight_ptr,
    grad_bias_ptr,
    grad_ptr,
    x_ptr,
    weight,
    mean_ptr,
    var_ptr,
    sums_ptr,
    eps,
    rows,
    columns,
    tiles,
    splits,
    geometry,
    WEIGHT: tl.constexpr,
    TRAINING: tl.constexpr,
    SPLITS: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # of_grad, of_input, other, grad, x: C channels of R values (operands 0 to 4) · of_weight, grad_weight, grad_bias,
    # mean, var (C,) · weight (C,) or a number · sums (5, splits, C); other is the gradient that came for grad_input
    # one program per BLOCK_M channels and ``tiles`` tiles of their values
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    KIND: tl.constexpr = eps.dtype
    C, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    there = m < C
    here = _beside(there, FORM)
    mean = _beside(tl.load(mean_ptr + m, mask=there, other=0.0).to(KIND), FORM)
    inverse = 1 / tl.sqrt(tl.load(var_ptr + m, mask=there, other=1.0).to(KIND) + eps)
    scale = _parameter(weight, m, there, WEIGHT, KIND) * inverse
    b = tl.load(grad_weight_ptr + m, mask=there, other=0.0).to(KIND)
    level = tl.load(grad_bias_ptr + m, mask=there, other=0.0).to(KIND)
    product = _total(sums_ptr, 4, m, C, splits, SPLITS)
    p = b * 0
    q = b
    along_grad = b * inverse
    along_input = b * 0
    level_input = b * 0
    if TRAINING:
        total = R.to(KIND)
        sum_grad = _total(sums_ptr, 0, m, C, splits, SPLITS)
        sum_other = _total(sums_ptr, 2, m, C, splits, SPLITS)
        along_g = _total(sums_ptr, 1, m, C, splits, SPLITS) * inverse
        along_a = _total(sums_ptr, 3, m, C, splits, SPLITS) * inverse
        product -= (sum_other * sum_grad + along_a * along_g) / total
        p = -scale * along_g / total
        q = b - scale * along_a / total
        along_grad = q * inverse
        level -= scale * sum_other / total
        along_input = inverse * (p * along_a + q * along_g + scale * product) / total
        level_input = (p * sum_other + q * sum_grad) / total
    if tl.program_id(1) == 0:
        tl.store(of_weight_ptr + m, (inverse * product).to(of_weight_ptr.dtype.element_ty), mask=there)
    p, q = _beside(p, FORM), _beside(q, FORM)
    scale, level, along_grad = _beside(scale, FORM), _beside(level, FORM), _beside(along_grad, FORM)
    along_input, level_input, inverse = _beside(along_input, FORM), _beside(level_input, FORM), _beside(inverse, FORM)
    begin, whole, end = _shares(R, tiles, BLOCK_R)
    for tile in range(begin, end):
        r = tl.cast(tile, lane.dtype) * BLOCK_R + lane
        mask = here & tl.expand_dims(r < R, 1 - AXIS)
        other = load_tile(other_ptr, m, r, mask, 0.0, 2, geometry, FORM).to(KIND)
        grad = load_tile(grad_ptr, m, r, mask, 0.0, 3, geometry, FORM).to(KIND)
        x = load_tile(x_ptr, m, r, mask, 0.0, 4, geometry, FORM).to(KIND) - mean
        of_grad = other * scale + x * along_grad + level
        of_input = (other * p + grad * q - x * along_input - level_input) * inverse
        store_tile(of_grad_ptr, of_grad, m, r, mask, 0, geometry, FORM)
        store_tile(of_input_ptr, of_input, m, r, mask, 1, geometry, FORM)


# -- launching ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the kernels above divide arrays of one shape: tiles, and programs that share a channel's values."""

    rows: Rows
    block_m: int
    block_r: int
    warps: int
    groups: int  # of BLOCK_M channels
    tiles: int  # of BLOCK_R values
    splits: int  # programs that sum up a group's values
    per_split: int  # tiles that each of them takes
    parts: int  # programs that walk a group's values when the sums are known
    per_part: int  # tiles that each of them takes

    @property
    def most_splits(self) -> int:
        """A power of two that is at least ``splits``; one of three, since it is compiled in and batches vary."""
        return next(most for most in (8, 32, _MOST_SPLITS) if self.splits <= most)

    @property
    def constants(self) -> dict[str, Any]:
        """What the kernels are compiled for."""
        return {"FORM": self.rows.form, "BLOCK_M": self.block_m, "BLOCK_R": self.block_r, "num_warps": self.warps}


@lru_cache(maxsize=4096)
def _plan(operands: tuple[tuple[Ints, Ints], ...], narrow: int, width: int, block: int, programs: int) -> _Plan:
    """The plan for operands of (shape, strides); ``narrow`` and ``width`` are the bytes of what is loaded and computed."""
    shape = operands[0][0]
    rows = rows_of(operands, tuple(d for d in range(len(shape)) if d != 1), 16 // narrow)
    M, R = rows.M, rows.R
    large = M * R >= 8 * block * programs
    tile = (8 if large else 2) * block * 4 // width
    if rows.across:  # 64 bytes of channels at least, and few of them: each program merges their statistics
        block_m = min(next_power_of_2(M), 32)
        block_r = min(next_power_of_2(R), tile // block_m)
    else:
        block_r = min(next_power_of_2(R), tile)
        block_m = min(next_power_of_2(M), tile // block_r)
        while block_m > 1 and cdiv(M, block_m) < programs and block <= 65536:  # an interpreter's programs run in turn
            block_m //= 2
    groups, tiles = cdiv(M, block_m), cdiv(R, block_r)
    shares = 1 if tiles <= 4 else max(1, min(tiles, programs // groups, _MOST_SPLITS))
    per_split = cdiv(tiles, shares)
    splits = cdiv(tiles, per_split)
    per_part = tiles if splits == 1 else cdiv(tiles, min(tiles, cdiv((2 if large else 4) * programs, groups)))
    return _Plan(
        rows, block_m, block_r, 8 if large else 4, groups, tiles, splits, per_split, cdiv(tiles, per_part), per_part
    )


def _planned(arrays: tuple[DeviceArray, ...], kind: np.dtype) -> _Plan:
    backend = arrays[0].backend
    narrow = min(a.dtype.itemsize for a in arrays)
    operands = tuple((a.shape, a.strides) for a in arrays)
    return _plan(operands, narrow, kind.itemsize, backend.block, backend.programs)


def working(array: Any) -> np.dtype:
    """The dtype in which an array is normalised, and in which statistics of it are kept."""
    return np.dtype(np.float32) if array.dtype in dtypes.HALF else array.dtype


def like(array: DeviceArray) -> DeviceArray:
    """Memory for a result: laid out like ``array`` where that fills memory without gaps, else row-major."""
    out = empty_like(array)
    out.strides = packed(array.shape, array.strides) or out.strides
    return out


def _given(value: Any, kind: np.dtype) -> tuple[Any, str]:
    """A parameter as kernels take it: (argument, how it is loaded)."""
    return (kind.type(value), "value") if isinstance(value, (int, float)) else (contiguous(value), "contiguous")


Running = tuple[DeviceArray, DeviceArray, DeviceArray | None] | None  # mean and variance (C,), batches seen ()


def _running(running: Running, momentum: float, count: int, kind: np.dtype) -> tuple[Any, ...]:
    """Running averages, and the count of batches, as kernels take them."""
    arrays: Any = (None, None, None) if running is None else running
    steps = (0, 0) if running is None else tuple(r.strides[0] for r in running[:2])
    return *arrays, steps, kind.type(momentum), kind.type(count / max(count - 1, 1))


def _shared_statistics(plan: _Plan, input: DeviceArray, mean: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """Means of shares of each channel's values, and sums of squares about them."""
    partial = empty_like(mean, (plan.splits, plan.rows.M)), empty_like(mean, (plan.splits, plan.rows.M))
    # one program per block of channels and share of their values
    launch(
        _statistics,
        (plan.groups, plan.splits),
        *partial,
        input,
        *plan.rows.units,
        plan.per_split,
        plan.rows.geometry,
        **plan.constants,
    )
    return partial


@repeated
def normalised(
    input: DeviceArray,
    weight: DeviceArray | float,
    bias: DeviceArray | float,
    mean: DeviceArray,
    var: DeviceArray,
    eps: float,
    running: Running = None,
    momentum: float = 0.0,
    known: bool = True,
    epilogue: Chain = (),
) -> DeviceArray:
    """``(input - mean) / sqrt(var + eps) * weight + bias`` for each channel, then ``epilogue``.

    ``mean`` and ``var`` (C,) are read where they are ``known``; else they are written, ``running`` averages move towards
    them, and their count of batches goes up.  One launch, or two where statistics of many values are taken.
    """
    out, kind = like(input), working(input)
    plan = _planned((out, input), kind)
    rows = plan.rows
    weight, weight_is = _given(weight, kind)
    bias, bias_is = _given(bias, kind)
    source: str = "given" if known else "own"
    partial: tuple[Any, Any] = (None, None)
    if not known and plan.splits > 1:
        source, partial = "split", _shared_statistics(plan, input, mean)
    functions, first, operands, settings = unpacked(epilogue, out)
    # one program per block of channels and part of their values
    launch(
        _apply,
        (plan.groups, plan.parts),
        out,
        mean,
        var,
        input,
        weight,
        bias,
        *partial,
        *_running(None if known else running, momentum, rows.R, kind),
        kind.type(eps),
        *rows.units,
        plan.per_part,
        plan.per_split * plan.block_r,
        plan.splits,
        rows.geometry,
        operands,
        settings,
        FUNCTIONS=functions,
        FIRST=first,
        STATISTICS=source,
        WEIGHT=weight_is,
        BIAS=bias_is,
        SPLITS=plan.most_splits if source == "split" else 1,
        **plan.constants,
    )
    return out


def _summed(plan: _Plan, arrays: tuple[Any, ...], places: Ints, mean: DeviceArray, kind: np.dtype) -> DeviceArray:
    """The sums that gradients need, one for each share, of arrays at ``places`` among those the plan was made for."""
    sums = empty_like(mean, (2 if arrays[2] is None else 5, plan.splits, plan.rows.M), kind)
    # one program per block of channels and share of their values
    launch(
        _sums,
        (plan.groups, plan.splits),
        sums,
        *arrays,
        mean,
        *plan.rows.units,
        plan.per_split,
        plan.splits,
        plan.rows.geometry,
        PLACES=places,
        **plan.constants,
    )
    return sums


@repeated
def normalised_backward(
    grad: DeviceArray,
    input: DeviceArray,
    weight: DeviceArray | float,
    mean: DeviceArray,
    var: DeviceArray,
    grad_weight: DeviceArray,
    grad_bias: DeviceArray,
    eps: float,
    training: bool,
) -> DeviceArray:
    """The gradient of ``normalised`` for its input; those for weight and bias are written."""
    out, kind = like(input), working(input)
    plan = _planned((out, grad, input), kind)
    mean, var = contiguous(mean), contiguous(var)
    sums = _summed(plan, (grad, input, None), (1, 2, 2), mean, kind) if plan.splits > 1 else None
    weight, weight_is = _given(weight, kind)
    # one program per block of channels and part of their values
    launch(
        _backward,
        (plan.groups, plan.parts),
        out,
        grad_weight,
        grad_bias,
        grad,
        input,
        weight,
        mean,
        var,
        sums,
        kind.type(eps),
        *plan.rows.units,
        plan.per_part,
        plan.splits,
        plan.rows.geometry,
        WEIGHT=weight_is,
        TRAINING=training,
        SPLITS=plan.most_splits,
        **plan.constants,
    )
    return out


def normalised_double_backward(
    grad_input: DeviceArray,
    grad_weight: DeviceArray,
    grad_bias: DeviceArray,
    grad: DeviceArray,
    input: DeviceArray,
    weight: DeviceArray | float,
    mean: DeviceArray,
    var: DeviceArray,
    of_weight: DeviceArray,
    eps: float,
    training: bool,
) -> tuple[DeviceArray, DeviceArray]:
    """The gradients of ``normalised_backward`` for grad and input; that for weight is written."""
    of_grad, of_input, kind = like(input), like(input), working(input)
    plan = _planned((of_grad, of_input, grad_input, grad, input), kind)
    mean, var = contiguous(mean), contiguous(var)
    sums = _summed(plan, (grad, input, grad_input), (3, 4, 2), mean, kind)
    weight, weight_is = _given(weight, kind)
    # one program per block of channels and part of their values
    launch(
        _double_backward,
        (plan.groups, plan.parts),
        of_grad,
        of_input,
        of_weight,
        grad_input,
        contiguous(grad_weight),
        contiguous(grad_bias),
        grad,
        input,
        weight,
        mean,
        var,
        sums,
        kind.type(eps),
        *plan.rows.units,
        plan.per_part,
        plan.splits,
        plan.rows.geometry,
        WEIGHT=weight_is,
        TRAINING=training,
        SPLITS=plan.most_splits,
        **plan.constants,
    )
    return of_grad, of_input
