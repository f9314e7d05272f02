"""Random numbers that are the same bits on every device.

Blocks. One call of Philox4x32-10 turns a counter of four 32-bit words into four random ones, under a key of two.
The key is a generator's 64-bit seed (low word, high word); the counter is (offset low, offset high, stream low,
stream high).  A generator hands every call one fresh 64-bit stream number, so a call is known by its ``Key`` (seed,
stream) and can be repeated at will; within it the offset says which block.  Element i of an array, counted row-major
whatever the strides, has

    32 bits   word i % 4 of block i // 4
    64 bits   words 2 (i % 2), low, and 2 (i % 2) + 1, high, of block i // 2

Distributions.  ``w`` are these bits; everything is computed in float32 unless float64 is asked for, and float16 and
bfloat16 results are rounded once, at the end.

    uniform      u * (high - low) + low, where u is the top 24 bits / 2**24 (float64 53, float16 11, bfloat16 8); so
                 u < 1 in every dtype, and what rounds up to ``high`` becomes ``low``
    bernoulli    w < round(p * 2**32), as integers
    randint      low + ((high - low) * w) // 2**64 of the 64 bits; the bias is below (high - low) / 2**64
    exponential  -ln((w + 0.5) / 2**32) / rate, the logarithm at least 2**-25 in size; for float64 w are the top 53
                 bits, and these constants 2**53 and 2**-54.  w + 0.5 is rounded to the floating dtype first
    normal       Box and Muller: elements 2j and 2j + 1 are r cos(a) and r sin(a).  r = sqrt(-2 ln of the same), w
                 of element 2j.  The top bit of element 2j + 1's bits is the sign of r, and with v the others and N
                 their number a = pi (v - 2**(N-1)) / 2**N
    randperm     the stable order of 64-bit keys, sorted on the host

ln, sin and cos are polynomials here, built only from operations that IEEE 754 rounds exactly (+ - * / sqrt, integer
operations, bit casts), and kernels are compiled without fused multiply-add.  Therefore NumPy, the interpreter and a
GPU agree to the last bit.  Against exact arithmetic on the same bits a float32 normal is off by less than 5 ulp
(0.84 in the root mean square), a float64 one by less than 4 (tests/framework/test_random.py measures it).  No
float32 normal exceeds 6.77.

Source: Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3"; Box, Muller (1958).  The
coefficients are minimax fits of our own (Remez exchange on the relative error).
"""

import operator
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, NamedTuple, Self

import ml_dtypes
import numpy as np

from . import capture as captures
from .array import DeviceArray, RawArray, empty, from_numpy
from .device import CPU, backend, device
from .dtypes import bfloat16, bool_, dtype_of, float16
from .language import cdiv, jit, next_power_of_2, tl
from .launch import launch

_CHUNK = 8192  # Philox blocks that the NumPy half holds in cache at a time

# sin(pi x / 2) = x P(x^2) for |x| <= 1, and -2 ln((1 + s) / (1 - s)) = s P(s^2) for |s| <= (sqrt 2 - 1) / (sqrt 2 + 1)
_SIN32 = (1.5707963705062866, -0.645963728427887, 0.07968968152999878, -0.004673766437917948, 0.00015148513193707913)
_SIN64 = (
    1.5707963267948966,
    -0.6459640975062462,
    0.07969262624616544,
    -0.004681754135302642,
    0.0001604411847068219,
    -3.5988430072083722e-06,
    5.6921348726826666e-08,
    -6.684321718481313e-10,
    5.8706109294446865e-12,
)
_LOG32 = (-4.0, -1.333335518836975, -0.7995513677597046, -0.5974214673042297)
_LOG64 = (
    -4.0,
    -1.3333333333333468,
    -0.7999999999883204,
    -0.5714285748420409,
    -0.44444397202305125,
    -0.3636712588502385,
    -0.30628168380909315,
    -0.29591260545283066,
)
SIN32, SIN64, LOG32, LOG64 = map(tl.constexpr, (_SIN32, _SIN64, _LOG32, _LOG64))  # as kernels see them


# Generators


class Key(NamedTuple):
    """What one call's numbers follow from; ``base``, one int64 on the device, is added to ``stream`` if given."""

    seed: int
    stream: int
    base: DeviceArray | None = None

    def arguments(self) -> tuple[np.int64, np.int64, DeviceArray | None]:
        """Seed, stream and base as a kernel takes them: 64 bits each, in int64."""
        return _int64(self.seed), _int64(self.stream), self.base


def _int64(bits: int) -> np.int64:
    return np.uint64(bits).view(np.int64)


class _Relative:
    """Where a thread counts a generator's streams from while it captures a graph, and how many it has drawn."""

    __slots__ = ("base", "count", "thread")

    def __init__(self, base: DeviceArray) -> None:
        self.base = base
        self.count = 0
        self.thread = threading.get_ident()


class Generator:
    """A source of random numbers: a seed and the number of the next stream.  Its numbers are the same on every device.

    ``device`` is only remembered.  A new generator has a fixed seed, as in PyTorch.
    """

    __slots__ = ("_lock", "_relative", "_seed", "_stream", "device")

    def __init__(self, device: device | str = CPU) -> None:
        self.device = _device(device)
        self._lock = threading.Lock()
        self._relative: _Relative | None = None
        self._seed = 67280421310721  # PyTorch's, so that nobody takes it for a seed of their own
        self._stream = 0

    def manual_seed(self, seed: int) -> Self:
        """Begin anew with ``seed``, in [-2**63, 2**64), of which a negative one counts down from 2**64.

        Returns the generator.  Raises TypeError unless an integer, ValueError outside the range.
        """
        if isinstance(seed, bool):
            raise TypeError("manual_seed: expected an integer, got a bool")
        try:
            number = operator.index(seed)
        except TypeError:
            raise TypeError(f"manual_seed: expected an integer, got {seed!r}") from None
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"manual_seed: expected a seed in [-2**63, 2**64), got {number}")
        with self._lock:
            self._refuse_base("manual_seed")
            self._seed, self._stream = number % 2**64, 0
        return self

    def seed(self) -> int:
        """Begin anew with a seed from the operating system, and return it."""
        chosen = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed with which the generator last began."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """Seed and next stream: uint8 (16,), little-endian."""
        with self._lock:
            self._refuse_base("get_state")
            return np.array([self._seed, self._stream], "<u8").view(np.uint8)

    def position(self) -> tuple[int, ...]:
        """What every draw changes, also inside a graph; unlike the state it cannot be gone back to."""
        relative = self._relative
        return (self._seed, self._stream, -1 if relative is None else relative.count)

    def set_state(self, state: np.ndarray) -> None:
        """Go on from a state that ``get_state`` gave.  Raises TypeError unless uint8, RuntimeError unless (16,)."""
        state = np.asarray(state)
        if state.dtype != np.uint8:
            raise TypeError(f"set_state: expected a state in uint8, got {state.dtype}")
        if state.shape != (16,):
            raise RuntimeError(f"set_state: expected a state of shape (16,), got {state.shape}")
        words = np.ascontiguousarray(state).view("<u8")
        with self._lock:
            self._refuse_base("set_state")
            self._seed, self._stream = int(words[0]), int(words[1])

    def reserve(self, count: int) -> int:
        """Take ``count`` streams that follow one another and return the first."""
        with self._lock:
            self._refuse_base("reserve")
            first = self._stream
            self._stream = (first + count) % 2**64
        return first

    def key(self) -> Key:
        """The key of one call: a stream that nobody else has."""
        recording = captures.thread.recording
        if recording is not None and self._relative is None:
            recording.enrol(self)
        with self._lock:
            relative = self._relative
            if relative is not None and relative.thread == threading.get_ident():
                relative.count += 1
                return Key(self._seed, relative.count - 1, relative.base)
            stream = self._stream
            self._stream = (stream + 1) % 2**64
            return Key(self._seed, stream)

    @contextmanager
    def relative(self, base: DeviceArray) -> Iterator[Callable[[], int]]:
        """Meanwhile count this thread's streams from 0, without using them up, and let kernels add ``base``, one int64
        on the device.

        This is for graphs: whoever replays the calls made meanwhile first writes ``reserve(count())`` to ``base``, and
        gets the numbers that the same calls would have given directly.  ``count``, which is yielded, tells how many
        streams were drawn.  Inside, ``relative`` and whatever reads or sets the state raise RuntimeError.
        """
        with self._lock:
            self._refuse_base("relative", anyone=True)
            relative = self._relative = _Relative(base)
        try:
            yield lambda: relative.count
        finally:
            with self._lock:
                self._relative = None

    def _refuse_base(self, name: str, anyone: bool = False) -> None:
        relative = self._relative
        if relative is not None and (anyone or relative.thread == threading.get_ident()):
            raise RuntimeError(f"{name}: not while the generator counts streams from a base, as it does inside a graph")

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, stream={self._stream})"


_device = device  # inside Generator the name means its argument
default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Begin the default generator anew with ``seed`` and return it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Begin the default generator anew with a seed from the operating system, and return it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed with which the default generator last began."""
    return default_generator.initial_seed()


def get_rng_state() -> np.ndarray:
    """The default generator's state: uint8 (16,)."""
    return default_generator.get_state()


def set_rng_state(state: np.ndarray) -> None:
    """Let the default generator go on from ``state``, uint8 (16,)."""
    default_generator.set_state(state)


# NumPy: the words


_FACTORS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_STEPS = np.array([[[0x9E3779B9 * r % 2**32], [0xBB67AE85 * r % 2**32]] for r in range(10)], np.uint64)
_HALF, _LOW = np.array(32, np.uint64), np.array(0xFFFFFFFF, np.uint64)


def philox_numpy(seed: int, stream: int, offset: np.ndarray) -> np.ndarray:
    """The four words of the blocks at ``offset``, uint64 (n,): uint32 (4, n)."""
    words = np.empty((4, offset.size), np.uint64)  # 32 bits an element, so that products fit
    even, odd = words[0::2], words[1::2]
    np.bitwise_and(offset, _LOW, out=even[0])
    np.right_shift(offset, _HALF, out=odd[0])
    even[1] = stream & 0xFFFFFFFF
    odd[1] = stream >> 32
    product = np.empty_like(even)
    crossed = product[::-1]
    keys = (_STEPS + np.array([[seed & 0xFFFFFFFF], [seed >> 32]], np.uint64)) & _LOW
    for key in keys:
        np.multiply(even, _FACTORS, out=product)
        np.right_shift(crossed, _HALF, out=even)
        np.bitwise_xor(even, odd, out=even)
        np.bitwise_xor(even, key, out=even)
        np.bitwise_and(crossed, _LOW, out=odd)
    return words.astype("<u4")


def bits32_numpy(words: np.ndarray) -> np.ndarray:
    """uint32 (4, n) -> uint32 (4n,): element by element."""
    return words.T.reshape(-1)


def bits64_numpy(words: np.ndarray) -> np.ndarray:
    """uint32 (4, n) -> uint64 (2n,): element by element."""
    return bits32_numpy(words).view("<u8")


# NumPy: the distributions


def _horner(z: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    total = z * z.dtype.type(coefficients[-1])
    for c in coefficients[-2:0:-1]:
        total += z.dtype.type(c)
        total *= z
    total += z.dtype.type(coefficients[0])
    return total


def _sine_numpy(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    out = _horner(x * x, coefficients)
    out *= x
    return out


def _minus_two_log_numpy(w: np.ndarray) -> np.ndarray:
    """-2 ln((w + 0.5) / 2**width) in floats of w's width, where a 64-bit w counts with its top 53 bits."""
    if w.itemsize == 4:
        u, scale, signed, digits, root, coefficients = w.astype(np.float32), 2.0**-32, np.int32, 23, 0x3F3504F3, _LOG32
    else:
        u, scale, signed, digits, root, coefficients = (
            (w >> np.uint64(11)).astype(np.float64),
            2.0**-53,
            np.int64,
            52,
            0x3FE6A09E667F3BCD,
            _LOG64,
        )
    real = u.dtype.type
    u += real(0.5)
    u *= real(scale)
    bits = u.view(signed)
    exponent = bits - signed(root)  # of u = 2**exponent * m with m in [sqrt(1/2), sqrt(2))
    exponent >>= signed(digits)
    bits -= exponent << signed(digits)
    s = u - real(1)
    u += real(1)
    s /= u
    out = _horner(s * s, coefficients)
    out *= s
    u[...] = exponent
    u *= real(-1.3862943611198906)  # -2 ln 2
    out += u
    return out


def _normals_numpy(radius: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two independent normals from two arrays of uint32 (float32) or uint64 (float64)."""
    unsigned, signed, quarter = (np.uint32, np.int32, 2**30) if radius.itemsize == 4 else (np.uint64, np.int64, 2**62)
    sin, real = (_SIN32, np.float32) if radius.itemsize == 4 else (_SIN64, np.float64)
    r = _minus_two_log_numpy(radius)
    np.sqrt(r, out=r)
    # The top bit is half a turn, which is the sign of both; the others are an angle in [-pi/2, pi/2).
    bits = r.view(unsigned)
    bits |= angle & unsigned(2 * quarter)
    t = (angle & unsigned(2 * quarter - 1)).view(signed)
    t -= signed(quarter)
    x = t.astype(real)
    x *= real(1 / quarter)
    y = _sine_numpy(x, sin)
    y *= r
    np.abs(t, out=t)
    np.subtract(signed(quarter), t, out=t)
    x[...] = t
    x *= real(1 / quarter)
    x = _sine_numpy(x, sin)  # cos(a) = sin(pi/2 - |a|)
    x *= r
    return x, y


def normals32_numpy(words: np.ndarray) -> np.ndarray:
    """uint32 (4, n) -> standard normals, float32 (4n,)."""
    x, y = _normals_numpy(words[0::2], words[1::2])
    out = np.empty((words.shape[1], 2, 2), np.float32)
    out[:, :, 0] = x.T
    out[:, :, 1] = y.T
    return out.reshape(-1)


def normals64_numpy(words: np.ndarray) -> np.ndarray:
    """uint32 (4, n) -> standard normals, float64 (2n,)."""
    radius, angle = np.ascontiguousarray(bits64_numpy(words).reshape(-1, 2).T)
    return np.stack(_normals_numpy(radius, angle), axis=1).reshape(-1)


def _uniform_numpy(bits: np.ndarray, low: Any, high: Any, scale: Any, *, digits: int, dtype: np.dtype) -> np.ndarray:
    u = (bits >> bits.dtype.type(bits.itemsize * 8 - digits)).astype(low.dtype)
    u *= low.dtype.type(2.0**-digits)
    if low == 0 and high == 1:
        return u
    u *= scale
    u += low
    u = u.astype(dtype, copy=False).astype(low.dtype, copy=False)
    np.copyto(u, low, where=u >= high)
    return u


def _scaled_numpy(z: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    z *= std
    z += mean
    return z


def _exponential_numpy(bits: np.ndarray, scale: Any) -> np.ndarray:
    real = scale.dtype.type
    out = _minus_two_log_numpy(bits)
    out *= real(0.5)
    np.maximum(out, real(2.0**-25 if bits.itemsize == 4 else 2.0**-54), out=out)
    out *= scale
    return out


def keep_numpy(bits: np.ndarray, threshold: Any) -> np.ndarray:
    """bool: true for the share ``threshold`` / 2**32 of uint32 ``bits``."""
    return bits < threshold.view(np.uint64)


def _integers_numpy(bits: np.ndarray, low: Any, span: Any) -> np.ndarray:
    """low + the upper 64 bits of bits * span, by halves: the product of two uint64 has 128 bits."""
    span = span.view(np.uint64)
    b0, b1, s0, s1 = bits & _LOW, bits >> _HALF, span & _LOW, span >> _HALF
    middle = b1 * s0 + (b0 * s0 >> _HALF)
    lower = (middle & _LOW) + b0 * s1
    return (b1 * s1 + (middle >> _HALF) + (lower >> _HALF)).view(np.int64) + low


# Triton: the words.  Scalars: seed, stream int64; start int64, a multiple of 4


@jit
def philox(seed, stream, offset):
    """The four words, uint32 (N,), of the blocks at ``offset``, int64 (N,)."""
    offset = offset.to(tl.uint64)
    c0 = offset.to(tl.uint32)
    c1 = (offset >> 32).to(tl.uint32)
    c2 = stream.to(tl.uint64).to(tl.uint32)
    c3 = (stream.to(tl.uint64) >> 32).to(tl.uint32)
    k0 = seed.to(tl.uint64).to(tl.uint32)
    k1 = (seed.to(tl.uint64) >> 32).to(tl.uint32)
    for _ in tl.static_range(10):
        p0 = c0.to(tl.uint64) * 0xD2511F53  # one wide multiplication gives both halves
        p1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c1 = p1.to(tl.uint32)
        c2 = (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c3 = p0.to(tl.uint32)
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    return c0, c1, c2, c3


@jit
def stream_of(stream, base):
    """``stream``, with what ``base`` points to (one int64) added unless it is None."""
    if base is not None:
        stream += tl.load(base)
    return stream


@jit
def bits32_at(seed, stream, index):
    """The uint32 of the elements ``index``, int64 (N,), in any order; a whole Philox for each."""
    w0, w1, w2, w3 = philox(seed, stream, index >> 2)
    word = index & 3
    return tl.where(word < 2, tl.where(word == 0, w0, w1), tl.where(word == 2, w2, w3))


@jit
def bits32(seed, stream, start, BLOCK: tl.constexpr):
    """uint32 (BLOCK,) of the elements start, start + 1, ...; a quarter of a Philox for each."""
    w0, w1, w2, w3 = philox(seed, stream, (start >> 2) + tl.arange(0, BLOCK // 4))
    return tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3))


@jit
def _two_words(low, high):
    return (high.to(tl.uint64) << 32) | low.to(tl.uint64)


@jit
def bits64(seed, stream, start, BLOCK: tl.constexpr):
    """uint64 (BLOCK,) of the elements start, start + 1, ...; half a Philox for each."""
    w0, w1, w2, w3 = philox(seed, stream, (start >> 1) + tl.arange(0, BLOCK // 2))
    return tl.interleave(_two_words(w0, w1), _two_words(w2, w3))


# Triton: the distributions.  Compile what uses them with enable_fp_fusion=False


@jit
def _polynomial(z, COEFFICIENTS: tl.constexpr):
    total = z * COEFFICIENTS[len(COEFFICIENTS) - 1]
    for i in tl.static_range(len(COEFFICIENTS) - 2):
        total = (total + COEFFICIENTS[len(COEFFICIENTS) - 2 - i]) * z
    return total + COEFFICIENTS[0]


@jit
def _minus_two_log32(w):
    # uint32 -> -2 ln((w + 0.5) / 2**32), float32
    bits = ((w.to(tl.float32) + 0.5) * 2.3283064365386963e-10).to(tl.int32, bitcast=True)
    exponent = (bits - 0x3F3504F3) >> 23
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True)
    s = tl.div_rn(m - 1.0, m + 1.0)
    return _polynomial(s * s, LOG32) * s + exponent.to(tl.float32) * -1.3862943611198906


@jit
def _minus_two_log64(w):
    # uint64 -> -2 ln((w // 2**11 + 0.5) / 2**53), float64
    bits = (((w >> 11).to(tl.float64) + 0.5) * 1.1102230246251565e-16).to(tl.int64, bitcast=True)
    exponent = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = (bits - (exponent << 52)).to(tl.float64, bitcast=True)
    s = (m - 1.0) / (m + 1.0)
    return _polynomial(s * s, LOG64) * s + exponent.to(tl.float64) * -1.3862943611198906


@jit
def _sine(x, COEFFICIENTS: tl.constexpr):
    return _polynomial(x * x, COEFFICIENTS) * x


@jit
def two_normals32(radius, angle):
    """Two standard normals, float32, from two words, uint32."""
    r = tl.sqrt_rn(_minus_two_log32(radius))
    r = (r.to(tl.uint32, bitcast=True) | (angle & 0x80000000)).to(tl.float32, bitcast=True)
    t = (angle & 0x7FFFFFFF).to(tl.int32) - 0x40000000
    x = _sine((0x40000000 - tl.abs(t)).to(tl.float32) * 9.313225746154785e-10, SIN32)
    y = _sine(t.to(tl.float32) * 9.313225746154785e-10, SIN32)
    return x * r, y * r


@jit
def two_normals64(radius, angle):
    """Two standard normals, float64, from two words, uint64."""
    r = tl.sqrt(_minus_two_log64(radius))
    r = (r.to(tl.uint64, bitcast=True) | (angle & 0x8000000000000000)).to(tl.float64, bitcast=True)
    t = (angle & 0x7FFFFFFFFFFFFFFF).to(tl.int64) - 0x4000000000000000
    x = _sine((0x4000000000000000 - tl.abs(t)).to(tl.float64) * 2.168404344971009e-19, SIN64)
    y = _sine(t.to(tl.float64) * 2.168404344971009e-19, SIN64)
    return x * r, y * r


@jit
def normals32(seed, stream, start, BLOCK: tl.constexpr):
    """Standard normals, float32 (BLOCK,), of the elements start, start + 1, ..."""
    w0, w1, w2, w3 = philox(seed, stream, (start >> 2) + tl.arange(0, BLOCK // 4))
    x, y = two_normals32(tl.interleave(w0, w2), tl.interleave(w1, w3))
    return tl.interleave(x, y)


@jit
def normals64(seed, stream, start, BLOCK: tl.constexpr):
    """Standard normals, float64 (BLOCK,), of the elements start, start + 1, ..."""
    w0, w1, w2, w3 = philox(seed, stream, (start >> 1) + tl.arange(0, BLOCK // 2))
    x, y = two_normals64(_two_words(w0, w1), _two_words(w2, w3))
    return tl.interleave(x, y)


@jit
def _raw(bits):
    return bits


@jit
def _between(u, low, high, scale, DTYPE: tl.constexpr):
    value = (u * scale + low).to(DTYPE).to(low.dtype)
    return tl.where(value < high, value, low)


@jit
def _uniform_float64(bits, low, high, scale):
    return _between((bits >> 11).to(tl.float64) * 1.1102230246251565e-16, low, high, scale, tl.float64)


@jit
def _uniform_float32(bits, low, high, scale):
    return _between((bits >> 8).to(tl.float32) * 5.960464477539063e-08, low, high, scale, tl.float32)


@jit
def _uniform_float16(bits, low, high, scale):
    return _between((bits >> 21).to(tl.float32) * 0.00048828125, low, high, scale, tl.float16)


@jit
def _uniform_bfloat16(bits, low, high, scale):
    return _between((bits >> 24).to(tl.float32) * 0.00390625, low, high, scale, tl.bfloat16)


@jit
def _scaled(z, mean, std):
    return z * std + mean


@jit
def _exponential32(bits, scale):
    return tl.maximum(_minus_two_log32(bits) * 0.5, 2.9802322387695312e-08) * scale


@jit
def _exponential64(bits, scale):
    return tl.maximum(_minus_two_log64(bits) * 0.5, 5.551115123125783e-17) * scale


@jit
def keep(bits, threshold):
    """Whether an element survives: ``bits``, uint32, below ``threshold``, an int64 scalar."""
    return bits.to(tl.int64) < threshold


@jit
def _integers(bits, low, span):
    # low + the upper 64 bits of bits * span, by halves: the product of two uint64 has 128 bits
    span = span.to(tl.uint64)
    b0 = bits & 0xFFFFFFFF
    b1 = bits >> 32
    s0 = span & 0xFFFFFFFF
    s1 = span >> 32
    middle = b1 * s0 + (b0 * s0 >> 32)
    lower = (middle & 0xFFFFFFFF) + b0 * s1
    return (b1 * s1 + (middle >> 32) + (lower >> 32)).to(tl.int64) + low


@jit
def random_fill(
    out, n, first, seed, stream, base, settings, SOURCE: tl.constexpr, F: tl.constexpr, BLOCK: tl.constexpr
):
    """Elements first, first + 1, ... of a stream: F(SOURCE's value, *settings)."""
    # out (n,), any dtype · base None or int64 (1,) · settings scalars · one program per BLOCK elements
    start = tl.program_id(0).to(tl.int64) * BLOCK
    offsets = start + tl.arange(0, BLOCK)
    value = F(SOURCE(seed, stream_of(stream, base), first + start, BLOCK), *settings)
    tl.store(out + offsets, value.to(out.dtype.element_ty), mask=offsets < n)


# Both halves together


@dataclass(frozen=True)
class Source:
    """Bits or normals of a run of elements, ``per_block`` of them from each block, told twice."""

    per_block: int
    numpy: Callable[[np.ndarray], np.ndarray]
    triton: Any


@dataclass(frozen=True)
class Distribution:
    """What an element is made from (``source``) and how: a function of that and the settings, told twice."""

    source: Source
    numpy: Callable[..., np.ndarray]
    triton: Any


BITS32 = Source(4, bits32_numpy, bits32)
BITS64 = Source(2, bits64_numpy, bits64)
NORMALS32 = Source(4, normals32_numpy, normals32)
NORMALS64 = Source(2, normals64_numpy, normals64)

RAW32 = Distribution(BITS32, lambda bits: bits, _raw)
RAW64 = Distribution(BITS64, lambda bits: bits, _raw)
KEEP = Distribution(BITS32, keep_numpy, keep)
INTEGERS = Distribution(BITS64, _integers_numpy, _integers)
UNIFORM = {
    "float64": Distribution(BITS64, partial(_uniform_numpy, digits=53, dtype=np.dtype(np.float64)), _uniform_float64),
    "float32": Distribution(BITS32, partial(_uniform_numpy, digits=24, dtype=np.dtype(np.float32)), _uniform_float32),
    "float16": Distribution(BITS32, partial(_uniform_numpy, digits=11, dtype=float16.numpy), _uniform_float16),
    "bfloat16": Distribution(BITS32, partial(_uniform_numpy, digits=8, dtype=bfloat16.numpy), _uniform_bfloat16),
}
NORMAL = {False: Distribution(NORMALS32, _scaled_numpy, _scaled), True: Distribution(NORMALS64, _scaled_numpy, _scaled)}
EXPONENTIAL = {
    False: Distribution(BITS32, _exponential_numpy, _exponential32),
    True: Distribution(BITS64, _exponential_numpy, _exponential64),
}


def fill(
    draw: Distribution, shape: tuple[int, ...], dtype: np.dtype, where: device, key: Key, *settings: Any, first: int = 0
) -> RawArray:
    """A new array of ``shape`` whose element i is element ``first + i`` of the key's stream.

    ``settings`` are typed NumPy scalars.  Raises ValueError unless ``first`` is a multiple of 4.
    """
    if first < 0 or first % 4:
        raise ValueError(f"fill: expected first to be a multiple of 4 and not negative, got {first}")
    n = prod(shape)
    if where.type != "cpu":
        place = backend(where)
        out = empty(shape, dtype, place)
        if n:
            block = min(place.block, max(1024, next_power_of_2(n)))
            launch(
                random_fill,
                (cdiv(n, block),),
                out,
                n,
                np.int64(first),
                *key.arguments(),
                settings,
                SOURCE=draw.source.triton,
                F=draw.triton,
                BLOCK=block,
                enable_fp_fusion=False,
            )
        return out
    if key.base is not None:
        raise RuntimeError(f"random: the generator counts streams from {key.base.device}; cpu has no such graphs")
    flat = np.empty(n, dtype)
    per_block = draw.source.per_block
    step = _CHUNK * per_block
    for begin in range(0, n, step):
        end = min(begin + step, n)
        blocks = np.arange((first + begin) // per_block, (first + end - 1) // per_block + 1, dtype=np.uint64)
        with np.errstate(over="ignore", invalid="ignore"):  # infinity is an answer, as in kernels
            values = draw.numpy(draw.source.numpy(philox_numpy(key.seed, key.stream, blocks)), *settings)
            flat[begin:end] = values[: end - begin]
    return flat.reshape(shape)


def _real(dtype: np.dtype, value: float) -> Any:
    """``value`` as the NumPy scalar in which numbers of a floating dtype are computed."""
    with np.errstate(over="ignore"):
        return np.float64(value) if dtype.itemsize == 8 else np.float32(value)


def _floating(name: str, dtype: Any) -> np.dtype:
    kind = dtype_of(dtype)
    if not kind.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating dtype, got {kind.name}")
    return kind.numpy


def bits(shape: tuple[int, ...], where: device, key: Key, width: int = 32, first: int = 0) -> RawArray:
    """Random bits, uint32 or (``width=64``) uint64."""
    draw, dtype = (RAW32, np.dtype(np.uint32)) if width == 32 else (RAW64, np.dtype(np.uint64))
    return fill(draw, shape, dtype, where, key, first=first)


def uniform(
    shape: tuple[int, ...], dtype: Any, where: device, key: Key, low: float = 0.0, high: float = 1.0, first: int = 0
) -> RawArray:
    """Numbers evenly spread in [low, high), of a floating dtype.

    Raises RuntimeError where low > high or their distance is not finite in ``dtype``.
    """
    kind = _floating("uniform", dtype)
    with np.errstate(over="ignore"):
        lowest, highest = (_real(kind, x) for x in np.array([low, high]).astype(kind))  # as the dtype holds them
    if not low <= high:
        raise RuntimeError(f"uniform: expected low <= high, got low={low} and high={high}")
    span = float(highest) - float(lowest)
    if not span <= float(ml_dtypes.finfo(kind).max):
        raise RuntimeError(f"uniform: the distance from low={low} to high={high} is not finite in {kind}")
    return fill(UNIFORM[kind.name], shape, kind, where, key, lowest, highest, _real(kind, span), first=first)


def normal(
    shape: tuple[int, ...], dtype: Any, where: device, key: Key, mean: float = 0.0, std: float = 1.0, first: int = 0
) -> RawArray:
    """Normally distributed numbers of a floating dtype.  Raises RuntimeError where std < 0."""
    kind = _floating("normal", dtype)
    if not std >= 0:
        raise RuntimeError(f"normal: expected std >= 0, got {std}")
    return fill(NORMAL[kind.itemsize == 8], shape, kind, where, key, _real(kind, mean), _real(kind, std), first=first)


def exponential(
    shape: tuple[int, ...], dtype: Any, where: device, key: Key, rate: float = 1.0, first: int = 0
) -> RawArray:
    """Exponentially distributed numbers of a floating dtype, never 0 in float32 and float64.

    Raises RuntimeError where rate <= 0.
    """
    kind = _floating("exponential", dtype)
    if not rate > 0:
        raise RuntimeError(f"exponential: expected rate > 0, got {rate}")
    return fill(EXPONENTIAL[kind.itemsize == 8], shape, kind, where, key, _real(kind, 1.0 / rate), first=first)


def threshold(p: float) -> np.int64:
    """What ``keep`` and ``keep_numpy`` compare 32 bits with, so that a share ``p`` is true.

    Raises RuntimeError unless 0 <= p <= 1.
    """
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli: expected p in [0, 1], got {p}")
    return np.int64(round(p * 2**32))


def bernoulli(shape: tuple[int, ...], p: float, dtype: Any, where: device, key: Key, first: int = 0) -> RawArray:
    """1 with probability ``p``, else 0, in any dtype.  Raises RuntimeError unless 0 <= p <= 1."""
    return fill(KEEP, shape, dtype_of(dtype).numpy, where, key, threshold(p), first=first)


def randint(
    shape: tuple[int, ...], low: int, high: int, dtype: Any, where: device, key: Key, first: int = 0
) -> RawArray:
    """Whole numbers evenly spread in [low, high), in any dtype that holds them exactly.

    Raises RuntimeError where the range is empty, or does not fit ``dtype``.
    """
    kind = dtype_of(dtype)
    if not low < high:
        raise RuntimeError(f"randint: expected low < high, got low={low} and high={high}")
    if kind.is_floating_point:
        most = 2 ** (ml_dtypes.finfo(kind.numpy).nmant + 1)
        least = -most
    elif kind is bool_:
        least, most = 0, 1
    else:
        least, most = int(np.iinfo(kind.numpy).min), int(np.iinfo(kind.numpy).max)
    if low < least or high - 1 > most:
        raise RuntimeError(f"randint: {kind.name} holds integers from {least} to {most}, got low={low} and high={high}")
    return fill(INTEGERS, shape, kind.numpy, where, key, np.int64(low), _int64(high - low), first=first)


def randperm(n: int, dtype: Any, where: device, key: Key) -> RawArray:
    """0 to n - 1 in random order, sorted on the host and then copied.

    Raises RuntimeError where n < 0 or ``dtype`` cannot count that far.
    """
    kind = dtype_of(dtype)
    if n < 0:
        raise RuntimeError(f"randperm: expected n >= 0, got {n}")
    if kind is bool_ or n - 1 > (
        2 ** (ml_dtypes.finfo(kind.numpy).nmant + 1) if kind.is_floating_point else np.iinfo(kind.numpy).max
    ):
        raise RuntimeError(f"randperm: {kind.name} cannot count to {n - 1}")
    if key.base is not None:
        raise RuntimeError("randperm: sorts on the host and cannot be part of a graph")
    order = np.argsort(bits((n,), CPU, key, width=64), kind="stable").astype(kind.numpy)
    return order if where.type == "cpu" else from_numpy(order, backend(where))
