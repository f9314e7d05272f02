"""Different values, and how often there are which.

    unique              out = the different values in ascending order;  out[inverse] = input
    unique_consecutive  out = input without elements that equal the one before;  out[inverse] = input
    bincount            out_i = number, or sum of the weights, of the elements that are i
    histc               out_i = number of the elements in the i-th of ``bins`` equal parts of [min, max]
    searchsorted        out = number of elements of the sorted row that are < the value, or <= it if ``right``

How many values there are is not known before, so all but the last wait for the device.  Nothing has a gradient but
``bincount`` of weights: grad_weights = grad[input].
"""

from math import isfinite
from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, launch
from ..framework.op import OPS, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.shape import dimension
from .cat import cat
from .compare import ne
from .create import _from_host
from .cumsum import cumsum
from .max import max as greatest
from .min import min as least
from .sort import SORTED_PUT, _key, before, sort


def _numbers(n, input):
    """0 to n - 1 beside ``input``."""
    return _from_host(np.arange(n), input.device, False)


def _starts(ordered):
    """Where in a 1-d tensor a new value begins; a nan is unlike every other."""
    first = _from_host(np.ones(min(1, ordered.shape[0]), bool), ordered.device, False)
    return cat([first, ne(ordered[1:], ordered[:-1])]) if ordered.shape[0] else first


def _counts(starts, total):
    """How long each of the runs is that begin where ``starts`` holds."""
    begin = _numbers(total, starts)[starts]
    end = cat([begin[1:], _from_host(np.full(min(1, begin.shape[0]), total), starts.device, False)])
    return end - begin


def _answer(values, inverse, counts):
    given = [x for x in (values, inverse, counts) if x is not None]
    return given[0] if len(given) == 1 else tuple(given)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The different values of ``input`` in ascending order, or its different slices along ``dim``.

    With ``return_inverse`` also where each element went, with ``return_counts`` also how often each value is there.
    In order also where ``sorted`` is not asked for.  Every nan is a value of its own.

    >>> values, counts = unique(Tensor([3, 1, 1]), return_counts=True); values.tolist(), counts.tolist()
    ([1, 3], [2, 1])
    """
    input = input.detach()
    if dim is not None:
        return _slices("unique", input, dim, True, return_inverse, return_counts)
    flat = input.reshape(-1)
    ordered, order = sort(flat)
    starts = _starts(ordered)
    inverse = None
    if return_inverse:
        inverse = apply(SORTED_PUT, cumsum(starts, 0) - 1, order, dim=0, shape=flat.shape).reshape(input.shape)
    counts = _counts(starts, flat.shape[0]) if return_counts else None
    return _answer(ordered[starts], inverse, counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Tensor | tuple[Tensor, ...]:
    """``input``, flattened, without elements that equal the one before; or without such slices along ``dim``.

    With ``return_inverse`` also where each element went, with ``return_counts`` also how many went there.

    >>> unique_consecutive(Tensor([3, 1, 1, 3])).tolist()
    [3, 1, 3]
    """
    input = input.detach()
    if dim is not None:
        return _slices("unique_consecutive", input, dim, False, return_inverse, return_counts)
    flat = input.reshape(-1)
    starts = _starts(flat)
    inverse = (cumsum(starts, 0) - 1).reshape(input.shape) if return_inverse else None
    counts = _counts(starts, flat.shape[0]) if return_counts else None
    return _answer(flat[starts], inverse, counts)


def _slices(name, input, dim, ordering, return_inverse, return_counts):
    """Different slices: ordered by one stable sort for each of their elements, the last first."""
    d = dimension(name, dim, input.ndim)
    rows = input.movedim(d, 0)
    n = rows.shape[0]
    flat = rows.reshape(n, -1)
    order = _numbers(n, input)
    if ordering:
        for column in reversed(range(flat.shape[1])):
            order = order[sort(flat[:, column][order]).indices]
        flat = flat[order]
    starts = _from_host(np.ones(min(1, n), bool), input.device, False)
    if n > 1:
        starts = cat([starts, ne(flat[1:], flat[:-1]).any(1)])
    inverse = None
    if return_inverse:
        inverse = cumsum(starts, 0) - 1
        if ordering:
            inverse = apply(SORTED_PUT, inverse, order, dim=0, shape=(n,))
    counts = _counts(starts, n) if return_counts else None
    chosen = rows[order[starts]]
    return _answer(chosen.movedim(0, d), inverse, counts)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on is in the 1-d integer tensor ``input``, or the sum of its ``weights``.

    The result has at least ``minlength`` elements: int64, or with weights float64, of float32 ones float32.
    Sums are in the order of the elements.  Raises RuntimeError for negative numbers, for floats and other shapes.

    >>> bincount(Tensor([3, 1, 1])).tolist()
    [0, 2, 0, 1]
    """
    if input.ndim != 1 or input.dtype.is_floating_point or input.dtype is dtypes.bool_:
        raise RuntimeError(f"bincount: expected a 1-d integer tensor, got {input.dtype.name} {input.shape}")
    if minlength < 0:
        raise RuntimeError(f"bincount: expected minlength >= 0, got {minlength}")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError(f"bincount: expected weights of the input's shape {input.shape}, got {weights.shape}")
    size = minlength
    if input.shape[0]:
        lowest: Any = least(input)
        if lowest.item() < 0:
            raise RuntimeError("bincount: expected no negative numbers")
        highest: Any = greatest(input)
        size = max(minlength, int(highest.item()) + 1)
    if weights is None:
        weights = _from_host(np.ones(input.shape, np.int64), input.device, False)
    elif weights.dtype is not dtypes.float32:
        weights = weights.to(dtypes.float64)
    return apply(OPS["index_backward"], weights, input.to(dtypes.int64), dims=(0,), shape=(size,))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements are in each of ``bins`` equal parts of [min, max]; elements outside are not counted.

    Where min = max = 0 they are the least and the greatest element.  Raises RuntimeError for integers, for no bins and
    for limits that are not finite or not in order.

    >>> histc(Tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist()
    [0.0, 2.0, 1.0, 0.0]
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"histc: expected a floating tensor, got {input.dtype.name}")
    if bins <= 0:
        raise RuntimeError(f"histc: expected bins > 0, got {bins}")
    flat = input.detach().reshape(-1)
    low, high = float(min), float(max)
    if low == high and flat.shape[0]:
        lowest: Any = least(flat)
        highest: Any = greatest(flat)
        low, high = float(lowest.item()), float(highest.item())
    if low == high:
        low, high = low - 1, high + 1
    if not isfinite(low) or not isfinite(high):
        raise RuntimeError(f"histc: expected a finite range, got [{low}, {high}]")
    if low > high:
        raise RuntimeError(f"histc: expected min <= max, got {low} and {high}")
    inside = flat[(flat >= low) & (flat <= high)]
    wide = inside if inside.dtype is dtypes.float64 else inside.to(dtypes.float32)
    number = ((wide - low) * (bins / (high - low))).to(dtypes.int64).clamp(max=bins - 1)
    return bincount(number, minlength=bins).to(input.dtype)


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value of ``input`` belongs in the sorted rows of ``sorted_sequence``: before its equals, or after them.

    ``sorted_sequence`` is 1-d, or has the leading dimensions of ``input``; ``sorter`` sorts it, where it is not.  The
    result is int64, or int32 if ``out_int32``.  Raises RuntimeError where shapes do not fit.

    >>> searchsorted(Tensor([1.0, 3.0, 5.0]), Tensor([3.0, 4.0, 9.0])).tolist()
    [1, 2, 3]
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted: expected side 'left' or 'right', got {side!r}")
    if side == "left" and right:
        raise RuntimeError("searchsorted: side 'left' and right=True contradict each other")
    sequence = sorted_sequence.detach()
    if not isinstance(input, Tensor):
        input = Tensor(input, device=sequence.device)
    input = input.detach()
    if not sequence.ndim:
        raise RuntimeError("searchsorted: expected a sequence of at least 1 dimension, got 0")
    if sequence.ndim > 1 and sequence.shape[:-1] != input.shape[:-1]:
        raise RuntimeError(
            f"searchsorted: expected a 1-d sequence, or one with the leading dimensions of the input {input.shape}, "
            f"got {sequence.shape}"
        )
    if sorter is not None:
        if sorter.shape != sequence.shape:
            raise RuntimeError(f"searchsorted: expected a sorter {sequence.shape}, got {sorter.shape}")
        sequence = apply(OPS["sorted_take"], sequence, sorter.to(dtypes.int64), dim=sequence.ndim - 1)
    if sequence.dtype is not input.dtype:
        kind = dtypes.promote_types(sequence.dtype, input.dtype)
        sequence, input = sequence.to(kind), input.to(kind)
    out = apply(SEARCHSORTED, sequence, input, right=bool(right or side == "right"))
    return out.to(dtypes.int32) if out_int32 else out


def bucketize(input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Where each value of ``input`` belongs in the sorted 1-d ``boundaries``; see ``searchsorted``.

    >>> bucketize(Tensor([3.0, 4.0]), Tensor([1.0, 3.0, 5.0]), right=True).tolist()
    [2, 2]
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize: expected 1-d boundaries, got {boundaries.shape}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def search_numpy(sequence, input, *, right):
    side = "right" if right else "left"
    if sequence.dtype in dtypes.HALF:
        sequence, input = sequence.astype(np.float32), input.astype(np.float32)
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, input, side)).astype(np.int64, copy=False)
    out = np.empty(input.shape, np.int64)
    for at in np.ndindex(*input.shape[:-1]):
        out[at] = np.searchsorted(sequence[at], input[at], side)
    return out


@jit
def _search(out_ptr, sequence_ptr, in_ptr, size, k, n, shared, steps, RIGHT: tl.constexpr, BLOCK: tl.constexpr):
    # out, in: size elements in rows of k · sequence: rows of n, or one row (shared = 0); all row-major
    # one program per BLOCK elements
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = element < size
    row = element // k * n * shared
    x = _key(tl.load(in_ptr + element, mask=mask))
    low = element * 0
    high = low + n
    for _ in range(0, steps):
        at = (low + high) // 2
        y = _key(tl.load(sequence_ptr + row + at, mask=mask & (low < high)))
        if RIGHT:
            further = ~before(x, y, False)
        else:
            further = before(y, x, False)
        further = further & (low < high)
        high = tl.where(further, high, at)
        low = tl.where(further, at + 1, low)
    tl.store(out_ptr + element, low, mask=mask)


def search_triton(sequence, input, *, right):
    out = empty_like(input, dtype=np.dtype(np.int64))
    if out.size:
        n = sequence.shape[-1]
        block = out.backend.block_size(out.size)
        # one program per BLOCK elements of out
        launch(
            _search,
            (cdiv(out.size, block),),
            out,
            contiguous(sequence),
            contiguous(input),
            out.size,
            input.shape[-1] if input.ndim else 1,
            n,
            int(len(sequence.shape) > 1),
            n.bit_length(),
            RIGHT=right,
            BLOCK=block,
        )
    return out


def samples(rng):
    rising = np.array([1.0, 3.0, 3.0, 5.0])
    x = np.array([0.0, 3.0, 4.0, 9.0, np.nan])
    yield Sample("left", (rising, x), {"right": False}, answers=([0, 1, 3, 4, 4],))
    yield Sample("right", (rising, x), {"right": True}, answers=([0, 3, 3, 4, 4],))
    rows = np.sort(rng.normal(size=(3, 17)), axis=1)
    yield Sample("rows", (rows, rng.normal(size=(3, 5))), {"right": False}, dtypes=("float64", "float32"))
    yield Sample("integers", (np.array([1, 4, 9]), rng.integers(0, 12, (4, 5))), {"right": True}, dtypes=())
    yield Sample("0-d", (rising, np.array(2.0)), {"right": False}, answers=(1,))
    yield Sample("nothing", (np.zeros(0), x), {"right": False}, answers=([0] * 5,))


SEARCHSORTED = register(
    Op(
        name="searchsorted",
        kernel=Kernel(numpy=search_numpy, triton=repeated(search_triton)),
        samples=samples,
        zero=("sequence", "input"),
    )
)
