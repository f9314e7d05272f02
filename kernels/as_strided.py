"""Views with strides of their own choosing, and windows that slide along a dimension.

    as_strided:  out[i]              = memory[offset + sum_d i_d * stride_d]
                 grad_input[j]       = sum of grad[i] over all i that lie in memory where j does

    unfold_dim:  out[.., w, .., k]   = input[.., w * step + k, ..]
                 grad_input[.., j, ..] = sum of grad[.., w, .., k] over all w, k with w * step + k = j

Elements of out may be one place in memory; their gradients are added in a fixed order (see ``index.py``).
"""

from math import prod
from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework.array import DeviceArray, from_numpy
from ..framework.launch import contiguous
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.shape import dimension, shape_of
from ..framework.shape import sizes as integers
from ..framework.view import viewing


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of ``input``'s memory of shape ``size``, with these strides, from ``storage_offset`` (input's own by default).

    Raises RuntimeError for negative strides or sizes, for unequally many, for a view that leaves the memory, and where a
    gradient is asked for and elements of ``input`` are themselves one place in memory.

    >>> as_strided(Tensor([1.0, 2.0, 3.0, 4.0]), (3, 2), (1, 1)).tolist()
    [[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]
    """
    shape, steps = shape_of("as_strided", (size,)), integers("as_strided", (stride,))
    if len(shape) != len(steps):
        raise RuntimeError(f"as_strided: size {shape} and stride {steps} differ in length")
    if any(s < 0 for s in steps):
        raise RuntimeError(f"as_strided: strides must not be negative, got {steps}")
    own = input.storage_offset()
    (first,) = integers("as_strided", (own if storage_offset is None else storage_offset,))
    if first < 0:
        raise RuntimeError(f"as_strided: storage_offset must not be negative, got {first}")
    last = first + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    room = input.storage.nbytes() // input.element_size()
    if prod(shape) and last >= room:
        raise RuntimeError(f"as_strided: the view would reach element {last} of memory that holds {room}")
    if input.wants_grad and any(n > 1 and not s for n, s in zip(input.shape, input.stride(), strict=True)):
        raise RuntimeError("as_strided: elements of the input are one place in memory; clone() it first")
    return apply(AS_STRIDED, input, shape=shape, strides=steps, shift=first - own, steps=input.stride())


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of ``size`` elements along a dimension, ``step`` apart; their elements are the last dimension.

    Raises IndexError for a dimension that does not exist and RuntimeError for a window that is too large and a step
    that is not positive.

    >>> unfold(Tensor([1.0, 2.0, 3.0, 4.0]), 0, 2, 1).tolist()
    [[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]
    """
    d = _dimension("unfold", dimension, input.ndim)
    width, apart = integers("unfold", (size, step))
    shape = input.shape or (1,)
    if width < 0 or width > shape[d]:
        raise RuntimeError(f"unfold: a window of {width} does not fit dimension {d} of size {shape[d]}")
    if apart <= 0:
        raise RuntimeError(f"unfold: expected a positive step, got {apart}")
    if not input.ndim:
        return apply(UNFOLD, input.reshape(1), dim=0, size=width, step=apart)[0]
    return apply(UNFOLD, input, dim=d, size=width, step=apart)


_dimension = dimension  # where a parameter has that name


# -- both -------------------------------------------------------------------------------------------------------------


def strided(input, *, shape, strides, shift, steps):
    """One function for all devices; ``steps`` are the input's strides in elements, which only the gradient asks for."""
    if isinstance(input, DeviceArray):
        width = input.dtype.itemsize
        return DeviceArray(input.block, input.ptr + shift * width, input.dtype, shape, strides, input.backend)
    memory = input
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    width = input.itemsize
    first = input.__array_interface__["data"][0] - memory.__array_interface__["data"][0] + shift * width
    flat = memory.ravel(order="K").view(np.uint8)  # a view: memory has no gaps
    return np.ndarray(shape, input.dtype, flat, first, tuple(s * width for s in strides))


def _add_up(grad, numbers, count):
    """Sums of ``grad`` by the numbers, of host int64: (count,)."""
    kernel = OPS["index_backward"].kernel
    if isinstance(grad, np.ndarray):
        return kernel.numpy(grad, numbers, dims=(0,), shape=(count,))
    return kernel.triton(grad, from_numpy(numbers, grad.backend), dims=(0,), shape=(count,))


def _flat(array):
    if isinstance(array, DeviceArray):
        return contiguous(array).viewed(lambda a: a.reshape(-1))
    return array.reshape(-1)


def _offsets(shape, strides):
    """Where each element lies, row by row."""
    where = np.zeros(shape, np.int64)
    for d, (n, s) in enumerate(zip(shape, strides, strict=True)):
        where += (np.arange(n) * s).reshape(n, *(1,) * (len(shape) - 1 - d))
    return where.reshape(-1)


def strided_backward(grad, *, shape, strides, shift, steps, into):
    sent, own = _offsets(shape, strides) + shift, _offsets(into, steps)
    low = min(int(x.min()) for x in (sent, own) if x.size) if sent.size + own.size else 0
    high = max((int(x.max()) for x in (sent, own) if x.size), default=0)
    memory = _add_up(_flat(grad), sent - low, high - low + 1)
    kernel = OPS["index"].kernel
    if isinstance(grad, np.ndarray):
        return kernel.numpy(memory, (own - low).reshape(into), dims=(0,))
    return kernel.triton(memory, from_numpy((own - low).reshape(into), grad.backend), dims=(0,))


def _exchanged(call):
    given = call.settings
    return {
        "shape": given["into"],
        "strides": given["steps"],
        "shift": -given["shift"],
        "steps": given["strides"],
        "into": given["shape"],
    }


@viewing
def windows(input, *, dim, size, step):
    n = (input.shape[dim] - size) // step + 1
    shape = (*input.shape[:dim], n, *input.shape[dim + 1 :], size)
    steps = (*input.strides[:dim], input.strides[dim] * step, *input.strides[dim + 1 :], input.strides[dim])
    return np.lib.stride_tricks.as_strided(input, shape, steps)


def windows_backward(grad, *, dim, size, step, length):
    count = grad.shape[dim]
    numbers = np.arange(count, dtype=np.int64)[:, None] * step + np.arange(size)
    shape = (*grad.shape[:dim], length, *grad.shape[dim + 1 : -1])
    kernel = OPS["index_backward"].kernel
    if isinstance(grad, np.ndarray):
        return kernel.numpy(np.moveaxis(grad, -1, dim + 1), numbers, dims=(dim,), shape=shape)
    turned = grad.viewed(lambda a: np.moveaxis(a, -1, dim + 1))
    return kernel.triton(turned, from_numpy(numbers, grad.backend), dims=(dim,), shape=shape)


def samples(rng):  # of one element, since the view is one of the memory, which the tests lay out in many ways
    yield Sample(
        "worked",
        (np.array([3.0]),),
        {"shape": (2, 2), "strides": (0, 0), "shift": 0, "steps": (1,)},
        answers=([[3.0, 3.0], [3.0, 3.0]], [4.0]),
    )
    yield Sample(
        "too far",
        (np.zeros(4), (3,), (2,)),
        raises=(RuntimeError, "as_strided: the view would reach element 4 of memory that holds 4"),
    )
    yield Sample(
        "backwards",
        (np.zeros(4), (3,), (-1,)),
        raises=(RuntimeError, "as_strided: strides must not be negative, got (-1,)"),
    )


def unfold_samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 2.0, 3.0, 4.0]),),
        {"dim": 0, "size": 2, "step": 1},
        answers=([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]], [1.0, 2.0, 2.0, 1.0]),
    )
    yield Sample("apart", (rng.normal(size=(3, 8)),), {"dim": 1, "size": 2, "step": 3})
    yield Sample("first", (rng.normal(size=(2, 3, 7)).T,), {"dim": 0, "size": 3, "step": 2}, terms=2)
    yield Sample("whole", (rng.normal(size=(3, 4)),), {"dim": 1, "size": 4, "step": 5})
    yield Sample(
        "too large",
        (np.zeros((2, 3)), 1, 4, 1),
        raises=(RuntimeError, "unfold: a window of 4 does not fit dimension 1 of size 3"),
    )
    yield Sample(
        "no step", (np.zeros((2, 3)), 1, 2, 0), raises=(RuntimeError, "unfold: expected a positive step, got 0")
    )


AS_STRIDED = register(
    Op(
        name="as_strided",
        kernel=Kernel(numpy=strided, triton=strided),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="as_strided_backward",
                settings=lambda call: {**call.settings, "into": call.shape("input")},
            ),
        ),
        samples=samples,
        function=as_strided,
        view=True,
    )
)

register(
    Op(
        name="as_strided_backward",
        kernel=Kernel(numpy=strided_backward, triton=strided_backward),
        grads=(Grad(of=("grad",), keeps=(), op="as_strided_backward", settings=_exchanged),),
    )
)

UNFOLD = register(
    Op(
        name="unfold_dim",
        kernel=Kernel(numpy=windows, triton=windows),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="unfold_dim_backward",
                settings=lambda call: {**call.settings, "length": call.shape("input")[call.settings["dim"]]},
            ),
        ),
        samples=unfold_samples,
        function=unfold,
        view=True,
    )
)

register(
    Op(
        name="unfold_dim_backward",
        kernel=Kernel(numpy=windows_backward, triton=windows_backward),
        grads=(
            Grad(
                of=("grad",),
                keeps=(),
                op="unfold_dim",
                settings=lambda call: {k: call.settings[k] for k in ("dim", "size", "step")},
            ),
        ),
    )
)
