"""Triton's operations in NumPy: what the interpreter does where a compiler would emit an instruction.

``Builder`` answers the calls that Triton's front end makes to its MLIR builder.  A value is a NumPy array, of shape
(1,) for a scalar; bfloat16 and the eight-bit floats are ``ml_dtypes``', which round to nearest even as GPUs do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

# The builder's types are NumPy dtypes, Pointer and BlockOf.


class Handle:
    """What Triton's front end passes around for a value; an address knows the type that it points to."""

    __slots__ = ("data", "pointee")

    def __init__(self, data: np.ndarray, pointee: Any = None) -> None:
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


WORD = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}
HALVES = frozenset(  # summed in float32 by matrix units
    np.dtype(t) for t in (np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
)


class Memory:
    """``count`` elements at an address, for ``numpy.asarray``."""

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
    x, y = (v.view(WORD[v.dtype.itemsize]).astype(np.uint64) for v in (a, b))
    if width < 64:
        return ((x * y) >> np.uint64(width)).astype(WORD[a.dtype.itemsize]).view(a.dtype)
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
    word = WORD[x.dtype.itemsize] if kind == "u" else np.dtype(f"i{x.dtype.itemsize}")
    return np.right_shift(x.view(word), y.view(word)).view(x.dtype)


def _precise_rsqrt(x: np.ndarray) -> np.ndarray:
    return (1 / np.sqrt(x.astype(np.float64))).astype(x.dtype)


def _round_away(x: np.ndarray) -> np.ndarray:
    return np.copysign(np.floor(np.abs(x) + np.asarray(0.5, x.dtype)), x)


def _bits(x: np.ndarray) -> np.ndarray:
    return x.view(WORD[x.dtype.itemsize])


def _leading_zeros(x: np.ndarray) -> np.ndarray:
    out = np.full(x.shape, x.dtype.itemsize * 8, np.int32)
    value = _bits(x).copy()
    while value.any():
        out -= value != 0
        value >>= 1
    return out


# Functions of CUDA's libdevice by their symbol without "__nv_" and without the "f" of the float version.
_LIBDEVICE: dict[str, Callable[..., np.ndarray]] = {
    **{
        name: getattr(np, name)
        for name in (
            "floor",
            "ceil",
            "trunc",
            "rint",
            "sqrt",
            "cbrt",
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "fmod",
            "hypot",
            "copysign",
            "nextafter",
            "isnan",
            "isinf",
            "signbit",
            "ldexp",
        )
    },
    "abs": np.abs,
    "llabs": np.abs,
    "fabs": np.abs,
    "nearbyint": np.rint,
    "round": _round_away,
    "llrint": np.rint,
    "llround": _round_away,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "sinpi": lambda x: np.sin(np.pi * np.fmod(x, 2).astype(np.float64)).astype(x.dtype),
    "cospi": lambda x: np.cos(np.pi * np.fmod(x, 2).astype(np.float64)).astype(x.dtype),
    "exp10": lambda x: np.power(np.asarray(10, x.dtype), x),
    "pow": np.power,
    "powi": np.power,
    "rsqrt": _precise_rsqrt,
    "rcbrt": lambda x: 1 / np.cbrt(x),
    "erf": _each(math.erf),
    "erfc": _each(math.erfc),
    "erfinv": _erfinv,
    "lgamma": _each(_lgamma),
    "tgamma": _each(_gamma),
    "remainder": lambda x, y: (x - y * np.rint(x.astype(np.float64) / y)).astype(x.dtype),
    "fdim": lambda x, y: np.where(x > y, x - y, np.where(np.isnan(x) | np.isnan(y), np.nan, 0)).astype(x.dtype),
    "fma": _fma,
    "fma_rn": _fma,
    "saturate": lambda x: np.where(np.isnan(x), 0, np.clip(x, 0, 1)).astype(x.dtype),
    "isnand": np.isnan,
    "isinfd": np.isinf,
    "signbitd": np.signbit,
    "finite": np.isfinite,
    "isfinited": np.isfinite,
    "fsqrt_rn": np.sqrt,
    "dsqrt_rn": np.sqrt,
    "frsqrt_rn": _precise_rsqrt,
    "frcp_rn": np.reciprocal,
    "drcp_rn": np.reciprocal,
    "fdiv_rn": np.divide,
    "ddiv_rn": np.divide,
    "fadd_rn": np.add,
    "dadd_rn": np.add,
    "fsub_rn": np.subtract,
    "dsub_rn": np.subtract,
    "fmul_rn": np.multiply,
    "dmul_rn": np.multiply,
    "fast_sin": np.sin,
    "fast_cos": np.cos,
    "fast_tan": np.tan,
    "fast_exp": np.exp,
    "fast_log": np.log,
    "fast_log2": np.log2,
    "fast_log10": np.log10,
    "fast_pow": np.power,
    "fast_fdivide": np.divide,
    "fast_exp10": lambda x: np.power(np.asarray(10, x.dtype), x),
    "float_as_int": lambda x: x.view(np.int32),
    "float_as_uint": lambda x: x.view(np.uint32),
    "int_as_float": lambda x: x.view(np.float32),
    "uint_as_float": lambda x: x.view(np.float32),
    "double_as_longlong": lambda x: x.view(np.int64),
    "longlong_as_double": lambda x: x.view(np.float64),
    "popc": lambda x: np.bitwise_count(_bits(x)),
    "popcll": lambda x: np.bitwise_count(_bits(x)),
    "clz": _leading_zeros,
    "clzll": _leading_zeros,
    "mulhi": _mulhi,
    "mul64hi": _mulhi,
    "umulhi": _umulhi,
    "umul64hi": _umulhi,
}


def _libdevice(symbol: str) -> Callable[..., np.ndarray]:
    name = symbol.removeprefix("__nv_")
    found = _LIBDEVICE.get(name) or _LIBDEVICE.get(name.removesuffix("f"))
    if found is None:
        raise NotImplementedError(f"libdevice function {symbol} is not provided by the interpreter")
    return found


def _tf32(x: np.ndarray) -> np.ndarray:
    """Float32 as tensor cores read it for tf32: the last 13 bits of the mantissa are not looked at."""
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def _matmul_bf16x3(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Each operand as the sum of two bfloat16; the product of the two small parts is left out."""
    (a_high, a_low), (b_high, b_low) = (_bf16_pair(x) for x in (a, b))
    small = np.matmul(a_low, b_high) + np.matmul(a_high, b_low)
    return np.where(np.isnan(small), 0, small) + np.matmul(a_high, b_high)  # infinity times the 0 beside it is no NaN


def _bf16_pair(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    high = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    low = np.where(np.isfinite(high), x - high, 0).astype(ml_dtypes.bfloat16).astype(np.float32)
    return high, low


_PRODUCTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # of float32, by Triton's name
    "IEEE": np.matmul,
    "TF32": lambda a, b: np.matmul(_tf32(a), _tf32(b)),
    "BF16x3": _matmul_bf16x3,
    "TF32x3": np.matmul,  # these two are about as precise as float32
    "BF16x6": np.matmul,
}

# ---------------------------------------------------------------------------------------------------------------
# The builder


class Builder:
    """Stands where Triton's front end expects an MLIR builder, and computes instead of emitting."""

    options = SimpleNamespace(
        arch=None,
        backend_name="interpreter",
        debug=True,
        sanitize_overflow=False,
        instrumentation_mode="",
        supported_fp8_dtypes=("fp8e5", "fp8e4nv"),
        deprecated_fp8_dot_operand_dtypes=(),
        default_dot_input_precision="ieee",
        allowed_dot_input_precisions=("tf32", "tf32x3", "ieee", "bf16x3", "bf16x6"),
        max_num_imprecise_acc_default=0,
        extern_libs=None,
    )
    codegen_fns = {"min_dot_size": lambda lhs, rhs: (1, 1, 1)}
    module_map: dict[str, ModuleType] = {}

    def __init__(self) -> None:
        self.grid: tuple[int, ...] = (1, 1, 1)
        self.program: tuple[int, ...] = (0, 0, 0)
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

    def _window(self, addresses: np.ndarray, width: int, verb: str) -> tuple[np.ndarray, Any]:
        """The memory that ``addresses`` span, as words of ``width`` bytes, and the index of each address in it."""
        low, high = int(addresses.min()), int(addresses.max())
        if self.regions is not None and not any(a <= low and high + width <= b for a, b in self.regions):
            inside = np.zeros(addresses.shape, np.bool_)
            for a, b in self.regions:
                inside |= (addresses >= a) & (addresses + width <= b)
            if not inside.all():
                wrong = int(addresses[~inside][0])
                a, b = min(self.regions, key=lambda r: max(r[0] - wrong, wrong - r[1]), default=(0, 0))
                raise IndexError(
                    f"{verb} {(~inside).sum()} of {inside.size} elements outside the kernel's arguments; "
                    f"the first lies {wrong - a} bytes from the beginning of one of {b - a} bytes"
                )
        count = (high - low) // width + 1
        if low % width == 0:
            window = np.asarray(Memory(low, WORD[width], count))
            if count == addresses.size and addresses[0] == low and (addresses[1:] - addresses[:-1] == width).all():
                return window, slice(None)  # one after the other, as most are
            offsets = addresses - np.uint64(low)
            if width == 1 or not (offsets & np.uint64(width - 1)).any():
                return window, (offsets >> np.uint64(width.bit_length() - 1)).view(np.int64)
        raise IndexError(f"{verb} elements of {width} bytes at addresses that are no multiples of {width}")

    def create_masked_load(self, pointers: Handle, mask: Handle | None, other: Handle | None, *_: Any) -> Handle:
        dtype = pointers.pointee
        addresses = pointers.data
        width = dtype.itemsize
        if mask is None or mask.data.all():
            window, index = self._window(addresses.ravel(), width, "reads")
            return Handle(np.array(window[index]).view(dtype).reshape(addresses.shape))
        if other is None:
            out = np.zeros(addresses.shape, WORD[width])
        else:
            out = np.array(np.broadcast_to(other.data, addresses.shape), dtype=dtype, order="C").view(WORD[width])
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
        if mask is None or mask.data.all():
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

    def create_dot(self, x: Handle, y: Handle, total: Handle, precision: Any = None, *_: Any) -> Handle:
        a, b = x.data, y.data
        if a.dtype.kind in "iu":
            a, b = a.astype(np.float64), b.astype(np.float64)  # exact: products are below 2**14
        elif a.dtype in HALVES:
            a, b = a.astype(np.float32), b.astype(np.float32)
        if a.dtype == np.float32 and x.data.dtype == np.float32:
            out = _PRODUCTS[getattr(precision, "name", "IEEE")](a, b)
        else:
            out = np.matmul(a, b)
        return Handle((out + total.data.astype(out.dtype)).astype(total.data.dtype))

    def create_histogram(self, x: Handle, bins: int, mask: Handle | None) -> Handle:
        values = x.data if mask is None else x.data[np.broadcast_to(mask.data, x.data.shape)]
        values = values[(values >= 0) & (values < bins)]
        return Handle(np.bincount(values.astype(np.int64), minlength=bins).astype(np.int32))

    def create_extern_elementwise(
        self, library: str, path: str, symbol: str, arguments: list[Handle], kind: Any, pure: bool
    ) -> Handle:
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
    "fabs": np.abs,
    "iabs": np.abs,
    "fneg": np.negative,
    "floor": np.floor,
    "ceil": np.ceil,
    "sqrt": np.sqrt,
    "precise_sqrt": np.sqrt,
    "rsqrt": _precise_rsqrt,
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "log2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "erf": _each(math.erf),
}.items():
    setattr(Builder, f"create_{_name}", _unary(_op))

for _name, _op in {
    "fadd": np.add,
    "fsub": np.subtract,
    "fmul": np.multiply,
    "fdiv": np.divide,
    "precise_divf": np.divide,
    "approx_divf": np.divide,
    "frem": np.fmod,
    "add": _integer(np.add),
    "sub": _integer(np.subtract),
    "mul": _integer(np.multiply),
    "sdiv": _divide,
    "udiv": _divide,
    "srem": np.fmod,
    "urem": np.fmod,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": np.left_shift,
    "lshr": lambda x, y: _shift_right(x, y, "u"),
    "ashr": lambda x, y: _shift_right(x, y, "i"),
    "umulhi": _umulhi,
    "minsi": np.minimum,
    "minui": np.minimum,
    "maxsi": np.maximum,
    "maxui": np.maximum,
    "minimumf": np.minimum,
    "maximumf": np.maximum,
    "minnumf": np.fmin,
    "maxnumf": np.fmax,
    **{
        f"{kind}{name}": op
        for name, op in (("LT", np.less), ("LE", np.less_equal), ("GT", np.greater), ("GE", np.greater_equal))
        for kind in ("icmpS", "icmpU", "fcmpO")
    },
    "icmpEQ": np.equal,
    "icmpNE": np.not_equal,
    "fcmpOEQ": np.equal,
    "fcmpUNE": np.not_equal,
}.items():
    setattr(Builder, f"create_{_name}", _binary(_op))


def _constant(dtype: np.dtype) -> Callable[[Any, Any], Handle]:
    return lambda self, value: Handle(np.array([value]).astype(dtype))


def _type(dtype: np.dtype) -> Callable[[Any], np.dtype]:
    return lambda self: dtype


ELEMENTS = {  # Triton's name of an element type: NumPy's
    "int1": np.dtype(np.bool_),
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "fp32": np.dtype(np.float32),
    "fp64": np.dtype(np.float64),
    "fp8e5": np.dtype(ml_dtypes.float8_e5m2),
    "fp8e4nv": np.dtype(ml_dtypes.float8_e4m3fn),
    **{f"{sign}int{n}": np.dtype(f"{sign}int{n}") for sign in ("", "u") for n in (8, 16, 32, 64)},
}
for _name, _dtype in ELEMENTS.items():
    setattr(Builder, f"get_{_name}", _constant(_dtype))
for _name, _short in {"half": "fp16", "bf16": "bf16", "float": "fp32", "double": "fp64"}.items():
    setattr(Builder, f"get_{_name}_ty", _type(ELEMENTS[_short]))
for _name in ("int1", "int8", "int16", "int32", "int64", "fp8e5", "fp8e4nv"):
    setattr(Builder, f"get_{_name}_ty", _type(ELEMENTS[_name]))
