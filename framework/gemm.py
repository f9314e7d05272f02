"""Matrix products on tiles: the kernel behind matmul and linear, and what convolutions share with it.

    out[..., m, n] = chain(sum over k of a[..., m, k] * b[..., k, n] + bias[n])

Half types and float32 are summed in float32, float64 in float64 and integers in their own dtype, so that an overflow
wraps as it does in NumPy.  Float32 operands are taken as ``precision`` says.  Where tiles are few and sums long, the
sums are split; a second launch adds the parts in order, so results never vary from run to run.

What the compiled code may depend on: operands' dtype, which strides are 1, the power of two (up to 16) that divides
each stride and each size along which memory is contiguous.  So loads are 16 bytes wide wherever the layout allows,
without padding to 16 elements, and the size of a batch compiles nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from . import dtypes
from .array import DeviceArray, empty
from .epilogue import Chain, finish, unpacked
from .language import cdiv, jit, next_power_of_2, tl
from .launch import contiguous, launch, offset_of
from .precision import input_precision
from .repeat import repeated
from .strides import classify
from .tiles import bucket, tile_for

ACC = {np.dtype(np.float64): tl.float64, np.dtype(np.int64): tl.int64}  # all else: float32 or int32
Ints = tuple[int, ...]


@jit
def multiply_add(a, b, acc, DOT: tl.constexpr, PRECISION: tl.constexpr = "ieee"):
    """``acc + a @ b`` for tiles (M, K) and (K, N); without DOT by multiplying out, which any type and size can.

    PRECISION is ``precision.input_precision`` of the operands' dtype.
    """
    if DOT:
        return tl.dot(a, b, acc, input_precision=PRECISION, out_dtype=acc.dtype)
    else:
        return acc + tl.sum(a.to(acc.dtype)[:, :, None] * b.to(acc.dtype)[None, :, :], axis=1)


@jit
def stepped(index, stride, UNIT: tl.constexpr):
    """``index * stride``; a stride known to be 1 shows the compiler which values are neighbours in memory."""
    if UNIT:
        return index
    else:
        return index * stride


@jit
def _tile(
    out_ptr,
    a_ptr,
    b_ptr,
    bias_ptr,
    operands,
    settings,
    tile,
    split,
    M,
    N,
    K,
    each,
    count,
    batch_shape,
    a_batch,
    b_batch,
    a_strides,
    b_strides,
    ALIGN: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr,
):
    # Tiles of one batch entry are neighbours.  Within it GROUP rows of tiles are walked column by column, so that
    # programs that run at one time share rows of a and columns of b in the L2 cache.
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    batch = (tile // (tiles_m * tiles_n)).to(tl.int64)
    tile = tile % (tiles_m * tiles_n)
    row = tile // (GROUP * tiles_n) * GROUP
    rows = tl.minimum(tiles_m - row, GROUP)
    row = (row + tile % (GROUP * tiles_n) % rows) * BLOCK_M
    column = (tile % (GROUP * tiles_n) // rows) * BLOCK_N
    begin = split * (each * BLOCK_K)
    end = tl.minimum(begin + each * BLOCK_K, K)
    m = tl.arange(0, BLOCK_M)
    n = tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    in_m = row + m < M
    in_n = column + n < N
    # The place of the tile in 64 bits, places within it in those of the strides.
    a = a_ptr + offset_of(batch, batch_shape, a_batch) * ALIGN[7]
    a += row.to(tl.int64) * a_strides[0] + begin.to(tl.int64) * a_strides[1]
    a = a + (stepped(m, a_strides[0], UNIT[0])[:, None] + stepped(k, a_strides[1], UNIT[1])[None, :])
    b = b_ptr + offset_of(batch, batch_shape, b_batch) * ALIGN[8]
    b += begin.to(tl.int64) * b_strides[0] + column.to(tl.int64) * b_strides[1]
    b = b + (stepped(k, b_strides[0], UNIT[2])[:, None] + stepped(n, b_strides[1], UNIT[3])[None, :])
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    for start in range(begin, end, BLOCK_K):
        inside = start + k < end
        x = tl.load(a, mask=in_m[:, None] & inside[None, :], other=0)
        y = tl.load(b, mask=inside[:, None] & in_n[None, :], other=0)
        acc = multiply_add(x, y, acc, DOT, PRECISION)
        a += BLOCK_K * a_strides[1]
        b += BLOCK_K * b_strides[0]
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + column + n, mask=in_n, other=0).to(ACC)[None, :]
    mask = in_m[:, None] & in_n[None, :]
    first = ((split.to(tl.int64) * count + batch) * M + row) * N + column
    offsets = first + (m[:, None] * N + n[None, :])
    if len(FUNCTIONS) > 0:
        acc = finish(acc, offsets, mask, FUNCTIONS, FIRST, operands, settings, out_ptr.dtype.element_ty)
    tl.store(out_ptr + offsets, acc.to(out_ptr.dtype.element_ty), mask=mask)


@jit
def _gemm(
    out_ptr,
    a_ptr,
    b_ptr,
    bias_ptr,
    operands,
    settings,
    sizes,
    each,
    count,
    batch_shape,
    a_batch,
    b_batch,
    a_strides,
    b_strides,
    ALIGN: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
    PERSISTENT: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr,
):
    # a (batch, M, K) · b (batch, K, N), any strides · bias (N) or None · operands like out · out (splits, batch, M, N),
    # row-major.  Sizes and strides come divided by ALIGN: (M, N, K, a's m and k, b's k and n, a's and b's batches);
    # UNIT says which of a's m and k, b's k and n have stride 1; each is the blocks of K in a split.
    # one program per tile of out and split, or PERSISTENT programs that take every so-manyeth tile
    M = sizes[0] * ALIGN[0]
    N = sizes[1] * ALIGN[1]
    K = sizes[2] * ALIGN[2]
    a_strides = (a_strides[0] * ALIGN[3], a_strides[1] * ALIGN[4])
    b_strides = (b_strides[0] * ALIGN[5], b_strides[1] * ALIGN[6])
    if PERSISTENT:
        tiles = count * tl.cdiv(M, BLOCK_M) * tl.cdiv(N, BLOCK_N)
        for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
            _tile(
                out_ptr, a_ptr, b_ptr, bias_ptr, operands, settings, tile, tl.program_id(1), M, N, K, each, count,
                batch_shape, a_batch, b_batch, a_strides, b_strides, ALIGN, UNIT, BLOCK_M, BLOCK_N, BLOCK_K, GROUP,
                ACC, DOT, PRECISION, FUNCTIONS, FIRST,
            )  # fmt: skip
    else:
        _tile(
            out_ptr, a_ptr, b_ptr, bias_ptr, operands, settings, tl.program_id(0), tl.program_id(1), M, N, K, each,
            count, batch_shape, a_batch, b_batch, a_strides, b_strides, ALIGN, UNIT, BLOCK_M, BLOCK_N, BLOCK_K, GROUP,
            ACC, DOT, PRECISION, FUNCTIONS, FIRST,
        )  # fmt: skip


@jit
def _sum_parts(
    out_ptr,
    parts_ptr,
    bias_ptr,
    operands,
    settings,
    splits,
    size,
    N,
    ALIGN: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr,
    BLOCK: tl.constexpr,
    AT_ONCE: tl.constexpr,
):
    # parts (splits, size) · bias (N), for the last dimension, or None · operands and out (size), row-major
    # one program per BLOCK elements; size comes divided by ALIGN
    size = size * ALIGN
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < size
    acc = tl.zeros((BLOCK,), parts_ptr.dtype.element_ty)
    part = parts_ptr + element
    for s in range(0, splits, AT_ONCE):  # so many loads on their way at a time; added in order all the same
        for i in tl.static_range(AT_ONCE):
            acc += tl.load(part, mask=mask & (s + i < splits), other=0)
            part += size
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + element % N, mask=mask, other=0).to(acc.dtype)
    if len(FUNCTIONS) > 0:
        acc = finish(acc, element, mask, FUNCTIONS, FIRST, operands, settings, out_ptr.dtype.element_ty)
    tl.store(out_ptr + element, acc.to(out_ptr.dtype.element_ty), mask=mask)


def accumulates_in(dtype: np.dtype) -> np.dtype:
    """The dtype in which products of ``dtype`` are summed."""
    if dtype in dtypes.HALF:
        return np.dtype(np.float32)
    return dtype if dtype.kind == "f" or dtype.itemsize == 8 else np.dtype(np.int32)


def accumulator_type(dtype: np.dtype) -> Any:
    """Triton's name for ``accumulates_in(dtype)``."""
    return ACC.get(dtype, tl.float32 if dtypes.dtype_of(dtype).is_floating_point else tl.int32)


# -- decisions ---------------------------------------------------------------------------------------------------


class Tile(NamedTuple):
    """How a product is shared out: the sides of a tile, warps and pipeline stages of a program, parts of the sum.

    ``persistent`` is 0, or how many programs there are for each processor, which take tiles until none is left.
    """

    m: int
    n: int
    k: int
    warps: int = 4
    stages: int = 3
    splits: int = 1
    persistent: int = 0


class Machine(NamedTuple):
    """What a back end is, as far as tiles depend on it."""

    name: str  # the GPU's, to look it up in tables
    programs: int
    shared: int  # bytes of shared memory that a program may have
    large: bool  # an interpreter, where a program costs more than its work
    hopper: bool  # or the data centre's next: tensor cores read shared memory themselves, tf32 only contiguous along K


def machine(backend: Any) -> Machine:
    """The machine behind a back end."""
    found: Machine | None = backend.__dict__.get("_machine")
    if found is None:
        found = backend._machine = Machine(
            backend.name,
            backend.programs,
            backend.shared,
            backend.block > 65536,
            (9, 0) <= backend.capability < (12, 0),
        )
    return found


def fit(n: int, most: int) -> int:
    """A tile side for a dimension of ``n``: a power of two, at least the 16 that a dot needs."""
    return max(16, min(next_power_of_2(n), most))


def on_matrix_units(dtype: np.dtype, precision: str) -> bool:
    """Whether products of ``dtype`` run on tensor cores that need their operands in shared memory."""
    return dtype in dtypes.HALF or (dtype == np.float32 and precision != "ieee")


def candidates(
    M: int, N: int, K: int, count: int, dtype: np.dtype, precision: str, layout: str, on: Machine
) -> list[Tile]:
    """Tiles for ``count`` products (M, K) by (K, N), what the rule thinks best first; ``layout`` as ``layout_of`` says.

    A tile of m by n reads m + n rows for m * n results, so that the work of one is about m n + 64 (m + n); the rule
    takes the tile for which this times the rounds of programs is least.
    """
    if dtype.kind in "iub":  # multiplied out: the tile of products has m * k * n elements
        most = 131072 if on.large else 4096
        n = min(next_power_of_2(N), 32)
        k = min(next_power_of_2(K), 32 if on.large else 8)
        return [_split(Tile(min(next_power_of_2(M), max(most // (n * k), 1), 1024), n, k), M, N, K, count, on)]
    if on.large:
        return [_split(Tile(fit(M, 256), fit(N, 256), fit(K, 64)), M, N, K, count, on)]
    found = []
    for m, n in _sides(M, N, dtype, precision, on):
        tiles = count * cdiv(M, m) * cdiv(N, n)
        work = cdiv(tiles, on.programs) * (m * n + 64 * (m + n))
        found.append((work, -m * n, _split(_filled(m, n, K, dtype, precision, layout, on), M, N, K, count, on)))
    return [tile for _, _, tile in sorted(found)]


def _sides(M: int, N: int, dtype: np.dtype, precision: str, on: Machine) -> list[tuple[int, int]]:
    rows = (fit(M, 32),) if M <= 32 else (16, 32, 64, 128) if N <= 32 else (64, 128)
    columns = (fit(N, 32),) if N <= 32 else (32, 64, 128) if M <= 32 else (64, 128, 256)
    # As many results as registers hold without spilling, most where a warp group's instructions sum them.
    groups = on.hopper and on_matrix_units(dtype, precision) and precision != "bf16x3"
    most = 128 * 256 if groups else 128 * 128
    if dtype.itemsize == 8:
        most = 64 * 64
    elif precision == "bf16x3" and not on.hopper:
        most = 128 * 64
    sides = [(m, n) for m in rows for n in columns if m * n <= most and (n < 256 or m == 128)]
    return sides if groups or M <= 64 else [side for side in sides if side != (64, 128)]


def _filled(m: int, n: int, K: int, dtype: np.dtype, precision: str, layout: str, on: Machine) -> Tile:
    """A tile of these sides with the rest: 128 bytes along K for tensor cores, more where tiles are narrow.

    Without tensor cores each k costs registers; those chosen are the longest with which sm_80 and sm_90 spill none.
    """
    narrow = min(m, n) <= 32
    if on_matrix_units(dtype, precision):
        # Float32 that is not contiguous along K goes through registers, which a long tile would fill.
        long = narrow and precision != "bf16x3" and (dtype.itemsize == 2 or layout == "nt")
        k = fit(K, (256 if long else 128) // dtype.itemsize)
        four = (
            on.hopper and precision != "bf16x3"
        )  # results stay in a warp group's registers: four warps hold 128 by 64
        warps = 8 if m * n >= 128 * (128 if four else 64) else 4
    else:
        long = 64 if m * n <= 1024 else 32 if narrow or (m * n == 64 * 64 and layout[0] == "t") else 16
        k = fit(K, 16 if dtype.itemsize == 8 else long)
        crowded = m * n == 64 * 64 and k == 16 and layout[0] == "t"  # sm_90 spills these with four warps
        warps = 8 if m * n >= 128 * 64 or crowded else 4
    stage = (m + n) * k * dtype.itemsize
    stages = 4 if stage <= 24 << 10 else 3
    while stages > 2 and stages * stage > on.shared:
        stages -= 1
    return Tile(m, n, k, warps, stages)


def _split(tile: Tile, M: int, N: int, K: int, count: int, on: Machine) -> Tile:
    """The tile with sums split over idle processors, where that saves more steps than adding the parts costs."""
    tiles = max(count * cdiv(M, tile.m) * cdiv(N, tile.n), 1)
    steps = cdiv(K, tile.k)
    splits = max(1, min(on.programs // tiles, steps // 4, 64))
    return tile._replace(splits=splits if steps - cdiv(steps, splits) >= 12 else 1)


def wants_turning(M: int, N: int, K: int, precision: str, on: Machine) -> tuple[bool, bool]:
    """Whether a and b are worth a copy that is contiguous along K, if they are not.

    Hopper's tensor cores take tf32 only so, and else every element is copied by itself, 4 bytes at a time.  The copy
    of an operand costs as much as some hundred rows of the product.
    """
    turns = precision == "tf32" and on.hopper and M * N * K >= 1 << 30
    return turns and N >= 1024, turns and M >= 1024


def layout_of(a_strides: Ints, b_strides: Ints) -> str:
    """``nn``, ``nt``, ``tn`` or ``tt``: whether a and b lie row-major or transposed, as BLAS says it."""
    return ("t" if a_strides[-2] == 1 != a_strides[-1] else "n") + ("t" if b_strides[-2] == 1 != b_strides[-1] else "n")


def key_of(M: int, N: int, K: int, count: int, dtype: np.dtype, precision: str, layout: str) -> str:
    """The key of a product in tables: sizes in buckets of powers of two."""
    sizes = f"m{bucket(M)} n{bucket(N)} k{bucket(K)} x{bucket(count)}"
    return f"{sizes} {dtypes.dtype_of(dtype).name} {precision} {layout}"


def _chosen(M: int, N: int, K: int, count: int, dtype: np.dtype, precision: str, layout: str, on: Machine) -> Tile:
    default = candidates(M, N, K, count, dtype, precision, layout, on)[0]
    if not on.name or dtype.kind in "iub":
        return default
    return tile_for("gemm", key_of(M, N, K, count, dtype, precision, layout), default, on.name)


class _Plan(NamedTuple):
    """All that a product's launches take beside the arrays."""

    shape: Ints  # of the result
    grid: tuple[int, int]
    splits: int
    numbers: tuple[Any, ...]  # run-time parameters
    constants: dict[str, Any]


@lru_cache(maxsize=4096)
def _planned(
    a_shape: Ints,
    a_strides: Ints,
    b_shape: Ints,
    b_strides: Ints,
    dtype: np.dtype,
    precision: str,
    on: Machine,
    tile: Tile | None,
) -> _Plan:
    batch = np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    (M, K), N = a_shape[-2:], b_shape[-1]
    count = prod(batch)
    if not count * M * N:
        return _Plan((*batch, M, N), (0, 0), 1, (), {})
    # Strides along a single element say nothing; as 0 they hide no neighbours in the other dimension.
    steps = tuple(0 if n == 1 else s for n, s in zip((M, K, K, N), (*a_strides[-2:], *b_strides[-2:]), strict=True))
    spread = tuple(_spread(batch, shape[:-2], own[:-2]) for shape, own in ((a_shape, a_strides), (b_shape, b_strides)))
    batch_shape, (a_batch, b_batch), _ = classify(batch, spread)
    if count <= 1:
        batch_shape = a_batch = b_batch = ()  # offsets that plainly keep the operands' alignment
    if tile is None:
        tile = _chosen(M, N, K, count, dtype, precision, layout_of(steps[:2], steps[2:]), on)
    blocks = cdiv(K, tile.k)
    each = max(cdiv(blocks, tile.splits), 1)
    splits = max(cdiv(blocks, each), 1)
    tiles = count * cdiv(M, tile.m) * cdiv(N, tile.n)
    unit = tuple(s == 1 for s in steps)
    # Sizes matter to the compiled code where memory is contiguous along them: masks of neighbours are then alike.
    sizes = (M, N, K)
    along = (unit[0], True, unit[1] or unit[2])
    strides = (*steps, gcd(*a_batch), gcd(*b_batch))
    align = (
        *(_power(n) if matters else 1 for n, matters in zip(sizes, along, strict=True)),
        *(1 if s == 1 else _power(s) for s in strides),
    )
    wide = 2 * max(tile.m, tile.n, tile.k)
    numbers = (
        tuple(_number(n // by, 256 * by) for n, by in zip(sizes, align, strict=False)),
        np.int32(each),
        np.int32(count),
        tuple(map(np.int64, batch_shape)),
        tuple(np.int64(s // align[7]) for s in a_batch),
        tuple(np.int64(s // align[8]) for s in b_batch),
        tuple(_number(s // by, wide * by) for s, by in zip(steps[:2], align[3:5], strict=True)),
        tuple(_number(s // by, wide * by) for s, by in zip(steps[2:], align[5:7], strict=True)),
    )
    programs = min(tiles, tile.persistent * on.programs) if tile.persistent and splits == 1 else tiles
    constants = {
        "ALIGN": align,
        "UNIT": unit,
        "BLOCK_M": tile.m,
        "BLOCK_N": tile.n,
        "BLOCK_K": tile.k,
        "GROUP": 8,
        "ACC": accumulator_type(dtype),
        "DOT": dtype.kind not in "iub",  # dot cannot do wide integers
        "PRECISION": precision,
        "PERSISTENT": programs != tiles,
        "FUNCTIONS": (),
        "FIRST": (),
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }
    return _Plan((*batch, M, N), (programs, splits), splits, numbers, constants)


def _spread(batch: Ints, own: Ints, strides: Ints) -> Ints:
    """The strides of dimensions ``own`` when they are broadcast to ``batch``."""
    fitted = tuple(0 if n == 1 else s for n, s in zip(own, strides, strict=True))
    return (0,) * (len(batch) - len(own)) + fitted


def _power(n: int) -> int:
    """The largest power of two, up to 16, that divides ``n``."""
    return gcd(n, 16)


def _number(value: int, times: int) -> Any:
    """A typed number, so that its divisibility is nobody's business; of 64 bits where ``times`` it passes 32."""
    return np.int32(value) if -(2**31) < value * times < 2**31 else np.int64(value)


# -- launches ----------------------------------------------------------------------------------------------------


@jit
def _turn(
    out_ptr,
    in_ptr,
    rows,
    columns,
    batch_shape,
    in_batch,
    stride,
    ALIGN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in (batch, rows, columns) with neighbours along rows, stride from one column to the next · out (batch, rows,
    # columns), row-major.  Sizes and strides come divided by ALIGN: (rows, columns, stride, in's batches)
    # one program per BLOCK by BLOCK tile of a batch entry
    rows = rows * ALIGN[0]
    columns = columns * ALIGN[1]
    tile = tl.program_id(0)
    across = tl.cdiv(columns, BLOCK)
    batch = tl.program_id(1).to(tl.int64)
    r = tile // across * BLOCK + tl.arange(0, BLOCK)
    c = tile % across * BLOCK + tl.arange(0, BLOCK)
    mask = (r < rows)[:, None] & (c < columns)[None, :]
    source = in_ptr + offset_of(batch, batch_shape, in_batch) * ALIGN[3]
    value = tl.load(source + r[:, None] + c[None, :].to(tl.int64) * (stride * ALIGN[2]), mask=mask)
    out_ptr += batch * rows * columns
    tl.store(out_ptr + r[:, None].to(tl.int64) * columns + c[None, :], value, mask=mask)


def _turned(array: DeviceArray) -> DeviceArray:
    """A row-major copy of matrices (..., rows, columns) whose neighbours in memory are of one column."""
    out = empty(array.shape, array.dtype, array.backend)
    rows, columns = array.shape[-2:]
    lead = array.shape[:-2]
    batch_shape, (in_batch,), _ = classify(lead, (_spread(lead, lead, array.strides[:-2]),))
    if prod(lead) == 1:
        batch_shape = in_batch = ()
    align = tuple(map(_power, (rows, columns, array.strides[-1], gcd(*in_batch))))
    # one program per tile of 64 by 64 of each matrix
    launch(
        _turn,
        (cdiv(rows, 64) * cdiv(columns, 64), prod(lead)),
        out,
        array,
        _number(rows // align[0], align[0]),
        _number(columns // align[1], align[1]),
        tuple(map(np.int64, batch_shape)),
        tuple(np.int64(s // align[3]) for s in in_batch),
        np.int64(array.strides[-1] // align[2]),
        ALIGN=align,
        BLOCK=64,
    )
    return out


def sum_parts(
    parts: DeviceArray,
    dtype: np.dtype,
    bias: DeviceArray | None = None,
    epilogue: Chain = (),
    out: DeviceArray | None = None,
) -> DeviceArray:
    """Add the parts (splits, ...) of split sums in order, then ``bias`` along the last dimension, then the chain."""
    if out is None:
        out = empty(parts.shape[1:], dtype, parts.backend)
    size = out.size
    if not size:
        return out
    functions, first, operands, settings = unpacked(epilogue, out) if epilogue else ((), (), (), ())
    large = parts.backend.block > 65536
    small = size <= 128 * 4 * parts.backend.programs
    last = out.shape[-1] if out.shape else 1
    align = _power(last)  # that of the last dimension, since a batch may be among the others
    block = parts.backend.block if large else 512 if not small else 128 if align >= 4 else 32
    # one program per block of elements
    launch(
        _sum_parts,
        (cdiv(size, block),),
        out,
        parts,
        None if bias is None else contiguous(bias),
        operands,
        settings,
        np.int32(parts.shape[0]),
        _number(size // align, align),
        _number(last, 1),
        ALIGN=align,
        FUNCTIONS=functions,
        FIRST=first,
        BLOCK=block,
        AT_ONCE=1 if large else 8,
        num_warps=1 if small else 4,
    )
    return out


@repeated
def gemm(
    a: DeviceArray,
    b: DeviceArray,
    bias: DeviceArray | None = None,
    epilogue: Chain = (),
    out: DeviceArray | None = None,
    kind: str = "matmul",
    tile: Tile | None = None,
) -> DeviceArray:
    """``a @ b`` for (..., M, K) and (..., K, N) of one dtype and any strides, batches broadcast; ``+ bias`` (N).

    The result is row-major, or ``out`` where one is given.  ``epilogue`` runs on it before it is stored; ``kind`` says
    whose setting of float32's precision counts; ``tile`` is for who knows better than rule and tables.
    Raises ValueError for an ``out`` that is not a row-major array of the result's shape.
    """
    dtype = a.dtype
    precision = input_precision(dtype, kind)
    on = machine(a.backend)
    if precision == "tf32" and on.hopper:
        a, b = _contiguous_along_k(a, b, on)
    chosen = _planned(a.shape, a.strides, b.shape, b.strides, dtype, precision, on, tile)
    if out is None:
        out = empty(chosen.shape, dtype, a.backend)
    elif out.shape != chosen.shape or not out.is_contiguous:
        raise ValueError(f"gemm: expected a row-major out {chosen.shape}, got {out.shape} of strides {out.strides}")
    if 0 in chosen.shape:
        return out
    into, added, constants = out, bias, chosen.constants
    operands, settings = (), ()
    if chosen.splits > 1:
        into, added = empty((chosen.splits, *chosen.shape), accumulates_in(dtype), a.backend), None
    elif epilogue:
        functions, first, operands, settings = unpacked(epilogue, out)
        constants = constants | {"FUNCTIONS": functions, "FIRST": first}
    # one program per tile of each batch entry and part of the sum
    launch(
        _gemm,
        chosen.grid,
        into,
        a,
        b,
        None if added is None else contiguous(added),
        operands,
        settings,
        *chosen.numbers,
        **constants,
    )
    return out if chosen.splits == 1 else sum_parts(into, dtype, bias, epilogue, out)


def transposed(array: DeviceArray) -> DeviceArray:
    """The view with its last two dimensions exchanged; by hand, since every layer's product asks for it."""
    shape, strides = array.shape, array.strides
    return DeviceArray(
        array.block,
        array.ptr,
        array.dtype,
        (*shape[:-2], shape[-1], shape[-2]),
        (*strides[:-2], strides[-1], strides[-2]),
        array.backend,
    )


def _contiguous_along_k(a: DeviceArray, b: DeviceArray, on: Machine) -> tuple[DeviceArray, DeviceArray]:
    """Tf32's operands, copied where that pays."""
    turn_a, turn_b = wants_turning(a.shape[-2], b.shape[-1], a.shape[-1], "tf32", on)
    if turn_a and a.strides[-2] == 1 != a.strides[-1]:
        a = _turned(a)
    if turn_b and b.strides[-1] == 1 != b.strides[-2]:
        b = transposed(_turned(transposed(b)))
    return a, b


def as_matrix(chain: Chain, shape: Ints) -> Chain:
    """A chain for a result of ``shape`` as one for that result as a matrix of its last dimension."""
    return tuple(replace(stage, operands=tuple(_rows_of(x, shape) for x in stage.operands)) for stage in chain)


def _rows_of(operand: DeviceArray, shape: Ints) -> DeviceArray:
    if operand.ndim <= 1:
        return operand
    wide = operand if operand.shape == shape else operand.viewed(lambda x: np.broadcast_to(x, shape))
    return contiguous(wide).viewed(lambda x: x.reshape((prod(shape[:-1]), shape[-1]), copy=False))


def for_blas(array: np.ndarray) -> np.ndarray:
    """The array, copied where its last two dimensions lie in a way that BLAS cannot read (NumPy would then be slow)."""
    rows, columns = array.shape[-2:]
    down, along = array.strides[-2:]
    width = array.itemsize
    if (along == width and down >= columns * width and not down % width) or (
        down == width and along >= rows * width and not along % width
    ):
        return array
    return np.ascontiguousarray(array)
