"""One GPU behind the cuda device: memory, copies and launches.

Triton compiles; cuda-core and cuda-bindings speak to the driver.  Neither PyTorch, nor a C compiler, nor Triton's own
driver object takes part.

Each GPU has one compute stream (not the default one) that orders all its work.  A launch is found by a key that
holds whatever the compiled code depends on; the first launch with a new key compiles, later ones only look it up.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import driver as drivers
from . import language
from .allocator import Allocator, readable
from .array import DeviceArray
from .device import Backend, device, forget
from .driver import FAILED, check_index, checked, dotted, name_of, told

_STAGING = 4 << 20  # bytes in each of the two pinned buffers through which copies to the device go
_INT32 = 1 << 31


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
        atexit.register(self._exit)
        supported = driver.cuDeviceGetAttribute(
            driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, card.device_id
        )
        # Some virtual machines have no stream-ordered memory.  Where it is, cuda-core lets the pool keep what is freed.
        self._pool = card.memory_resource.handle if checked(supported, "MEMORY_POOLS_SUPPORTED") else None

    def obtain(self, nbytes: int) -> _Memory:
        self._card.set_current()
        if self._pool is None:
            code, handle = self._driver.cuMemAlloc(nbytes)
        else:
            code, handle = self._driver.cuMemAllocFromPoolAsync(nbytes, self._pool, self._stream.handle)
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

    def trim(self) -> None:
        told(FAILED, self._stream.sync)
        if self._pool is not None:
            self._card.set_current()
            checked(self._driver.cuMemPoolTrimTo(self._pool, 0), "cuMemPoolTrimTo")


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

    has_context = False
    index = 0  # the current device


thread = ThreadState()


class CudaBackend(Backend):
    """One GPU.  Raises RuntimeError where the driver refuses it."""

    def __init__(self, index: int) -> None:
        from cuda import core
        from cuda.bindings import driver

        self.device = device("cuda", index)
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
        capability = self._card.compute_capability
        self.capability = (capability.major, capability.minor)
        self.allocator = Allocator(str(self.device), _Source(self._card, self.stream))
        self.allocate = self.allocator.allocate  # type: ignore[method-assign]  # one call less at every operation
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self._staging: _Staging | None = None
        self._launch = core.launch
        self._lock = threading.Lock()

    def _attribute(self, name: str) -> int:
        attribute = getattr(self._driver.CUdevice_attribute, "CU_DEVICE_ATTRIBUTE_" + name)
        return int(checked(self._driver.cuDeviceGetAttribute(attribute, self._card.device_id), name))

    # -- copies --

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        if not array.size:
            return
        self._card.set_current()
        if self._staging is None:
            with self._lock:
                if self._staging is None:
                    self._staging = _Staging(self.stream)
        self._staging.copy(ptr, array.reshape(-1).view(np.uint8))

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        if not array.size:
            return
        self._card.set_current()
        checked(
            self._driver.cuMemcpyDtoHAsync(array.ctypes.data, ptr, array.nbytes, self.stream.handle),
            "cuMemcpyDtoHAsync",
        )
        self.synchronize()

    def synchronize(self) -> None:
        told(FAILED, self.stream.sync)

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
        for name, constant in constants.items():
            key.append(name)
            _read_constant(constant, key)
        plan = self._plans.get(tuple(key))
        if plan is None:
            plan = self._plan(tuple(key), function, arguments, constants, num_warps, num_stages)
        configuration = plan.configurations.get(grid)
        if configuration is None:
            if 0 in grid:
                return
            configuration = self._configure(plan, grid)
        if not thread.has_context:
            self._card.set_current()
            thread.has_context = True
        try:
            self._launch(self.stream, configuration, plan.kernel, *values, *plan.rest)
        except Exception as error:
            raise RuntimeError(f"{plan.name}: launching {grid} programs on {self.device}: {error}") from error

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
        self._card.set_current()
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
        plan = _Plan(name, kernel, facts.num_warps * 32, facts.shared, rest, (function, dict(constants)))
        self._plans[key] = plan
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


def _read_constant(constant: Any, key: list[Any]) -> None:
    """Append a constant to ``key`` so that 1, 1.0 and True stay three, and 0.0 and -0.0 two."""
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
