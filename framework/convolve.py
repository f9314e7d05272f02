"""Convolution on GPUs: which kernel runs, on what layout, in which tiles.

``correlate``, ``spread`` and ``weight_gradient`` are what the module ``convolution`` says; the kernels are in
``convolve_kernels``.

Everything about the geometry is known when a kernel is compiled, except the batch.  So divisions become
multiplications, masks that are not needed vanish, and where channels are neighbours in memory (channels last) every
load is 16 bytes wide and asynchronous.  What is decided before a launch:

- An image without gaps in either layout is read where it lies if its groups have few channels (under 16); with more it
  is read channels last, and copied to that order if it has another.  The output keeps PyTorch's rule, so a row-major
  image gives a row-major result all the same.
- Weights are read where they lie if the summed channels or the output's are neighbours in memory.  Row-major weights
  of several taps are put in channels-last order by one small copy, unless there are few output places.  On tensor cores
  float32 wants the summed channels to be neighbours: such weights are copied to that order.
- A kernel of one tap without stride or padding, and one as large as the image, are plain matrix products: they go to
  ``gemm``, which splits long sums.
- ``spread`` with a stride runs one phase per output place modulo the stride (``convolution.phases``), each with its own
  taps only, all in one launch.
- Offsets have 32 bits where arrays have less than 2^30 elements, else 64.
- Four warps always: with eight, Triton has miscompiled loops over taps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from . import dtypes
from .array import DeviceArray, contiguous_strides, empty_like, is_dense
from .convolution import Pair, is_channels_last
from .convolve_kernels import convolve, depthwise, depthwise_weights, weights
from .epilogue import Chain, unpacked
from .fill import fill
from .gemm import (
    Machine,
    Tile,
    accumulates_in,
    accumulator_type,
    fit,
    gemm,
    machine,
    on_matrix_units,
    sum_parts,
)
from .language import cdiv, next_power_of_2
from .launch import contiguous, copied, copy_into, launch
from .precision import input_precision
from .repeat import repeated
from .tiles import bucket, tile_for

Ints = tuple[int, ...]


# -- layouts -----------------------------------------------------------------------------------------------------


def _strides(shape: Ints, last: bool) -> Ints:
    """Strides of (N, C, H, W) without gaps, channels last or row-major."""
    _, c, h, w = shape
    return (c * h * w, 1, w * c, c) if last else (c * h * w, h * w, w, 1)


def _lies(shape: Ints, strides: Ints, last: bool) -> bool:
    """Whether an image lies in memory so, without gaps."""
    order = (0, 2, 3, 1) if last else (0, 1, 2, 3)
    return is_dense(tuple(shape[d] for d in order), tuple(strides[d] for d in order))


def _layout(shape: Ints, strides: Ints, each: int) -> tuple[bool, bool]:
    """Whether an image is read channels last, and whether it must be copied for it.

    ``each`` of its channels stand side by side in a sum: with few of them any image without gaps will do.
    """
    if _lies(shape, strides, True):
        return True, False
    if each < FEW and is_dense(shape, strides):
        return False, False
    return True, True


def _seen(array: DeviceArray, shape: Ints, strides: Ints) -> DeviceArray:
    """The same memory by another shape and other strides."""
    return DeviceArray(array.block, array.ptr, array.dtype, shape, strides, array.backend)


def _made(like: DeviceArray, shape: Ints, last: bool) -> DeviceArray:
    made = empty_like(like, shape)
    made.strides = _strides(shape, last)
    return made


def _laid(array: DeviceArray, last: bool) -> DeviceArray:
    """The array itself where it lies so, else a copy that does."""
    if _lies(array.shape, array.strides, last):
        return array
    made = _made(array, array.shape, last)
    copy_into(made, array)
    return made


def _flat(array: DeviceArray, last: bool, rows: int) -> DeviceArray:
    """An image as a matrix of ``rows`` rows, in the order of that layout."""
    columns = array.size // rows
    return _seen(_laid(array, last), (rows, columns), (columns, 1))


def _flat_chain(chain: Chain, shape: Ints, last: bool, rows: int) -> Chain:
    """The chain of a result of ``shape`` for that result as such a matrix."""

    def flat(x: DeviceArray) -> DeviceArray:
        return _flat(x if x.shape == shape else x.viewed(lambda a: np.broadcast_to(a, shape)), last, rows)

    return tuple(replace(stage, operands=tuple(map(flat, stage.operands))) for stage in chain)


def _packed(weight: DeviceArray, order: Ints) -> DeviceArray:
    """A copy of the weights with their dimensions in ``order`` in memory."""
    into = empty_like(weight, tuple(weight.shape[d] for d in order))
    copy_into(into, weight.viewed(lambda a: a.transpose(order)))
    return _seen(into, weight.shape, _packed_strides(weight.shape, order))


def _packed_strides(shape: Ints, order: Ints) -> Ints:
    steps = dict(zip(order, contiguous_strides(tuple(shape[d] for d in order)), strict=True))
    return tuple(steps[d] for d in range(4))


# -- decisions ---------------------------------------------------------------------------------------------------

LARGE = 1 << 30  # elements from which on offsets have 64 bits: places beside the image must have an offset, too
FEW = 16  # channels of a group from which on each tap is summed in blocks of its own


@dataclass(frozen=True)
class Geometry:
    """How places see an image through taps; ``spread`` is the way back."""

    taps: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    spread: bool = False

    @property
    def phases(self) -> Pair:
        return self.stride if self.spread else (1, 1)

    @property
    def constants(self) -> dict[str, Any]:
        """The constants that all kernels take."""
        return {
            "R": self.taps[0],
            "S": self.taps[1],
            "STRIDE": self.stride,
            "PADDING": self.padding,
            "DILATION": self.dilation,
        }

    @property
    def steps(self) -> dict[str, Any]:
        """How phases step over taps, and whether all of them have as many."""
        common, inverse = (1, 1), (0, 0)
        if self.spread:
            common = (gcd(self.dilation[0], self.stride[0]), gcd(self.dilation[1], self.stride[1]))
            inverse = tuple(
                pow(d // g, -1, s // g) if s > g else 0
                for d, s, g in zip(self.dilation, self.stride, common, strict=True)
            )
        even = common == (1, 1) and not any(t % s for t, s in zip(self.taps, self.phases, strict=True))
        return {"SPREAD": self.spread, "COMMON": common, "INVERSE": inverse, "EVEN": even}

    def pointwise(self, image: Ints, places: Ints) -> bool:
        """Whether each place sees one pixel, its own."""
        return self.taps == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0) and image == places

    def whole(self, image: Ints, places: Ints) -> bool:
        """Whether the one place there is sees the whole image."""
        return self.taps == image and places == (1, 1) and self.padding == (0, 0) and self.dilation == (1, 1)

    def __str__(self) -> str:
        name = "spread" if self.spread else "correlate"
        return f"{name} taps{self.taps} stride{self.stride} dilation{self.dilation}".replace(", ", "x")


def tile_candidates(
    M: int,
    N: int,
    K: int,
    count: int,
    dtype: np.dtype,
    precision: str,
    columns: bool,
    scattered: bool,
    on: Machine,
) -> list[Tile]:
    """Tiles for ``count`` products of M by N, what the rule thinks best first: the least work for all processors.

    ``K`` is how much is summed in one go, all taps where channels are few, else the channels of a tap.  ``columns``
    says whether the second operand's columns are neighbours in memory, ``scattered`` whether no two results are.
    """
    if not _dots(N, dtype, precision):  # a tile of products has m * n * k elements
        n, k = min(next_power_of_2(N), 32 if on.large else 4), min(next_power_of_2(K), 32)
        most = 131072 // (n * k) if on.large else min(8192 // (n * k), 128)
        return [Tile(min(next_power_of_2(M), most), n, k)]
    if on.large:
        return [Tile(fit(M, 256), fit(N, 256), fit(K, 64))]
    if dtype.itemsize == 8:
        sides, k = [(32, 32), (16, 16)], 16
    elif on_matrix_units(dtype, precision):
        sides, k = [(128, 128), (128, 64), (64, 64), (64, 32), (128, 32), (128, 16)], fit(K, 128 // dtype.itemsize)
        if precision == "bf16x3":  # both halves of the operands are in registers
            sides = sides[2:]
        elif scattered:  # addresses are
            sides = sides[1:]
    else:  # one multiply-add at a time, from registers
        sides, k = [(64, 64), (64, 32), (32, 32), (64, 16)], fit(K, 16)
        if columns:
            sides.append((128, 64))
    found = []
    for m, n in dict.fromkeys((fit(M, m), fit(N, n)) for m, n in sides):
        stages = 3 if (m + n) * k * dtype.itemsize > 24 << 10 else 4
        work = cdiv(cdiv(M, m) * cdiv(N, n) * count, on.programs) * (m * n + 64 * (m + n))
        # sm_80 runs out of registers where many channels' addresses are kept beside this tile
        short = not on.hopper and (m, n) == (128, 64) and K >= 512 and k == 64
        found.append((work, -m * n, Tile(m, n, 32 if short else k, stages=stages)))
    return [tile for _, _, tile in sorted(found)]


def gradient_candidates(
    M: int, N: int, K: int, count: int, dtype: np.dtype, precision: str, c: int, scattered: bool, on: Machine
) -> list[Tile]:
    """Tiles for ``count`` weight gradients of M by N = taps by ``c`` channels, summed over K places; best first.

    Sums are split until every processor has two programs, or parts become short.  ``scattered`` says that places are
    read one by one.
    """
    found = []
    for tile in tile_candidates(M, N, K, count, dtype, precision, True, scattered, on):
        if tile.n > 64 and c % tile.n and not on.large:  # each column would need a tap of its own
            tile = tile._replace(n=64)
        if scattered and not on.large and tile.m > 64:
            tile = tile._replace(m=64)
        if scattered and not on.large and tile.n > 32 and not on_matrix_units(dtype, precision):
            tile = tile._replace(n=32)  # addresses of places and operands together would fill the registers
        if tile.m * tile.n > 128 * 64 and not on.hopper and not on.large and precision == "tf32":
            tile = tile._replace(n=64)
        tiles = cdiv(M, tile.m) * cdiv(N, tile.n) * count
        work = tiles * (tile.m * tile.n + 64 * (tile.m + tile.n))
        splits = max(1, min(cdiv(2 * on.programs, tiles), K // (4 * tile.k), 128))
        found.append((work, -tile.m * tile.n, tile._replace(splits=splits)))
    return [tile for _, _, tile in sorted(found)]


def _dots(N: int, dtype: np.dtype, precision: str) -> bool:
    """Whether a product with N columns is one for ``tl.dot``, which fills up to 16 and knows no wide integers."""
    return dtype.kind not in "iub" and (N > 4 or on_matrix_units(dtype, precision))


def key_of(M: int, N: int, c: int, geometry: Geometry, dtype: np.dtype, precision: str) -> str:
    """The key of a convolution in tables of tiles."""
    return f"m{bucket(M)} n{N} c{c} {geometry} {dtypes.dtype_of(dtype).name} {precision}"


class _Plan(NamedTuple):
    """All that a launch takes beside the arrays, and how those are brought into order before."""

    kernel: Any  # None for a plain matrix product
    shape: Ints  # of the result
    last: bool  # whether it lies channels last
    copies: bool  # whether the input is copied to channels last
    order: Ints | None  # in which the weights are copied
    grid: Ints
    constants: dict[str, Any]
    splits: int = 1
    blocks: int = 0  # of places in each part


@lru_cache(maxsize=4096)
def _planned(
    input: tuple[Ints, Ints],
    weight: tuple[Ints, Ints],
    dtype: np.dtype,
    geometry: Geometry,
    size: Pair,
    precision: str,
    on: Machine,
    tile: Tile | None,
) -> _Plan:
    """The plan for an input and weights, each a shape and strides."""
    (n, channels, h, w), (first, second, *_) = input[0], weight[0]
    spread, groups = geometry.spread, geometry.groups
    shape = (n, second * groups if spread else first, *size)
    last = is_channels_last(*input) or is_channels_last(*weight)
    image, places = (size, (h, w)) if spread else ((h, w), size)
    if 0 in shape:
        return _Plan(None, shape, last, False, None, (0,), {})
    if groups == 1 and 0 not in input[0] and dtype.kind in "fV":
        if geometry.whole(image, places) or (last and geometry.pointwise(image, places)):
            return _Plan(None, shape, last, False, None, (1,), {})
    wide = max(prod(shape), prod(input[0])) >= LARGE
    if groups > 1 and second == 1 and groups == (shape[1] if spread else channels):
        return _depthwise_plan(input, weight, shape, last, dtype, geometry, wide, on)
    c, k = channels // groups, shape[1] // groups
    in_last, copies = _layout(*input, c)
    few = c < FEW
    M = n * cdiv(size[0], geometry.phases[0]) * cdiv(size[1], geometry.phases[1])
    taps = cdiv(geometry.taps[0], geometry.phases[0]) * cdiv(geometry.taps[1], geometry.phases[1])
    # of the two first dimensions of the weights, one is summed over
    summed, kept = (0, 1) if spread else (1, 0)
    strides = weight[1]
    by_columns = strides[kept] == 1 and not (on_matrix_units(dtype, precision) and dtype.itemsize == 4)
    order = None
    if not few and k >= FEW and M >= 256 and strides[summed] != 1 and not by_columns:
        order = (kept, 2, 3, summed)
        strides = _packed_strides(weight[0], order)
    phases = geometry.phases[0] * geometry.phases[1]
    if tile is None:
        summed_at_once, scattered = taps * c if few else c, phases > 1 and not last
        columns = strides[kept] == 1
        tile = tile_candidates(M, k, summed_at_once, groups * phases, dtype, precision, columns, scattered, on)[0]
        tile = tile_for("conv", key_of(M, k, c, geometry, dtype, precision), tile, on.name)
    constants = {
        "C": c,
        "H": h,
        "W": w,
        "K": k,
        "OH": size[0],
        "OW": size[1],
        "OUT": _strides(shape, last),
        "IN": _strides(input[0], in_last),
        "WEIGHT": (
            *(strides[d] if weight[0][d] > 1 else 0 for d in (kept, summed, 2, 3)),
            strides[0] * (c if spread else k) if groups > 1 else 0,
        ),
        **geometry.constants,
        **geometry.steps,
        "FLAT": few,
        "TAP_FIRST": in_last and c > 1,
        "WIDE": wide,
        "BLOCK_M": tile.m,
        "BLOCK_N": tile.n,
        "BLOCK_K": tile.k,
        "STAGES": tile.stages,
        "ACC": accumulator_type(dtype),
        "DOT": _dots(k, dtype, precision),
        "PRECISION": precision,
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }
    # tiles of places by channels; second axis: groups by phases
    grid = (cdiv(M, tile.m) * cdiv(k, tile.n), groups * phases)
    return _Plan(convolve, shape, last, copies, order, grid, constants)


def _depthwise_plan(
    input: tuple[Ints, Ints],
    weight: tuple[Ints, Ints],
    shape: Ints,
    last: bool,
    dtype: np.dtype,
    geometry: Geometry,
    wide: bool,
    on: Machine,
) -> _Plan:
    n, k, high, across = shape
    places = n * high * across
    block_m, block_n = _depthwise_tile(places, k, last, on)
    in_last = _lies(*input, True) or not is_dense(*input)
    constants = {
        "EACH": weight[0][0] // geometry.groups,
        "H": input[0][2],
        "W": input[0][3],
        "K": k,
        "OH": high,
        "OW": across,
        "OUT": _strides(shape, last),
        "IN": _strides(input[0], in_last),
        "WEIGHT": tuple(weight[1][d] if weight[0][d] > 1 else 0 for d in (0, 2, 3)),
        **geometry.constants,
        "SPREAD": geometry.spread,
        "WIDE": wide,
        "BLOCK_M": block_m,
        "BLOCK_N": block_n,
        "ACC": accumulator_type(dtype),
    }
    # tiles of places by channels
    grid = (cdiv(places, block_m) * cdiv(k, block_n),)
    return _Plan(depthwise, shape, last, not _lies(*input, in_last), None, grid, constants)


def _depthwise_tile(places: int, channels: int, last: bool, on: Machine) -> Pair:
    """Places by channels of a program: neighbours in memory side by side."""
    most = 16384 if on.large else 1024
    wide = min(next_power_of_2(channels), 64) if last else 1
    return min(next_power_of_2(places), most // wide), wide


@lru_cache(maxsize=4096)
def _gradient_planned(
    grad: tuple[Ints, Ints],
    input: tuple[Ints, Ints],
    dtype: np.dtype,
    geometry: Geometry,
    precision: str,
    on: Machine,
    tile: Tile | None,
) -> _Plan:
    """The plan of a weight gradient; ``copies`` is about the input, a gradient with gaps is always copied."""
    (n, k, p, q), (_, channels, h, w), groups = grad[0], input[0], geometry.groups
    shape = (k, channels // groups, *geometry.taps)
    last = is_channels_last(*input) or is_channels_last(*grad)
    if not prod(shape) or not prod(grad[0]) or not prod(input[0]):
        return _Plan(None, shape, last, False, None, (0,), {})
    if groups == 1 and dtype.kind in "fV":
        if geometry.pointwise((h, w), (p, q)) and _lies(*input, True) and _lies(*grad, True):
            return _Plan(None, shape, last, False, None, (n * p * q,), {})
        if geometry.whole((h, w), (p, q)):
            flat = _lies(*input, True) or not is_dense(*input)
            return _Plan(None, shape, flat, False, None, (n,), {})
    wide = max(prod(grad[0]), prod(input[0])) >= LARGE
    places, taps = n * p * q, prod(geometry.taps)
    c, k = channels // groups, k // groups
    in_last, copies = _layout(*input, c)
    grad_last = _lies(*grad, True) or not is_dense(*grad)
    constants = {
        "H": h,
        "W": w,
        "P": p,
        "Q": q,
        "GRAD": _strides(grad[0], grad_last),
        "IN": _strides(input[0], in_last),
        **geometry.constants,
        "WIDE": wide,
        "ACC": accumulator_type(dtype),
    }
    if groups > 1 and groups == channels:
        block_m, block_n = _depthwise_tile(places, k * groups, last, on)
        columns = cdiv(k * groups, block_n)
        wanted = min(cdiv(2 * on.programs, columns * taps), places // (4 * block_m), 128)
        splits, blocks = _parts(wanted, places, block_m)
        own = {"EACH": k, "K": k * groups, "OUT": (taps, 1), "BLOCK_M": block_m, "BLOCK_N": block_n}
        # blocks of channels; second axis: part of the sum over places; third: tap
        grid = (columns, splits, taps)
        return _Plan(depthwise_weights, shape, last, copies, None, grid, constants | own, splits, blocks)
    if tile is None:
        scattered = not grad_last and p * q % 8 != 0
        tile = gradient_candidates(k, c * taps, places, groups, dtype, precision, c, scattered, on)[0]
        tile = tile_for("conv_weight", key_of(places, k, c, geometry, dtype, precision), tile, on.name)
    splits, blocks = _parts(tile.splits, places, tile.k)
    rounded = precision == "tf32"
    own = {
        "C": c,
        "K": k,
        "TOTAL": prod(shape),
        "OUT": (1, c) if last else (taps, 1),
        "TAP_FIRST": in_last and c > 1,
        "TURN": (rounded and grad_last, rounded and in_last),
        "BLOCK_M": tile.m,
        "BLOCK_N": tile.n,
        "BLOCK_K": tile.k,
        "DOT": _dots(c * taps, dtype, precision),
        "PRECISION": precision,
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }
    # tiles of one group's weights; second axis: part of the sum over places; third: group
    grid = (cdiv(k, tile.m) * cdiv(c * taps, tile.n), splits, groups)
    return _Plan(weights, shape, last, copies, None, grid, constants | own, splits, blocks)


def _parts(wanted: int, places: int, block: int) -> Pair:
    """A sum over places in about ``wanted`` parts of whole blocks: how many, and the blocks of each."""
    blocks = cdiv(cdiv(places, max(wanted, 1)), block)
    return cdiv(places, blocks * block), blocks


# -- launches ----------------------------------------------------------------------------------------------------


def _product(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    geometry: Geometry,
    shape: Ints,
    last: bool,
    epilogue: Chain,
) -> DeviceArray:
    """The result as one matrix product: each place sees one pixel, or one place sees all."""
    n, k, *size = shape
    rows = n
    if geometry.taps == (1, 1) and last:
        rows = n * size[0] * size[1]
        a = _flat(input, True, rows)
        b = _seen(weight, weight.shape[:2], weight.strides[:2])
        if not geometry.spread:
            b = _transposed(b)
    elif geometry.spread:
        a = _flat(input, last, n)
        b = _flat(weight, last, weight.shape[0])
        if bias is not None:  # a bias for each column
            bias = copied(_seen(bias, (*size, k), (0, 0, 1)) if last else _seen(bias, (k, *size), (1, 0, 0)))
            bias = _seen(bias, (bias.size,), (1,))
    else:
        order = _lies(input.shape, input.strides, True) or not input.is_contiguous
        a = _flat(input, order, n)
        b = _transposed(_flat(weight, order, k))
    out = gemm(a, b, bias, epilogue=_flat_chain(epilogue, shape, last, rows), kind="conv")
    return _seen(out, shape, _strides(shape, last))


def _transposed(matrix: DeviceArray) -> DeviceArray:
    return _seen(matrix, matrix.shape[::-1], matrix.strides[::-1])


def _run(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    geometry: Geometry,
    size: Pair,
    epilogue: Chain,
    tile: Tile | None,
) -> DeviceArray:
    plan = _planned(
        (input.shape, input.strides),
        (weight.shape, weight.strides),
        input.dtype,
        geometry,
        size,
        input_precision(input.dtype, "conv"),
        machine(input.backend),
        tile,
    )
    bias = None if bias is None else contiguous(bias)
    if plan.kernel is None and plan.grid[0]:
        return _product(input, weight, bias, geometry, plan.shape, plan.last, epilogue)
    out = _made(input, plan.shape, plan.last)
    if plan.kernel is None:
        return out
    functions, first, operands, settings = unpacked(epilogue, out) if epilogue else ((), (), (), ())
    # one program per tile of places by channels, of a group and a phase
    launch(
        plan.kernel,
        plan.grid,
        out,
        _laid(input, True) if plan.copies else input,
        weight if plan.order is None else _packed(weight, plan.order),
        bias,
        operands,
        settings,
        np.int32(input.shape[0]),
        FUNCTIONS=functions,
        FIRST=first,
        **plan.constants,
    )
    return out


@repeated
def correlate_triton(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
    epilogue: Chain = (),
    tile: Tile | None = None,
) -> DeviceArray:
    """``correlate`` as ``correlate_numpy`` has it, then the stages of ``epilogue``; ``tile`` is for tuning."""
    taps = weight.shape[2], weight.shape[3]
    return _run(input, weight, bias, Geometry(taps, stride, padding, dilation, groups), size, epilogue, tile)


@repeated
def spread_triton(
    input: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    size: Pair,
    epilogue: Chain = (),
    tile: Tile | None = None,
) -> DeviceArray:
    """``spread`` as ``spread_numpy`` has it, then the stages of ``epilogue``; ``tile`` is for tuning."""
    taps = weight.shape[2], weight.shape[3]
    return _run(input, weight, bias, Geometry(taps, stride, padding, dilation, groups, True), size, epilogue, tile)


@repeated
def weight_gradient_triton(
    grad: DeviceArray,
    input: DeviceArray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    taps: Pair,
    tile: Tile | None = None,
) -> DeviceArray:
    """``weight_gradient`` as ``weight_gradient_numpy`` has it; ``tile`` is for tuning."""
    dtype = grad.dtype
    plan = _gradient_planned(
        (grad.shape, grad.strides),
        (input.shape, input.strides),
        dtype,
        Geometry(taps, stride, padding, dilation, groups),
        input_precision(dtype, "conv"),
        machine(grad.backend),
        tile,
    )
    strides, rows = _strides(plan.shape, plan.last), plan.grid[0]
    if plan.kernel is None and not rows:
        out = _made(grad, plan.shape, plan.last)
        fill(out, 0)
        return out
    if plan.kernel is None:
        order = plan.last or rows != grad.shape[0]
        out = gemm(_transposed(_flat(grad, True, rows)), _flat(input, order, rows), kind="conv")
        return _seen(out, plan.shape, strides)
    total = prod(plan.shape)
    parts = empty_like(grad, (plan.splits, total), dtype if plan.splits == 1 else accumulates_in(dtype))
    # one program per tile of weights and part of the sum over places
    launch(
        plan.kernel,
        plan.grid,
        parts,
        grad if grad.is_contiguous else _laid(grad, True),
        _laid(input, True) if plan.copies else input,
        np.int32(grad.shape[0]),
        np.int32(plan.blocks),
        **plan.constants,
    )
    return _seen(parts if plan.splits == 1 else sum_parts(parts, dtype), plan.shape, strides)
