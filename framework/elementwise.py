"""The elementwise launcher: one generic kernel around the scalar function of any elementwise row.

A row gives two functions with one signature, ``numpy(*arrays, settings)`` and a ``@jit`` function of the loaded
values and the settings in the same order; ``elementwise(numpy, scalar)`` makes its ``Kernel``.  Shapes broadcast;
numbers stand for 0-d arrays; half types are computed in float32; the output is laid out like the first operand that
fills it (so channels-last stays channels-last).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray, contiguous_strides, empty_like
from .language import jit, tl
from .launch import copy_into, launch, load_at, offset_of
from .op import Kernel
from .strides import ROW_MAJOR, Ints, classify

_BOOL = np.dtype(bool)
_HALF = dtypes.HALF


@jit
def widen(value):
    """Half types as float32, all else as it is."""
    if value.dtype == tl.float16 or value.dtype == tl.bfloat16:
        return value.to(tl.float32)
    else:
        return value


@jit
def _elementwise(
    out_ptr,
    inputs,
    settings,
    n,
    shape,
    out_strides,
    strides,
    FUNCTION: tl.constexpr,
    OUT_KIND: tl.constexpr,
    KINDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # inputs: pointers and numbers; out and inputs have n elements over the merged shape, each with its own strides
    # one program per BLOCK elements, in the order in which out lies in memory
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    values = ()
    for i in tl.static_range(len(inputs)):
        values = values + (widen(load_at(inputs[i], element, mask, KINDS[i], shape, strides[i])),)
    result = FUNCTION(*values, *settings)
    if OUT_KIND == "contiguous":
        where = element
    else:
        where = offset_of(element, shape, out_strides)
    tl.store(out_ptr + where, tl.broadcast_to(result.to(out_ptr.dtype.element_ty), (BLOCK,)), mask=mask)


@lru_cache(maxsize=8192)
def _layout(operands: tuple[tuple[Ints, Ints], ...], out: tuple[Ints, Ints] | None) -> tuple[Any, ...]:
    """Shape and strides of the result, and merged dimensions, strides and classes for the kernel."""
    shape = np.broadcast_shapes(*(s for s, _ in operands)) if out is None else out[0]
    spread = []
    for own, steps in operands:
        lead = len(shape) - len(own)
        if lead < 0 or any(n != 1 and n != shape[lead + i] for i, n in enumerate(own)):
            raise ValueError(f"shapes {own} and {shape} do not broadcast")
        spread.append((0,) * lead + tuple(0 if n == 1 else s for n, s in zip(own, steps, strict=True)))
    if out is not None:
        out_strides = out[1]
    else:
        out_strides = contiguous_strides(shape)
        for steps in spread:
            packed = _packed(shape, steps)
            if packed is not None:
                out_strides = packed
                break
    order = sorted(range(len(shape)), key=lambda d: (-out_strides[d], d)) if shape else []
    permuted = tuple(shape[d] for d in order)
    merged, steps_, kinds = classify(permuted, tuple(tuple(s[d] for d in order) for s in (out_strides, *spread)))
    return shape, out_strides, merged, steps_[0], steps_[1:], kinds[0], kinds[1:]


def _packed(shape: Ints, strides: Ints) -> Ints | None:
    """These strides, completed, where they fill memory without gaps in some order of the dimensions; else None."""
    order = sorted((d for d in range(len(shape)) if shape[d] != 1), key=lambda d: -strides[d])
    step = 1
    full = list(contiguous_strides(shape))
    for d in reversed(order):
        if strides[d] != step:
            return None
        full[d] = step
        step *= shape[d]
    for d in range(len(shape)):
        if shape[d] == 1:
            full[d] = strides[d] or 1
    return tuple(full)


def run(
    function: Any,
    inputs: tuple[Any, ...],
    settings: tuple[Any, ...],
    result: np.dtype | None = None,
    out: DeviceArray | None = None,
) -> DeviceArray:
    """Apply a scalar ``@jit`` function to arrays and numbers that broadcast, into ``out`` or new memory.

    ``result`` is the dtype of new memory; by default the arrays' own, which must agree (bool operands aside).
    """
    arrays = [x for x in inputs if isinstance(x, DeviceArray)]
    kind = _common(arrays)
    layout = _layout(tuple((x.shape, x.strides) for x in arrays), None if out is None else (out.shape, out.strides))
    shape, out_strides, merged, merged_out, merged_in, out_kind, in_kinds = layout
    if out is None:
        out = empty_like(arrays[0], shape, kind if result is None else result)
        out.strides = out_strides
    n = out.size
    if not n:
        return out
    number = _number(np.dtype(np.float32) if kind in _HALF else kind)
    kinds, steps = iter(in_kinds), iter(merged_in)
    operands, all_kinds, all_steps = [], [], []
    for x in inputs:
        if isinstance(x, DeviceArray):
            operands.append(x)
            all_kinds.append(next(kinds))
            all_steps.append(next(steps))
        else:
            operands.append(number(x))
            all_kinds.append("value")
            all_steps.append((0,) * len(merged))
    block = out.backend.block_size(n)
    # one program per BLOCK elements of out
    launch(
        _elementwise,
        (-(-n // block),),
        out,
        tuple(operands),
        tuple(number(s) if isinstance(s, (int, float)) and not isinstance(s, bool) else s for s in settings),
        n,
        merged,
        merged_out,
        tuple(all_steps),
        FUNCTION=function,
        OUT_KIND=ROW_MAJOR if out_kind == ROW_MAJOR else "strided",
        KINDS=tuple(all_kinds),
        BLOCK=block,
    )
    return out


def _common(arrays: list[DeviceArray]) -> np.dtype:
    kind = arrays[0].dtype
    for x in arrays:
        if x.dtype != kind:
            if kind == _BOOL:
                kind = x.dtype
            elif x.dtype != _BOOL:
                raise TypeError(f"elementwise: operands of {kind} and {x.dtype} must be cast to one dtype first")
    return kind


@lru_cache(maxsize=64)
def _number(kind: np.dtype) -> Callable[[Any], Any]:
    """What turns a Python number into a typed scalar of the computation's own precision."""
    if kind == _BOOL:
        return lambda x: (
            np.bool_(x) if isinstance(x, bool) else (np.float32(x) if isinstance(x, float) else np.int64(x))
        )
    return kind.type if kind.kind == "f" or kind.itemsize == 8 else (lambda x: np.asarray(x).astype(kind)[()])


def elementwise(numpy: Callable[..., Any], scalar: Any, result: Any = None, ufunc: Any = None) -> Kernel:
    """The kernel of an elementwise row, from its NumPy function and its ``@jit`` function of loaded values.

    ``result`` is the output's dtype where it is not the operands' own (``bool`` for comparisons).  ``ufunc`` is
    NumPy's function itself where ``numpy`` is nothing more: small arrays are then spared a call.
    """
    signature = inspect.signature(numpy)
    settings = tuple(p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY)
    kind = None if result is None else np.dtype(result)

    def in_float32(*inputs: Any, **given: Any) -> Any:
        """Half operands widened, the result rounded once."""
        half = next((x.dtype for x in inputs if getattr(x, "dtype", None) in _HALF), None)
        if half is None:
            return numpy(*inputs, **given)
        wide = (x.astype(np.float32) if getattr(x, "dtype", None) in _HALF else x for x in inputs)
        out = numpy(*wide, **given)
        return out.astype(half) if kind is None else out

    @wraps(numpy)
    def numpy_version(*inputs: Any, **given: Any) -> Any:
        if getattr(inputs[0], "itemsize", 2) == 2:
            return in_float32(*inputs, **given)
        return numpy(*inputs, **given)

    @wraps(numpy)
    def triton_version(*inputs: Any, **given: Any) -> DeviceArray:
        return run(scalar, inputs, tuple(given[s] for s in settings), kind)

    def into(out: DeviceArray, *inputs: Any, **given: Any) -> None:
        """Run the kernel with its result in ``out``, which may be one of the inputs itself."""
        overlap = any(
            isinstance(x, DeviceArray)
            and x.block is out.block
            and (x.ptr, x.strides, x.shape) != (out.ptr, out.strides, out.shape)
            for x in inputs
        )
        if overlap or out.dtype != _common([x for x in inputs if isinstance(x, DeviceArray)]) or kind is not None:
            copy_into(out, triton_version(*inputs, **given))
        else:
            run(scalar, inputs, tuple(given[s] for s in settings), out=out)

    triton_version.into = into  # type: ignore[attr-defined]
    return Kernel(numpy=numpy_version, triton=triton_version, scalar=scalar, wide=ufunc or numpy)
