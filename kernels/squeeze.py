"""Dimensions of size 1, taken out or put in: views.

squeeze:    out[i, j, ...]    = input[i, 0, j, ...]
unsqueeze:  out[i, 0, j, ...] = input[i, j, ...]

grad_input = grad, unsqueezed or squeezed
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import dimension, dimensions
from ..framework.view import viewing


def squeeze(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """A view of ``input`` without its dimensions of size 1, or without those of ``dim`` that have size 1.

    Raises IndexError for a dimension that does not exist.

    >>> squeeze(Tensor([[[1.0], [2.0]]])).shape, squeeze(Tensor([[[1.0], [2.0]]]), 0).shape
    ((2,), (2, 1))
    """
    asked = range(input.ndim) if dim is None else dimensions("squeeze", dim, input.ndim)
    shape = input.shape
    return apply(SQUEEZE, input, dims=tuple(sorted(d for d in asked if shape and shape[d] == 1)))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view of ``input`` with a new dimension of size 1 at ``dim``, which may be its last one plus 1.

    Raises IndexError for a place that does not exist.

    >>> unsqueeze(Tensor([1.0, 2.0]), -1).shape
    (2, 1)
    """
    return apply(UNSQUEEZE, input, dims=(dimension("unsqueeze", dim, input.ndim + 1),))


@viewing
def forward_squeeze(input, *, dims):
    return np.squeeze(input, dims)


@viewing
def forward_unsqueeze(input, *, dims):
    return np.expand_dims(input, dims)


def squeeze_samples(rng):
    yield Sample("worked", (np.array([[[1.0], [2.0]]]),), {"dims": (0, 2)}, answers=([1.0, 2.0], [[[1.0], [1.0]]]))
    yield Sample("one of two", (rng.normal(size=(1, 3, 1, 2)),), {"dims": (2,)})
    yield Sample("none", (rng.normal(size=(2, 3)),), {"dims": ()})
    yield Sample("to 0-d", (rng.normal(size=(1, 1)),), {"dims": (0, 1)})
    yield Sample("empty", (rng.normal(size=(0, 1)),), {"dims": (1,)})
    yield Sample(
        "no such",
        (np.zeros((1, 3)), 2),
        raises=(IndexError, "squeeze: dimension 2 is out of range for a tensor of 2 dimensions"),
    )


def unsqueeze_samples(rng):
    yield Sample("worked", (np.array([1.0, 2.0]),), {"dims": (1,)}, answers=([[1.0], [2.0]], [1.0, 1.0]))
    yield Sample("first", (rng.normal(size=(3, 2)).T,), {"dims": (0,)})
    yield Sample("0-d", (rng.normal(size=()),), {"dims": (0,)})
    yield Sample("empty", (rng.normal(size=(0, 2)),), {"dims": (1,)})
    yield Sample(
        "no such",
        (np.zeros((2, 3)), -4),
        raises=(IndexError, "unsqueeze: dimension -4 is out of range for a tensor of 3 dimensions"),
    )


SQUEEZE = register(
    Op(
        name="squeeze",
        kernel=Kernel(numpy=forward_squeeze, triton=forward_squeeze),
        grads=(Grad(of=("input",), keeps=(), op="unsqueeze"),),
        samples=squeeze_samples,
        function=squeeze,
        view=True,
    )
)

UNSQUEEZE = register(
    Op(
        name="unsqueeze",
        kernel=Kernel(numpy=forward_unsqueeze, triton=forward_unsqueeze),
        grads=(Grad(of=("input",), keeps=(), op="squeeze"),),
        samples=unsqueeze_samples,
        function=unsqueeze,
        view=True,
    )
)
