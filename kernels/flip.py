"""Elements in reverse order along some dimensions: a copy.

out[i]      = input[n - 1 - i]  along each of the dimensions, of size n
grad_input  = grad, reversed likewise
"""

from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework.launch import copied
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import dimensions, sizes
from .permute import transpose


def flip(input: Tensor, *along: Any, dims: Any = None) -> Tensor:
    """``input`` with its elements in reverse order along ``dims``.

    Raises IndexError for a dimension that does not exist and RuntimeError for one that is named twice.

    >>> flip(Tensor([[1, 2], [3, 4]]), 1).tolist()
    [[2, 1], [4, 3]]
    """
    wanted = sizes("flip", along, dims)
    return apply(FLIP, input, dims=dimensions("flip", wanted, input.ndim) if input.ndim else ())


def fliplr(input: Tensor) -> Tensor:
    """``input`` with the second dimension in reverse order.  Raises RuntimeError for fewer than 2 dimensions.

    >>> fliplr(Tensor([[1, 2], [3, 4]])).tolist()
    [[2, 1], [4, 3]]
    """
    if input.ndim < 2:
        raise RuntimeError(f"fliplr: expected at least 2 dimensions, got {input.ndim}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """``input`` with the first dimension in reverse order.  Raises RuntimeError for a 0-d tensor.

    >>> flipud(Tensor([[1, 2], [3, 4]])).tolist()
    [[3, 4], [1, 2]]
    """
    if input.ndim < 1:
        raise RuntimeError("flipud: expected at least 1 dimension, got 0")
    return flip(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """``input`` turned ``k`` times by 90 degrees in the plane of two dimensions, from the first towards the second.

    Raises RuntimeError unless two different dimensions are named.

    >>> rot90(Tensor([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    """
    if len(tuple(dims)) != 2 or input.ndim < 2:
        raise RuntimeError(f"rot90: expected two dimensions of a tensor that has them, got {tuple(dims)}")
    plane = dimensions("rot90", tuple(dims), input.ndim)
    a, b = plane
    if k % 4 == 1:
        return transpose(flip(input, b), a, b)
    if k % 4 == 2:
        return flip(input, a, b)
    if k % 4 == 3:
        return flip(transpose(input, a, b), b)
    return input.clone()


def forward_numpy(input, *, dims):
    return np.flip(input, dims).copy()


def forward_triton(input, *, dims):
    return copied(input.viewed(lambda a: np.flip(a, dims)) if dims else input)


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    yield Sample(
        "worked", (x,), {"dims": (1,)}, answers=([[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    )
    yield Sample("two", (rng.normal(size=(5, 4, 3)).T,), {"dims": (0, 2)})
    yield Sample("none", (rng.normal(size=(2, 3)),), {"dims": ()})
    yield Sample("0-d", (rng.normal(size=()),), {"dims": ()})
    yield Sample("empty", (rng.normal(size=(0, 3)),), {"dims": (0, 1)})
    yield Sample("long", (rng.normal(size=(1300,)),), {"dims": (0,)})
    yield Sample(
        "twice", (np.zeros((2, 3)), 1, -1), raises=(RuntimeError, "flip: dimension 1 is named twice in (1, -1)")
    )


FLIP = register(
    Op(
        name="flip",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(Grad(of=("input",), keeps=(), op="flip"),),
        samples=samples,
        function=flip,
    )
)
