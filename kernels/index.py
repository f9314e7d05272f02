"""Elements of an array by number: what is left of an index when its basic part has made a view.

``positions`` are row-major numbers of places in the dimensions ``dims`` together.  The result has the shape of the
positions where those dimensions were, if they stand side by side, else at its front.

    index:      out[a, p, c]    = input[a, positions[p], c]
                grad_input      = zeros, with grad[a, p, c] added at [a, positions[p], c]

    index_put:  out             = input, but out[a, positions[p], c] = value[a, p, c]; no position may be repeated
                grad_input      = grad, but zeros at the positions
                grad_value      = grad at the positions

The sum in ``index_backward`` runs over the repeats of each position in their order, without atomics, so that it does
not vary from run to run; on a device the positions are sorted there first (see ``framework/order.py``), and one program
adds all repeats of a position.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.elementwise import _number
from ..framework.fill import zeros_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, copied, launch, offset_of
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.order import ordered
from ..framework.reduction import accumulator
from ..framework.strides import classify


def lead(dims: tuple[int, ...]) -> int:
    """How many dimensions stand before those of the positions in the result."""
    return dims[0] if dims[-1] - dims[0] + 1 == len(dims) else 0


def indexed_shape(shape: tuple[int, ...], positions: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the result: input's ``shape`` with that of the positions in place of ``dims``."""
    rest = [n for d, n in enumerate(shape) if d not in dims]
    first = lead(dims)
    return (*rest[:first], *positions, *rest[first:])


# -- NumPy ------------------------------------------------------------------------------------------------------------


def _key(shape, positions, dims):
    """The positions as an index that NumPy understands."""
    key = [slice(None)] * len(shape)
    for d, where in zip(
        dims,
        np.unravel_index(positions, [shape[d] for d in dims]) if positions.size else [positions] * len(dims),
        strict=True,
    ):
        key[d] = where
    return tuple(key)


def _merged(array, dims):
    """The array with ``dims`` as one dimension, which positions index faster, where that is a view."""
    if len(dims) == 1 or dims[-1] - dims[0] + 1 != len(dims) or not array.flags.c_contiguous:
        return array, dims
    first, last = dims[0], dims[-1] + 1
    shape = array.shape
    return array.reshape(*shape[:first], prod(shape[first:last]), *shape[last:], copy=False), (first,)


def forward_numpy(input, positions, *, dims):
    input, dims = _merged(input, dims)
    if len(dims) == 1:
        return np.take(input, positions, dims[0]) if positions.size else input[_key(input.shape, positions, dims)]
    return input[_key(input.shape, positions, dims)]


def backward_numpy(grad, positions, *, dims, shape):
    out = np.zeros(shape, grad.dtype)
    flat = positions.reshape(-1)
    if grad.size == flat.size and grad.dtype != np.int64 and out.size:  # one number each: summed in float64, in order
        sums = np.bincount(flat, grad.reshape(-1), out.size)
        return sums.reshape(shape).astype(grad.dtype, copy=False)
    order, starts = _groups(flat)
    if starts.size == flat.size:  # no position is repeated
        put(out, grad, positions, dims)
        return out
    first = lead(dims)
    rows = grad.reshape(*grad.shape[:first], flat.size, *grad.shape[first + positions.ndim :])
    rows = np.moveaxis(rows, first, 0)[order]
    if grad.dtype in dtypes.HALF:
        rows = rows.astype(np.float32)
    rest = [d for d in range(len(shape)) if d not in dims]
    front = out.transpose(*dims, *rest)
    front[np.unravel_index(flat[order[starts]], [shape[d] for d in dims])] = np.add.reduceat(rows, starts, axis=0)
    return out


def _groups(flat):
    """A stable order of the positions, and where in it each different one begins."""
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    new = np.ones(flat.size, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return order, np.flatnonzero(new)


def put_numpy(input, value, positions, *, dims):
    out = np.array(input, order="C")
    put(out, value, positions, dims)
    return out


def clear_numpy(grad, positions, *, dims):
    return put_numpy(grad, np.zeros((), grad.dtype), positions, dims=dims)


# -- Triton -----------------------------------------------------------------------------------------------------------


@jit
def _gather(
    out_ptr,
    in_ptr,
    positions_ptr,
    n,
    count,
    inner,
    all_among,
    before,
    before_strides,
    among,
    among_strides,
    after,
    after_strides,
    BLOCK: tl.constexpr,
):
    # in (before, among, after), any strides · positions (count,), places in among, which has all_among of them
    # out (before, count, after), row-major, 0 for a position that is no such place
    # one program per BLOCK elements of out
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    row = element // inner
    position = tl.load(positions_ptr + row % count, mask=mask, other=0)
    where = (
        offset_of(row // count, before, before_strides)
        + offset_of(position, among, among_strides)
        + offset_of(element % inner, after, after_strides)
    )
    there = mask & (position >= 0) & (position < all_among)
    tl.store(out_ptr + element, tl.load(in_ptr + where, mask=there, other=0), mask=mask)


@jit
def _scatter(
    out_ptr,
    value_ptr,
    positions_ptr,
    n,
    count,
    inner,
    before,
    before_strides,
    before_steps,
    among,
    among_strides,
    places,
    places_steps,
    after,
    after_strides,
    after_steps,
    BLOCK: tl.constexpr,
):
    # value (before, count, after), any strides (steps) · positions (count,), places in among, none repeated
    # out (before, among, after), any strides · one program per BLOCK elements of value
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    row, last = element // inner, element % inner
    first, number = row // count, row % count
    position = tl.load(positions_ptr + number, mask=mask, other=0)
    value = tl.load(
        value_ptr
        + offset_of(first, before, before_steps)
        + offset_of(number, places, places_steps)
        + offset_of(last, after, after_steps),
        mask=mask,
    )
    where = (
        offset_of(first, before, before_strides)
        + offset_of(position, among, among_strides)
        + offset_of(last, after, after_strides)
    )
    tl.store(out_ptr + where, value, mask=mask)


@jit
def _add_up(out_ptr, grad_ptr, keys_ptr, ends_ptr, n, count, inner, all_among, zero, BLOCK: tl.constexpr):
    # grad (before, count, after), row-major · keys, ends (count,): the numbers of positions, sorted by place
    # out (before, all_among, after), row-major · one program per BLOCK elements of grad, of which each group's first adds
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < n
    row, last = element // inner, element % inner
    first, begin = row // count, row % count
    end = tl.load(ends_ptr + begin, mask=mask, other=0)
    place = tl.load(keys_ptr + begin, mask=mask, other=0) // count
    acc = tl.zeros((BLOCK,), zero.dtype) + zero
    longest = tl.max(tl.where(mask, end - begin, 0), 0)
    for i in range(0, longest):
        live = mask & (begin + i < end)
        number = tl.load(keys_ptr + begin + i, mask=live, other=0) % count
        acc += tl.load(grad_ptr + (first * count + number) * inner + last, mask=live, other=0).to(acc.dtype)
    mask = mask & (begin < end) & (place < all_among)
    tl.store(out_ptr + (first * all_among + place) * inner + last, acc.to(out_ptr.dtype.element_ty), mask=mask)


def _group(shape, dims, *strides):
    """Dimensions ``dims`` of arrays with these strides, merged where all allow: shape, then strides of each."""
    merged, steps, _ = classify(tuple(shape[d] for d in dims), tuple(tuple(s[d] for d in dims) for s in strides))
    return merged, *steps


def _around(ndim, dims):
    """The dimensions before and after those of the positions in the result."""
    rest = tuple(d for d in range(ndim) if d not in dims)
    first = lead(dims)
    return rest[:first], rest[first:]


def forward_triton(input, positions, *, dims):
    shape = input.shape
    before, after = _around(len(shape), dims)
    out = empty_like(input, indexed_shape(shape, positions.shape, dims))
    n = out.size
    block = out.backend.block_size(n)
    # one program per BLOCK elements of out
    launch(
        _gather,
        (cdiv(n, block),),
        out,
        input,
        contiguous(positions),
        n,
        positions.size,
        prod(shape[d] for d in after),
        prod(shape[d] for d in dims),
        *_group(shape, before, input.strides),
        *_group(shape, dims, input.strides),
        *_group(shape, after, input.strides),
        BLOCK=block,
    )
    return out


def backward_triton(grad, positions, *, dims, shape):
    rest = tuple(d for d in range(len(shape)) if d not in dims)
    first = lead(dims)
    among = prod(shape[d] for d in dims)
    # (before, among, after) in memory; the dimensions are put back in their order below
    out = zeros_like(grad, tuple(shape[d] for d in (*rest[:first], *dims, *rest[first:])))
    n = grad.size
    if n:
        keys, ends = ordered(positions)
        block = grad.backend.block_size(n)
        # one program per BLOCK elements of grad
        launch(
            _add_up,
            (cdiv(n, block),),
            out,
            contiguous(grad),
            keys,
            ends,
            n,
            positions.size,
            prod(shape[d] for d in rest[first:]),
            among,
            _number(accumulator(grad.dtype))(0),
            BLOCK=block,
        )
    places = (*rest[:first], *dims, *rest[first:])
    return out.viewed(lambda a: a.transpose(sorted(range(len(shape)), key=places.__getitem__)))


def put_triton(input, value, positions, *, dims):
    out = copied(input)
    put(out, value, positions, dims)
    return out


def clear_triton(grad, positions, *, dims):
    return put_triton(grad, zeros_like(grad, ()), positions, dims=dims)


# -- both -------------------------------------------------------------------------------------------------------------


def put(out, value, positions, dims):
    """Write ``value``, which broadcasts, into ``out`` at positions of which none is repeated; on any device."""
    if isinstance(out, np.ndarray):
        out, dims = _merged(out, dims)
        out[_key(out.shape, positions, dims)] = value
        return
    shape = out.shape
    region = indexed_shape(shape, positions.shape, dims)
    n = prod(region)
    if not n:
        return
    value = value.viewed(lambda a: np.broadcast_to(a, region))
    before, after = _around(len(shape), dims)
    first, last = len(before), len(region) - len(after)
    merged_before, outer, outer_steps = _paired(shape, before, out.strides, value.strides[:first])
    merged_after, inner, inner_steps = _paired(shape, after, out.strides, value.strides[last:])
    places, places_steps = _group(region, tuple(range(first, last)), value.strides)
    block = out.backend.block_size(n)
    # one program per BLOCK elements of value
    launch(
        _scatter,
        (cdiv(n, block),),
        out,
        value,
        contiguous(positions),
        n,
        positions.size,
        prod(shape[d] for d in after),
        merged_before,
        outer,
        outer_steps,
        *_group(shape, dims, out.strides),
        places,
        places_steps,
        merged_after,
        inner,
        inner_steps,
        BLOCK=block,
    )


def _paired(shape, dims, strides, steps):
    """Dimensions of ``out`` merged together with those of ``value`` that they meet."""
    merged, (own, other), _ = classify(tuple(shape[d] for d in dims), (tuple(strides[d] for d in dims), steps))
    return merged, own, other


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    yield Sample(
        "worked",
        (x, np.array([2, 0, 2])),
        {"dims": (1,)},
        answers=([[3.0, 1.0, 3.0], [6.0, 4.0, 6.0]], [[1.0, 0.0, 2.0], [1.0, 0.0, 2.0]]),
    )
    yield Sample(
        "both dimensions",
        (x, np.array([5, 0])),
        {"dims": (0, 1)},
        answers=([6.0, 1.0], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    )
    yield Sample("middle", (rng.normal(size=(3, 5, 4)), rng.integers(0, 5, (2, 3))), {"dims": (1,)}, terms=6)
    yield Sample("first", (rng.normal(size=(7, 4, 3)).T, rng.integers(0, 3, (9,))), {"dims": (0,)}, terms=9)
    yield Sample("apart", (rng.normal(size=(3, 4, 2)), rng.integers(0, 6, (2, 5))), {"dims": (0, 2)}, terms=10)
    yield Sample("0-d positions", (rng.normal(size=(3, 4)), np.array(2)), {"dims": (0,)})
    yield Sample("none", (rng.normal(size=(3, 4)), np.zeros((0,), np.int64)), {"dims": (0,)})
    yield Sample("empty", (rng.normal(size=(3, 0)), np.array([1, 1])), {"dims": (0,)})
    yield Sample("long", (rng.normal(size=(40,)), rng.integers(0, 40, (1100,))), {"dims": (0,)}, terms=60)
    yield Sample("integers", (np.array([10, 20, 30]), np.array([1, 1])), {"dims": (0,)}, answers=([20, 20],), dtypes=())


def put_samples(rng):
    x = np.array([1.0, 2.0, 3.0, 4.0])
    yield Sample(
        "worked",
        (x, np.array([8.0, 9.0]), np.array([3, 0])),
        {"dims": (0,)},
        answers=([9.0, 2.0, 3.0, 8.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0]),
    )
    yield Sample(
        "one value", (rng.normal(size=(3, 4)), rng.normal(size=()), np.array([0, 5, 11])), {"dims": (0, 1)}, terms=3
    )
    yield Sample(
        "middle", (rng.normal(size=(3, 5, 4)), rng.normal(size=(2, 4)), np.array([4, 1])), {"dims": (1,)}, terms=3
    )
    yield Sample(
        "apart",
        (rng.normal(size=(4, 3, 2)).T, rng.normal(size=(2, 2, 3)), np.array([[7, 0], [3, 2]])),
        {"dims": (0, 2)},
    )
    yield Sample("none", (rng.normal(size=(3, 4)), rng.normal(size=(1, 4)), np.zeros((0,), np.int64)), {"dims": (0,)})


INDEX = register(
    Op(
        name="index",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(
            Grad(
                of=("input",),
                keeps=("positions",),
                op="index_backward",
                settings=lambda call: {"dims": call.settings["dims"], "shape": call.shape("input")},
            ),
        ),
        samples=samples,
    )
)

register(
    Op(
        name="index_backward",
        kernel=Kernel(numpy=backward_numpy, triton=backward_triton),
        grads=(
            Grad(of=("grad",), keeps=("positions",), op="index", settings=lambda call: {"dims": call.settings["dims"]}),
        ),
    )
)

INDEX_PUT = register(
    Op(
        name="index_put",
        kernel=Kernel(numpy=put_numpy, triton=put_triton),
        grads=(
            Grad(of=("input",), keeps=("positions",), op="index_clear"),
            Grad(of=("value",), keeps=("positions",), op="index"),
        ),
        samples=put_samples,
    )
)

register(
    Op(
        name="index_clear",
        kernel=Kernel(numpy=clear_numpy, triton=clear_triton),
        grads=(Grad(of=("grad",), keeps=("positions",), op="index_clear"),),
    )
)
