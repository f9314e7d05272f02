"""The greatest element: of everything or of several dimensions, or along one dimension with its place.

    out             = max of input over the reduced dimensions
    grad_input      = grad / (number of ties)  where input = out,  0 elsewhere          (``max(input)``, ``amax``)
    values, indices = max of input along dim, and where its first is
    grad_input      = grad  at indices,  0 elsewhere                                   (``max(input, dim)``)

A nan is greater than everything, as in PyTorch: it is the result, and the first nan's place its index.
"""

from typing import NamedTuple

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.elementwise import _number, run, widen
from ..framework.language import cdiv, jit, tl
from ..framework.language import reduce as fold
from ..framework.launch import cast, launch
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import (
    accumulator,
    blocks,
    dims_of,
    kept_dims,
    plus,
    reduce,
    result_shape,
    row_offset,
    rows_and_columns,
    spread_over,
)
from ..framework.repeat import repeated
from .sum import with_shape, without_shape


class MaxAlong(NamedTuple):
    """The greatest elements along a dimension, and where the first of each is (int64)."""

    values: Tensor
    indices: Tensor


def max(
    input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None
) -> Tensor | MaxAlong:
    """The greatest element; with ``dim``, ``(values, indices)`` along it; with another tensor, ``maximum`` of the two.

    ``dim`` stays with size 1 if ``keepdim``.  Raises IndexError for a dim that is empty or out of range, RuntimeError
    for an empty input without ``dim``.

    >>> max(Tensor([[1.0, 7.0], [5.0, 2.0]]), dim=1).indices.numpy()
    array([1, 0])
    """
    return extreme("max", MAX, MAX_ALONG, MaxAlong, "maximum", input, dim, keepdim, other)


def amax(input: Tensor, dim: int | tuple[int, ...] = (), keepdim: bool = False) -> Tensor:
    """The greatest element along ``dim``, one, several or all; gradients are shared out evenly among ties.

    Raises as ``max``.

    >>> amax(Tensor([[1.0, 7.0], [5.0, 2.0]]), dim=(0, 1)).item()
    7.0
    """
    return over_dims("amax", MAX, input, dim, keepdim)


def extreme(name, row, row_along, result, elementwise_name, input, dim, keepdim, other):
    """What ``max`` and ``min`` have in common: find out what is asked for."""
    if isinstance(dim, Tensor) or other is not None:
        if (other is not None and dim is not None) or keepdim:
            raise TypeError(f"{name}: expected either another tensor or dim and keepdim, got both")
        return OPS[elementwise_name].function(input, dim if other is None else other)
    if dim is None:
        if keepdim:
            raise TypeError(f"{name}: keepdim needs a dim")
        return over_dims(name, row, input, None, False)
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"{name}: expected dim to be one int, got {dim!r}; a{name} takes several")
    dims = dims_of(name, input.ndim, dim)
    check_filled(name, input.shape, dims)
    return result(*apply(row_along, input, dim=dims, keepdim=bool(keepdim)))


def over_dims(name, row, input, dim, keepdim):
    """``row`` over some or all dimensions, none of them empty."""
    dims = dims_of(name, input.ndim, dim)
    if not input.array.size and (dim is None or dim == ()):
        raise RuntimeError(f"{name}: an input of shape {input.shape} has no elements to choose from")
    check_filled(name, input.shape, dims)
    return apply(row, input, dim=dims, keepdim=bool(keepdim))


def check_filled(name, shape, dims):
    """Raise IndexError where a dimension to be reduced has no elements."""
    for d in dims:
        if not shape[d]:
            raise IndexError(f"{name}: dim {d} of the input {shape} has no elements to choose from")


def _exact(input):
    """Half types as float32, which NumPy's own loops know; exact and order-keeping."""
    return input.astype(np.float32) if input.dtype in dtypes.HALF else input


def forward_numpy(input, *, dim, keepdim):
    return np.asarray(np.maximum.reduce(_exact(input), axis=dim, keepdims=keepdim)).astype(input.dtype, copy=False)


def _ties_numpy(input, output):
    return (input == output) | ((input != input) & (output != output))


def backward_numpy(grad, input, output, *, dim, keepdim):
    tied = _ties_numpy(input, kept_dims(output, dim, keepdim))
    share = _exact(kept_dims(grad, dim, keepdim)) / np.add.reduce(
        tied, axis=dim, dtype=accumulator(grad.dtype), keepdims=True
    )
    return np.where(tied, share.astype(grad.dtype, copy=False), grad.dtype.type(0))


def average_numpy(grad, input, output, *, dim, keepdim):
    """The mean of ``grad`` over the elements that share the extreme."""
    tied = _ties_numpy(input, kept_dims(output, dim, keepdim))
    kind = accumulator(grad.dtype)
    total = np.add.reduce(np.where(tied, _exact(grad), kind.type(0)), axis=dim, keepdims=keepdim)
    return np.asarray(total / np.add.reduce(tied, axis=dim, dtype=kind, keepdims=keepdim)).astype(
        grad.dtype, copy=False
    )


@jit
def higher(a, b):
    """The greater of two values, or the nan among them."""
    return tl.where((a > b) | (a != a), a, b)


@jit
def _tied(x, y):
    return ((x == y) | ((x != x) & (y != y))).to(x.dtype)


@jit
def _tied_value(grad, x, y):
    return tl.where((x == y) | ((x != x) & (y != y)), grad, grad * 0)


@jit
def _tied_quotient(grad, x, y, n):
    return tl.where((x == y) | ((x != x) & (y != y)), grad / n, grad * 0)


@jit
def quotient(x, y):
    """x / y."""
    return x / y


def carrier(dtype):
    """The dtype in which elements are compared: it holds every value of ``dtype`` exactly."""
    return accumulator(dtype)


def limit(dtype, sign):
    """The least (sign -1) or greatest (sign 1) value of a carrier."""
    kind = carrier(dtype)
    return sign * float("inf") if kind.kind == "f" else np.iinfo(kind).min if sign < 0 else np.iinfo(kind).max


def forward_triton(input, *, dim, keepdim):
    return reduce(input, dim, keepdim, higher, limit(input.dtype, -1), acc=carrier(input.dtype))


def _count(input, output, dim):
    return reduce((input, output), dim, True, plus, 0, map=_tied, result=accumulator(input.dtype))


def _wide(array):
    kind = accumulator(array.dtype)
    return array if array.dtype == kind else cast(array, kind)


def backward_triton(grad, input, output, *, dim, keepdim):
    output = kept_dims(output, dim, keepdim)
    share = run(quotient, (_wide(kept_dims(grad, dim, keepdim)), _count(input, output, dim)), ())
    return run(_tied_value, (share if share.dtype == input.dtype else cast(share, input.dtype), input, output), ())


def average_triton(grad, input, output, *, dim, keepdim):
    output = kept_dims(output, dim, keepdim)
    n = spread_over(_count(input, output, dim), input.shape, dim, True)
    return reduce((grad, input, output, n), dim, keepdim, plus, 0, map=_tied_quotient)


# -- along one dimension, with places ------------------------------------------------------------------------------


def along_numpy(input, *, dim, keepdim):
    if not dim:
        return input.copy(), np.zeros((), np.int64)
    values = _exact(input)
    indices = np.argmax(values, axis=dim[0], keepdims=True)
    return pick_numpy(input, indices, dim=dim, keepdim=keepdim), indices if keepdim else np.squeeze(indices, dim)


def place_numpy(grad, indices, *, dim, keepdim, shape):
    """``grad`` at ``indices`` along ``dim``, 0 elsewhere."""
    if not dim:
        return grad
    out = np.zeros(shape, grad.dtype)
    np.put_along_axis(out, kept_dims(indices, dim, keepdim), kept_dims(grad, dim, keepdim), dim[0])
    return out


def pick_numpy(input, indices, *, dim, keepdim):
    """The elements at ``indices`` along ``dim``."""
    if not dim:
        return input
    out = np.take_along_axis(input, indices if indices.ndim == input.ndim else np.expand_dims(indices, dim), dim[0])
    return out if keepdim else np.squeeze(out, dim)


@jit
def first_higher(a, i, b, j):
    """The greater of two values with its place; of equals, and of nans, the first."""
    left = (a > b) | ((a != a) & (b == b)) | (((a == b) | ((a != a) & (b != b))) & (i < j))
    return tl.where(left, a, b), tl.where(left, i, j)


@jit
def _along(
    values_ptr,
    indices_ptr,
    in_ptr,
    places_ptr,
    M,
    R,
    per_split,
    identity,
    nowhere,
    kept_shape,
    kept_strides,
    shape,
    strides,
    COMBINE: tl.constexpr,
    KEPT_KIND: tl.constexpr,
    KIND: tl.constexpr,
    AXIS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # in: M rows of R elements, any strides · places: likewise, their numbers, or None for 0 to R - 1
    # values (None where not asked for), indices (splits, M), row-major
    # one program per BLOCK_M rows and split of R
    m = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    begin = tl.program_id(1) * per_split
    end = tl.minimum(begin + per_split, R)
    base = row_offset(m, KEPT_KIND, kept_shape, kept_strides)
    if AXIS == 1:
        best = tl.zeros((BLOCK_M, BLOCK_R), identity.dtype) + identity
        place = tl.zeros((BLOCK_M, BLOCK_R), tl.int64) + nowhere
    else:
        best = tl.zeros((BLOCK_R, BLOCK_M), identity.dtype) + identity
        place = tl.zeros((BLOCK_R, BLOCK_M), tl.int64) + nowhere
    for start in range(begin, end, BLOCK_R):
        r = start + tl.arange(0, BLOCK_R)
        mask = tl.expand_dims(m < M, AXIS) & tl.expand_dims(r < end, 1 - AXIS)
        offset = tl.expand_dims(base, AXIS) + tl.expand_dims(row_offset(r, KIND, shape, strides), 1 - AXIS)
        x = tl.where(mask, widen(tl.load(in_ptr + offset, mask=mask)).to(identity.dtype), identity)
        if places_ptr is not None:
            at = tl.load(places_ptr + offset, mask=mask)
        else:
            at = tl.expand_dims(r, 1 - AXIS).to(tl.int64)
        best, place = COMBINE(best, place, x, tl.where(mask, at, nowhere))
    best, place = fold((best, place), AXIS, COMBINE)
    to = tl.program_id(1).to(tl.int64) * M + m
    if values_ptr is not None:
        tl.store(values_ptr + to, best.to(values_ptr.dtype.element_ty), mask=m < M)
    tl.store(indices_ptr + to, place, mask=m < M)


def find(input, dims, keepdim, combine, sign, values=True):
    """The extreme along ``dims`` and its row-major place there, as ``(values or None, indices)``."""
    out_shape = result_shape(input.shape, dims, keepdim)
    best = empty_like(input, out_shape) if values else None
    place = empty_like(input, out_shape, np.dtype(np.int64))
    M = place.size
    if not M:
        return best, place
    R = input.size // M
    kind = carrier(input.dtype)
    worst, nowhere = _number(kind)(limit(input.dtype, -sign)), np.int64(2**63 - 1)
    (kept, (kept_steps,), (kept_kind,)), (columns, (steps,), (column_kind,)), across = rows_and_columns(
        ((input.shape, input.strides),), dims
    )
    block_m, block_r = blocks(M, R, input.backend, across=across)
    rows = cdiv(M, block_m)
    splits = min(cdiv(R, 4 * block_r), cdiv(2 * input.backend.programs, rows)) if R > 8 * block_r else 1
    per_split = cdiv(cdiv(R, splits), block_r) * block_r
    splits = cdiv(R, per_split)
    firsts = (
        (best, place)
        if splits == 1
        else (empty_like(input, (splits, M), kind), empty_like(input, (splits, M), place.dtype))
    )
    launch(
        _along,
        (rows, splits),
        *firsts,
        input,
        None,
        M,
        R,
        per_split,
        worst,
        nowhere,
        kept,
        kept_steps,
        columns,
        steps,
        COMBINE=combine,
        KEPT_KIND=kept_kind,
        KIND=column_kind,
        AXIS=0 if across else 1,
        BLOCK_M=block_m,
        BLOCK_R=block_r,
    )
    if splits > 1:
        # one program per BLOCK_M rows, (splits, M) folded down its columns
        block_m, block_r = blocks(M, splits, input.backend, across=True)
        launch(
            _along,
            (cdiv(M, block_m), 1),
            best,
            place,
            *firsts,
            M,
            splits,
            splits,
            worst,
            nowhere,
            (M,),
            (1,),
            (splits,),
            (M,),
            COMBINE=combine,
            KEPT_KIND="contiguous",
            KIND="strided",
            AXIS=0,
            BLOCK_M=block_m,
            BLOCK_R=block_r,
        )
    return best, place


def along_triton(input, *, dim, keepdim):
    return find(input, dim, keepdim, first_higher, 1)


@jit
def _place(out_ptr, grad_ptr, indices_ptr, n, inner, size, shape, grad_strides, index_strides, BLOCK: tl.constexpr):
    # out (outer, size, inner) of n elements, row-major · grad, indices (outer, inner), any strides
    # one program per BLOCK elements of out
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    row = element // inner // size * inner + element % inner
    chosen = tl.load(indices_ptr + row_offset(row, "strided", shape, index_strides), mask=mask)
    value = tl.load(grad_ptr + row_offset(row, "strided", shape, grad_strides), mask=mask)
    tl.store(out_ptr + element, tl.where(chosen == element // inner % size, value, value * 0), mask=mask)


@jit
def _pick(out_ptr, in_ptr, indices_ptr, n, step, shape, in_strides, index_strides, BLOCK: tl.constexpr):
    # out: n elements, row-major · in: one row for each, its elements ``step`` apart · indices: n, any strides
    # one program per BLOCK elements of out
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    chosen = tl.load(indices_ptr + row_offset(element, "strided", shape, index_strides), mask=mask, other=0)
    offset = row_offset(element, "strided", shape, in_strides) + chosen * step
    tl.store(out_ptr + element, tl.load(in_ptr + offset, mask=mask), mask=mask)


def place_triton(grad, indices, *, dim, keepdim, shape):
    if not dim:
        return grad
    out = empty_like(grad, shape)
    n = out.size
    grad, indices = kept_dims(grad, dim, keepdim), kept_dims(indices, dim, keepdim)
    (merged, (grad_steps, index_steps), _), _, _ = rows_and_columns(
        ((grad.shape, grad.strides), (indices.shape, indices.strides)), ()
    )
    inner = int(np.prod(shape[dim[0] + 1 :], dtype=np.int64))
    block = out.backend.block_size(n)
    launch(
        _place,
        (cdiv(n, block),),
        out,
        grad,
        indices,
        n,
        inner,
        shape[dim[0]],
        merged,
        grad_steps,
        index_steps,
        BLOCK=block,
    )
    return out


def pick_triton(input, indices, *, dim, keepdim):
    if not dim:
        return input
    indices = kept_dims(indices, dim, indices.ndim == input.ndim)
    out = empty_like(input, indices.shape)
    first = input.viewed(lambda a: a[(slice(None),) * dim[0] + (slice(0, 1),)])
    (merged, (in_steps, index_steps), _), _, _ = rows_and_columns(
        ((first.shape, first.strides), (indices.shape, indices.strides)), ()
    )
    n = out.size
    block = out.backend.block_size(n)
    launch(
        _pick,
        (cdiv(n, block),),
        out,
        input,
        indices,
        n,
        input.strides[dim[0]],
        merged,
        in_steps,
        index_steps,
        BLOCK=block,
    )
    return out if keepdim else out.viewed(lambda a: np.squeeze(a, dim))


def apart(rng, shape):
    """Random numbers no two of which are closer than 0.1, so that an extreme stays one under small steps."""
    n = int(np.prod(shape))
    return (rng.permutation(n) * 0.25 - n / 16).reshape(shape)


def samples(rng):
    x = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.0]])
    yield Sample("worked", (x,), {"dim": (0, 1), "keepdim": False}, answers=(3.0, [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]))
    yield Sample(
        "rows", (x,), {"dim": (1,), "keepdim": True}, answers=([[3.0], [2.0]], [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    )
    yield Sample(
        "nan",
        (np.array([[1.0, np.nan], [-np.inf, -np.inf]]),),
        {"dim": (1,), "keepdim": False},
        answers=([np.nan, -np.inf], [[0.0, 1.0], [0.5, 0.5]]),
    )
    yield Sample(
        "integers",
        (np.array([[-3, -4], [-(2**62) - 1, -(2**62)]]),),
        {"dim": (1,), "keepdim": False},
        answers=([-3, -(2**62)],),
        dtypes=(),
    )
    yield Sample(
        "bool",
        (np.array([[True, False], [False, False]]),),
        {"dim": (1,), "keepdim": False},
        answers=([True, False],),
        dtypes=(),
    )
    yield Sample("columns", (apart(rng, (37, 5)),), {"dim": (0,), "keepdim": False}, terms=37)
    yield Sample("outer and inner", (apart(rng, (3, 4, 5)),), {"dim": (0, 2), "keepdim": False})
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})
    yield Sample(
        "empty", (np.zeros((0,)),), raises=(RuntimeError, "max: an input of shape (0,) has no elements to choose from")
    )
    yield Sample(
        "empty dim",
        (np.zeros((0, 3)),),
        {"dim": 0},
        raises=(IndexError, "max: dim 0 of the input (0, 3) has no elements to choose from"),
    )
    yield Sample(
        "out of range",
        (x,),
        {"dim": 2},
        raises=(IndexError, "max: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
    )
    yield Sample(
        "several",
        (x,),
        {"dim": (0, 1)},
        raises=(TypeError, "max: expected dim to be one int, got (0, 1); amax takes several"),
    )


def along_samples(rng):
    x = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.0]])
    yield Sample(
        "worked",
        (x,),
        {"dim": (1,), "keepdim": False},
        answers=([3.0, 2.0], [1, 0], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    yield Sample(
        "nan",
        (np.array([[1.0, np.nan, np.nan], [-np.inf, -np.inf, -np.inf]]),),
        {"dim": (1,), "keepdim": True},
        answers=([[np.nan], [-np.inf]], [[1], [0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    yield Sample(
        "integers",
        (np.array([[5, 7, 7], [-8, -9, -8]], np.int32),),
        {"dim": (1,), "keepdim": False},
        answers=([7, -8], [1, 0]),
        dtypes=(),
    )
    yield Sample("columns", (apart(rng, (37, 5)),), {"dim": (0,), "keepdim": False})
    yield Sample("middle", (apart(rng, (3, 7, 4)).transpose(2, 1, 0),), {"dim": (1,), "keepdim": True})
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})
    yield Sample("empty", (np.zeros((0, 3)),), {"dim": (1,), "keepdim": False})


_TIES = ("input", "output")

MAX = register(
    Op(
        name="max",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=_TIES, op="max_backward"),),
        samples=samples,
        function=max,
    )
)

register(
    Op(
        name="max_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(Grad(of=("grad",), keeps=_TIES, op="max_average"),),
        zero=_TIES,
    )
)

register(
    Op(
        name="max_average",
        kernel=Kernel(numpy=average_numpy, triton=repeated(average_triton)),
        grads=(Grad(of=("grad",), keeps=_TIES, op="max_backward"),),
        zero=_TIES,
    )
)

MAX_ALONG = register(
    Op(
        name="max_along",
        kernel=Kernel(numpy=along_numpy, triton=repeated(along_triton)),
        outputs=("values", "indices"),
        grads=(Grad(of=("input",), keeps=("indices",), op="place", settings=with_shape),),
        samples=along_samples,
    )
)

register(
    Op(
        name="place",
        kernel=Kernel(numpy=place_numpy, triton=repeated(place_triton)),
        grads=(Grad(of=("grad",), keeps=("indices",), op="pick", settings=without_shape),),
        zero=("indices",),
    )
)

register(
    Op(
        name="pick",
        kernel=Kernel(numpy=pick_numpy, triton=repeated(pick_triton)),
        grads=(Grad(of=("input",), keeps=("indices",), op="place", settings=with_shape),),
        zero=("indices",),
    )
)
