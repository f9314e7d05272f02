"""Streams, events, pinned memory and several devices, on a driver that does everything at once and runs no kernel."""

import gc
import sys
import threading

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import gpu as launching
from trigrad.framework.allocator import Allocator, lend
from trigrad.framework.device import backend, device
from trigrad.framework.pinned import owner

NOT_READY = 600
F32 = np.dtype(np.float32)
MIB = 1 << 20


# ---- memory that several streams use, alone ------------------------------------------------------------------------


class Clock:
    """A source of memory whose fences are passed when somebody says so."""

    def __init__(self):
        self.made = 0
        self.fences = []

    def obtain(self, nbytes, stream=None):
        self.made += 1
        return type("Memory", (), {"handle": self.made << 30})()

    def fence(self):
        self.fences.append(Fence())
        return self.fences[-1]

    def trim(self):
        pass


class Fence:
    done = waited = False

    def passed(self):
        return self.done

    def wait(self):
        self.done = self.waited = True


class Line:
    """A stream that can be waited for."""

    synced = 0

    def sync(self):
        self.synced += 1


def test_lent_memory_is_used_again_only_behind_a_fence():
    clock = Clock()
    memory = Allocator("toy", clock)
    other = memory.stream_pool("other", Line())
    block = memory.allocate(512)
    address = block.ptr
    lend(block, other)
    lend(block, other)
    del block
    assert memory.used == 0
    second = memory.allocate(512)  # a fence is set now: work that used the first one may be running
    assert second.ptr != address and len(clock.fences) == 1
    third = memory.allocate(512)
    assert third.ptr not in (address, second.ptr) and len(clock.fences) == 1
    clock.fences[0].done = True
    assert memory.allocate(512).ptr == address


def test_memory_of_another_stream_waits_for_all_streams():
    clock = Clock()
    memory = Allocator("toy", clock)
    line = Line()
    other = memory.stream_pool("other", line)
    block = memory.allocate_for(other, 100)
    address = block.ptr
    assert (memory.used, memory.peak) == (512, 512)
    lend(block, memory.shared)
    del block
    assert memory.allocate(100).ptr != address  # never in the shared pool
    assert memory.allocate_for(other, 100).ptr != address
    clock.fences[0].done = True
    assert memory.allocate_for(other, 100).ptr == address
    assert "other" in memory.summary()
    memory.release()
    assert line.synced == 1
    assert memory.reserved == memory.used == 0


def test_giving_memory_back_waits_for_fences():
    clock = Clock()
    memory = Allocator("toy", clock)
    other = memory.stream_pool("other", Line())
    block = memory.allocate(512)
    lend(block, other)
    del block
    memory.release()
    assert clock.fences[0].waited
    assert memory.reserved == 0
    assert memory.reserved_peak == 512


def test_pending_memory_makes_room_before_an_error():
    class Small(Clock):
        def obtain(self, nbytes, stream=None):
            if self.made == 1 and not self.fences[-1].waited:
                raise MemoryError("full")
            return super().obtain(nbytes)

    clock = Small()
    memory = Allocator("toy", clock)
    other = memory.stream_pool("other", Line())
    block = memory.allocate(512)
    lend(block, other)
    del block
    assert memory.allocate(2048).nbytes == 2048
    assert clock.fences[0].waited


# ---- streams ---------------------------------------------------------------------------------------------------------


def last(driver):
    launch = driver.launch()
    return launch.stream, launch.device


@pytest.mark.nodriver
def test_work_goes_to_the_chosen_stream(driver):
    x = tg.ones(100, device="cuda")
    main = tg.cuda.current_stream()
    assert main == tg.cuda.default_stream() and last(driver) == (main.cuda_stream, 0)
    side = tg.cuda.Stream()
    assert side != main and side.device == device("cuda:0") and side.cuda_stream != main.cuda_stream
    assert len({main, side, tg.cuda.current_stream()}) == 2
    with tg.cuda.stream(side):
        assert tg.cuda.current_stream() == side
        y = x + 1
        assert last(driver) == (side.cuda_stream, 0)
        with tg.cuda.stream(main):
            x + 1
            assert last(driver)[0] == main.cuda_stream
        with tg.cuda.stream(None):
            x + 1
            assert last(driver)[0] == side.cuda_stream
        seen = []
        thread = threading.Thread(target=lambda: seen.append((tg.cuda.current_stream(), (x + 1).device)))
        thread.start()
        thread.join()
        assert seen[0][0] == main  # the choice is one thread's
    assert tg.cuda.current_stream() == main
    y + 1
    assert last(driver)[0] == main.cuda_stream
    with pytest.raises(KeyError), tg.cuda.stream(side):
        raise KeyError
    assert tg.cuda.current_stream() == main
    tg.cuda.set_stream(side)
    x + 1
    assert last(driver)[0] == side.cuda_stream
    tg.cuda.set_stream(tg.cuda.default_stream())
    tg.cuda.set_stream(None)
    x + 1
    assert last(driver)[0] == main.cuda_stream
    gpu = backend(device("cuda"))
    assert gpu.allocate == gpu.allocator.allocate and gpu._choices == 0  # who chooses no stream pays nothing


@pytest.mark.nodriver
def test_a_with_block_can_be_entered_twice(driver):
    tg.ones(1, device="cuda")
    side = tg.cuda.Stream()
    block = tg.cuda.stream(side)
    with block, block:
        assert tg.cuda.current_stream() == side
    assert tg.cuda.current_stream() == tg.cuda.default_stream()


@pytest.mark.nodriver
def test_streams_wait_for_each_other(driver):
    main, side = tg.cuda.current_stream(), tg.cuda.Stream(priority=-1)
    assert side.priority == -1
    before = driver.calls("cuStreamWaitEvent")
    side.wait_stream(main)
    assert driver.calls("cuStreamWaitEvent") == before + 1
    event = side.record_event()
    main.wait_event(event)
    event.wait(side)
    event.wait()
    main.wait_event(tg.cuda.Event())  # not recorded: nothing to wait for
    assert driver.calls("cuStreamWaitEvent") == before + 4
    timed = tg.cuda.Event(enable_timing=True, blocking=True)
    assert side.record_event(timed) is timed
    timed.record(main)
    timed.synchronize()
    assert timed.query() and side.query() and main.query()
    driver.fail("cuStreamQuery", NOT_READY)
    assert not side.query()
    driver.fail("cuStreamQuery", 700)
    with pytest.raises(RuntimeError, match="work given to the device earlier has failed: CUDA_ERROR_ILLEGAL_ADDRESS"):
        side.query()
    driver.fail("cuStreamSynchronize", 700, skip=1)  # the device's synchronize waits for its side streams too
    with pytest.raises(RuntimeError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        tg.cuda.synchronize()
    with pytest.raises(RuntimeError, match="Event.record: this event belongs to cuda:0, the stream to cuda:1"):
        timed.record(tg.cuda.Stream(device=1))
    assert side.__cuda_stream__() == (0, side.cuda_stream)


@pytest.mark.nodriver
def test_there_are_32_streams(driver):
    streams = [tg.cuda.Stream() for _ in range(40)]
    assert len({s.cuda_stream for s in streams}) == 32


@pytest.mark.nodriver
def test_memory_used_by_two_streams_stays_alive(driver):
    gpu = backend(device("cuda"))
    side = tg.cuda.Stream()
    x = tg.ones(1000, device="cuda")
    address = x.data_ptr()
    with tg.cuda.stream(side):
        y = x * 2  # reads x in another stream
        own = y.data_ptr()
        z = y + 1
        assert z.data_ptr() != own
    del x
    driver.fail("cuEventQuery", NOT_READY)
    assert tg.ones(1000, device="cuda").data_ptr() != address
    assert tg.ones(1000, device="cuda").data_ptr() != address  # another piece lies free by now
    kept = [tg.ones(1000, device="cuda") for _ in range(2)]
    assert address in [t.data_ptr() for t in kept]  # once the fence is passed
    # What was allocated under the stream comes back to the stream's own pool, behind a fence as well.
    y + 1
    del y
    kept += [tg.ones(1000, device="cuda") for _ in range(4)]
    assert own not in [t.data_ptr() for t in kept]
    with tg.cuda.stream(side):
        driver.fail("cuEventQuery", NOT_READY)
        kept += [tg.ones(1000, device="cuda")]
        assert own != kept[-1].data_ptr()
        kept += [tg.ones(1000, device="cuda")]
        assert own == kept[-1].data_ptr()
    del kept, z
    gc.collect()
    assert tg.cuda.memory_allocated() == 0
    tg.cuda.empty_cache()
    assert tg.cuda.memory_reserved() == driver.allocated() == 0
    assert gpu.allocator.reserved_peak == tg.cuda.max_memory_reserved() > 0


@pytest.mark.nodriver
def test_record_stream_keeps_memory_for_foreign_code(driver):
    side = tg.cuda.Stream()
    x = tg.ones(1000, device="cuda")
    address = x.data_ptr()
    x.record_stream(side)
    del x
    driver.fail("cuEventQuery", NOT_READY)
    assert tg.ones(1000, device="cuda").data_ptr() != address
    with pytest.raises(RuntimeError, match="record_stream: expected a tensor on a GPU, this one is on the CPU"):
        tg.ones(1).record_stream(side)


@pytest.mark.nodriver
def test_copies_belong_to_the_chosen_stream(driver):
    data = np.arange(1000, dtype=np.float32)
    side = tg.cuda.Stream()
    with tg.cuda.stream(side):
        x = tg.tensor(data, device="cuda")
        before = driver.calls("cuStreamSynchronize")
        np.testing.assert_array_equal(x.cpu().numpy(), data)
        assert driver.calls("cuStreamSynchronize") == before + 1
    assert driver.allocated(-1) == 8 * MIB  # staging buffers of its own
    tg.tensor(data, device="cuda")
    assert driver.allocated(-1) == 16 * MIB


# ---- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.nodriver
def test_a_ragged_batch_needs_no_new_kernel(driver):
    """Keys that compiled code cannot tell apart share a plan: the outermost size may be anything."""
    gpu = backend(device("cuda"))
    bias = tg.ones(64, device="cuda")

    def loads(batch):
        before = driver.calls("cuLibraryLoadData")
        tg.ones(batch, 64, device="cuda") + bias
        return driver.calls("cuLibraryLoadData") - before

    assert loads(96) > 0
    for batch in (97, 98, 112, 128, 130):
        assert loads(batch) == 0
    assert len(gpu._plans) > len(set(gpu._plans.values()))


# ---- pinned memory ---------------------------------------------------------------------------------------------------


@pytest.mark.nodriver
def test_pinned_memory(driver):
    data = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    x = tg.tensor(data)
    assert not x.is_pinned()
    pinned = x.pin_memory()
    assert pinned.is_pinned() and pinned.pin_memory() is pinned and pinned[1:3].is_pinned()
    assert not x.is_pinned() and not (pinned + 1).is_pinned()
    np.testing.assert_array_equal(pinned.numpy(), data)
    assert pinned.storage.nbytes() >= 140
    for kind in (tg.bfloat16, tg.int64, tg.bool):
        assert x.to(kind).pin_memory().tolist() == x.to(kind).tolist()
    assert tg.tensor(np.zeros((0, 3), np.float32)).pin_memory().shape == (0, 3)
    assert tg.tensor(2.5).pin_memory().item() == 2.5
    with pytest.raises(RuntimeError, match="pin_memory: expected a tensor on the CPU, this one is on cuda:0"):
        tg.ones(1, device="cuda").pin_memory()
    assert not tg.ones(1, device="cuda").is_pinned()
    driver.fail("cuMemAllocHost", 2)
    with pytest.raises(RuntimeError, match="pin_memory: no 1048576 bytes of pinned memory can be had"):
        tg.zeros(1 << 18).pin_memory()


@pytest.mark.nodriver
def test_copies_from_pinned_memory_do_not_wait(driver):
    data = np.arange(1000, dtype=np.float32)
    pinned = tg.tensor(data).pin_memory()
    x = pinned.to("cuda", non_blocking=True)
    y = pinned.cuda(non_blocking=True)
    assert driver.calls("cuStreamSynchronize") == 0
    assert driver.allocated(-1) == 4096  # no staging buffer
    back = x.to("cpu", non_blocking=True)
    assert back.is_pinned() and driver.calls("cuStreamSynchronize") == 0
    tg.cuda.synchronize()
    np.testing.assert_array_equal(back.numpy(), data)
    np.testing.assert_array_equal(y.cpu().numpy(), data)
    pinned.zero_()
    y.copy_(pinned, non_blocking=True)
    back.copy_(y, non_blocking=True)
    assert back._version == 1 and y._version == 1
    np.testing.assert_array_equal(back.numpy(), 0 * data)
    plain = tg.tensor(data)
    y.copy_(plain, non_blocking=True)  # through the staging buffers, which is as good for the caller
    assert driver.allocated(-1) > 8 * MIB


@pytest.mark.nodriver
def test_pinned_memory_is_used_again_when_the_copy_is_done(driver):
    pinned = tg.ones(1000).pin_memory()
    address = pinned.data_ptr()
    pinned.to("cuda", non_blocking=True)
    pinned.to("cuda", non_blocking=True)
    del pinned
    driver.fail("cuEventQuery", NOT_READY)
    other = tg.ones(1000).pin_memory()
    assert other.data_ptr() != address
    assert tg.ones(900).pin_memory().data_ptr() == address
    assert driver.allocated(-1) == 8192


@pytest.mark.nodriver
def test_gradients_pass_a_non_blocking_copy(driver):
    x = tg.ones(3).pin_memory().requires_grad_()
    y = x.to("cuda", non_blocking=True)
    y.backward(tg.ones(3, device="cuda"))
    assert x.grad.device.type == "cpu" and x.grad.shape == (3,)


def test_pinning_without_a_gpu():
    if tg.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match="cuda: "):
        tg.ones(3).pin_memory()
    assert not tg.ones(3).is_pinned()
    assert owner(np.ones(3)) is None


# ---- several devices -------------------------------------------------------------------------------------------------


@pytest.mark.nodriver
def test_from_one_gpu_to_another(driver):
    data = np.arange(60, dtype=np.float32).reshape(3, 20)
    x = tg.tensor(data, device="cuda:0")
    waits = driver.calls("cuStreamWaitEvent")
    y = x.to("cuda:1")
    assert y.device == tg.device("cuda:1") and y.is_cuda and y.get_device() == 1
    assert driver.calls("cuMemcpyPeerAsync") == 1
    assert driver.calls("cuStreamWaitEvent") == waits + 2  # each device's stream waits for the other's
    assert driver.calls("cuMemcpyDtoHAsync") == 0
    np.testing.assert_array_equal(y.cpu().numpy(), data)
    z = y.cuda(0)
    np.testing.assert_array_equal(z.cpu().numpy(), data)
    assert tg.tensor(np.zeros((0, 2)), device="cuda:0").to("cuda:1").shape == (0, 2)
    w = tg.ones(3, device="cuda:0").requires_grad_()
    (w.to("cuda:1")).backward(tg.ones(3, device="cuda:1"))
    assert w.grad.device == tg.device("cuda:0")
    driver.fail("cuMemcpyPeerAsync", 1)
    with pytest.raises(RuntimeError, match="cuda: cuMemcpyPeerAsync: CUDA_ERROR_INVALID_VALUE"):
        x.to("cuda:1")
    assert tg.cuda.can_device_access_peer(0, 1) and not tg.cuda.can_device_access_peer(1, 1)


@pytest.mark.nodriver
def test_operations_run_where_their_tensors_are(driver):
    x, y = tg.ones(10, device="cuda:0"), tg.ones(10, device="cuda:1")
    x + x
    assert last(driver) == (tg.cuda.default_stream(0).cuda_stream, 0)
    y + y
    assert last(driver) == (tg.cuda.default_stream(1).cuda_stream, 1)
    x + x  # no launch in between with the other device's context
    assert driver.context() == 0
    with pytest.raises(RuntimeError, match="add: expected all tensors on one device, got cuda:0, cuda:1"):
        x + y
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        tg.nn.functional.linear(tg.ones(2, 10, device="cuda:0"), tg.ones(3, 10, device="cuda:1"))
    model = tg.nn.Linear(10, 3).to("cuda:1")
    model(tg.ones(4, 10, device="cuda:1")).sum().backward()
    assert last(driver)[1] == 1
    tg.optim.SGD(model.parameters(), lr=0.1).step()
    assert last(driver)[1] == 1 and model.weight.grad.device == tg.device("cuda:1")


@pytest.mark.nodriver
def test_the_current_device_in_a_with_block(driver):
    with tg.cuda.device(1) as chosen:
        assert chosen.idx == 1 and tg.cuda.current_device() == 1
        assert tg.ones(1, device="cuda").device == tg.device("cuda:1")
        with tg.cuda.device("cuda:0"), tg.cuda.device(None), tg.cuda.device(-1):
            assert tg.cuda.current_device() == 0
        assert tg.cuda.current_device() == 1
    assert tg.cuda.current_device() == 0
    with tg.cuda.device_of(tg.ones(1, device="cuda:1")):
        assert tg.cuda.current_device() == 1
        with tg.cuda.device_of(tg.ones(1)):
            assert tg.cuda.current_device() == 1
    with pytest.raises(RuntimeError, match="there is no device 7"), tg.cuda.device(7):
        pass
    side = tg.cuda.Stream(device=1)
    with tg.cuda.stream(side):
        assert tg.cuda.current_device() == 1
        tg.ones(1, device="cuda") + 1
        assert last(driver) == (side.cuda_stream, 1)
        tg.ones(1, device="cuda:0") + 1
        assert last(driver) == (tg.cuda.default_stream(0).cuda_stream, 0)
    assert tg.cuda.current_device() == 0


@pytest.mark.nodriver(NODRIVER_MEMORY=str(1 << 30))
def test_what_torch_cuda_tells(driver):
    assert not tg.cuda.is_initialized()
    tg.cuda.init()
    assert tg.cuda.is_initialized() and tg.cuda.is_bf16_supported()
    assert tg.cuda.mem_get_info() == (1 << 30, 1 << 30)
    x = tg.ones(1 << 18, device="cuda")
    assert tg.cuda.mem_get_info(0) == ((1 << 30) - MIB, 1 << 30)
    del x
    assert tg.cuda.memory_stats() == {
        "allocated_bytes.all.current": 0,
        "allocated_bytes.all.peak": MIB,
        "reserved_bytes.all.current": MIB,
        "reserved_bytes.all.peak": MIB,
    }
    tg.cuda.manual_seed(3)
    first = tg.rand(4)
    state = tg.cuda.get_rng_state()
    second = tg.rand(4)
    tg.cuda.manual_seed_all(3)
    assert tg.cuda.initial_seed() == 3
    assert tg.rand(4).tolist() == first.tolist()
    tg.cuda.set_rng_state(state)
    assert tg.rand(4).tolist() == second.tolist()
    with pytest.raises(ValueError, match="expected a cuda device, got cpu"):
        tg.cuda.get_rng_state("cpu")


# ---- the loader ------------------------------------------------------------------------------------------------------


@pytest.mark.nodriver
def test_prefetch_copies_on_a_stream_of_its_own(driver):
    from trigrad.utils.data import DataLoader, TensorDataset, prefetch

    data, labels = np.arange(70, dtype=np.float32).reshape(10, 7), np.arange(10)
    loader = DataLoader(TensorDataset(tg.tensor(data), tg.tensor(labels)), batch_size=4, pin_memory=True)
    assert all(t.is_pinned() for batch in loader for t in batch)
    main = tg.cuda.default_stream()
    seen = []
    copies = []
    for x, y in prefetch(loader, "cuda"):
        copies.append(driver.calls("cuMemcpyHtoDAsync"))
        assert tg.cuda.current_stream() == main and x.device == tg.device("cuda:0") == y.device
        seen.append((x.cpu().numpy(), y.cpu().numpy()))
    assert copies == [4, 6, 6]  # the next batch is on its way before this one is handed out
    np.testing.assert_array_equal(np.concatenate([x for x, _ in seen]), data)
    np.testing.assert_array_equal(np.concatenate([y for _, y in seen]), labels)
    assert len(list(prefetch(loader, "cuda:1"))) == 3
    pinned = driver.allocated(-1)
    for _ in range(5):
        list(prefetch(loader, "cuda"))
    assert driver.allocated(-1) == pinned
    assert len(launching.backends[0].others) == 1  # one copy stream per device


assert sys.modules["trigrad"] is tg
