"""From items to a batch: arrays are put together on the host, and tensors are made last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import host_array, wrap
from ..framework import dtypes
from ..framework.op import OPS


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from a list of items of one structure.

    Tensors, NumPy arrays and numbers become one tensor with a new first dimension (Python floats in float64); strings
    stay a list; dicts, named tuples and lists keep their form and are collated inside; a tuple becomes a list, as in
    PyTorch.  Raises RuntimeError where shapes, lengths or keys differ, TypeError for anything else.

    >>> default_collate([(1, "a"), (2, "b")])[1]
    ['a', 'b']
    >>> default_collate([{"x": np.zeros(3)}, {"x": np.ones(3)}])["x"].shape
    (2, 3)
    """
    if not len(batch):
        raise ValueError("default_collate: expected at least one item")
    return _together(batch, "item")


def _together(batch: Sequence[Any], where: str) -> Any:
    first = batch[0]
    if isinstance(first, Tensor):
        return _tensors(batch, where)
    if isinstance(first, (np.ndarray, np.generic)):
        _same_kind(batch, (np.ndarray, np.generic), where)
        _same_shape([x.shape for x in batch], where)
        return _from_host(np.stack([np.asarray(x) for x in batch]), where)
    if isinstance(first, (bool, int, float)):
        _same_kind(batch, (bool, int, float), where)
        return _numbers(batch, where)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        _same_kind(batch, (Mapping,), where)
        for x in batch:
            if x.keys() != first.keys():
                raise RuntimeError(f"default_collate: {where} has keys {list(first)} and {list(x)} in one batch")
        made = {k: _together([x[k] for x in batch], f"{where}[{k!r}]") for k in first}
        return made if type(first) is dict else _rebuilt(type(first), made)
    if isinstance(first, Sequence):
        _same_kind(batch, (Sequence,), where)
        lengths = {len(x) for x in batch}
        if len(lengths) > 1:
            raise RuntimeError(f"default_collate: {where} has different lengths in one batch: {sorted(lengths)}")
        parts = [_together([x[i] for x in batch], f"{where}[{i}]") for i in range(len(first))]
        if isinstance(first, tuple) and hasattr(first, "_fields"):
            return type(first)(*parts)
        return parts if isinstance(first, (tuple, list)) else _rebuilt(type(first), parts)
    raise TypeError(
        f"default_collate: expected tensors, NumPy arrays, numbers, strings, dicts, lists or tuples, "
        f"{where} is a {type(first).__name__}; give collate_fn"
    )


def _rebuilt(kind: Any, made: Any) -> Any:
    try:
        return kind(made)
    except TypeError:  # a class that cannot be made from its contents: the plain form will do
        return made


def _same_kind(batch: Sequence[Any], kinds: tuple[type, ...], where: str) -> None:
    for x in batch:
        if not isinstance(x, kinds):
            raise TypeError(
                f"default_collate: {where} is a {type(batch[0]).__name__} and a {type(x).__name__} in one batch"
            )


def _same_shape(shapes: list[tuple[int, ...]], where: str) -> None:
    for shape in shapes:
        if shape != shapes[0]:
            raise RuntimeError(f"default_collate: {where} has shapes {shapes[0]} and {shape} in one batch")


def _tensors(batch: Sequence[Tensor], where: str) -> Tensor:
    _same_kind(batch, (Tensor,), where)
    _same_shape([t.shape for t in batch], where)
    if all(isinstance(t.array, np.ndarray) and not t.requires_grad for t in batch):
        return wrap(np.stack([t.host() for t in batch]))
    return OPS["stack"].function(list(batch))  # type: ignore[misc]


def _numbers(batch: Sequence[Any], where: str) -> Tensor:
    if any(isinstance(x, float) for x in batch):
        return wrap(np.array(batch, np.float64))
    if all(isinstance(x, bool) for x in batch):
        return wrap(np.array(batch, np.bool_))
    try:
        return wrap(np.array(batch, np.int64))
    except OverflowError:
        raise RuntimeError(f"default_collate: {where} has an integer that int64 does not hold") from None


def _from_host(array: np.ndarray, where: str) -> Tensor:
    try:
        return wrap(host_array(array, copy=False))
    except TypeError:
        known = ", ".join(d.name for d in dtypes.ALL)
        raise TypeError(f"default_collate: expected arrays of {known}, {where} is of {array.dtype}") from None


def default_convert(item: Any) -> Any:
    """An item with its NumPy arrays turned into tensors that share their memory, and everything else as it is.

    >>> default_convert({"x": np.zeros(3), "name": "zero"})["x"].shape
    (3,)
    """
    if isinstance(item, (np.ndarray, np.generic)):
        array = np.asarray(item)
        return item if array.dtype.kind in "OUSV" and array.dtype not in dtypes._OF else _from_host(array, "item")
    if isinstance(item, Mapping):
        made = {k: default_convert(x) for k, x in item.items()}
        return made if type(item) is dict else _rebuilt(type(item), made)
    if isinstance(item, Sequence) and not isinstance(item, (str, bytes)):
        parts = [default_convert(x) for x in item]
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            return type(item)(*parts)
        return parts if isinstance(item, (tuple, list)) else _rebuilt(type(item), parts)
    return item
