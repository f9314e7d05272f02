"""Programs: several elementwise steps in one kernel, from the scalar functions of their rows.

A program is a list of ``Step``s over numbered values: the inputs first, then the result of each step.  The kernel
walks the list while it is compiled, so that nothing of it is left at run time but the arithmetic: operands are loaded
once, results stored once, and what lies between stays in registers.  Between steps values are rounded to the dtype
that they would be stored in, so that half types give the bits of one kernel a row.  In float32 and float64 a GPU may
make one instruction of a product and a sum in neighbouring steps, which rounds once where two kernels round twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray, contiguous_strides, empty_like
from .elementwise import _number, widen
from .language import jit, tl
from .launch import launch, load_block, numbers, pointers_at
from .strides import Ints, accesses, packed

# One step: scalar(*arguments, *settings).  Arguments are numbers of values, and Python numbers in tuples of their own,
# such as (2.0,).  Then the dtype of the arrays among them, in which numbers are taken, and that of the result.
Step = tuple[Any, tuple[Any, ...], tuple[Any, ...], np.dtype, np.dtype]


@jit
def _steps(
    outs,
    inputs,
    settings,
    first,
    number,
    mask,
    shape,
    out_strides,
    strides,
    FUNCTIONS: tl.constexpr,
    ARGUMENTS: tl.constexpr,
    TYPES: tl.constexpr,
    OUTPUTS: tl.constexpr,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    BLOCK: tl.constexpr,
    VECTOR: tl.constexpr,
):
    # all steps at BLOCK elements from ``first`` on; ``number`` and ``mask`` are theirs, or their groups'
    values = ()
    for i in tl.static_range(len(inputs)):
        values = values + (
            load_block(
                inputs[i], first, number, mask, KINDS[len(outs) + i], HELD[len(outs) + i], shape, strides[i], BLOCK,
                VECTOR,
            ),
        )  # fmt: skip
    for i in tl.static_range(len(FUNCTIONS)):
        arguments = ()
        for j in tl.static_range(len(ARGUMENTS[i])):
            arguments = arguments + (widen(values[ARGUMENTS[i][j]]),)
        values = values + (FUNCTIONS[i](*arguments, *settings[i]).to(TYPES[i]),)
    for i in tl.static_range(len(outs)):
        to = pointers_at(outs[i], first, number, KINDS[i], HELD[i], shape, out_strides[i], BLOCK, VECTOR)
        value = values[OUTPUTS[i]]
        tl.store(to, tl.broadcast_to(value.to(outs[i].dtype.element_ty), to.shape), mask=mask)


@jit
def _program(
    outs,
    inputs,
    settings,
    n,
    shape,
    out_strides,
    strides,
    FUNCTIONS: tl.constexpr,
    ARGUMENTS: tl.constexpr,
    TYPES: tl.constexpr,
    OUTPUTS: tl.constexpr,
    KINDS: tl.constexpr,
    HELD: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # outs, inputs (pointers and numbers): n elements each, or n groups of VECTOR, over the merged shape
    # one program per BLOCK elements, in the order in which the first output lies in memory
    first = tl.program_id(0).to(tl.int64) * BLOCK
    number = numbers(first // VECTOR, BLOCK // VECTOR, WIDE)
    if VECTOR > 1:
        mask = tl.expand_dims(number < n, 1)
        _steps(
            outs, inputs, settings, first, number, mask, shape, out_strides, strides, FUNCTIONS, ARGUMENTS, TYPES,
            OUTPUTS, KINDS, HELD, BLOCK, VECTOR,
        )  # fmt: skip
    elif first + BLOCK <= n:  # only the last block needs a mask, which stands in the way of wide loads
        _steps(
            outs, inputs, settings, first, number, None, shape, out_strides, strides, FUNCTIONS, ARGUMENTS, TYPES,
            OUTPUTS, KINDS, HELD, BLOCK, VECTOR,
        )  # fmt: skip
    else:
        mask = number < n
        _steps(
            outs, inputs, settings, first, number, mask, shape, out_strides, strides, FUNCTIONS, ARGUMENTS, TYPES,
            OUTPUTS, KINDS, HELD, BLOCK, VECTOR,
        )  # fmt: skip


@lru_cache(maxsize=8192)
def _arranged(
    operands: tuple[tuple[Ints, Ints], ...], steps: tuple[tuple[int, ...], ...], outputs: tuple[int, ...], most: int
) -> tuple[Any, ...]:
    """Shape of the outputs, the strides of each, and how the kernel gets at them and at the operands.

    ``operands`` are shapes and strides, ``steps`` the numbers of the values that each step takes.  A result is laid out
    as its row alone would: like the first of its operands that fills memory.
    """
    shape = np.broadcast_shapes(*(s for s, _ in operands))
    spread = [_spread(shape, own, strides) for own, strides in operands]
    layouts: list[Ints] = [*spread]
    for arguments in steps:
        found = (packed(shape, layouts[a]) for a in arguments)
        dense = [s for s in found if s is not None]
        layouts.append(dense[0] if dense else contiguous_strides(shape))
    outs = tuple(layouts[o] for o in outputs)
    return shape, outs, None if 0 in shape else accesses(shape, (*outs, *spread), most)


def _spread(shape: Ints, own: Ints, strides: Ints) -> Ints:
    lead = len(shape) - len(own)
    return (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(own, strides, strict=True))


def run_program(
    inputs: tuple[DeviceArray, ...], steps: tuple[Step, ...], outputs: tuple[int, ...]
) -> tuple[DeviceArray, ...]:
    """The values numbered ``outputs``, results of steps, each as an array; all of the shape that inputs broadcast to.

    Raises ValueError for inputs whose layouts are too unlike each other for one kernel.
    """
    given: list[Any] = list(inputs)
    place = {}  # of each Python number among the kernel's inputs
    for i, (_, arguments, _, kind, _) in enumerate(steps):
        number = _number(np.dtype(np.float32) if kind in dtypes.HALF else kind)
        for j, a in enumerate(arguments):
            if type(a) is tuple:
                place[i, j] = len(given)
                given.append(number(a[0]))
    count, extra = len(inputs), len(given) - len(inputs)
    arrays = tuple(tuple(a for a in step[1] if type(a) is int) for step in steps)
    kinds = [x.dtype for x in inputs] + [steps[o - count][4] for o in outputs]
    most = 16 // max(1, min(k.itemsize for k in kinds))
    shape, layouts, access = _arranged(tuple((x.shape, x.strides) for x in inputs), arrays, outputs, most)
    outs = []
    for o, strides in zip(outputs, layouts, strict=True):
        out = empty_like(inputs[0], shape, steps[o - count][4])
        out.strides = strides
        outs.append(out)
    if access is None:
        return tuple(outs)
    n = outs[0].size
    wiring = tuple(
        tuple(place[i, j] if type(a) is tuple else a if a < count else a + extra for j, a in enumerate(step[1]))
        for i, step in enumerate(steps)
    )
    settings = tuple(tuple(_typed(s, step[3]) for s in step[2]) for step in steps)
    block = max(outs[0].backend.block_size(n), access.vector)
    # one program per BLOCK elements
    launch(
        _program,
        (-(-n // block),),
        tuple(outs),
        tuple(given),
        settings,
        n // access.vector,
        access.shape,
        access.strides[: len(outs)],
        (*access.strides[len(outs) :], *(access.strides[0],) * extra),
        FUNCTIONS=tuple(step[0] for step in steps),
        ARGUMENTS=wiring,
        TYPES=tuple(_type(step[4]) for step in steps),
        OUTPUTS=tuple(o + extra for o in outputs),
        KINDS=(*access.kinds, *("value",) * extra),
        HELD=(*access.held, *(False,) * extra),
        VECTOR=access.vector,
        WIDE=access.wide,
        BLOCK=block,
    )
    return tuple(outs)


def _typed(setting: Any, kind: np.dtype) -> Any:
    """A setting as the elementwise launcher gives it to a scalar function."""
    if isinstance(setting, (int, float)) and not isinstance(setting, bool):
        return _number(np.dtype(np.float32) if kind in dtypes.HALF else kind)(setting)
    return setting


@lru_cache(maxsize=64)
def _type(kind: np.dtype) -> Any:
    """Triton's dtype for a NumPy one."""
    return getattr(tl, "int1" if kind == np.dtype(bool) else dtypes.dtype_of(kind).name)
