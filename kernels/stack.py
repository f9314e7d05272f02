"""Joining along a new dimension, and taking slices along one that goes; each is the gradient of the other.

stack:   out[.., k, ..]  = tensors[k][.., ..]
         grad_tensors    = unbind(grad)

unbind:  out_k[.., ..]   = input[.., k, ..],  views
         grad_input      = stack(grads)
"""

from collections.abc import Sequence

import numpy as np

from ..autograd import Tensor, apply
from ..framework.array import DeviceArray, empty_like
from ..framework.launch import copy_into
from ..framework.op import VARIADIC, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.shape import dimension
from .cat import tensors_of


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, side by side along a new dimension at ``dim``; dtypes are promoted.

    Raises RuntimeError for no tensors and for different shapes, TypeError for what is no tensor, IndexError for a
    place that does not exist.

    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], 1).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    given = tensors_of("stack", tensors)
    first = given[0].array.shape
    for k, t in enumerate(given):
        if t.array.shape != first:
            raise RuntimeError(
                f"stack: all tensors must have one shape, tensor 0 has {first}, tensor {k} has {t.array.shape}"
            )
    return apply(STACK, tuple(given), dim=dimension("stack", dim, len(first) + 1))


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices of ``input`` along ``dim``.  Raises IndexError for a dimension that does not exist.

    >>> [t.tolist() for t in unbind(Tensor([[1, 2], [3, 4]]), 1)]
    [[1, 3], [2, 4]]
    """
    if not input.ndim:
        raise IndexError("unbind: a 0-d tensor has no dimension to take slices along")
    d = dimension("unbind", dim, input.ndim)
    return apply(UNBIND, input, dim=d) if input.shape[d] else ()


def forward_numpy(tensors, *, dim):
    return np.stack(tensors, dim)


def forward_triton(tensors, *, dim):
    shape = tensors[0].shape
    out = empty_like(tensors[0], (*shape[:dim], len(tensors), *shape[dim:]))
    for part, t in zip(slices(out, dim=dim), tensors, strict=True):
        copy_into(part, t)
    return out


def slices(input, *, dim):
    """Views of the slices; one function for all devices."""
    parts = []
    for k in range(input.shape[dim]):
        key = (*(slice(None),) * dim, k, ...)
        parts.append(input.viewed(lambda a, key=key: a[key]) if isinstance(input, DeviceArray) else input[key])
    return tuple(parts)


def samples(rng):
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    yield Sample("worked", ((a, b),), {"dim": 1}, answers=([[1.0, 3.0], [2.0, 4.0]], [1.0, 1.0], [1.0, 1.0]))
    yield Sample("three", (tuple(rng.normal(size=(4, 3)).T for _ in range(3)),), {"dim": 1})
    yield Sample("0-d", ((rng.normal(size=()), rng.normal(size=())),), {"dim": 0})
    yield Sample("one", ((rng.normal(size=(2,)),),), {"dim": 0})
    yield Sample("empty", ((rng.normal(size=(0, 2)), rng.normal(size=(0, 2))),), {"dim": 2})
    yield Sample(
        "promoted",
        ((np.array([1, 2]), np.array([0.5, 1.5], np.float32)),),
        {"dim": 0},
        answers=([[1.0, 2.0], [0.5, 1.5]], [1.0, 1.0]),
        dtypes=(),
    )
    yield Sample(
        "misfit",
        ((np.zeros(2), np.zeros(3)),),
        raises=(RuntimeError, "stack: all tensors must have one shape, tensor 0 has (2,), tensor 1 has (3,)"),
    )


def unbind_samples(rng):
    yield Sample(
        "worked",
        (np.array([[1.0, 2.0], [3.0, 4.0]]),),
        {"dim": 1},
        answers=([1.0, 3.0], [2.0, 4.0], [[1.0, 0.0], [1.0, 0.0]]),
    )
    yield Sample("three", (rng.normal(size=(4, 3, 2)).T,), {"dim": 1})
    yield Sample("to 0-d", (rng.normal(size=(3,)),), {"dim": 0})
    yield Sample("one", (rng.normal(size=(1, 3)),), {"dim": 0})
    yield Sample(
        "no such",
        (np.zeros((2, 3)), 2),
        raises=(IndexError, "unbind: dimension 2 is out of range for a tensor of 2 dimensions"),
    )


STACK = register(
    Op(
        name="stack",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("tensors",), keeps=(), op="unbind"),),
        samples=samples,
        function=stack,
        promotion="arithmetic",
    )
)

UNBIND = register(
    Op(
        name="unbind",
        kernel=Kernel(numpy=slices, triton=repeated(slices)),
        grads=(Grad(of=("input",), keeps=(), op="stack"),),
        samples=unbind_samples,
        function=unbind,
        differentiable=VARIADIC,
        view=True,
    )
)
