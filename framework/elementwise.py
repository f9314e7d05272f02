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
from .launch import copy_into, launch, load_block, numbers, pointers_at
from .op import Kernel
from .strides import Ints, accesses, packed

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
def _block(
    out_ptr,
    inputs,
    settings,
    first,
    number,
    mask,
    shape,
    out_strides,
    strides,
    FUNCTION: tl.constexpr,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    # the function at BLOCK elements from ``first`` on; ``number`` and ``mask`` are theirs, or their groups'
    values = ()
    for i in tl.static_range(len(inputs)):
        value = load_block(inputs[i], first, number, mask, KINDS[i + 1], HELD[i + 1], shape, strides[i], BLOCK, VECTOR)
        values = values + (widen(value),)
    result = FUNCTION(*values, *settings)
    to = pointers_at(out_ptr, first, number, KINDS[0], HELD[0], shape, out_strides, BLOCK, VECTOR)
    tl.store(to, tl.broadcast_to(result.to(out_ptr.dtype.element_ty), to.shape), mask=mask)


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
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # inputs: pointers and numbers; out and inputs have n elements, or n groups of VECTOR, over the merged shape
    # one program per BLOCK elements, in the order in which out lies in memory
    first = tl.program_id(0).to(tl.int64) * BLOCK
    number = numbers(first // VECTOR, BLOCK // VECTOR, WIDE)
    if VECTOR > 1:
        mask = tl.expand_dims(number < n, 1)
        _block(
            out_ptr, inputs, settings, first, number, mask, shape, out_strides, strides, FUNCTION, KINDS, HELD, BLOCK,
            VECTOR,
        )  # fmt: skip
    elif first + BLOCK <= n:  # only the last block needs a mask, which stands in the way of wide loads
        _block(
            out_ptr, inputs, settings, first, number, None, shape, out_strides, strides, FUNCTION, KINDS, HELD, BLOCK,
            VECTOR,
        )  # fmt: skip
    else:
        mask = number < n
        _block(
            out_ptr, inputs, settings, first, number, mask, shape, out_strides, strides, FUNCTION, KINDS, HELD, BLOCK,
            VECTOR,
        )  # fmt: skip


@lru_cache(maxsize=8192)
def _layout(operands: tuple[tuple[Ints, Ints], ...], out: tuple[Ints, Ints] | None, most: int) -> tuple[Any, ...]:
    """Shape and strides of the result, and how the kernel gets at it and at the operands."""
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
        found = (packed(shape, steps) for steps in spread)
        out_strides = next((steps for steps in found if steps is not None), None) or contiguous_strides(shape)
    if 0 in shape:
        return shape, out_strides, None
    return shape, out_strides, accesses(shape, (out_strides, *spread), most)


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
    backend, key, values = _identity(function, inputs, settings, result, out)
    if backend.swift is None or "launch" in backend.__dict__:  # not worth it, or somebody notes launches
        key = None
    else:
        ready = backend.swift.get(key)
        if ready is not None:
            return ready(values, inputs, out)
    arrays = [x for x in inputs if isinstance(x, DeviceArray)]
    kind = _common(arrays)
    stored = out.dtype if out is not None else kind if result is None else result
    # the widest load is of 16 bytes
    most = 16 // min(stored.itemsize, kind.itemsize)
    shape, out_strides, access = _layout(
        tuple((x.shape, x.strides) for x in arrays), None if out is None else (out.shape, out.strides), most
    )
    if out is None:
        out = empty_like(arrays[0], shape, stored)
        out.strides = out_strides
    if access is None:
        return out
    n = out.size
    number = _number(np.dtype(np.float32) if kind in _HALF else kind)
    operands, kinds, steps, held = [], [access.kinds[0]], [], [access.held[0]]
    place = 1
    for x in inputs:
        if isinstance(x, DeviceArray):
            operands.append(x)
            kinds.append(access.kinds[place])
            held.append(access.held[place])
            steps.append(access.strides[place])
            place += 1
        else:
            operands.append(number(x))
            kinds.append("value")
            held.append(False)
            steps.append(access.strides[0])
    block = max(out.backend.block_size(n), access.vector)
    arguments = (
        out,
        tuple(operands),
        tuple(number(s) if isinstance(s, (int, float)) and not isinstance(s, bool) else s for s in settings),
        n // access.vector,
        access.shape,
        access.strides[0],
        tuple(steps),
    )
    constants = {
        "FUNCTION": function,
        "KINDS": tuple(kinds),
        "HELD": tuple(held),
        "VECTOR": access.vector,
        "WIDE": access.wide,
        "BLOCK": block,
    }
    grid = (-(-n // block),)  # one program per BLOCK elements of out
    launch(_elementwise, grid, *arguments, **constants)
    if key is not None:
        _remember(key, out, number, inputs, settings, grid, arguments, constants)
    return out


def _identity(
    function: Any, inputs: tuple[Any, ...], settings: tuple[Any, ...], result: np.dtype | None, out: DeviceArray | None
) -> tuple[Any, Any, list[Any]]:
    """The back end, all that a call's preparation depends on, and what may differ: addresses and numbers."""
    key: list[Any] = [function, result]
    values: list[Any] = []
    backend: Any = None
    for x in inputs:
        if type(x) is DeviceArray:
            backend = x.backend
            ptr = x.ptr
            key += (x.shape, x.strides, x.dtype)
            if ptr & 15:
                key.append(True)
            values.append(ptr)
        else:
            key.append(type(x))
            values.append(x)
    for x in settings:
        key.append(type(x))
        if x is not None:
            values.append(x)
    if out is not None:
        key += ("into", out.shape, out.strides, out.dtype, out.ptr & 15)
    return backend, tuple(key), values


def _remember(
    key: Any,
    out: DeviceArray,
    number: Any,
    inputs: Any,
    settings: Any,
    grid: Any,
    arguments: Any,
    constants: Any,
) -> None:
    """Let the next call with this key go straight to the driver."""
    if not all(type(x) in (DeviceArray, int, float, bool) for x in inputs):
        return
    if not all(x is None or type(x) in (int, float, bool) for x in settings):
        return
    backend: Any = out.backend
    shape, strides, dtype, nbytes = out.shape, out.strides, out.dtype, out.nbytes
    flat = [*inputs, *(x for x in settings if x is not None)]
    begin = len(inputs)
    typed = tuple(
        (i, number) for i, x in enumerate(flat) if type(x) is not DeviceArray and (i < begin or type(x) is not bool)
    )
    start = backend.prepared(_elementwise, grid, arguments, constants, 1 + len(flat))

    def ready(values: list[Any], inputs: tuple[Any, ...], out: DeviceArray | None) -> DeviceArray:
        for i, kind in typed:
            values[i] = kind(values[i])
        if out is not None:
            start([out.ptr, *values], (out, *inputs))
            return out
        block = backend.allocate(nbytes)
        ptr = block.ptr
        start([ptr, *values], inputs)
        return DeviceArray(block, ptr, dtype, shape, strides, backend)

    if len(backend.swift) >= 8192:  # shapes that change all the time must not fill the memory
        backend.swift.clear()
    backend.swift[key] = ready


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

    triton_version.into = into if kind is None else None  # type: ignore[attr-defined]
    return Kernel(numpy=numpy_version, triton=triton_version, scalar=scalar, wide=ufunc or numpy, result=kind)
