"""Joining along a dimension that exists, and cutting along it; each is the gradient of the other.

cat:    out[.., i, ..]    = tensors[k][.., i - o_k, ..]   where o_k is the sum of the sizes before k
        grad_tensors      = split(grad)

split:  out_k[.., i, ..]  = input[.., i + o_k, ..],  views
        grad_input        = cat(grads)
"""

from collections.abc import Sequence

import numpy as np

from ..autograd import Tensor, apply
from ..framework.array import DeviceArray, empty_like
from ..framework.dtypes import promote
from ..framework.launch import copy_into
from ..framework.op import VARIADIC, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.shape import dimension
from ..framework.shape import sizes as integers


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors side by side along ``dim``; their other sizes agree, dtypes are promoted.

    Tensors of shape (0,) are passed over.  Raises RuntimeError for no tensors and for shapes that do not fit,
    TypeError for what is no tensor, IndexError for a dimension that does not exist.

    >>> cat([Tensor([1.0, 2.0]), Tensor([3.0])]).tolist()
    [1.0, 2.0, 3.0]
    """
    given = tensors_of("cat", tensors)
    shaped = given
    if any(t.array.ndim != 1 for t in given):
        shaped = [t for t in given if t.array.shape != (0,)]
        if len(shaped) != len(given):  # what is passed over still counts for the dtype
            shaped[0] = shaped[0].to(promote(t.array for t in given))
    first = shaped[0].array.shape
    if not first:
        raise RuntimeError("cat: 0-d tensors cannot be joined; use stack")
    d = dimension("cat", dim, len(first))
    for k, t in enumerate(shaped):
        shape = t.array.shape
        if len(shape) != len(first) or shape[:d] != first[:d] or shape[d + 1 :] != first[d + 1 :]:
            raise RuntimeError(
                f"cat: the sizes outside dimension {d} must agree, tensor 0 has shape {first}, tensor {k} has {shape}"
            )
    return apply(CAT, tuple(shaped), dim=d)


def tensors_of(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors to join, of which there must be one."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(f"{name}: expected a tuple or list of Tensors, got {type(tensors).__name__}")
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: expected a tuple or list of Tensors, one of these is {type(t).__name__}")
    if not tensors:
        raise RuntimeError(f"{name}: expected at least one tensor")
    return list(tensors)


def split(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of ``input`` cut along ``dim``: each of one size (the last may be smaller), or of the sizes listed.

    Raises RuntimeError for sizes that do not add up to the dimension's.

    >>> [t.tolist() for t in split(Tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    shape = input.array.shape
    if not shape:
        raise RuntimeError("split: a 0-d tensor cannot be cut")
    d = dimension("split", dim, len(shape))
    n = shape[d]
    if isinstance(split_size_or_sections, (tuple, list)):
        parts = integers("split", tuple(split_size_or_sections))
        if any(p < 0 for p in parts) or sum(parts) != n or not parts:
            raise RuntimeError(f"split: expected sizes that add up to {n}, the size of dimension {d}, got {parts}")
    else:
        (size,) = integers("split", (split_size_or_sections,))
        if size < 0 or (size == 0 and n):
            raise RuntimeError(f"split: the size of a part must be positive, got {size}")
        parts = tuple(min(size, n - i) for i in range(0, n, size)) if n else (0,)
    return apply(SPLIT, input, dim=d, sizes=parts)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of ``input`` cut along ``dim`` into ``chunks`` equal parts; the last may be smaller, or parts may be fewer.

    Raises RuntimeError unless ``chunks`` is positive.

    >>> [t.tolist() for t in chunk(Tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    (count,) = integers("chunk", (chunks,))
    if count <= 0:
        raise RuntimeError(f"chunk: expected a positive number of parts, got {count}")
    if not input.ndim:
        raise RuntimeError("chunk: a 0-d tensor cannot be cut")
    n = input.shape[dimension("chunk", dim, input.ndim)]
    return split(input, -(-n // count), dim) if n else split(input, [0] * count, dim)


def forward_numpy(tensors, *, dim):
    return np.concatenate(tensors, dim)


def forward_triton(tensors, *, dim):
    shape = list(tensors[0].shape)
    shape[dim] = sum(t.shape[dim] for t in tensors)
    out = empty_like(tensors[0], tuple(shape))
    for part, t in zip(cut(out, dim=dim, sizes=tuple(t.shape[dim] for t in tensors)), tensors, strict=True):
        copy_into(part, t)
    return out


def cut(input, *, dim, sizes):
    """Views of the parts; one function for all devices."""
    parts = []
    start = 0
    for n in sizes:
        key = (*(slice(None),) * dim, slice(start, start + n), ...)
        parts.append(input.viewed(lambda a, key=key: a[key]) if isinstance(input, DeviceArray) else input[key])
        start += n
    return tuple(parts)


def samples(rng):
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    yield Sample(
        "worked",
        ((a, b),),
        {"dim": 0},
        answers=([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]),
    )
    yield Sample(
        "last dimension", ((rng.normal(size=(3, 2)), rng.normal(size=(4, 3)).T, rng.normal(size=(3, 1))),), {"dim": 1}
    )
    yield Sample("one", ((rng.normal(size=(3, 2)),),), {"dim": 0})
    yield Sample("with an empty one", ((rng.normal(size=(2, 3)), rng.normal(size=(2, 0))),), {"dim": 1})
    yield Sample(
        "promoted",
        ((np.array([1, 2]), np.array([0.5], np.float32)),),
        {"dim": 0},
        answers=([1.0, 2.0, 0.5], [1.0]),
        dtypes=(),
    )
    yield Sample(
        "misfit",
        ((np.zeros((2, 3)), np.zeros((2, 4))),),
        raises=(
            RuntimeError,
            "cat: the sizes outside dimension 0 must agree, tensor 0 has shape (2, 3), tensor 1 has (2, 4)",
        ),
    )
    yield Sample(
        "0-d", ((np.zeros(()), np.zeros(())),), raises=(RuntimeError, "cat: 0-d tensors cannot be joined; use stack")
    )
    yield Sample("nothing", ((),), raises=(RuntimeError, "cat: expected at least one tensor"))


def split_samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 2.0, 3.0]),),
        {"dim": 0, "sizes": (2, 1)},
        answers=([1.0, 2.0], [3.0], [1.0, 1.0, 0.0]),
    )
    yield Sample("last dimension", (rng.normal(size=(5, 3)).T,), {"dim": 1, "sizes": (1, 3, 1)})
    yield Sample("one", (rng.normal(size=(3, 2)),), {"dim": 0, "sizes": (3,)})
    yield Sample("with an empty one", (rng.normal(size=(2, 3)),), {"dim": 1, "sizes": (0, 3)})
    yield Sample(
        "misfit",
        (np.zeros(3), [2, 2]),
        raises=(RuntimeError, "split: expected sizes that add up to 3, the size of dimension 0, got (2, 2)"),
    )
    yield Sample(
        "no size", (np.zeros(3), 0), raises=(RuntimeError, "split: the size of a part must be positive, got 0")
    )


CAT = register(
    Op(
        name="cat",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(
                of=("tensors",),
                keeps=(),
                op="split",
                settings=lambda call: {
                    "dim": call.settings["dim"],
                    "sizes": tuple(s[call.settings["dim"]] for s in call.shape("tensors")),
                },
            ),
        ),
        samples=samples,
        function=cat,
        promotion="arithmetic",
    )
)

SPLIT = register(
    Op(
        name="split",
        kernel=Kernel(numpy=cut, triton=repeated(cut)),
        grads=(Grad(of=("input",), keeps=(), op="cat", settings=lambda call: {"dim": call.settings["dim"]}),),
        samples=split_samples,
        function=split,
        differentiable=VARIADIC,
        view=True,
    )
)
