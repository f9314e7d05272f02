"""What the steps of optimizers share: gradients made ready, for the NumPy halves and for the kernels.

g = (-grad if maximize else grad) / scale + weight_decay * param
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .group import Roles, pieces, reciprocal, scratch
from .language import jit, tl


def told(dials: tuple[np.ndarray, ...], numbers: tuple[float, ...] | None) -> Any:
    """For NumPy: the numbers of a step, from wherever they come."""
    return dials[0].tolist() if dials else numbers


def stopped(found_inf: tuple[np.ndarray, ...]) -> bool:
    """For NumPy: whether the step is not to be made."""
    return bool(found_inf) and bool(found_inf[0] != 0)


def descents(
    roles: Roles, maximize: bool, weight_decay: float, grad_scale: tuple[np.ndarray, ...] = (), spare: int = 1
) -> Iterator[tuple[Any, ...]]:
    """For NumPy: piece by piece, the arrays of all roles, the last one's replaced by g, then ``spare`` buffers.

    The gradients are the last role and the parameters the first; all roles but the last may be written.
    """
    buffers = scratch(roles, spare + 1)
    for param, *others, grad in pieces(roles, len(roles) - 1):
        own, *free = buffers(param)
        g = grad
        if grad_scale:
            g = np.multiply(g, reciprocal(grad_scale[0], g), out=own)
        if maximize:
            g = np.negative(g, out=own)
        if weight_decay:
            g = np.add(g, param * param.dtype.type(weight_decay), out=own)
        yield (param, *others, g, *free)


@jit
def downhill(param, grad, decay, sign):
    """g of the formula above; ``grad`` comes divided, ``sign`` is -1 to go uphill."""
    g = grad * sign
    return tl.where(decay != 0, g + decay * param, g)
