"""Diagonals of matrices.

diagonal    out[..., i] = input[..., i, i + offset],  a view;   its two dimensions go, the diagonal comes last
diag_embed  out[..., i, i + offset] = input[..., i],  0 elsewhere;  each is the other's gradient
trace       out = sum of input[i, i]
diag        diagonal of a matrix,  diag_embed of a vector
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.array import DeviceArray
from ..framework.fill import zeros_like
from ..framework.launch import copy_into
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.shape import dimension
from ..framework.view import viewing
from .sum import sum


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonal ``offset`` above (or, negative, below) the main one of ``dim1`` and ``dim2``, put last.

    Raises IndexError for a dimension out of range, RuntimeError where both are the same.

    >>> diagonal(Tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 4.0]
    """
    d1, d2 = _pair("diagonal", input.ndim, dim1, dim2)
    return apply(DIAGONAL, input, offset=int(offset), dim1=d1, dim2=d2)


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """``diagonal`` of the last two dimensions unless told otherwise, as ``torch.linalg.diagonal``.

    >>> linalg_diagonal(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[1.0, 4.0]]
    """
    return diagonal(A, offset, dim1, dim2)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices in the dimensions ``dim1`` and ``dim2`` whose diagonal is the last dimension of ``input``, else 0.

    Raises as ``diagonal``, and RuntimeError for a 0-d input.

    >>> diag_embed(Tensor([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    if not input.ndim:
        raise RuntimeError("diag_embed: expected at least 1 dimension, got 0")
    d1, d2 = _pair("diag_embed", input.ndim + 1, dim1, dim2)
    shape = list(input.shape[:-1])
    n = input.shape[-1] + abs(offset)
    for d in sorted((d1, d2)):
        shape.insert(d, n)
    return apply(DIAG_EMBED, input, offset=int(offset), dim1=d1, dim2=d2, shape=tuple(shape))


def _pair(name, ndim, dim1, dim2):
    if ndim < 2:
        raise IndexError(f"{name}: expected at least 2 dimensions, got {ndim}")
    d1, d2 = dimension(name, dim1, ndim), dimension(name, dim2, ndim)
    if d1 == d2:
        raise RuntimeError(f"{name}: expected two different dimensions, got {dim1} and {dim2}")
    return d1, d2


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or a matrix with the given diagonal.  Raises RuntimeError for other than 1 or 2 dimensions.

    >>> diag(Tensor([[1.0, 2.0], [3.0, 4.0]])).tolist(), diag(Tensor([5.0])).tolist()
    ([1.0, 4.0], [[5.0]])
    """
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag: expected a vector or a matrix, got {input.ndim} dimensions")
    return DIAGONAL.function(input, diagonal).clone()


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix.  Raises RuntimeError for anything else than a matrix.

    >>> trace(Tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    5.0
    """
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, got {input.ndim} dimensions")
    return sum(diagonal(input))


def _view(array, offset, dim1, dim2):
    out = np.diagonal(array, offset, dim1, dim2)
    out.flags.writeable = array.flags.writeable
    return out


@viewing
def forward(input, *, offset, dim1, dim2):
    return _view(input, offset, dim1, dim2)


def embed(input, *, offset, dim1, dim2, shape):
    out = zeros_like(input, shape)
    if isinstance(out, DeviceArray):
        copy_into(out.viewed(lambda a: _view(a, offset, dim1, dim2)), input)
    else:
        _view(out, offset, dim1, dim2)[...] = input
    return out


def _with_shape(call):
    return {**call.settings, "shape": call.shape("input")}


def _without_shape(call):
    return {k: call.settings[k] for k in ("offset", "dim1", "dim2")}


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    main = {"offset": 0, "dim1": 0, "dim2": 1}
    yield Sample("worked", (x,), main, answers=([1.0, 5.0], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    yield Sample("above", (x,), {**main, "offset": 1}, answers=([2.0, 6.0], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    yield Sample("outside", (x,), {**main, "offset": 5}, answers=([], np.zeros((2, 3))))
    yield Sample("turned", (rng.normal(size=(3, 4, 5)),), {"offset": -1, "dim1": 2, "dim2": 0})
    yield Sample("strided", (rng.normal(size=(5, 8))[::2, ::2].T,), {**main, "offset": -1})
    yield Sample(
        "same", (x,), {"offset": 0, "dim1": 1, "dim2": -1},
        raises=(RuntimeError, "diagonal: expected two different dimensions, got 1 and -1"),
    )  # fmt: skip


def embed_samples(rng):
    main = {"offset": 0, "dim1": 0, "dim2": 1, "shape": (2, 2)}
    yield Sample("worked", (np.array([1.0, 2.0]),), main, answers=([[1.0, 0.0], [0.0, 2.0]], [1.0, 1.0]))
    yield Sample("below", (rng.normal(size=(3, 4)),), {"offset": -2, "dim1": 0, "dim2": 2, "shape": (6, 3, 6)})
    yield Sample("empty", (np.zeros((2, 0)),), {"offset": 1, "dim1": 1, "dim2": 2, "shape": (2, 1, 1)})


DIAGONAL = register(
    Op(
        name="diagonal",
        kernel=Kernel(numpy=forward, triton=forward),
        grads=(Grad(of=("input",), keeps=(), op="diag_embed", settings=_with_shape),),
        samples=samples,
        function=diagonal,
        view=True,
    )
)

DIAG_EMBED = register(
    Op(
        name="diag_embed",
        kernel=Kernel(numpy=embed, triton=repeated(embed)),
        grads=(Grad(of=("input",), keeps=(), op="diagonal", settings=_without_shape),),
        samples=embed_samples,
        function=diag_embed,
    )
)
