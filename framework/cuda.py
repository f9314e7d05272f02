"""PyTorch's ``torch.cuda``: devices, memory statistics, streams and events.  The back end is in ``gpu.py``.

Streams: work goes to a GPU's compute stream unless ``stream(s)`` says otherwise, for one thread.  Memory needs no care:
what is allocated under ``stream(s)`` belongs to s, and memory that several streams use is used again only when all of them
are done with it.  The order of work on different streams is the user's business, as in PyTorch: ``wait_stream`` and events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import random
from .allocator import Allocator, OutOfMemoryError, lend
from .array import DeviceArray
from .device import catch_up
from .device import device as Device  # noqa: N812 - PyTorch calls the context manager below ``device``
from .driver import FAILED, check_index, checked, device_count, is_available, require, told
from .gpu import CudaBackend, SideStream, backends, cuda_backend, thread

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "init",
    "initial_seed",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_stream",
    "stream",
    "synchronize",
]

DeviceLike = Device | str | int | None


def _index(where: DeviceLike) -> int:
    """The number of a device, given PyTorch's way.  Raises ValueError for one that is no GPU."""
    if where is None:
        return thread.index
    if isinstance(where, int):
        return where
    chosen = Device(where)
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


class device:  # noqa: N801 - PyTorch's name
    """Makes a GPU the thread's current one inside a ``with`` block; a negative number or None changes nothing."""

    def __init__(self, device: DeviceLike) -> None:
        self.idx = -1 if device is None else _index(device)
        self._before = thread.index

    def __enter__(self) -> device:
        self._before = thread.index
        if self.idx >= 0:
            set_device(self.idx)
        return self

    def __exit__(self, *_: object) -> None:
        thread.index = self._before


class device_of(device):  # noqa: N801 - PyTorch's name
    """The same for the GPU on which a tensor is; for a tensor elsewhere nothing changes."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.device if obj.device.type == "cuda" else None)


def init() -> None:
    """Start using the current GPU, which otherwise happens by itself.  Raises RuntimeError, saying why, if it cannot."""
    cuda_backend(None)


def is_initialized() -> bool:
    """Whether some GPU is in use in this process."""
    return bool(backends)


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


def is_bf16_supported() -> bool:
    """Whether the current GPU computes in bfloat16 itself: those of capability 8.0 and later do."""
    return is_available() and get_device_capability() >= (8, 0)


def can_device_access_peer(device: DeviceLike, peer_device: DeviceLike) -> bool:
    """Whether a GPU reaches another's memory directly; copies between the two work in any case."""
    index, peer = _index(device), _index(peer_device)
    check_index(index)
    check_index(peer)
    from cuda.bindings import driver

    return bool(checked(driver.cuDeviceCanAccessPeer(index, peer), "cuDeviceCanAccessPeer"))


def synchronize(device: DeviceLike = None) -> None:
    """Wait until a GPU has done all work given to it, on all its streams.  Raises RuntimeError where some of it failed."""
    catch_up()
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


def max_memory_reserved(device: DeviceLike = None) -> int:
    """The largest ``memory_reserved`` since the start or the last ``reset_peak_memory_stats``."""
    allocator = _allocator(device)
    return 0 if allocator is None else allocator.reserved_peak


def mem_get_info(device: DeviceLike = None) -> tuple[int, int]:
    """Bytes of a GPU's memory that the driver has left, and in all."""
    backend = cuda_backend(_index(device))
    backend.make_current()
    from cuda.bindings import driver

    free, total = checked(driver.cuMemGetInfo(), "cuMemGetInfo")
    return int(free), int(total)


def memory_stats(device: DeviceLike = None) -> dict[str, int]:
    """Bytes allocated and reserved, now and at most, under PyTorch's keys: ``"allocated_bytes.all.current"`` ..."""
    return {
        "allocated_bytes.all.current": memory_allocated(device),
        "allocated_bytes.all.peak": max_memory_allocated(device),
        "reserved_bytes.all.current": memory_reserved(device),
        "reserved_bytes.all.peak": max_memory_reserved(device),
    }


def reset_peak_memory_stats(device: DeviceLike = None) -> None:
    """Start ``max_memory_allocated`` and ``max_memory_reserved`` again from what there is now."""
    allocator = _allocator(device)
    if allocator is not None:
        allocator.reset_peak()


def memory_summary(device: DeviceLike = None) -> str:
    """A table of what a GPU's memory pools hold, by size."""
    index = _index(device)
    allocator = _allocator(index)
    return f"cuda:{index}: nothing allocated yet" if allocator is None else allocator.summary()


# -- random numbers: one generator serves all devices, so that a seed gives the same numbers on each ------------------


def manual_seed(seed: int) -> None:
    """Seed the generator, which is that of all devices: the same as ``trigrad.manual_seed``."""
    random.manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Seed the generator of all devices by chance."""
    random.seed()


seed_all = seed


def initial_seed() -> int:
    """The number with which the generator was seeded."""
    return random.initial_seed()


def get_rng_state(device: DeviceLike = "cuda") -> Any:
    """The state of the generator of all devices; ``device`` is checked and makes no difference."""
    _index(device)
    return random.get_rng_state()


def set_rng_state(new_state: Any, device: DeviceLike = "cuda") -> None:
    """Set the state of the generator of all devices; ``device`` is checked and makes no difference."""
    _index(device)
    random.set_rng_state(new_state)


# -- streams ----------------------------------------------------------------------------------------------------------


class Stream:
    """An order in which a GPU does work, beside its compute stream.  A lower ``priority`` number is served first.

    A device has 32 such streams; the 33rd is the first again, as in PyTorch, and then its ``priority`` is the first's.
    ``cuda_stream`` is the handle, for other libraries.
    """

    def __init__(self, device: DeviceLike = None, priority: int = 0) -> None:
        backend = cuda_backend(_index(device))
        self._backend: CudaBackend = backend
        self._side: SideStream | None = backend.side_stream(priority)

    @classmethod
    def _of(cls, backend: CudaBackend, side: SideStream | None) -> Stream:
        made = object.__new__(cls)
        made._backend, made._side = backend, side
        return made

    @property
    def _stream(self) -> Any:
        return self._backend.stream if self._side is None else self._side.stream

    @property
    def device(self) -> Device:
        return self._backend.device

    @property
    def cuda_stream(self) -> int:
        return int(self._stream.handle)

    @property
    def priority(self) -> int:
        return int(self._stream.priority)

    def synchronize(self) -> None:
        """Wait until the work given to this stream is done.  Raises RuntimeError where some of it failed."""
        catch_up()
        told(FAILED, self._stream.sync)

    def query(self) -> bool:
        """Whether the work given to this stream is done."""
        from cuda.bindings import driver

        self._backend.make_current()
        code = driver.cuStreamQuery(self._stream.handle)[0]
        if code == driver.CUresult.CUDA_ERROR_NOT_READY:
            return False
        checked((code, None), FAILED)
        return True

    def record_event(self, event: Event | None = None) -> Event:
        """Put a mark, a new one or ``event``, behind the work given to this stream."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let work given from here on begin after the mark ``event``, if that was recorded; the host does not wait."""
        catch_up()
        if event._event is not None:
            self._backend.make_current()
            told(FAILED, self._stream.wait, event._event)

    def wait_stream(self, stream: Stream) -> None:
        """Let work given from here on begin after all work given to ``stream`` so far; the host does not wait."""
        self.wait_event(stream.record_event())

    def uses(self, array: DeviceArray) -> None:
        """Keep an array's memory until the work given to this stream up to its end is done."""
        if self._side is not None:
            lend(array.block, self._side.pool)

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self.cuda_stream)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self._backend is other._backend and self._side is other._side

    def __hash__(self) -> int:
        return hash((id(self._backend), id(self._side)))

    def __repr__(self) -> str:
        return f"<trigrad.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


def default_stream(device: DeviceLike = None) -> Stream:
    """A GPU's compute stream, to which work is given unless a thread chooses another."""
    return Stream._of(cuda_backend(_index(device)), None)


def current_stream(device: DeviceLike = None) -> Stream:
    """The stream to which this thread's work on a GPU is given."""
    backend = cuda_backend(_index(device))
    return Stream._of(backend, backend.side())


def set_stream(stream: Stream | None) -> None:
    """Give this thread's work on the stream's GPU to ``stream`` from here on; None changes nothing."""
    if stream is not None:
        stream._backend.choose(stream._side)


class stream:  # noqa: N801 - PyTorch's name
    """Gives this thread's work to a stream inside a ``with`` block and makes its GPU the current one; None: no change."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._before: list[tuple[int, SideStream | None]] = []

    def __enter__(self) -> None:
        if self.stream is not None:
            backend = self.stream._backend
            self._before.append((thread.index, backend.side()))
            thread.index = backend.index
            backend.choose(self.stream._side)

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            thread.index, side = self._before.pop()
            self.stream._backend.choose(side)


class Event:
    """A mark in a stream, to wait for or to measure times between.

    ``blocking`` lets ``synchronize`` sleep rather than spin.
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self._timing = enable_timing
        self._blocking = blocking
        self._event: Any = None
        self._backend: CudaBackend | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Put the mark behind all work given so far to ``stream``, by default the current one."""
        catch_up()
        where = current_stream() if stream is None else stream
        if self._backend not in (None, where._backend):
            raise RuntimeError(
                f"Event.record: this event belongs to {self._backend.device}, the stream to {where.device}"  # type: ignore[union-attr]
            )
        where._backend.make_current()
        if self._event is None:
            options = {"timing_enabled": self._timing}
            if self._blocking:
                options["blocking_sync"] = True
            self._event = told(FAILED, lambda: where._stream.record(options=options))
            self._backend = where._backend
        else:
            told(FAILED, where._stream.record, self._event)

    def wait(self, stream: Stream | None = None) -> None:
        """Let work given to ``stream``, by default the current one, from here on begin after the mark."""
        (current_stream() if stream is None else stream).wait_event(self)

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
