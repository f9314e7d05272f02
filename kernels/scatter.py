"""Elements written, or gathered up, along one dimension at the places of an index of their own.

With ``i`` the places of all dimensions but ``dim``, of which index may have fewer than input:

    scatter:          out                    = input, but out[i, index[i, k]] = src[i, k]; of several the last
                      grad_input             = scatter_clear(grad): zeros where something was written
                      grad_src               = gather(grad), which is right where no place is named twice

    scatter_reduce:   out[i, j]              = the product, greatest or least of input[i, j], unless it is left out, and
                                               of src[i, k] over all k with index[i, k] = j

    scatter_add       out                    = input + gather_backward(src), whose gradient is known (see gather.py)
    scatter_reduce    of "sum" and "mean" is put together from scatter_add; the gradients of the others are, too:

        amax, amin:   the gradient goes in equal parts to the elements that are the result
        prod:         grad_input = grad * product of the src there,  grad_src = grad * product of all others there

On a device repeats are sorted first (see ``framework/order.py``), and one program takes all repeats of a place in order.
"""

from math import prod
from typing import Any

import numpy as np

from ..autograd import Function, Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import _number, widen
from ..framework.fill import zeros_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, copied, launch
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.order import ordered
from ..framework.reduction import accumulator
from ..framework.shape import dimension
from .gather import GATHER, GATHER_BACKWARD, counted, fitting_index, places, vector

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """A copy of ``input`` with the elements of ``src``, or one number, written at ``index`` (int64) along ``dim``.

    Of several for one place the last one stays.  ``src`` is as large as the index or larger, in input's dtype;
    ``reduce`` "add" or "multiply" combines instead of overwriting.  Raises RuntimeError for what does not fit and for an
    index out of range, IndexError for a dimension that does not exist.

    >>> scatter(Tensor([1, 2, 3]), 0, Tensor([2, 0]), Tensor([8, 9])).tolist(), scatter(Tensor([1, 2]), 0, Tensor([1]), 5).tolist()
    ([9, 2, 8], [1, 5])
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: expected src, a tensor or a number, or value")
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError(f"scatter: reduce must be 'add' or 'multiply', got {reduce!r}")
    given = src if src is not None else value
    if reduce is not None:
        if not isinstance(given, Tensor):
            given = input.new_full(index.shape, given)
        return _reduced("scatter", input, dim, index, given, "sum" if reduce == "add" else "prod", True)
    d = dimension("scatter", dim, input.ndim)
    index = fitting_index("scatter", input, d, index)
    if isinstance(given, Tensor):
        given = _fitting("scatter", input, index, given)
    elif isinstance(given, (int, float, np.generic)):
        given = input.new_full((), given)
    else:
        raise TypeError(f"scatter: expected src to be a Tensor or a number, got {type(given).__name__}")
    if not index.numel():
        return input.clone()
    if not input.ndim:
        return _whole(apply(SCATTER, input.reshape(1), index.reshape(-1), given.reshape(-1), dim=0))
    return apply(SCATTER, input, index, given, dim=d)


def scatter_(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """``scatter`` in place; returns ``input``.

    >>> scatter_(Tensor([1, 2]), 0, Tensor([1]), 5).tolist()
    [1, 5]
    """
    return input.copy_(scatter(input, dim, index, src, value=value, reduce=reduce))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with the elements of ``src`` added at ``index`` (int64) along ``dim``, in a fixed order.

    Raises as ``scatter``.

    >>> scatter_add(Tensor([1, 2, 3]), 0, Tensor([2, 0, 2]), Tensor([8, 9, 1])).tolist()
    [10, 2, 12]
    """
    return _reduced("scatter_add", input, dim, index, src, "sum", True)


def scatter_add_(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``scatter_add`` in place; returns ``input``.

    >>> scatter_add_(Tensor([1, 2]), 0, Tensor([1]), Tensor([5])).tolist()
    [1, 7]
    """
    return input.copy_(scatter_add(input, dim, index, src))


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``input`` combined with the elements of ``src`` at ``index`` (int64) along ``dim``.

    ``reduce`` is "sum", "prod", "mean", "amax" or "amin"; without ``include_self`` input's elements stay where nothing
    is sent and do not count elsewhere.  A mean of integers is rounded down.  Raises as ``scatter``, and RuntimeError
    for another ``reduce``.

    >>> scatter_reduce(Tensor([1, 2, 3]), 0, Tensor([2, 0, 2]), Tensor([8, 9, 1]), "amax", include_self=False).tolist()
    [9, 2, 8]
    """
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"scatter_reduce: reduce must be one of {', '.join(_REDUCTIONS)}, got {reduce!r}")
    return _reduced("scatter_reduce", input, dim, index, src, reduce, bool(include_self))


def scatter_reduce_(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``scatter_reduce`` in place; returns ``input``.

    >>> scatter_reduce_(Tensor([1, 2]), 0, Tensor([1]), Tensor([5]), "prod").tolist()
    [1, 10]
    """
    before = input.clone() if input.wants_grad or src.wants_grad else input  # the gradient looks at what was there
    return input.copy_(scatter_reduce(before, dim, index, src, reduce, include_self=include_self))


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """``input`` with the slices of ``alpha * source`` along ``dim`` added to those that ``index``, a vector, names.

    Raises IndexError for a dimension or number that does not exist and RuntimeError where shapes or dtypes do not fit.

    >>> index_add(Tensor([[1, 2], [3, 4]]), 0, Tensor([1, 1]), Tensor([[1, 0], [5, 0]])).tolist()
    [[1, 2], [9, 4]]
    """
    d, index, source = _slices("index_add", input, dim, index, source)
    if alpha != 1:
        source = source * alpha
    shape = input.shape or (1,)
    return input + apply(OPS["index_backward"], source, index, dims=(d,), shape=shape).reshape(input.shape)


def index_add_(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """``index_add`` in place; returns ``input``.

    >>> index_add_(Tensor([1, 2]), 0, Tensor([1]), Tensor([5])).tolist()
    [1, 7]
    """
    return input.copy_(index_add(input, dim, index, source, alpha=alpha))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``input`` with the slices of ``source`` along ``dim`` in place of those that ``index``, a vector, names.

    Of several for one place the last one stays.  Raises as ``index_add``.

    >>> index_copy(Tensor([[1, 2], [3, 4]]), 0, Tensor([1]), Tensor([[7, 8]])).tolist()
    [[1, 2], [7, 8]]
    """
    d, index, source = _slices("index_copy", input, dim, index, source)
    wide = index.reshape(-1, *(1,) * (source.ndim - 1 - d)).expand(source.shape)
    return scatter(input.reshape(input.shape or (1,)), d, wide, source).reshape(input.shape)


def index_copy_(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``index_copy`` in place; returns ``input``.

    >>> index_copy_(Tensor([1, 2]), 0, Tensor([1]), Tensor([5])).tolist()
    [1, 5]
    """
    return input.copy_(index_copy(input, dim, index, source))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``input`` with one number, or a 0-d tensor's, in the slices along ``dim`` that ``index``, a vector, names.

    Negative numbers count from the end.  Raises IndexError for a dimension or number that does not exist and
    RuntimeError for a value of more dimensions.

    >>> index_fill(Tensor([[1, 2], [3, 4]]), 1, Tensor([0]), 9).tolist()
    [[9, 2], [9, 4]]
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"index_fill: expected a number or a 0-d tensor, got {value.ndim} dimensions")
        value = value.to(input.device).to(input.dtype)
    d = dimension("index_fill", dim, input.ndim)
    shape = input.shape or (1,)
    index = counted("index_fill", index, shape[d])
    if index.ndim > 1:
        raise IndexError(f"index_fill: expected a vector of numbers, got an index of shape {index.shape}")
    index = index.reshape(-1)
    region = (*shape[:d], index.numel(), *shape[d + 1 :])
    if not prod(region):
        return input.clone()
    if not isinstance(value, Tensor):
        value = input.new_full((), value)
    wide = index.reshape(-1, *(1,) * (len(shape) - 1 - d)).expand(region)
    return apply(SCATTER, input.reshape(shape), wide, value, dim=d).reshape(input.shape)


def index_fill_(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``index_fill`` in place; returns ``input``.

    >>> index_fill_(Tensor([1, 2]), 0, Tensor([1]), 5).tolist()
    [1, 5]
    """
    return input.copy_(index_fill(input, dim, index, value))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """For each class in ``tensor`` (int64, any shape) a row of ``num_classes`` with 1 there and 0 elsewhere, in int64.

    With -1 there are as many as the greatest class asks for, which a device is waited for.  Raises RuntimeError for a
    negative class, one that is too great, no class to infer from, and another dtype.

    >>> one_hot(Tensor([1, 0]), 3).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError(f"one_hot: expected classes of int64, got {tensor.dtype.name}")
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError("one_hot: expected num_classes, since there is no class to infer it from")
        num_classes = int(tensor.host().max()) + 1
    elif num_classes < 1 and tensor.numel():
        raise RuntimeError(f"one_hot: num_classes must be positive, or -1, got {num_classes}")
    if tensor.numel() and tensor.device.type != "cuda":
        classes = tensor.host()
        if classes.min() < 0:
            raise RuntimeError(f"one_hot: classes must not be negative, got {classes.min()}")
        if classes.max() >= num_classes:
            raise RuntimeError(f"one_hot: class {classes.max()} is out of range for {num_classes}")
    return scatter(tensor.new_zeros((*tensor.shape, num_classes)), -1, tensor.unsqueeze(-1), 1)


def _whole(t: Tensor) -> Tensor:
    return t.reshape(())


def _slices(name: str, input: Tensor, dim: int, index: Any, source: Any) -> tuple[int, Tensor, Tensor]:
    """The dimension, the vector and the source of a call that writes slices; of one dimension where input has none."""
    d = dimension(name, dim, input.ndim)
    index = vector(name, input, d, index)
    if not isinstance(source, Tensor):
        raise TypeError(f"{name}: expected source to be a Tensor, got {type(source).__name__}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"{name}: input is of {input.dtype.name}, source of {source.dtype.name}")
    shape = input.shape or (1,)
    expected = (*shape[:d], index.numel(), *shape[d + 1 :])
    if (source.shape or (1,)) != expected:
        raise RuntimeError(f"{name}: expected a source of shape {expected}, got {source.shape}")
    return d, index, source.reshape(expected)


def _fitting(name: str, input: Tensor, index: Tensor, src: Any) -> Tensor:
    """The source, no larger than the index."""
    if not isinstance(src, Tensor):
        raise TypeError(f"{name}: expected src to be a Tensor, got {type(src).__name__}")
    if src.dtype is not input.dtype:
        raise RuntimeError(f"{name}: input is of {input.dtype.name}, src of {src.dtype.name}")
    if src.shape == index.shape:
        return src
    own, other = index.shape or (1,), src.shape or (1,)
    if not index.numel():
        return src
    if len(own) != len(other) or any(n > m for n, m in zip(own, other, strict=True)):
        raise RuntimeError(f"{name}: index of shape {index.shape} is larger than src of shape {src.shape}")
    return src.reshape(other)[tuple(slice(n) for n in own)].reshape(index.shape)


def _reduced(name: str, input: Tensor, dim: int, index: Tensor, src: Any, reduce: str, include: bool) -> Tensor:
    d = dimension(name, dim, input.ndim)
    index = fitting_index(name, input, d, index)
    src = _fitting(name, input, index, src)
    if not index.numel():
        return input.clone()
    shape = input.shape
    if not shape:
        input, index, src = input.reshape(1), index.reshape(-1), src.reshape(-1)
    if reduce in ("sum", "mean"):
        out = _added(input if include else _cleared(input, index, d), index, src, d)
        if reduce == "mean":
            out = _averaged(out, index, d, include)
    elif reduce == "prod":
        out = _Product.apply(input, index, src, d, include)
    else:
        out = _Extreme.apply(input, index, src, d, reduce, include)
    return out if shape else out.reshape(())


def _added(input: Tensor, index: Tensor, src: Tensor, d: int) -> Tensor:
    added = apply(GATHER_BACKWARD, src, index, dim=d, shape=input.shape)
    return input | added if input.dtype is dtypes.bool_ else input + added


def _cleared(input: Tensor, index: Tensor, d: int) -> Tensor:
    return apply(OPS["scatter_clear"], input, index, dim=d)


def _averaged(out: Tensor, index: Tensor, d: int, include: bool) -> Tensor:
    ones = out.new_ones(index.shape, dtype=dtypes.int64)
    count = apply(GATHER_BACKWARD, ones, index, dim=d, shape=out.shape)
    count = count + 1 if include else count + (count == 0).to(dtypes.int64)
    if out.dtype.is_floating_point:
        return out / count.to(out.dtype)
    return (out // count).to(out.dtype)


class _Extreme(Function):
    """The greatest or least; the gradient in equal parts to the elements that are the result."""

    @staticmethod
    def forward(ctx, input, index, src, d, reduce, include):
        out = apply(SCATTER_REDUCE, input, index, src, dim=d, reduce=reduce, include_self=include)
        ctx.d, ctx.include = d, include
        ctx.save_for_backward(input, index, src, out)
        return out

    @staticmethod
    def backward(ctx, grad):
        input, index, src, out = ctx.saved_tensors
        d = ctx.d
        own = (input == out).to(grad.dtype)
        if not ctx.include:
            own = _cleared(own, index, d)
        sent = (src == apply(GATHER, out, index, dim=d)).to(grad.dtype)
        parts = _added(own, index, sent, d)
        share = grad / parts.clamp(min=1)
        return own * share, None, sent * apply(GATHER, share, index, dim=d), None, None, None


class _Product(Function):
    """The product; a factor's gradient is the product of the others, also where it is 0 itself."""

    @staticmethod
    def forward(ctx, input, index, src, d, include):
        ctx.d, ctx.include = d, include
        ctx.save_for_backward(input, index, src)
        return _product(input, index, src, d, include)

    @staticmethod
    def backward(ctx, grad):
        input, index, src = ctx.saved_tensors
        d, include = ctx.d, ctx.include
        nothing = src == 0
        zeros = _added(grad.new_zeros(input.shape), index, nothing.to(grad.dtype), d)
        only = nothing & (apply(GATHER, zeros, index, dim=d) == 1)
        # the product without a factor that is the only 0 in src is that of the others; else a quotient
        without = _product_of(input, index, _where(only, 1.0, src), d, include)
        out = _product_of(input, index, src, d, include)
        quotient = apply(GATHER, grad * out, index, dim=d) / _where(nothing, 1.0, src)
        grad_src = _where(only, apply(GATHER, grad * without, index, dim=d), quotient)
        grad_input = grad * _product_of(input.new_ones(input.shape), index, src, d, True)
        return grad_input if include else _cleared(grad, index, d), None, grad_src, None, None


def _product(input: Tensor, index: Tensor, src: Tensor, d: int, include: bool) -> Tensor:
    return apply(SCATTER_REDUCE, input, index, src, dim=d, reduce="prod", include_self=include)


def _product_of(input: Tensor, index: Tensor, src: Tensor, d: int, include: bool) -> Tensor:
    """``_product``, remembered where it must be."""
    return _Product.apply(input, index, src, d, include)


def _where(condition: Tensor, x: Any, y: Any) -> Tensor:
    return apply(OPS["where"], condition, x, y)


# -- NumPy ------------------------------------------------------------------------------------------------------------


def scatter_numpy(input, index, src, *, dim):
    out = np.array(input, order="C")
    whole = tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))
    np.put_along_axis(out[whole], index, src, dim)
    return out


def clear_numpy(grad, index, *, dim):
    return scatter_numpy(grad, index, np.zeros((), grad.dtype), dim=dim)


_UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def reduce_numpy(input, index, src, *, dim, reduce, include_self):
    combine = _UFUNCS[reduce]
    shape, kind = input.shape, input.dtype
    wide = np.dtype(np.float32) if kind in dtypes.HALF else kind
    flat = places(index, shape, dim).reshape(-1)
    order = np.argsort(flat, kind="stable")
    there = flat[order]
    starts = np.flatnonzero(np.append(True, there[1:] != there[:-1]))
    found = combine.reduceat(src.reshape(-1)[order].astype(wide, copy=False), starts, dtype=wide)
    out = input.astype(wide, order="C").reshape(-1)
    at = there[starts]
    out[at] = combine(out[at], found) if include_self else found
    return out.reshape(shape).astype(kind, copy=False)


# -- Triton -----------------------------------------------------------------------------------------------------------


@jit
def _last(out_ptr, src_ptr, keys_ptr, ends_ptr, n, total, BLOCK: tl.constexpr):
    # src, keys, ends (n,) · out (total,) · one program per BLOCK keys, of which each group's first writes its last
    j = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = j < n
    end = tl.load(ends_ptr + j, mask=mask, other=0)
    mask = mask & (j < end)
    key = tl.load(keys_ptr + end - 1, mask=mask, other=0)
    value = tl.load(src_ptr + key % n, mask=mask, other=0)
    tl.store(out_ptr + key // n, value, mask=mask & (key // n < total))


@jit
def _write(out_ptr, src_ptr, places_ptr, n, total, ONE: tl.constexpr, BLOCK: tl.constexpr):
    # places (n,), none twice unless there is ONE src; src (n,) or 0-d · out (total,) · one program per BLOCK places
    j = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    place = tl.load(places_ptr + j, mask=j < n, other=0)
    mask = (j < n) & (place < total)
    if ONE:
        value = tl.load(src_ptr + j * 0)
    else:
        value = tl.load(src_ptr + j, mask=mask, other=0)
    tl.store(out_ptr + place, value, mask=mask)


@jit
def _times(a, b):
    return a * b


@jit
def _greater(a, b):
    return tl.where((a > b) | (a != a), a, b)


@jit
def _less(a, b):
    return tl.where((a < b) | (a != a), a, b)


@jit
def _fold(
    out_ptr,
    src_ptr,
    keys_ptr,
    ends_ptr,
    n,
    total,
    zero,
    COMBINE: tl.constexpr,
    INCLUDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # src, keys, ends (n,) · out (total,), a copy of input · one program per BLOCK keys, of which each group's first folds
    j = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = j < n
    end = tl.load(ends_ptr + j, mask=mask, other=0)
    key = tl.load(keys_ptr + j, mask=mask, other=0)
    place = key // n
    mask = mask & (j < end) & (place < total)
    acc = widen(tl.load(src_ptr + key % n, mask=mask, other=0)).to(zero.dtype)
    if INCLUDE:
        acc = COMBINE(widen(tl.load(out_ptr + place, mask=mask, other=0)).to(zero.dtype), acc)
    longest = tl.max(tl.where(mask, end - j, 0), 0)
    for i in range(1, longest):
        live = mask & (j + i < end)
        number = tl.load(keys_ptr + j + i, mask=live, other=0) % n
        value = widen(tl.load(src_ptr + number, mask=live, other=0)).to(zero.dtype)
        acc = tl.where(live, COMBINE(acc, value), acc)
    tl.store(out_ptr + place, acc.to(out_ptr.dtype.element_ty), mask=mask)


def scatter_triton(input, index, src, *, dim):
    out = copied(input)
    n, total = index.size, input.size
    if not n or not total:
        return out
    numbers = places(index, input.shape, dim)
    src = contiguous(src)
    block = out.backend.block_size(n)
    grid = (cdiv(n, block),)  # one program per BLOCK places
    if src.size == 1 or index.shape[dim] == 1:
        launch(_write, grid, out, src, numbers, n, total, ONE=src.size == 1, BLOCK=block)
    else:
        launch(_last, grid, out, src, *ordered(numbers), n, total, BLOCK=block)
    return out


def clear_triton(grad, index, *, dim):
    return scatter_triton(grad, index, zeros_like(grad, ()), dim=dim)


_COMBINE = {"prod": _times, "amax": _greater, "amin": _less}


def reduce_triton(input, index, src, *, dim, reduce, include_self):
    out = copied(input)
    n = index.size
    if n and out.size:
        keys, ends = ordered(places(index, input.shape, dim))
        block = out.backend.block_size(n)
        # one program per BLOCK keys
        launch(
            _fold,
            (cdiv(n, block),),
            out,
            contiguous(src),
            keys,
            ends,
            n,
            out.size,
            _number(accumulator(input.dtype))(0),
            COMBINE=_COMBINE[reduce],
            INCLUDE=include_self,
            BLOCK=block,
        )
    return out


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    yield Sample(
        "worked",
        (x, np.array([[2, 0], [1, 2]]), np.array([[7.0, 8.0], [9.0, 10.0]])),
        {"dim": 1},
        answers=(
            [[8.0, 2.0, 7.0], [4.0, 9.0, 10.0]],
            [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
            [[1.0, 1.0], [1.0, 1.0]],
        ),
    )
    yield Sample(
        "one value",
        (x, np.array([[0, 0], [1, 2]]), np.array(7.0)),
        {"dim": 1},
        answers=([[7.0, 2.0, 3.0], [4.0, 7.0, 7.0]], [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]], 4.0),
    )
    yield Sample(
        "the last stays",
        (np.array([1, 2, 3]), np.array([1, 1, 0, 1]), np.array([5, 6, 7, 8])),
        {"dim": 0},
        answers=([7, 8, 3],),
        dtypes=(),
    )
    yield Sample("one each", (rng.normal(size=(5, 7)), rng.integers(0, 7, (5, 1)), rng.normal(size=(5, 1))), {"dim": 1})
    order = np.argsort(rng.random((3, 5, 4)), 1)
    yield Sample("middle", (rng.normal(size=(4, 6, 3)).T, order, rng.normal(size=(3, 5, 4))), {"dim": 1})
    yield Sample("smaller", (rng.normal(size=(4, 6, 5)), order[:, :2], rng.normal(size=(4, 2, 3)).T), {"dim": 1})
    yield Sample(
        "out of range",
        (np.zeros((2, 3)), 1, np.array([[3], [0]]), np.zeros((2, 1))),
        raises=(RuntimeError, "scatter: index 3 is out of range for size 3"),
    )
    yield Sample(
        "small src",
        (np.zeros((2, 3)), 1, np.array([[0, 1], [0, 1]]), np.zeros((2, 1))),
        raises=(RuntimeError, "scatter: index of shape (2, 2) is larger than src of shape (2, 1)"),
    )


def reduce_samples(rng):  # integers only: the public function, not the row, has a gradient
    x, index = np.array([2, 3, 4]), np.array([2, 0, 2])
    src = np.array([5, 6, 7])
    for reduce, whole, alone in [
        ("prod", [12, 3, 140], [6, 3, 35]),
        ("amax", [6, 3, 7], [6, 3, 7]),
        ("amin", [2, 3, 4], [6, 3, 5]),
    ]:
        for include, answer in ((True, whole), (False, alone)):
            yield Sample(
                f"{reduce} {include}",
                (x, index, src),
                {"dim": 0, "reduce": reduce, "include_self": include},
                answers=(answer,),
                dtypes=(),
            )
        yield Sample(
            f"{reduce} middle",
            (rng.integers(-4, 5, (4, 5, 3)).T, rng.integers(0, 5, (3, 6, 4)), rng.integers(-4, 5, (3, 6, 4))),
            {"dim": 1, "reduce": reduce, "include_self": reduce != "amin"},
            dtypes=(),
        )
    yield Sample(
        "no such",
        (np.zeros(3), 0, np.array([0]), np.zeros(1), "max"),
        raises=(RuntimeError, "scatter_reduce: reduce must be one of sum, prod, mean, amax, amin, got 'max'"),
    )


SCATTER = register(
    Op(
        name="scatter",
        kernel=Kernel(numpy=scatter_numpy, triton=scatter_triton),
        grads=(
            Grad(of=("input",), keeps=("index",), op="scatter_clear"),
            Grad(of=("src",), keeps=("index",), op="gather"),
        ),
        samples=samples,
        function=scatter,
    )
)

register(
    Op(
        name="scatter_clear",
        kernel=Kernel(numpy=clear_numpy, triton=clear_triton),
        grads=(Grad(of=("grad",), keeps=("index",), op="scatter_clear"),),
    )
)

SCATTER_REDUCE = register(
    Op(
        name="scatter_reduce",
        kernel=Kernel(numpy=reduce_numpy, triton=reduce_triton),
        samples=reduce_samples,
        function=scatter_reduce,
    )
)
