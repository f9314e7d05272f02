"""Batches on the device before they are asked for.

While a batch is computed with, the next one is read, put into pinned memory and copied on a stream of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import wrap
from ..framework import device as devices
from ..framework.random import default_generator
from .collate import _rebuilt

T = TypeVar("T")
_MOST = 8  # batches that the host may be ahead of the GPU: each has memory of its own
_copy_streams: dict[int, Any] = {}  # one for each GPU


class prefetch(Iterable[T]):  # noqa: N801 - used like a function
    """Iterates over ``loader``, a ``DataLoader`` or any iterable of batches, with all tensors on ``device``.

    One batch is read ahead on every device, so that values and random numbers are the same on each; to a GPU it is
    copied in the background meanwhile.  Tuples, lists, named tuples and dicts keep their form; what is no tensor is
    handed on as it is.  An error of the loader is raised after the batches before it.

    >>> from .loader import DataLoader
    >>> [len(batch) for batch in prefetch(DataLoader(list(range(5)), batch_size=2), "cpu")]
    [2, 2, 1]
    """

    def __init__(self, loader: Iterable[T], device: devices.device | str | None = None) -> None:
        self.loader = loader
        self.device = devices.get_default_device() if device is None else devices.device(device)
        self._mark: Any = None  # the loader's state and the generator's before the batch ahead was read
        self._reading: Any = None  # the generator's state with which the next pass reads its first batch

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[T]:
        where = self.device
        if where.type != "cpu":
            where = devices.backend(where).device
        carry = _Background(where) if where.type == "cuda" and where.index is not None else _Plain(where)
        batches = iter(self.loader)
        ahead: Any = None
        first = True
        counts = hasattr(self.loader, "state_dict")
        reading, self._reading = self._reading, None
        while True:
            error: BaseException | None = None
            found: Any = None
            if counts:
                self._mark = None if first else (self.loader.state_dict(), default_generator.get_state())  # type: ignore[attr-defined]
            try:
                if reading is None:
                    found = carry.begin(next(batches))
                else:  # with the random numbers that were used when this batch was read ahead
                    now, again, reading = default_generator.get_state(), reading, None
                    default_generator.set_state(again)
                    try:
                        found = carry.begin(next(batches))
                    finally:
                        default_generator.set_state(now)
            except StopIteration:
                error = StopIteration()
            except Exception as raised:  # the batch before is still to be handed out
                error = raised
            if not first:
                yield carry.end(ahead)
            if isinstance(error, StopIteration):
                self._mark = None
                return
            if error is not None:
                raise error
            ahead, first = found, False

    def state_dict(self) -> dict[str, Any]:
        """Where the loader was before it read the batch ahead: for ``load_state_dict`` of such a ``prefetch``.

        Raises TypeError where the loader has no ``state_dict``.
        """
        if not hasattr(self.loader, "state_dict"):
            raise TypeError(f"prefetch: a {type(self.loader).__name__} does not say where it is; give a DataLoader")
        if self._mark is None:
            return {"loader": self.loader.state_dict(), "reading": None}
        return {"loader": self._mark[0], "reading": wrap(self._mark[1])}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on there in the next pass.  Raises ValueError for what no ``prefetch`` gave."""
        if not isinstance(state_dict, Mapping) or {"loader", "reading"} - state_dict.keys():
            raise ValueError("prefetch: expected what state_dict() of a prefetch returned")
        reading = state_dict["reading"]
        if reading is not None:
            reading = np.array(reading.host() if isinstance(reading, Tensor) else reading)
            if reading.shape != (16,) or reading.dtype != np.uint8:
                raise ValueError("prefetch: expected what state_dict() of a prefetch returned")
        self.loader.load_state_dict(state_dict["loader"])  # type: ignore[attr-defined]
        self._reading, self._mark = reading, None


class _Plain:
    """Copies at once."""

    def __init__(self, where: devices.device) -> None:
        self.where = where

    def begin(self, batch: Any) -> Any:
        return _each(batch, lambda t: t.to(self.where))

    def end(self, batch: Any) -> Any:
        return batch


class _Background:
    """Copies on the device's copy stream; at the end the current stream waits for the copy, the host does not."""

    def __init__(self, where: devices.device) -> None:
        from ..framework.cuda import Stream, current_stream, stream

        assert where.index is not None
        found = _copy_streams.get(where.index)
        if found is None or found._backend is not devices.backend(where):
            found = _copy_streams[where.index] = Stream(where)
        self.handed: deque[Any] = deque()  # marks in the current stream where a batch was handed out
        self.where, self.stream, self.using, self.current = where, found, stream, current_stream

    def begin(self, batch: Any) -> Any:
        with self.using(self.stream):
            made = _each(batch, self.copied)
        return made, self.stream.record_event()

    def copied(self, t: Tensor) -> Tensor:
        if t.device.type == "cpu" and not t.requires_grad:
            return t.pin_memory().to(self.where, non_blocking=True)
        return t.to(self.where)

    def end(self, batch: Any) -> Any:
        made, event = batch
        current = self.current(self.where)
        self.handed.append(current.record_event())
        if len(self.handed) > _MOST:
            self.handed.popleft().synchronize()
        current.wait_event(event)
        return made


def pinned(batch: Any) -> Any:
    """A batch with its tensors in host memory copied to pinned memory."""
    return _each(batch, lambda t: t.pin_memory() if t.device.type == "cpu" else t)


def _each(batch: Any, change: Any) -> Any:
    """``batch`` with ``change`` applied to every tensor in it."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        made = {k: _each(x, change) for k, x in batch.items()}
        return made if type(batch) is dict else _rebuilt(type(batch), made)
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        parts = [_each(x, change) for x in batch]
        if isinstance(batch, tuple) and hasattr(batch, "_fields"):
            return type(batch)(*parts)
        return parts if type(batch) is list else _rebuilt(type(batch), parts)
    return batch
