"""Sorting along a dimension.

    sort   out = (values, indices): input in ascending (or descending) order along dim, and where each was;  stable always
    topk   out = the first k of them
    grad_input = grad at indices,  0 elsewhere

    sorted_take  out[..., i] = input[..., indices[..., i]]  along dim
    sorted_put   out[..., indices[..., i]] = grad[..., i],  0 elsewhere;  no index may be repeated in a row

A nan counts as greater than everything.

On a device rows are sorted by merging: runs of 16 by counting, for each element, those before it; then pairs of runs,
each element finding its place in the other run by bisection.  For rows of n that is log2(n / 16) + 1 launches and about
log2(n)^2 / 2 loads for each element, whatever n is; ``topk`` and all that rests on sorting cost the same.
"""

from typing import NamedTuple

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.elementwise import widen
from ..framework.fill import zeros_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, launch
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.shape import dimension


class Sorted(NamedTuple):
    """Elements in order, and where they were (int64)."""

    values: Tensor
    indices: Tensor


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
    """``(values, indices)`` of ``input`` in order along ``dim``.

    Equal elements keep their order, whether ``stable`` is asked for or not.  Raises IndexError for a dim out of range.

    >>> values, indices = sort(Tensor([3.0, 1.0, 2.0])); values.tolist(), indices.tolist()
    ([1.0, 2.0, 3.0], [1, 2, 0])
    """
    return Sorted(*_along("sort", SORT, input, dim, descending=bool(descending)))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Where the elements in order along ``dim`` are: the indices of ``sort``.

    >>> argsort(Tensor([3.0, 1.0, 2.0]), descending=True).tolist()
    [0, 2, 1]
    """
    return sort(input.detach(), dim, descending, stable).indices


def msort(input: Tensor) -> Tensor:
    """The values of ``input`` in ascending order along its first dimension.

    >>> msort(Tensor([3.0, 1.0, 2.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """``(values, indices)`` of the ``k`` greatest elements along ``dim``, or the least; in order, also if not ``sorted``.

    Raises RuntimeError for a k out of range, IndexError for such a dim.

    >>> topk(Tensor([3.0, 1.0, 2.0]), 2).values.tolist()
    [3.0, 2.0]
    """
    d = dimension("topk", dim, max(input.ndim, 1))
    n = input.shape[d] if input.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k {k} is out of range for dimension {d} of size {n}")
    if not input.ndim and not k:
        return Sorted(input.reshape(1)[:0], sort(input.detach().reshape(1)).indices[:0])
    return Sorted(*_along("topk", TOPK, input, dim, k=int(k), largest=bool(largest)))


def _along(name, row, input, dim, **settings):
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
    d = dimension(name, dim, max(input.ndim, 1))
    if input.ndim:
        return apply(row, input, dim=d, **settings)
    return tuple(x.reshape(()) for x in apply(row, input.reshape(1), dim=0, **settings))


# -- NumPy ------------------------------------------------------------------------------------------------------------


def order_numpy(input, dim, descending):
    """The indices that sort, stably, nan last, or first if descending."""
    values = input.astype(np.float32) if input.dtype in dtypes.HALF else input
    if not descending:
        return np.argsort(values, axis=dim, kind="stable")
    turned = np.argsort(np.flip(values, dim), axis=dim, kind="stable")
    return input.shape[dim] - 1 - np.flip(turned, dim)


def sort_numpy(input, *, dim, descending):
    indices = np.ascontiguousarray(order_numpy(input, dim, descending))
    return np.take_along_axis(input, indices, dim), indices


def topk_numpy(input, *, k, dim, largest):
    indices = order_numpy(input, dim, largest)
    indices = np.ascontiguousarray(indices[(slice(None),) * dim + (slice(0, k),)])
    return np.take_along_axis(input, indices, dim), indices


def take_numpy(input, indices, *, dim):
    return np.take_along_axis(input, indices, dim)


def put_numpy(grad, indices, *, dim, shape):
    out = np.zeros(shape, grad.dtype)
    np.put_along_axis(out, indices, grad, dim)
    return out


# -- Triton -----------------------------------------------------------------------------------------------------------


@jit
def _key(x):
    """What elements are compared as."""
    if x.dtype == tl.int1:
        return x.to(tl.int32)
    else:
        return widen(x)


@jit
def before(x, y, DESCENDING: tl.constexpr):
    """Whether x comes before y and is not equal to it."""
    if DESCENDING:
        return (x > y) | ((x != x) & (y == y))
    else:
        return (x < y) | ((y != y) & (x == x))


@jit
def _sort_runs(
    values_ptr, indices_ptr, in_ptr, size, n, RUN: tl.constexpr, DESCENDING: tl.constexpr, BLOCK: tl.constexpr
):
    # in, values, indices: size elements in rows of n, row-major; one program per BLOCK of them
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < size
    i = element % n
    row = element - i
    start = i // RUN * RUN
    value = tl.load(in_ptr + element, mask=mask)
    x = _key(value)
    place = start
    for k in range(RUN):
        j = start + k
        y = _key(tl.load(in_ptr + row + j, mask=mask & (j < n)))
        first = before(y, x, DESCENDING) | ((j < i) & ~before(x, y, DESCENDING))
        place += ((j < n) & first).to(tl.int64)
    tl.store(values_ptr + row + place, value, mask=mask)
    tl.store(indices_ptr + row + place, i, mask=mask)


@jit
def _merge(
    values_ptr,
    indices_ptr,
    in_ptr,
    places_ptr,
    size,
    n,
    run,
    steps,
    DESCENDING: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in, places: size elements in rows of n, row-major, in sorted runs of ``run``; values, indices: in runs of twice that
    # one program per BLOCK elements
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < size
    i = element % n
    row = element - i
    start = i // (2 * run) * (2 * run)
    middle = tl.minimum(start + run, n)
    left = i < middle
    value = tl.load(in_ptr + element, mask=mask)
    x = _key(value)
    low = tl.where(left, middle, start)
    high = tl.where(left, tl.minimum(start + 2 * run, n), middle)
    begin = low
    for _ in range(0, steps):
        at = (low + high) // 2
        y = _key(tl.load(in_ptr + row + at, mask=mask & (low < high)))
        further = tl.where(left, before(y, x, DESCENDING), ~before(x, y, DESCENDING)) & (low < high)
        high = tl.where(further, high, at)
        low = tl.where(further, at + 1, low)
    place = row + tl.where(left, i, i - middle + start) + (low - begin)
    tl.store(values_ptr + place, value, mask=mask)
    tl.store(indices_ptr + place, tl.load(places_ptr + element, mask=mask), mask=mask)


_INDEX = np.dtype(np.int64)
_RUN = 16


def _rows_first(array, dim):
    """A row-major array with ``dim`` last."""
    return contiguous(array.viewed(lambda a: np.moveaxis(a, dim, -1)))


def _back(array, dim):
    return array.viewed(lambda a: np.moveaxis(a, -1, dim))


def sorted_rows(rows, descending):
    """Values and indices of a row-major device array in order along its last dimension."""
    values, indices = empty_like(rows), empty_like(rows, dtype=_INDEX)
    size = rows.size
    if not size:
        return values, indices
    n = rows.shape[-1]
    block = rows.backend.block_size(size)
    grid = (cdiv(size, block),)  # one program per BLOCK elements
    launch(_sort_runs, grid, values, indices, rows, size, n, RUN=_RUN, DESCENDING=descending, BLOCK=block)
    run = _RUN
    while run < n:
        old = values, indices
        values, indices = empty_like(rows), empty_like(rows, dtype=_INDEX)
        launch(
            _merge,
            grid,
            values,
            indices,
            *old,
            size,
            n,
            run,
            run.bit_length(),
            DESCENDING=descending,
            BLOCK=block,
        )
        run *= 2
    return values, indices


def sort_triton(input, *, dim, descending):
    values, indices = sorted_rows(_rows_first(input, dim), descending)
    return contiguous(_back(values, dim)), contiguous(_back(indices, dim))


def topk_triton(input, *, k, dim, largest):
    found = sorted_rows(_rows_first(input, dim), largest)
    return tuple(contiguous(_back(x.viewed(lambda a: a[..., :k]), dim)) for x in found)


@jit
def _take(out_ptr, in_ptr, indices_ptr, size, k, n, BLOCK: tl.constexpr):
    # out, indices: size elements in rows of k · in: rows of n; all row-major; one program per BLOCK elements of out
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < size
    at = tl.load(indices_ptr + element, mask=mask, other=0)
    tl.store(out_ptr + element, tl.load(in_ptr + element // k * n + at, mask=mask), mask=mask)


@jit
def _put(out_ptr, in_ptr, indices_ptr, size, k, n, BLOCK: tl.constexpr):
    # in, indices: size elements in rows of k · out: rows of n; all row-major; one program per BLOCK elements of in
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < size
    at = tl.load(indices_ptr + element, mask=mask, other=0)
    tl.store(out_ptr + element // k * n + at, tl.load(in_ptr + element, mask=mask), mask=mask)


def take_triton(input, indices, *, dim):
    rows, places = _rows_first(input, dim), _rows_first(indices, dim)
    out = empty_like(rows, places.shape)
    if out.size:
        block = out.backend.block_size(out.size)
        # one program per BLOCK elements of out
        launch(_take, (cdiv(out.size, block),), out, rows, places, out.size, out.shape[-1], rows.shape[-1], BLOCK=block)
    return _back(out, dim)


def put_triton(grad, indices, *, dim, shape):
    rows, places = _rows_first(grad, dim), _rows_first(indices, dim)
    out = zeros_like(rows, (*rows.shape[:-1], shape[dim]))
    if rows.size:
        block = out.backend.block_size(rows.size)
        # one program per BLOCK elements of grad
        launch(_put, (cdiv(rows.size, block),), out, rows, places, rows.size, rows.shape[-1], shape[dim], BLOCK=block)
    return _back(out, dim)


def apart(rng, shape):
    """Random numbers no two of which are closer than 0.1, so that their order stays under small steps."""
    n = int(np.prod(shape))
    return (rng.permutation(n) * 0.125 - n / 16).reshape(shape)


def samples(rng):
    x = np.array([[3.0, 1.0, 2.0], [5.0, np.nan, -np.inf]])
    up = {"dim": 1, "descending": False}
    yield Sample("worked", (x,), up, answers=([[1.0, 2.0, 3.0], [-np.inf, 5.0, np.nan]], [[1, 2, 0], [2, 0, 1]]))
    yield Sample(
        "descending",
        (np.array([1.0, np.nan, 2.0, 1.0, np.nan]),),
        {"dim": 0, "descending": True},
        answers=([np.nan, np.nan, 2.0, 1.0, 1.0], [1, 4, 2, 0, 3], [1.0] * 5),
    )
    yield Sample("ties", (np.array([1, 0, 1, 0, 1]),), {"dim": 0, "descending": False}, dtypes=())
    yield Sample("bool", (rng.random((3, 40)) < 0.5,), {"dim": 1, "descending": True}, dtypes=())
    yield Sample("bytes", (rng.integers(0, 256, (2, 35)).astype("u1"),), up, dtypes=())
    yield Sample("rows", (apart(rng, (3, 37)),), up)
    yield Sample("columns", (apart(rng, (37, 5)),), {"dim": 0, "descending": True})
    yield Sample("middle", (apart(rng, (3, 18, 4)).transpose(2, 1, 0),), {"dim": 1, "descending": False})
    yield Sample("long", (rng.integers(0, 50, (700,)).astype(np.int32),), {"dim": 0, "descending": False}, dtypes=())
    yield Sample("empty", (np.zeros((2, 0)),), up)
    yield Sample(
        "out of range",
        (x,),
        {"dim": 2},
        raises=(IndexError, "sort: dimension 2 is out of range for a tensor of 2 dimensions"),
    )


def topk_samples(rng):
    x = np.array([[3.0, 1.0, 2.0], [5.0, np.nan, -np.inf]])
    yield Sample(
        "worked",
        (x,),
        {"k": 2, "dim": 1, "largest": True},
        answers=([[3.0, 2.0], [np.nan, 5.0]], [[0, 2], [1, 0]], [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
    )
    yield Sample(
        "least",
        (x,),
        {"k": 1, "dim": 0, "largest": False},
        answers=([[3.0, 1.0, -np.inf]], [[0, 0, 1]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    )
    yield Sample("rows", (apart(rng, (3, 37)),), {"k": 5, "dim": 1, "largest": True})
    yield Sample("columns", (apart(rng, (37, 5)),), {"k": 3, "dim": 0, "largest": False})
    yield Sample("none", (apart(rng, (3, 7)),), {"k": 0, "dim": 1, "largest": True})
    yield Sample(
        "too many",
        (x,),
        {"k": 4, "dim": 1},
        raises=(RuntimeError, "topk: k 4 is out of range for dimension 1 of size 3"),
    )


def take_samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    yield Sample(
        "worked",
        (x, np.array([[2, 0], [1, 2]])),
        {"dim": 1},
        answers=([[3.0, 1.0], [5.0, 6.0]], [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]),
    )
    yield Sample(
        "columns", (rng.normal(size=(9, 4)), rng.permuted(np.arange(36).reshape(9, 4) // 4, axis=0)), {"dim": 0}
    )
    yield Sample("empty", (rng.normal(size=(3, 4)), np.zeros((3, 0), np.int64)), {"dim": 1})


def _put_back(call):
    return {"dim": call.settings["dim"], "shape": call.shape("input")}


SORT = register(
    Op(
        name="sort",
        kernel=Kernel(numpy=sort_numpy, triton=repeated(sort_triton)),
        outputs=("values", "indices"),
        grads=(Grad(of=("input",), keeps=("indices",), op="sorted_put", settings=_put_back),),
        samples=samples,
        function=sort,
    )
)

TOPK = register(
    Op(
        name="topk",
        kernel=Kernel(numpy=topk_numpy, triton=repeated(topk_triton)),
        outputs=("values", "indices"),
        grads=(Grad(of=("input",), keeps=("indices",), op="sorted_put", settings=_put_back),),
        samples=topk_samples,
        function=topk,
    )
)

SORTED_TAKE = register(
    Op(
        name="sorted_take",
        kernel=Kernel(numpy=take_numpy, triton=repeated(take_triton)),
        grads=(Grad(of=("input",), keeps=("indices",), op="sorted_put", settings=_put_back),),
        samples=take_samples,
        zero=("indices",),
    )
)

SORTED_PUT = register(
    Op(
        name="sorted_put",
        kernel=Kernel(numpy=put_numpy, triton=repeated(put_triton)),
        grads=(
            Grad(
                of=("grad",),
                keeps=("indices",),
                op="sorted_take",
                settings=lambda call: {"dim": call.settings["dim"]},
            ),
        ),
        zero=("indices",),
    )
)
