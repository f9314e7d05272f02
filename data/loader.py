"""DataLoader: batches of a data set, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from ..framework import cuda
from ..framework.random import Generator
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset, QuickDataset
from .prefetch import pinned
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)


class _Endless(Sampler[Any]):
    """Stands where a sampler would, for a set that is read in turn."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """An iterable over the batches of ``dataset``; each ``for`` over it is one pass, with a new order if shuffled.

    ``batch_size`` items make a batch (None: items come one by one, unbatched), the last one shorter unless
    ``drop_last``.  ``shuffle`` draws each pass's order from ``generator``, by default the global one, the same on every
    device.  ``sampler`` gives the order instead, ``batch_sampler`` the batches.  ``collate_fn`` makes a batch from a
    list of items.

    Items are read in the process itself: ``num_workers`` above 0, and what goes with it, raises NotImplementedError or
    ValueError, and ``worker_init_fn`` has no worker to be called in.  ``pin_memory`` puts the batches' tensors into
    pinned memory, from which ``.to("cuda", non_blocking=True)`` copies in the background; where there is no GPU they
    stay as they are.  Options that exclude each other raise ValueError.
    """

    dataset: Any
    batch_size: int | None
    sampler: Iterable[Any]
    batch_sampler: Iterable[list[int]] | None
    drop_last: bool
    num_workers: int
    pin_memory: bool
    generator: Generator | None
    collate_fn: Callable[[Any], Any]

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        _check_workers(
            num_workers, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers
        )
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"DataLoader: expected a Generator, got {type(generator).__name__}")
        if collate_fn is not None and not callable(collate_fn):
            raise TypeError(f"DataLoader: expected a function collate_fn, got {type(collate_fn).__name__}")
        self._in_turn = isinstance(dataset, IterableDataset)
        if self._in_turn:
            for name, given in (
                ("shuffle", shuffle),
                ("sampler", sampler is not None),
                ("batch_sampler", batch_sampler is not None),
            ):
                if given:
                    raise ValueError(f"DataLoader: {name} needs items by number, and an IterableDataset has none")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs batches, and batch_size=None makes none")
        items: Any = dataset
        order: Iterable[Any] | None = sampler
        if order is None:
            if self._in_turn:
                order = _Endless()
            else:
                order = RandomSampler(items, generator=generator) if shuffle else SequentialSampler(items)
        if batch_size is not None:
            batch_sampler = BatchSampler(order, batch_size, drop_last)
        self.dataset = items
        self.batch_size = batch_size
        self.sampler = order
        self.batch_sampler = batch_sampler
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self._settled = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last") and "_settled" in vars(self):
            raise ValueError(f"DataLoader: {name} cannot be changed afterwards; make a new loader")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches()
        return map(pinned, batches) if self.pin_memory and cuda.is_available() else batches

    def _batches(self) -> Iterator[Any]:
        if self._in_turn:
            return self._read_in_turn()
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[i]) for i in self.sampler)
        return map(self._batch, self.batch_sampler)

    def _batch(self, indices: list[int]) -> Any:
        if self.collate_fn is default_collate and isinstance(self.dataset, QuickDataset):
            found = self.dataset.batch(indices)
            if found is not None:
                return found
        return self.collate_fn([self.dataset[i] for i in indices])

    def _read_in_turn(self) -> Iterator[Any]:
        items = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, items)
            return
        while True:
            batch = list(islice(items, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                return
            yield self.collate_fn(batch)

    def __len__(self) -> int:
        """Batches in a pass (items, where there are no batches).  Raises TypeError where the length is not known."""
        if self._in_turn:
            items = len(self.dataset)
            if self.batch_size is None:
                return items
            return items // self.batch_size if self.drop_last else -(-items // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]


def _check_workers(
    num_workers: Any,
    timeout: Any,
    worker_init_fn: Any,
    multiprocessing_context: Any,
    prefetch_factor: Any,
    persistent_workers: Any,
) -> None:
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(f"DataLoader: expected num_workers to be an integer of at least 0, got {num_workers!r}")
    if num_workers:
        raise NotImplementedError(f"DataLoader: num_workers must be 0 for want of worker processes, got {num_workers}")
    if timeout < 0:
        raise ValueError(f"DataLoader: timeout must not be negative, got {timeout}")
    if worker_init_fn is not None and not callable(worker_init_fn):
        raise TypeError(f"DataLoader: expected a function worker_init_fn, got {type(worker_init_fn).__name__}")
    for name, given in (
        ("timeout", timeout),
        ("multiprocessing_context", multiprocessing_context is not None),
        ("prefetch_factor", prefetch_factor is not None),
        ("persistent_workers", persistent_workers),
    ):
        if given:
            raise ValueError(f"DataLoader: {name} is for worker processes, and num_workers is 0")
