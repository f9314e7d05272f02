"""Data sets: what can be asked for its items, by number or in turn, and how to cut and join such sets."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import wrap
from ..framework.device import CPU
from ..framework.random import Generator, default_generator, randperm

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Items by number: subclasses define ``__getitem__`` and, where their length is known, ``__len__``."""

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__}: a Dataset must define __getitem__")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Items in turn: subclasses define ``__iter__``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: an IterableDataset must define __iter__")

    def __add__(self, other: Dataset[T_co]) -> Any:
        return ChainDataset([self, other])


class QuickDataset(Dataset[T_co]):
    """A data set of this room that can give many items at once."""

    def batch(self, indices: Sequence[int]) -> Any:
        """What collating these items would give; None where they must be taken one by one."""
        raise NotImplementedError


class TensorDataset(QuickDataset[tuple[Tensor, ...]]):
    """Item i is the tuple of the i-th rows of some tensors.

    Raises ValueError without tensors and where they have different numbers of rows, TypeError for what is no tensor.
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for t in tensors:
            if not isinstance(t, Tensor):
                raise TypeError(f"TensorDataset: expected tensors, got {type(t).__name__}")
        if any(not t.ndim for t in tensors) or len({len(t) for t in tensors}) > 1:
            shapes = ", ".join(str(t.shape) for t in tensors)
            raise ValueError(f"TensorDataset: expected tensors with the same number of rows, got shapes {shapes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batch(self, indices: Sequence[int]) -> list[Tensor] | None:
        if type(self).__getitem__ is not TensorDataset.__getitem__:
            return None
        return [rows(t, indices) for t in self.tensors]


class Subset(QuickDataset[T_co]):
    """The items of another set that ``indices`` names, in that order."""

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Sequence[int]) -> Any:
        if not isinstance(self.dataset, QuickDataset) or type(self).__getitem__ is not Subset.__getitem__:
            return None
        return self.dataset.batch([self.indices[i] for i in indices])


class ConcatDataset(Dataset[T_co]):
    """Several sets, one after the other.  Raises ValueError without sets, TypeError for an IterableDataset."""

    datasets: list[Dataset[T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no items by number")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"ConcatDataset: index {index} is out of range for {size} items")
        index %= size
        which = bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]


class ChainDataset(IterableDataset[T_co]):
    """Several sets that are read in turn, one after the other.  Raises TypeError for a set that is not."""

    datasets: Iterable[Dataset[T_co]]

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise TypeError(f"ChainDataset: expected IterableDatasets, got {type(d).__name__}")

    def __iter__(self) -> Iterator[T_co]:
        for d in self.datasets:
            yield from d  # type: ignore[misc]

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)  # type: ignore[arg-type, misc]


class StackDataset(Dataset[Any]):
    """Item i is the tuple, or by names the dict, of the i-th items of several sets of one length.

    Raises ValueError without sets, for sets given both ways, and where the lengths differ.
    """

    datasets: tuple[Dataset[Any], ...] | dict[str, Dataset[Any]]

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected data sets either by position or by name")
        lengths = [len(d) for d in args or kwargs.values()]  # type: ignore[arg-type]
        if len(set(lengths)) > 1:
            raise ValueError(f"StackDataset: expected data sets of one length, got {lengths}")
        self._length = lengths[0]
        self.datasets = args or kwargs

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return self._length


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Disjoint random subsets of these lengths, or of these shares of the whole where they sum to 1.

    Shares are rounded down and the items left over go to the first subsets, one each.  Raises ValueError for a negative
    length and where the lengths do not sum to the length of ``dataset``.
    """
    total = len(dataset)  # type: ignore[arg-type]
    if any(n < 0 for n in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {list(lengths)}")
    if any(isinstance(n, float) for n in lengths) and math.isclose(sum(lengths), 1):
        counts = [math.floor(total * share) for share in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
        if 0 in counts:
            warnings.warn(f"random_split: subset {counts.index(0)} is empty", stacklevel=2)
    else:
        counts = [int(n) for n in lengths]
        if counts != list(lengths) or sum(counts) != total:
            raise ValueError(f"random_split: lengths {list(lengths)} do not sum to the data set's {total} items")
    key = (default_generator if generator is None else generator).key()
    order: list[int] = np.asarray(randperm(total, np.int64, CPU, key)).tolist()
    ends = accumulate(counts)
    return [Subset(dataset, order[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def rows(tensor: Tensor, indices: Sequence[int]) -> Tensor:
    """A batch of a tensor's rows, all taken at once; its history is kept."""
    if isinstance(tensor.array, np.ndarray) and not tensor.requires_grad:
        return wrap(tensor.array[np.asarray(indices, np.int64)])
    return tensor[list(indices)]
