"""Matrix products on tiles: the loop behind matmul and linear, and the helpers that convolutions share with it.

Half types and float32 are summed in float32 (``ieee``: no operand is rounded to tf32), float64 in float64 and
integers in their own dtype, so that an overflow wraps as it does in NumPy.  Products of few output tiles are split
along the summed dimension; the parts are added in order by a second launch, so results never vary.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray, empty_like
from .language import cdiv, jit, next_power_of_2, tl
from .launch import contiguous, launch, offset_of
from .reduction import plus, reduce
from .strides import classify

ACC = {np.dtype(np.float64): tl.float64, np.dtype(np.int64): tl.int64}  # all else: float32 or int32


@jit
def multiply_add(a, b, acc, DOT: tl.constexpr):
    """``acc + a @ b`` for tiles (M, K) and (K, N); without DOT by multiplying out, which any type and size can."""
    if DOT:
        return tl.dot(a, b, acc, input_precision="ieee", out_dtype=acc.dtype)
    return acc + tl.sum(a.to(acc.dtype)[:, :, None] * b.to(acc.dtype)[None, :, :], axis=1)


@jit
def stepped(index, stride, UNIT: tl.constexpr):
    """``index * stride``; a stride known to be 1 shows the compiler which values are neighbours in memory."""
    if UNIT:
        return index
    else:
        return index * stride


@jit
def _gemm(
    out_ptr,
    a_ptr,
    b_ptr,
    bias_ptr,
    M,
    N,
    K,
    per_split,
    batches,
    batch_shape,
    a_batch,
    b_batch,
    a_strides,
    b_strides,
    UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
):
    # a (batch, M, K) · b (batch, K, N), any strides, UNIT says which of the four are 1 · bias (N) or None ·
    # out (splits, batch, M, N), row-major
    # one program per tile of out; tiles of one batch entry are neighbours, down a column of tiles first
    tile = tl.program_id(0).to(tl.int64)
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles = tiles_m * tl.cdiv(N, BLOCK_N)
    batch = tile // tiles
    m = (tile % tiles % tiles_m) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = (tile % tiles // tiles_m) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1).to(tl.int64)
    begin = split * per_split
    end = tl.minimum(begin + per_split, K)
    k = begin + tl.arange(0, BLOCK_K)
    a = a_ptr + offset_of(batch, batch_shape, a_batch)
    a = a + stepped(m, a_strides[0], UNIT[0])[:, None] + stepped(k, a_strides[1], UNIT[1])[None, :]
    b = b_ptr + offset_of(batch, batch_shape, b_batch)
    b = b + stepped(k, b_strides[0], UNIT[2])[:, None] + stepped(n, b_strides[1], UNIT[3])[None, :]
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    for start in range(begin, end, BLOCK_K):
        inside = start + tl.arange(0, BLOCK_K) < end
        x = tl.load(a, mask=(m[:, None] < M) & inside[None, :], other=0)
        y = tl.load(b, mask=inside[:, None] & (n[None, :] < N), other=0)
        acc = multiply_add(x, y, acc, DOT)
        a += BLOCK_K * a_strides[1]
        b += BLOCK_K * b_strides[0]
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + n, mask=n < N, other=0).to(ACC)[None, :]
    place = ((split * batches + batch) * M + m[:, None]) * N + n[None, :]
    tl.store(out_ptr + place, acc.to(out_ptr.dtype.element_ty), mask=(m[:, None] < M) & (n[None, :] < N))


def accumulates_in(dtype: np.dtype) -> np.dtype:
    """The dtype in which products of ``dtype`` are summed."""
    if dtype in dtypes.HALF:
        return np.dtype(np.float32)
    return dtype if dtype.kind == "f" or dtype.itemsize == 8 else np.dtype(np.int32)


def accumulator_type(dtype: np.dtype) -> Any:
    """Triton's name for ``accumulates_in(dtype)``."""
    return ACC.get(dtype, tl.float32 if dtypes.dtype_of(dtype).is_floating_point else tl.int32)


@lru_cache(maxsize=4096)
def tiles(M: int, N: int, K: int, dtype: np.dtype, dot: bool, large: bool) -> tuple[int, int, int, int]:
    """BLOCK_M, BLOCK_N, BLOCK_K and num_warps; ``large`` tiles suit the interpreter, where a program costs most."""
    if not dot:  # the tile of products has BLOCK_M * BLOCK_K * BLOCK_N elements
        most = 131072 if large else 4096
        block_n = min(next_power_of_2(N), 32)
        block_k = min(next_power_of_2(K), 32 if large else 8)
        block_m = min(next_power_of_2(M), max(most // (block_n * block_k), 1), 1024)
        return block_m, block_n, block_k, 4
    if large:
        return fit(M, 256), fit(N, 256), fit(K, 64), 4
    wide = dtype.itemsize <= 2 and M >= 1024 and N >= 1024
    block_m = fit(M, 128 if wide else 64)
    block_n = fit(N, 128 if wide else 64)
    block_k = fit(K, {1: 64, 2: 64, 4: 32, 8: 16}[dtype.itemsize])
    return block_m, block_n, block_k, 8 if wide else 4


def fit(n: int, most: int) -> int:
    """A tile side for a dimension of ``n``: a power of two, at least the 16 that a dot needs."""
    return max(16, min(next_power_of_2(n), most))


def splits_of(programs: int, K: int, block_k: int, backend: Any) -> tuple[int, int]:
    """Into how many parts a sum over K is split so that every processor has work, and the length of each part."""
    wanted = min(2 * backend.programs // max(programs, 1), K // (8 * block_k), 64)
    if wanted <= 1:
        return 1, max(K, 1)
    per_split = cdiv(cdiv(K, wanted), block_k) * block_k
    return cdiv(K, per_split), per_split


def sum_parts(parts: DeviceArray, dtype: np.dtype) -> DeviceArray:
    """Add the parts (splits, ...) of split sums in order."""
    return reduce(parts, (0,), False, plus, 0, result=dtype)


def gemm(a: DeviceArray, b: DeviceArray, bias: DeviceArray | None = None) -> DeviceArray:
    """``a @ b`` for (..., M, K) and (..., K, N) of one dtype and any strides, batches broadcast; ``+ bias`` (N).

    The result is row-major.
    """
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (M, K), N = a.shape[-2:], b.shape[-1]
    out = empty_like(a, (*batch, M, N))
    if not out.size:
        return out
    a_strides, b_strides = a.strides[-2:], b.strides[-2:]
    spread = tuple(x.viewed(lambda v: np.broadcast_to(v, batch + v.shape[-2:])).strides[:-2] for x in (a, b))
    batch_shape, steps, _ = classify(batch, spread)
    if batch_shape == (1,):
        steps = ((0,), (0,))  # no batch: offsets that plainly keep the operands' alignment
    count = prod(batch)
    dtype = a.dtype
    dot = dtype.kind not in "iub"  # dot cannot do wide integers
    block_m, block_n, block_k, warps = tiles(M, N, K, dtype, dot, out.backend.block > 65536)
    programs = count * cdiv(M, block_m) * cdiv(N, block_n)
    splits, per_split = (1, max(K, 1)) if bias is not None else splits_of(programs, K, block_k, out.backend)
    into = out if splits == 1 else empty_like(a, (splits, *out.shape), accumulates_in(dtype))
    # one program per tile of each batch entry and part of the sum
    launch(
        _gemm,
        (programs, splits),
        into,
        a,
        b,
        None if bias is None else contiguous(bias),
        M,
        N,
        K,
        per_split,
        count,
        batch_shape,
        steps[0],
        steps[1],
        a_strides,
        b_strides,
        UNIT=tuple(s == 1 for s in (*a_strides, *b_strides)),
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
        ACC=accumulator_type(dtype),
        DOT=dot,
        num_warps=warps,
    )
    return out if splits == 1 else sum_parts(into, dtype)


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
