"""Epilogues: registered elementwise rows, run on a result while it is still in registers.

A kernel that makes its result tile by tile (products, convolutions, normalisations) takes a chain of ``Stage``s and
runs it with ``finish`` just before it stores: bias + activation, residual + activation, whatever rows there are.  The
scalar functions are the rows' own, so a user's elementwise row is an epilogue the moment it is registered.

The chain reaches the kernel as three parallel tuples, which ``unpacked`` makes: functions (``tl.constexpr``), operand
arrays, settings.  Operands have the shape and the strides of the output, so that one offset serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import dtypes
from .array import DeviceArray
from .elementwise import _number, widen
from .language import jit, tl
from .launch import copy_into


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a chain: ``scalar(value, *operands, *settings)``.

    ``scalar`` is a ``Kernel.scalar``; its first argument is what the chain has computed so far.  ``first`` says
    whether the chain's value comes before the operands (``x - operand``) or after the only one (``operand - x``).
    """

    scalar: Any
    operands: tuple[DeviceArray, ...] = ()
    settings: tuple[Any, ...] = ()
    first: bool = True


Chain = tuple[Stage, ...]


@jit
def finish(
    value, offsets, mask, FUNCTIONS: tl.constexpr, FIRST: tl.constexpr, operands, settings, STORED: tl.constexpr
):
    """``value``, a tile in the accumulator's dtype, after all stages; ``offsets`` and ``mask`` are those of its store.

    The value is rounded to STORED, the output's dtype, between stages: as it would be with one kernel a row, so that
    fusing changes no bit.
    """
    for i in tl.static_range(len(FUNCTIONS)):
        value = widen(value.to(STORED))
        others = ()
        for j in tl.static_range(len(operands[i])):
            others = others + (widen(tl.load(operands[i][j] + offsets, mask=mask, other=0)),)
        if FIRST[i]:
            value = FUNCTIONS[i](value, *others, *settings[i])
        else:
            value = FUNCTIONS[i](*others, value, *settings[i])
    return value.to(STORED)


def unpacked(
    chain: Chain, out: DeviceArray
) -> tuple[tuple[Any, ...], tuple[bool, ...], tuple[Any, ...], tuple[Any, ...]]:
    """FUNCTIONS, FIRST, operands and settings for ``finish``, for a result like ``out``.

    Operands are broadcast and copied to the layout of ``out`` where they have another.  Numbers among the settings are
    typed as the elementwise launcher types them.
    """
    number = _number(np.dtype(np.float32) if out.dtype in dtypes.HALF else out.dtype)
    operands = tuple(tuple(_like(x, out) for x in stage.operands) for stage in chain)
    settings = tuple(
        tuple(number(s) if isinstance(s, (int, float)) and not isinstance(s, bool) else s for s in stage.settings)
        for stage in chain
    )
    return tuple(stage.scalar for stage in chain), tuple(stage.first for stage in chain), operands, settings


def _like(operand: DeviceArray, out: DeviceArray) -> DeviceArray:
    """``operand`` with exactly the shape and strides of ``out``."""
    if operand.shape == out.shape and operand.strides == out.strides and operand.dtype == out.dtype:
        return operand
    block = out.backend.allocate(out.nbytes)
    made = DeviceArray(block, block.ptr, out.dtype, out.shape, out.strides, out.backend)
    copy_into(made, operand)
    return made
