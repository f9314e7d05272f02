"""Tensors repeated, rolled, cut and joined: put together from views, copies and ``cat``, whose gradients are known.

repeat[.., i, ..]             = input[.., i mod n, ..]
repeat_interleave[.., i, ..]  = input[.., j, ..],  each j as often as it says
roll[.., i, ..]               = input[.., (i - shift) mod n, ..]
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.shape import dimension, shape_of, sizes
from .cat import cat, split, tensors_of
from .expand import expand
from .getitem import getitem
from .index import INDEX
from .stack import stack


def repeat(input: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    """``input`` copied ``repeats`` times along each dimension; there may be more of these, new ones in front.

    Raises RuntimeError for fewer sizes than dimensions and for negative ones.

    >>> repeat(Tensor([1, 2]), 2, 2).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    times = shape_of("repeat", times, repeats)
    if len(times) < input.ndim:
        raise RuntimeError(f"repeat: expected a number for each of {input.ndim} dimensions, got {times}")
    own = (1,) * (len(times) - input.ndim) + input.shape
    apart = input.reshape(tuple(n for m in own for n in (1, m)))
    wide = apart.expand(tuple(n for pair in zip(times, own, strict=True) for n in pair))
    out = wide.reshape(tuple(t * n for t, n in zip(times, own, strict=True)))
    return out.clone() if out.storage is input.storage else out  # where only sizes of 1 were repeated


def tile(input: Tensor, *times: Any, dims: Any = None) -> Tensor:
    """As ``repeat``, but fewer numbers than dimensions stand for the last ones.

    >>> tile(Tensor([[1], [2]]), 2).tolist()
    [[1, 1], [2, 2]]
    """
    times = shape_of("tile", times, dims)
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each slice of ``input`` along ``dim`` ``repeats`` times, one number or one for each; flattened without ``dim``.

    With ``input`` alone, each number i as often as ``input[i]`` says.  Raises RuntimeError for negative numbers, for as
    many as do not fit, and for an ``output_size`` that is not the result's.

    >>> repeat_interleave(Tensor([1, 2]), 2).tolist(), repeat_interleave(Tensor([1, 2]), Tensor([2, 1])).tolist()
    ([1, 1, 2, 2], [1, 1, 2])
    """
    if repeats is None:
        input, repeats = Tensor(np.arange(input.numel()), device=input.device), input
    if dim is None:
        input, dim = input.reshape(-1), 0
    d = dimension("repeat_interleave", dim, input.ndim)
    if not input.ndim:
        input = input.reshape(1)
    n = input.shape[d]
    if isinstance(repeats, Tensor):
        if repeats.dtype not in (dtypes.int64, dtypes.int32) or repeats.ndim > 1:
            raise RuntimeError(
                f"repeat_interleave: expected integers in one dimension, got shape {repeats.shape} of {repeats.dtype.name}"
            )
        each = repeats.host().reshape(-1)
    else:
        each = np.array(sizes("repeat_interleave", (repeats,)), np.int64)
    if each.size not in (1, n):
        raise RuntimeError(f"repeat_interleave: {each.size} numbers for dimension {d} of size {n}")
    if (each < 0).any():
        raise RuntimeError(f"repeat_interleave: expected numbers of repeats that are not negative, got {each.min()}")
    total = int(each.sum()) if each.size == n else n * int(each[0])
    if output_size is not None and output_size != total:
        raise RuntimeError(f"repeat_interleave: output_size is {output_size}, the result has {total}")
    if each.size == 1:
        shape = input.shape
        wide = input.unsqueeze(d + 1).expand((*shape[: d + 1], int(each[0]), *shape[d + 1 :]))
        out = wide.reshape((*shape[:d], total, *shape[d + 1 :]))
        return out.clone() if each[0] == 1 else out
    return apply(INDEX, input, Tensor(np.repeat(np.arange(n), each), device=input.device), dims=(d,))


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """``input`` with its elements moved by ``shifts`` along ``dims``, round the ends; as if flat without ``dims``.

    Raises RuntimeError for as many shifts as do not fit, IndexError for a dimension that does not exist.

    >>> roll(Tensor([1, 2, 3]), 1).tolist()
    [3, 1, 2]
    """
    by = sizes("roll", (shifts,))
    given = () if dims is None else sizes("roll", (dims,))
    if not given:
        if len(by) != 1:
            raise RuntimeError(f"roll: expected one shift without dims, got {by}")
        return roll(input.reshape(-1), by, 0).reshape(input.shape)
    if len(by) != len(given):
        raise RuntimeError(f"roll: shifts {by} and dims {given} differ in length")
    if not input.ndim:
        raise IndexError("roll: a 0-d tensor has no dimension to roll along")
    out = input
    for shift, dim in zip(by, given, strict=True):
        d = dimension("roll", dim, input.ndim)
        n = input.shape[d]
        if n > 1 and shift % n:
            first, last = split(out, [n - shift % n, shift % n], d)
            out = cat([last, first], d)
    return out.clone() if out is input else out


# -- cutting ----------------------------------------------------------------------------------------------------------


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of ``input`` cut along ``dim`` into so many parts, the first larger by one where need be, or at these places.

    Raises RuntimeError unless there is a part and a dimension to cut.

    >>> [t.tolist() for t in tensor_split(Tensor([1, 2, 3]), 2)], [t.tolist() for t in tensor_split(Tensor([1, 2, 3]), [1])]
    ([[1, 2], [3]], [[1], [2, 3]])
    """
    return _parts("tensor_split", input, indices_or_sections, dim)


def _parts(name: str, input: Tensor, given: Any, dim: int) -> tuple[Tensor, ...]:
    if not input.ndim:
        raise RuntimeError(f"{name}: a 0-d tensor cannot be cut")
    d = dimension(name, dim, input.ndim)
    n = input.shape[d]
    if isinstance(given, Tensor):
        given = given.tolist()
    if isinstance(given, (tuple, list)):
        places = sizes(name, (tuple(given),))
        before = (slice(None),) * d
        bounds = zip((0, *places), (*places, n), strict=True)
        return tuple(getitem(input, (*before, slice(a, b))) for a, b in bounds)
    count = operator.index(given)
    if count <= 0:
        raise RuntimeError(f"{name}: expected a positive number of parts, got {count}")
    return split(input, [n // count + (k < n % count) for k in range(count)], d)


def _evenly(name: str, input: Tensor, given: Any, dim: int) -> tuple[Tensor, ...]:
    if isinstance(given, int) and (given <= 0 or input.shape[dim] % given):
        raise RuntimeError(f"{name}: dimension {dim} of size {input.shape[dim]} cannot be cut into {given} equal parts")
    return _parts(name, input, given, dim)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """``tensor_split`` into equal parts along the second dimension, the first of a vector.

    >>> [t.tolist() for t in hsplit(Tensor([[1, 2], [3, 4]]), 2)]
    [[[1], [3]], [[2], [4]]]
    """
    if not input.ndim:
        raise RuntimeError("hsplit: expected at least 1 dimension, got 0")
    return _evenly("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """``tensor_split`` into equal parts along the first dimension.

    >>> [t.tolist() for t in vsplit(Tensor([[1, 2], [3, 4]]), 2)]
    [[[1, 2]], [[3, 4]]]
    """
    if input.ndim < 2:
        raise RuntimeError(f"vsplit: expected at least 2 dimensions, got {input.ndim}")
    return _evenly("vsplit", input, indices_or_sections, 0)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """``tensor_split`` into equal parts along the third dimension.

    >>> [t.tolist() for t in dsplit(Tensor([[[1, 2]]]), 2)]
    [[[[1]]], [[[2]]]]
    """
    if input.ndim < 3:
        raise RuntimeError(f"dsplit: expected at least 3 dimensions, got {input.ndim}")
    return _evenly("dsplit", input, indices_or_sections, 2)


# -- joining ----------------------------------------------------------------------------------------------------------


def _several(name: str, tensors: tuple[Any, ...]) -> list[Tensor]:
    """``f(a, b)`` and ``f([a, b])``."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: expected Tensors, one of these is {type(t).__name__}")
    return list(tensors)


def _each(function: Any, tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    return tuple(function(t) for t in _several(function.__name__, tensors))


def atleast_1d(*tensors: Any) -> Any:
    """Views of the tensors with at least 1 dimension; of one tensor a tensor, else a tuple.

    >>> atleast_1d(Tensor(3)).tolist()
    [3]
    """
    return _each(lambda t: t if t.ndim else t.reshape(1), tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Views of the tensors with at least 2 dimensions, new ones in front; of one tensor a tensor, else a tuple.

    >>> atleast_2d(Tensor([3, 4])).tolist()
    [[3, 4]]
    """
    return _each(lambda t: t if t.ndim > 1 else t.reshape(1, -1), tensors)


def _three(t: Tensor) -> Tensor:
    if t.ndim >= 3:
        return t
    return t.unsqueeze(-1) if t.ndim == 2 else t.reshape(1, -1, 1)


def atleast_3d(*tensors: Any) -> Any:
    """Views of the tensors with at least 3 dimensions, (N,) as (1, N, 1), (M, N) as (M, N, 1); of one tensor a tensor.

    >>> atleast_3d(Tensor([3, 4])).shape
    (1, 2, 1)
    """
    return _each(_three, tensors)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side along the second dimension, along the only one of vectors.

    >>> hstack([Tensor([[1], [2]]), Tensor([[3], [4]])]).tolist()
    [[1, 3], [2, 4]]
    """
    given = [atleast_1d(t) for t in tensors_of("hstack", tensors)]
    return cat(given, 0 if given[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors below each other along the first dimension, vectors as rows.

    >>> vstack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    return cat([atleast_2d(t) for t in tensors_of("vstack", tensors)], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors behind each other along the third dimension.

    >>> dstack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[[1, 3], [2, 4]]]
    """
    return cat([atleast_3d(t) for t in tensors_of("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side as columns.

    >>> column_stack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[1, 3], [2, 4]]
    """
    return cat([t if t.ndim > 1 else t.reshape(-1, 1) for t in tensors_of("column_stack", tensors)], 1)


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """A view of ``input`` in a shape to which it broadcasts.

    >>> broadcast_to(Tensor([1, 2]), (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return expand(input, sizes("broadcast_to", (size,)))


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape to which these broadcast together.  Raises RuntimeError where they do not.

    >>> broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    given = [shape_of("broadcast_shapes", (s,)) for s in shapes]
    try:
        return np.broadcast_shapes(*given)
    except ValueError:
        raise RuntimeError(f"broadcast_shapes: shapes {' and '.join(map(str, given))} do not broadcast") from None


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of the tensors in the shape to which they broadcast together.

    >>> [t.shape for t in broadcast_tensors(Tensor([1, 2]), Tensor([[3]]))]
    [(1, 2), (1, 2)]
    """
    given = _several("broadcast_tensors", tensors)
    shape = broadcast_shapes(*(t.shape for t in given))
    return tuple(expand(t, shape) for t in given)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Views of vectors over the grid that they span: dimension k is vector k's, but for "xy" the first two change places.

    Raises RuntimeError for more than 1 dimension, for different dtypes and for another ``indexing`` than "ij" and "xy".

    >>> [t.tolist() for t in meshgrid(Tensor([1, 2]), Tensor([3, 4]), indexing="ij")]
    [[[1, 1], [2, 2]], [[3, 4], [3, 4]]]
    """
    given = _several("meshgrid", tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    if not given:
        raise RuntimeError("meshgrid: expected at least one tensor")
    if any(t.ndim > 1 for t in given):
        raise RuntimeError(f"meshgrid: expected vectors, got shapes {' and '.join(str(t.shape) for t in given)}")
    if len({t.dtype for t in given}) > 1 or len({t.device for t in given}) > 1:
        raise RuntimeError("meshgrid: expected vectors of one dtype on one device")
    order = list(range(len(given)))
    if indexing == "xy" and len(given) > 1:
        order[0], order[1] = 1, 0
    shape = tuple(given[k].numel() for k in order)
    return tuple(
        t.reshape(tuple(-1 if order[d] == k else 1 for d in range(len(given)))).expand(shape)
        for k, t in enumerate(given)
    )


def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of an element of each vector, as rows; one vector is itself.

    Raises RuntimeError for other shapes.

    >>> cartesian_prod(Tensor([1, 2]), Tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    given = _several("cartesian_prod", tensors)
    if any(t.ndim != 1 for t in given):
        raise RuntimeError(f"cartesian_prod: expected vectors, got shapes {' and '.join(str(t.shape) for t in given)}")
    if len(given) == 1:
        return given[0]
    return stack([t.reshape(-1) for t in meshgrid(*given)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of ``r`` elements of a vector, as rows, in the order of their places.

    Raises RuntimeError for other shapes and a negative ``r``.

    >>> combinations(Tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    if input.ndim != 1:
        raise RuntimeError(f"combinations: expected a vector, got shape {input.shape}")
    if r < 0:
        raise RuntimeError(f"combinations: r must not be negative, got {r}")
    if r == 0:
        return input[:0]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input.numel()), r)), np.int64).reshape(-1, r)
    return apply(INDEX, input, Tensor(rows, device=input.device), dims=(0,))


# -- slices written into a copy -----------------------------------------------------------------------------------------


def _written(name: str, input: Tensor, index: tuple[Any, ...], src: Tensor) -> Tensor:
    region = input.detach()[index].shape
    if src.shape != region:
        raise RuntimeError(f"{name}: expected src of shape {region}, got {src.shape}")
    out = input.clone()
    out[index] = src
    return out


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A copy of ``input`` with ``src`` in place of ``input[.., start:end:step, ..]``.

    >>> slice_scatter(Tensor([1, 2, 3]), Tensor([8, 9]), start=1).tolist()
    [1, 8, 9]
    """
    d = dimension("slice_scatter", dim, input.ndim)
    return _written("slice_scatter", input, (*(slice(None),) * d, slice(start, end, step)), src)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` in place of ``input[.., index, ..]``.

    >>> select_scatter(Tensor([[1, 2], [3, 4]]), Tensor([8, 9]), 0, 1).tolist()
    [[1, 2], [8, 9]]
    """
    d = dimension("select_scatter", dim, input.ndim)
    return _written("select_scatter", input, (*(slice(None),) * d, operator.index(index)), src)
