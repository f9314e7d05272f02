"""Where a tensor is not zero, and what is chosen by masks and by numbers of elements.

    nonzero[k]            = the place of the k-th element that is not 0, row by row
    masked_select[k]      = the k-th element of input where mask holds
    masked_scatter[i]     = source[number of places before i where mask holds] where mask holds, input[i] elsewhere
    put[i]                = source[k] for the last k with index[k] = i, input[i] where there is none

How many there are depends on the values, so a device is waited for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.op import OPS
from .expand import expand
from .gather import counted
from .getitem import _positions, _understood, getitem, setitem
from .index import INDEX_PUT, indexed_shape
from .scatter import scatter


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Places of the elements that are not 0: int64 (count, ndim), or with ``as_tuple`` a vector for each dimension.

    >>> nonzero(Tensor([[0, 5], [6, 0]])).tolist(), [t.tolist() for t in nonzero(Tensor([0, 5]), as_tuple=True)]
    ([[0, 1], [1, 0]], [[1]])
    """
    host = input.host()
    if as_tuple:
        found = np.nonzero(np.atleast_1d(host))
        return tuple(Tensor(np.asarray(f, np.int64), device=input.device) for f in found)
    places = np.argwhere(host).astype(np.int64)
    return Tensor(places.reshape(len(places), input.ndim), device=input.device)


def argwhere(input: Tensor) -> Tensor:
    """As ``nonzero``: places of the elements that are not 0, int64 (count, ndim).

    >>> argwhere(Tensor([0, 5])).tolist()
    [[1]]
    """
    return nonzero(input)


def _mask(name: str, input: Tensor, mask: Any) -> Tensor:
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}: expected mask to be a Tensor, got {type(mask).__name__}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"{name}: expected a mask of dtype bool, got {mask.dtype.name}")
    if mask.device is not input.device:
        raise RuntimeError(f"{name}: expected all tensors on one device, got {input.device} and {mask.device}")
    return mask


def _both(name: str, input: Tensor, mask: Tensor) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(input.shape, mask.shape)
    except ValueError:
        raise RuntimeError(f"{name}: shapes {input.shape} and {mask.shape} do not broadcast") from None


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool tensor ``mask`` holds, in a vector; the two broadcast.

    Raises RuntimeError for a mask that is not of bool, and where shapes do not broadcast.

    >>> masked_select(Tensor([1, 2, 3]), Tensor([True, False, True])).tolist()
    [1, 3]
    """
    mask = _mask("masked_select", input, mask)
    shape = _both("masked_select", input, mask)
    return getitem(expand(input, shape), expand(mask, shape)).reshape(-1)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the first elements of ``source`` where the bool tensor ``mask`` holds; input and mask broadcast.

    Raises RuntimeError for a mask that is not of bool, another dtype of ``source``, and where it has too few elements.

    >>> masked_scatter(Tensor([1, 2, 3]), Tensor([True, False, True]), Tensor([8, 9])).tolist()
    [8, 2, 9]
    """
    mask = _mask("masked_scatter", input, mask)
    shape = _both("masked_scatter", input, mask)
    if source.dtype is not input.dtype:
        raise RuntimeError(f"masked_scatter: input is of {input.dtype.name}, source of {source.dtype.name}")
    where = np.flatnonzero(np.broadcast_to(mask.host(), shape)).astype(np.int64)
    if where.size > source.numel():
        raise RuntimeError(
            f"masked_scatter: the mask holds in {where.size} places, source has {source.numel()} elements"
        )
    whole = expand(input, shape).reshape(-1)
    positions = Tensor(where, device=input.device)
    return apply(INDEX_PUT, whole, source.reshape(-1)[: where.size], positions, dims=(0,)).reshape(shape)


def masked_scatter_(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``masked_scatter`` in place; returns ``input``.

    >>> masked_scatter_(Tensor([1, 2]), Tensor([False, True]), Tensor([9])).tolist()
    [1, 9]
    """
    return input.copy_(masked_scatter(input, mask, source))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with the elements of ``source`` at their row-major numbers ``index``; added there with ``accumulate``.

    Negative numbers count from the end.  Raises IndexError for a number out of range and RuntimeError where index and
    source differ in size or dtypes do not fit.

    >>> put(Tensor([[1, 2], [3, 4]]), Tensor([-1, 0]), Tensor([8, 9])).tolist()
    [[9, 2], [3, 8]]
    """
    numbers = counted("put", index, input.numel())
    if source.dtype is not input.dtype:
        raise RuntimeError(f"put: input is of {input.dtype.name}, source of {source.dtype.name}")
    if source.numel() != numbers.numel():
        raise RuntimeError(f"put: {numbers.numel()} numbers for a source of {source.numel()} elements")
    flat, values, numbers = input.reshape(-1), source.reshape(-1), numbers.reshape(-1)
    if accumulate:
        added = apply(OPS["index_backward"], values, numbers, dims=(0,), shape=flat.shape)
        return (flat + added).reshape(input.shape)
    return scatter(flat, 0, numbers, values).reshape(input.shape)


def put_(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``put`` in place; returns ``input``.

    >>> put_(Tensor([1, 2]), Tensor([1]), Tensor([9])).tolist()
    [1, 9]
    """
    return input.copy_(put(input, index, source, accumulate))


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``values``, which broadcast, at ``indices``, a tuple as in ``input[indices]``.

    With ``accumulate`` they are added, repeats too.  Raises as ``input[indices] = values``, and RuntimeError for values
    of another dtype.

    >>> index_put(Tensor([1, 2, 3]), (Tensor([0, 0]),), Tensor([5, 6]), accumulate=True).tolist()
    [12, 2, 3]
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"index_put: expected values to be a Tensor, got {type(values).__name__}")
    if values.dtype is not input.dtype:
        raise RuntimeError(f"index_put: input is of {input.dtype.name}, values of {values.dtype.name}")
    key = tuple(slice(None) if i is None else i for i in indices)
    if not accumulate:
        out = input.clone()
        setitem(out, key, values)
        return out
    shape = input.shape
    entries, advanced = _understood("index_put", shape, key)
    if not advanced or any(e is None for e in entries):
        return _added(input, key, values)
    positions, dims = _positions("index_put", shape, advanced)
    region = indexed_shape(shape, positions.shape, dims)
    try:
        wide = expand(values, region)
    except RuntimeError:
        raise RuntimeError(
            f"index_put: values of shape {values.shape} do not broadcast to the indexed shape {region}"
        ) from None
    numbers = Tensor(positions, device=input.device)
    return input + apply(OPS["index_backward"], wide, numbers, dims=dims, shape=shape)


def _added(input: Tensor, key: Any, values: Tensor) -> Tensor:
    """For an index that names no place twice."""
    out = input.clone()
    setitem(out, key, getitem(input, key) + values)
    return out


def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """``index_put`` in place; returns ``input``.

    >>> index_put_(Tensor([1, 2]), (Tensor([1]),), Tensor([9])).tolist()
    [1, 9]
    """
    return input.copy_(index_put(input, indices, values, accumulate))
