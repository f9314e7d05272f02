"""What this machine has, and what of it will be used: ``python -m trigrad doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import cuda, device
from .allocator import readable
from .fill import full

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TRIGRAD_MALLOC",
    "TRIGRAD_PROGRESS",
    "TRITON_CACHE_DIR",
    "TRITON_INTERPRET",
)


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``good`` is None where there is nothing to judge."""

    name: str
    value: str
    good: bool | None = None


def examine() -> Iterator[Finding]:
    """Everything there is to say, line by line.  Never raises: what fails is said in its line."""
    for name, question in QUESTIONS:
        try:
            yield from question()
        except Exception as error:
            yield Finding(name, f"{type(error).__name__}: {error}", False)


def _system() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("system", f"{platform.system()} {platform.machine()}, {_cores()} CPU cores for this process")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _packages() -> Iterator[Finding]:
    for name in ("numpy", "ml_dtypes", "safetensors", "rich"):
        version = _version(name)
        yield Finding(name, version or "not installed", version is not None)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
    yield Finding("numpy's BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip())
    for name in ("triton", "cuda-core", "cuda-bindings"):
        version = _version(name)
        yield Finding(name, version or "not installed: the cpu device does without it")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> Iterator[Finding]:
    yield Finding("device cpu", "NumPy", True)


def _interpreter() -> Iterator[Finding]:
    try:
        ones = full((3,), 1.0, np.dtype(np.float32), device.backend(device.INTERPRETER))
    except RuntimeError as error:
        yield Finding("device interpreter", f"cannot be used: {error}", False)
        return
    right = ones.numpy().tolist() == [1.0, 1.0, 1.0]
    yield Finding("device interpreter", "runs kernels in this process" if right else "runs a kernel wrongly", right)


def _cuda() -> Iterator[Finding]:
    if not cuda.is_available():
        try:
            device.backend(device.device("cuda"))
        except RuntimeError as error:
            yield Finding("device cuda", f"cannot be used: {error}", False)
        return
    from cuda.bindings import driver

    number = int(driver.cuDriverGetVersion()[1])
    yield Finding("NVIDIA driver", f"for CUDA {number // 1000}.{number % 1000 // 10}")
    for index in range(cuda.device_count()):
        card = cuda.get_device_properties(index)
        ones = full((3,), 1.0, np.dtype(np.float32), device.backend(device.device("cuda", index)))
        right = ones.numpy().tolist() == [1.0, 1.0, 1.0]
        yield Finding(
            f"device cuda:{index}",
            f"{card.name}, sm_{card.major}{card.minor}, {readable(card.total_memory)}, "
            f"{card.multi_processor_count} multiprocessors" + ("" if right else ": runs a kernel wrongly"),
            right,
        )


def _choices() -> Iterator[Finding]:
    yield Finding("default device", f"{device.get_default_device()}; trigrad.set_default_device changes it")
    best = "cuda" if cuda.is_available() else "cpu"
    yield Finding("device of the examples", best)


def _caches() -> Iterator[Finding]:
    if _version("triton") is None:
        return
    folder = Path(os.environ.get("TRITON_CACHE_DIR") or Path.home() / ".triton" / "cache")
    if not folder.is_dir():
        yield Finding("compiled kernels", f"{folder}, which does not exist yet")
        return
    sizes = [entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()]
    yield Finding("compiled kernels", f"{folder}: {len(sizes):,} files, {readable(sum(sizes))}")


def _environment() -> Iterator[Finding]:
    for name in VARIABLES:
        if name in os.environ:
            yield Finding(name, os.environ[name])


QUESTIONS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("system", _system),
    ("packages", _packages),
    ("device cpu", _cpu),
    ("device interpreter", _interpreter),
    ("device cuda", _cuda),
    ("default device", _choices),
    ("compiled kernels", _caches),
    ("environment", _environment),
)
