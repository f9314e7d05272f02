"""The dimensions in another order: a view.

out[i_dims[0], i_dims[1], ...] = input[i_0, i_1, ...]
grad_input                     = grad with its dimensions put back
"""

from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import dimension, dimensions, sizes
from ..framework.view import viewing


def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A view of ``input`` whose dimension i is the input's dimension ``dims[i]``.

    Raises RuntimeError unless every dimension is named once.

    >>> permute(Tensor([[[1.0, 2.0, 3.0]]]), 2, 0, 1).shape
    (3, 1, 1)
    """
    wanted = sizes("permute", order, dims)
    if len(wanted) != input.ndim:
        raise RuntimeError(f"permute: {len(wanted)} dimensions are named in {wanted}, the input has {input.ndim}")
    return apply(PERMUTE, input, dims=dimensions("permute", wanted, input.ndim))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view of ``input`` with two dimensions exchanged.

    >>> transpose(Tensor([[1.0, 2.0]]), 0, 1).tolist()
    [[1.0], [2.0]]
    """
    ndim = input.ndim
    a, b = dimension("transpose", dim0, ndim), dimension("transpose", dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = order[b], order[a]
    return apply(PERMUTE, input, dims=tuple(order))


def t(input: Tensor) -> Tensor:
    """A view of a matrix with rows as columns; tensors of fewer dimensions are themselves.

    Raises RuntimeError for more than 2 dimensions.

    >>> t(Tensor([[1.0, 2.0]])).shape
    (2, 1)
    """
    if input.ndim > 2:
        raise RuntimeError(f"t: expected at most 2 dimensions, got {input.ndim}")
    return apply(PERMUTE, input, dims=tuple(reversed(range(input.ndim))))


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view of ``input`` with the dimensions ``source`` at the places ``destination``, the others in order.

    Raises RuntimeError where there are not as many of one as of the other.

    >>> movedim(Tensor([[[1.0, 2.0, 3.0]]]), 2, 0).shape
    (3, 1, 1)
    """
    ndim = input.ndim
    taken, places = dimensions("movedim", source, ndim), dimensions("movedim", destination, ndim)
    if len(taken) != len(places):
        raise RuntimeError(f"movedim: source {source} and destination {destination} differ in length")
    if not ndim:
        return apply(PERMUTE, input, dims=())
    order: list[int] = [d for d in range(ndim) if d not in taken]
    for place, d in sorted(zip(places, taken, strict=True)):
        order.insert(place, d)
    return apply(PERMUTE, input, dims=tuple(order))


@viewing
def forward(input, *, dims):
    return np.transpose(input, dims)


def _back(call):
    dims = call.settings["dims"]
    return {"dims": tuple(sorted(range(len(dims)), key=dims.__getitem__))}


def samples(rng):
    yield Sample(
        "worked", (np.array([[1.0, 2.0, 3.0]]),), {"dims": (1, 0)}, answers=([[1.0], [2.0], [3.0]], [[1.0, 1.0, 1.0]])
    )
    yield Sample("three", (rng.normal(size=(2, 3, 4)),), {"dims": (2, 0, 1)})
    yield Sample("five", (rng.normal(size=(2, 1, 3, 2, 2)),), {"dims": (4, 2, 0, 1, 3)})
    yield Sample("0-d", (rng.normal(size=()),), {"dims": ()})
    yield Sample("empty", (rng.normal(size=(0, 3)),), {"dims": (1, 0)})
    yield Sample(
        "too few",
        (np.zeros((2, 3)), 0),
        raises=(RuntimeError, "permute: 1 dimensions are named in (0,), the input has 2"),
    )
    yield Sample(
        "twice", (np.zeros((2, 3)), 1, -1), raises=(RuntimeError, "permute: dimension 1 is named twice in (1, -1)")
    )
    yield Sample(
        "no such",
        (np.zeros((2, 3)), 0, 2),
        raises=(IndexError, "permute: dimension 2 is out of range for a tensor of 2 dimensions"),
    )


PERMUTE = register(
    Op(
        name="permute",
        kernel=Kernel(numpy=forward, triton=forward),
        grads=(Grad(of=("input",), keeps=(), op="permute", settings=_back),),
        samples=samples,
        function=permute,
        view=True,
    )
)
