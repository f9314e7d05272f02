"""Compiling ahead: every kernel of a function, for a GPU that is here or is named, into Triton's cache on disk.

The function runs on a device that only notes what would be launched (``record.py``); the kernels are then compiled by
several processes, each of which notes the same list and compiles its share.  Needs no GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

from . import compile as compiler
from .driver import is_available
from .record import Recorder

Run = Callable[[Any], Any]  # does on a device what kernels are wanted for
PROGRAMS = {"sm_80": 108, "sm_90": 132, "sm_100": 148, "gfx942": 304}  # processors of A100, H100 and H200, B200, MI300X


def find(where: str) -> Any:
    """What ``"package.module:name"`` or ``"folder/file.py:name"`` means.  Raises ValueError where that is nothing."""
    place, _, name = where.rpartition(":")
    if not place or not name:
        raise ValueError(f"warm: expected MODULE:NAME or FILE.py:NAME, got {where!r}")
    if place.endswith(".py"):
        path = Path(place).resolve()
        if not path.is_file():
            raise ValueError(f"warm: there is no file {place}")
        sys.path.insert(0, str(path.parent))
        place = path.stem
    elif "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise ValueError(f"warm: {place!r} cannot be imported: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"warm: {found.__name__} has no {part!r}")
        found = getattr(found, part)
    return found


def targets_here() -> str | None:
    """The name of the current GPU's target; None where there is no GPU."""
    if not is_available():
        return None
    from .gpu import cuda_backend

    major, minor = cuda_backend(None).capability
    return f"sm_{major}{minor}"


def recorded(run: Run, target: str) -> list[compiler.Specialisation]:
    """The different kernels that ``run(device)`` launches on ``target``, in order; the function runs twice.

    The second time there are gradients and optimizer state, as in every later step.
    """
    with Recorder(target) as recorder:
        if target == targets_here():
            from .gpu import cuda_backend

            gpu = cuda_backend(None)
            recorder.programs, recorder.name, recorder.shared = gpu.programs, gpu.name, gpu.shared
        else:
            recorder.programs = PROGRAMS.get(target, recorder.programs)
        for _ in range(2):
            run(recorder.device)
        return recorder.launches


def share(run: Run, target: str, number: int, of: int) -> Iterator[tuple[int, str]]:
    """Compile every ``of``-th kernel from ``number`` on; yields how many there are in all, and the name of each made."""
    kernels = recorded(run, target)
    description = compiler.target(target)
    for kernel in kernels[number::of]:
        compiler.compile(kernel, description)
        yield len(kernels), str(kernel)


def warm(arguments: list[str], jobs: int) -> Iterator[tuple[int, str]]:
    """The shares of ``jobs`` processes, each ``python -m trigrad warm`` with ``arguments`` and its number, as they come.

    Raises RuntimeError with what a process said where one fails.
    """
    lines: Queue[tuple[int, str] | None] = Queue()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([p for p in sys.path if p])}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "trigrad", "warm", *arguments, "--share", f"{i}/{jobs}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for i in range(jobs)
    ]
    said: list[list[str]] = [[] for _ in workers]

    def listen(worker: Any) -> None:
        for line in worker.stdout:
            count, tab, name = line.rstrip("\n").partition("\t")
            if tab and count.isdecimal():
                lines.put((int(count), name))
        lines.put(None)

    def hear(worker: Any, kept: list[str]) -> None:
        kept.extend(worker.stderr)

    threads = [threading.Thread(target=listen, args=(w,), daemon=True) for w in workers]
    threads += [threading.Thread(target=hear, args=pair, daemon=True) for pair in zip(workers, said, strict=True)]
    for thread in threads:
        thread.start()
    try:
        open_ones = jobs
        while open_ones:
            line = lines.get()
            if line is None:
                open_ones -= 1
            else:
                yield line
        for worker in workers:
            worker.wait()
        for thread in threads:
            thread.join()
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
    for worker, kept in zip(workers, said, strict=True):
        if worker.returncode:
            raise RuntimeError(f"warm: a compiling process failed\n{''.join(kept)}")
