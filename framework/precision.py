"""How products of float32 matrices are computed on a GPU: exactly, or faster from rounded operands.

| way | operands | products and sums | relative error of one product |
|---|---|---|---|
| ``ieee`` | as they are | float32, one fused multiply-add each | 2^-24 |
| ``tf32`` | 10 stored bits of the mantissa, the others cut off | tensor cores, summed in float32 | 2^-9 |
| ``bf16x3`` | each the sum of two bfloat16 | three products on tensor cores, summed in float32 | 2^-15 |

There is one setting for matrix products and one for convolutions, both for the whole process, and both begin with
``ieee``: nothing is rounded unless it was asked for.  (PyTorch's convolutions begin with ``tf32``.)  The setting is
read when a product is launched, in backward too; a captured step keeps what it was captured with.  Only float32 on
``cuda`` is concerned, and ``interpreter``, which rounds as the GPU does so that the error can be seen; products on
``cpu`` are always ``ieee``, those of other dtypes are what their dtype says.

PyTorch's names: ``highest`` is ``ieee``, ``high`` is ``tf32``, and ``medium``, which allows operands rounded to
bfloat16, is ``tf32`` here as it is in PyTorch on CUDA.  ``bf16x3`` is about 60 times as precise as ``tf32``.
"""

from __future__ import annotations

import numpy as np

_FLOAT32 = np.dtype(np.float32)
_WAYS = {
    "highest": "ieee",
    "high": "tf32",
    "medium": "tf32",
    "ieee": "ieee",
    "tf32": "tf32",
    "bf16x3": "bf16x3",
}
_PYTORCH = {"ieee": "highest", "tf32": "high"}  # the names that get_... answers with
_chosen = {"matmul": "highest", "conv": "highest"}


def float32_product(kind: str) -> str:
    """``"ieee"``, ``"tf32"`` or ``"bf16x3"``: what ``tl.dot`` is told for float32; ``kind`` is ``matmul`` or ``conv``."""
    return _WAYS[_chosen[kind]]


def input_precision(dtype: np.dtype, kind: str) -> str:
    """The PRECISION of a product of operands of ``dtype``: ``float32_product(kind)`` for float32, else ``ieee``."""
    return _WAYS[_chosen[kind]] if dtype == _FLOAT32 else "ieee"


def choices() -> tuple[str, ...]:
    """Both settings, for what depends on either."""
    return tuple(_chosen.values())


def _set(kind: str, function: str, precision: str) -> None:
    if not isinstance(precision, str):
        raise TypeError(f"{function}: expected a str, got {type(precision).__name__}")
    if precision not in _WAYS:
        raise ValueError(f"{function}: expected one of {', '.join(map(repr, _WAYS))}, got {precision!r}")
    _chosen[kind] = _PYTORCH.get(precision, precision)


def set_float32_matmul_precision(precision: str) -> None:
    """Choose how float32 matrix products are computed: highest = ieee, high = medium = tf32, or bf16x3.

    Raises ValueError for another name.

    >>> set_float32_matmul_precision("tf32")
    >>> get_float32_matmul_precision()
    'high'
    >>> set_float32_matmul_precision("highest")
    """
    _set("matmul", "set_float32_matmul_precision", precision)


def get_float32_matmul_precision() -> str:
    """The setting for matrix products, by PyTorch's name where there is one: highest, high, medium or bf16x3."""
    return _chosen["matmul"]


def set_float32_conv_precision(precision: str) -> None:
    """Choose how float32 convolutions are computed: the names of ``set_float32_matmul_precision``."""
    _set("conv", "set_float32_conv_precision", precision)


def get_float32_conv_precision() -> str:
    """The setting for convolutions: highest, high, medium or bf16x3."""
    return _chosen["conv"]


class Products:
    """PyTorch's switches for one kind of product: ``allow_tf32`` and ``fp32_precision``."""

    __slots__ = ("_kind", "_name")

    def __init__(self, kind: str, name: str) -> None:
        self._kind = kind
        self._name = name

    @property
    def fp32_precision(self) -> str:
        """``"ieee"``, ``"tf32"`` or ``"bf16x3"``."""
        return float32_product(self._kind)

    @fp32_precision.setter
    def fp32_precision(self, precision: str) -> None:
        _set(self._kind, f"{self._name}.fp32_precision", precision)

    @property
    def allow_tf32(self) -> bool:
        """Whether operands are rounded to tf32."""
        return float32_product(self._kind) == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, allow: bool) -> None:
        if not isinstance(allow, bool):
            raise TypeError(f"{self._name}.allow_tf32: expected a bool, got {type(allow).__name__}")
        _set(self._kind, f"{self._name}.allow_tf32", "tf32" if allow else "ieee")

    def __repr__(self) -> str:
        return f"<{self._name}: fp32_precision={self.fp32_precision!r}>"


class Cuda:
    """PyTorch's ``backends.cuda``: ``matmul.allow_tf32`` and ``matmul.fp32_precision``."""

    __slots__ = ("matmul",)  # so that a switch that does not exist is an AttributeError

    def __init__(self) -> None:
        self.matmul = Products("matmul", "backends.cuda.matmul")


class Convolutions(Products):
    """PyTorch's ``backends.cudnn``: ``allow_tf32``, and ``conv.fp32_precision``; no cuDNN takes part."""

    __slots__ = ("conv",)

    def __init__(self) -> None:
        super().__init__("conv", "backends.cudnn")
        self.conv = Products("conv", "backends.cudnn.conv")


cuda = Cuda()
cudnn = Convolutions()
