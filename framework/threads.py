"""Several cores for NumPy: independent pieces of one computation, shared out to a few threads.

NumPy lets go of the interpreter's lock while it copies and multiplies, but only its BLAS uses more than one core by
itself, and while it does, copies wait.  ``shared_out`` gives each core pieces of its own, copies, product and all, and
has BLAS use one thread for each meanwhile (measured on two cores: the step of a small GAN takes two thirds of the
time).  Which pieces there are, and so what the results are, does not depend on how many threads there are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use, or as many as OMP_NUM_THREADS says if that is fewer."""
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(have, int(said))) if said.isdecimal() else have


class SingleBlas:
    """A scope, for any number of threads at a time, in which BLAS uses one thread for a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    def reset(self) -> None:
        """Forget who is inside: in a forked process nobody is."""
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                if self._libraries is None:
                    from threadpoolctl import ThreadpoolController

                    self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._before = [library.num_threads for library in self._libraries]
                for library in self._libraries:
                    library.set_num_threads(1)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for library, number in zip(self._libraries or (), self._before, strict=True):
                    library.set_num_threads(number)


single_blas = SingleBlas()
_helpers = cores() - 1
_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    global _pool
    _pool = None  # a forked process has none of its parent's threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def shared_out(function: Callable[[Any], T], pieces: Sequence[Any]) -> list[T]:
    """``[function(p) for p in pieces]``, several at a time; an exception is raised when all have ended."""
    global _pool
    if not _helpers:
        return [function(p) for p in pieces]
    if len(pieces) < 2:
        with single_blas:
            return [function(p) for p in pieces]
    if _pool is None:
        _pool = ThreadPoolExecutor(_helpers, thread_name_prefix="trigrad")
    with single_blas:
        # the helpers take pieces from the front, this thread from the back, until they meet
        jobs = [_pool.submit(copy_context().run, function, p) for p in pieces[:-1]]
        results: list[Any] = [None] * len(pieces)
        failure: BaseException | None = None
        try:
            results[-1] = function(pieces[-1])
            for i in reversed(range(len(jobs))):
                if jobs[i].cancel():
                    results[i] = function(pieces[i])
        except BaseException as error:
            failure = error
        for i, job in enumerate(jobs):
            if failure is not None:
                job.cancel()
            if not job.cancelled():
                error = job.exception()
                failure = failure or error
                if error is None:
                    results[i] = job.result()
    if failure is not None:
        raise failure
    return results


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` of two floating matrices, large ones in blocks of rows (or of columns, where rows are few)."""
    (m, k), n = a.shape, b.shape[1]
    work = m * n * k
    pieces = 1 if work < 1 << 24 else 2 if work < 1 << 25 else 4
    if pieces == 1 or not _helpers:
        with single_blas:
            return np.matmul(a, b)
    out = np.empty((m, n), a.dtype)
    by_rows = m >= 16 * pieces or m >= n
    step = -(-(m if by_rows else n) // pieces)

    def block(start: int) -> None:
        part = slice(start, start + step)
        if by_rows:
            np.matmul(a[part], b, out=out[part])
        else:
            out[:, part] = a @ b[:, part]

    shared_out(block, range(0, m if by_rows else n, step))
    return out


def alone() -> None:
    """From now on this process computes on one core: it is one of several that share the machine."""
    global _helpers
    _helpers = 0
    single_blas.reset()  # a fork may have copied it while another thread was inside
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
