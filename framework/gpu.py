"""One GPU behind the cuda device: memory, copies and launches.

Triton compiles; cuda-core and cuda-bindings speak to the driver.  Neither PyTorch, nor a C compiler, nor Triton's own
driver object takes part.

Each GPU has one compute stream (not the default one) that orders all its work, unless a thread says otherwise with
``stream(s)``.  A launch is found by a key that holds whatever the compiled code depends on and is quick to make; keys
that compiled code cannot tell apart share a plan.  The first launch with a new key compiles, later ones only look it up.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from . import driver as drivers
from . import language
from .allocator import Allocator, Pool, lend, readable
from .array import DeviceArray
from .capture import Recording
from .capture import thread as captures
from .device import Backend, Block, catch_up, device, forget
from .driver import FAILED, check_index, checked, dotted, name_of, told
from .pinned import owner
from .progress import compiling

_STAGING = 4 << 20  # bytes in each of the two pinned buffers through which copies to the device go
_INT32 = 1 << 31
_STREAMS = 32  # beside the compute stream, on each device; then they are used again, as in PyTorch


class _Memory:
    """One piece of device memory; dropping it frees it, behind the work already in its source's stream."""

    __slots__ = ("handle", "source")

    def __init__(self, handle: int, source: _Source) -> None:
        self.handle = handle
        self.source = source

    def __del__(self) -> None:
        self.source.free(self.handle)


class _Source:
    """The driver, as the allocator's source of memory.

    It is asked through cuda-bindings: cuda-core's errors carry no code, and their texts differ between versions.
    """

    def __init__(self, card: Any, stream: Any) -> None:
        from cuda.bindings import driver

        self._card = card
        self._stream = stream
        self._driver = driver
        self._exiting = False
        self._others: list[SideStream] = []
        atexit.register(self._exit)
        supported = driver.cuDeviceGetAttribute(
            driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, card.device_id
        )
        # Some virtual machines have no stream-ordered memory.  Where it is, cuda-core lets the pool keep what is freed.
        self._pool = card.memory_resource.handle if checked(supported, "MEMORY_POOLS_SUPPORTED") else None

    def obtain(self, nbytes: int, stream: Any = None) -> _Memory:
        _enter(self._card)
        stream = self._stream if stream is None else stream
        if self._pool is None:
            code, handle = self._driver.cuMemAlloc(nbytes)
        else:
            code, handle = self._driver.cuMemAllocFromPoolAsync(nbytes, self._pool, stream.handle)
        if code == self._driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise MemoryError(name_of(code))
        checked((code, handle), f"allocating {readable(nbytes)}")
        return _Memory(int(handle), self)

    def free(self, handle: int) -> None:
        """Give memory back.  A failure is not told: only a device that is lost for all work can cause one."""
        if self._exiting:
            return
        if self._pool is None:
            self._driver.cuMemFree(handle)
        else:
            self._driver.cuMemFreeAsync(handle, self._stream.handle)

    def _exit(self) -> None:
        """From here on the process's end frees the memory: the modules that could are being taken down."""
        self._exiting = True

    def fence(self) -> Fence:
        _enter(self._card)
        return Fence([self._stream, *(side.stream for side in self._others)])

    def trim(self) -> None:
        told(FAILED, self._stream.sync)
        if self._pool is not None:
            _enter(self._card)
            checked(self._driver.cuMemPoolTrimTo(self._pool, 0), "cuMemPoolTrimTo")


class Fence:
    """A mark behind the work given so far to some streams."""

    __slots__ = ("_events",)

    def __init__(self, streams: list[Any]) -> None:
        self._events = [told(FAILED, stream.record) for stream in streams]

    def passed(self) -> bool:
        """Whether all of that work is done."""
        return all(told(FAILED, lambda event=event: event.is_done) for event in self._events)

    def wait(self) -> None:
        """Wait until it is."""
        for event in self._events:
            told(FAILED, event.sync)


class SideStream:
    """A stream beside a device's compute stream, with memory of its own."""

    __slots__ = ("pool", "staging", "stream")

    def __init__(self, stream: Any, pool: Pool) -> None:
        self.stream = stream
        self.pool = pool
        self.staging: _Staging | None = None


class _Staging:
    """Copies to the device by way of two pinned buffers, so that the caller's array is free at once.

    A copy only waits where the device is still reading the buffer that is next in turn.
    """

    def __init__(self, stream: Any) -> None:
        from ctypes import c_char

        from cuda.bindings import driver
        from cuda.core import LegacyPinnedMemoryResource

        self._driver = driver
        self._stream = stream
        self._lock = threading.Lock()
        resource = LegacyPinnedMemoryResource()
        self._keep = [resource.allocate(_STAGING) for _ in range(2)]
        self._addresses = [int(buffer.handle) for buffer in self._keep]
        self._bytes = [np.frombuffer((c_char * _STAGING).from_address(a), np.uint8) for a in self._addresses]
        self._read = [stream.record(), stream.record()]  # when each has been read by the device
        self._turn = 0
        self._filled = 0

    def copy(self, ptr: int, data: np.ndarray) -> None:
        """Copy a vector of bytes to address ``ptr``."""
        done = 0
        with self._lock:
            while done < data.size:
                if self._filled == _STAGING:
                    told(FAILED, self._stream.record, self._read[self._turn])
                    self._turn = 1 - self._turn
                    self._filled = 0
                    told(FAILED, self._read[self._turn].sync)
                begin = self._filled
                count = min(data.size - done, _STAGING - begin)
                self._bytes[self._turn][begin : begin + count] = data[done : done + count]
                checked(
                    self._driver.cuMemcpyHtoDAsync(
                        ptr + done, self._addresses[self._turn] + begin, count, self._stream.handle
                    ),
                    "cuMemcpyHtoDAsync",
                )
                self._filled = begin + count
                done += count


class _Plan:
    """A kernel that is ready to be launched: the handle, and a configuration for each grid met so far."""

    __slots__ = ("configurations", "keeps", "kernel", "name", "rest", "shared", "threads")

    def __init__(self, name: str, kernel: Any, threads: int, shared: int, rest: tuple[Any, ...], keeps: Any) -> None:
        self.name = name
        self.kernel = kernel
        self.threads = threads
        self.shared = shared
        self.rest = rest  # what follows the arguments of a launch
        self.keeps = keeps  # what the key names by its id must stay alive
        self.configurations: dict[tuple[int, ...], Any] = {}


class ThreadState(threading.local):
    """What the driver and PyTorch's functions keep per thread."""

    context: Any = None  # the GPU for which launches need no care: its context is current, and no stream was chosen
    index = 0  # the current device
    streams: dict[int, SideStream] = {}  # those chosen with stream(s), by device; never written to, always replaced


thread = ThreadState()


def _enter(card: Any) -> None:
    """Make a GPU's context the thread's current one."""
    if thread.context is not card:
        thread.context = None  # launches on the one before must come back to it
    card.set_current()


class CudaBackend(Backend):
    """One GPU.  Raises RuntimeError where the driver refuses it."""

    def __init__(self, index: int) -> None:
        from cuda import core
        from cuda.bindings import driver

        self.device = device("cuda", index)
        self.index = index
        self._core = core
        self._driver = driver
        try:
            self._card = core.Device(index)
            self._card.set_current()
            self.stream = self._card.create_stream()
        except Exception as error:
            raise RuntimeError(f"cuda: {self.device} cannot be used: {error}") from error
        properties = self._card.properties
        self.programs = properties.multiprocessor_count
        self._grid_limits = (properties.max_grid_dim_x, properties.max_grid_dim_y, properties.max_grid_dim_z)
        self._shared_limit = self._attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN")
        self.name = self._card.name
        self.shared = self._shared_limit
        capability = self._card.compute_capability
        self.capability = (capability.major, capability.minor)
        source = _Source(self._card, self.stream)
        self.allocator = Allocator(str(self.device), source)
        self.allocate = self.allocator.allocate  # type: ignore[method-assign]  # one call less at every operation
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self.swift = {}
        self._shared_plans: dict[tuple[Any, int], _Plan] = {}  # by what compiled code can tell apart
        self.others: list[SideStream] = source._others
        self._choices = 0  # threads and contexts that have chosen another stream
        self._turn = 0
        self.staging: _Staging | None = None
        self._launch = core.launch
        self._lock = threading.Lock()
        self.recorder: Recording | None = None  # the recording that is open on this device, whichever thread's it is
        self._reader: Any = None

    def _attribute(self, name: str) -> int:
        attribute = getattr(self._driver.CUdevice_attribute, "CU_DEVICE_ATTRIBUTE_" + name)
        return int(checked(self._driver.cuDeviceGetAttribute(attribute, self._card.device_id), name))

    # -- streams --

    def side_stream(self, priority: int = 0) -> SideStream:
        """One of the streams beside the compute stream: a new one while there are few, then those again in turn."""
        with self._lock:
            if len(self.others) < _STREAMS:
                self.make_current()
                options = self._core.StreamOptions(nonblocking=True, priority=priority)
                stream = told("creating a stream", lambda: self._card.create_stream(options=options))
                name = f"stream {int(stream.handle):#x}"
                self.others.append(SideStream(stream, self.allocator.stream_pool(name, stream)))
                return self.others[-1]
            self._turn += 1
            return self.others[self._turn % _STREAMS]

    def side(self) -> SideStream | None:
        """The stream that this thread has chosen for this device; None is the compute stream."""
        return thread.streams.get(self.index)

    def current(self) -> Any:
        """The stream, as cuda-core has it, to which this thread's work is given."""
        side = thread.streams.get(self.index)
        return self.stream if side is None else side.stream

    def choose(self, side: SideStream | None) -> None:
        """Give this thread's work to ``side`` from here on, None: to the compute stream."""
        before = thread.streams.get(self.index)
        if before is side:
            return
        if self.recorder is not None and self.recorder.ident == threading.get_ident():
            raise self.recorder.refuse("a captured step cannot choose another stream")
        catch_up()
        with self._lock:
            self._choices += (side is not None) - (before is not None)
            self.route()
        rest = {index: other for index, other in thread.streams.items() if index != self.index}
        thread.streams = rest if side is None else {**rest, self.index: side}
        thread.context = None

    def route(self) -> None:
        """Choose what ``allocate`` is: where nobody has chosen a stream, nor captures, it costs nothing that one could."""
        if self.recorder is not None:
            self.allocate = self.recorder.allocate  # type: ignore[method-assign]
        else:
            self.allocate = self.allocate_by_thread if self._choices else self.allocator.allocate  # type: ignore[method-assign]

    def allocate_by_thread(self, nbytes: int) -> Block:
        """Memory of the stream that this thread has chosen."""
        side = thread.streams.get(self.index)
        return self.allocator.allocate(nbytes) if side is None else self.allocator.allocate_for(side.pool, nbytes)

    def lend(self, *arguments: Any) -> None:
        """Note that work of this thread's stream uses the memory of these arrays, or of arrays in these tuples."""
        side = thread.streams.get(self.index)
        if side is not None:
            _lend(arguments, side.pool)

    def table(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> DeviceArray:
        """See ``Backend.table``; each stream has tables of its own, since nothing orders them among each other."""
        return super().table((self.side(), *key), make)

    # -- copies --

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        if not array.size:
            return
        self.make_current()
        holder = self.side() or self
        if holder.staging is None:
            with self._lock:
                if holder.staging is None:
                    holder.staging = _Staging(holder.stream)
        holder.staging.copy(ptr, array.reshape(-1).view(np.uint8))

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        if not array.size:
            return
        self.make_current()
        checked(
            self._driver.cuMemcpyDtoHAsync(array.ctypes.data, ptr, array.nbytes, self.current().handle),
            "cuMemcpyDtoHAsync",
        )
        told(FAILED, self.current().sync)

    def copy_in_background(self, ptr: int, array: np.ndarray) -> None:
        """Copy a C-contiguous array of pinned memory to address ``ptr``; it must not be changed before that is done."""
        self._background(self._driver.cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync", array, ptr, True)

    def copy_out_background(self, array: np.ndarray, ptr: int) -> None:
        """Copy from address ``ptr`` into a C-contiguous array of pinned memory; nobody waits for it here."""
        self._background(self._driver.cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync", array, ptr, False)

    def _background(self, copy: Any, name: str, array: np.ndarray, ptr: int, inwards: bool) -> None:
        memory = owner(array)
        assert memory is not None
        self.make_current()
        stream = self.current()
        host = array.__array_interface__["data"][0]
        checked(copy(*((ptr, host) if inwards else (host, ptr)), array.nbytes, stream.handle), name)
        memory.used_by(stream)

    def copy_from_peer(self, out: DeviceArray, source: DeviceArray) -> None:
        """Copy a row-major array of another GPU; in its stream, with this GPU's before and after it."""
        other: Any = source.backend
        stream, own = other.current(), self.current()
        self.lend(out)
        other.lend(source)
        self.make_current()
        before = told(FAILED, own.record)
        other.make_current()
        told(FAILED, stream.wait, before)  # the memory of out may still be in use by what was there before
        checked(
            self._driver.cuMemcpyPeerAsync(
                out.ptr, self._context(), source.ptr, other._context(), source.nbytes, stream.handle
            ),
            "cuMemcpyPeerAsync",
        )
        after = told(FAILED, stream.record)
        self.make_current()
        told(FAILED, own.wait, after)

    def _context(self) -> Any:
        return self._card.context.handle

    def make_current(self) -> None:
        """Let the driver's calls of this thread be about this GPU."""
        _enter(self._card)

    def synchronize(self) -> None:
        told(FAILED, self.stream.sync)
        for side in list(self.others):
            told(FAILED, side.stream.sync)

    # -- launches --

    def launch(
        self,
        function: Any,
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        constants: Mapping[str, Any],
        num_warps: int,
        num_stages: int,
    ) -> None:
        key: list[Any] = [id(function), num_warps, num_stages]
        values: list[Any] = []
        _read_arguments(arguments, key, values)
        _read_constants(constants, key)
        plan = self._plans.get(tuple(key))
        if plan is None:
            plan = self._plan(tuple(key), function, arguments, constants, num_warps, num_stages)
        configuration = plan.configurations.get(grid)
        if configuration is None:
            if 0 in grid:
                return
            configuration = self._configure(plan, grid)
        stream = self.stream
        if thread.context is not self._card:
            stream = self._carefully(arguments)
        try:
            self._launch(stream, configuration, plan.kernel, *values, *plan.rest)
        except Exception as error:
            raise RuntimeError(f"{plan.name}: launching {grid} programs on {self.device}: {error}") from error

    def bound(
        self, function: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], **constants: Any
    ) -> Callable[..., None]:
        """A function that launches ``function`` over ``grid`` on the compute stream and does nothing else.

        It takes the run-time parameters, flat, as the driver gets them: addresses and 64-bit integers as int.
        ``arguments`` are an example of them, as ``launch`` takes them.
        """
        key: list[Any] = [id(function), 4, 3]
        _read_arguments(arguments, key, [])
        _read_constants(constants, key)
        plan = self._plans.get(tuple(key)) or self._plan(tuple(key), function, arguments, constants, 4, 3)
        configuration = plan.configurations.get(grid) or self._configure(plan, grid)
        start, stream, kernel, rest = self._launch, self.stream, plan.kernel, plan.rest

        def run(*values: Any) -> None:
            if thread.context is not self._card:
                self.make_current()
            try:
                start(stream, configuration, kernel, *values, *rest)
            except Exception as error:
                raise RuntimeError(f"{plan.name}: launching {grid} programs on {self.device}: {error}") from error

        return run

    def prepared(
        self, function: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: Mapping[str, Any], count: int
    ) -> Callable[[list[Any], tuple[Any, ...]], None]:
        """A function that launches as ``launch`` would, for calls that differ in the first ``count`` flat values only.

        It takes these values, as the driver gets them, and the arrays among them.
        """
        key: list[Any] = [id(function), 4, 3]
        values: list[Any] = []
        _read_arguments(arguments, key, values)
        _read_constants(constants, key)
        plan = self._plans.get(tuple(key)) or self._plan(tuple(key), function, arguments, constants, 4, 3)
        configuration = plan.configurations.get(grid) or self._configure(plan, grid)
        start, compute, card, kernel = self._launch, self.stream, self._card, plan.kernel
        rest = (*values[count:], *plan.rest)

        def run(values: list[Any], arrays: tuple[Any, ...]) -> None:
            stream = compute
            if thread.context is not card:
                stream = self._carefully(arrays)
            try:
                start(stream, configuration, kernel, *values, *rest)
            except Exception as error:
                raise RuntimeError(f"{plan.name}: launching {grid} programs on {self.device}: {error}") from error

        return run

    def ready(
        self,
        function: Any,
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        constants: Mapping[str, Any],
        num_warps: int,
        num_stages: int,
    ) -> tuple[Callable[[list[Any], list[Block]], None], list[Any]]:
        """A launch to be repeated: a function of all values, as the driver gets them, and of the memory used; the values."""
        key: list[Any] = [id(function), num_warps, num_stages]
        values: list[Any] = []
        _read_arguments(arguments, key, values)
        _read_constants(constants, key)
        plan = self._plans.get(tuple(key)) or self._plan(
            tuple(key), function, arguments, constants, num_warps, num_stages
        )
        configuration = plan.configurations.get(grid) or self._configure(plan, grid)
        start, compute, card, kernel = self._launch, self.stream, self._card, plan.kernel

        def run(values: list[Any], blocks: list[Block]) -> None:
            stream = compute
            if thread.context is not card:
                stream = self._carefully((), blocks)
            try:
                start(stream, configuration, kernel, *values)
            except Exception as error:
                raise RuntimeError(f"{plan.name}: launching {grid} programs on {self.device}: {error}") from error

        return run, [*values, *plan.rest]

    def _carefully(self, arguments: tuple[Any, ...], blocks: Iterable[Block | None] = ()) -> Any:
        """The stream for a launch in a thread that was not the last to launch here, has chosen a stream, or captures.

        Memory that the launch uses, that of arrays among ``arguments`` and ``blocks``, is lent to the stream or held.
        """
        self.make_current()
        recorder = captures.recording
        if isinstance(recorder, Recording):
            if recorder.backend is not self:
                raise recorder.refuse(f"a step on {recorder.backend.device} launches on {self.device}")
            recorder.hold(arguments)
            for block in blocks:
                if block is not None:
                    recorder.keep(block)
            recorder.count += 1
            return self.current()
        if thread.streams:
            self.lend(*arguments)
            side = self.side()
            for block in blocks:
                if block is not None and side is not None:
                    lend(block, side.pool)
            return self.current()
        thread.context = self._card
        return self.stream

    # -- graphs --

    def recording(self, pool: Pool | None = None) -> Recording:
        """A recording of this thread's work, in memory of ``pool`` or of a new private pool."""
        from .graph import CudaRecording

        return CudaRecording(self, self.allocator.private_pool("graph") if pool is None else pool)

    def copy_device(self, to: int, source: int, nbytes: int) -> None:
        """Copy within this GPU's memory, in its compute stream."""
        if thread.context is not self._card:
            self.make_current()
        checked(self._driver.cuMemcpyDtoDAsync(to, source, nbytes, self.stream.handle), "cuMemcpyDtoDAsync")

    def mark(self, before: Any = None) -> Any:
        """A mark behind the work given so far to the compute stream; ``before``, one that nobody needs, is used again."""
        if thread.context is not self._card:
            self.make_current()
        return told(FAILED, self.stream.record) if before is None else told(FAILED, self.stream.record, before)

    def copy_out_behind(self, mark: Any, array: np.ndarray, ptr: int) -> None:
        """Copy from ``ptr`` into a C-contiguous NumPy array, waiting for the work before ``mark`` and for no other."""
        told(FAILED, mark.sync)
        if not array.size:
            return
        self.make_current()
        if self._reader is None:
            self._reader = told("creating a stream", self._card.create_stream)
        code = self._driver.cuMemcpyDtoHAsync(array.ctypes.data, ptr, array.nbytes, self._reader.handle)
        checked(code, "cuMemcpyDtoHAsync")
        told(FAILED, self._reader.sync)

    def _configure(self, plan: _Plan, grid: tuple[int, ...]) -> Any:
        if len(grid) > 3 or any(n > limit or n < 0 for n, limit in zip(grid, self._grid_limits, strict=False)):
            raise RuntimeError(f"{plan.name}: grid {grid} is larger than {self.device} allows, {self._grid_limits}")
        if len(plan.configurations) >= 4096:  # shapes that change all the time must not fill the memory
            plan.configurations.clear()
        full = (*grid, 1, 1)[:3]
        made = self._core.LaunchConfig(grid=full, block=(plan.threads, 1, 1), shmem_size=plan.shared)
        plan.configurations[grid] = made
        return made

    def _plan(
        self,
        key: tuple[Any, ...],
        function: Any,
        arguments: tuple[Any, ...],
        constants: Mapping[str, Any],
        num_warps: int,
        num_stages: int,
    ) -> _Plan:
        from . import compile as compiler

        specialisation = compiler.specialise(function, arguments, constants, num_warps, num_stages)
        plan = self._shared_plans.get((specialisation, len(arguments)))
        if plan is not None:
            plan.keeps.append((function, dict(constants)))
            self._plans[key] = plan
            return plan
        with compiling(str(specialisation)):
            compiled = compiler.compile(specialisation, self._target())
        facts = compiled.metadata
        name = facts.name
        if getattr(facts, "global_scratch_size", 0) or getattr(facts, "profile_scratch_size", 0):
            raise RuntimeError(
                f"{name}: the kernel asks for scratch memory (device-side descriptors or profiling), "
                "which trigrad does not provide"
            )
        if facts.shared > self._shared_limit:
            raise RuntimeError(
                f"{name}: a program needs {facts.shared} bytes of shared memory, {self.device} has "
                f"{self._shared_limit}; use smaller blocks or fewer stages"
            )
        self.make_current()
        try:
            kernel = self._core.ObjectCode.from_cubin(compiled.asm["cubin"]).get_kernel(name)
        except Exception as error:
            driver = dotted(checked(self._driver.cuDriverGetVersion(), "cuDriverGetVersion"))
            raise RuntimeError(
                f"{name}: the driver (for CUDA {driver}) does not load the compiled kernel; "
                f"a newer driver or an older Triton may help: {error}"
            ) from error
        if facts.shared > 48 << 10:  # more has to be asked for
            attribute = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            handle, card = self._driver.CUkernel(int(kernel.handle)), self._driver.CUdevice(self._card.device_id)
            checked(
                self._driver.cuKernelSetAttribute(attribute, facts.shared, handle, card),
                f"{name}: {facts.shared} bytes of shared memory",
            )
        parameters = [
            default for _, constant, default in language.signature(specialisation.function).parameters if not constant
        ]
        # Parameters left at their defaults, and the two pointers to scratch memory that end every kernel of Triton's.
        rest = (*compiler.flatten(parameters[len(arguments) :]), 0, 0)
        plan = _Plan(name, kernel, facts.num_warps * 32, facts.shared, rest, [(function, dict(constants))])
        self._plans[key] = self._shared_plans[specialisation, len(arguments)] = plan
        return plan

    def _target(self) -> Any:
        """Triton's description of this GPU."""
        language.modules()
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability[0] * 10 + self.capability[1], 32)


def _read_arguments(arguments: tuple[Any, ...], key: list[Any], values: list[Any]) -> None:
    """Append what compiled code depends on to ``key``, and what is handed to it to ``values``."""
    for argument in arguments:
        kind = type(argument)
        if kind is DeviceArray:
            ptr = argument.ptr
            key.append(argument.dtype)
            if ptr & 15:
                key.append("unaligned")
            values.append(ptr)
        elif kind is int:
            narrow = -_INT32 <= argument < _INT32
            if argument & 15:
                key.append("i32" if narrow else "i64")
            else:
                key.append("i32/16" if narrow else "i64/16")
            values.append(argument)
        elif kind is tuple:
            key.append(len(argument))
            _read_arguments(argument, key, values)
        elif kind is np.int32 or kind is np.int64:  # typed sizes, of which products have many
            key.append(kind)
            values.append(int(argument))
        elif argument is None:
            key.append(None)
        elif kind is float:
            key.append("fp32")
            values.append(np.float32(argument))
        elif kind is bool:
            key.append("i1")
            values.append(argument)
        elif isinstance(argument, np.generic):
            key.append(kind)
            half = argument.dtype.itemsize == 2 and argument.dtype.kind in "fV"
            values.append(np.asarray(argument).view(np.uint16)[()] if half else argument)
        else:
            raise TypeError(f"launch: expected an array, a number, None or a tuple of these, got {kind.__name__}")


def _lend(arguments: tuple[Any, ...], pool: Pool) -> None:
    for argument in arguments:
        if type(argument) is DeviceArray:
            lend(argument.block, pool)
            for reached in getattr(argument, "reaches", ()):
                lend(reached.block, pool)
        elif type(argument) is tuple:
            _lend(argument, pool)


def _read_constants(constants: Mapping[str, Any], key: list[Any]) -> None:
    """Append constants to ``key`` so that 1, 1.0 and True stay three, and 0.0 and -0.0 two."""
    for name, constant in constants.items():
        kind = type(constant)
        if kind is int or kind is str or kind is bool:
            key += (name, kind, constant)
        else:
            key.append(name)
            _read_constant(constant, key)


def _read_constant(constant: Any, key: list[Any]) -> None:
    kind = type(constant)
    key.append(kind)
    if kind is int or kind is str or kind is bool:
        key.append(constant)
    elif kind is tuple:
        key.append(len(constant))
        for item in constant:
            _read_constant(item, key)
    elif kind is float:
        key.append(constant.hex())
    elif isinstance(constant, np.generic):
        key.append(constant.tobytes())
    else:  # a function, a dtype, None
        key.append(id(constant))


backends: dict[int, CudaBackend] = {}
_lock = threading.Lock()


def cuda_backend(index: int | None) -> CudaBackend:
    """The one back end of GPU ``index`` (None: the current GPU).  Raises RuntimeError, saying why, if there is none."""
    if index is None:
        index = thread.index
    found = backends.get(index)
    if found is None:
        with _lock:
            found = backends.get(index)
            if found is None:
                check_index(index)
                found = backends[index] = CudaBackend(index)
    return found


def _after_fork() -> None:
    """The driver does not survive a fork: let the child say so at the first use."""
    if backends:
        drivers.forked = True
        forget(found.device for found in backends.values())
        backends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
