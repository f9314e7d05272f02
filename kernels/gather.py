"""Elements picked along one dimension by an index of their own, and sums of what is sent back.

With ``i`` the places of all dimensions but ``dim``, of which index may have fewer than input:

    gather:           out[i, k]          = input[i, index[i, k]]
                      grad_input         = gather_backward(grad)

    gather_backward:  out[i, j]          = sum of grad[i, k] over all k with index[i, k] = j
                      grad_grad          = gather(grad)

The sum has no atomics and a fixed order.  On a device it costs, for an index of at most 16 elements along ``dim`` and
whole in the others, one pass over out that looks at these; else the index is sorted (see ``framework/order.py``) and one
program adds all repeats of a place.  Indices are checked on the host, but for those on a GPU, which is not waited for:
there, elements out of range are 0 and nothing is sent to them.
"""

from math import prod
from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import DeviceArray, contiguous_strides, empty_like
from ..framework.elementwise import _number
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, launch, offset_of
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import accumulator
from ..framework.shape import dimension
from .index import INDEX

_FEW = 16  # elements along the dimension up to which looking at each is cheaper than sorting
_INT64 = np.dtype(np.int64)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``input``'s elements at ``index`` (int64) along ``dim``, in the index's shape; its other sizes may be smaller.

    Raises RuntimeError for shapes that do not fit and for an index that is out of range or not of integers, IndexError
    for a dimension that does not exist.

    >>> gather(Tensor([[1, 2], [3, 4]]), 1, Tensor([[0, 0], [1, 0]])).tolist()
    [[1, 1], [4, 3]]
    """
    if sparse_grad:
        raise RuntimeError("gather: there are no sparse gradients")
    d = dimension("gather", dim, input.ndim)
    index = fitting_index("gather", input, d, index)
    if not input.ndim or not index.ndim:
        shape = index.shape
        return apply(GATHER, input.reshape(-1), index.reshape(-1), dim=0).reshape(shape)
    return apply(GATHER, input, index, dim=d)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As ``gather``, with the other dimensions of ``input`` and ``indices`` broadcast; flattened without ``dim``.

    Negative indices count from the end.  Raises as ``gather``.

    >>> take_along_dim(Tensor([[1, 2], [3, 4]]), Tensor([[1], [0]]), 1).tolist()
    [[2], [3]]
    """
    if dim is None:
        return gather(input.reshape(-1), 0, counted("take_along_dim", indices, input.numel()).reshape(-1))
    indices = integers("take_along_dim", indices)
    if indices.ndim != input.ndim:
        raise RuntimeError(
            f"take_along_dim: input and indices must have as many dimensions, they have {input.ndim} and {indices.ndim}"
        )
    d = dimension("take_along_dim", dim, input.ndim)
    own, other = list(input.shape), list(indices.shape)
    own[d] = other[d] = 1
    try:
        both = list(np.broadcast_shapes(tuple(own), tuple(other)))
    except ValueError:
        raise RuntimeError(
            f"take_along_dim: shapes {input.shape} and {indices.shape} do not broadcast outside dimension {d}"
        ) from None
    wide, index = (t.expand((*both[:d], t.shape[d], *both[d + 1 :])) if both else t for t in (input, indices))
    return gather(wide, d, counted("take_along_dim", index, wide.shape[d]))


def take(input: Tensor, index: Tensor) -> Tensor:
    """``input``'s elements by their row-major numbers, negative ones counted from the end, in the index's shape.

    Raises IndexError for a number out of range, RuntimeError for an index that is not of integers.

    >>> take(Tensor([[1, 2], [3, 4]]), Tensor([3, -4])).tolist()
    [4, 1]
    """
    numbers = counted("take", index, input.numel())
    if not input.ndim:
        input = input.reshape(1)
    return apply(INDEX, input, numbers, dims=tuple(range(input.ndim)))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices of ``input`` along ``dim``, copied, by their numbers: an int64 or int32 vector, or one number.

    Raises IndexError for a number out of range or an index of more dimensions, RuntimeError unless it is of integers.

    >>> index_select(Tensor([[1, 2], [3, 4]]), 1, Tensor([1, 1])).tolist()
    [[2, 2], [4, 4]]
    """
    d = dimension("index_select", dim, input.ndim)
    index = vector("index_select", input, d, index)
    if not input.ndim:
        return apply(INDEX, input.reshape(1), index, dims=(0,)).reshape(())
    return apply(INDEX, input, index, dims=(d,))


# -- what an index must be --------------------------------------------------------------------------------------------


def integers(name: str, index: Any) -> Tensor:
    """The index as int64.  Raises TypeError unless it is a tensor, RuntimeError unless one of int64 or int32."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}: expected the index to be a Tensor, got {type(index).__name__}")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}: expected an index of int64, got {index.dtype.name}")
    return index.to(dtypes.int64)


def checked(name: str, index: Tensor, size: int, error: type[Exception] = IndexError) -> None:
    """Raise ``error`` for an index outside [0, size); a GPU is not waited for."""
    if index.device.type == "cuda" or not index.numel():
        return
    values = index.host()
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= size:
        raise error(f"{name}: index {low if low < 0 else high} is out of range for size {size}")


def fitting_index(name: str, input: Tensor, d: int, index: Any) -> Tensor:
    """An index for elements along dimension ``d``, checked against ``input``."""
    index = integers(name, index)
    own, other = input.shape or (1,), index.shape or (1,)
    if len(own) != len(other) and index.numel():
        raise RuntimeError(
            f"{name}: index and input must have as many dimensions, shapes are {index.shape} and {input.shape}"
        )
    if any(n > m for e, (n, m) in enumerate(zip(other, own, strict=False)) if e != d) and index.numel():
        raise RuntimeError(
            f"{name}: index of shape {index.shape} is larger than input of shape {input.shape} outside dimension {d}"
        )
    checked(name, index, own[d], RuntimeError)
    return index


def vector(name: str, input: Tensor, d: int, index: Any) -> Tensor:
    """Numbers of slices along dimension ``d``, a vector, checked against ``input``."""
    index = integers(name, index)
    if index.ndim > 1:
        raise IndexError(f"{name}: expected a vector of numbers, got an index of shape {index.shape}")
    checked(name, index, input.shape[d] if input.ndim else 1)
    return index.reshape(-1)


def counted(name: str, index: Any, size: int) -> Tensor:
    """Numbers of elements, negative ones counted from the end, checked."""
    index = integers(name, index)
    if index.device.type == "cuda":
        return index + (index < 0).to(dtypes.int64) * size
    values = index.host()
    if values.size:
        low, high = int(values.min()), int(values.max())
        if low < -size or high >= size:
            raise IndexError(f"{name}: index {low if low < -size else high} is out of range for {size} elements")
        if low < 0:
            return Tensor(np.where(values < 0, values + size, values), device=index.device)
    return index


# -- both -------------------------------------------------------------------------------------------------------------


def places(index, shape, dim):
    """Row-major numbers, in an array of ``shape``, of the elements that ``index`` names along ``dim``; any device."""
    steps = contiguous_strides(shape)
    if isinstance(index, DeviceArray):
        out = empty_like(index)
        n = out.size
        block = out.backend.block_size(n)
        # one program per BLOCK elements of index
        launch(
            _places,
            (cdiv(n, block),),
            out,
            index,
            n,
            prod(shape),
            shape[dim],
            steps[dim],
            index.shape,
            index.strides,
            tuple(0 if d == dim else s for d, s in enumerate(steps)),
            BLOCK=block,
        )
        return out
    out = index * steps[dim]
    for d, n in enumerate(index.shape):
        if d != dim and n > 1:
            out += (np.arange(n) * steps[d]).reshape(n, *(1,) * (index.ndim - 1 - d))
    return out


# -- NumPy ------------------------------------------------------------------------------------------------------------


def forward_numpy(input, index, *, dim):
    if not index.size:
        return np.empty(index.shape, input.dtype)
    whole = tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))
    return np.take_along_axis(input[whole], index, dim)


def backward_numpy(grad, index, *, dim, shape):
    if index.shape[dim] == 1 and index.size:  # no place is named twice
        out = np.zeros(shape, grad.dtype)
        whole = tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))
        np.put_along_axis(out[whole], index, grad, dim)
        return out
    flat = places(index, shape, dim).reshape(-1)
    add = OPS["index_backward"].kernel.numpy
    return add(grad.reshape(-1), flat, dims=(0,), shape=(prod(shape),)).reshape(shape)


# -- Triton -----------------------------------------------------------------------------------------------------------


@jit
def _places(out_ptr, index_ptr, n, total, size, step, shape, index_strides, steps, BLOCK: tl.constexpr):
    # index, out (shape): n elements; out row-major, ``total`` where index is out of range
    # one program per BLOCK elements
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    k = tl.load(index_ptr + offset_of(element, shape, index_strides), mask=mask, other=0)
    place = offset_of(element, shape, steps) + k * step
    tl.store(out_ptr + element, tl.where((k >= 0) & (k < size), place, total), mask=mask)


@jit
def _gather(out_ptr, in_ptr, index_ptr, n, size, step, shape, index_strides, steps, BLOCK: tl.constexpr):
    # index, out (shape): n elements, out row-major · in: ``size`` elements ``step`` apart along the dimension, ``steps``
    # in the others · one program per BLOCK elements of out
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    k = tl.load(index_ptr + offset_of(element, shape, index_strides), mask=mask, other=0)
    there = mask & (k >= 0) & (k < size)
    value = tl.load(in_ptr + offset_of(element, shape, steps) + k * step, mask=there, other=0)
    tl.store(out_ptr + element, value, mask=mask)


@jit
def _scan(out_ptr, grad_ptr, index_ptr, n, size, inner, zero, FEW: tl.constexpr, BLOCK: tl.constexpr):
    # grad, index (before, FEW, inner) · out (before, size, inner), n elements · all row-major
    # one program per BLOCK elements of out
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    row = element // inner
    own = row % size
    at = (row // size) * FEW * inner + element % inner
    acc = tl.zeros((BLOCK,), zero.dtype) + zero
    for k in range(0, FEW):
        hit = mask & (tl.load(index_ptr + at + k * inner, mask=mask, other=-1) == own)
        acc += tl.load(grad_ptr + at + k * inner, mask=hit, other=0).to(acc.dtype)
    tl.store(out_ptr + element, acc.to(out_ptr.dtype.element_ty), mask=mask)


def forward_triton(input, index, *, dim):
    out = empty_like(input, index.shape)
    n = out.size
    block = out.backend.block_size(n)
    # one program per BLOCK elements of out
    launch(
        _gather,
        (cdiv(n, block),),
        out,
        input,
        index,
        n,
        input.shape[dim],
        input.strides[dim],
        index.shape,
        index.strides,
        tuple(0 if d == dim else s for d, s in enumerate(input.strides)),
        BLOCK=block,
    )
    return out


def backward_triton(grad, index, *, dim, shape):
    few = index.shape[dim]
    if 0 < few <= _FEW and all(n == m for d, (n, m) in enumerate(zip(index.shape, shape, strict=True)) if d != dim):
        out = empty_like(grad, shape)
        n = out.size
        block = out.backend.block_size(n)
        # one program per BLOCK elements of out
        launch(
            _scan,
            (cdiv(n, block),),
            out,
            contiguous(grad),
            contiguous(index),
            n,
            shape[dim],
            prod(shape[dim + 1 :]),
            _number(accumulator(grad.dtype))(0),
            FEW=few,
            BLOCK=block,
        )
        return out
    flat = contiguous(grad).viewed(lambda a: a.reshape(-1))
    numbers = places(index, shape, dim).viewed(lambda a: a.reshape(-1))
    out = OPS["index_backward"].kernel.triton(flat, numbers, dims=(0,), shape=(prod(shape),))
    return out.viewed(lambda a: a.reshape(shape))


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    yield Sample(
        "worked",
        (x, np.array([[2, 0], [1, 1]])),
        {"dim": 1},
        answers=([[3.0, 1.0], [5.0, 5.0]], [[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]]),
    )
    yield Sample(
        "smaller index",
        (x, np.array([[1, 0]])),
        {"dim": 0},
        answers=([[4.0, 2.0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    yield Sample("one each", (rng.normal(size=(5, 7)), rng.integers(0, 7, (5, 1))), {"dim": 1})
    yield Sample("middle", (rng.normal(size=(4, 5, 3)).T, rng.integers(0, 5, (3, 6, 4))), {"dim": 1}, terms=6)
    yield Sample("smaller", (rng.normal(size=(4, 5, 3)), rng.integers(0, 4, (9, 2, 3))), {"dim": 0}, terms=9)
    yield Sample("strided index", (rng.normal(size=(4, 6)), rng.integers(0, 6, (5, 4)).T), {"dim": 1}, terms=5)
    yield Sample("long", (rng.normal(size=(40,)), rng.integers(0, 40, (700,))), {"dim": 0}, terms=40)
    yield Sample("none", (rng.normal(size=(3, 4)), np.zeros((3, 0), np.int64)), {"dim": 1})
    yield Sample("integers", (np.array([10, 20, 30]), np.array([1, 1])), {"dim": 0}, answers=([20, 20],), dtypes=())
    yield Sample(
        "out of range",
        (np.zeros((2, 3)), 1, np.array([[3], [0]])),
        raises=(RuntimeError, "gather: index 3 is out of range for size 3"),
    )
    yield Sample(
        "dimensions",
        (np.zeros((2, 3)), 1, np.array([0])),
        raises=(RuntimeError, "gather: index and input must have as many dimensions, shapes are (1,) and (2, 3)"),
    )
    yield Sample(
        "larger",
        (np.zeros((2, 3)), 1, np.array([[0], [0], [0]])),
        raises=(
            RuntimeError,
            "gather: index of shape (3, 1) is larger than input of shape (2, 3) outside dimension 1",
        ),
    )
    yield Sample(
        "floats",
        (np.zeros(3), 0, np.array([0.0])),
        dtypes=(),
        raises=(RuntimeError, "gather: expected an index of int64, got float64"),
    )


GATHER = register(
    Op(
        name="gather",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(
            Grad(
                of=("input",),
                keeps=("index",),
                op="gather_backward",
                settings=lambda call: {"dim": call.settings["dim"], "shape": call.shape("input")},
            ),
        ),
        samples=samples,
        function=gather,
    )
)

GATHER_BACKWARD = register(
    Op(
        name="gather_backward",
        kernel=Kernel(numpy=backward_numpy, triton=backward_triton),
        grads=(Grad(of=("grad",), keeps=("index",), op="gather", settings=lambda call: {"dim": call.settings["dim"]}),),
    )
)
