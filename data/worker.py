"""Worker processes of a loader: they read and collate batches while the main process computes.

Batch i is the task of the next worker in turn and is handed out in turn, so the order does not depend on how fast
anybody is.  Each worker has one channel of its own, a pair of sockets: a killed worker can hold no lock that others
wait for, and a broken channel tells each side that the other one is gone.

Random numbers.  Worker k of a pass is seeded with ``base + k``, where ``base`` is drawn for the pass: trigrad's
generator, Python's ``random`` and ``numpy.random``.  Before each batch trigrad's generator goes to a place that only the
seed and the batch's number decide, so a pass that is resumed in the middle draws what it would have drawn.

Processes are forked on Linux, as in PyTorch: data sets, functions and all need not be pickled, and start at once.  A
forked process cannot use CUDA where its parent has; reading needs the host only.  Elsewhere, and with
``multiprocessing_context="spawn"`` or ``"forkserver"``, what a worker needs is pickled, tensors included.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import random
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from ..framework import threads
from ..framework.random import Generator, default_generator
from . import passing
from .collate import default_collate
from .dataset import QuickDataset

_STREAMS = 1 << 20  # of the generator, for each batch
_PATIENCE = 3.0  # seconds a worker is given to end by itself


@dataclass(frozen=True)
class Fetch:
    """How a batch is read: by numbers from a set with items by number, else the next ones in turn."""

    dataset: Any
    collate_fn: Callable[[Any], Any]
    in_turn: bool
    batched: bool
    batch_size: int | None
    drop_last: bool

    def numbers(self, wanted: Any) -> Any:
        """The batch (without batches: the item) of these numbers."""
        if not self.batched:
            return self.collate_fn(self.dataset[wanted])
        if self.collate_fn is default_collate and isinstance(self.dataset, QuickDataset):
            found = self.dataset.batch(wanted)
            if found is not None:
                return found
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate_fn([self.dataset[i] for i in wanted] if many is None else many(wanted))

    def turns(self) -> Iterator[Any]:
        """All batches (without batches: items) in turn."""
        items = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, items)
            return
        while True:
            batch = list(islice(items, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                return
            yield self.collate_fn(batch)


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows of itself; ``dataset`` is its own copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a loader's worker process: its number, how many there are, its seed and its data set; elsewhere None.

    >>> get_worker_info() is None
    True
    """
    return _info


# In the worker


def _main(channel: Connection, given: Any, number: int, count: int, seed: int, parent_ends: list[Any]) -> None:
    """What a worker does: tasks come in, batches go out, until the other side is gone."""
    global _info
    for end in parent_ends:  # a forked process has them all: an end that lives on here would hide that its owner died
        end.close()
    gc.freeze()  # what was inherited is not this process's to collect
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the whole group; the main process decides
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, tasks), daemon=True).start()
    fetch: Any = None
    try:
        threads.alone()
        _seed(seed + number)
        fetch, init = passing.pickle.loads(given) if isinstance(given, bytes) else given
        _info = WorkerInfo(number, count, seed + number, fetch.dataset)
        if init is not None:
            init(number)
    except Exception as error:
        _fail(channel, -1, -1, number, error)
        return
    turns: Any = None
    turn_of = -1
    while True:
        task = tasks.get()
        if task is None:
            return
        run, batch, wanted, base = task
        if run != turn_of:  # a new pass
            if turn_of >= 0:
                default_generator.manual_seed(_unsigned(base + number))
                _info = WorkerInfo(number, count, base + number, fetch.dataset)
            turn_of, turns = run, None
        try:
            words = np.array([default_generator.initial_seed(), (batch + 1) * _STREAMS], "<u8")
            default_generator.set_state(words.view(np.uint8))
            if fetch.in_turn:
                if turns is None:
                    turns = fetch.turns()
                try:
                    value = next(turns)
                except StopIteration:
                    channel.send_bytes(passing.pickle.dumps(((run, batch, "end"), passing.whole(None), [], None)))
                    continue
            else:
                value = fetch.numbers(wanted)
            passing.send(channel, (run, batch, "batch"), value)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            _fail(channel, run, batch, number, error)
        value = None


def _listen(channel: Connection, tasks: queue.SimpleQueue[Any]) -> None:
    """Take tasks from the channel as they come, so that the main process never waits to hand one out."""
    try:
        while True:
            tasks.put(channel.recv())
    except (EOFError, OSError):
        tasks.put(None)
    time.sleep(2 * _PATIENCE)  # the main process is gone: an item that takes for ever shall not keep this one
    os._exit(1)


def _fail(channel: Connection, run: int, batch: int, number: int, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))
    said = f"Caught {type(error).__name__} in DataLoader worker process {number}.\nOriginal {text}"
    try:
        kind: Any = passing.pickle.loads(passing.pickle.dumps(type(error)))
    except Exception:  # a class that exists in the worker only
        kind = RuntimeError
    try:
        passing.send(channel, (run, batch, "error"), (kind, said))
    except OSError:
        pass


def _unsigned(seed: int) -> int:
    return seed % 2**63


def _seed(seed: int) -> None:
    default_generator.manual_seed(_unsigned(seed))
    random.seed(seed)
    np.random.seed(np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], np.uint32))


# In the main process


class Workers:
    """Running worker processes, numbered from 0."""

    def __init__(
        self, fetch: Fetch, count: int, context: Any, init: Callable[[int], None] | None, generator: Generator
    ) -> None:
        self.base = draw_seed(generator)
        self.runs = 0  # passes begun
        self.channels: list[Connection] = []
        self.processes: list[Any] = []
        self.close = weakref.finalize(self, _close, os.getpid(), self.channels, self.processes)
        forked = context.get_start_method() == "fork"
        given: Any = (fetch, init)
        if not forked:
            try:
                given = passing.whole(given)
            except Exception as error:
                raise TypeError(
                    f"DataLoader: with worker processes that are not forked, the data set, collate_fn and "
                    f"worker_init_fn must be picklable: {error}"
                ) from error
        try:
            for k in range(count):
                ours, theirs = context.Pipe(duplex=True)
                _ours.add(ours)
                self.channels.append(ours)
                inherited = list(_ours) if forked and os.name != "posix" else []
                process = context.Process(
                    target=_main, args=(theirs, given, k, count, self.base, inherited), daemon=True
                )
                with warnings.catch_warnings():
                    # Python warns of other threads, whose locks a forked process may find locked: a worker takes none
                    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
                    process.start()
                theirs.close()
                self.processes.append(process)
        except BaseException:
            self.close()
            raise

    def begin(self, generator: Generator) -> int:
        """Begin a pass: its number.  The first one has the seed with which the workers began."""
        if self.runs:
            self.base = draw_seed(generator)
        self.runs += 1
        return self.runs - 1

    def send(self, worker: int, run: int, batch: int, wanted: Any) -> None:
        """Give a worker the task of reading a batch.  That it is gone is told when the batch is asked for."""
        try:
            self.channels[worker].send((run, batch, wanted, self.base))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self, worker: int, timeout: float) -> tuple[int, str, Any]:
        """A worker's next answer: number of the pass, kind, value.

        Raises RuntimeError where the worker has died or no answer comes in ``timeout`` seconds (0: as long as it takes).
        """
        channel, process = self.channels[worker], self.processes[worker]
        ready = wait([channel, process.sentinel], timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader: no batch came from worker {worker} within timeout={timeout} seconds")
        try:
            if channel not in ready and not channel.poll(0):
                raise EOFError
            (run, _, kind), value = passing.receive(channel)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            process.join(1)
            code = process.exitcode
            how = f"was killed by {_signal(-code)}" if code is not None and code < 0 else f"ended with code {code}"
            raise RuntimeError(
                f"DataLoader: worker {worker} (pid {process.pid}) {how} before its work was done"
            ) from None
        return run, kind, value


_ours: weakref.WeakSet[Any] = weakref.WeakSet()  # the main process's ends of all channels


def _close_inherited() -> None:
    """An end that lives on in another process would hide from a worker that the main process is gone."""
    for end in list(_ours):
        end.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


def _close(owner: int, channels: list[Connection], processes: list[Any]) -> None:
    """End worker processes: politely, then not."""
    if os.getpid() != owner:
        return
    for channel in channels:
        channel.close()
    until = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.terminate()
            process.join(1)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()
    channels.clear()
    processes.clear()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def draw_seed(generator: Generator) -> int:
    """A seed for worker processes, with room for their numbers."""
    key = generator.key()
    return int(np.random.Philox(key=key.seed | key.stream << 64).random_raw()) >> 2


def start_context(given: Any) -> Any:
    """The context in which processes are started.  Raises ValueError for an unknown method, TypeError for no context."""
    if given is None:
        return multiprocessing.get_context("fork" if sys.platform.startswith("linux") else None)
    if isinstance(given, str):
        methods = multiprocessing.get_all_start_methods()
        if given not in methods:
            raise ValueError(
                f"DataLoader: expected multiprocessing_context to be one of {', '.join(methods)}, got {given!r}"
            )
        return multiprocessing.get_context(given)
    if not isinstance(given, multiprocessing.context.BaseContext):
        raise TypeError(
            f"DataLoader: expected multiprocessing_context to be a context or the name of a start method, "
            f"got {type(given).__name__}"
        )
    return given


class Pass(Iterator[Any]):
    """The batches of one pass as workers make them.  ``order`` gives what each batch is made of, None without end for
    a set that is read in turn; ``first`` is the first batch's number.
    """

    def __init__(
        self,
        workers: Workers,
        order: Iterator[Any],
        first: int,
        ahead: int,
        timeout: float,
        persistent: bool,
        generator: Generator,
    ) -> None:
        self.workers = workers
        self.order = order
        self.timeout = timeout
        self.persistent = persistent
        self.run = workers.begin(generator)
        self.batch = first
        self.waiting: deque[int] = deque()  # whose turn it is, for the batches that were asked for
        self.active = list(range(len(workers.processes)))
        self.next = first % len(self.active)
        self.over = False
        for _ in range(ahead * len(self.active)):
            self._ask()

    def _ask(self) -> None:
        """Give the next worker in turn a task, if there is one."""
        if not self.active or self.over:
            return
        try:
            wanted = next(self.order)
        except StopIteration:
            self.over = True
            return
        count = len(self.workers.processes)
        while self.next not in self.active:
            self.next = (self.next + 1) % count
        self.workers.send(self.next, self.run, self.batch, wanted)
        self.waiting.append(self.next)
        self.batch += 1
        self.next = (self.next + 1) % count

    def __next__(self) -> Any:
        if self.workers.runs != self.run + 1:
            raise RuntimeError("DataLoader: another pass has begun, and persistent workers serve one at a time")
        while self.waiting:
            worker = self.waiting[0]
            try:
                run, kind, value = self.workers.receive(worker, self.timeout)
            except BaseException:
                self.workers.close()
                self.waiting.clear()
                self.over = True
                raise
            if 0 <= run < self.run:  # asked for by a pass that was left early
                continue
            self.waiting.popleft()
            if kind == "end":
                if worker in self.active:
                    self.active.remove(worker)
                self._ask()
                continue
            if kind == "error":
                if run < 0:  # the worker could not begin
                    self.workers.close()
                    self.waiting.clear()
                    self.over = True
                else:
                    self._ask()
                raise _raised(*value)
            self._ask()
            return value
        if not self.persistent:
            self.workers.close()
        raise StopIteration


def _raised(kind: type[Exception], said: str) -> Exception:
    """An exception of this class with what was said in the worker, or a RuntimeError where the class wants more."""
    if issubclass(kind, KeyError):
        said = _Plain(said)
    if issubclass(kind, StopIteration):  # would end the pass in silence
        return RuntimeError(said)
    try:
        return kind(said)
    except Exception:
        return RuntimeError(said)


class _Plain(str):
    """A text whose repr is itself: a KeyError shows that of its key."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
