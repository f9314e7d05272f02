"""NVIDIA's driver: whether it can be used here, and how its refusals are told.

Nothing of CUDA is imported before somebody asks.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

OLDEST = 12000  # the first driver with context-independent libraries (cuLibraryLoadData)
FAILED = "work given to the device earlier has failed"

forked = False  # whether this process is the child of one that had used CUDA


def installed(name: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def obstacle() -> str | None:
    """Why the cuda device cannot be used here, in a sentence, or None."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "cuda: TRITON_INTERPRET=1 is set, so that Triton compiles nothing; unset it to use the GPU"
    if forked:
        return "cuda: this process was forked from one that had used CUDA; start such processes with the 'spawn' method"
    for module, package in (("triton", "triton"), ("cuda.bindings", "cuda-bindings"), ("cuda.core", "cuda-core")):
        if not installed(module):
            return f"cuda: {package} is not installed (pip install triton cuda-core cuda-bindings)"
    from cuda.bindings import driver

    try:
        code = driver.cuInit(0)[0]
    except RuntimeError as error:  # what cuda-bindings raises where it finds no libcuda
        return f"cuda: no NVIDIA driver was found ({str(error).splitlines()[0]})"
    if code == driver.CUresult.CUDA_ERROR_NO_DEVICE:
        return "cuda: the NVIDIA driver finds no device"
    if code:
        return f"cuda: the NVIDIA driver does not start ({name_of(code)})"
    version = driver.cuDriverGetVersion()[1]
    if version < OLDEST:
        return (
            f"cuda: the NVIDIA driver is for CUDA {dotted(version)}, "
            f"trigrad needs one for CUDA {dotted(OLDEST)} or later"
        )
    return None


def dotted(version: int) -> str:
    """A CUDA version as people write it: 12.8 for 12080."""
    return f"{version // 1000}.{version % 1000 // 10}"


def name_of(code: Any) -> str:
    """The driver's name of an error."""
    return str(getattr(code, "name", code))


def checked(result: tuple[Any, ...], what: str) -> Any:
    """What a cuda-bindings function answered.  Raises RuntimeError where it failed."""
    if result[0]:
        raise RuntimeError(f"cuda: {what}: {name_of(result[0])}")
    return result[1] if len(result) == 2 else result[1:]


def told(what: str, function: Any, *arguments: Any) -> Any:
    """What a function of cuda-core answers.  Raises RuntimeError, which begins with ``what``, where it fails."""
    try:
        return function(*arguments)
    except Exception as error:
        raise RuntimeError(f"cuda: {what}: {error}") from error


def require() -> None:
    """Raise RuntimeError, saying why, where the cuda device cannot be used."""
    found = obstacle()
    if found is not None:
        raise RuntimeError(found)


def is_available() -> bool:
    """Whether the cuda device can be used here.  Never raises."""
    try:
        return obstacle() is None
    except Exception:
        return False


def device_count() -> int:
    """The number of GPUs that can be used; 0 where ``is_available()`` is false."""
    if not is_available():
        return 0
    from cuda.bindings import driver

    return int(checked(driver.cuDeviceGetCount(), "cuDeviceGetCount"))


def check_index(index: int) -> None:
    """Raise RuntimeError unless there is a GPU ``index``."""
    require()
    count = device_count()
    if not 0 <= index < count:
        raise RuntimeError(f"cuda: there is no device {index}: this machine has {count}, counted from 0")
