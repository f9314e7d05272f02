"""The interpreter computes what the compiler promises: types, rounding, wrapping, reductions, errors."""

import math
import warnings

import ml_dtypes
import numpy as np
import pytest

from trigrad.framework import array as arrays
from trigrad.framework.device import Block, backend, device
from trigrad.framework.language import associative_scan, cdiv, jit, libdevice, reduce, tl

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64)]
INTEGERS = [np.dtype(t) for t in ("i1", "i2", "i4", "i8", "u1")]
B = 64
EPSILON = tl.constexpr(0.25)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def run(kernel, *arguments, grid=(1,), **constants):
    """Launch with NumPy arrays, which come back changed."""
    interpreter = backend(device("interpreter"))

    def put(x):
        if isinstance(x, tuple):
            return tuple(map(put, x))
        return arrays.from_numpy(x, interpreter) if isinstance(x, np.ndarray) else x

    def get(x, y):
        if isinstance(x, tuple):
            for a, b in zip(x, y, strict=True):
                get(a, b)
        elif isinstance(x, np.ndarray):
            x[...] = y.numpy()

    placed = put(arguments)
    interpreter.launch(kernel, grid, placed, constants, 4, 1)
    get(arguments, placed)


def close(got, want, dtype=None, factor=4.0):
    dtype = np.dtype(dtype or got.dtype)
    eps = float(ml_dtypes.finfo(dtype).eps)
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    np.testing.assert_allclose(got, want, rtol=factor * eps, atol=factor * eps)


# memory, masks, grids --------------------------------------------------------------------------------------------


@jit
def copy_masked(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n, other=3), mask=i < n + 1)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, np.dtype(bool)], ids=str)
def test_loads_and_stores_every_dtype(dtype, rng):
    x = (rng.standard_normal(100) * 3).astype(dtype)
    out = np.zeros(101, dtype)
    run(copy_masked, x, out, 100, grid=(cdiv(101, 32),), BLOCK=32)
    np.testing.assert_array_equal(out[:100], x)
    assert out[100] == np.array(3).astype(dtype)


@jit
def positions(out, BLOCK: tl.constexpr):
    p = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(2) + tl.program_id(2)
    tl.store(out + p, p + 100 * tl.num_programs(0))


def test_three_dimensional_grids():
    out = np.zeros(24, np.int32)
    run(positions, out, grid=(2, 3, 4), BLOCK=1)
    np.testing.assert_array_equal(out, np.arange(24) + 200)
    run(positions, np.zeros(1, np.int32), grid=(0,), BLOCK=1)


@jit
def out_of_bounds(x, out, SHIFT: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i + SHIFT))


def test_access_outside_the_arguments_raises():
    x, out = np.zeros(B, np.float32), np.zeros(B, np.float32)
    with pytest.raises(RuntimeError, match="out_of_bounds: IndexError: reads 8 of 64 elements outside"):
        run(out_of_bounds, x, out, SHIFT=8, BLOCK=B)
    with pytest.raises(RuntimeError, match="out_of_bounds: IndexError: reads 1 of 64 elements outside"):
        run(out_of_bounds, x, out, SHIFT=-1, BLOCK=B)
    with pytest.raises(RuntimeError, match="out_of_bounds: IndexError: writes"):
        run(out_of_bounds, x, out[:32], SHIFT=0, BLOCK=B)


def test_memory_of_unknown_size_is_not_checked():
    class Bare:
        dtype = np.dtype(np.float32)

        def __init__(self, array):
            self.ptr = array.__array_interface__["data"][0]

    x, out = np.arange(B + 8, dtype=np.float32), np.zeros(B, np.float32)
    backend(device("interpreter")).launch(out_of_bounds, (1,), (Bare(x), Bare(out)), {"SHIFT": 8, "BLOCK": B}, 4, 1)
    np.testing.assert_array_equal(out, x[8:])


def test_allocation_is_aligned_and_kept_alive():
    interpreter = backend(device("interpreter"))
    for nbytes in (0, 1, 511, 4096):
        block = interpreter.allocate(nbytes)
        assert isinstance(block, Block)
        assert block.ptr % 512 == 0
        assert block.nbytes == nbytes


# arithmetic ------------------------------------------------------------------------------------------------------


@jit
def arithmetic(x, y, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a = tl.load(x + i)
    b = tl.load(y + i)
    tl.store(out + i, a + b)
    tl.store(out + BLOCK + i, a - b)
    tl.store(out + 2 * BLOCK + i, a * b)
    tl.store(out + 3 * BLOCK + i, tl.where(a > b, a, -b))
    tl.store(out + 4 * BLOCK + i, tl.maximum(a, b))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_float_arithmetic_rounds_once(dtype, rng):
    x, y = (rng.standard_normal(B).astype(dtype) for _ in range(2))
    out = np.zeros((5, B), dtype)
    run(arithmetic, x, y, out, BLOCK=B)
    wide = np.float64 if dtype == np.float64 else np.float32
    a, b = x.astype(wide), y.astype(wide)
    for got, want in zip(out, (a + b, a - b, a * b, np.where(a > b, a, -b), np.maximum(a, b)), strict=True):
        np.testing.assert_array_equal(got, want.astype(dtype))


@pytest.mark.parametrize("dtype", [*INTEGERS, np.dtype("u4"), np.dtype("u8")], ids=str)
def test_integer_arithmetic_wraps_in_silence(dtype, rng):
    limits = np.iinfo(dtype)
    x, y = (rng.integers(limits.min, limits.max, B, dtype=dtype, endpoint=True) for _ in range(2))
    out = np.zeros((5, B), dtype)
    run(arithmetic, x, y, out, BLOCK=B)
    want = (x + y, x - y, x * y, np.where(x > y, x, (0 - y).astype(dtype)), np.maximum(x, y))
    for got, expected in zip(out, want, strict=True):
        np.testing.assert_array_equal(got, expected)


@jit
def division(x, y, quotient, remainder, real, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a = tl.load(x + i)
    b = tl.load(y + i)
    tl.store(quotient + i, a // b)
    tl.store(remainder + i, a % b)
    tl.store(real + i, a / b)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_integer_division_is_towards_zero(dtype):
    x = np.array([7, -7, 7, -7, 0, 100, 5, 6] * 8).astype(dtype)
    y = np.array([2, 2, -2, -2, 3, 7, 0, 1] * 8).astype(dtype)
    quotient, remainder, real = np.zeros(B, dtype), np.zeros(B, dtype), np.zeros(B, np.float32)
    run(division, x, y, quotient, remainder, real, BLOCK=B)
    some = y != 0
    wanted = np.trunc(x[some].astype(np.float64) / y[some]).astype(dtype)
    np.testing.assert_array_equal(quotient[some], wanted)
    np.testing.assert_array_equal(remainder[some], x[some] - wanted * y[some])
    close(real[some], x[some] / y[some])


@jit
def bit_operations(x, shift, out, high, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a = tl.load(x + i)
    s = tl.load(shift + i)
    tl.store(out + i, (a >> s) ^ (a << s) | (a & 0x55))
    tl.store(high + i, tl.umulhi(a, a ^ s))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_shifts_and_the_high_half_of_products(dtype, rng):
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, B, dtype=dtype, endpoint=True)
    s = rng.integers(0, 31, B, dtype=np.int64).astype(dtype)
    out, high = np.zeros(B, dtype), np.zeros(B, dtype)
    run(bit_operations, x, s, out, high, BLOCK=B)
    np.testing.assert_array_equal(out, (x >> s) ^ (x << s) | (x & dtype(0x55)))
    bits = limits.bits
    wanted = [(int(a) % 2**bits) * (int(b) % 2**bits) >> bits for a, b in zip(x, x ^ s, strict=True)]
    np.testing.assert_array_equal(high, np.array(wanted, f"u{bits // 8}").view(dtype))


@jit
def casts(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i).to(out.dtype.element_ty))


@pytest.mark.parametrize("to", [*FLOATS, *INTEGERS, np.dtype(bool)], ids=str)
@pytest.mark.parametrize("of", [*FLOATS, *INTEGERS, np.dtype(bool)], ids=str)
def test_casts(of, to, rng):
    x = np.concatenate([rng.standard_normal(60) * 40, [0, 1, -1, 0.5]])
    x = (np.abs(x) if "u1" in (of.str[1:], to.str[1:]) else x).astype(of)
    out = np.zeros(B, to)
    run(casts, x, out, BLOCK=B)
    middle = x.astype(np.float32) if BFLOAT16 in (of, to) else x
    np.testing.assert_array_equal(out, x != 0 if to == np.bool_ else middle.astype(to))


def test_casts_of_what_does_not_fit_are_silent():
    x = np.array([math.nan, math.inf, -math.inf, 1e30] * 16, np.float32)
    for dtype in (np.int32, np.int8, np.float16, BFLOAT16):
        run(casts, x, np.zeros(B, dtype), BLOCK=B)
    out = np.zeros(B, np.float16)
    run(casts, x, out, BLOCK=B)
    np.testing.assert_array_equal(out, np.array([math.nan, math.inf, -math.inf, math.inf] * 16, np.float16))


def test_half_types_round_to_nearest_even():
    x = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-8 + 2.0**-20, -1 - 2.0**-8] * 16, np.float32)
    out = np.zeros(B, BFLOAT16)
    run(casts, x, out, BLOCK=B)
    np.testing.assert_array_equal(out[:4].astype(np.float64), [1, 1 + 2.0**-6, 1 + 2.0**-7, -1])


@jit
def fused(a, b, c, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.fma(tl.load(a + i), tl.load(b + i), tl.load(c + i)))


def test_fma_rounds_once(rng):
    a, b = (rng.standard_normal(B).astype(np.float32) for _ in range(2))
    c = -(a * b)
    out = np.zeros(B, np.float32)
    run(fused, a, b, c, out, BLOCK=B)
    want = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)  # exact: the sum cancels
    np.testing.assert_array_equal(out, want.astype(np.float32))
    assert (out != 0).any()
    special = np.array([np.inf, np.nan, 0, 1] * 16, np.float32)
    run(fused, special, b, c, out, BLOCK=B)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isfinite(out), np.isfinite(special * b + c))


# functions -------------------------------------------------------------------------------------------------------


@jit
def functions(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    v = tl.load(x + i)
    a = tl.abs(v) + EPSILON
    tl.store(out + i, tl.exp(v))
    tl.store(out + BLOCK + i, tl.log(a))
    tl.store(out + 2 * BLOCK + i, tl.sqrt_rn(a) if x.dtype.element_ty == tl.float32 else tl.sqrt(a))
    tl.store(out + 3 * BLOCK + i, tl.math.rsqrt(a))
    tl.store(out + 4 * BLOCK + i, tl.sin(v) + tl.cos(v))
    tl.store(out + 5 * BLOCK + i, tl.erf(v))
    tl.store(out + 6 * BLOCK + i, tl.floor(v) + tl.ceil(v))
    tl.store(out + 7 * BLOCK + i, tl.exp2(v) + tl.log2(a))
    tl.store(out + 8 * BLOCK + i, libdevice.tanh(v))
    tl.store(out + 9 * BLOCK + i, libdevice.expm1(v))
    tl.store(out + 10 * BLOCK + i, libdevice.log1p(a))
    tl.store(out + 11 * BLOCK + i, libdevice.pow(a, v))
    tl.store(out + 12 * BLOCK + i, libdevice.fmod(v, a))
    tl.store(out + 13 * BLOCK + i, libdevice.trunc(v) + libdevice.rint(v))
    tl.store(out + 14 * BLOCK + i, libdevice.erfinv(libdevice.tanh(v)))
    tl.store(out + 15 * BLOCK + i, libdevice.atan2(v, a) + libdevice.tan(v))
    tl.store(out + 16 * BLOCK + i, libdevice.lgamma(a) + libdevice.erfc(v))
    tl.store(out + 17 * BLOCK + i, tl.where(libdevice.isnan(v) | libdevice.isinf(v), 0.0, tl.sigmoid(v)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions(dtype, rng):
    x = rng.standard_normal(B).astype(dtype)
    out = np.zeros((18, B), dtype)
    run(functions, x, out, BLOCK=B)
    a = np.abs(x) + dtype(0.25)
    erf = np.vectorize(math.erf)
    want = [
        np.exp(x),
        np.log(a),
        np.sqrt(a),
        1 / np.sqrt(a),
        np.sin(x) + np.cos(x),
        erf(x.astype(np.float64)),
        np.floor(x) + np.ceil(x),
        np.exp2(x) + np.log2(a),
        np.tanh(x),
        np.expm1(x),
        np.log1p(a),
        a**x,
        np.fmod(x, a),
        np.trunc(x) + np.rint(x),
        None,
        np.arctan2(x, a) + np.tan(x),
        np.vectorize(math.lgamma)(a.astype(np.float64)) + 1 - erf(x.astype(np.float64)),
        1 / (1 + np.exp(-x)),
    ]
    for got, expected in zip(out, want, strict=True):
        if expected is not None:
            close(got, expected, factor=16)
    close(erf(out[14].astype(np.float64)), np.tanh(x), dtype, factor=4)


def test_erfinv_at_its_limits(rng):
    @jit
    def inverse(x, out, BLOCK: tl.constexpr):
        i = tl.arange(0, BLOCK)
        tl.store(out + i, libdevice.erfinv(tl.load(x + i)))

    x = np.array([0, 1, -1, 1.5, 0.999999, -0.25, 1e-12, 1 - 1e-15] * 8)
    out = np.zeros(B)
    run(inverse, x, out, BLOCK=B)
    np.testing.assert_array_equal(out[:4], [0, np.inf, -np.inf, np.nan])
    erfc = np.vectorize(math.erfc)
    np.testing.assert_allclose(erfc(np.abs(out[4:8])), 1 - np.abs(x[4:8]), rtol=1e-12)


@jit
def matrix_product(a, b, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    m = tl.arange(0, M)
    n = tl.arange(0, N)
    k = tl.arange(0, K)
    x = tl.load(a + m[:, None] * K + k[None, :])
    y = tl.load(b + k[:, None] * N + n[None, :])
    tl.store(out + m[:, None] * N + n[None, :], tl.dot(x, y, input_precision="ieee", out_dtype=out.dtype.element_ty))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dot_sums_in_float32_or_more(dtype, rng):
    a, b = rng.standard_normal((16, 32)).astype(dtype), rng.standard_normal((32, 16)).astype(dtype)
    wide = np.float64 if dtype == np.float64 else np.float32
    out = np.zeros((16, 16), wide)
    run(matrix_product, a, b, out, M=16, N=16, K=32)
    close(out, a.astype(np.float64) @ b.astype(np.float64), factor=4 * math.sqrt(32))


def test_dot_of_integers(rng):
    a, b = (rng.integers(-128, 128, (32, 32)).astype(np.int8) for _ in range(2))
    out = np.zeros((32, 32), np.int32)

    @jit
    def product(a, b, out, N: tl.constexpr):
        i = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
        tl.store(out + i, tl.dot(tl.load(a + i), tl.load(b + i)))

    run(product, a, b, out, N=32)
    np.testing.assert_array_equal(out, a.astype(np.int32) @ b.astype(np.int32))


# reductions and scans --------------------------------------------------------------------------------------------


@jit
def total(x, out, M: tl.constexpr, N: tl.constexpr):
    v = tl.load(x + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    tl.store(out, tl.sum(v))
    tl.store(out + 1, tl.max(tl.max(v, axis=1), axis=0))
    tl.store(out + 2, tl.min(v))
    rows = tl.sum(v, axis=1, keep_dims=True)
    tl.store(out + 3 + tl.arange(0, M)[:, None], rows)
    tl.store(out + 3 + M + tl.arange(0, N), v.sum(0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_reductions(dtype, rng):
    x = (rng.standard_normal((8, 16)) * 9).astype(dtype)
    out = np.zeros(3 + 8 + 16, dtype)
    run(total, x, out, M=8, N=16)
    want = np.concatenate([[x.sum(), x.max(), x.min()], x.sum(1), x.sum(0)])
    np.testing.assert_allclose(out, want, rtol=1e-5 if dtype == np.float32 else 1e-12)


@jit
def extremes(x, out, M: tl.constexpr, N: tl.constexpr):
    v = tl.load(x + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    tl.store(out + tl.arange(0, M), tl.argmax(v, axis=1))
    tl.store(out + M + tl.arange(0, M), tl.argmin(v, 1))
    best, place = tl.max(v, 1, return_indices=True)
    tl.store(out + 2 * M + tl.arange(0, M), place + best.to(tl.int32) * 0)


def test_positions_of_extremes_take_the_first_of_equals(rng):
    x = rng.integers(0, 4, (8, 16)).astype(np.float32)
    out = np.zeros((3, 8), np.int32)
    run(extremes, x, out, M=8, N=16)
    np.testing.assert_array_equal(out, [x.argmax(1), x.argmin(1), x.argmax(1)])


@jit
def merge(mean, m2, count, mean2, m22, count2):
    both = count + count2
    delta = mean2 - mean
    return mean + delta * count2 / both, m2 + m22 + delta * delta * count * count2 / both, both


@jit
def later(a, b):
    return b


@jit
def nan_max(a, b):
    return tl.where((a != a) | (a > b), a, b)


@jit
def own_combines(x, out, BLOCK: tl.constexpr):
    v = tl.load(x + tl.arange(0, BLOCK))
    mean, m2, n = tl.reduce((v, v * 0, v * 0 + 1), 0, merge)
    tl.store(out, mean)
    tl.store(out + 1, m2 / n)
    tl.store(out + 2, tl.reduce(v, 0, later))
    tl.store(out + 3, tl.reduce(v, 0, nan_max))


def test_own_combining_functions_keep_the_order(rng):
    x, out = rng.standard_normal(B).astype(np.float32), np.zeros(4, np.float32)
    run(own_combines, x, out, BLOCK=B)
    close(out, [x.mean(), x.var(), x[-1], x.max()], factor=32)
    x[5] = np.nan
    run(own_combines, x, out, BLOCK=B)
    assert np.isnan(out[3])


@jit
def given_combine(x, out, BLOCK: tl.constexpr, COMBINE: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, reduce(tl.load(x + i), 0, COMBINE) - associative_scan(tl.load(x + i), 0, COMBINE, reverse=True))


def test_a_combining_function_as_an_argument(rng):
    x, out = rng.standard_normal(B).astype(np.float32), np.zeros(B, np.float32)
    run(given_combine, x, out, BLOCK=B, COMBINE=nan_max)
    np.testing.assert_array_equal(out, x.max() - np.maximum.accumulate(x[::-1])[::-1])


@jit
def affine(a, b, a2, b2):
    return a * a2, b * a2 + b2


@jit
def scans(x, y, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    v = tl.load(x + i)
    tl.store(out + i, tl.cumsum(v, 0))
    tl.store(out + BLOCK + i, tl.cumsum(v, 0, reverse=True))
    tl.store(out + 2 * BLOCK + i, tl.cumprod(v, 0))
    decay, state = tl.associative_scan((v, tl.load(y + i)), 0, affine)
    tl.store(out + 3 * BLOCK + i, state + decay * 0)


def test_scans(rng):
    x, y = rng.uniform(0.5, 1.2, (2, B))
    out = np.zeros((4, B))
    run(scans, x, y, out, BLOCK=B)
    state, states = 0.0, []
    for a, b in zip(x, y, strict=True):
        state = state * a + b
        states.append(state)
    for got, want in zip(out, (x.cumsum(), x[::-1].cumsum()[::-1], x.cumprod(), states), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


# shapes ----------------------------------------------------------------------------------------------------------


@jit
def shapes(x, out, M: tl.constexpr, N: tl.constexpr):
    v = tl.load(x + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    t = tl.trans(v)
    low, high = tl.split(tl.reshape(t, (N, M // 2, 2)))
    back = tl.interleave(low, high)
    wide = tl.broadcast_to(tl.sum(back, 1)[:, None], (N, M))
    full = tl.full((N, M), 0.5, tl.float32) + tl.zeros_like(back)
    tl.store(out + tl.arange(0, N)[:, None] * M + tl.arange(0, M)[None, :], v.T + back + wide * full)


def test_shapes(rng):
    x = rng.standard_normal((4, 8)).astype(np.float32)
    out = np.zeros((8, 4), np.float32)
    run(shapes, x, out, M=4, N=8)
    close(out, 2 * x.T + 0.5 * x.T.sum(1, keepdims=True), factor=16)


@jit
def sorting(x, out, counts, BLOCK: tl.constexpr):
    v = tl.load(x + tl.arange(0, BLOCK))
    tl.store(out + tl.arange(0, BLOCK), tl.sort(v))
    tl.store(counts + tl.arange(0, 8), tl.histogram(v.to(tl.int32), 8))
    tl.store(out + BLOCK + tl.arange(0, BLOCK), tl.gather(v, BLOCK - 1 - tl.arange(0, BLOCK), 0))


def test_sort_histogram_gather(rng):
    x = rng.integers(0, 8, B).astype(np.float32)
    out, counts = np.zeros((2, B), np.float32), np.zeros(8, np.int32)
    run(sorting, x, out, counts, BLOCK=B)
    np.testing.assert_array_equal(out[0], np.sort(x))
    np.testing.assert_array_equal(out[1], x[::-1])
    np.testing.assert_array_equal(counts, np.bincount(x.astype(int), minlength=8))


# control flow and parameters -------------------------------------------------------------------------------------


@jit
def control(out, n, LIMIT: tl.constexpr, MODE: tl.constexpr):
    count = 0
    k = n
    while k > 0:
        k = k // 2
        count += 1
    acc = tl.zeros((4,), tl.float32)
    for j in range(0, n, 3):
        acc += j.to(tl.float32)
    for j in tl.range(2, num_stages=2):
        acc += j * 100
    for j in tl.static_range(LIMIT):
        if j % 2 == 0 and MODE == "even":
            acc += 1000
    if n > 5 or count > 100:
        acc -= 0.5
    if not n == 7:
        acc = acc * 0
    tl.store(out + tl.arange(0, 4), acc)
    tl.store(out + 4, count if count > 1 else -1)
    tl.store(out + 5, max(count, 2) + min(n, 1))


def test_control_flow():
    out = np.zeros(6, np.float32)
    run(control, out, 7, LIMIT=4, MODE="even")
    np.testing.assert_array_equal(out, [9 + 100 + 2000 - 0.5] * 4 + [3, 4])
    run(control, out, 1, LIMIT=4, MODE="odd")
    np.testing.assert_array_equal(out, [0] * 4 + [-1, 3])


@jit
def fetch(p, offsets, mask, KIND: tl.constexpr):
    if KIND == "scalar":
        v = tl.load(p)
    else:
        v = tl.load(p + offsets, mask=mask, other=0)
    return v


@jit
def weighted(x, y, s, t):
    return x * s + y * t


@jit
def generic(out, inputs, pairs, settings, extra, n, F: tl.constexpr, KINDS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    values = ()
    for k in tl.static_range(len(inputs)):
        values = values + (fetch(inputs[k], i, mask, KINDS[k]),)
    result = F(*values, *settings)
    if extra is not None:
        result += tl.load(extra + i, mask=mask)
    a, b = pairs[0]
    c, d = pairs[1]
    tl.store(out + i, result + (a + b * c - d), mask=mask)


def test_tuples_none_and_functions_as_arguments(rng):
    x, y = rng.standard_normal(B), rng.standard_normal(1)
    out = np.zeros(B)
    settings = (np.float64(0.1), np.float64(0.7))
    constants = {"grid": (2,), "F": weighted, "KINDS": ("block", "scalar"), "BLOCK": 32}
    run(generic, out, (x, y), ((1, 2), (3, 4)), settings, None, B, **constants)
    np.testing.assert_allclose(out, x * 0.1 + y * 0.7 + 3, rtol=1e-15)
    run(generic, out, (x, y), ((1, 2), (3, 4)), settings, x, B, **constants)
    np.testing.assert_allclose(out, x * 1.1 + y * 0.7 + 3, rtol=1e-14)


@jit
def scalars(out, f64, i64, f32, i32, half, flag):
    tl.static_assert(f64.dtype == tl.float64)
    tl.static_assert(i64.dtype == tl.int64)
    tl.static_assert(f32.dtype == tl.float32)
    tl.static_assert(i32.dtype == tl.int32)
    tl.static_assert(half.dtype == tl.bfloat16)
    tl.static_assert(flag.dtype == tl.int1)
    tl.store(out, f64)
    tl.store(out + 1, i64 + i32)


def test_typed_scalars_keep_their_type():
    out = np.zeros(2)
    run(scalars, out, np.float64(0.1), np.int64(2**40), 2.5, 3, ml_dtypes.bfloat16(1), True)
    np.testing.assert_array_equal(out, [0.1, 2**40 + 3])
    run(scalars, out, np.float64(0.1), 2**40, np.float32(2.5), np.int32(3), ml_dtypes.bfloat16(1), np.bool_(True))
    np.testing.assert_array_equal(out, [0.1, 2**40 + 3])


@jit
def wrapping(out, seed, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK).to(tl.uint32)
    x = i * 0x9E3779B9 + seed.to(tl.uint32)
    x = (x ^ (x >> 16)) * 0x85EBCA6B
    tl.store(out + i.to(tl.int32), x.to(tl.int64))


def test_hashing_in_uint32():
    out = np.zeros(B, np.int64)
    run(wrapping, out, np.int64(2**33 + 12345), BLOCK=B)
    want = []
    for i in range(B):
        x = (i * 0x9E3779B9 + 12345) % 2**32
        want.append((x ^ (x >> 16)) * 0x85EBCA6B % 2**32)
    np.testing.assert_array_equal(out, want)


@jit
def random_numbers(out, seed, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.rand(seed, i))
    tl.store(out + BLOCK + i, tl.randn(seed, i))


def test_philox():
    out = np.zeros((2, 1024), np.float32)
    run(random_numbers, out, 42, BLOCK=1024)
    assert 0 <= out[0].min() < 0.05 < 0.95 < out[0].max() < 1
    assert abs(out[1].std() - 1) < 0.1


# errors ----------------------------------------------------------------------------------------------------------


@jit
def asserting(out, n, MODE: tl.constexpr):
    if MODE == 0:
        tl.device_assert(n > 5, "n is too small")
    elif MODE == 1:
        tl.static_assert(MODE == 2, "no such mode")
    elif MODE == 2:
        tl.assume(n > 5)
    elif MODE == 3:
        size = 2 * MODE
        tl.store(out + tl.arange(0, size), 0)
    elif MODE == 4:
        if tl.arange(0, 4) < 2:
            tl.store(out, 1)
    else:
        tl.atomic_add(out, 1)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (0, "AssertionError: n is too small"),
        (1, "AssertionError: no such mode"),
        (2, "AssertionError: tl.assume of something"),
        (3, "constant|constexpr"),
        (4, "TypeError: a condition must be a scalar"),
        (5, "the interpreter does not provide Triton's operation 'create_atomic_rmw'"),
    ],
)
def test_errors_name_the_kernel_and_leave_all_as_it_was(mode, message):
    with pytest.raises(RuntimeError, match=f"asserting: .*({message})"):
        run(asserting, np.zeros(8, np.int32), 3, MODE=mode)
    out = np.zeros(24, np.int32)
    run(positions, out, grid=(2, 3, 4), BLOCK=1)
    np.testing.assert_array_equal(out, np.arange(24) + 200)


@jit
def chained(out, n):
    if 0 < n < 5:
        tl.store(out, 1)


@jit
def nested(out, pairs):
    (a, b), c = pairs
    tl.store(out, a + b + c)


@jit
def looped(out, n):
    for i in range(n):
        k: tl.constexpr = 3
        tl.store(out + i, k)


def test_what_does_not_compile_is_refused():
    with pytest.raises(RuntimeError, match="chained: SyntaxError: chained: Triton 3.6 compiles no chained comparison"):
        run(chained, np.zeros(1, np.int32), 3)
    with pytest.raises(RuntimeError, match="nested: SyntaxError: nested: Triton 3.6 unpacks one level"):
        run(nested, np.zeros(1, np.int32), ((1, 2), 3))
    with pytest.raises(RuntimeError, match="looped: SyntaxError: looped: Triton lets a constexpr be assigned once"):
        run(looped, np.zeros(1, np.int32), 1)


def test_wrong_arguments():
    out = np.zeros(24, np.int32)
    with pytest.raises(TypeError, match="positions: the constant BLOCK is missing"):
        run(positions, out)
    with pytest.raises(TypeError, match="positions: expected 1 arguments, got 2"):
        run(positions, out, 3, BLOCK=1)
    with pytest.raises(TypeError, match="positions: expected 1 arguments, got 0"):
        run(positions, BLOCK=1)
    with pytest.raises(TypeError, match="positions: no tl.constexpr parameter is called WIDTH"):
        run(positions, out, BLOCK=1, WIDTH=2)
    with pytest.raises(ValueError, match="positions: expected a grid of 1 to 3 dimensions"):
        run(positions, out, grid=(), BLOCK=1)
    with pytest.raises(RuntimeError, match="positions: TypeError: expected an array, a number, None or a tuple"):
        run(positions, [1, 2], BLOCK=1)
    with pytest.raises(TypeError, match="expected a @jit function"):
        run(np.add, out)


def test_a_warning_of_numpy_does_not_escape():
    x = np.array([0, -1, np.inf, np.nan] * 16, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(functions, x, np.zeros((18, B), np.float32), BLOCK=B)
        run(
            division,
            np.full(B, -(2**31), np.int32),
            np.zeros(B, np.int32),
            np.zeros(B, np.int32),
            np.zeros(B, np.int32),
            np.zeros(B, np.float32),
            BLOCK=B,
        )
