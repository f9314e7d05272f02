"""The least element: of everything or of several dimensions, or along one dimension with its place.

    out             = min of input over the reduced dimensions
    grad_input      = grad / (number of ties)  where input = out,  0 elsewhere          (``min(input)``, ``amin``)
    values, indices = min of input along dim, and where its first is
    grad_input      = grad  at indices,  0 elsewhere                                   (``min(input, dim)``)

A nan is less than everything here, as in PyTorch: it is the result, and the first nan's place its index.
"""

from typing import NamedTuple

import numpy as np

from ..autograd import Tensor
from ..framework.language import jit, tl
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import reduce
from .max import _exact, apart, carrier, extreme, find, limit, over_dims, pick_numpy
from .sum import with_shape


class MinAlong(NamedTuple):
    """The least elements along a dimension, and where the first of each is (int64)."""

    values: Tensor
    indices: Tensor


def min(
    input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None
) -> Tensor | MinAlong:
    """The least element; with ``dim``, ``(values, indices)`` along it; with another tensor, ``minimum`` of the two.

    ``dim`` stays with size 1 if ``keepdim``.  Raises IndexError for a dim that is empty or out of range, RuntimeError
    for an empty input without ``dim``.

    >>> min(Tensor([[1.0, 7.0], [5.0, 2.0]]), dim=1).indices.numpy()
    array([0, 1])
    """
    return extreme("min", MIN, MIN_ALONG, MinAlong, "minimum", input, dim, keepdim, other)


def amin(input: Tensor, dim: int | tuple[int, ...] = (), keepdim: bool = False) -> Tensor:
    """The least element along ``dim``, one, several or all; gradients are shared out evenly among ties.

    Raises as ``min``.

    >>> amin(Tensor([[1.0, 7.0], [5.0, 2.0]]), dim=(0, 1)).item()
    1.0
    """
    return over_dims("amin", MIN, input, dim, keepdim)


def forward_numpy(input, *, dim, keepdim):
    return np.asarray(np.minimum.reduce(_exact(input), axis=dim, keepdims=keepdim)).astype(input.dtype, copy=False)


def along_numpy(input, *, dim, keepdim):
    if not dim:
        return input.copy(), np.zeros((), np.int64)
    indices = np.argmin(_exact(input), axis=dim[0], keepdims=True)
    return pick_numpy(input, indices, dim=dim, keepdim=keepdim), indices if keepdim else np.squeeze(indices, dim)


@jit
def lower(a, b):
    """The lesser of two values, or the nan among them."""
    return tl.where((a < b) | (a != a), a, b)


@jit
def first_lower(a, i, b, j):
    """The lesser of two values with its place; of equals, and of nans, the first."""
    left = (a < b) | ((a != a) & (b == b)) | (((a == b) | ((a != a) & (b != b))) & (i < j))
    return tl.where(left, a, b), tl.where(left, i, j)


def forward_triton(input, *, dim, keepdim):
    return reduce(input, dim, keepdim, lower, limit(input.dtype, 1), acc=carrier(input.dtype))


def along_triton(input, *, dim, keepdim):
    return find(input, dim, keepdim, first_lower, -1)


def samples(rng):
    x = np.array([[1.0, -3.0, -3.0], [2.0, -1.0, 0.0]])
    yield Sample("worked", (x,), {"dim": (0, 1), "keepdim": False}, answers=(-3.0, [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]))
    yield Sample(
        "nan",
        (np.array([[1.0, np.nan], [np.inf, np.inf]]),),
        {"dim": (1,), "keepdim": False},
        answers=([np.nan, np.inf], [[0.0, 1.0], [0.5, 0.5]]),
    )
    yield Sample(
        "integers",
        (np.array([[3, 4], [2**62 + 1, 2**62]]),),
        {"dim": (1,), "keepdim": False},
        answers=([3, 2**62],),
        dtypes=(),
    )
    yield Sample("columns", (apart(rng, (37, 5)),), {"dim": (0,), "keepdim": False}, terms=37)
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})
    yield Sample(
        "empty",
        (np.zeros((2, 0)),),
        raises=(RuntimeError, "min: an input of shape (2, 0) has no elements to choose from"),
    )
    yield Sample(
        "empty dim",
        (np.zeros((0, 3)),),
        {"dim": 0},
        raises=(IndexError, "min: dim 0 of the input (0, 3) has no elements to choose from"),
    )


def along_samples(rng):
    x = np.array([[1.0, -3.0, -3.0], [2.0, -1.0, 0.0]])
    yield Sample(
        "worked",
        (x,),
        {"dim": (1,), "keepdim": False},
        answers=([-3.0, -1.0], [1, 1], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),
    )
    yield Sample(
        "nan",
        (np.array([[1.0, np.nan, np.nan], [np.inf, np.inf, np.inf]]),),
        {"dim": (1,), "keepdim": True},
        answers=([[np.nan], [np.inf]], [[1], [0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    yield Sample("columns", (apart(rng, (37, 5)),), {"dim": (0,), "keepdim": False})
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})


MIN = register(
    Op(
        name="min",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(Grad(of=("input",), keeps=("input", "output"), op="max_backward"),),
        samples=samples,
        function=min,
    )
)

MIN_ALONG = register(
    Op(
        name="min_along",
        kernel=Kernel(numpy=along_numpy, triton=along_triton),
        outputs=("values", "indices"),
        grads=(Grad(of=("input",), keeps=("indices",), op="place", settings=with_shape),),
        samples=along_samples,
    )
)
