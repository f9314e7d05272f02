"""The debug device: the same kernels, run by NumPy on host memory.

Triton's own front end (``triton.language.semantic``) decides types, broadcasting and promotion, as it does when it
compiles; where the compiler would emit an instruction, ``Builder`` computes it with NumPy.  The body of a ``@jit``
function is run as Python after small changes that give it the compiler's meaning (``Rewriter``), with every name of
Triton's replaced by a version that computes at once (``lift``).  Triton itself is left as it is, so kernels may be
compiled and interpreted in one process in any order.

Stricter than a GPU on purpose: a load or store outside the memory of the kernel's arguments raises.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from . import language
from .device import INTERPRETER, Backend, Block
from .dtypes import ALL

# ---------------------------------------------------------------------------------------------------------------
# Values.  A handle is a NumPy array (shape (1,) for a scalar); pointers are uint64 addresses that know their pointee.
# The builder's "IR types" are NumPy dtypes, Pointer and BlockOf.


class Handle:
    """What Triton's front end passes around for a value."""

    __slots__ = ("data", "pointee")

    def __init__(self, data: np.ndarray, pointee: np.dtype | None = None) -> None:
        self.data = data
        self.pointee = pointee


class Pointer:
    """The type of an address of ``pointee`` elements."""

    __slots__ = ("pointee",)

    def __init__(self, pointee: Any) -> None:
        self.pointee = np.dtype(np.uint64) if isinstance(pointee, Pointer) else pointee


class BlockOf:
    """The type of a block of ``element``s."""

    __slots__ = ("element", "shape")

    def __init__(self, element: Any, shape: Any) -> None:
        self.element = element
        self.shape = tuple(shape)


def _element(kind: Any) -> Any:
    return kind.element if type(kind) is BlockOf else kind


def _numpy(kind: Any) -> np.dtype:
    kind = _element(kind)
    return np.dtype(np.uint64) if type(kind) is Pointer else kind


_WORD = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}
_HALVES = frozenset(np.dtype(t) for t in (np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2))


class _Memory:
    __slots__ = ("__array_interface__",)

    def __init__(self, address: int, dtype: np.dtype, count: int) -> None:
        self.__array_interface__ = {"data": (address, False), "typestr": dtype.str, "shape": (count,), "version": 3}


# ---------------------------------------------------------------------------------------------------------------
# Functions that NumPy lacks


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """Apply a function of a Python float, computed in double precision, to each element."""

    def apply(x: np.ndarray) -> np.ndarray:
        return np.array([function(v) for v in x.ravel().tolist()], np.float64).reshape(x.shape).astype(x.dtype)

    return apply


def _gamma(x: float) -> float:
    try:
        return math.gamma(x)
    except OverflowError:
        return math.inf
    except ValueError:  # a pole, or minus infinity
        return math.copysign(math.inf, x) if x == 0 else math.nan


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (OverflowError, ValueError):
        return math.inf


def _erfinv(x: np.ndarray) -> np.ndarray:
    """Newton's method on erf, in double precision, from Winitzki's approximation."""
    y = x.astype(np.float64)
    t = np.log1p(-y * y)
    a = 0.147
    b = 2 / (math.pi * a) + t / 2
    out = np.copysign(np.sqrt(np.maximum(np.sqrt(b * b - t / a) - b, 0)), y)
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    inside = np.isfinite(out) & (np.abs(y) < 1)
    z, target = np.abs(out[inside]), 1 - np.abs(y[inside])
    for _ in range(4):
        z = z + (erfc(z) - target) * np.exp(z * z) * (math.sqrt(math.pi) / 2) if z.size else z
    out[inside] = np.copysign(z, y[inside])
    out = np.where(np.abs(y) == 1, np.copysign(np.inf, y), np.where(np.abs(y) > 1, np.nan, out))
    return out.astype(x.dtype)


def _fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """``a * b + c``; rounded once for float32 and below, faithfully for float64."""
    dtype = c.dtype
    if dtype == np.float64:
        return _fma64(a, b, c)
    x = a.astype(np.float64) * b.astype(np.float64)  # exact
    y = c.astype(np.float64)
    total = x + y
    part = total - x
    error = (x - (total - part)) + (y - part)
    # Round to odd: a sum that is not exact gets an odd last bit, so that the second rounding cannot tie.
    bits = total.view(np.int64)
    odd = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
    bits = np.where(odd, bits + np.where((error > 0) == (total > 0), 1, -1), bits)
    return bits.view(np.float64).astype(dtype)


def _split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    high = x * 134217729.0  # 2**27 + 1
    high = high - (high - x)
    return high, x - high


def _fma64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    product = a * b
    (ah, al), (bh, bl) = _split(a), _split(b)
    low = ((ah * bh - product) + ah * bl + al * bh) + al * bl
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    exact = total + (error + low)
    return np.where(np.isfinite(exact), exact, total)


def _umulhi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The upper half of the unsigned product."""
    width = a.dtype.itemsize * 8
    x, y = (v.view(_WORD[v.dtype.itemsize]).astype(np.uint64) for v in (a, b))
    if width < 64:
        return ((x * y) >> np.uint64(width)).astype(_WORD[a.dtype.itemsize]).view(a.dtype)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    xh, xl, yh, yl = x >> half, x & low, y >> half, y & low
    middle = xh * yl + ((xl * yl) >> half)
    other = (middle & low) + xl * yh
    return (xh * yh + (middle >> half) + (other >> half)).view(a.dtype)


def _mulhi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    high = _umulhi(a, b)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, b, 0) - np.where(b < 0, a, 0)
    return high.astype(a.dtype)


def _integer(op: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Arithmetic that wraps, in one bit for bool."""

    def apply(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if x.dtype == np.bool_:
            return (op(x.view(np.uint8), y.view(np.uint8)) & 1).astype(np.bool_)
        return op(x, y)

    return apply


def _divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - np.fmod(x, y)) // y  # towards zero


def _shift_right(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    word = _WORD[x.dtype.itemsize] if kind == "u" else np.dtype(f"i{x.dtype.itemsize}")
    return np.right_shift(x.view(word), y.view(word)).view(x.dtype)


def _precise_rsqrt(x: np.ndarray) -> np.ndarray:
    return (1 / np.sqrt(x.astype(np.float64))).astype(x.dtype)


def _round_away(x: np.ndarray) -> np.ndarray:
    return np.copysign(np.floor(np.abs(x) + np.asarray(0.5, x.dtype)), x)


def _bits(x: np.ndarray) -> np.ndarray:
    return x.view(_WORD[x.dtype.itemsize])


def _leading_zeros(x: np.ndarray) -> np.ndarray:
    out = np.full(x.shape, x.dtype.itemsize * 8, np.int32)
    value = _bits(x).copy()
    while value.any():
        out -= value != 0
        value >>= 1
    return out


# Functions of CUDA's libdevice by their symbol without "__nv_" and without the "f" of the float version.
_LIBDEVICE: dict[str, Callable[..., np.ndarray]] = {
    **{name: getattr(np, name) for name in (
        "floor", "ceil", "trunc", "rint", "sqrt", "cbrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p",
        "sin", "cos", "tan", "sinh", "cosh", "tanh", "fmod", "hypot", "copysign", "nextafter", "isnan", "isinf",
        "signbit", "ldexp")},
    "abs": np.abs, "llabs": np.abs, "fabs": np.abs, "nearbyint": np.rint, "round": _round_away,
    "llrint": np.rint, "llround": _round_away,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "sinpi": lambda x: np.sin(np.pi * np.fmod(x, 2).astype(np.float64)).astype(x.dtype),
    "cospi": lambda x: np.cos(np.pi * np.fmod(x, 2).astype(np.float64)).astype(x.dtype),
    "exp10": lambda x: np.power(np.asarray(10, x.dtype), x), "pow": np.power, "powi": np.power,
    "rsqrt": _precise_rsqrt, "rcbrt": lambda x: 1 / np.cbrt(x),
    "erf": _each(math.erf), "erfc": _each(math.erfc), "erfinv": _erfinv,
    "lgamma": _each(_lgamma), "tgamma": _each(_gamma),
    "remainder": lambda x, y: (x - y * np.rint(x.astype(np.float64) / y)).astype(x.dtype),
    "fdim": lambda x, y: np.where(x > y, x - y, np.where(np.isnan(x) | np.isnan(y), np.nan, 0)).astype(x.dtype),
    "fma": _fma, "fma_rn": _fma, "saturate": lambda x: np.where(np.isnan(x), 0, np.clip(x, 0, 1)).astype(x.dtype),
    "isnand": np.isnan, "isinfd": np.isinf, "signbitd": np.signbit,
    "finite": np.isfinite, "isfinited": np.isfinite,
    "fsqrt_rn": np.sqrt, "dsqrt_rn": np.sqrt, "frsqrt_rn": _precise_rsqrt,
    "frcp_rn": np.reciprocal, "drcp_rn": np.reciprocal, "fdiv_rn": np.divide, "ddiv_rn": np.divide,
    "fadd_rn": np.add, "dadd_rn": np.add, "fsub_rn": np.subtract, "dsub_rn": np.subtract,
    "fmul_rn": np.multiply, "dmul_rn": np.multiply,
    "fast_sin": np.sin, "fast_cos": np.cos, "fast_tan": np.tan, "fast_exp": np.exp, "fast_log": np.log,
    "fast_log2": np.log2, "fast_log10": np.log10, "fast_pow": np.power, "fast_fdivide": np.divide,
    "fast_exp10": lambda x: np.power(np.asarray(10, x.dtype), x),
    "float_as_int": lambda x: x.view(np.int32), "float_as_uint": lambda x: x.view(np.uint32),
    "int_as_float": lambda x: x.view(np.float32), "uint_as_float": lambda x: x.view(np.float32),
    "double_as_longlong": lambda x: x.view(np.int64), "longlong_as_double": lambda x: x.view(np.float64),
    "popc": lambda x: np.bitwise_count(_bits(x)), "popcll": lambda x: np.bitwise_count(_bits(x)),
    "clz": _leading_zeros, "clzll": _leading_zeros,
    "mulhi": _mulhi, "mul64hi": _mulhi, "umulhi": _umulhi, "umul64hi": _umulhi,
}


def _libdevice(symbol: str) -> Callable[..., np.ndarray]:
    name = symbol.removeprefix("__nv_")
    found = _LIBDEVICE.get(name) or _LIBDEVICE.get(name.removesuffix("f"))
    if found is None:
        raise NotImplementedError(f"libdevice function {symbol} is not provided by the interpreter")
    return found


# ---------------------------------------------------------------------------------------------------------------
# The builder


class Builder:
    """Stands where Triton's front end expects an MLIR builder, and computes instead of emitting."""

    options = SimpleNamespace(
        arch=None, backend_name="interpreter", debug=True, sanitize_overflow=False, instrumentation_mode="",
        supported_fp8_dtypes=("fp8e5", "fp8e4nv"), deprecated_fp8_dot_operand_dtypes=(),
        default_dot_input_precision="ieee", allowed_dot_input_precisions=("tf32", "tf32x3", "ieee", "bf16x3", "bf16x6"),
        max_num_imprecise_acc_default=0, extern_libs=None)
    codegen_fns = {"min_dot_size": lambda lhs, rhs: (1, 1, 1)}
    module_map: dict[str, ModuleType] = {}

    def __init__(self) -> None:
        self.grid = self.program = (1, 1, 1)
        self.regions: list[tuple[int, int]] | None = None  # [begin, end) of the arguments' memory

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("create_", "get_")):
            raise NotImplementedError(f"the interpreter does not provide Triton's operation {name!r}")
        raise AttributeError(name)

    # types

    def get_ptr_ty(self, element: Any, *_: Any) -> Pointer:
        return Pointer(element)

    def get_block_ty(self, element: Any, shape: Any) -> BlockOf:
        return BlockOf(element, shape)

    def get_void_ty(self) -> None:
        return None

    # constants

    def get_null_value(self, kind: Any) -> Handle:
        out = np.zeros(1, _numpy(kind))
        return Handle(np.broadcast_to(out, kind.shape) if type(kind) is BlockOf else out)

    def get_all_ones_value(self, kind: Any) -> Handle:
        dtype = _numpy(kind)
        one = np.ones(1, np.bool_) if dtype == np.bool_ else np.full(1, -1, f"i{dtype.itemsize}").view(dtype)
        return Handle(np.broadcast_to(one, kind.shape) if type(kind) is BlockOf else one)

    # programs

    def create_get_program_id(self, axis: int) -> Handle:
        return Handle(np.array([self.program[axis]], np.int32))

    def create_get_num_programs(self, axis: int) -> Handle:
        return Handle(np.array([self.grid[axis]], np.int32))

    # memory

    def get_cache_policy(self, *_: Any) -> None:
        return None

    def _window(self, addresses: np.ndarray, width: int, verb: str) -> tuple[np.ndarray, np.ndarray]:
        """The memory that ``addresses`` span, as words of ``width`` bytes, and the index of each address in it."""
        low, high = int(addresses.min()), int(addresses.max())
        if self.regions is not None and not any(a <= low and high + width <= b for a, b in self.regions):
            inside = np.zeros(addresses.shape, np.bool_)
            for a, b in self.regions:
                inside |= (addresses >= a) & (addresses + width <= b)
            if not inside.all():
                wrong = int(addresses[~inside][0])
                a, b = min(self.regions, key=lambda r: max(r[0] - wrong, wrong - r[1]), default=(0, 0))
                raise IndexError(f"{verb} {(~inside).sum()} of {inside.size} elements outside the kernel's arguments; the "
                                 f"first lies {wrong - a} bytes after the beginning of the nearest, of {b - a} bytes")
        offsets = addresses - np.uint64(low)
        if width > 1:
            if low % width or (offsets & np.uint64(width - 1)).any():
                raise IndexError(f"{verb} elements of {width} bytes at addresses that are no multiples of {width}")
            offsets >>= np.uint64(width.bit_length() - 1)
        count = (high - low) // width + 1
        return np.asarray(_Memory(low, _WORD[width], count)), offsets.view(np.int64)

    def create_masked_load(self, pointers: Handle, mask: Handle | None, other: Handle | None, *_: Any) -> Handle:
        dtype = pointers.pointee
        addresses = pointers.data
        width = dtype.itemsize
        everywhere = mask is None or bool(mask.data.all())
        if everywhere:
            window, index = self._window(addresses.ravel(), width, "reads")
            return Handle(window[index].view(dtype).reshape(addresses.shape))
        if other is None:
            out = np.zeros(addresses.shape, _WORD[width])
        else:
            out = np.array(np.broadcast_to(other.data, addresses.shape), dtype=dtype, order="C").view(_WORD[width])
        wanted = np.broadcast_to(mask.data, addresses.shape)
        addresses = addresses[wanted]
        if addresses.size:
            window, index = self._window(addresses, width, "reads")
            out[wanted] = window[index]
        return Handle(out.view(dtype))

    def create_load(self, pointers: Handle, *_: Any) -> Handle:
        return self.create_masked_load(pointers, None, None)

    def create_masked_store(self, pointers: Handle, value: Handle, mask: Handle | None, *_: Any) -> None:
        dtype = pointers.pointee
        addresses = pointers.data
        values = np.broadcast_to(value.data, addresses.shape)
        if values.dtype != dtype:
            raise TypeError(f"stores {values.dtype} through a pointer to {dtype}")
        if mask is None:
            addresses, values = addresses.ravel(), values.ravel()
        else:
            wanted = np.broadcast_to(mask.data, addresses.shape)
            addresses, values = addresses[wanted], values[wanted]
        if addresses.size:
            window, index = self._window(addresses, dtype.itemsize, "writes")
            window[index] = np.ascontiguousarray(values).view(window.dtype)

    def create_store(self, pointers: Handle, value: Handle, *_: Any) -> None:
        self.create_masked_store(pointers, value, None)

    def create_addptr(self, pointer: Handle, offset: Handle) -> Handle:
        step = offset.data.astype(np.int64) * pointer.pointee.itemsize
        return Handle(pointer.data + step.view(np.uint64), pointer.pointee)

    # casts

    def _cast(self, x: Handle, kind: Any, *_: Any) -> Handle:
        return Handle(x.data.astype(_numpy(kind)))

    create_si_to_fp = create_ui_to_fp = create_fp_to_si = create_fp_to_ui = _cast
    create_fp_ext = create_fp_trunc = create_int_cast = _cast

    def create_fp_to_fp(self, x: Handle, kind: Any, rounding: Any = None) -> Handle:
        if getattr(rounding, "name", "RTNE") != "RTNE":
            raise NotImplementedError(f"the interpreter rounds to nearest even, not {rounding}")
        return self._cast(x, kind)

    def create_bitcast(self, x: Handle, kind: Any) -> Handle:
        element = _element(kind)
        if type(element) is Pointer:
            return Handle(x.data.view(np.uint64), element.pointee)
        return Handle(x.data.view(element))

    create_int_to_ptr = create_ptr_to_int = create_bitcast

    # shapes

    def create_make_range(self, kind: Any, start: int, stop: int) -> Handle:
        return Handle(np.arange(start, stop, dtype=np.int32))

    def create_splat(self, kind: Any, x: Handle) -> Handle:
        return Handle(np.broadcast_to(x.data.reshape(()), _shape(kind)), x.pointee)

    def create_broadcast(self, x: Handle, shape: Any) -> Handle:
        return Handle(np.broadcast_to(x.data, tuple(shape)), x.pointee)

    def create_unsplat(self, x: Handle) -> Handle:
        return Handle(x.data.reshape(1), x.pointee)

    def create_reshape(self, x: Handle, shape: Any, *_: Any) -> Handle:
        return Handle(x.data.reshape(tuple(shape)), x.pointee)

    def create_expand_dims(self, x: Handle, axis: int) -> Handle:
        return Handle(np.expand_dims(x.data, axis), x.pointee)

    def create_trans(self, x: Handle, order: Any) -> Handle:
        return Handle(np.transpose(x.data, tuple(order)), x.pointee)

    def create_cat(self, x: Handle, y: Handle) -> Handle:
        return Handle(np.concatenate([x.data, y.data]), x.pointee)

    def create_join(self, x: Handle, y: Handle) -> Handle:
        return Handle(np.stack([x.data, y.data], axis=-1), x.pointee)

    def create_split(self, x: Handle) -> tuple[Handle, Handle]:
        return Handle(x.data[..., 0], x.pointee), Handle(x.data[..., 1], x.pointee)

    def create_gather(self, x: Handle, index: Handle, axis: int) -> Handle:
        return Handle(np.take_along_axis(x.data, index.data, axis=axis), x.pointee)

    # arithmetic beyond the table below

    def create_select(self, condition: Handle, x: Handle, y: Handle) -> Handle:
        return Handle(np.where(condition.data, x.data, y.data), x.pointee)

    def create_fma(self, x: Handle, y: Handle, z: Handle) -> Handle:
        return Handle(_fma(*np.broadcast_arrays(x.data, y.data, z.data)))

    def create_clampf(self, x: Handle, low: Handle, high: Handle, propagate: Any) -> Handle:
        if getattr(propagate, "name", "") == "ALL":
            return Handle(np.minimum(np.maximum(x.data, low.data), high.data))
        return Handle(np.fmin(np.fmax(x.data, low.data), high.data))

    def create_dot(self, x: Handle, y: Handle, total: Handle, *_: Any) -> Handle:
        a, b = x.data, y.data
        if a.dtype.kind in "iu":
            a, b = a.astype(np.float64), b.astype(np.float64)  # exact: products are below 2**14
        elif a.dtype in _HALVES:
            a, b = a.astype(np.float32), b.astype(np.float32)
        out = np.matmul(a, b)
        return Handle((out + total.data.astype(out.dtype)).astype(total.data.dtype))

    def create_histogram(self, x: Handle, bins: int, mask: Handle | None) -> Handle:
        values = x.data if mask is None else x.data[np.broadcast_to(mask.data, x.data.shape)]
        values = values[(values >= 0) & (values < bins)]
        return Handle(np.bincount(values.astype(np.int64), minlength=bins).astype(np.int32))

    def create_extern_elementwise(self, library: str, path: str, symbol: str, arguments: list[Handle],
                                  kind: Any, pure: bool) -> Handle:
        return Handle(_libdevice(symbol)(*(x.data for x in arguments)).astype(_numpy(kind)))

    # debugging

    def create_print(self, prefix: str, hexadecimal: bool, values: list[Handle], *_: Any) -> None:
        for value in values:
            shown = np.vectorize(hex)(_bits(value.data)) if hexadecimal else value.data
            print(self.program, prefix, shown)

    def create_assert(self, condition: Handle, message: str) -> None:
        if not condition.data.all():
            raise AssertionError(message)

    def create_assume(self, condition: Handle) -> None:
        if not condition.data.all():
            raise AssertionError("tl.assume of something that does not hold")

    def create_barrier(self) -> None:
        pass


def _shape(kind: Any) -> tuple[int, ...]:
    return kind.shape if type(kind) is BlockOf else tuple(kind)


def _unary(op: Callable[..., Any]) -> Callable[..., Handle]:
    return lambda self, x: Handle(op(x.data))


def _binary(op: Callable[..., Any]) -> Callable[..., Handle]:
    return lambda self, x, y: Handle(op(x.data, y.data))


for _name, _op in {
    "fabs": np.abs, "iabs": np.abs, "fneg": np.negative, "floor": np.floor, "ceil": np.ceil, "sqrt": np.sqrt,
    "precise_sqrt": np.sqrt, "rsqrt": _precise_rsqrt, "exp": np.exp, "exp2": np.exp2, "log": np.log, "log2": np.log2,
    "sin": np.sin, "cos": np.cos, "erf": _each(math.erf),
}.items():
    setattr(Builder, f"create_{_name}", _unary(_op))

for _name, _op in {
    "fadd": np.add, "fsub": np.subtract, "fmul": np.multiply, "fdiv": np.divide, "precise_divf": np.divide,
    "approx_divf": np.divide, "frem": np.fmod, "add": _integer(np.add), "sub": _integer(np.subtract),
    "mul": _integer(np.multiply), "sdiv": _divide, "udiv": _divide, "srem": np.fmod, "urem": np.fmod,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "shl": np.left_shift,
    "lshr": lambda x, y: _shift_right(x, y, "u"), "ashr": lambda x, y: _shift_right(x, y, "i"), "umulhi": _umulhi,
    "minsi": np.minimum, "minui": np.minimum, "maxsi": np.maximum, "maxui": np.maximum,
    "minimumf": np.minimum, "maximumf": np.maximum, "minnumf": np.fmin, "maxnumf": np.fmax,
    **{f"{kind}{name}": op for name, op in (
        ("LT", np.less), ("LE", np.less_equal), ("GT", np.greater), ("GE", np.greater_equal))
        for kind in ("icmpS", "icmpU", "fcmpO")},
    "icmpEQ": np.equal, "icmpNE": np.not_equal, "fcmpOEQ": np.equal, "fcmpUNE": np.not_equal,
}.items():
    setattr(Builder, f"create_{_name}", _binary(_op))


def _constant(dtype: np.dtype) -> Callable[[Any, Any], Handle]:
    return lambda self, value: Handle(np.array([value]).astype(dtype))


def _type(dtype: np.dtype) -> Callable[[Any], np.dtype]:
    return lambda self: dtype


_TYPES = {d.triton: d.numpy for d in ALL} | {f"u{n}": np.dtype(f"u{n // 8}") for n in (16, 32, 64)}
_BY_NAME = {  # Triton's name of an element type: NumPy's
    "int1": np.dtype(np.bool_), "fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16),
    "fp32": np.dtype(np.float32), "fp64": np.dtype(np.float64), "fp8e5": np.dtype(ml_dtypes.float8_e5m2),
    "fp8e4nv": np.dtype(ml_dtypes.float8_e4m3fn),
    **{f"{sign}int{n}": np.dtype(f"{sign}int{n}") for sign in ("", "u") for n in (8, 16, 32, 64)},
}
for _name, _dtype in _BY_NAME.items():
    setattr(Builder, f"get_{_name}", _constant(_dtype))
for _name, _short in {"half": "fp16", "bf16": "bf16", "float": "fp32", "double": "fp64"}.items():
    setattr(Builder, f"get_{_name}_ty", _type(_BY_NAME[_short]))
for _name in ("int1", "int8", "int16", "int32", "int64", "fp8e5", "fp8e4nv"):
    setattr(Builder, f"get_{_name}_ty", _type(_BY_NAME[_name]))


# ---------------------------------------------------------------------------------------------------------------
# The language: Triton's names, computing at once


class Interpreted:
    """A ``@jit`` function as the interpreter calls it; its body is rewritten at the first call."""

    def __init__(self, fn: FunctionType) -> None:
        self.fn = fn
        self.__name__ = fn.__name__
        self._body: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        body = self._body
        if body is None:
            body = self._body = _rewrite(self.fn)
        return body(*args, **kwargs)


class Namespace:
    """A module whose members are lifted when they are first asked for."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__[name] = lift(getattr(self._module, name))
        return found


class _Language:
    """Triton's front end set to work on a Builder; made when the first kernel is interpreted."""

    def __init__(self) -> None:
        loaded = language.modules()
        import triton.language.extra.cuda.libdevice as cuda_libdevice
        import triton.language.semantic as semantic

        self.tl: Any = loaded["triton.language"]
        self.core: Any = self.tl.core
        self.libdevice = cuda_libdevice
        self.builder = Builder()
        self.semantic = semantic.TritonSemantic(self.builder)
        self.is_builtin = self.core.is_builtin
        self.constexpr = self.core.constexpr
        self.Tensor = self._tensor_class()
        self.lifted: dict[int, tuple[Any, Any]] = {}  # by identity: the original, kept alive, and its lifted version
        self._distinguish_unsigned()
        self._override()

    def _distinguish_unsigned(self) -> None:
        """Let ``to_ir`` tell our builder about uint8; MLIR's types have no sign, and others get what they got."""
        dtype = self.core.dtype
        stock = dtype.to_ir
        unsigned = {name: kind for name, kind in _BY_NAME.items() if name.startswith("uint")}

        def to_ir(self: Any, builder: Any) -> Any:
            if type(builder) is Builder and self.name in unsigned:
                return unsigned[self.name]
            return stock(self, builder)

        dtype.to_ir = to_ir

    def _tensor_class(self) -> type:
        """``tl.tensor`` with its operators and methods bound to our front end."""
        base = self.core.tensor
        members: dict[str, Any] = {"__slots__": (), "__hash__": base.__hash__}
        for name in dir(base):
            member = inspect.getattr_static(base, name)
            standard = getattr(self.tl.standard, name, None)
            if language.is_triton_function(standard):
                members[name] = self._method(Interpreted(standard.fn))
            elif self.is_builtin(member):
                members[name] = self.bound(member)

        def index(tensor: Any) -> int:
            raise TypeError("a run-time value stands where Triton needs a constant (declare it tl.constexpr)")

        members["__index__"] = index
        members["T"] = property(lambda tensor: tensor.trans())
        return type("Tensor", (base,), members)

    @staticmethod
    def _method(function: Interpreted) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(self, *args, **kwargs)

        return method

    def bound(self, function: Any) -> Callable[..., Any]:
        """A builtin of Triton's that is given our front end instead of the compiler's."""
        inner = inspect.unwrap(function)
        semantic, own = self.semantic, self.own

        def call(*args: Any, _semantic: Any = None, _generator: Any = None, **kwargs: Any) -> Any:
            return own(inner(*args, _semantic=semantic, **kwargs))

        return call

    def own(self, value: Any) -> Any:
        """``value`` with Triton's tensors turned into ours."""
        kind = type(value)
        if kind is self.core.tensor:
            value.__class__ = self.Tensor
        elif kind is tuple or kind is list:
            return tuple(map(self.own, value))
        elif kind is self.constexpr:
            return value.value
        return value

    def tensor(self, handle: Handle, kind: Any) -> Any:
        out = self.core.tensor(handle, kind)
        out.__class__ = self.Tensor
        return out

    def scalar(self, value: np.generic) -> Any:
        """A run-time scalar parameter."""
        return self.tensor(Handle(np.array([value])), self.types[value.dtype])

    @property
    def types(self) -> dict[np.dtype, Any]:
        return _element_types(self)

    # what Triton's compiler treats specially

    def _override(self) -> None:
        tl, core = self.tl, self.core
        math_module = tl.math
        unchanged = lambda value, *_, **__: value  # noqa: E731
        for module in (tl, core):
            for name, new in {
                "range": self.range, "static_range": self.static_range, "constexpr": _constexpr,
                "static_assert": _static_assert, "static_print": print, "reduce": self.reduce,
                "associative_scan": self.scan, "multiple_of": unchanged, "max_contiguous": unchanged,
                "max_constancy": unchanged, "_reduce_with_indices": self.reduce_with_indices,
            }.items():
                old = getattr(module, name, None)
                if old is not None:
                    self.lifted[id(old)] = (old, new)
        self.builtins: dict[str, Any] = {
            "range": self.range, "max": self._extreme(builtins.max, core.maximum),
            "min": self._extreme(builtins.min, core.minimum), "print": print,
        }
        self.lifted[id(math_module)] = (math_module, Namespace(math_module))

    def _extreme(self, plain: Callable[..., Any], function: Any) -> Callable[..., Any]:
        combine = self.bound(function)

        def extreme(*args: Any) -> Any:
            if not any(isinstance(x, self.core.tensor) for x in args):
                return plain(*args)
            out = args[0]
            for x in args[1:]:
                out = combine(out, x)
            return out

        return extreme

    def range(self, first: Any, last: Any = None, step: Any = None, **options: Any) -> Any:
        """A loop at run time: its variable is a tensor, int64 where a bound is."""
        bounds = [(0, first) if last is None else (first, last), (1 if step is None else step,)]
        flat = [x for group in bounds for x in group]
        wide = any(isinstance(x, self.core.tensor) and x.dtype.primitive_bitwidth == 64 for x in flat)
        kind, dtype = (self.core.int64, np.int64) if wide else (self.core.int32, np.int32)
        start, stop, stride = (self._number(x) for x in flat)
        for value in builtins.range(start, stop, stride):
            yield self.tensor(Handle(np.array([value], dtype)), kind)

    def _number(self, x: Any) -> int:
        if isinstance(x, self.core.tensor):
            return int(x.handle.data.reshape(()))
        return int(x.value if isinstance(x, self.constexpr) else x)

    def static_range(self, first: Any, last: Any = None, step: Any = None) -> builtins.range:
        bounds = (0, first) if last is None else (first, last)
        start, stop, stride = (x.value if isinstance(x, self.constexpr) else x for x in (*bounds, 1 if step is None else step))
        return builtins.range(start, stop, stride)

    # reductions and scans: the combining function is called on whole slices, in the elements' order

    def _combine(self, function: Any, left: list[np.ndarray], right: list[np.ndarray], types: list[Any]) -> list[np.ndarray]:
        count = left[0].size
        block = [self.core.block_type(t, [count]) for t in types]
        arguments = [self.tensor(Handle(x.reshape(count)), b) for side in (left, right)
                     for x, b in zip(side, block, strict=True)]
        result = function(*arguments)
        result = result if isinstance(result, tuple) else (result,)
        out = []
        for x, old in zip(result, left, strict=True):
            value = self.semantic.to_tensor(x).handle.data
            if value.dtype != old.dtype:
                raise TypeError(f"the combining function {function.__name__} turned {old.dtype} into {value.dtype}")
            out.append(np.broadcast_to(value, (count,)).reshape(old.shape))
        return out

    def _plain_op(self, function: Any, operation: str) -> Any:
        standard = self.tl.standard
        for name, op in {"_sum_combine": np.add, "_elementwise_max": np.fmax, "_elementwise_min": np.fmin,
                         "_xor_combine": np.bitwise_xor, "_or_combine": np.bitwise_or,
                         "_prod_combine": np.multiply}.items():
            if function.fn is getattr(getattr(standard, name, None), "fn", None):
                return op
        return None

    def reduce(self, input: Any, axis: Any, combine_fn: Any, keep_dims: Any = False, **_: Any) -> Any:
        single = not isinstance(input, tuple)
        tensors = (input,) if single else input
        axis, keep_dims = _plain(axis), _plain(keep_dims)
        shape = tensors[0].handle.data.shape
        data = [np.moveaxis(t.handle.data, axis, 0) if axis is not None else t.handle.data.ravel() for t in tensors]
        op = self._plain_op(combine_fn, "reduce") if single else None
        if op is not None:
            done = [op.reduce(data[0], axis=0, dtype=data[0].dtype)]
        else:
            types = [t.dtype for t in tensors]
            while data[0].shape[0] > 1:
                data = self._combine(combine_fn, [x[0::2] for x in data], [x[1::2] for x in data], types)
            done = [x[0] for x in data]
        if axis is None:
            final = (1,) * len(shape) if keep_dims else ()
        else:
            at = axis % len(shape)
            final = shape[:at] + ((1,) if keep_dims else ()) + shape[at + 1:]
        out = []
        for x, t in zip(done, tensors, strict=True):
            kind = self.core.block_type(t.dtype, list(final)) if final else t.dtype
            out.append(self.tensor(Handle(np.asarray(x).reshape(final or (1,))), kind))
        return out[0] if single else tuple(out)

    def reduce_with_indices(self, input: Any, axis: Any, combine_fn: Any, keep_dims: Any = False, **_: Any) -> Any:
        axis = _plain(axis)
        shape = input.handle.data.shape
        at = axis % len(shape)
        places = np.arange(shape[at], dtype=np.int32).reshape([-1 if d == at else 1 for d in builtins.range(len(shape))])
        index = self.tensor(Handle(np.broadcast_to(places, shape)), self.core.block_type(self.core.int32, list(shape)))
        return self.reduce((input, index), axis, combine_fn, keep_dims)

    def scan(self, input: Any, axis: Any, combine_fn: Any, reverse: Any = False, **_: Any) -> Any:
        single = not isinstance(input, tuple)
        tensors = (input,) if single else input
        axis, reverse = _plain(axis), _plain(reverse)
        data = [np.moveaxis(t.handle.data, axis, 0) for t in tensors]
        if reverse:
            data = [x[::-1] for x in data]
        op = self._plain_op(combine_fn, "scan") if single else None
        if op is not None:
            data = [op.accumulate(data[0], axis=0, dtype=data[0].dtype)]
        else:
            types = [t.dtype for t in tensors]
            step = 1
            while step < data[0].shape[0]:
                later = self._combine(combine_fn, [x[:-step] for x in data], [x[step:] for x in data], types)
                data = [np.concatenate([x[:step], y]) for x, y in zip(data, later, strict=True)]
                step *= 2
        if reverse:
            data = [x[::-1] for x in data]
        out = [self.tensor(Handle(np.ascontiguousarray(np.moveaxis(x, 0, axis))), t.type)
               for x, t in zip(data, tensors, strict=True)]
        return out[0] if single else tuple(out)

    # what rewritten bodies call

    def assign(self, value: Any) -> Any:
        """What a name gets: numbers become run-time scalars, as in the compiler."""
        kind = type(value)
        if kind is self.Tensor:
            return value
        if kind is tuple:
            return tuple(map(self.assign, value))
        if kind is self.constexpr:
            value = value.value
        if isinstance(value, (bool, int, float)):
            return self.own(self.semantic.to_tensor(value))
        return value

    def truth(self, value: Any) -> bool:
        if isinstance(value, self.core.tensor):
            if value.handle.data.size != 1:
                raise TypeError("a condition must be a scalar, not a block")
            return bool(value.handle.data.reshape(()))
        return bool(value)

    def all(self, *values: Callable[[], Any]) -> Any:
        return self._logical(values, False, "logical_and")

    def any(self, *values: Callable[[], Any]) -> Any:
        return self._logical(values, True, "logical_or")

    def _logical(self, values: tuple[Callable[[], Any], ...], stop: bool, name: str) -> Any:
        out: Any = not stop
        tensors = []
        for value in values:
            out = value()
            if isinstance(out, self.core.tensor):
                tensors.append(out)
            elif bool(out) is stop:
                return out
        if not tensors:
            return out
        out = tensors[0]
        for x in tensors[1:]:
            out = getattr(out, name)(x)
        return out

    def negate(self, value: Any) -> Any:
        return value.__not__() if isinstance(value, self.core.tensor) else not value


def _plain(value: Any) -> Any:
    """Constants without Triton's wrapper."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.value if type(value).__name__ == "constexpr" else value


def _constexpr(value: Any) -> Any:
    return _plain(value)


def _static_assert(condition: Any, message: str = "") -> None:
    if not _plain(condition):
        raise AssertionError(message)


@lru_cache(maxsize=1)
def _language() -> _Language:
    return _Language()


@lru_cache(maxsize=1)
def _element_types(of: _Language) -> dict[np.dtype, Any]:
    return {kind: of.core.dtype(name) for name, kind in _BY_NAME.items()}


@lru_cache(maxsize=64)
def _pointer_type(dtype: np.dtype) -> Any:
    return _language().core.pointer_type(_language().types[dtype])


def lift(value: Any) -> Any:
    """The version of a Triton object that computes at once: functions, modules, constants, and tuples of these."""
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(lift, value))
    known = _language().lifted.get(id(value))
    if known is not None:
        return known[1]
    new = _lift(value)
    if new is not value:
        _language().lifted[id(value)] = (value, new)
    return new


def _lift(value: Any) -> Any:
    lang = _language()
    value = language.resolve(value)
    if language.is_triton_function(value):
        return Interpreted(language.real(value).fn)
    if isinstance(value, lang.constexpr):
        return lift(value.value)
    if isinstance(value, ModuleType):
        if value.__name__ == "triton.language.extra.libdevice":
            value = lang.libdevice
        return Namespace(value)
    if getattr(value, "__module__", None) == "triton.language.extra.libdevice":
        value = getattr(lang.libdevice, value.__name__)
    if callable(value) and lang.is_builtin(value):
        return lang.bound(value)
    return value


# ---------------------------------------------------------------------------------------------------------------
# Bodies


class Rewriter(ast.NodeTransformer):
    """Give a kernel's statements the meaning that Triton's compiler gives them."""

    def __init__(self, name: str) -> None:
        self.kernel = name

    def _call(self, helper: str, *args: ast.expr) -> ast.Call:
        return ast.Call(ast.Name(f"__{helper}", ast.Load()), list(args), [])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.decorator_list, node.returns = [], None
        arguments = node.args
        for parameter in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg):
            if parameter is not None:
                parameter.annotation = None
        arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]  # the real ones are put back by hand
        arguments.kw_defaults = [default and ast.Constant(None) for default in arguments.kw_defaults]
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        if len(node.targets) != 1:
            raise SyntaxError(f"{self.kernel}: Triton knows no assignment to several targets at once")
        node.value = self._call("assign", self.visit(node.value))
        node.targets = [self.visit(node.targets[0])]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return node
        value = self.visit(node.value)
        constant = ast.unparse(node.annotation).strip("'\"").endswith("constexpr")
        return ast.Assign([node.target], self._call("plain" if constant else "assign", value))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        read = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], self._call("assign", ast.BinOp(read, node.op, self.visit(node.value))))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        node.value = self._call("assign", self.visit(node.value))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        values = [ast.Lambda(nothing, self.visit(value)) for value in node.values]
        return self._call("all" if isinstance(node.op, ast.And) else "any", *values)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        node.operand = self.visit(node.operand)
        return self._call("negate", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_Compare(self, node: ast.Compare) -> Any:
        if len(node.ops) > 1:
            raise SyntaxError(f"{self.kernel}: Triton 3.6 compiles no chained comparison; write (a < b) & (b < c)")
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        if node.attr in ("shape", "numel") and isinstance(node.ctx, ast.Load):
            return self._call("plain", node)
        return node

    def _condition(self, node: Any) -> Any:
        self.generic_visit(node)
        node.test = self._call("truth", node.test)
        return node

    visit_If = visit_While = visit_IfExp = _condition


def _rewrite(fn: FunctionType) -> Callable[..., Any]:
    """The function that computes what ``fn`` would compile to."""
    lang = _language()
    lines, first = inspect.getsourcelines(fn)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    names = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
    enclosed = dict(zip(fn.__code__.co_freevars, (cell.cell_contents for cell in fn.__closure__ or ()), strict=True))
    bound: dict[str, Any] = {
        "__assign": lang.assign, "__plain": _plain, "__truth": lang.truth, "__all": lang.all, "__any": lang.any,
        "__negate": lang.negate}
    for name in sorted(names):
        if name in enclosed:
            bound[name] = lift(enclosed[name])
        elif name in fn.__globals__:
            bound[name] = lift(fn.__globals__[name])
        elif name in lang.builtins:
            bound[name] = lang.builtins[name]
    body = Rewriter(fn.__name__).visit(definition)
    # Bound names are parameters of a function around the kernel, so nothing is written into the kernel's file.
    outer = ast.parse("def make(): return None").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.args.args = [ast.arg(name) for name in bound]
    outer.body = [body, ast.Return(ast.Name(fn.__name__, ast.Load()))]
    module = ast.fix_missing_locations(ast.Module([outer], []))
    scope: dict[str, Any] = {"__builtins__": builtins, "__name__": fn.__module__}
    exec(compile(module, fn.__code__.co_filename, "exec"), scope)
    made = scope["make"](**bound)
    made.__defaults__ = lift(fn.__defaults__)
    if fn.__kwdefaults__:
        made.__kwdefaults__ = {name: lift(value) for name, value in fn.__kwdefaults__.items()}
    return made


# ---------------------------------------------------------------------------------------------------------------
# The device


class _Plan:
    """How a launch's arguments become a kernel's parameters."""

    __slots__ = ("body", "function", "names", "parameters")

    def __init__(self, function: Any) -> None:
        self.function = function  # keeps it alive: plans are kept by identity
        fn = function.fn
        self.body: Interpreted = lift(function)
        self.parameters: list[tuple[str, bool, Any]] = []
        for name, parameter in inspect.signature(fn).parameters.items():
            kind = parameter.annotation
            constant = "constexpr" in (kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind)))
            self.parameters.append((name, constant, parameter.default))
        self.names = frozenset(name for name, constant, _ in self.parameters if constant)

    def bind(self, arguments: tuple[Any, ...], constants: Mapping[str, Any], convert: Callable[[Any], Any]) -> list[Any]:
        unknown = constants.keys() - self.names - {"enable_fp_fusion"}
        if unknown:
            raise TypeError(f"no tl.constexpr parameter is called {', '.join(sorted(unknown))}")
        given = iter(arguments)
        out = []
        for name, constant, default in self.parameters:
            if constant:
                value = constants.get(name, default)
                if value is inspect.Parameter.empty:
                    raise TypeError(f"the constant {name} is missing")
                out.append(lift(value))
            else:
                value = next(given, default)
                if value is inspect.Parameter.empty:
                    raise TypeError(f"expected {len(self.parameters) - len(self.names)} arguments, got {len(arguments)}")
                out.append(convert(value))
        if next(given, inspect.Parameter.empty) is not inspect.Parameter.empty:
            raise TypeError(f"expected {len(self.parameters) - len(self.names)} arguments, got {len(arguments)}")
        return out


class Interpreter(Backend):
    """Runs kernels in this process.  Programs run one after another, so few and large ones are fast."""

    device = INTERPRETER
    block = 131072
    programs = 2

    def __init__(self) -> None:
        language.modules()
        self._plans: dict[int, _Plan] = {}

    def allocate(self, nbytes: int) -> Block:
        memory = np.empty(nbytes + 512, np.uint8)
        address = memory.__array_interface__["data"][0]
        return Block(address + -address % 512, nbytes, memory)

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        if array.nbytes:
            np.asarray(_Memory(ptr, _WORD[1], array.nbytes))[:] = array.reshape(-1).view(np.uint8)

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        if array.nbytes:
            array.reshape(-1).view(np.uint8)[:] = np.asarray(_Memory(ptr, _WORD[1], array.nbytes))

    def synchronize(self) -> None:
        """Nothing to wait for: launches return when they are done."""

    def launch(self, function: Any, grid: tuple[int, ...], arguments: tuple[Any, ...],
               constants: Mapping[str, Any], num_warps: int, num_stages: int) -> None:
        """See ``Backend.launch``.  Raises RuntimeError naming the kernel for whatever goes wrong inside it."""
        real = language.real(function)
        name = real.fn.__name__
        if not 1 <= len(grid) <= 3:
            raise ValueError(f"{name}: expected a grid of 1 to 3 dimensions, got {grid}")
        with language.lock, np.errstate(all="ignore"):
            builder = _language().builder
            before = builder.grid, builder.program, builder.regions
            try:
                plan = self._plans.get(id(real))
                if plan is None:
                    plan = self._plans[id(real)] = _Plan(real)
                regions: list[tuple[int, int]] = []
                checked = [True]
                bound = plan.bind(arguments, constants, lambda value: _argument(value, regions, checked))
                builder.regions = regions if checked[0] else None
                nx, ny, nz = builder.grid = (*grid, 1, 1)[:3]
                body = plan.body
                for x in range(nx):
                    for y in range(ny):
                        for z in range(nz):
                            builder.program = (x, y, z)
                            body(*bound)
            except Exception as error:
                raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from error
            finally:
                builder.grid, builder.program, builder.regions = before


def _argument(value: Any, regions: list[tuple[int, int]], checked: list[bool]) -> Any:
    """A run-time parameter as kernels see it; the memory that it brings along is added to ``regions``."""
    lang = _language()
    if value is None:
        return None
    if isinstance(value, np.generic):
        return lang.scalar(value)
    if isinstance(value, tuple):
        return tuple(_argument(v, regions, checked) for v in value)
    if isinstance(value, bool):
        return lang.scalar(np.bool_(value))
    if isinstance(value, int):
        return lang.scalar(np.int32(value) if -2**31 <= value < 2**31 else np.int64(value))
    if isinstance(value, float):
        return lang.scalar(np.float32(value))
    address, dtype = getattr(value, "ptr", None), getattr(value, "dtype", None)
    if address is None or dtype is None:
        raise TypeError(f"expected an array, a number, None or a tuple of these, got {type(value).__name__}")
    block = getattr(value, "block", None)
    if block is None:
        checked[0] = False
    else:
        regions.append((block.ptr, block.ptr + block.nbytes))
    return lang.tensor(Handle(np.array([address], np.uint64), np.dtype(dtype)), _pointer_type(np.dtype(dtype)))
