"""Repeated calls do what first calls do: with other values, other addresses, other memory."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import dtypes
from trigrad.framework.array import DeviceArray, from_numpy
from trigrad.framework.device import INTERPRETER, _backends, backend, device
from trigrad.framework.interpreter import Interpreter
from trigrad.framework.language import jit, tl
from trigrad.framework.launch import launch
from trigrad.framework.op import OPS
from trigrad.framework.random import Generator, default_generator
from trigrad.framework.repeat import repeated


class Repeating(Interpreter):
    """The interpreter with a GPU's way of repeating launches: from addresses and numbers alone."""

    def __init__(self):
        super().__init__()
        self.swift = {}
        self.repeats = 0

    def _again(self, function, grid, arguments, constants, values, memory, warps=4, stages=3):
        self.repeats += 1
        rest = iter(values)

        def rebuilt(example):
            if type(example) is tuple:
                return tuple(rebuilt(x) for x in example)
            if example is None:
                return None
            value = next(rest)
            if type(example) is not DeviceArray:
                assert value == example or type(value) is type(example), (value, example)
                return value
            block = next(b for b in memory if b is not None and b.ptr <= value <= b.ptr + b.nbytes)
            return DeviceArray(block, value, example.dtype, example.shape, example.strides, self)

        self.launch(function, grid, rebuilt(arguments), constants, warps, stages)

    def prepared(self, function, grid, arguments, constants, count):
        _, fixed = self.ready(function, grid, arguments, constants, 4, 3)

        def run(values, arrays):
            memory = [x.block for x in arrays if type(x) is DeviceArray]
            out = next((b for b in self.made if b.ptr == values[0]), None)
            self._again(function, grid, arguments, constants, [*values, *fixed[count:]], [out, *memory])

        return run

    def ready(self, function, grid, arguments, constants, warps, stages):
        def flat(values):
            for x in values:
                if type(x) is tuple:
                    yield from flat(x)
                elif x is not None:
                    yield x.ptr if type(x) is DeviceArray else x

        def run(values, blocks):
            self._again(function, grid, arguments, constants, values, blocks, warps, stages)

        return run, list(flat(arguments))

    made: list = []

    def allocate(self, nbytes):
        block = super().allocate(nbytes)
        self.made = [*self.made[-3:], block]
        return block


@pytest.fixture
def repeating():
    before = backend(INTERPRETER)
    _backends[INTERPRETER] = made = Repeating()
    yield made
    _backends[INTERPRETER] = before


ROWS = [op for op in OPS.values() if op.samples is not None and op.name not in ("to_device",)]


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_rows_again_with_other_values(op, repeating, rng):
    """The second call of each row's Triton half, on other values of the same kind, agrees with the NumPy half."""
    random = op.kernel.numpy.__module__.endswith((".random", ".dropout"))
    tested = 0
    for sample in op.samples(rng):
        if (
            not any(isinstance(x, np.ndarray) for x in sample.inputs)
            or sample.raises is not None
            or "float32" not in sample.dtypes
            or random
            or op.writes
        ):
            continue
        tested += 1
        if tested > 2:
            break
        first = [_single(x) for x in sample.inputs]
        second = [_scaled(x) for x in first]
        with np.errstate(all="ignore"):
            op.kernel.triton(*(_placed(x, repeating) for x in first), **sample.settings)
            found = op.kernel.triton(*(_placed(x, repeating) for x in second), **sample.settings)
            wanted = op.kernel.numpy(*second, **sample.settings)
        for ours, theirs in zip(_listed(found), _listed(wanted), strict=True):
            ours = ours.numpy() if isinstance(ours, DeviceArray) else np.asarray(ours)
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def _single(x):
    if isinstance(x, tuple):
        return tuple(map(_single, x))
    return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x


def _scaled(x):
    if isinstance(x, tuple):
        return tuple(map(_scaled, x))
    return np.asarray(x * np.float32(0.75)) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x


def _placed(x, where):
    if isinstance(x, tuple):
        return tuple(_placed(y, where) for y in x)
    return from_numpy(x, where) if isinstance(x, np.ndarray) else x


def _listed(x):
    return list(x) if isinstance(x, tuple) else [x]


def test_a_network_again(repeating):
    """Two steps of training are those of the plain interpreter, bit for bit, and most launches are repeats."""

    def train():
        tg.manual_seed(0)
        net = tg.nn.Sequential(
            tg.nn.Conv2d(3, 4, 3, 2, 1),
            tg.nn.BatchNorm2d(4),
            tg.nn.ReLU(),
            tg.nn.ConvTranspose2d(4, 2, 4, 2, 1),
            tg.nn.Flatten(),
            tg.nn.Linear(128, 5),
        ).to("interpreter")
        optimizer = tg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(3):
            x = tg.randn(2, 3, 8, 8, device="interpreter")
            loss = (net(x) ** 2).mean() + net(x).abs().sum() * 0.01
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, [p.cpu().detach().numpy() for p in net.parameters()]

    losses, parameters = train()
    assert repeating.repeats > 60
    _backends[INTERPRETER] = Interpreter()
    again, wanted = train()
    assert losses == again
    for ours, theirs in zip(parameters, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ---- what is noted, and what is not ----------------------------------------------------------------------------------


@jit
def add_two(out, x, y, n, factor, BLOCK: tl.constexpr):
    # out, x, y (n,); one program
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + factor * tl.load(y + i, mask=i < n), mask=i < n)


calls = []


@repeated
def summed(x, y, *, factor=1.0, generator=None):
    calls.append(factor)
    if generator == "draw":
        default_generator.reserve(1)
    if generator == "read":
        x.numpy()
    from trigrad.framework.array import empty_like

    middle, out = empty_like(x), empty_like(x)
    launch(add_two, (1,), middle, x, y, x.size, np.float32(factor), BLOCK=64)
    launch(add_two, (1,), out, middle, y, x.size, np.float32(factor), BLOCK=64)
    return out, x


def on(where, *values):
    return [from_numpy(np.asarray(v, np.float32), where) for v in values]


def test_what_makes_another_call(repeating):
    calls.clear()
    x, y = on(repeating, [1, 2, 3], [10, 20, 30])
    for _ in range(3):
        out, same = summed(x, y, factor=2.0)
        np.testing.assert_array_equal(out.numpy(), [41, 82, 123])
        assert same is x
    assert len(calls) == 1
    np.testing.assert_array_equal(summed(y, x, factor=2.0)[0].numpy(), [14, 28, 42])
    assert len(calls) == 1
    summed(x, y, factor=3.0)
    assert len(calls) == 2  # another setting
    for other in ([1, 2], [[1, 2, 3]]):
        summed(*on(repeating, other, other))
    assert len(calls) == 4  # another shape
    np.testing.assert_array_equal(summed(x, x, factor=2.0)[0].numpy(), [5, 10, 15])
    assert len(calls) == 5  # arrays that share memory
    np.testing.assert_array_equal(summed(y, y, factor=2.0)[0].numpy(), [50, 100, 150])
    assert len(calls) == 5
    both = on(repeating, [1, 2, 3, 4, 5, 6, 7, 8])[0]
    views = [both.viewed(lambda a, i=i: a[i : i + 3, ...]) for i in range(6)]
    np.testing.assert_array_equal(summed(views[0], views[4])[0].numpy(), [11, 14, 17])
    np.testing.assert_array_equal(summed(views[0], views[4])[0].numpy(), [11, 14, 17])
    np.testing.assert_array_equal(summed(views[4], views[0])[0].numpy(), [7, 10, 13])  # they lie the other way round
    np.testing.assert_array_equal(summed(views[0], views[2])[0].numpy(), [7, 10, 13])


def test_what_is_never_repeated(repeating):
    x, y = on(repeating, [1, 2, 3], [10, 20, 30])
    for asked in ("draw", "read"):
        calls.clear()
        for _ in range(3):
            summed(x, y, generator=asked)
        assert len(calls) == 3
    calls.clear()
    for _ in range(2):
        summed(x, y, generator=Generator())  # a setting of unknown type
        summed(*(from_numpy(np.ones(3, np.float32), Interpreter()) for _ in range(2)))  # a device without repeats
    assert len(calls) == 4


def test_other_precision_is_another_call(repeating):
    calls.clear()
    x, y = on(repeating, [1, 2, 3], [10, 20, 30])
    summed(x, y)
    tg.set_float32_matmul_precision("high")
    try:
        summed(x, y)
        summed(x, y)
    finally:
        tg.set_float32_matmul_precision("highest")
    summed(x, y)
    assert len(calls) == 2


# ---- on the GPU's back end -------------------------------------------------------------------------------------------


def recorded(driver, function):
    begin = driver.launches()
    out = function()
    return out, [driver.launch(i) for i in range(begin, driver.launches())]


@pytest.mark.nodriver
def test_the_driver_sees_the_same_launches(driver):
    """First and repeated calls differ in addresses of results and temporaries only."""
    nn = tg.nn
    tg.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128, 10)
    )
    net.to("cuda")
    x = tg.randn(4, 3, 8, 8, device="cuda").requires_grad_()

    def step():
        for p in [x, *net.parameters()]:
            p.grad = None
        loss = (net(x) ** 2).mean() + (x.T @ x.T.mT).sum()
        loss.backward()
        return loss

    _, first = recorded(driver, step)
    _, second = recorded(driver, step)
    _, third = recorded(driver, step)
    assert len(first) > 20
    for other in (second, third):
        assert [(a.name, a.grid, a.block, a.shared, a.stream) for a in first] == [
            (a.name, a.grid, a.block, a.shared, a.stream) for a in other
        ]
        for a, b in zip(first, other, strict=True):
            assert len(a.parameters) == len(b.parameters)
            for one, two in zip(a.parameters, b.parameters, strict=True):
                assert one == two or (len(one) == 8 and int.from_bytes(one, "little") > 1 << 32), a.name


@pytest.mark.nodriver
def test_repeats_go_to_the_chosen_stream(driver):
    x, w = tg.ones(16, 16, device="cuda"), tg.ones(16, 16, device="cuda")
    for _ in range(3):
        x @ w
        x + w
    side = tg.cuda.Stream()
    gpu = backend(device("cuda"))
    with tg.cuda.stream(side):
        for function in (lambda w=w: x @ w, lambda w=w: x + w, lambda w=w: x.add_(w)):
            _, seen = recorded(driver, function)
            assert [launch.stream for launch in seen] == [side.cuda_stream] * len(seen) != []
    address = w.data_ptr()
    del w, function
    driver.fail("cuEventQuery", 600)
    assert tg.ones(16, 16, device="cuda").data_ptr() != address  # the side stream's use of it was noted
    assert gpu.swift


@pytest.mark.nodriver
def test_a_repeat_allocates_what_it_needs_and_no_more(driver):
    x, w = tg.ones(64, 64, device="cuda"), tg.ones(64, 64, device="cuda")
    conv = tg.nn.Conv2d(3, 4, 3).to("cuda")
    image = tg.ones(1, 3, 9, 9, device="cuda")
    for function in (lambda: x @ w, lambda: conv(image).detach(), lambda: x.mean()):
        function()
        before = tg.cuda.memory_allocated()
        out = function()
        assert tg.cuda.memory_allocated() == before + 512 * -(-out.nbytes // 512)
        del out
        assert tg.cuda.memory_allocated() == before


assert dtypes.ALL
