"""Samplers: in which order the items of a data set are visited, and in which batches.

Random orders come from the generator on the host, so one seed gives one order whatever the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from ..autograd import Tensor
from ..framework.device import CPU
from ..framework.random import Generator, default_generator, exponential, randint, randperm, uniform

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """An iterable of item numbers, or of lists of them: subclasses define ``__iter__`` and, if known, ``__len__``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: a Sampler must define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... to the end of ``data_source``."""

    data_source: Sized

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A new random order at each pass, or independent draws with ``replacement``: ``num_samples``, else one each.

    More samples than items go through as many orders as it takes.  Raises TypeError unless ``replacement`` is a bool,
    ValueError unless the number of samples is positive.
    """

    data_source: Sized
    replacement: bool

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: expected replacement to be a bool, got {replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _check_count("RandomSampler", "num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many items a pass visits."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = default_generator if self.generator is None else self.generator
        n, left = len(self.data_source), self.num_samples
        if self.replacement:
            yield from np.asarray(randint((left,), 0, n, np.int64, CPU, generator.key())).tolist()
            return
        keys = [generator.key() for _ in range(-(-left // n))]  # all drawn now, so that a pass can be repeated
        for key in keys:
            order: list[int] = np.asarray(randperm(n, np.int64, CPU, key)).tolist()
            yield from order[:left]
            left -= n

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """These indices, in a new random order at each pass."""

    indices: Sequence[int]

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = default_generator if self.generator is None else self.generator
        order: list[int] = np.asarray(randperm(len(self.indices), np.int64, CPU, generator.key())).tolist()
        return (self.indices[i] for i in order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """``num_samples`` item numbers, each drawn in proportion to its weight, with or without ``replacement``.

    Raises ValueError for weights that are not 1-d, negative, not finite or all zero, for a number of samples that is
    not positive, and for more samples than positive weights where none may come twice.
    """

    weights: np.ndarray
    num_samples: int
    replacement: bool

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        _check_count("WeightedRandomSampler", "num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"WeightedRandomSampler: expected replacement to be a bool, got {replacement!r}")
        self.weights = np.array(weights.host() if isinstance(weights, Tensor) else weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: expected weights (N,), got shape {self.weights.shape}")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any() or not self.weights.any():
            raise ValueError("WeightedRandomSampler: expected weights that are finite, not negative and not all zero")
        positive = int((self.weights > 0).sum())
        if not replacement and num_samples > positive:
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} samples without replacement, but {positive} positive weights"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        key = (default_generator if self.generator is None else self.generator).key()
        if self.replacement:
            steps = np.cumsum(self.weights / self.weights.max())
            places = np.asarray(uniform((self.num_samples,), np.float64, CPU, key)) * steps[-1]
            drawn = np.searchsorted(steps, places, side="right")
            last = np.flatnonzero(self.weights)[-1]  # where the product was rounded up to the end
            return iter(np.minimum(drawn, last).tolist())
        # a race: with exponential times at the rates of the weights, each next arrival is a weighted draw of the rest
        with np.errstate(divide="ignore"):
            arrivals = np.asarray(exponential(self.weights.shape, np.float64, CPU, key)) / self.weights
        return iter(np.argsort(arrivals, kind="stable")[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` numbers from another sampler; the last one is shorter, or left out with ``drop_last``.

    Raises ValueError unless the size is a positive integer and ``drop_last`` a bool.
    """

    sampler: Iterable[int]
    batch_size: int
    drop_last: bool

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_count("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: expected drop_last to be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        numbers = iter(self.sampler)
        while True:
            batch = list(islice(numbers, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                return
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def _check_count(name: str, what: str, count: Any) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count <= 0:
        raise ValueError(f"{name}: expected {what} to be a positive integer, got {count!r}")
