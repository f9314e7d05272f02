"""Numbers in order on a device, without the host: what sums over repeated positions need to be the same every time.

``ordered`` sorts (position, number) pairs as keys ``position * n + number``, all different, so equal positions stay in
the order of their numbers.  Runs of ``_RUN`` keys are sorted by counting smaller ones, then merged two by two: each key
finds its place in the other run by halving.  That is log2(n / _RUN) + 1 launches of n log2(n) comparisons.
"""

from __future__ import annotations

import numpy as np

from .array import DeviceArray, empty_like
from .language import cdiv, jit, tl
from .launch import contiguous, launch

_RUN = 256
_BLOCK = 512  # keys that a program merges; each is searched for, so there are not many
_INT64 = np.dtype(np.int64)


@jit
def _sort_runs(out_ptr, in_ptr, n, RUN: tl.constexpr, STEP: tl.constexpr):
    # in (n,): positions · out (n,): keys, each RUN of them in order
    # one program per RUN keys
    first = tl.program_id(0).to(tl.int64) * RUN
    j = first + tl.arange(0, RUN)
    key = tl.load(in_ptr + j, mask=j < n, other=0) * n + j
    rank = tl.zeros((RUN,), tl.int32)
    for begin in range(0, RUN, STEP):
        other = first + begin + tl.arange(0, STEP)
        than = tl.load(in_ptr + other, mask=other < n, other=0) * n + other
        smaller = (tl.expand_dims(than, 0) < tl.expand_dims(key, 1)) & tl.expand_dims(other < n, 0)
        rank += tl.sum(smaller.to(tl.int32), 1)
    tl.store(out_ptr + first + rank, key, mask=j < n)


@jit
def _below(keys_ptr, begin, count, key, mask, steps):
    """How many of the ``count`` ordered keys from ``begin`` on are smaller than ``key``."""
    low = begin * 0
    high = count + low
    for _ in range(0, steps):
        middle = (low + high) // 2
        found = tl.load(keys_ptr + begin + middle, mask=mask & (low < high), other=0)
        right = (low < high) & (found < key)
        high = tl.where(right, high, middle)
        low = tl.where(right, middle + 1, low)
    return low


@jit
def _merge(out_ptr, in_ptr, n, run, steps, BLOCK: tl.constexpr):
    # in (n,): keys, each ``run`` of them in order · out (n,): each 2 * run of them in order
    # one program per BLOCK keys
    j = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = j < n
    key = tl.load(in_ptr + j, mask=mask, other=0)
    own = j // run
    beside = (own + 1 - 2 * (own % 2)) * run
    count = tl.maximum(tl.minimum(n - beside, run), 0)
    to = (own - own % 2) * run + j % run + _below(in_ptr, beside, count, key, mask, steps)
    tl.store(out_ptr + to, key, mask=mask)


@jit
def _bounds(ends_ptr, keys_ptr, n, steps, BLOCK: tl.constexpr):
    # keys (n,), ordered · ends (n,): where a position stands first, one past where it stands last; elsewhere the place
    # itself · one program per BLOCK keys
    j = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = j < n
    position = tl.load(keys_ptr + j, mask=mask, other=0) // n
    before = tl.load(keys_ptr + j - 1, mask=mask & (j > 0), other=0) // n
    first = (j == 0) | (before != position)
    end = _below(keys_ptr, j * 0, n, (position + 1) * n, mask & first, steps)
    tl.store(ends_ptr + j, tl.where(first, end, j), mask=mask)


def ordered(positions: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """For int64 positions, none negative: keys in order, and for each place j among them where its group ends.

    ``keys[j] // n`` is a position and ``keys[j] % n`` its number in ``positions``.  A group is the keys of one position;
    ``ends[j]`` is j but for the first of a group, so the loop from j to ``ends[j]`` visits each group once.
    """
    n = positions.size
    keys, other = empty_like(positions, (n,), _INT64), empty_like(positions, (n,), _INT64)
    # one program per run
    launch(_sort_runs, (cdiv(n, _RUN),), keys, contiguous(positions), n, RUN=_RUN, STEP=16)
    grid = (cdiv(n, _BLOCK),)  # one program per BLOCK keys
    run = _RUN
    while run < n:
        launch(_merge, grid, other, keys, n, run, run.bit_length(), BLOCK=_BLOCK)
        keys, other = other, keys
        run *= 2
    launch(_bounds, grid, other, keys, n, n.bit_length(), BLOCK=_BLOCK)
    return keys, other
