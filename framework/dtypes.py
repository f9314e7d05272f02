"""Element types, and which type an operation on several of them gives.

The names and the promotion rules are PyTorch's, not NumPy's: int64 with float32 is float32, a tensor
outranks a 0-d tensor of the same category, and both outrank a Python number.
Source: the rules of ``torch.result_type`` as its documentation on tensor attributes states them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np


class dtype:
    """An element type.  ``float32``, ``int64``, ... are its only instances and compare by identity."""

    __slots__ = ("is_floating_point", "is_signed", "itemsize", "name", "numpy", "triton")

    def __init__(self, name: str, numpy: Any, triton: str) -> None:
        self.name = name
        self.numpy = np.dtype(numpy)
        self.triton = triton
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = "float" in name
        self.is_signed = name not in ("uint8", "bool")

    @property
    def is_complex(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"trigrad.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (dtype_of, (self.name,))


float64 = dtype("float64", np.float64, "fp64")
float32 = dtype("float32", np.float32, "fp32")
float16 = dtype("float16", np.float16, "fp16")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, "bf16")
int64 = dtype("int64", np.int64, "i64")
int32 = dtype("int32", np.int32, "i32")
int16 = dtype("int16", np.int16, "i16")
int8 = dtype("int8", np.int8, "i8")
uint8 = dtype("uint8", np.uint8, "u8")
bool_ = dtype("bool", np.bool_, "i1")

ALL = (float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, bool_)
FLOATING = (float64, float32, float16, bfloat16)
HALF = frozenset((float16.numpy, bfloat16.numpy))  # computed in float32, stored in two bytes

_OF: dict[Any, dtype] = {d.numpy: d for d in ALL} | {d.name: d for d in ALL}
_OF |= {"double": float64, "float": float32, "half": float16, "long": int64, "int": int32, "short": int16}
_default = float32


def dtype_of(kind: Any) -> dtype:
    """The dtype that ``kind`` names: a dtype, a NumPy dtype, a name, or Python's float, int, bool.

    Raises TypeError where trigrad has no such element type.
    """
    if type(kind) is dtype:
        return kind
    if kind is float:
        return _default
    if kind is int:
        return int64
    if kind is bool:
        return bool_
    try:
        return _OF[kind if isinstance(kind, (str, np.dtype)) else np.dtype(kind)]
    except (KeyError, TypeError):
        known = ", ".join(d.name for d in ALL)
        raise TypeError(f"dtype: expected one of {known}, got {kind!r}") from None


def get_default_dtype() -> dtype:
    """The dtype of tensors made from Python floats."""
    return _default


def set_default_dtype(kind: dtype) -> None:
    """Change the dtype of tensors made from Python floats.  Raises TypeError unless it is floating."""
    global _default
    if not dtype_of(kind).is_floating_point:
        raise TypeError(f"set_default_dtype: expected a floating dtype, got {kind!r}")
    _default = dtype_of(kind)


def _promote(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that both may turn into."""
    if a is b:
        return a
    if a.is_floating_point and b.is_floating_point:
        if a.itemsize == b.itemsize:  # float16 with bfloat16: neither holds the other
            return float32
        return a if a.itemsize > b.itemsize else b
    if a.is_floating_point or b.is_floating_point:
        return a if a.is_floating_point else b
    return _OF[np.promote_types(a.numpy, b.numpy)]


def _merge(stronger: dtype | None, weaker: dtype | None) -> dtype | None:
    """Let a weaker operand (0-d, or a number) count only where it is of a higher category."""
    if stronger is None or weaker is None:
        return stronger or weaker
    if stronger.is_floating_point:
        return stronger
    if stronger is bool_ or weaker.is_floating_point:
        return _promote(stronger, weaker)
    return stronger


def promote(operands: Iterable[Any]) -> dtype:
    """The dtype in which an operation on arrays and Python numbers is computed.

    ``operands`` have ``dtype`` (NumPy's) and ``ndim``, or are Python numbers.
    """
    ranks: list[dtype | None] = [None, None, None]  # with dimensions, 0-d, Python numbers
    for x in operands:
        own = getattr(x, "dtype", None)
        if own is None:
            rank, kind = 2, dtype_of(type(x))
        else:
            rank, kind = (0 if x.ndim else 1), _OF[own]
        held = ranks[rank]
        ranks[rank] = kind if held is None else _promote(held, kind)
    result = _merge(ranks[0], _merge(ranks[1], ranks[2]))
    assert result is not None
    return result


def promote_types(first: dtype, second: dtype) -> dtype:
    """The smallest dtype to which both may be cast without leaving their category."""
    return _promote(dtype_of(first), dtype_of(second))
