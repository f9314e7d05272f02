"""The cuda device on a driver that runs no kernel: memory, copies, and what a launch hands to the driver."""

import gc
import importlib.util
import os
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import trigrad  # noqa: F401 - it says where the rooms are
from trigrad.framework import allocator, cuda, dtypes
from trigrad.framework import driver as drivers
from trigrad.framework import gpu as launching
from trigrad.framework.array import empty, from_numpy
from trigrad.framework.device import backend, device, set_default_device
from trigrad.framework.language import jit, tl

KIB, MIB = 1 << 10, 1 << 20


# ---- the allocator alone ---------------------------------------------------------------------------------------


class Machine:
    """A source of memory with a limit; what it hands out tells it when it is dropped."""

    def __init__(self, limit=1 << 40):
        self.limit = limit
        self.held = 0
        self.obtained = 0
        self.trims = 0

    def obtain(self, nbytes, stream=None):
        if self.held + nbytes > self.limit:
            raise MemoryError("full")
        return Memory(self, nbytes)

    def trim(self):
        self.trims += 1


class Memory:
    def __init__(self, machine, nbytes):
        machine.obtained += 1
        machine.held += nbytes
        self.machine = machine
        self.nbytes = nbytes
        self.handle = machine.obtained << 30

    def __del__(self):
        self.machine.held -= self.nbytes


@pytest.mark.parametrize(
    ("nbytes", "taken"),
    [
        (0, 512),
        (1, 512),
        (512, 512),
        (513, 1024),
        (MIB - 1, MIB),
        (MIB, MIB),
        (MIB + 1, 2 * MIB),
        (2 * MIB + 1, 4 * MIB),
    ],
)
def test_sizes_are_rounded_up_to_classes(nbytes, taken):
    pool = allocator.Allocator("toy", Machine())
    block = pool.allocate(nbytes)
    assert block.nbytes == nbytes
    assert pool.used == allocator.size_class(nbytes) == taken


def test_memory_is_used_again_by_the_same_class_only():
    machine = Machine()
    pool = allocator.Allocator("toy", machine)
    first = pool.allocate(1000)
    address = first.ptr
    other = pool.allocate(1000)
    assert other.ptr != address
    del first
    assert pool.allocate(2000).ptr != address
    again = pool.allocate(1024)
    assert again.ptr == address
    assert machine.obtained == 3


def test_a_block_is_kept_by_whoever_keeps_its_owner():
    pool = allocator.Allocator("toy", Machine())
    block = pool.allocate(100)
    address, owner = block.ptr, block.owner
    del block
    assert pool.allocate(100).ptr != address
    del owner
    assert pool.used == 0


def test_what_is_counted():
    pool = allocator.Allocator("toy", Machine())
    a, b = pool.allocate(512), pool.allocate(1024)
    assert (pool.used, pool.peak, pool.reserved) == (1536, 1536, 1536)
    del b
    assert (pool.used, pool.peak, pool.reserved) == (512, 1536, 1536)
    pool.reset_peak()
    assert pool.peak == 512
    pool.release()
    assert (pool.used, pool.reserved) == (512, 512)
    del a
    assert pool.used == 0


def test_free_memory_of_other_classes_is_given_up_before_an_error():
    machine = Machine(limit=10 * MIB)
    pool = allocator.Allocator("toy", machine)
    small = [pool.allocate(2 * MIB) for _ in range(5)]
    del small[1:]
    large = pool.allocate(8 * MIB)
    assert large.nbytes == 8 * MIB
    assert machine.trims == 1
    assert pool.reserved == machine.held == 10 * MIB


def test_memory_in_reference_cycles_counts_as_free():
    pool = allocator.Allocator("toy", Machine(limit=2 * MIB))
    cycle = [pool.allocate(2 * MIB)]
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        assert pool.allocate(MIB).nbytes == MIB
    finally:
        gc.enable()


def test_memory_found_in_a_cycle_stays_the_pools():
    """The collector finalizes all that a cycle alone keeps alive: a block's lease, but not the memory behind it."""
    machine = Machine()
    pool = allocator.Allocator("toy", machine)
    cycle = [pool.allocate(2 * MIB)]
    address = cycle[0].ptr
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert machine.held == pool.reserved == 2 * MIB
    again = pool.allocate(2 * MIB)
    assert again.ptr == address and machine.held == 2 * MIB
    del again
    pool.release()
    assert machine.held == 0


def test_out_of_memory_tells_what_holds_it():
    pool = allocator.Allocator("toy", Machine(limit=9 * MIB))
    held = [pool.allocate(2 * MIB) for _ in range(4)]
    held.append(pool.allocate(700))
    with pytest.raises(allocator.OutOfMemoryError) as caught:
        pool.allocate(3 * MIB)
    assert isinstance(caught.value, RuntimeError)
    assert [line.split() for line in str(caught.value).splitlines()] == [
        "allocate: toy has no 3.00 MiB left (full)".split(),
        "toy: 8.00 MiB in use (peak 8.00 MiB), 8.00 MiB held".split(),
        ["pool", "size", "in", "use", "free", "held"],
        "shared 2.00 MiB 4 0 8.00 MiB".split(),
        "shared 1.00 KiB 1 0 1.00 KiB".split(),
    ]
    assert pool.allocate(100).nbytes == 100  # a refusal changes nothing


def test_a_private_pool_shares_no_memory():
    machine = Machine()
    pool = allocator.Allocator("toy", machine)
    shared = pool.allocate(512)
    shared_address = shared.ptr
    del shared
    graph = pool.private_pool("graph")
    with pool.using(graph):
        inside = pool.allocate(512)
    inside_address = inside.ptr
    assert inside_address != shared_address
    assert pool.used == 512
    del inside
    assert pool.allocate(512).ptr == shared_address
    outside = [pool.allocate(512) for _ in range(3)]
    assert inside_address not in [block.ptr for block in outside]
    pool.release()
    assert graph.reserved == 512  # only the pool's end gives its memory back
    with pool.using(graph):
        assert pool.allocate(512).ptr == inside_address
    assert "graph" in pool.summary()
    before = machine.held
    del graph
    assert machine.held == before - 512
    assert "graph" not in pool.summary()


def test_a_long_table_ends_in_a_sum():
    pool = allocator.Allocator("toy", Machine())
    held = [pool.allocate(512 * n) for n in range(1, 31)]
    assert len(held) == 30
    lines = pool.summary().splitlines()
    assert len(lines) == 23
    assert lines[-1].split() == ["shared", "10", "more", "sizes", "27.50", "KiB"]


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.00 KiB"),
        (3 * MIB // 2, "1.50 MiB"),
        (80 << 30, "80.00 GiB"),
    ],
)
def test_readable(nbytes, text):
    assert allocator.readable(nbytes) == text


# ---- why there is no device ------------------------------------------------------------------------------------


def obstacle():
    assert not cuda.is_available()
    assert cuda.device_count() == 0
    for function in (cuda.current_device, cuda.synchronize, cuda.get_device_name, lambda: backend(device("cuda"))):
        with pytest.raises(RuntimeError) as caught:
            function()
    return str(caught.value)


def test_the_interpreter_variable_excludes_cuda(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert (
        drivers.obstacle()
        == "cuda: TRITON_INTERPRET=1 is set, so that Triton compiles nothing; unset it to use the GPU"
    )


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("triton", "triton"),
        ("cuda.bindings", "cuda-bindings"),
        ("cuda.core", "cuda-core"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, module, package):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(drivers, "installed", lambda name: name != module)
    assert drivers.obstacle() == f"cuda: {package} is not installed (pip install triton cuda-core cuda-bindings)"


def test_installed():
    assert drivers.installed("json.decoder")
    assert not drivers.installed("json.no_such_part")
    assert not drivers.installed("no_such_package.part")


def fake_bindings(monkeypatch, initialise):
    """Put a stand-in for cuda.bindings in its place, so that a machine's real driver is not asked."""
    driver = SimpleNamespace(cuInit=initialise)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(drivers, "installed", lambda name: True)
    bindings = SimpleNamespace(driver=driver, __spec__=None)
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(bindings=bindings, __path__=[]))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", driver)


def test_a_missing_driver_is_told(monkeypatch):
    def initialise(flags):
        raise RuntimeError("libcuda.so.1: cannot open shared object file\nand much more")

    fake_bindings(monkeypatch, initialise)
    assert drivers.obstacle() == "cuda: no NVIDIA driver was found (libcuda.so.1: cannot open shared object file)"


def test_is_available_never_raises(monkeypatch):
    def initialise(flags):
        raise OSError("something quite different")

    fake_bindings(monkeypatch, initialise)
    assert cuda.is_available() is False


@pytest.mark.nodriver(NODRIVER_DEVICES="0")
def test_a_driver_without_devices(driver):
    assert drivers.obstacle() == "cuda: the NVIDIA driver finds no device"


@pytest.mark.nodriver(NODRIVER_VERSION="11080")
def test_a_driver_too_old(driver):
    assert drivers.obstacle() == "cuda: the NVIDIA driver is for CUDA 11.8, trigrad needs one for CUDA 12.0 or later"


@pytest.mark.nodriver(NODRIVER_INIT="803")
def test_a_driver_that_does_not_start(driver):
    assert drivers.obstacle() == "cuda: the NVIDIA driver does not start (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"


@pytest.mark.nodriver
def test_a_device_the_driver_refuses(driver):
    driver.fail("cuDevicePrimaryCtxRetain", 2)
    with pytest.raises(RuntimeError, match="cuda: cuda:0 cannot be used: "):
        backend(device("cuda"))
    assert backend(device("cuda")).device is device("cuda:0")


# ---- devices ---------------------------------------------------------------------------------------------------


@pytest.mark.nodriver
def test_nothing_of_cuda_is_imported_early(driver):
    assert cuda.memory_allocated() == cuda.memory_reserved() == cuda.max_memory_allocated() == 0
    assert cuda.memory_summary() == "cuda:0: nothing allocated yet"
    cuda.empty_cache()
    cuda.reset_peak_memory_stats()
    assert not [name for name in sys.modules if name.split(".")[0] in ("cuda", "triton", "torch")]
    assert cuda.is_available()
    assert "triton" not in sys.modules


@pytest.mark.nodriver(NODRIVER_DEVICES="3", NODRIVER_MEMORY=str(80 << 30))
def test_devices_are_described(driver):
    assert cuda.is_available() is True
    assert cuda.device_count() == 3
    assert cuda.current_device() == 0
    assert cuda.get_device_name() == "No-op device 0"
    for third in (2, "cuda:2", device("cuda", 2)):
        assert cuda.get_device_name(third) == "No-op device 2"
    assert cuda.get_device_capability() == (9, 0)
    assert cuda.get_device_properties() == cuda.DeviceProperties("No-op device 0", 9, 0, 80 << 30, 132)
    for wrong in (3, -1, "cuda:3"):
        with pytest.raises(RuntimeError, match=r"cuda: there is no device -?\d: this machine has 3, counted from 0"):
            cuda.get_device_name(wrong)
        with pytest.raises(RuntimeError, match="there is no device"):
            cuda.set_device(wrong)
    with pytest.raises(RuntimeError, match="there is no device 7"):
        backend(device("cuda:7"))
    with pytest.raises(ValueError, match="cuda: expected a cuda device, got cpu"):
        cuda.get_device_name("cpu")
    assert cuda.current_device() == 0


@pytest.mark.nodriver
def test_the_current_device_is_a_threads_own(driver):
    first = backend(device("cuda"))
    assert first is backend(device("cuda:0")) is cuda.cuda_backend(None)
    assert first.device is device("cuda:0")
    assert (first.block, first.programs) == (1024, 132)
    cuda.set_device(1)
    second = backend(device("cuda"))
    assert second.device is device("cuda:1")
    assert cuda.current_device() == 1
    cuda.set_device("cuda")
    assert cuda.current_device() == 1
    seen = []
    thread = threading.Thread(target=lambda: seen.append(cuda.current_device()))
    thread.start()
    thread.join()
    assert seen == [0]
    set_default_device("cuda:1")


@pytest.mark.nodriver
def test_streams_and_events(driver):
    stream = cuda.current_stream()
    assert stream.device is device("cuda:0")
    assert stream.cuda_stream > 2  # 0, 1 and 2 are the default streams
    assert stream.__cuda_stream__() == (0, stream.cuda_stream)
    assert cuda.current_stream().cuda_stream == stream.cuda_stream
    assert cuda.current_stream(1).cuda_stream != stream.cuda_stream
    assert "cuda:0" in repr(stream)
    stream.synchronize()
    cuda.synchronize()
    begin, end, plain = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True), cuda.Event()
    assert begin.query()
    begin.synchronize()
    with pytest.raises(ValueError, match="both events must be made with enable_timing=True and recorded"):
        begin.elapsed_time(end)
    begin.record()
    time.sleep(0.01)
    end.record()
    end.synchronize()
    assert end.query()
    assert begin.elapsed_time(end) >= 10
    end.record()
    plain.record()
    with pytest.raises(ValueError, match="both events"):
        begin.elapsed_time(plain)


# ---- memory and copies -----------------------------------------------------------------------------------------


@pytest.mark.nodriver
def test_copies_keep_every_value(driver):
    gpu = backend(device("cuda"))
    rng = np.random.default_rng(0)
    for kind in dtypes.ALL:
        for shape in [(), (1,), (0,), (3, 0), (7, 5), (1025, 33)]:
            data = rng.integers(0, 256, (*shape, kind.itemsize), dtype=np.uint8)
            if kind is dtypes.bool_:
                data &= 1
            data = np.ascontiguousarray(data).view(kind.numpy).reshape(shape)
            on_gpu = from_numpy(data, gpu)
            assert on_gpu.ptr % 512 == 0
            back = on_gpu.numpy()
            assert back.dtype == kind.numpy and back.shape == shape
            assert back.tobytes() == data.tobytes()


@pytest.mark.nodriver
def test_large_copies_pass_the_staging_buffers(driver):
    gpu = backend(device("cuda"))
    rng = np.random.default_rng(1)
    for nbytes in (4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 13 * MIB + 5, 3):
        data = rng.integers(0, 256, nbytes, dtype=np.uint8)
        kept = data.copy()
        on_gpu = from_numpy(data, gpu)
        data[:] = 0  # the array is the caller's again at once
        np.testing.assert_array_equal(on_gpu.numpy(), kept)
    assert driver.allocated(-1) == 8 * MIB


@pytest.mark.nodriver
def test_views_share_memory(driver):
    gpu = backend(device("cuda"))
    data = np.arange(24, dtype=np.float32).reshape(4, 6)
    whole = from_numpy(data, gpu)
    rows = whole.viewed(lambda a: a[1:3, ...])
    assert (rows.shape, rows.strides, rows.offset) == ((2, 6), (6, 1), 6)
    np.testing.assert_array_equal(rows.numpy(), data[1:3])
    gpu.copy_in(rows.ptr, np.full(12, 7, np.float32))
    data[1:3] = 7
    np.testing.assert_array_equal(whole.numpy(), data)
    before = cuda.memory_allocated()
    del whole
    assert cuda.memory_allocated() == before  # the view keeps the memory
    del rows
    assert cuda.memory_allocated() == before - 512


@pytest.mark.nodriver
def test_memory_is_counted_and_given_back(driver):
    gpu = backend(device("cuda"))
    assert driver.allocated() == 0
    a = empty((1000,), np.dtype(np.float32), gpu)
    b = empty((3 * MIB,), np.dtype(np.uint8), gpu)
    assert cuda.memory_allocated() == cuda.memory_reserved() == driver.allocated() == 4096 + 4 * MIB
    assert cuda.memory_allocated(1) == 0
    address = a.ptr
    del a, b
    assert cuda.memory_allocated() == 0
    assert cuda.max_memory_allocated() == cuda.memory_reserved() == 4096 + 4 * MIB
    cuda.reset_peak_memory_stats()
    asked = driver.calls("cuMemAllocFromPoolAsync")
    for _ in range(100):
        assert empty((1000,), np.dtype(np.float32), gpu).ptr == address
    assert driver.calls("cuMemAllocFromPoolAsync") == asked
    assert cuda.max_memory_allocated() == 4096
    assert "4.00 MiB" in cuda.memory_summary()
    cuda.empty_cache()
    assert driver.calls("cuMemPoolTrimTo") == 1
    assert cuda.memory_reserved() == driver.allocated() == 0


@pytest.mark.nodriver(NODRIVER_MEMORY=str(64 * MIB))
def test_out_of_memory(driver):
    gpu = backend(device("cuda"))
    byte = np.dtype(np.uint8)
    a, b = empty((40 * MIB,), byte, gpu), empty((20 * MIB,), byte, gpu)
    del a
    c = empty((44 * MIB,), byte, gpu)  # fits once the first is given back
    assert driver.calls("cuMemPoolTrimTo") == 1
    with pytest.raises(cuda.OutOfMemoryError, match="allocate: cuda:0 has no 10.00 MiB left") as caught:
        empty((10 * MIB,), byte, gpu)
    assert "CUDA_ERROR_OUT_OF_MEMORY" in str(caught.value)
    assert "44.00 MiB" in str(caught.value) and "20.00 MiB" in str(caught.value)
    caught.value.__traceback__ = None
    del b, c
    assert empty((60 * MIB,), byte, gpu).nbytes == 60 * MIB


@pytest.mark.nodriver(NODRIVER_POOLS="0", NODRIVER_MEMORY=str(64 * MIB))
def test_a_device_without_memory_pools(driver):
    gpu = backend(device("cuda"))
    data = np.arange(1000)
    array = from_numpy(data, gpu)
    np.testing.assert_array_equal(array.numpy(), data)
    assert driver.calls("cuMemAlloc") == 1
    large = empty((40 * MIB,), np.dtype(np.uint8), gpu)
    del large
    large = empty((50 * MIB,), np.dtype(np.uint8), gpu)
    del large, array
    cuda.empty_cache()
    assert driver.allocated() == 0
    assert driver.calls("cuMemAllocFromPoolAsync") == driver.calls("cuMemPoolTrimTo") == 0


@pytest.mark.nodriver
def test_failures_of_the_driver_are_told(driver):
    gpu = backend(device("cuda"))
    driver.fail("cuMemAllocFromPoolAsync", 719)
    with pytest.raises(RuntimeError, match="cuda: allocating 1.00 KiB: CUDA_ERROR_LAUNCH_FAILED"):
        empty((1000,), np.dtype(np.uint8), gpu)
    array = from_numpy(np.arange(5), gpu)
    driver.fail("cuMemcpyHtoDAsync", 1)
    with pytest.raises(RuntimeError, match="cuda: cuMemcpyHtoDAsync: CUDA_ERROR_INVALID_VALUE"):
        gpu.copy_in(array.ptr, np.arange(5))
    driver.fail("cuMemcpyDtoHAsync", 700)
    with pytest.raises(RuntimeError, match="cuda: cuMemcpyDtoHAsync: CUDA_ERROR_ILLEGAL_ADDRESS"):
        array.numpy()
    message = "cuda: work given to the device earlier has failed: CUDA_ERROR_ILLEGAL_ADDRESS"
    for function in (cuda.synchronize, cuda.empty_cache, cuda.current_stream().synchronize):
        driver.fail("cuStreamSynchronize", 700)
        with pytest.raises(RuntimeError, match=message):
            function()
    event = cuda.Event()
    event.record()
    driver.fail("cuEventSynchronize", 700)
    with pytest.raises(RuntimeError, match=message):
        event.synchronize()
    driver.fail("cuEventQuery", 700)
    with pytest.raises(RuntimeError, match=message):
        event.query()
    driver.fail("cuEventSynchronize", 700, skip=1)  # the second wait for a staging buffer
    with pytest.raises(RuntimeError, match=message):
        from_numpy(np.zeros(20 * MIB, np.uint8), gpu)
    np.testing.assert_array_equal(array.numpy(), np.arange(5))


# ---- launches --------------------------------------------------------------------------------------------------


@jit
def scale(out, x, n, factor, BLOCK: tl.constexpr):
    # out, x (n,); one program per BLOCK elements
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out + offsets, tl.load(x + offsets, mask=mask) * factor, mask=mask)


@jit
def gather(out, inputs, nothing, shape, steps, far, yes, FACTOR: tl.constexpr):
    # out (1,), inputs a tuple of pointers to (1,); one program
    total = tl.load(out) * FACTOR
    for i in tl.static_range(len(inputs)):
        total += tl.load(inputs[i])
    tl.store(out, total + shape[0] + shape[1] + steps[0][1] + far + yes)


@jit
def product(out, a, b, BLOCK: tl.constexpr, DEPTH: tl.constexpr):
    # out (BLOCK, BLOCK), a (BLOCK, DEPTH), b (DEPTH, BLOCK); one program, both operands in shared memory
    rows = tl.arange(0, BLOCK)
    depth = tl.arange(0, DEPTH)
    left = tl.load(a + rows[:, None] * DEPTH + depth[None, :])
    right = tl.load(b + depth[:, None] * BLOCK + rows[None, :])
    tl.store(out + rows[:, None] * BLOCK + rows[None, :], tl.dot(left, right))


def start(gpu, out, x, n, factor, grid=(4,), block=256, num_warps=4):
    gpu.launch(scale, grid, (out, x, n, factor), {"BLOCK": block}, num_warps, 3)


@pytest.mark.nodriver
def test_arguments_reach_the_driver(driver):
    gpu = backend(device("cuda"))
    out, x = (empty((1000,), np.dtype(np.float32), gpu) for _ in range(2))
    start(gpu, out, x, 1000, np.float32(0.5), num_warps=8)
    launch = driver.launch()
    assert launch.name == "scale"
    assert (launch.grid, launch.block, launch.shared, launch.device) == ((4, 1, 1), (256, 1, 1), 0, 0)
    assert launch.stream == cuda.current_stream().cuda_stream
    assert launch.values("QQifQQ") == (out.ptr, x.ptr, 1000, 0.5, 0, 0)
    start(gpu, out, x, -3, 0.25)  # a Python float is a float32
    assert driver.launch().values("QQifQQ") == (out.ptr, x.ptr, -3, 0.25, 0, 0)
    start(gpu, out, x, 1 << 40, np.float64(0.1))
    assert driver.launch().values("QQqdQQ") == (out.ptr, x.ptr, 1 << 40, 0.1, 0, 0)
    start(gpu, out, x, np.int64(-5), np.float32(2))
    assert driver.launch().values("QQqfQQ") == (out.ptr, x.ptr, -5, 2.0, 0, 0)
    start(gpu, out, x, np.uint64((1 << 64) - 1), np.float16(1.5))
    launch = driver.launch()
    assert launch.values("QQQeQQ") == (out.ptr, x.ptr, (1 << 64) - 1, 1.5, 0, 0)
    start(gpu, out, x, 7, ml_dtypes.bfloat16(1.5))
    assert driver.launch().parameters[3] == b"\xc0\x3f"
    start(gpu, out, x.viewed(lambda a: a[3:, ...]), 997, np.float32(2))
    assert driver.launch().values("QQifQQ") == (out.ptr, x.ptr + 12, 997, 2.0, 0, 0)


@pytest.mark.nodriver
def test_tuples_and_none_are_flattened(driver):
    gpu = backend(device("cuda"))
    arrays = [empty((1,), np.dtype(np.int64), gpu) for _ in range(3)]
    out, a, b = arrays
    arguments = (out, (a, b), None, (10, 20), ((1, 2), (3, 4)), 1 << 33, np.bool_(True))
    gpu.launch(gather, (1,), arguments, {"FACTOR": 3}, 1, 1)
    launch = driver.launch()
    assert launch.values("QQQiiiiiiq?QQ") == (out.ptr, a.ptr, b.ptr, 10, 20, 1, 2, 3, 4, 1 << 33, True, 0, 0)


@pytest.mark.nodriver
def test_a_plan_is_made_once(driver):
    gpu = backend(device("cuda"))
    out, x = (empty((1 << 12,), np.dtype(np.float32), gpu) for _ in range(2))

    def loads(*arguments, **settings):
        before = driver.calls("cuLibraryLoadData")
        start(gpu, *arguments, **settings)
        return driver.calls("cuLibraryLoadData") - before

    assert loads(out, x, 1000, np.float32(1)) == 1
    assert loads(out, x, 1000, np.float32(2)) == 0
    assert loads(x, out, 1001 + 15, np.float32(2)) == 0
    assert loads(out, x, 1000, np.float32(2), grid=(7,)) == 0
    assert loads(out, x, 1008, np.float32(1)) == 1  # divisible by 16
    assert loads(out, x, 2048, np.float32(1)) == 0
    assert loads(out, x, 1 << 35, np.float32(1)) == 1
    assert loads(out, x, 1000, np.float64(1)) == 1
    assert loads(out, x, 1000, np.float32(1), block=512) == 1
    assert loads(out, x, 1000, np.float32(1), num_warps=2) == 1
    assert loads(out, x.viewed(lambda a: a[1:, ...]), 1000, np.float32(1)) == 1
    assert loads(out, x.viewed(lambda a: a[4:, ...]), 1000, np.float32(1)) == 0  # 16 bytes on: aligned
    assert loads(out, x.reinterpreted(np.dtype(np.int32)), 1000, np.float32(1)) == 1


@pytest.mark.nodriver
def test_constants_that_compare_equal_have_plans_of_their_own(driver):
    gpu = backend(device("cuda"))
    out = empty((1,), np.dtype(np.float32), gpu)

    def loads(factor):
        before = driver.calls("cuLibraryLoadData")
        gpu.launch(gather, (1,), (out, (out,), None, (1, 1), ((1, 1),), 1, 1), {"FACTOR": factor}, 1, 1)
        return driver.calls("cuLibraryLoadData") - before

    for factor in (1, 1.0, True, 0.0, -0.0):
        assert loads(factor) == 1
    for factor in (1, 1.0, True, 0.0, -0.0):
        assert loads(factor) == 0
    nested = [
        (1, (2.0, None)),
        (True, (2.0, None)),
        (1, (2, None)),
        (1, (0.0, None)),
        (1, (-0.0, None)),
        (1, (0.0, scale)),
    ]
    values = [{"A": value} for value in nested] + [{"A": 1, "B": 2}, {"B": 1, "A": 2}, {"A": 1, "B": True}]
    keys = set()
    for constants in values:
        key: list = []
        launching._read_constants(constants, key)
        keys.add(tuple(key))
    assert len(keys) == len(values)


@pytest.mark.nodriver
def test_grids(driver):
    gpu = backend(device("cuda"))
    out, x = (empty((64,), np.dtype(np.float32), gpu) for _ in range(2))
    for grid in [(5,), (5, 6), (5, 6, 7)]:
        start(gpu, out, x, 64, np.float32(1), grid=grid)
        assert driver.launch().grid == (*grid, 1, 1)[:3]
    before = driver.launches()
    start(gpu, out, x, 64, np.float32(1), grid=(0,))
    start(gpu, out, x, 64, np.float32(1), grid=(5, 0))
    assert driver.launches() == before
    message = r"scale: grid \(.*\) is larger than cuda:0 allows, \(2147483647, 65535, 65535\)"
    for grid in [(1, 65536), (1 << 31,), (-1,), (1, 1, 1, 1)]:
        with pytest.raises(RuntimeError, match=message):
            start(gpu, out, x, 64, np.float32(1), grid=grid)
    for n in range(1, 4200):  # configurations are dropped, not hoarded
        start(gpu, out, x, 64, np.float32(1), grid=(n,))
    assert driver.launch().grid == (4199, 1, 1)


@pytest.mark.nodriver
def test_large_shared_memory_is_asked_for(driver):
    gpu = backend(device("cuda"))
    half = np.dtype(np.float16)
    out, a, b = (empty((256, 256), half, gpu) for _ in range(3))
    gpu.launch(product, (1,), (out, a, b), {"BLOCK": 128, "DEPTH": 128}, 4, 1)
    assert driver.launch().shared > 48 * KIB
    assert driver.calls("cuKernelSetAttribute") == 1
    gpu.launch(product, (1,), (out, a, b), {"BLOCK": 32, "DEPTH": 32}, 4, 1)
    assert driver.launch().shared <= 48 * KIB
    assert driver.calls("cuKernelSetAttribute") == 1
    message = (
        r"product: a program needs \d+ bytes of shared memory, cuda:0 has 232448; "
        "use smaller blocks or fewer stages"
    )
    with pytest.raises(RuntimeError, match=message):
        gpu.launch(product, (1,), (out, a, b), {"BLOCK": 256, "DEPTH": 256}, 8, 1)


@pytest.mark.nodriver
def test_a_launch_that_fails(driver):
    gpu = backend(device("cuda"))
    out, x = (empty((64,), np.dtype(np.float32), gpu) for _ in range(2))
    driver.fail("cuLibraryLoadData", 200)
    with pytest.raises(
        RuntimeError,
        match=r"scale: the driver \(for CUDA 13.0\) does not load the compiled kernel; "
        "a newer driver or an older Triton may help: CUDA_ERROR_INVALID_IMAGE",
    ):
        start(gpu, out, x, 64, np.float32(1))
    start(gpu, out, x, 64, np.float32(1))
    driver.fail("cuLaunchKernelEx", 701)
    driver.fail("cuLaunchKernel", 701)
    message = r"scale: launching \(4,\) programs on cuda:0: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
    with pytest.raises(RuntimeError, match=message):
        start(gpu, out, x, 64, np.float32(1))
    with pytest.raises(TypeError, match="launch: expected an array, a number, None or a tuple of these, got str"):
        gpu.launch(scale, (1,), (out, x, "64", 1.0), {"BLOCK": 64}, 4, 3)


@pytest.mark.nodriver
def test_devices_do_not_mix(driver):
    zero, one = backend(device("cuda:0")), backend(device("cuda:1"))
    data = np.arange(100, dtype=np.float32)
    on_zero, on_one = from_numpy(data, zero), from_numpy(data + 1, one)
    start(one, on_one, on_one, 100, np.float32(1))
    assert (driver.launch().device, driver.launch().stream) == (1, cuda.current_stream(1).cuda_stream)
    start(zero, on_zero, on_zero, 100, np.float32(1))
    assert (driver.launch().device, driver.launch().stream) == (0, cuda.current_stream(0).cuda_stream)
    np.testing.assert_array_equal(on_one.numpy(), data + 1)
    np.testing.assert_array_equal(on_zero.numpy(), data)
    assert (driver.allocated(0), driver.allocated(1)) == (512, 512)
    assert (on_zero.device, on_one.device) == (device("cuda:0"), device("cuda:1"))


@pytest.mark.nodriver
def test_other_threads_may_use_a_device(driver):
    gpu = backend(device("cuda"))
    out, x = (empty((64,), np.dtype(np.float32), gpu) for _ in range(2))
    start(gpu, out, x, 64, np.float32(1))
    failures = []

    def work(seed):
        try:
            rng = np.random.default_rng(seed)
            for _ in range(50):
                data = rng.standard_normal(int(rng.integers(1, 5000))).astype(np.float32)
                array = from_numpy(data, gpu)
                start(gpu, array, array, data.size, np.float32(1))
                np.testing.assert_array_equal(array.numpy(), data)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert driver.launches() == 201
    del out, x
    assert cuda.memory_allocated() == 0


@pytest.mark.nodriver(NODRIVER_VERSION="12040")
def test_a_driver_for_cuda_12(driver):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # cuda-bindings for CUDA 13 prefers its own driver
        gpu = backend(device("cuda"))
    x = from_numpy(np.arange(64, dtype=np.float32), gpu)
    start(gpu, x, x, 64, np.float32(1))
    assert driver.launch().name == "scale"
    np.testing.assert_array_equal(x.numpy(), np.arange(64))


@pytest.mark.nodriver
def test_a_forked_process_is_told(driver):
    array = from_numpy(np.arange(5), backend(device("cuda")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's own threads make Python 3.12 wary of forks
        child = os.fork()
    if child == 0:
        try:
            del array
            backend(device("cuda"))
        except RuntimeError as error:
            os._exit(42 if "forked" in str(error) and not cuda.is_available() else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    np.testing.assert_array_equal(array.numpy(), np.arange(5))


kept_until_the_end = []


@pytest.mark.nodriver
def test_arrays_alive_at_exit_are_no_trouble(driver):
    gpu = backend(device("cuda"))
    array = from_numpy(np.arange(5), gpu)
    cycle = [array]
    cycle.append(cycle)
    kept_until_the_end.append((gpu, array, cycle, array.block.owner))


def test_the_test_driver_is_never_a_real_one(driver):
    """A process without the no-op driver on its path must fail before it touches CUDA."""
    nodriver = sys.modules["nodriver"]
    with pytest.raises((AttributeError, OSError)):
        nodriver.Driver()
    assert importlib.util.find_spec("triton") is not None
