"""Repeat dimensions of size 1 without copying: a view with stride 0.

out[..., i, ...] = input[..., 0, ...]
grad_input       = grad summed over the repeated dimensions
"""

from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import sizes as _sizes
from ..framework.view import viewing


def expand(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """A view of ``input`` with dimensions of size 1 (and new leading ones) grown to ``size``; -1 keeps a size.

    Raises RuntimeError for a size that does not fit.

    >>> expand(Tensor([[1.0], [2.0]]), 2, 3).shape
    (2, 3)
    """
    wanted = _sizes("expand", sizes, size)
    lead = len(wanted) - input.ndim
    if lead < 0 or any(n == -1 for n in wanted[:lead]):
        raise RuntimeError(f"expand: sizes {wanted} do not fit the input's shape {input.shape}")
    shape = wanted[:lead] + tuple(m if n == -1 else n for n, m in zip(wanted[lead:], input.shape, strict=True))
    if any(n < 0 or (m not in (1, n)) for n, m in zip(shape[lead:], input.shape, strict=True)):
        raise RuntimeError(f"expand: sizes {wanted} do not fit the input's shape {input.shape}")
    return apply(EXPAND, input, shape=shape)


@viewing
def forward(input, *, shape):
    return np.broadcast_to(input, shape)


def samples(rng):
    yield Sample(
        "worked", (np.array([[1.0], [2.0]]),), {"shape": (2, 3)}, answers=([[1.0] * 3, [2.0] * 3], [[3.0], [3.0]])
    )
    yield Sample("leading", (rng.normal(size=(3,)),), {"shape": (2, 4, 3)})
    yield Sample("0-d", (rng.normal(size=()),), {"shape": (2, 2)})
    yield Sample("to none", (rng.normal(size=(1, 3)),), {"shape": (0, 3)})


EXPAND = register(
    Op(
        name="expand",
        kernel=Kernel(numpy=forward, triton=forward),
        grads=(Grad(of=("input",), keeps=(), op="sum_to", settings=lambda call: {"shape": call.shape("input")}),),
        samples=samples,
        function=expand,
        view=True,
    )
)
