"""Reductions that are made of others.

count_nonzero  out = number of elements that are not 0
nansum         out = sum of the elements that are not nan;  nanmean  out = that / their number
var_mean, std_mean, aminmax   out = both at once
median         out = the element number (n - 1) / 2, rounded down, in ascending order;  nan where there is one
               grad_input = grad / (number of ties) where input = out (``median(input)``),
                            grad at its index (``median(input, dim)``)
nanmedian      the same of the elements that are not nan
kthvalue       out = the k-th element in ascending order;  grad_input = grad at its index
diff           out_i = input_(i + 1) - input_i
"""

from typing import NamedTuple

import numpy as np

from ..autograd import Tensor, apply, no_grad
from ..framework import dtypes
from ..framework.launch import copied
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.shape import dimension
from .cat import cat
from .compare import ne
from .finite import isnan
from .getitem import narrow
from .logical import logical_xor
from .max import amax
from .min import amin
from .sort import SORTED_TAKE, sort
from .std import std
from .sub import sub
from .sum import sum
from .var import var
from .where import where


class Median(NamedTuple):
    """Medians along a dimension, and where they are (int64)."""

    values: Tensor
    indices: Tensor


class Kth(NamedTuple):
    """The k-th elements along a dimension, and where they are (int64)."""

    values: Tensor
    indices: Tensor


class Extremes(NamedTuple):
    """The least and the greatest elements."""

    min: Tensor
    max: Tensor


def count_nonzero(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """How many elements (int64) along ``dim``, one, several or all, are not 0.

    >>> count_nonzero(Tensor([[0.0, 2.0], [3.0, 4.0]]), dim=1).tolist()
    [1, 2]
    """
    return sum(ne(input, 0), dim)


def nansum(
    input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None
) -> Tensor:
    """The sum along ``dim`` of the elements that are not nan; arguments as those of ``sum``.

    >>> nansum(Tensor([1.0, float("nan"), 2.0])).item()
    3.0
    """
    return sum(_numbers(input), dim, keepdim, dtype)


def _numbers(input):
    return where(isnan(input), 0, input) if input.dtype.is_floating_point else input


def nanmean(
    input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None
) -> Tensor:
    """The mean along ``dim`` of the elements that are not nan; floating.  Raises RuntimeError for integers.

    >>> nanmean(Tensor([1.0, float("nan"), 2.0])).item()
    1.5
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"nanmean: expected a floating tensor, got {input.dtype.name}")
    total = nansum(input, dim, keepdim, dtype=dtype)
    return total / sum(isnan(input).logical_not(), dim, keepdim).to(total.dtype)


def var_mean(
    input: Tensor,
    dim: int | tuple[int, ...] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean along ``dim``; arguments as those of ``var``.

    >>> [x.item() for x in var_mean(Tensor([1.0, 3.0]))]
    [2.0, 2.0]
    """
    return _beside_mean(var, input, dim, unbiased, keepdim, correction)


def std_mean(
    input: Tensor,
    dim: int | tuple[int, ...] | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean along ``dim``; arguments as those of ``std``.

    >>> [x.item() for x in std_mean(Tensor([1.0, 3.0]), correction=0)]
    [1.0, 2.0]
    """
    return _beside_mean(std, input, dim, unbiased, keepdim, correction)


def _beside_mean(function, input, dim, unbiased, keepdim, correction):
    spread = function(input, dim, unbiased, keepdim, correction=correction)
    return spread, input.mean(None if isinstance(dim, bool) else dim, keepdim)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """``(min, max)`` along ``dim``, or of everything; gradients as those of ``amin`` and ``amax``.

    >>> least, greatest = aminmax(Tensor([3.0, 1.0, 2.0])); least.item(), greatest.item()
    (1.0, 3.0)
    """
    dims = tuple(range(input.ndim)) if dim is None else dim
    if dim is None and not input.numel():
        raise RuntimeError(f"aminmax: an input of shape {input.shape} has no elements to choose from")
    return Extremes(amin(input, dims, keepdim), amax(input, dims, keepdim))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Median:
    """The median, the lower of two; with ``dim``, ``(values, indices)`` along it.  A nan makes it nan.

    The median of nothing is nan.  Raises IndexError for a dim that is empty or out of range.

    >>> median(Tensor([4.0, 1.0, 3.0, 2.0])).item()
    2.0
    """
    return _median("median", input, dim, keepdim, False)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Median:
    """The median of the elements that are not nan; as ``median`` else.

    >>> nanmedian(Tensor([4.0, float("nan"), 3.0])).item()
    3.0
    """
    return _median("nanmedian", input, dim, keepdim, True)


def _median(name, input, dim, keepdim, skip):
    if dim is None:
        if keepdim:
            raise TypeError(f"{name}: keepdim needs a dim")
        flat = input.reshape(-1)
        if not flat.numel():
            if not input.dtype.is_floating_point:
                raise RuntimeError(f"{name}: an input of shape {input.shape} has no elements to choose from")
            return sum(flat) * float("nan")
        with no_grad():
            value = _medians(flat, 0, skip)[0].squeeze(0)
        return apply(MEDIAN, flat, value)
    d, source = _filled(name, input, dim)
    values, indices = _medians(source, d, skip)
    return Median(*_kept(input, d, keepdim, values, indices))


def _filled(name, input, dim):
    """The dimension, not empty, and the input with at least one dimension."""
    d = dimension(name, dim, input.ndim)
    if input.ndim and not input.shape[d]:
        raise IndexError(f"{name}: dim {d} of the input {input.shape} has no elements to choose from")
    return d, input if input.ndim else input.reshape(1)


def _kept(input, d, keepdim, *results):
    if not input.ndim:
        return tuple(x.reshape(()) for x in results)
    return results if keepdim else tuple(x.squeeze(d) for x in results)


def _medians(input, d, skip):
    """Values and indices of the medians along ``d``, which stays with size 1."""
    n = input.shape[d]
    order = sort(input.detach(), d).indices
    missing = None
    if input.dtype.is_floating_point:
        missing = sum(isnan(input), d, True)
    if missing is None:
        place = narrow(order, d, (n - 1) // 2, 1)
    else:
        first = n - missing  # of the nan, which stand last
        if skip:
            at = ((first - 1) // 2).clamp(min=0)
        else:
            at = where(missing > 0, first, (n - 1) // 2)
        place = apply(SORTED_TAKE, order, at, dim=d)
    return apply(SORTED_TAKE, input, place, dim=d), place


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Kth:
    """``(values, indices)`` of the ``k``-th least element along ``dim``, counted from 1; nan is the greatest.

    Raises RuntimeError for a k out of range, IndexError for such a dim.

    >>> kthvalue(Tensor([4.0, 1.0, 3.0]), 2).values.item()
    3.0
    """
    d, source = _filled("kthvalue", input, dim)
    n = source.shape[d]
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue: k {k} is out of range for dimension {d} of size {n}")
    place = narrow(sort(source.detach(), d).indices, d, k - 1, 1)
    return Kth(*_kept(input, d, keepdim, apply(SORTED_TAKE, source, place, dim=d), place))


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along ``dim``, ``n`` times, of the input between ``prepend`` and ``append``.

    bool gives bool: whether neighbours differ.  Raises RuntimeError for a 0-d input and for a negative n.

    >>> diff(Tensor([1.0, 4.0, 9.0])).tolist()
    [3.0, 5.0]
    """
    if not input.ndim:
        raise RuntimeError("diff: expected at least 1 dimension, got 0")
    if n < 0:
        raise RuntimeError(f"diff: expected n >= 0, got {n}")
    d = dimension("diff", dim, input.ndim)
    parts = [x for x in (prepend, input, append) if x is not None]
    out = cat(parts, d) if len(parts) > 1 else input
    for _ in range(n):
        size = out.shape[d]
        if not size:
            break
        low, high = narrow(out, d, 0, size - 1), narrow(out, d, 1, size - 1)
        out = logical_xor(high, low) if out.dtype is dtypes.bool_ else sub(high, low)
    return out


def known_numpy(input, value):
    return value.copy()


def known_triton(input, value):
    return copied(value)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([1.0, 2.0, 2.0, 3.0]), np.array(2.0)),
        answers=(2.0, [0.0, 0.5, 0.5, 0.0]),
    )
    yield Sample("nan", (np.array([1.0, np.nan]), np.array(np.nan)), answers=(np.nan, [0.0, 1.0]))


# the median is found by sorting, without a history; the row gives it one
MEDIAN = register(
    Op(
        name="median",
        kernel=Kernel(numpy=known_numpy, triton=known_triton),
        grads=(
            Grad(
                of=("input",),
                keeps=("input", "output"),
                op="max_backward",
                settings=lambda call: {"dim": (0,), "keepdim": False},
            ),
        ),
        samples=samples,
        function=median,
        zero=("value",),
    )
)
