"""Random numbers: the published vectors, our own, the same bits on every device, and the distributions they follow."""

import re
import threading
from decimal import Decimal, localcontext
from math import erf, pi, sqrt
from zlib import crc32

import ml_dtypes
import numpy as np
import pytest

from trigrad.framework import array, dtypes, random
from trigrad.framework import compile as compiler
from trigrad.framework.device import CPU, INTERPRETER, backend
from trigrad.framework.language import jit, tl
from trigrad.framework.launch import launch

KEY = random.Key(0x0123456789ABCDEF, 0xFEDCBA9876543210)

# Random123's file kat_vectors, the three lines for philox4x32 with 10 rounds: counter, key, words.
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def hexadecimal(text):
    return [int(word, 16) for word in text.split()]


@jit
def _words(out, seed, stream, offset):
    # out uint32 (4,), the words of one block
    w0, w1, w2, w3 = random.philox(seed, stream, offset + tl.arange(0, 1))
    first = tl.arange(0, 1)
    tl.store(out + first, w0)
    tl.store(out + first + 1, w1)
    tl.store(out + first + 2, w2)
    tl.store(out + first + 3, w3)


@jit
def _words_at(out, index, n, seed, stream, BLOCK: tl.constexpr):
    # out uint32 (n,), index int64 (n,)
    i = tl.arange(0, BLOCK)
    tl.store(out + i, random.bits32_at(seed, stream, tl.load(index + i, mask=i < n)), mask=i < n)


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_published_vectors(counter, key, words):
    c, k, expected = hexadecimal(counter), hexadecimal(key), hexadecimal(words)
    offset, known = c[0] | c[1] << 32, random.Key(k[0] | k[1] << 32, c[2] | c[3] << 32)
    assert random.philox_numpy(*known[:2], np.array([offset], np.uint64))[:, 0].tolist() == expected
    out = array.empty((4,), np.dtype(np.uint32), backend(INTERPRETER))
    seed, stream, _ = known.arguments()
    launch(_words, (1,), out, seed, stream, np.uint64(offset).view(np.int64))
    assert out.numpy().tolist() == expected


def philox(seed, stream, offset):
    """The definition, with Python's integers."""
    c0, c1, c2, c3 = offset % 2**32, offset >> 32, stream % 2**32, stream >> 32
    k0, k1 = seed % 2**32, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 % 2**32, p0 >> 32 ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


@pytest.mark.parametrize("first", [0, 4, 2**34 - 8, 2**36])
def test_elements_have_the_words_that_the_definition_says(first):
    bits32 = random.bits((21,), CPU, KEY, first=first).tolist()
    bits64 = random.bits((21,), CPU, KEY, width=64, first=first).tolist()
    for i in range(21):
        e = first + i
        assert bits32[i] == philox(KEY.seed, KEY.stream, e // 4)[e % 4]
        words = philox(KEY.seed, KEY.stream, e // 2)
        assert bits64[i] == words[2 * (e % 2)] | words[2 * (e % 2) + 1] << 32


def test_integers_and_thresholds_by_the_definition():
    bits32, bits64 = random.bits((300,), CPU, KEY).tolist(), random.bits((300,), CPU, KEY, width=64).tolist()
    for low, high in [(0, 2), (-7, 1000), (5, 2**40), (-(2**63), 2**63 - 1), (0, 2**63 - 1), (3, 4)]:
        got = random.randint((300,), low, high, "int64", CPU, KEY).tolist()
        assert got == [low + ((high - low) * w >> 64) for w in bits64]
    for p in (0.0, 1e-12, 0.3, 0.5, 1.0):
        got = random.bernoulli((300,), p, "bool", CPU, KEY).tolist()
        assert got == [w < round(p * 2**32) for w in bits32]


# Every distribution, by a name: a function of (shape, device, first)
CASES = {
    "bits32": lambda shape, where, first=0: random.bits(shape, where, KEY, first=first),
    "bits64": lambda shape, where, first=0: random.bits(shape, where, KEY, width=64, first=first),
}
for _kind in dtypes.FLOATING:
    CASES[f"uniform {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.uniform(
        shape, kind, where, KEY, first=first
    )
    CASES[f"uniform(-1.3, 2.7) {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.uniform(
        shape, kind, where, KEY, -1.3, 2.7, first=first
    )
    CASES[f"normal {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.normal(
        shape, kind, where, KEY, first=first
    )
    CASES[f"normal(1.1, 0.3) {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.normal(
        shape, kind, where, KEY, 1.1, 0.3, first=first
    )
    CASES[f"exponential(2.5) {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.exponential(
        shape, kind, where, KEY, 2.5, first=first
    )
for _kind in dtypes.ALL:
    CASES[f"bernoulli(0.3) {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.bernoulli(
        shape, 0.3, kind, where, KEY, first=first
    )
    CASES[f"randint(0, 2) {_kind.name}"] = lambda shape, where, first=0, kind=_kind: random.randint(
        shape, 0, 2, kind, where, KEY, first=first
    )
CASES["randint(-5, 100) int8"] = lambda shape, where, first=0: random.randint(
    shape, -5, 100, "int8", where, KEY, first=first
)
CASES["randint wide"] = lambda shape, where, first=0: random.randint(
    shape, -(2**63), 2**63 - 1, "int64", where, KEY, first=first
)
CASES["randint 2**40"] = lambda shape, where, first=0: random.randint(
    shape, -7, 2**40, "int64", where, KEY, first=first
)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n", "first"), [(1, 0), (7, 2**34 + 4), (1023, 2**36), (1030, 0)])
def test_interpreter_has_the_same_bits(name, n, first):
    expected = CASES[name]((n,), CPU, first)
    got = CASES[name]((n,), INTERPRETER, first).numpy()
    assert got.dtype == expected.dtype
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["bits32", "normal float32", "normal float64", "uniform bfloat16", "randint wide"])
def test_interpreter_has_the_same_bits_over_several_programs(name):
    n = backend(INTERPRETER).block + 3333
    assert CASES[name]((n,), INTERPRETER).numpy().tobytes() == CASES[name]((n,), CPU).tobytes()


@pytest.mark.parametrize("name", CASES)
def test_elements_do_not_depend_on_shape_or_beginning(name):
    n = 2 * random._CHUNK * 4 + 13  # several chunks of the NumPy half
    whole = CASES[name]((n,), CPU)
    assert CASES[name]((3, 5, 7), CPU).tobytes() == whole[:105].tobytes()
    for first in (4, 1000, n - 13):
        assert CASES[name]((13,), CPU, first).tobytes() == whole[first : first + 13].tobytes()
    assert CASES[name]((2, 0), CPU).shape == (2, 0)
    assert CASES[name]((), CPU).tobytes() == whole[:1].tobytes()


def test_single_elements_in_any_order():
    index = np.random.default_rng(0).integers(0, 2**40, 100)
    index[:10] = np.arange(10)[::-1]
    out = array.empty((100,), np.dtype(np.uint32), backend(INTERPRETER))
    seed, stream, _ = KEY.arguments()
    launch(_words_at, (1,), out, array.from_numpy(index, backend(INTERPRETER)), 100, seed, stream, BLOCK=128)
    assert out.numpy().tolist() == [philox(KEY.seed, KEY.stream, i // 4)[i % 4] for i in index.tolist()]


def fingerprint(values):
    return f"{crc32(np.ascontiguousarray(values).tobytes()):08x}"


# Our own vectors: 10,007 elements of each distribution under KEY.  A change here changes everybody's numbers.
FINGERPRINTS = {
    "bits32": "2d1d0f41",
    "bits64": "58f62467",
    "uniform float64": "f849862d",
    "uniform(-1.3, 2.7) float64": "01913d5f",
    "normal float64": "e57231ef",
    "normal(1.1, 0.3) float64": "26cb7a88",
    "exponential(2.5) float64": "54ed30a0",
    "uniform float32": "0734ccf2",
    "uniform(-1.3, 2.7) float32": "644cd51b",
    "normal float32": "78c6c1d8",
    "normal(1.1, 0.3) float32": "0411aa67",
    "exponential(2.5) float32": "ca986100",
    "uniform float16": "00dcef3a",
    "uniform(-1.3, 2.7) float16": "1819e752",
    "normal float16": "8ff453f6",
    "normal(1.1, 0.3) float16": "50c2c162",
    "exponential(2.5) float16": "ffe1c187",
    "uniform bfloat16": "9919684d",
    "uniform(-1.3, 2.7) bfloat16": "cb9c6a9a",
    "normal bfloat16": "0358e708",
    "normal(1.1, 0.3) bfloat16": "bb100205",
    "exponential(2.5) bfloat16": "bb95896f",
    "bernoulli(0.3) float64": "4d6dbc55",
    "randint(0, 2) float64": "83f599db",
    "bernoulli(0.3) float32": "584dfe7e",
    "randint(0, 2) float32": "4bf0f6f1",
    "bernoulli(0.3) float16": "8b023021",
    "randint(0, 2) float16": "121371bc",
    "bernoulli(0.3) bfloat16": "d1bad089",
    "randint(0, 2) bfloat16": "69ac8cc1",
    "bernoulli(0.3) int64": "0f7d2591",
    "randint(0, 2) int64": "d38d5e93",
    "bernoulli(0.3) int32": "67cf2f68",
    "randint(0, 2) int32": "4ac7e4c7",
    "bernoulli(0.3) int16": "c40593c1",
    "randint(0, 2) int16": "8b0ee5f5",
    "bernoulli(0.3) int8": "047ad8c2",
    "randint(0, 2) int8": "a6d42902",
    "bernoulli(0.3) uint8": "047ad8c2",
    "randint(0, 2) uint8": "a6d42902",
    "bernoulli(0.3) bool": "047ad8c2",
    "randint(0, 2) bool": "a6d42902",
    "randint(-5, 100) int8": "9d6b7c58",
    "randint wide": "a5f81c35",
    "randint 2**40": "beb8fe48",
}


@pytest.mark.parametrize("name", CASES)
def test_own_vectors(name):
    assert fingerprint(CASES[name]((10007,), CPU)) == FINGERPRINTS[name]


def test_own_vectors_in_full():
    assert random.bits((4,), CPU, KEY).tolist() == [0xAEF2ADF7, 0xF69B5950, 0x3CEB44F4, 0x89B6573A]
    assert [x.hex() for x in random.uniform((3,), "float32", CPU, KEY).tolist()] == [
        "0x1.5de55a0000000p-1",
        "0x1.ed36b20000000p-1",
        "0x1.e75a200000000p-3",
    ]
    assert [x.hex() for x in random.normal((3,), "float32", CPU, KEY).tolist()] == [
        "-0x1.9858860000000p-3",
        "-0x1.b2ef840000000p-1",
        "-0x1.99b5b40000000p-2",
    ]
    assert [x.hex() for x in random.normal((3,), "float64", CPU, KEY).tolist()] == [
        "-0x1.0873b7e057ac9p-4",
        "0x1.101359719f28ap-2",
        "0x1.8b111d0558d0cp+0",
    ]
    assert random.randint((8,), 0, 100, "int64", CPU, KEY).tolist() == [96, 53, 27, 29, 72, 28, 89, 15]
    assert random.randperm(10, "int64", CPU, KEY).tolist() == [7, 2, 5, 9, 3, 1, 4, 8, 6, 0]


# How well they follow their distributions.  The seeds are fixed, so these either pass or fail for ever.

N = 1_000_000
COMMON = {0: random.Key(0, 0), 1: random.Key(1, 5)}  # small keys are the likeliest to be weak


def distance(sample, cumulative):
    """Kolmogorov's: the largest gap between a sample and a distribution function, times sqrt(n)."""
    at = cumulative(np.sort(sample.astype(np.float64)))
    n = at.size
    steps = np.arange(n + 1) / n
    return np.sqrt(n) * max((steps[1:] - at).max(), (at - steps[:-1]).max())


def normal_cdf(x):
    # erf on a fine grid, between which the error of linear interpolation is below 1e-7
    grid = np.linspace(-8, 8, 16001)
    return np.interp(x, grid, [0.5 + 0.5 * erf(v / sqrt(2)) for v in grid])


@pytest.mark.parametrize("seed", COMMON)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_is_uniform(seed, dtype):
    u = random.uniform((N,), dtype, CPU, COMMON[seed])
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.astype(np.float64).mean() - 0.5) < 4 * sqrt(1 / 12 / N)
    assert distance(u, lambda x: x) < 1.95  # exceeded by chance once in 1000
    counts = np.bincount((u * 1000).astype(int), minlength=1000)
    assert abs(((counts - N / 1000) ** 2 / (N / 1000)).sum() - 999) < 4 * sqrt(2 * 999)
    pairs = np.bincount((u[0::2] * 32).astype(int) * 32 + (u[1::2] * 32).astype(int), minlength=1024)
    expected = N / 2 / 1024
    assert abs(((pairs - expected) ** 2 / expected).sum() - 1023) < 4 * sqrt(2 * 1023)


@pytest.mark.parametrize("seed", COMMON)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_is_normal(seed, dtype):
    z = random.normal((N,), dtype, CPU, COMMON[seed]).astype(np.float64)
    assert abs(z.mean()) < 4 / sqrt(N)
    assert abs(z.var() - 1) < 4 * sqrt(2 / N)
    assert abs((z**3).mean()) < 4 * sqrt(15 / N)
    assert abs((z**4).mean() - 3) < 4 * sqrt(96 / N)
    assert distance(z, normal_cdf) < 1.95
    for lag in (1, 2, 3, 4):  # the two of a pair, and neighbours
        assert abs((z[:-lag] * z[lag:]).mean()) < 4 / sqrt(N)
        assert abs((z[:-lag] ** 2 * z[lag:] ** 2).mean() - 1) < 4 * sqrt(8 / N)
    assert 4.3 < np.abs(z).max() < 6.8


def test_exponential_is_exponential():
    e = random.exponential((N,), "float32", CPU, KEY, 2.0).astype(np.float64)
    assert e.min() > 0
    assert abs(e.mean() - 0.5) < 4 * 0.5 / sqrt(N)
    assert distance(e, lambda x: 1 - np.exp(-2 * x)) < 1.95


def test_bernoulli_has_its_share():
    for p in (0.1, 0.5, 0.9):
        assert abs(random.bernoulli((N,), p, "bool", CPU, KEY).mean() - p) < 4 * sqrt(p * (1 - p) / N)
    assert not random.bernoulli((N,), 0.0, "bool", CPU, KEY).any()
    assert random.bernoulli((N,), 1.0, "bool", CPU, KEY).all()


def test_randint_is_even():
    counts = np.bincount(random.randint((N,), 0, 17, "int64", CPU, KEY), minlength=17)
    assert counts.size == 17
    assert abs(((counts - N / 17) ** 2 / (N / 17)).sum() - 16) < 4 * sqrt(2 * 16)


def test_randperm_is_a_permutation():
    seen = np.zeros((4, 4))
    for stream in range(2000):
        order = random.randperm(4, "int64", CPU, random.Key(3, stream))
        assert sorted(order.tolist()) == [0, 1, 2, 3]
        seen[np.arange(4), order] += 1
    assert np.abs(seen - 500).max() < 4 * sqrt(2000 * 0.25 * 0.75)
    there = random.randperm(1000, "int32", INTERPRETER, KEY).numpy()
    assert there.dtype == np.int32
    assert (there == random.randperm(1000, "int64", CPU, KEY)).all()


def test_streams_and_seeds_are_unrelated():
    a = random.normal((N,), "float32", CPU, random.Key(0, 0))
    for other in (random.Key(0, 1), random.Key(1, 0), random.Key(2**32, 0), random.Key(0, 2**32)):
        assert abs((a * random.normal((N,), "float32", CPU, other)).mean(dtype=np.float64)) < 4 / sqrt(N)


# Ends of the ranges, from words chosen to reach them

WORDS32 = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1], np.uint32)
WORDS64 = np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1], np.uint64)


@pytest.mark.parametrize("kind", dtypes.FLOATING, ids=repr)
def test_uniform_stays_below_its_upper_end(kind):
    real = np.float64 if kind.itemsize == 8 else np.float32
    words = WORDS64 if kind.itemsize == 8 else WORDS32
    draw = random.UNIFORM[kind.name]
    u = draw.numpy(words, real(0), real(1), real(1)).astype(kind.numpy)
    assert u[0] == 0 and u[-1] == 1 - ml_dtypes.finfo(kind.numpy).epsneg  # the largest number below 1
    for low, high in [(1.0, 1.25), (-3.0, -1.0), (0.0, 1e-3), (1000.0, 1001.0), (2.0, 2.0)]:
        bounds = np.array([low, high]).astype(kind.numpy).astype(real)
        v = draw.numpy(words, bounds[0], bounds[1], real(bounds[1] - bounds[0])).astype(kind.numpy).astype(real)
        assert (v >= bounds[0]).all() and ((v < bounds[1]) | (bounds[0] == bounds[1])).all()


def test_normals_at_the_ends_are_finite():
    for words, largest in ((WORDS32, 6.7641), (WORDS64, 8.6524)):
        radius, angle = (np.ascontiguousarray(x.reshape(-1)) for x in np.meshgrid(words, words))
        x, y = random._normals_numpy(radius, angle)
        assert np.isfinite(x).all() and np.isfinite(y).all()
        assert largest - 1e-3 < max(np.abs(x).max(), np.abs(y).max()) < largest
        assert np.allclose(np.hypot(x, y)[radius == 0], largest, atol=1e-3)


def test_exponential_is_never_zero():
    assert (random.EXPONENTIAL[False].numpy(WORDS32, np.float32(1)) > 0).all()
    assert (random.EXPONENTIAL[True].numpy(WORDS64, np.float64(1)) > 0).all()


def test_overflow_is_silent_and_alike():
    for where in (CPU, INTERPRETER):
        got = random.normal((64,), "float16", where, KEY, 0.0, 1e300)
        got = got if where is CPU else got.numpy()
        assert np.isinf(got).all()


# Accuracy


def test_float32_normals_against_double_precision():
    n = 1 << 20
    words = random.bits((n,), CPU, KEY)
    z = random.normal((n,), "float32", CPU, KEY)
    u = (words[0::2].astype(np.float32) + np.float32(0.5)).astype(np.float64) / 2**32
    r = np.sqrt(-2 * np.log(u)) * np.where(words[1::2] >> 31, -1, 1)
    t = (words[1::2] & 0x7FFFFFFF).astype(np.int64) - 2**30
    exact = np.empty(n)
    exact[0::2] = r * np.sin((2**30 - np.abs(t)) * (pi / 2**31))
    exact[1::2] = r * np.sin(t * (pi / 2**31))
    ulp = np.abs(z - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert ulp.max() < 5
    assert np.sqrt((ulp**2).mean()) < 0.9


def sine(x):
    term = total = x
    k = 1
    while abs(term) > Decimal(10) ** -45:
        term = -term * x * x / ((k + 1) * (k + 2))
        total += term
        k += 2
    return total


def test_float64_normals_against_decimal_arithmetic():
    n = 400
    words, z = random.bits((n,), CPU, KEY, width=64).tolist(), random.normal((n,), "float64", CPU, KEY).tolist()
    worst = 0.0
    with localcontext(prec=50):
        turn = 2 * Decimal("3.14159265358979323846264338327950288419716939937510582")
        for i in range(0, n, 2):
            r = (-2 * (Decimal(float(words[i] >> 11) + 0.5) / 2**53).ln()).sqrt()
            if words[i + 1] >> 63:
                r = -r
            t = (words[i + 1] & (2**63 - 1)) - 2**62
            for got, angle in ((z[i], 2**62 - abs(t)), (z[i + 1], t)):
                exact = r * sine(angle * turn / 2**64)
                worst = max(worst, float(abs(Decimal(got) - exact) / Decimal(float(np.spacing(abs(float(exact)))))))
    assert worst < 4


# Generators


def test_generator_begins_with_a_fixed_seed_and_counts_streams():
    g = random.Generator()
    assert g.initial_seed() == random.Generator(device="interpreter").initial_seed()
    assert [g.key()[:2] for _ in range(3)] == [(g.initial_seed(), k) for k in range(3)]
    assert g.manual_seed(7) is g
    assert g.key() == (7, 0, None)
    assert g.initial_seed() == 7
    assert repr(g) == "Generator(seed=7, stream=1)"
    assert g.device == CPU and random.Generator("interpreter").device == INTERPRETER


@pytest.mark.parametrize(
    ("seed", "held"), [(-1, 2**64 - 1), (-(2**63), 2**63), (2**64 - 1, 2**64 - 1), (np.int64(3), 3)]
)
def test_seeds_wrap_as_in_pytorch(seed, held):
    assert random.Generator().manual_seed(seed).initial_seed() == held


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (1.5, TypeError, "manual_seed: expected an integer, got 1.5"),
        (True, TypeError, "manual_seed: expected an integer, got a bool"),
        ("1", TypeError, "manual_seed: expected an integer, got '1'"),
        (2**64, ValueError, r"manual_seed: expected a seed in \[-2\*\*63, 2\*\*64\), got 18446744073709551616"),
        (-(2**63) - 1, ValueError, r"manual_seed: expected a seed in \[-2\*\*63, 2\*\*64\), got -9223372036854775809"),
    ],
)
def test_seeds_that_are_refused(seed, error, message):
    g = random.Generator().manual_seed(3)
    with pytest.raises(error, match=message):
        g.manual_seed(seed)
    assert g.initial_seed() == 3


def test_seed_comes_from_the_operating_system():
    g = random.Generator()
    assert g.seed() == g.initial_seed()
    assert g.seed() != g.seed()


def test_state_is_taken_and_put_back():
    g = random.Generator().manual_seed(2**63 + 5)
    g.reserve(2**40)
    state = g.get_state()
    assert state.dtype == np.uint8 and state.shape == (16,)
    expected = g.key()
    other = random.Generator()
    other.set_state(state)
    assert other.key() == expected
    with pytest.raises(TypeError, match="set_state: expected a state in uint8, got float64"):
        other.set_state(np.zeros(16))
    with pytest.raises(RuntimeError, match=r"set_state: expected a state of shape \(16,\), got \(3,\)"):
        other.set_state(np.zeros(3, np.uint8))


def test_default_generator():
    state = random.get_rng_state()
    try:
        assert random.manual_seed(11) is random.default_generator
        assert random.initial_seed() == 11
        first = random.default_generator.key()
        random.set_rng_state(np.array([11, 0], "<u8").view(np.uint8))
        assert random.default_generator.key() == first
        assert random.seed() == random.initial_seed()
    finally:
        random.set_rng_state(state)


def test_threads_never_share_a_stream():
    g = random.Generator()
    streams: list[list[int]] = [[] for _ in range(4)]

    def draw(into):
        for _ in range(2000):
            into.append(g.key().stream)

    threads = [threading.Thread(target=draw, args=(s,)) for s in streams]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(sum(streams, [])) == list(range(8000))


def test_streams_relative_to_a_base_on_the_device():
    place = backend(INTERPRETER)
    g = random.Generator().manual_seed(9)
    g.reserve(2**33 + 5)
    base = array.from_numpy(np.zeros(1, np.int64), place)
    with g.relative(base) as count:
        keys = [g.key() for _ in range(3)]
        assert count() == 3
        for name, call in {
            "relative": lambda: g.relative(base).__enter__(),
            "manual_seed": lambda: g.manual_seed(0),
            "get_state": g.get_state,
            "set_state": lambda: g.set_state(np.zeros(16, np.uint8)),
            "reserve": lambda: g.reserve(1),
        }.items():
            with pytest.raises(RuntimeError, match=f"{name}: not while the generator counts streams from a base"):
                call()
    assert [k.stream for k in keys] == [0, 1, 2] and all(k.base is base for k in keys)
    assert count() == 3
    for _ in range(2):  # each replay has the numbers that direct calls would have had
        ahead = random.Generator()
        ahead.set_state(g.get_state())
        place.copy_in(base.ptr, np.array([g.reserve(count())], np.int64))
        for k in keys:
            expected = random.normal((50,), "float32", CPU, ahead.key())
            assert random.normal((50,), "float32", INTERPRETER, k).numpy().tobytes() == expected.tobytes()
    with pytest.raises(RuntimeError, match="the generator counts streams from interpreter; cpu has no such"):
        random.normal((5,), "float32", CPU, keys[0])
    with pytest.raises(RuntimeError, match="randperm: sorts on the host and cannot be part of a graph"):
        random.randperm(5, "int64", INTERPRETER, keys[0])


# Messages


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: random.uniform((2,), "float32", CPU, KEY, 2.0, 1.0),
            RuntimeError,
            r"uniform: expected low <= high, got low=2.0 and high=1.0",
        ),
        (
            lambda: random.uniform((2,), "float16", CPU, KEY, -60000.0, 60000.0),
            RuntimeError,
            r"uniform: the distance from low=-60000.0 to high=60000.0 is not finite in float16",
        ),
        (
            lambda: random.uniform((2,), "float32", CPU, KEY, 0.0, float("inf")),
            RuntimeError,
            r"uniform: the distance from low=0.0 to high=inf is not finite in float32",
        ),
        (
            lambda: random.uniform((2,), "float32", CPU, KEY, 0.0, float("nan")),
            RuntimeError,
            r"uniform: expected low <= high, got low=0.0 and high=nan",
        ),
        (
            lambda: random.uniform((2,), "int64", CPU, KEY),
            RuntimeError,
            r"uniform: expected a floating dtype, got int64",
        ),
        (lambda: random.normal((2,), "int32", CPU, KEY), RuntimeError, r"normal: expected a floating dtype, got int32"),
        (
            lambda: random.normal((2,), "float32", CPU, KEY, 0.0, -1.0),
            RuntimeError,
            r"normal: expected std >= 0, got -1.0",
        ),
        (
            lambda: random.exponential((2,), "float32", CPU, KEY, 0.0),
            RuntimeError,
            r"exponential: expected rate > 0, got 0.0",
        ),
        (
            lambda: random.bernoulli((2,), 1.5, "bool", CPU, KEY),
            RuntimeError,
            r"bernoulli: expected p in \[0, 1\], got 1.5",
        ),
        (
            lambda: random.bernoulli((2,), float("nan"), "bool", CPU, KEY),
            RuntimeError,
            r"bernoulli: expected p in \[0, 1\], got nan",
        ),
        (
            lambda: random.randint((2,), 5, 5, "int64", CPU, KEY),
            RuntimeError,
            r"randint: expected low < high, got low=5 and high=5",
        ),
        (
            lambda: random.randint((2,), 0, 300, "uint8", CPU, KEY),
            RuntimeError,
            r"randint: uint8 holds integers from 0 to 255, got low=0 and high=300",
        ),
        (
            lambda: random.randint((2,), 0, 4000, "float16", CPU, KEY),
            RuntimeError,
            r"randint: float16 holds integers from -2048 to 2048, got low=0 and high=4000",
        ),
        (
            lambda: random.randint((2,), -1, 1, "bool", CPU, KEY),
            RuntimeError,
            r"randint: bool holds integers from 0 to 1, got low=-1 and high=1",
        ),
        (lambda: random.randperm(-1, "int64", CPU, KEY), RuntimeError, r"randperm: expected n >= 0, got -1"),
        (lambda: random.randperm(300, "uint8", CPU, KEY), RuntimeError, r"randperm: uint8 cannot count to 299"),
        (
            lambda: random.bits((2,), CPU, KEY, first=3),
            ValueError,
            r"fill: expected first to be a multiple of 4 and not negative, got 3",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


# What GPUs run


class Placed:
    """As much of a device array as compiling asks for."""

    ptr = 4096

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)


COMPILED = {
    "normal float32": (random.NORMAL[False], np.float32, (np.float32(0), np.float32(1))),
    "normal bfloat16": (random.NORMAL[False], ml_dtypes.bfloat16, (np.float32(0), np.float32(1))),
    "normal float64": (random.NORMAL[True], np.float64, (np.float64(0), np.float64(1))),
    "exponential float32": (random.EXPONENTIAL[False], np.float32, (np.float32(1),)),
    "exponential float64": (random.EXPONENTIAL[True], np.float64, (np.float64(1),)),
    "uniform float32": (random.UNIFORM["float32"], np.float32, (np.float32(0), np.float32(1), np.float32(1))),
    "uniform float16": (random.UNIFORM["float16"], np.float16, (np.float32(0), np.float32(1), np.float32(1))),
    "uniform float64": (random.UNIFORM["float64"], np.float64, (np.float64(0), np.float64(1), np.float64(1))),
    "keep": (random.KEEP, np.bool_, (np.int64(1),)),
    "integers": (random.INTEGERS, np.int64, (np.int64(1), np.int64(9))),
    "bits32": (random.RAW32, np.uint32, ()),
}


def specialised(name, n=1024, key=KEY):
    draw, dtype, settings = COMPILED[name]
    arguments = (Placed(dtype), n, np.int64(0), *key.arguments(), settings)
    constants = {"SOURCE": draw.source.triton, "F": draw.triton, "BLOCK": 1024, "enable_fp_fusion": False}
    return compiler.specialise(random.random_fill, arguments, constants, 4, 3)


FLOATING = r"\b(?:add|sub|mul|fma|mad|div|rcp|sqrt|rsqrt|sin|cos|lg2|ex2|tanh)[\w.]*\.f(?:32|64)\b"


@pytest.mark.parametrize("name", COMPILED)
def test_gpu_code_uses_exactly_rounded_operations_only(name):
    ptx = compiler.compile(specialised(name), compiler.target("sm_90")).asm["ptx"]
    floating = set(re.findall(FLOATING, ptx))
    width = "f64" if "float64" in name else "f32"
    exact = {f"{operation}.rn.{width}" for operation in ("add", "sub", "mul", "div", "sqrt")}
    assert floating <= exact
    if "normal" in name:
        assert floating >= {f"mul.rn.{width}", f"add.rn.{width}", f"div.rn.{width}", f"sqrt.rn.{width}"}
    assert re.search(r"st\.global\.v[24]\.", ptx)  # wide stores


@pytest.mark.parametrize(
    ("name", "tables"),
    [("normal float32", (random._SIN32, random._LOG32)), ("normal float64", (random._SIN64, random._LOG64))],
)
def test_gpu_code_has_the_very_coefficients(name, tables):
    ptx = compiler.compile(specialised(name), compiler.target("sm_90")).asm["ptx"]
    short = "float32" in name
    present = {int(x, 16) for x in re.findall(r"\b0[fF]([0-9A-F]{8})\b" if short else r"\b0[dD]([0-9A-F]{16})\b", ptx)}
    for c in (*tables[0], *tables[1]):
        bits = int(np.float32(c).view(np.uint32) if short else np.float64(c).view(np.uint64))
        assert {bits, bits ^ 1 << (31 if short else 63)} & present, c  # compilers may move a sign, which is exact


@pytest.mark.parametrize("name", ["normal float32", "normal float64", "keep", "uniform float16"])
@pytest.mark.parametrize("target", ["sm_80", "sm_100", "gfx942"])
def test_other_gpus_compile(name, target):
    assert compiler.compile(specialised(name), compiler.target(target)).metadata.shared <= 48 * 1024


def test_keys_do_not_change_the_code():
    assert (
        len(
            {
                specialised("normal float32", key=random.Key(seed, stream))
                for seed in (0, 1, 16, 2**63)
                for stream in (0, 1, 16, 2**40)
            }
        )
        == 1
    )
