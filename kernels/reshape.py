"""The same elements, in the same row-major order, in another shape: ``view`` shares memory, ``reshape`` where it can.

    out.flat[i]     = input.flat[i]
    grad_input      = grad in input's shape

A view exists where the strides of the input let every dimension of the new shape be walked with one stride;
elsewhere ``view`` refuses and ``reshape`` copies.
"""

from math import prod
from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework.array import DeviceArray
from ..framework.launch import contiguous
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import dimension, filled_in, sizes
from ..framework.view import viewing


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """``input`` in another shape of as many elements: a view where strides allow, else a copy; one size may be -1.

    Raises RuntimeError where the sizes do not hold the input's elements.

    >>> reshape(Tensor([1.0, 2.0, 3.0, 4.0]), 2, -1).shape
    (2, 2)
    """
    return apply(RESHAPE, input, shape=filled_in("reshape", _sizes("reshape", sizes, shape), input.array.size))


def view(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """A view of ``input`` in another shape of as many elements; one size may be -1.

    Raises RuntimeError where the sizes do not hold the input's elements, or its strides allow no such view.

    >>> x = Tensor([1.0, 2.0, 3.0, 4.0]); view(x, (2, 2)).data_ptr() == x.data_ptr()
    True
    """
    wanted = filled_in("view", _sizes("view", sizes, size), input.array.size)
    try:
        return apply(VIEW, input, shape=wanted)
    except ValueError:
        raise RuntimeError(
            f"view: a tensor of shape {input.shape} with strides {input.stride()} has no view of "
            f"shape {wanted}; use reshape, which copies"
        ) from None


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """A view of ``input`` in the shape of ``other``.

    >>> view_as(Tensor([1.0, 2.0]), Tensor([[3.0, 4.0]])).shape
    (1, 2)
    """
    return view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` in the shape of ``other``.

    >>> reshape_as(Tensor([1.0, 2.0]), Tensor([[3.0], [4.0]])).shape
    (2, 1)
    """
    return reshape(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """``input`` with the dimensions from ``start_dim`` to ``end_dim`` as one; a 0-d tensor becomes 1-d.

    Raises RuntimeError where ``start_dim`` comes after ``end_dim``.

    >>> flatten(Tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), 1).shape
    (2, 2)
    """
    first, last = (dimension("flatten", d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise RuntimeError(
            f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in a tensor of {input.ndim} dimensions"
        )
    shape = input.shape
    if first == last and shape:
        return input
    return apply(RESHAPE, input, shape=(*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """``input`` with the dimension ``dim`` split into ``sizes``, one of which may be -1.

    Raises RuntimeError where the sizes do not multiply to that dimension's.

    >>> unflatten(Tensor([1.0, 2.0, 3.0, 4.0]), 0, (2, 2)).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    d = dimension("unflatten", dim, input.ndim)
    if not input.ndim:
        raise RuntimeError("unflatten: a 0-d tensor has no dimension to split")
    wanted = _sizes("unflatten", (sizes,))
    if not wanted:
        raise RuntimeError("unflatten: expected at least one size")
    parts = filled_in("unflatten", wanted, input.shape[d])
    return apply(RESHAPE, input, shape=(*input.shape[:d], *parts, *input.shape[d + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension.

    >>> ravel(Tensor([[1.0, 2.0]])).shape
    (2,)
    """
    return reshape(input, -1)


_sizes = sizes  # where a parameter has that name


@viewing
def forward_view(input, *, shape):
    return input.reshape(shape, copy=False)


def forward(input, *, shape):
    if not isinstance(input, DeviceArray):
        return np.reshape(input, shape)
    try:
        return forward_view(input, shape=shape)
    except ValueError:
        return forward_view(contiguous(input), shape=shape)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 2.0, 3.0, 4.0]),),
        {"shape": (2, 2)},
        answers=([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0, 1.0, 1.0]),
    )
    yield Sample(
        "transposed",
        (np.array([[1.0, 2.0], [3.0, 4.0]]).T,),
        {"shape": (4,)},
        answers=([1.0, 3.0, 2.0, 4.0], [[1.0, 1.0], [1.0, 1.0]]),
    )
    yield Sample("copied", (rng.normal(size=(3, 4, 5)).transpose(2, 0, 1),), {"shape": (6, 10)})
    yield Sample("0-d", (rng.normal(size=()),), {"shape": (1, 1)})
    yield Sample("to 0-d", (rng.normal(size=(1, 1)),), {"shape": ()})
    yield Sample("empty", (rng.normal(size=(0, 3)),), {"shape": (2, 0)})
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), (4, 2)),
        raises=(RuntimeError, "reshape: shape (4, 2) has 8 elements, the input has 6"),
    )
    yield Sample(
        "unknown twice",
        (np.zeros((2, 3)), (-1, -1)),
        raises=(RuntimeError, "reshape: only one size can be -1, got (-1, -1)"),
    )
    yield Sample(
        "indivisible",
        (np.zeros((2, 3)), (4, -1)),
        raises=(RuntimeError, "reshape: shape (4, -1) does not divide the input's 6 elements"),
    )


def view_samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 2.0, 3.0, 4.0]),),
        {"shape": (2, 2)},
        answers=([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0, 1.0, 1.0]),
    )
    yield Sample("split", (rng.normal(size=(6, 4)).T,), {"shape": (2, 2, 1, 6)})
    yield Sample("empty", (rng.normal(size=(0, 3)),), {"shape": (2, 0)})
    yield Sample(
        "misfit", (np.zeros((2, 3)), 4), raises=(RuntimeError, "view: shape (4,) has 4 elements, the input has 6")
    )


_GRADS = (Grad(of=("input",), keeps=(), op="reshape", settings=lambda call: {"shape": call.shape("input")}),)

RESHAPE = register(
    Op(
        name="reshape",
        kernel=Kernel(numpy=forward, triton=forward),
        grads=_GRADS,
        samples=samples,
        function=reshape,
        view=True,
    )
)

VIEW = register(
    Op(
        name="view",
        kernel=Kernel(numpy=forward_view, triton=forward_view),
        grads=_GRADS,
        samples=view_samples,
        function=view,
        view=True,
    )
)
