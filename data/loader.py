"""DataLoader: batches of a data set, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice, repeat
from typing import Any, Generic, TypeVar

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import wrap
from ..framework import cuda
from ..framework.random import Generator, default_generator
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .prefetch import pinned
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from .worker import Fetch, Pass, Workers, start_context

T_co = TypeVar("T_co", covariant=True)


class _Endless(Sampler[Any]):
    """Stands where a sampler would, for a set that is read in turn."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield None


class _At:
    """A place in a pass: batches handed out, and the generators' states at its beginning (None: it has not begun)."""

    __slots__ = ("batches", "began")

    def __init__(self, batches: int, began: list[np.ndarray] | None) -> None:
        self.batches = batches
        self.began = began


class _Counted(Iterator[Any]):
    """A pass that says in its loader where it is.  Nothing is drawn before its first batch is asked for."""

    def __init__(self, loader: DataLoader[Any], resume: _At | None) -> None:
        self.loader = loader
        self.resume = resume
        self.batches: Iterator[Any] | None = None
        self.at = _At(0, None)

    def __next__(self) -> Any:
        if self.batches is None:
            self.batches = self._begin()
        at = self.at
        try:
            batch = next(self.batches)
        except StopIteration:
            if self.loader._at is at:
                self.loader._at = None
            raise
        at.batches += 1
        return batch

    def _begin(self) -> Iterator[Any]:
        loader, resume = self.loader, self.resume
        generators = loader._generators()
        now = [g.get_state() for g in generators]
        if resume is None or resume.began is None:
            self.at = loader._at = _At(0, now)
            return loader._begin(0)
        self.at = loader._at = _At(resume.batches, resume.began)
        try:
            for generator, state in zip(generators, resume.began, strict=True):
                generator.set_state(state)
            return loader._begin(resume.batches)
        finally:
            for generator, state in zip(generators, now, strict=True):
                generator.set_state(state)


def _drop(them: Iterator[Any], count: int) -> None:
    for _ in islice(them, count):
        pass


def _host(state: Any) -> np.ndarray:
    return np.array(state.host() if isinstance(state, Tensor) else state)


class DataLoader(Generic[T_co]):
    """An iterable over the batches of ``dataset``; each ``for`` over it is one pass, with a new order if shuffled.

    ``batch_size`` items make a batch (None: items come one by one, unbatched), the last one shorter unless
    ``drop_last``.  ``shuffle`` draws each pass's order from ``generator``, by default the global one, the same on every
    device.  ``sampler`` gives the order instead, ``batch_sampler`` the batches.  ``collate_fn`` makes a batch from a
    list of items.

    With ``num_workers`` items are read in so many processes of their own, each ``prefetch_factor`` (2) batches ahead, in
    the same order; ``worker_init_fn`` is called in each with its number, ``timeout`` is how many seconds a batch may
    take, ``persistent_workers`` keeps them from one pass to the next, and ``multiprocessing_context`` says how they
    start (see ``data/worker.py``).  Without, items are read in the process itself.  An exception in a worker is raised
    here with its traceback, a killed one is a RuntimeError.  ``pin_memory`` puts the batches' tensors into pinned
    memory, from which ``.to("cuda", non_blocking=True)`` copies in the background; where there is no GPU they stay as
    they are.  Options that exclude each other raise ValueError.  ``state_dict`` says where in a pass the loader is.
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
        context = start_context(multiprocessing_context) if num_workers else None
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
        self.multiprocessing_context = context
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.generator = generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self._workers: Workers | None = None  # those that stay
        self._at: _At | None = None  # where the latest pass is
        self._resume: _At | None = None  # where the next one shall go on
        self._settled = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last") and "_settled" in vars(self):
            raise ValueError(f"DataLoader: {name} cannot be changed afterwards; make a new loader")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        resume, self._resume = self._resume, None
        return _Counted(self, resume)

    def _begin(self, skip: int) -> Iterator[Any]:
        """The batches of a pass from number ``skip`` on."""
        fetch = Fetch(
            self.dataset,
            self.collate_fn,
            self._in_turn,
            self.batch_sampler is not None,
            self.batch_size,
            self.drop_last,
        )
        batches: Iterator[Any]
        generator = self.generator or default_generator
        if self.num_workers:
            workers = self._workers
            if workers is None or not workers.close.alive:
                workers = Workers(fetch, self.num_workers, self.multiprocessing_context, self.worker_init_fn, generator)
                if self.persistent_workers:
                    self._workers = workers
            order = repeat(None) if self._in_turn else self._order(skip)
            begins = 0 if self._in_turn else skip
            assert self.prefetch_factor is not None
            batches = Pass(
                workers, order, begins, self.prefetch_factor, self.timeout, self.persistent_workers, generator
            )
        else:
            batches = fetch.turns() if self._in_turn else map(fetch.numbers, self._order(skip))
        if self._in_turn:
            _drop(batches, skip)
        return map(pinned, batches) if self.pin_memory and cuda.is_available() else batches

    def _order(self, skip: int) -> Iterator[Any]:
        order = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        _drop(order, skip)
        return chain(list(islice(order, 1)), order)  # the first one now: the sampler draws its random numbers here

    def _generators(self) -> list[Generator]:
        """Those that decide a pass: the loader's own or the default one, and the sampler's."""
        found = [self.generator or default_generator]
        place: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        while place is not None:
            other = getattr(place, "generator", None)
            if isinstance(other, Generator) and other not in found:
                found.append(other)
            place = getattr(place, "sampler", None)
        return found if default_generator in found else [*found, default_generator]

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass is: batches handed out, and the states of the generators at its beginning.

        The next pass of a loader that has loaded this goes on there, in the same order and with the same workers'
        random numbers.  The default generator's present state is not part of it (``save_checkpoint`` saves that),
        those of other generators are.  Samplers must draw their random numbers when a pass begins, as those here do;
        an ``IterableDataset`` is read again up to the place.
        """
        own = [g.get_state() for g in self._generators() if g is not default_generator]
        at = self._at or _At(0, None)
        return {
            "batches": at.batches,
            "began": None if at.began is None else [wrap(s.copy()) for s in at.began],
            "generators": [wrap(s) for s in own],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next pass go on where ``state_dict()`` of such a loader was taken.

        Raises ValueError where the state is of a loader with other generators or none at all; nothing is changed then.
        """
        try:
            batches, began = state_dict["batches"], state_dict["began"]
            own = [_host(s) for s in state_dict["generators"]]
            at = _At(batches, None if began is None else [_host(s) for s in began])
        except (KeyError, TypeError, AttributeError):
            raise ValueError("DataLoader: expected what state_dict() of a DataLoader returned") from None
        generators = self._generators()
        owned = [g for g in generators if g is not default_generator]
        states = [*own, *(at.began or ())]
        if (
            len(own) != len(owned)
            or (at.began is not None and len(at.began) != len(generators))
            or any(s.shape != (16,) or s.dtype != np.uint8 for s in states)
            or not isinstance(batches, int)
            or batches < 0
        ):
            raise ValueError("DataLoader: the state is of a loader with other generators")
        for generator, state in zip(owned, own, strict=True):
            generator.set_state(state)
        self._resume = self._at = at if at.began is not None else None

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
    if timeout < 0:
        raise ValueError(f"DataLoader: timeout must not be negative, got {timeout}")
    if worker_init_fn is not None and not callable(worker_init_fn):
        raise TypeError(f"DataLoader: expected a function worker_init_fn, got {type(worker_init_fn).__name__}")
    if num_workers:
        whole = isinstance(prefetch_factor, int) and not isinstance(prefetch_factor, bool) and prefetch_factor > 0
        if prefetch_factor is not None and not whole:
            raise ValueError(f"DataLoader: expected prefetch_factor to be a positive integer, got {prefetch_factor!r}")
        return
    for name, given in (
        ("timeout", timeout),
        ("multiprocessing_context", multiprocessing_context is not None),
        ("prefetch_factor", prefetch_factor is not None),
        ("persistent_workers", persistent_workers),
    ):
        if given:
            raise ValueError(f"DataLoader: {name} is for worker processes, and num_workers is 0")
