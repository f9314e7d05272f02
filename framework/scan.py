"""The scan launcher: running combinations along one dimension, and the linear recurrence that their gradients are.

    scan      out_i = x_0 * x_1 * ... * x_i  for an associative ``*``; from the last element backwards if ``reverse``
    recur     out_i = values_i + factors_i * out_(i - 1);  reverse: out_i = values_i + factors_(i + 1) * out_(i + 1)
    segments  the reversed recurrence whose factor is whether indices_i = indices_(i + 1), kept where indices_i = i
    extremes  the running greatest or least element and where its last is

A program walks along its rows block by block and carries what came before; the order of combination follows from the
shapes alone.  All of these exist for NumPy arrays too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import DeviceArray, empty_like
from .elementwise import _number, widen
from .fill import fill
from .language import associative_scan, cdiv, jit, tl
from .language import reduce as fold
from .launch import copy_into, launch
from .reduction import blocks, row_offset
from .strides import Ints, classify


@jit
def _scan(
    out_ptr,
    in_ptr,
    M,
    R,
    identity,
    kept,
    out_strides,
    in_strides,
    out_step,
    in_step,
    COMBINE: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # in, out: M rows of R elements, any strides · one program per BLOCK_M rows
    m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    source = tl.expand_dims(row_offset(m, "strided", kept, in_strides), 1)
    target = tl.expand_dims(row_offset(m, "strided", kept, out_strides), 1)
    carry = tl.zeros((BLOCK_M,), identity.dtype) + identity
    for start in range(0, R, BLOCK_R):
        r = (start + tl.arange(0, BLOCK_R)).to(tl.int64)
        mask = tl.expand_dims(m < M, 1) & tl.expand_dims(r < R, 0)
        place = tl.expand_dims(R - 1 - r if REVERSE else r, 0)
        x = widen(tl.load(in_ptr + source + place * in_step, mask=mask)).to(identity.dtype)
        x = tl.where(mask, x, identity)
        before = tl.broadcast_to(tl.expand_dims(carry, 1), (BLOCK_M, BLOCK_R))
        so_far = COMBINE(before, associative_scan(x, 1, COMBINE))
        tl.store(out_ptr + target + place * out_step, so_far.to(out_ptr.dtype.element_ty), mask=mask)
        carry = COMBINE(carry, fold(x, 1, COMBINE))


@jit
def _then(f, v, g, w):
    """The affine map x -> f x + v, and then x -> g x + w."""
    return f * g, v * g + w


@jit
def _recur(
    out_ptr,
    values_ptr,
    factors_ptr,
    M,
    R,
    one,
    kept,
    out_strides,
    value_strides,
    factor_strides,
    out_step,
    value_step,
    factor_step,
    SEGMENTS: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # values, factors (or indices), out: M rows of R elements, any strides · one program per BLOCK_M rows
    m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    source = tl.expand_dims(row_offset(m, "strided", kept, value_strides), 1)
    factors = tl.expand_dims(row_offset(m, "strided", kept, factor_strides), 1)
    target = tl.expand_dims(row_offset(m, "strided", kept, out_strides), 1)
    carry = tl.zeros((BLOCK_M,), one.dtype)
    for start in range(0, R, BLOCK_R):
        r = (start + tl.arange(0, BLOCK_R)).to(tl.int64)
        mask = tl.expand_dims(m < M, 1) & tl.expand_dims(r < R, 0)
        place = tl.expand_dims(R - 1 - r if REVERSE else r, 0)
        later = place + 1 if REVERSE else place
        linked = mask & tl.expand_dims(r > 0, 0)
        if SEGMENTS:
            index = tl.load(factors_ptr + factors + place * factor_step, mask=mask, other=0)
            follower = tl.load(factors_ptr + factors + later * factor_step, mask=linked, other=0)
            f = tl.where(linked & (index == follower), one, one * 0)
        else:
            f = widen(tl.load(factors_ptr + factors + later * factor_step, mask=linked, other=0)).to(one.dtype)
        v = widen(tl.load(values_ptr + source + place * value_step, mask=mask, other=0)).to(one.dtype)
        f = tl.where(mask, f, one)
        slope, shift = associative_scan((f, v), 1, _then)
        out = shift
        if start > 0:
            out = tl.expand_dims(carry, 1) * slope + shift
        to = out_ptr + target + place * out_step
        if SEGMENTS:
            out = tl.where(index == place, out, out * 0)
            tl.store(to, out.to(out_ptr.dtype.element_ty), mask=mask)
        else:
            tl.store(to, out.to(out_ptr.dtype.element_ty), mask=mask)
        slope, shift = fold((f, v), 1, _then)
        carry = tl.where(start > 0, carry * slope + shift, shift)


@jit
def last_higher(a, i, b, j):
    """The greater of two values with its place; of equals, and of nans, the last."""
    right = (b >= a) | (b != b)
    return tl.where(right, b, a), tl.where(right, j, i)


@jit
def last_lower(a, i, b, j):
    """The lesser of two values with its place; of equals, and of nans, the last."""
    right = (b <= a) | (b != b)
    return tl.where(right, b, a), tl.where(right, j, i)


@jit
def _extremes(
    values_ptr,
    indices_ptr,
    in_ptr,
    M,
    R,
    worst,
    kept,
    out_strides,
    in_strides,
    out_step,
    in_step,
    COMBINE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # in, values, indices: M rows of R elements, any strides, the outputs' the same · one program per BLOCK_M rows
    m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    source = tl.expand_dims(row_offset(m, "strided", kept, in_strides), 1)
    target = tl.expand_dims(row_offset(m, "strided", kept, out_strides), 1)
    best = tl.zeros((BLOCK_M,), worst.dtype) + worst
    where = tl.zeros((BLOCK_M,), tl.int64)
    for start in range(0, R, BLOCK_R):
        r = (start + tl.arange(0, BLOCK_R)).to(tl.int64)
        mask = tl.expand_dims(m < M, 1) & tl.expand_dims(r < R, 0)
        place = tl.expand_dims(r, 0)
        x = widen(tl.load(in_ptr + source + place * in_step, mask=mask)).to(worst.dtype)
        x = tl.where(mask, x, worst)
        number = place + tl.zeros((BLOCK_M, BLOCK_R), tl.int64)
        value, index = associative_scan((x, number), 1, COMBINE)
        first = tl.broadcast_to(tl.expand_dims(best, 1), (BLOCK_M, BLOCK_R))
        before = tl.broadcast_to(tl.expand_dims(where, 1), (BLOCK_M, BLOCK_R))
        value, index = COMBINE(first, before, value, index)
        to = target + place * out_step
        tl.store(values_ptr + to, value.to(values_ptr.dtype.element_ty), mask=mask)
        tl.store(indices_ptr + to, index, mask=mask)
        value, index = fold((x, number), 1, COMBINE)
        best, where = COMBINE(best, where, value, index)


def _rows(dim: int, *arrays: DeviceArray) -> tuple[int, int, Ints, tuple[Ints, ...], tuple[int, ...], int, int]:
    """M, R, shape of the rows, their strides in each array, the steps along ``dim``, BLOCK_M and BLOCK_R."""
    shape = arrays[0].shape
    others = tuple(d for d in range(len(shape)) if d != dim)
    merged, strides, _ = classify(
        tuple(shape[d] for d in others), tuple(tuple(a.strides[d] for d in others) for a in arrays)
    )
    R = shape[dim]
    M = arrays[0].size // R
    block_m, block_r = blocks(M, R, arrays[0].backend, across=arrays[0].strides[dim] != 1)
    return M, R, merged, strides, tuple(a.strides[dim] for a in arrays), block_m, block_r


def scan(
    array: DeviceArray,
    dim: int,
    reverse: bool,
    combine: Any,
    identity: float | int,
    carried: np.dtype,
    result: np.dtype | None = None,
) -> DeviceArray:
    """The running combination of a device array along ``dim``, carried in ``carried`` and stored as ``result``."""
    out = empty_like(array, dtype=array.dtype if result is None else result)
    if out.size:
        M, R, kept, strides, steps, block_m, block_r = _rows(dim, array, out)
        # one program per BLOCK_M rows
        launch(
            _scan,
            (cdiv(M, block_m),),
            out,
            array,
            M,
            R,
            _number(carried)(identity),
            kept,
            strides[1],
            strides[0],
            steps[1],
            steps[0],
            COMBINE=combine,
            REVERSE=reverse,
            BLOCK_M=block_m,
            BLOCK_R=block_r,
        )
    return out


def recur(values: Any, factors: Any, dim: int, reverse: bool) -> Any:
    """``recur`` for float32 and float64 arrays of one shape, on any device."""
    if isinstance(values, DeviceArray):
        return _recurrence(values, factors, dim, reverse, False)
    v, f = np.moveaxis(values, dim, 0), np.moveaxis(factors, dim, 0)
    out = np.empty(values.shape, values.dtype)
    moved = np.moveaxis(out, dim, 0)
    n = v.shape[0]
    for step in range(n):
        i = n - 1 - step if reverse else step
        moved[i] = v[i] if step == 0 else v[i] + (f[i + 1] * moved[i + 1] if reverse else f[i] * moved[i - 1])
    return out


def segments(values: Any, indices: Any, dim: int) -> Any:
    """``segments`` for float32 and float64 values, on any device."""
    if isinstance(values, DeviceArray):
        return _recurrence(values, indices, dim, True, True)
    same = np.zeros(values.shape, values.dtype)
    at = (slice(None),) * dim
    later, earlier = indices[(*at, slice(1, None))], indices[(*at, slice(None, -1))]
    same[(*at, slice(1, None))] = later == earlier
    totals = recur(values, same, dim, True)
    places = np.arange(values.shape[dim]).reshape((-1,) + (1,) * (values.ndim - 1 - dim))
    return np.where(indices == places, totals, totals.dtype.type(0))


def _recurrence(values: DeviceArray, factors: DeviceArray, dim: int, reverse: bool, by_index: bool) -> DeviceArray:
    out = empty_like(values)
    if out.size:
        M, R, kept, strides, steps, block_m, block_r = _rows(dim, values, factors, out)
        # one program per BLOCK_M rows
        launch(
            _recur,
            (cdiv(M, block_m),),
            out,
            values,
            factors,
            M,
            R,
            _number(values.dtype)(1),
            kept,
            strides[2],
            strides[0],
            strides[1],
            steps[2],
            steps[0],
            steps[1],
            SEGMENTS=by_index,
            REVERSE=reverse,
            BLOCK_M=block_m,
            BLOCK_R=block_r,
        )
    return out


def extremes(
    array: DeviceArray, dim: int, combine: Any, worst: float | int, carried: np.dtype
) -> tuple[DeviceArray, DeviceArray]:
    """The running extreme of a device array along ``dim`` and its place."""
    values, indices = empty_like(array), empty_like(array, dtype=np.dtype(np.int64))
    if values.size:
        M, R, kept, strides, steps, block_m, block_r = _rows(dim, array, values)
        # one program per BLOCK_M rows
        launch(
            _extremes,
            (cdiv(M, block_m),),
            values,
            indices,
            array,
            M,
            R,
            _number(carried)(worst),
            kept,
            strides[1],
            strides[0],
            steps[1],
            steps[0],
            COMBINE=combine,
            BLOCK_M=block_m,
            BLOCK_R=block_r,
        )
    return values, indices


def shifted(array: Any, dim: int, by: int, first: float) -> Any:
    """The elements one place later (by = 1) or earlier (by = -1) along ``dim``, with ``first`` where none was."""
    at = (slice(None),) * dim
    here, there, left = (slice(1, None), slice(None, -1), slice(0, 1))
    if by < 0:
        here, there, left = slice(None, -1), slice(1, None), slice(-1, None)
    if isinstance(array, DeviceArray):
        out = empty_like(array)
        if out.size:
            copy_into(out.viewed(lambda a: a[(*at, here)]), array.viewed(lambda a: a[(*at, there)]))
            fill(out.viewed(lambda a: a[(*at, left)]), first)
        return out
    out = np.empty(array.shape, array.dtype)
    out[(*at, here)] = array[(*at, there)]
    out[(*at, left)] = first
    return out
