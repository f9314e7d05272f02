"""PyTorch's ``torch.cuda``: devices, memory statistics, streams and events.  The back end is in ``gpu.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .allocator import Allocator, OutOfMemoryError
from .device import device
from .driver import FAILED, check_index, checked, device_count, is_available, require, told
from .gpu import CudaBackend, backends, cuda_backend, thread

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "memory_reserved",
    "memory_summary",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
]

DeviceLike = device | str | int | None


def _index(where: DeviceLike) -> int:
    """The number of a device, given PyTorch's way.  Raises ValueError for one that is no GPU."""
    if where is None:
        return thread.index
    if isinstance(where, int):
        return where
    chosen = device(where)
    if chosen.type != "cuda":
        raise ValueError(f"cuda: expected a cuda device, got {chosen}")
    return thread.index if chosen.index is None else chosen.index


def current_device() -> int:
    """The index of this thread's current GPU.  Raises RuntimeError where there is none."""
    require()
    return thread.index


def set_device(device: DeviceLike) -> None:
    """Make a GPU this thread's current one.  Raises RuntimeError where it does not exist."""
    index = _index(device)
    check_index(index)
    thread.index = index


@dataclass(frozen=True)
class DeviceProperties:
    """What ``get_device_properties`` tells; ``total_memory`` is in bytes."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: DeviceLike = None) -> DeviceProperties:
    """Name, compute capability, memory in bytes and number of multiprocessors of a GPU."""
    index = _index(device)
    check_index(index)
    from cuda.bindings import driver

    def attribute(name: str) -> int:
        key = getattr(driver.CUdevice_attribute, "CU_DEVICE_ATTRIBUTE_" + name)
        return int(checked(driver.cuDeviceGetAttribute(key, index), name))

    name = checked(driver.cuDeviceGetName(128, index), "cuDeviceGetName")
    return DeviceProperties(
        name=name.split(b"\0")[0].decode(),
        major=attribute("COMPUTE_CAPABILITY_MAJOR"),
        minor=attribute("COMPUTE_CAPABILITY_MINOR"),
        total_memory=int(checked(driver.cuDeviceTotalMem(index), "cuDeviceTotalMem")),
        multi_processor_count=attribute("MULTIPROCESSOR_COUNT"),
    )


def get_device_name(device: DeviceLike = None) -> str:
    """The name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device: DeviceLike = None) -> tuple[int, int]:
    """The compute capability of a GPU: ``(9, 0)``."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


def synchronize(device: DeviceLike = None) -> None:
    """Wait until a GPU has done all work given to it.  Raises RuntimeError where some of it failed."""
    cuda_backend(_index(device)).synchronize()


def empty_cache() -> None:
    """Give memory that no array uses back to the driver, on all GPUs."""
    for backend in list(backends.values()):
        backend.allocator.release()


def _allocator(where: DeviceLike) -> Allocator | None:
    found = backends.get(_index(where))
    return None if found is None else found.allocator


def memory_allocated(device: DeviceLike = None) -> int:
    """Bytes of a GPU's memory that arrays hold, rounded up to whole pieces."""
    allocator = _allocator(device)
    return 0 if allocator is None else allocator.used


def max_memory_allocated(device: DeviceLike = None) -> int:
    """The largest ``memory_allocated`` since the start or the last ``reset_peak_memory_stats``."""
    allocator = _allocator(device)
    return 0 if allocator is None else allocator.peak


def memory_reserved(device: DeviceLike = None) -> int:
    """Bytes obtained from the driver: what arrays hold and what is kept for the next ones."""
    allocator = _allocator(device)
    return 0 if allocator is None else allocator.reserved


def reset_peak_memory_stats(device: DeviceLike = None) -> None:
    """Start ``max_memory_allocated`` again from what is allocated now."""
    allocator = _allocator(device)
    if allocator is not None:
        allocator.reset_peak()


def memory_summary(device: DeviceLike = None) -> str:
    """A table of what a GPU's memory pools hold, by size."""
    index = _index(device)
    allocator = _allocator(index)
    return f"cuda:{index}: nothing allocated yet" if allocator is None else allocator.summary()


class Stream:
    """The compute stream of a GPU; ``cuda_stream`` is its handle, for other libraries."""

    def __init__(self, backend: CudaBackend) -> None:
        self._backend = backend

    @property
    def device(self) -> device:
        return self._backend.device

    @property
    def cuda_stream(self) -> int:
        return int(self._backend.stream.handle)

    def synchronize(self) -> None:
        self._backend.synchronize()

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self.cuda_stream)

    def __repr__(self) -> str:
        return f"<trigrad.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


def current_stream(device: DeviceLike = None) -> Stream:
    """The stream to which a GPU's work is given."""
    return Stream(cuda_backend(_index(device)))


class Event:
    """A mark in the current GPU's stream, to wait for or to measure times between."""

    def __init__(self, enable_timing: bool = False) -> None:
        self._timing = enable_timing
        self._event: Any = None

    def record(self) -> None:
        """Put the mark behind all work given so far."""
        backend = cuda_backend(None)
        backend._card.set_current()
        if self._event is None:
            self._event = backend.stream.record(options={"timing_enabled": self._timing})
        else:
            backend.stream.record(self._event)

    def query(self) -> bool:
        """Whether the work before the mark is done."""
        return self._event is None or bool(told(FAILED, lambda: self._event.is_done))

    def synchronize(self) -> None:
        """Wait for the work before the mark."""
        if self._event is not None:
            told(FAILED, self._event.sync)

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this mark to ``end``.  Raises ValueError unless both are recorded with timing."""
        for event in (self, end):
            if event._event is None or not event._timing:
                raise ValueError("Event.elapsed_time: both events must be made with enable_timing=True and recorded")
        return float(end._event - self._event)
