"""Capture: one thread's work on a GPU, noted once and then done again and again as one graph.

What a graph does is fixed: kernels, grids, addresses, numbers.  So while a ``Recording`` is open

- memory comes from a pool of the graph's own, and whatever else kernels touch is kept alive by the graph;
- numbers that change from one run to the next lie in device memory, in slots of eight bytes.  ``numbers`` gives them
  there; a generator's place in its stream is one of them.  Before each run a single small launch writes all slots: its
  arguments are the values, which the driver copies when it is called, so nothing has to be waited for;
- what needs the device's answer, or copies from the host, is refused.

A device that has graphs gives a ``Recording`` of its own from ``recording(pool)``: ``start`` begins to note, ``finish``
gives a function that does what was noted, ``drop`` forgets it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from .array import DeviceArray, contiguous_strides, empty, from_numpy
from .device import Backend, Block
from .slots import PAGE, Page

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)

Numbers = Callable[[], tuple[float, ...]]


class Refused(RuntimeError):
    """Something that a captured step cannot do."""


class Postponed(BaseException):  # noqa: N818 - no error, and nothing that a step should catch
    """This run cannot be the captured one: it makes state that later runs will find."""


class _Thread(threading.local):
    recording: Recording | Rehearsal | None = None
    leaf: Callable[[Any], None] | None = None  # told of each leaf whose gradient is about to be written


thread = _Thread()


def recording() -> Recording | Rehearsal | None:
    """What takes down this thread's work: a recording, or the rehearsal of one."""
    return thread.recording


def numbers(function: Numbers) -> tuple[float, ...] | DeviceArray:
    """Numbers that ``function`` computes from the state of the host, and which change from step to step.

    While a step is captured they are given in device memory, float64 (n,), and before every later run of the graph
    ``function`` is called again, in the order of these calls: what it changes on the host advances as it would without
    a graph.
    """
    return function() if thread.recording is None else thread.recording.numbers(function)


# Recording


class Recording:
    """What one thread gives a device to do inside ``with``, noted instead of done; then ``end`` makes the graph."""

    rehearses = False
    _redirected: tuple[str, ...] = ("launch", "allocate", "copy_in", "copy_out", "synchronize", "upload_table")

    def __init__(self, backend: Backend, pool: Any) -> None:
        self.backend = backend
        self.pool = pool
        self.ident = threading.get_ident()
        self.count = 0  # launches noted
        self.failure: Refused | None = None
        self.held: dict[int, Block] = {}  # memory that the graph touches; what is its own's pool stays there anyway
        self.conditions: list[tuple[Callable[[], Any], Any]] = []
        self.watched: dict[int, Any] = {}  # objects with an ``array`` that must stay where it is
        self._undo: list[Callable[[], None]] = []
        self._first: list[Any] = []  # (page, its values in this run, or None where they are asked for later)
        self._generators: list[Any] = []
        self._relative = ExitStack()
        self._pages = [Page(empty((PAGE,), _INT64, backend))]

    # -- what a device says of itself

    def start(self) -> None:
        """Note this thread's launches from here on."""
        raise NotImplementedError

    def finish(self) -> Callable[[], None]:
        """Note no more, and give the function that does what was noted."""
        raise NotImplementedError

    def drop(self) -> None:
        """Note no more, and forget."""
        raise NotImplementedError

    def note(self, *call: Any) -> None:
        """Note a launch."""
        raise NotImplementedError

    # -- beginning and ending

    def __enter__(self) -> Recording:
        self.start()
        try:
            self._redirect()
        except BaseException:
            self.drop()
            raise
        thread.recording = self
        return self

    def __exit__(self, kind: Any, error: Any, where: Any) -> None:
        thread.recording = None
        self._restore()
        self._relative.close()
        if (
            kind is None and self.failure is not None
        ):  # the step caught it, but what it would have done is not in the graph
            self.drop()
            raise self.failure
        if kind is not None:
            self.drop()

    def revert(self) -> None:
        """Undo what the step has changed on the host."""
        while self._undo:
            self._undo.pop()()

    def _redirect(self) -> None:
        names = self._redirected
        self._before = {name: self.backend.__dict__[name] for name in names if name in self.backend.__dict__}
        for name in names:
            setattr(self.backend, name, getattr(self, name))

    def _restore(self) -> None:
        for name in self._redirected:
            if name in self._before:
                setattr(self.backend, name, self._before[name])
            else:
                delattr(self.backend, name)

    def end(self) -> Graph:
        """The graph.  Raises RuntimeError where the driver does not make it."""
        return Graph(self, self.finish())

    # -- what the step asks for

    def numbers(self, function: Numbers) -> DeviceArray:
        """See the function ``numbers``."""
        values = checked(function())
        page, slots = self._take(len(values), "d", function)
        self._first.append((page, values))
        return slots.reinterpreted(_FLOAT64)

    def enrol(self, generator: Any) -> None:
        """Let ``generator``, which is drawn from for the first time, count its streams from a slot."""

        def reserved() -> tuple[int, ...]:
            return (generator.reserve(count()),)

        state = generator.get_state()
        self.undo(lambda: generator.set_state(state))
        page, base = self._take(1, "Q", reserved)
        self._first.append((page, None))
        count = self._relative.enter_context(generator.relative(base))
        self.stays(generator.initial_seed)

    def _take(self, count: int, format: str, source: Callable[[], tuple[Any, ...]]) -> tuple[Page, DeviceArray]:
        page = self._pages[-1]
        if page.used + count > page.array.size:
            block = self.lasting(8 * max(count, PAGE))
            page = Page(DeviceArray(block, block.ptr, _INT64, (block.nbytes // 8,), (1,), self.backend))
            self._pages.append(page)
        return page, page.take(count, format, source)

    def stays(self, function: Callable[[], Any]) -> None:
        """The graph can only be used again where ``function`` still gives what it gives now."""
        self.conditions.append((function, function()))

    def watch(self, holder: Any) -> None:
        """The graph can only be used again where ``holder.array`` is the array that it is now."""
        self.watched[id(holder)] = holder

    def undo(self, function: Callable[[], None]) -> None:
        """Call ``function`` if the step fails, so that the host is as it was before."""
        self._undo.append(function)

    def postpone(self) -> None:
        """Say that the step makes state which later ones will find: it is done as it is, and the next one is captured."""
        raise Postponed

    def refuse(self, what: str) -> Refused:
        """The error for something that cannot be captured."""
        error = Refused(what)
        if self.failure is None:
            self.failure = error
        return error

    # -- what the device is asked for meanwhile, by this thread and by others

    def launch(self, function: Any, grid: Any, arguments: Any, constants: Any, num_warps: int, num_stages: int) -> None:
        if threading.get_ident() == self.ident:
            self.hold(arguments)
            self.count += 1
            self.note(function, grid, arguments, constants, num_warps, num_stages)
        else:
            type(self.backend).launch(self.backend, function, grid, arguments, constants, num_warps, num_stages)

    def hold(self, arguments: tuple[Any, ...]) -> None:
        """Keep alive the memory of arrays, of those in tuples and of those that a table leads to."""
        for argument in arguments:
            kind = type(argument)
            if kind is DeviceArray:
                self.keep(argument.block)
                reaches = getattr(argument, "reaches", None)
                if reaches is not None:
                    self.hold(reaches)
            elif kind is tuple:
                self.hold(argument)

    def keep(self, block: Block) -> None:
        """Keep one block alive, unless it is the graph's own: that memory stays, and can serve again within a run."""
        if getattr(block.owner, "pool", None) is not self.pool or self.pool is None:
            self.held[id(block)] = block

    def allocate(self, nbytes: int) -> Block:
        if threading.get_ident() == self.ident:
            return self.own(nbytes)
        return self.ordinary(nbytes)

    def own(self, nbytes: int) -> Block:
        """Memory of the graph's pool."""
        raise NotImplementedError

    def ordinary(self, nbytes: int) -> Block:
        """Memory as the device gives it without a graph."""
        return type(self.backend).allocate(self.backend, nbytes)

    def lasting(self, nbytes: int) -> Block:
        """Memory that is no part of the graph's pool, and stays while the graph does."""
        block = self.ordinary(nbytes)
        self.held[id(block)] = block
        return block

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        if threading.get_ident() == self.ident:
            raise self.refuse(
                "copies from the host cannot be captured: give the values to the step as an argument, or make them before"
            )
        type(self.backend).copy_in(self.backend, ptr, array)

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        if threading.get_ident() == self.ident:
            raise self.refuse(
                "values cannot be read while a step is captured: return the tensor and read it afterwards"
            )
        type(self.backend).copy_out(self.backend, array, ptr)

    def synchronize(self) -> None:
        if threading.get_ident() == self.ident:
            raise self.refuse("waiting for the device cannot be captured: do it after the step")
        type(self.backend).synchronize(self.backend)

    def upload_table(self, values: np.ndarray) -> DeviceArray:
        """A table is the same in every run: it is copied now, beside the graph, to memory that stays."""
        block = self.ordinary(values.nbytes)
        table = DeviceArray(
            block, block.ptr, values.dtype, values.shape, contiguous_strides(values.shape), self.backend
        )
        if values.size:
            type(self.backend).copy_in(self.backend, table.ptr, np.ascontiguousarray(values))
        return table


class Rehearsal:
    """Stands in for a ``Recording`` in a first run, which is done as usual, so that it uses the very kernels of the graph.

    Code then need not be compiled and loaded in the midst of a capture.
    """

    rehearses = True

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._relative = ExitStack()
        self._drawn: list[tuple[Any, Callable[[], int]]] = []

    def __enter__(self) -> Rehearsal:
        thread.recording = self
        return self

    def __exit__(self, *_: object) -> None:
        thread.recording = None
        self._relative.close()
        for generator, count in self._drawn:
            generator.reserve(count())

    def numbers(self, function: Numbers) -> DeviceArray:
        """See the function ``numbers``."""
        return from_numpy(np.array(checked(function()), np.float64), self.backend)

    def enrol(self, generator: Any) -> None:
        """Let ``generator`` count its streams from a number in device memory."""
        base = from_numpy(np.array([generator.reserve(0)], np.uint64).view(np.int64), self.backend)
        self._drawn.append((generator, self._relative.enter_context(generator.relative(base))))

    def undo(self, function: Callable[[], None]) -> None:
        """Nothing is ever undone: this run is a real one, and what it did before an error has happened."""


def checked(values: tuple[Any, ...]) -> tuple[float, ...]:
    """The numbers that ``numbers`` was given, if they are such."""
    if not isinstance(values, tuple) or not all(isinstance(v, (int, float)) for v in values):
        raise TypeError(f"numbers: expected a tuple of Python numbers, got {values!r}")
    return values


class Graph:
    """What was noted, to be done again: ``ready`` says whether it still fits the state of the host, ``run`` does it."""

    def __init__(self, recording: Recording, play: Callable[[], None]) -> None:
        self.backend = recording.backend
        self.count = recording.count
        self.held = recording.held
        self.pool = recording.pool
        self.play = play
        self.conditions = recording.conditions
        self._holders = list(recording.watched.values())
        self._arrays = [holder.array for holder in self._holders]
        self._first = recording._first
        self._pages = [page for page in recording._pages if page.used]
        self._fill = [(page.sources, page.writer()) for page in self._pages]

    def ready(self) -> bool:
        """Whether everything is where it was, and as it was, when the graph was made."""
        if [holder.array for holder in self._holders] != self._arrays:
            return False
        for function, value in self.conditions:
            if function() != value:
                return False
        return True

    def run_first(self) -> None:
        """Do what was noted with the numbers of the run in which it was noted."""
        for page, (sources, fill) in zip(self._pages, self._fill, strict=True):
            values: list[Any] = []
            noted = [given for where, given in self._first if where is page]
            for source, given in zip(sources, noted, strict=True):
                values += source() if given is None else given
            fill(values)
        self._first = []
        self.play()

    def run(self) -> None:
        """Advance the numbers and do it again."""
        for sources, fill in self._fill:
            values: list[Any] = []
            for source in sources:
                values += source()
            fill(values)
        self.play()
