# ruff: noqa: B023 - steps see what the loop around them has made
"""Captured steps: what they compute, what they hold, what they refuse, and which launches the driver gets.

Kernels do not run on the no-op driver.  So what captured steps compute is seen on a device of our own, whose graphs are
lists of launches that the interpreter does again at the same addresses; and that a GPU is given the same launches as
without capture is seen on the no-op driver.
"""

import ctypes
import gc
import weakref
from collections import namedtuple

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn, optim
from trigrad.autograd.tensor import wrap
from trigrad.framework import capture as graphs
from trigrad.framework.allocator import Allocator, OutOfMemoryError
from trigrad.framework.array import DeviceArray
from trigrad.framework.capture import Recording
from trigrad.framework.random import Generator
from trigrad.framework.record import Recorder

# ---- a device whose graphs run in the interpreter ---------------------------------------------------------------


class Memory:
    """Host memory that begins at a 512-byte boundary, with bytes in it that nobody takes for data."""

    def __init__(self, source, nbytes):
        source.held += nbytes
        self.source, self.nbytes = source, nbytes
        self.bytes = np.full(nbytes + 512, 0xCD, np.uint8)
        address = self.bytes.__array_interface__["data"][0]
        self.handle = address + -address % 512

    def __del__(self):
        self.source.held -= self.nbytes


class Source:
    """Where a Replaying device's memory comes from; ``limit`` is its size."""

    def __init__(self):
        self.held, self.limit = 0, 1 << 30

    def obtain(self, nbytes, stream=None):
        if self.held + nbytes > self.limit:
            raise MemoryError("full")
        return Memory(self, nbytes)

    def fence(self):
        raise AssertionError("one stream needs no fences")

    def trim(self):
        """Nothing to give back."""


class Replaying(Recorder):
    """A recorder that runs its launches, and does a graph's again when the graph is played."""

    programs = 4

    def __init__(self):
        super().__init__("sm_90", execute=True)
        self.source = Source()
        self.allocator = Allocator(str(self.device), self.source)
        self.log = []  # what was launched, outside of graphs and by them
        self.copies = 0

    def allocate(self, nbytes):
        return self.allocator.allocate(nbytes)

    def launch(self, function, grid, arguments, constants, num_warps, num_stages):
        self.log.append(function)
        self._host.launch(function, grid, arguments, constants, num_warps, num_stages)

    def recording(self, pool=None):
        return Noted(self, self.allocator.private_pool("graph") if pool is None else pool)

    def copy_device(self, to, source, nbytes):
        self.copies += 1
        ctypes.memmove(to, source, nbytes)

    def mark(self, before=None):
        return None

    def copy_out_behind(self, mark, array, ptr):
        self.copy_out(array, ptr)


class Noted(Recording):
    """Launches as data: addresses without what keeps the memory, as in a graph of the driver's."""

    def start(self):
        self.calls = []

    def note(self, function, grid, arguments, constants, num_warps, num_stages):
        self.calls.append((function, grid, bare(arguments), dict(constants), num_warps, num_stages))

    def own(self, nbytes):
        return self.backend.allocator.allocate_for(self.pool, nbytes)

    def finish(self):
        calls, backend = self.calls, self.backend

        def play():
            for call in calls:
                backend.launch(*call)

        return play

    def drop(self):
        self.calls = []


def bare(value):
    """Arguments in which arrays are addresses."""
    if isinstance(value, tuple):
        return tuple(map(bare, value))
    if isinstance(value, DeviceArray):
        return DeviceArray(None, value.ptr, value.dtype, value.shape, value.strides, None)
    return value


@pytest.fixture
def toy():
    with Replaying() as device:
        yield device


# ---- steps ------------------------------------------------------------------------------------------------------


def gan(device, width=4):
    """Two nets, both losses, two optimizers, noise and dropout: (modules, optimizers, step)."""
    tg.manual_seed(0)
    G = nn.Sequential(
        nn.Linear(8, width * 16),
        nn.Unflatten(1, (width, 4, 4)),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1),
        nn.Tanh(),
    ).to(device)
    D = nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(width * 16, 1)
    ).to(device)
    of_g = optim.Adam(G.parameters(), lr=5e-4, betas=(0.5, 0.999))
    of_d = optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def step(real):
        fake = G(tg.randn(len(real), 8, device=device))
        of_d.zero_grad()
        d_loss = 0.5 * ((D(real) - 1) ** 2).mean() + 0.5 * (D(fake.detach()) ** 2).mean()
        d_loss.backward()
        of_d.step()
        D.requires_grad_(False)
        of_g.zero_grad()
        g_loss = 0.5 * ((D(fake) - 1) ** 2).mean()
        g_loss.backward()
        of_g.step()
        D.requires_grad_(True)
        return {"D": d_loss.detach(), "G": g_loss.detach()}

    return (G, D), (of_d, of_g), step


def linear(device, optimizer=optim.SGD, **options):
    """A linear layer under an optimizer: (layer, optimizer, step)."""
    tg.manual_seed(1)
    layer = nn.Linear(3, 2).to(device)
    moves = optimizer(layer.parameters(), **{"lr": 0.1, **options})

    def step(x):
        moves.zero_grad()
        loss = (layer(x) ** 2).mean()
        loss.backward()
        moves.step()
        return loss

    return layer, moves, step


def state(modules, optimizers=()):
    """Everything that training changes, as NumPy arrays."""
    found = {}
    for i, module in enumerate(modules):
        found |= {f"{i}.{name}": t.cpu().numpy().copy() for name, t in module.state_dict().items()}
        found |= {
            f"{i}.{n}.grad": p.grad.cpu().numpy().copy() for n, p in module.named_parameters() if p.grad is not None
        }
    for i, optimizer in enumerate(optimizers):
        for number, kept in optimizer.state_dict()["state"].items():
            for key, value in kept.items():
                host = value.cpu().numpy().copy() if isinstance(value, tg.Tensor) else np.array(value)
                found[f"{i}.{number}.{key}"] = host
    return found


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def inputs(n, shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(n)]


# ---- the same results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "interpreter", "replaying"])
def test_a_gan_captured_is_a_gan_not_captured(device):
    """Bit for bit: losses, parameters, gradients, moments, counts, running statistics, and what is drawn afterwards."""
    runs = []
    for captured in (False, True):
        with Replaying() as toy:
            where = toy.device if device == "replaying" else device
            modules, optimizers, step = gan(where)
            call = tg.capture(step) if captured else step
            seen = []
            for i, x in enumerate(inputs(5, (4, 1, 8, 8))):
                out = call(tg.tensor(x, device=where))
                seen.append({k: v.cpu().numpy().copy() for k, v in out.items()} | state(modules, optimizers))
                if i == 2:  # in the midst of replays
                    optimizers[0].param_groups[0]["lr"] = 0.01
                    optimizers[1].param_groups[0]["betas"] = (0.6, 0.99)
            seen.append({"next": tg.rand(5).numpy()})
            runs.append(seen)
    for one, other in zip(*runs, strict=True):
        same(one, other)


@pytest.mark.parametrize(
    ("optimizer", "options", "change"),
    [
        (optim.SGD, {}, {"lr": 0.3}),
        (optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}, {"lr": 0.3, "momentum": 0.5, "weight_decay": 0.2}),
        (optim.SGD, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.7}),
        (optim.SGD, {"momentum": 0.9, "dampening": 0.5, "maximize": True}, {"dampening": 0.25}),
        (optim.Adam, {}, {"lr": 0.3, "eps": 1e-3}),
        (optim.Adam, {"amsgrad": True, "weight_decay": 0.1}, {"betas": (0.8, 0.9)}),
        (optim.AdamW, {}, {"weight_decay": 0.2}),
        (optim.RMSprop, {"momentum": 0.5, "centered": True}, {"lr": 0.05, "alpha": 0.9}),
        (optim.Adagrad, {"lr_decay": 0.1}, {"lr": 0.3}),
        (optim.Adadelta, {}, {"rho": 0.8}),
        (optim.Adamax, {}, {"lr": 0.3}),
        (optim.NAdam, {}, {"lr": 0.3}),
        (optim.RAdam, {"betas": (0.5, 0.9)}, {"weight_decay": 0.1}),
        (optim.ASGD, {"t0": 2.0}, {"lr": 0.05}),
        (optim.Rprop, {}, {"etas": (0.25, 1.5)}),
        # what the graph holds fast: captured anew
        (optim.SGD, {"momentum": 0.9}, {"nesterov": True}),
        (optim.SGD, {}, {"momentum": 0.9}),
        (optim.SGD, {"momentum": 0.9}, {"momentum": 0.0}),
        (optim.Adam, {}, {"amsgrad": True}),
        (optim.Adam, {}, {"maximize": True}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_optimizers_go_on_as_they_would(optimizer, options, change, dtype):
    runs = []
    for captured in (False, True):
        with Replaying() as toy:
            layer, moves, step = linear(toy.device, optimizer, **options)
            layer.to(getattr(tg, dtype))
            call = tg.capture(step) if captured else step
            seen = []
            for i, x in enumerate(inputs(7, (4, 3))):
                call(tg.tensor(x.astype(dtype), device=toy.device))
                seen.append(state([layer], [moves]))
                if i == 3:
                    moves.param_groups[0].update(change)
            runs.append(seen)
    for one, other in zip(*runs, strict=True):
        same(one, other)


def test_each_call_is_one_step(toy):
    layer, moves, step = linear(toy.device, optim.Adam)
    call = tg.capture(step)
    x = tg.tensor(inputs(1, (4, 3))[0], device=toy.device)
    for i in range(1, 5):
        call(x)
        assert {s["step"] for s in moves.state.values()} == {i}


def test_launches_of_a_replay(toy):
    """The graph's own, one that writes all numbers, and one for the small results; and nothing is allocated but those."""
    modules, optimizers, step = gan(toy.device)
    x = tg.tensor(inputs(1, (4, 1, 8, 8))[0], device=toy.device)
    step(x)
    before = len(toy.log)
    step(x)
    eager = toy.log[before:]
    call = tg.capture(step)
    for _ in range(3):
        call(x)
    held, before = toy.source.held, len(toy.log)
    call(x)
    assert [f.__name__ for f in toy.log[before:]] == ["_write", *[f.__name__ for f in eager], "_collect"]
    assert toy.source.held == held


# ---- arguments and results --------------------------------------------------------------------------------------


def test_results_are_the_callers_own(toy):
    Pair = namedtuple("Pair", "first second")
    big = tg.ones(300, 3, device=toy.device)

    def step(x):
        y = x * 2
        return Pair(y.sum(), [y, {"big": big + x.sum(), "none": None, "text": "a", "strided": y.t()}, (x, 5)])

    call = tg.capture(step)
    kept = []
    for value in (1.0, 2.0, 3.0, 4.0):
        x = tg.full((2, 3), value, device=toy.device)
        out = call(x)
        assert type(out) is Pair and type(out.second) is list and out.second[2][1] == 5
        kept.append((value, out))
    for value, out in kept:  # none was overwritten
        first, (y, rest, (x, _)) = out
        assert first.item() == 12 * value
        np.testing.assert_array_equal(y.cpu().numpy(), np.full((2, 3), 2 * value, np.float32))
        np.testing.assert_array_equal(x.cpu().numpy(), np.full((2, 3), value, np.float32))
        np.testing.assert_array_equal(rest["big"].cpu().numpy(), np.full((300, 3), 1 + 6 * value, np.float32))
        assert rest["none"] is None and rest["text"] == "a"
        assert rest["strided"].shape == (3, 2)
        np.testing.assert_array_equal(rest["strided"].cpu().numpy(), np.full((3, 2), 2 * value, np.float32))
        assert not y.requires_grad and y.is_leaf
    pointers = {out.second[0].data_ptr() for _, out in kept}
    assert len(pointers) == len(kept)


def test_results_have_no_history(toy):
    layer, moves, step = linear(toy.device)
    call = tg.capture(step)
    for _ in range(3):
        loss = call(tg.ones(4, 3, device=toy.device))
        assert loss.grad_fn is None and not loss.requires_grad


def test_arguments_of_all_kinds(toy):
    def step(x, factors, *, scale=1.0, how=None):
        y = x.to(toy.device) * factors["a"][0].to(toy.device) * scale
        return y + 1 if how == "more" else y

    rng = np.random.default_rng(0)
    call = tg.capture(step)
    for i in range(4):
        x = rng.normal(size=(5, 4)).astype(np.float32)
        a = rng.normal(size=(4,)).astype(np.float32)
        want = x * a * 2
        forms = {
            "tensors": (tg.tensor(x, device=toy.device), tg.tensor(a, device=toy.device)),
            "on the CPU": (tg.tensor(x), tg.tensor(a)),
            "arrays": (x, a),
            "transposed": (tg.tensor(x.T.copy(), device=toy.device).t(), tg.tensor(a, device=toy.device)),
            "with gaps": (tg.tensor(np.repeat(x, 2, 1), device=toy.device)[:, ::2], tg.tensor(a, device=toy.device)),
            "expanded": (tg.tensor(x, device=toy.device), tg.tensor(a[:1], device=toy.device).expand(4)),
        }
        for name, (given, other) in forms.items():
            right = x * a[0] * 2 if name == "expanded" else want
            got = call(given, {"a": (other,)}, scale=2.0).cpu().numpy()
            np.testing.assert_array_equal(got, right, err_msg=f"{name} {i}")
            got = call(given, {"a": (other,)}, scale=2.0, how="more").cpu().numpy()
            np.testing.assert_array_equal(got, right + 1, err_msg=f"{name} {i}")
    assert len(call._cases) == 2 * len(forms)
    assert all(len(case.runs) == 1 for case in call._cases.values())


def test_values_that_differ_are_other_steps(toy):
    call = tg.capture(lambda x, k: x * k)
    x = tg.ones(2, device=toy.device)
    for k in (1, 1.0, True, 0.0, -0.0, float("nan"), float("nan"), 2):
        for _ in range(3):
            np.testing.assert_array_equal(call(x, k).cpu().numpy(), np.full(2, k, np.float32))
    assert len(call._cases) == 7


def test_a_ragged_last_batch(toy):
    runs = []
    for captured in (False, True):
        layer, moves, step = linear(toy.device, optim.Adam)
        call = tg.capture(step) if captured else step
        for _ in range(3):
            for x in (*inputs(3, (4, 3)), *inputs(1, (2, 3))):
                call(tg.tensor(x, device=toy.device))
        runs.append(state([layer], [moves]))
    same(*runs)


def test_moved_first(toy):
    call = tg.capture(lambda x: x + 1, device=toy.device)
    for i in range(4):
        assert call(np.array([1.0, float(i)])).tolist() == [2.0, 1.0 + i]
        assert call(tg.tensor([5.0])).device is toy.device


def test_reading_later(toy):
    call = tg.capture(lambda x: {"twice": x * 2, "strided": x.expand(2, 3).t()}, history=3)
    assert call.read() is None
    for i in range(6):
        out = call(tg.full((3,), float(i), device=toy.device))
        assert call.read(0)["twice"].tolist() == [2.0 * i] * 3
        if i:
            assert call.read()["twice"].tolist() == [2.0 * (i - 1)] * 3
            assert call.read()["strided"].shape == (3, 2) and (call.read()["strided"] == i - 1).all()
    assert call.read(2)["twice"].tolist() == [6.0] * 3
    with pytest.raises(ValueError, match=r"read: expected a lag from 0 to 2 \(see history\), got 3"):
        call.read(3)
    out["twice"].add_(1)


def test_reading_later_on_the_cpu():
    call = tg.capture(lambda x: (x, x + 1))
    x = tg.zeros(2)
    first, second = call(x)
    first.add_(7)  # a copy: neither the argument nor what read gives
    call(x)
    assert x.tolist() == [0.0, 0.0]
    assert [a.tolist() for a in call.read(0)] == [[0.0, 0.0], [1.0, 1.0]]


def test_decorator_and_name():
    @tg.capture
    def twice(x):
        """Doubles."""
        return 2 * x

    @tg.capture(history=1)
    def thrice(x):
        return 3 * x

    assert twice.__name__ == "twice" and twice.__doc__ == "Doubles."
    assert thrice(tg.ones(2)).tolist() == [3.0, 3.0]


# ---- gradients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clearing", ["inside", "outside", "inside, to zero", "outside, to zero", "now and then", "never"]
)
def test_gradients_are_left_as_the_step_leaves_them(clearing, toy):
    runs = []
    for captured in (False, True):
        layer, moves, _ = linear(toy.device)

        def step(x):
            if clearing.startswith("inside"):
                moves.zero_grad(set_to_none="zero" not in clearing)
            (layer(x) ** 2).mean().backward()

        call = tg.capture(step) if captured else step
        seen = []
        for i, x in enumerate(inputs(12, (4, 3))):
            if clearing.startswith("outside") or (clearing == "now and then" and i % 4 == 3):
                moves.zero_grad(set_to_none="zero" not in clearing)
            call(tg.tensor(x, device=toy.device))
            seen.append(state([layer]))
        runs.append(seen)
        if captured:
            (case,) = call._cases.values()
            assert case.made <= 4, clearing
    for one, other in zip(*runs, strict=True):
        same(one, other)


def test_the_step_outside_of_the_capture(toy):
    runs = []
    for captured in (False, True):
        layer, moves, _ = linear(toy.device, optim.Adam)

        def back(x):
            (layer(x) ** 2).mean().backward()

        call = tg.capture(back) if captured else back
        for x in inputs(6, (4, 3)):
            call(tg.tensor(x, device=toy.device))
            moves.step()
            moves.zero_grad()
        runs.append(state([layer], [moves]))
    same(*runs)


def test_only_the_optimizer_captured(toy):
    runs = []
    for captured in (False, True):
        layer, moves, _ = linear(toy.device, optim.Adam)
        call = tg.capture(moves.step) if captured else moves.step
        for x in inputs(6, (4, 3)):
            moves.zero_grad(set_to_none=False)
            (layer(tg.tensor(x, device=toy.device)) ** 2).mean().backward()
            call()
        runs.append(state([layer], [moves]))
        if captured:
            (case,) = call._cases.values()
            assert case.made == 1
    same(*runs)


def test_parameters_that_move_are_captured_anew(toy):
    runs = []
    for captured in (False, True):
        layer, moves, step = linear(toy.device, optim.Adam)
        call = tg.capture(step) if captured else step
        for i, x in enumerate(inputs(9, (4, 3))):
            call(tg.tensor(x, device=toy.device))
            if i == 3:  # other memory, other values
                layer.weight.data = tg.ones(2, 3, device=toy.device)
            if i == 5:
                moves.load_state_dict(moves.state_dict())
            if i == 7:
                layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()})  # in place
        runs.append(state([layer], [moves]))
        if captured:
            (case,) = call._cases.values()
            assert case.made == 3
    same(*runs)


def test_what_changes_all_the_time_is_said(toy):
    layer, moves, step = linear(toy.device)
    call = tg.capture(step)
    x = tg.ones(4, 3, device=toy.device)
    with pytest.raises(RuntimeError, match="capture: 64 graphs were made for the same arguments"):
        for _ in range(70):
            layer.weight.data = tg.ones(2, 3, device=toy.device)
            call(x)


def test_changes_are_counted(toy):
    """A graph kept from before a replay knows that a parameter is not what it was."""
    layer, moves, step = linear(toy.device)
    call = tg.capture(step)
    x = tg.ones(4, 3, device=toy.device)
    for _ in range(3):
        loss = layer(x * 1.0).exp()
        loss = (loss @ layer.weight).sum()
        call(x)
        with pytest.raises(RuntimeError, match="was changed in place"):
            loss.backward()


# ---- numbers ----------------------------------------------------------------------------------------------------


def test_generators_of_all_kinds(toy):
    runs = []
    for captured in (False, True):
        own = Generator().manual_seed(5)
        tg.manual_seed(3)

        def step():
            a = tg.randn(3, device=toy.device)
            b = tg.rand(3, device=toy.device, generator=own)
            return a, b, tg.dropout(tg.ones(8, device=toy.device), 0.5), tg.randn(2, device=toy.device, generator=own)

        call = tg.capture(step, device=toy.device) if captured else step
        seen = []
        for i in range(6):
            seen.append([t.cpu().numpy() for t in call()])
            if i == 3:
                tg.manual_seed(11)  # captured anew
            seen.append([tg.rand(1).numpy(), tg.rand(1, generator=own).numpy()])
        runs.append(seen)
    for one, other in zip(*runs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_numbers_of_ones_own(toy):
    count = [0]

    def advance():
        count[0] += 1
        return float(count[0]), 0.5

    def step(x):
        told = graphs.numbers(advance)
        if isinstance(told, tuple):
            return x * told[0] + told[1]
        told = wrap(told).to(tg.float32)
        return x * told[0] + told[1]

    call = tg.capture(step)
    x = tg.ones(2, device=toy.device)
    for i in range(1, 6):
        assert call(x).tolist() == [i + 0.5] * 2
    with pytest.raises(TypeError, match="numbers: expected a tuple of Python numbers"):
        bad = tg.capture(lambda x: (x * 1, graphs.numbers(lambda: (np.ones(2),)))[0])
        for _ in range(2):
            bad(x)


def test_more_numbers_than_one_launch_writes(toy):
    def step(x):
        total = x * 0
        for i in range(40):
            told = graphs.numbers(lambda i=i: (float(i), 1.0, 2.0))
            if not isinstance(told, tuple):
                told = wrap(told).to(tg.float32)
            total = total + told[0] + told[2]
        return total

    call = tg.capture(step)
    for _ in range(3):
        assert call(tg.zeros(1, device=toy.device)).item() == 780 + 80


def test_state_made_in_the_step_postpones_the_capture(toy):
    """A parameter that gets its first gradient in the second call: its moments must not be made by the graph."""
    runs = []
    for captured in (False, True):
        tg.manual_seed(0)
        layers = [nn.Linear(3, 3).to(toy.device) for _ in range(2)]
        moves = optim.Adam([p for m in layers for p in m.parameters()], lr=0.1)
        both = [False]

        def step(x):
            moves.zero_grad()
            y = layers[0](x)
            ((layers[1](y) if both[0] else y) ** 2).mean().backward()
            moves.step()

        call = tg.capture(step) if captured else step
        for x in inputs(6, (4, 3)):
            call(tg.tensor(x, device=toy.device))
            both[0] = True
        runs.append(state(layers, [moves]))
        if captured:
            (case,) = call._cases.values()
            assert case.made == 2
    same(*runs)


class Counting(optim.Optimizer):
    """An optimizer of a user's, which knows nothing of graphs."""

    def __init__(self, params, lr=0.1, counts=False):
        super().__init__(params, {"lr": lr})
        self.counts = counts

    def update(self, group, params):
        for p in params:
            if self.counts:
                self.state[p]["step"] = self.state[p].get("step", 0) + 1
            p.sub_(p.grad * group["lr"])


def test_a_users_optimizer(toy):
    runs = []
    for captured in (False, True):
        layer, moves, step = linear(toy.device, Counting)
        call = tg.capture(step) if captured else step
        for i, x in enumerate(inputs(6, (4, 3))):
            call(tg.tensor(x, device=toy.device))
            if i == 3:
                moves.param_groups[0]["lr"] = 0.7
        runs.append(state([layer]))
    same(*runs)
    layer, moves, step = linear(toy.device, Counting, counts=True)
    call = tg.capture(step)
    x = tg.ones(4, 3, device=toy.device)
    call(x)
    with pytest.raises(
        RuntimeError, match="Counting changes 'step' of a parameter's state on the host, outside of told"
    ):
        call(x)
    assert {s["step"] for s in moves.state.values()} == {1}


@pytest.mark.parametrize("clip", [False, True])
def test_half_precision_with_a_scaler(clip):
    """Autocast, a GradScaler that skips a step, and clipping: all on the device, so all in the graph."""
    runs = []
    for captured in (False, True):
        with Replaying() as toy:
            tg.manual_seed(0)
            net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).to(toy.device)
            moves = optim.Adam(net.parameters(), lr=0.1)
            scaler = tg.amp.GradScaler("interpreter", init_scale=2.0**10, growth_interval=2)

            def step(x):
                moves.zero_grad()
                with tg.autocast("cuda", dtype=tg.bfloat16):
                    loss = (net(x) ** 2).mean()
                scaler.scale(loss).backward()
                if clip:
                    scaler.unscale_(moves)
                    nn.utils.clip_grad_norm_(net.parameters(), 0.5)
                scaler.step(moves)
                scaler.update()
                return loss

            call = tg.capture(step) if captured else step
            seen = []
            for i, x in enumerate(inputs(7, (4, 3))):
                loss = call(tg.tensor(x * np.float32(1e38 if i == 4 else 1), device=toy.device))
                figures = {"loss": loss.detach().cpu().numpy(), "scale": np.array(scaler.get_scale())}
                seen.append(state([net], [moves]) | figures)
            runs.append(seen)
    assert [float(seen["scale"]) for seen in runs[0]] == [1024, 2048, 2048, 4096, 2048, 2048, 4096]
    for one, other in zip(*runs, strict=True):
        same(one, other)


# ---- what is refused --------------------------------------------------------------------------------------------

HERE = __file__.replace("\\", "/")


def refusals(device):
    """Name of the operation, words of the message, the step's own line."""
    index = tg.tensor([1, 0], device=device)
    mask = tg.tensor([True, False, True], device=device)
    return {
        "item": ("values cannot be read", lambda x: x.sum().item()),
        "bool": ("values cannot be read", lambda x: bool(x.sum() > 2)),
        "float": ("values cannot be read", lambda x: float(x.sum())),
        "tolist": ("values cannot be read", lambda x: x.tolist()),
        "cpu": ("values cannot be read", lambda x: x.cpu()),
        "repr": ("values cannot be read", lambda x: repr(x)),
        "getitem": ("values cannot be read", lambda x: x[mask]),
        "setitem": ("values cannot be read", lambda x: x.clone().__setitem__(index, 1.0)),
        "tensor": ("copies from the host", lambda x: x + tg.tensor([1.0, 2.0, 3.0], device=device)),
    }


@pytest.mark.parametrize("name", list(refusals("cpu")))
def test_what_cannot_be_captured_says_where(name, toy):
    words, wrong = refusals(toy.device)[name]
    layer, moves, step = linear(toy.device, optim.Adam)
    go_wrong = [False]

    def whole(x):
        tg.randn(2, device=toy.device)
        step(x)
        if go_wrong[0]:
            wrong(x[0])
        return x * 2

    call = tg.capture(whole)
    x = tg.ones(4, 3, device=toy.device)
    call(x)
    go_wrong[0] = True
    before = state([layer], [moves]), tg.get_rng_state().tolist(), [p.grad for p in layer.parameters()]
    held = toy.source.held
    with pytest.raises(RuntimeError) as caught:
        call(x)
    text = str(caught.value)
    assert text.startswith(f"capture: {name}, at {__file__}:"), text
    assert words in text
    line = int(text.split(__file__ + ":")[1].split(" ")[0])
    assert wrong.__code__.co_firstlineno == line
    del caught
    # everything is as before the call, and the model goes on
    assert graphs.recording() is None
    same(before[0], state([layer], [moves]))
    assert tg.get_rng_state().tolist() == before[1]
    assert [p.grad for p in layer.parameters()] == before[2]
    assert toy.source.held <= held + 8192
    wrong(x[0])
    go_wrong[0] = False
    for _ in range(3):
        assert call(x).tolist() == [[2.0] * 3] * 4
    assert {s["step"] for s in moves.state.values()} == {4}


def test_a_refusal_that_the_step_hides(toy):
    def step(x):
        try:
            x.sum().item()
        except RuntimeError:
            pass
        return x * 2

    call = tg.capture(step)
    x = tg.ones(2, device=toy.device)
    call(x)
    with pytest.raises(RuntimeError, match="capture: item, at .*values cannot be read"):
        call(x)


def test_waiting_is_refused(toy):
    call = tg.capture(lambda x: (x * 2, toy.synchronize())[0])
    x = tg.ones(2, device=toy.device)
    call(x)
    with pytest.raises(RuntimeError, match="waiting for the device cannot be captured"):
        call(x)


def test_errors_of_the_steps_own_come_through(toy):
    class Mine(RuntimeError):
        pass

    fail = [False]

    def step(x):
        if fail[0]:
            raise Mine("no")
        return x @ x

    call = tg.capture(step)
    x = tg.ones(2, 2, device=toy.device)
    call(x)
    fail[0] = True
    with pytest.raises(Mine, match="^no$"):
        call(x)
    with pytest.raises(ValueError, match="math"):
        tg.capture(lambda: (_ for _ in ()).throw(ValueError("math")))()
    fail[0] = False
    assert call(x).tolist() == [[2.0, 2.0]] * 2
    assert call(x).tolist() == [[2.0, 2.0]] * 2


def test_results_elsewhere_are_refused(toy):
    call = tg.capture(lambda x: (x * 2, tg.ones(3)))
    x = tg.ones(2, device=toy.device)
    call(x)
    with pytest.raises(RuntimeError, match=r"a result of shape \(3,\) is on cpu"):
        call(x)


def test_arguments_that_are_refused():
    call = tg.capture(lambda x: x)
    with pytest.raises(RuntimeError, match="capture: an argument requires a gradient, which would be lost"):
        call(tg.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="capture: an argument is a set; expected tensors, numbers"):
        call({1, 2})
    with pytest.raises(TypeError, match="capture: a result is a set"):
        tg.capture(lambda x: {1, 2})(tg.ones(2))
    with pytest.raises(TypeError, match="capture: expected a function, got int"):
        tg.capture(5)
    with pytest.raises(TypeError, match="capture: expected a captured step as pool, got str"):
        tg.capture(lambda: None, pool="mine")
    with pytest.raises(ValueError, match="capture: expected a history of 1 or more, got 0"):
        tg.capture(lambda: None, history=0)


def test_out_of_memory_while_capturing(toy):
    def step(x):
        return (x.expand(256, 1024).clone() * 2).sum()

    call = tg.capture(step)
    x = tg.ones(1024, device=toy.device)
    call(x)
    toy.allocator.release()
    toy.source.limit = toy.source.held + (1 << 20)
    with pytest.raises(OutOfMemoryError, match="capture: .*has no 1.00 MiB left"):
        call(x)
    toy.source.limit = 1 << 30
    gc.collect()
    for _ in range(3):
        assert call(x).item() == 2 * 256 * 1024


# ---- memory -----------------------------------------------------------------------------------------------------


def test_dropping_a_captured_step_gives_its_memory_back(toy):
    gc.collect()
    gc.disable()
    try:
        modules, optimizers, step = gan(toy.device)
        x = tg.tensor(inputs(1, (4, 1, 8, 8))[0], device=toy.device)
        call = tg.capture(step)
        for _ in range(3):
            call(x)
        for optimizer in optimizers:
            optimizer.zero_grad()
        assert any(pool.name == "graph" for pool in toy.allocator.pools)
        alive = weakref.ref(call)
        del call
        assert alive() is None
        assert [pool.name for pool in toy.allocator.pools] == ["shared"]
        toy.allocator.release()
        used = toy.allocator.used
        del modules, optimizers, optimizer, step, x
        assert toy.allocator.used < used
        toy.allocator.release()
    finally:
        gc.enable()


def test_reset(toy):
    layer, moves, step = linear(toy.device, optim.Adam)
    call = tg.capture(step)
    x = tg.ones(4, 3, device=toy.device)
    for _ in range(3):
        call(x)
    call.reset()
    moves.zero_grad()
    assert [pool.name for pool in toy.allocator.pools] == ["shared"]
    assert call.read(0) is None
    for _ in range(3):
        call(x)
    assert {s["step"] for s in moves.state.values()} == {6}


def test_what_the_graph_touches_stays(toy):
    """Tensors that only the step's past knew: the graph keeps their memory."""
    table = {"w": tg.full((64,), 3.0, device=toy.device)}
    call = tg.capture(lambda x: x * table["w"])
    x = tg.ones(64, device=toy.device)
    for _ in range(2):
        call(x)
    del table["w"]
    noise = [tg.full((64,), 9.0, device=toy.device) for _ in range(10)]
    assert call(x).tolist() == [3.0] * 64
    assert len(noise) == 10


def test_memory_of_a_step_is_used_again_within_it(toy):
    def step(x):
        for _ in range(20):
            x = x + 1
        return x

    call = tg.capture(step)
    x = tg.ones(1000, device=toy.device)
    for _ in range(2):
        call(x)
    (pool,) = (pool for pool in toy.allocator.pools if pool.private)
    assert pool.reserved <= 3 * 4096


def test_a_shared_pool(toy):
    runs = []
    for shared in (False, True):
        layer, moves, step = linear(toy.device, optim.Adam)
        first = tg.capture(step)
        second = tg.capture(lambda x: (layer(x) * 2).sum(1), pool=first if shared else None)
        seen = []
        for x in inputs(5, (4, 3)):
            t = tg.tensor(x, device=toy.device)
            seen.append((first(t).item(), second(t).cpu().numpy().tolist(), state([layer])["0.weight.grad"].tolist()))
        runs.append(seen)
        assert sum(pool.private for pool in toy.allocator.pools) == (1 if shared else 2)
        del first, second
    assert runs[0] == runs[1]


def test_a_captured_step_inside_another(toy):
    inner = tg.capture(lambda x: x * 2)
    outer = tg.capture(lambda x: inner(x) + 1)
    x = tg.ones(2, device=toy.device)
    for _ in range(4):
        assert outer(x).tolist() == [3.0, 3.0]
        assert inner(x).tolist() == [2.0, 2.0]


# ---- what the driver gets ---------------------------------------------------------------------------------------


def made_since(driver, before):
    return [driver.launch(i) for i in range(before, driver.launches())]


def described(driver, launch):
    """A launch without where it is: parameters as bytes, addresses of device memory as None."""
    parameters = []
    for data in launch.parameters:
        value = int.from_bytes(data, "little")
        parameters.append(None if len(data) == 8 and value > 4096 and driver.holds(value) else data)
    return (launch.name, launch.grid, launch.block, launch.shared, launch.device), parameters


@pytest.mark.nodriver
def test_the_driver_gets_the_same_launches(driver):
    """The launches of an eager step and of a graph: the same kernels, grids and parameters, but for where memory is.

    What differs is said: kernels that draw random numbers add the slot of their generator to a stream counted from 0, and
    the optimizers' kernels read their numbers from slots; with what the one launch before the graph writes there, both are
    the numbers of the eager step.
    """
    data = inputs(4, (4, 1, 8, 8))
    modules, optimizers, step = gan("cuda")
    eager = []
    for x in data:
        given = tg.tensor(x, device="cuda")
        before = driver.launches()
        step(given)
        eager.append(made_since(driver, before))
    modules, optimizers, step = gan("cuda")
    call = tg.capture(step)
    for i, x in enumerate(data):
        given = tg.tensor(x, device="cuda")
        before = driver.launches()
        call(given)
        if i == 0:
            continue
        launches = made_since(driver, before)
        direct, played = [n for n in launches if not n.graph], [n for n in launches if n.graph]
        assert [n.name for n in direct] == ["_write", "_collect"]
        assert launches.index(direct[0]) == 0 and launches.index(direct[1]) == len(launches) - 1
        slots = [int.from_bytes(data, "little", signed=True) for data in direct[0].parameters[1:-2]]
        floats = np.array(slots, np.int64).view(np.float64)
        drawn, moves = 0, 0
        assert len(played) == len(eager[i])
        for one, other in zip(eager[i], played, strict=True):
            (shown, want), (also, got) = described(driver, one), described(driver, other)
            assert shown == also
            if one.name in ("random_fill", "_dropout"):
                drawn += 1
                (place,) = [k for k in range(len(got)) if got[k : k + 1] == [None] and want[k : k + 1] != [None]][:1]
                del got[place]  # the slot
                assert slots[0] + int.from_bytes(got[place - 1], "little") == int.from_bytes(want[place - 1], "little")
                del got[place - 1], want[place - 1]
            elif one.name == "_group" and len(got) != len(want):  # an optimizer's
                (place,) = [k for k in range(len(got)) if got[k : k + 1] == [None] and want[k : k + 1] != [None]][:1]
                begin = 2 + 8 * moves  # everything begins where 16 bytes do
                numbers = [np.float32(f).tobytes() for f in floats[begin : begin + 7]]
                assert want[place : place + 7] == numbers
                del got[place], want[place : place + 7]
                moves += 1
            assert got == want, one.name
        assert (drawn, moves) == (7, 2)  # noise, and dropout three times there and back
    assert driver.graphs() == 1


@pytest.mark.nodriver
def test_a_graph_stays_where_it_is(driver):
    """Replays are alike to the byte, and what is allocated afterwards lies elsewhere."""
    modules, optimizers, step = gan("cuda")
    call = tg.capture(step)
    x = tg.tensor(inputs(1, (4, 1, 8, 8))[0], device="cuda")
    for _ in range(2):
        call(x)
    before = driver.launches()
    call(x)
    first = [n for n in made_since(driver, before) if n.graph]
    touched = {int.from_bytes(p, "little") for n in first for p in n.parameters if len(p) == 8}
    (pool,) = [p for p in allocator_of("cuda").pools if p.private]
    noise = [tg.empty(n, device="cuda") for n in (1, 1, 100, 1000, 1000, 5000) * 50]
    assert not {t.data_ptr() for t in noise} & set(pool.memory)
    assert touched & set(pool.memory)
    before = driver.launches()
    call(x)
    again = [n for n in made_since(driver, before) if n.graph]
    assert first == again


def allocator_of(name):
    return tg.tensor(0.0, device=name).array.backend.allocator


@pytest.mark.nodriver
def test_host_work_of_a_replay(driver):
    """Two launches, one graph, and a copy of the argument: nothing else is asked of the driver."""
    modules, optimizers, step = gan("cuda")
    call = tg.capture(step)
    x = tg.tensor(inputs(1, (4, 1, 8, 8))[0], device="cuda")
    for _ in range(6):
        call(x)
    names = (
        "cuLaunchKernelEx cuLaunchKernel cuGraphLaunch cuMemcpyDtoDAsync cuEventRecord cuEventCreate cuMemAllocFromPoolAsync "
        "cuMemFreeAsync cuStreamSynchronize cuMemcpyHtoDAsync cuMemcpyDtoHAsync cuCtxSetCurrent cuEventSynchronize"
    ).split()
    before = [driver.calls(name) for name in names]
    for _ in range(10):
        call(x)
    made = {name: driver.calls(name) - n for name, n in zip(names, before, strict=True)}
    launches = made.pop("cuLaunchKernelEx") + made.pop("cuLaunchKernel")
    assert launches == 20
    assert {name: n for name, n in made.items() if n} == {
        "cuGraphLaunch": 10,
        "cuMemcpyDtoDAsync": 10,
        "cuEventRecord": 10,
    }
    assert call.read(1).keys() == {"D", "G"}
    assert driver.calls("cuEventSynchronize") == before[-1] + 2


@pytest.mark.nodriver
def test_faults_while_capturing(driver):
    layer, moves, step = linear("cuda", optim.Adam)
    x = tg.ones(4, 3, device="cuda")
    faults = [
        ("cuStreamBeginCapture", 1, 0, "cuStreamBeginCapture: CUDA_ERROR_INVALID_VALUE"),
        ("cuStreamEndCapture", 901, 0, "cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"),
        ("cuGraphInstantiateWithFlags", 2, 0, "cuGraphInstantiate: CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuMemAllocFromPoolAsync", 719, 2, "capture: .*test_capture.py:.*allocating .*CUDA_ERROR_LAUNCH_FAILED"),
        ("cuLaunchKernelEx", 701, 5, r"capture: .*test_capture.py:.*launching .*CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
        ("cuGraphLaunch", 719, 0, "cuGraphLaunch: CUDA_ERROR_LAUNCH_FAILED"),
    ]
    for name, error, skip, message in faults:
        call = tg.capture(step)
        call(x)
        before = [s["step"] for s in moves.state.values()], [p.grad for p in layer.parameters()]
        driver.fail(name, error, skip)
        if name == "cuLaunchKernelEx":
            driver.fail("cuLaunchKernel", error, skip)
        with pytest.raises(RuntimeError, match=message) as caught:
            call(x)
        caught.value.__traceback__ = None
        caught.value.__cause__ = caught.value.__context__ = None
        del caught
        driver.fail("cuLaunchKernel", 0, -1)
        assert driver.graphs() == 0, name
        assert graphs.recording() is None and allocator_of("cuda").current is allocator_of("cuda").shared
        assert ([s["step"] for s in moves.state.values()], [p.grad for p in layer.parameters()]) == before, name
        step(x)  # the model is as usable as before
    for _ in range(3):
        call(x)
    assert driver.graphs() == 1
    moves.zero_grad()
    del call
    gc.collect()
    assert driver.graphs() == 0
    del layer, moves, step, x, before
    gc.collect()
    tg.cuda.empty_cache()
    held = sum(table.nbytes for table in tg.empty(0, device="cuda").array.backend.__dict__.get("_tables", {}).values())
    assert driver.allocated() <= 512 * len(tg.empty(0, device="cuda").array.backend.__dict__["_tables"]) + held + 4096


@pytest.mark.nodriver
def test_dropping_gives_graph_and_memory_back(driver):
    step = lambda x: ((x @ x) @ x).relu()  # noqa: E731
    call = tg.capture(step)
    x = tg.ones(700, 700, device="cuda")
    step(x)
    tg.cuda.empty_cache()
    before = driver.allocated()
    for _ in range(3):
        call(x)
    assert driver.allocated() > before and driver.graphs() == 1
    call.reset()
    tg.cuda.empty_cache()
    assert driver.graphs() == 0
    assert driver.allocated() == before


@pytest.mark.nodriver
def test_what_a_gpu_refuses(driver):
    x = tg.ones(4, device="cuda")
    side = tg.cuda.Stream()

    def elsewhere(x):
        with tg.cuda.stream(side):
            return x * 2

    steps = {
        "waiting for the device": lambda x: (x * 2, tg.cuda.synchronize())[0],
        "another stream": elsewhere,
        "launches on cuda:1": lambda x: (x * 2, tg.ones(3, device="cuda:1") * 2)[0],
        "copies between the GPU and elsewhere": lambda x: (x * 2, x.to("cpu", non_blocking=True))[0],
        "values cannot be read": lambda x: x * x.sum().item(),
    }
    for words, step in steps.items():
        call = tg.capture(step, device="cuda")
        try:
            call(x)
        except RuntimeError as error:  # two devices are noticed at once
            assert "works on one device, this one on cuda:0, cuda:1" in str(error), error
            continue
        with pytest.raises(RuntimeError, match=f"capture: .*{words}"):
            call(x)
        assert driver.graphs() == 0
        assert tg.cuda.current_stream().cuda_stream == int(x.array.backend.stream.handle)
        (x * 2).cpu()
    call = tg.capture(lambda x: x * 2)
    for _ in range(3):
        call(x)
    with tg.cuda.stream(side), pytest.raises(RuntimeError, match="runs in the compute stream"):
        call(x)
    call(x)


@pytest.mark.nodriver
def test_other_threads_go_on_meanwhile(driver):
    import threading

    own = Generator().manual_seed(1)
    x = tg.ones(1000, device="cuda")
    (x * 3 + 1).cpu()
    seen = {}

    def meanwhile():
        before = driver.launches()
        y = x * 3
        seen["launches"] = made_since(driver, before)
        seen["address"] = y.data_ptr()
        seen["drawn"] = tg.rand(2, generator=own).tolist()
        seen["read"] = (y + 1).cpu().shape
        with tg.cuda.stream(tg.cuda.Stream()):
            x * 3

    def step(x):
        tg.rand(5, device="cuda", generator=own)
        y = x * 2
        if graphs.recording() is not None:
            thread = threading.Thread(target=meanwhile)
            thread.start()
            thread.join()
        return y + 1

    call = tg.capture(step)
    call(x)
    before = driver.launches()
    call(x)
    assert [n.graph for n in seen["launches"]] == [0]
    assert seen["launches"][0].stream == tg.cuda.current_stream().cuda_stream
    assert seen["read"] == (1000,)
    assert len([n for n in made_since(driver, before) if n.graph]) == 3
    (pool,) = [p for p in allocator_of("cuda").pools if p.private]
    assert seen["address"] not in pool.memory
    call(x)


@pytest.mark.nodriver(NODRIVER_MEMORY=str(64 << 20))
def test_a_full_gpu_while_capturing(driver):
    x = tg.ones(1 << 20, device="cuda")  # 4 MiB

    def step(x):
        kept = [x * i for i in range(9)]
        return sum(kept[1:], kept[0])

    call = tg.capture(step)
    call(x)
    more = tg.empty(6 << 20, device="cuda")
    with pytest.raises(tg.cuda.OutOfMemoryError, match=r"capture: mul, at .*: allocate: cuda:0 has no 4.00 MiB left"):
        call(x)
    del more
    gc.collect()
    for _ in range(2):
        call(x)
    assert driver.graphs() == 1


@pytest.mark.nodriver(NODRIVER_POOLS="0")
def test_a_gpu_without_memory_pools(driver):
    layer, moves, step = linear("cuda", optim.Adam)
    call = tg.capture(step)
    x = tg.ones(4, 3, device="cuda")
    for _ in range(3):
        call(x)
    assert driver.graphs() == 1


@pytest.mark.nodriver
def test_a_step_without_arguments(driver):
    """It makes its own noise on the GPU, and leaves what it makes there."""
    held = tg.zeros(8, device="cuda")

    def step():
        held.copy_(tg.randn(8, device="cuda"))

    call = tg.capture(step)
    for _ in range(4):
        assert call() is None
    assert driver.graphs() == 1
    assert tg.default_generator.get_state().view("<u8")[1] >= 4


graph_kept_until_the_end = []


@pytest.mark.nodriver
def test_graphs_alive_at_exit_are_no_trouble(driver):
    call = tg.capture(lambda x: x * 2)
    for _ in range(2):
        call(tg.ones(3, device="cuda"))
    graph_kept_until_the_end.append([call])
    graph_kept_until_the_end[0].append(graph_kept_until_the_end)
