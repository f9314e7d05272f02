"""GradScaler: scale, unscale, step, update; on a device without reading anything back."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn, optim
from trigrad.amp import GradScaler
from trigrad.framework import device as devices

MAKERS = {
    "adam": lambda p: optim.Adam(p, lr=0.1),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1),
}
DATA = [np.random.default_rng(0).normal(size=s).astype(np.float32) for s in [(3, 4), (5,), (2, 3, 2)]]


def gradients(step):
    rng = np.random.default_rng(step)
    return [rng.normal(size=d.shape).astype(np.float32) for d in DATA]


def scaled_run(make, device, bad, steps=8, unscale=False, scaler=None):
    params = [nn.Parameter(tg.tensor(d).to(device)) for d in DATA]
    optimizer = make(params)
    scaler = scaler or GradScaler(device, init_scale=1024.0, growth_interval=3)
    scales = []
    for step in range(steps):
        scale = scaler.scale(tg.tensor(1.0).to(device))
        for p, g in zip(params, gradients(step), strict=True):
            p.grad = tg.tensor(g).to(device) * scale
        if step in bad:
            params[1].grad[4] = float("inf") if step % 2 else float("nan")
        if unscale:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return params, optimizer, scales


def plain_run(make, bad, steps=8):
    params = [nn.Parameter(tg.tensor(d)) for d in DATA]
    optimizer = make(params)
    for step in range(steps):
        if step not in bad:
            for p, g in zip(params, gradients(step), strict=True):
                p.grad = tg.tensor(g)
            optimizer.step()
    return params


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("bad", [(), (0,), (0, 1, 5)], ids=str)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_steps_that_overflow_are_left_out(make, device, bad, unscale):
    params, optimizer, scales = scaled_run(make, device, bad, unscale=unscale)
    for p, q in zip(params, plain_run(make, bad), strict=True):
        np.testing.assert_allclose(p.detach().cpu().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)
    expected, scale, row = [], 1024.0, 0
    for step in range(8):
        row = 0 if step in bad else row + 1
        scale = scale / 2 if step in bad else scale
        if row == 3:
            scale, row = scale * 2, 0
        expected.append(scale)
    assert scales == expected
    if isinstance(optimizer, optim.Adam):
        assert {float(s["step"]) for s in optimizer.state.values()} == {8.0 - len(bad)}


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum"])
def test_a_step_on_a_device_reads_nothing_back(name, monkeypatch):
    place = devices.backend(devices.INTERPRETER)
    params, optimizer, _ = scaled_run(MAKERS[name], "interpreter", (), steps=1)
    scaler = GradScaler("interpreter")
    loss = scaler.scale((params[1] * params[1]).sum())
    monkeypatch.setattr(place, "copy_out", lambda *a: pytest.fail("something was read back"), raising=False)
    optimizer.zero_grad()
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(params, 1.0)
    scaler.step(optimizer)
    scaler.update()


def test_steps_are_counted_on_the_device_where_they_may_be_left_out():
    params, optimizer, _ = scaled_run(MAKERS["adam"], "interpreter", (1,), steps=3)
    count = optimizer.state[params[0]]["step"]
    assert isinstance(count, tg.Tensor) and count.device.type == "interpreter" and count.item() == 2
    params[0].grad = None  # the others go on alone, and without a scaler
    for p in params[1:]:
        p.grad = tg.ones_like(p)
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in params] == [2, 3, 3]
    other = optim.Adam(params, lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert [other.state[p]["step"] for p in params] == [2, 3, 3]  # and here again, until a scaler comes
    for p in params:
        p.grad = tg.ones_like(p)
    before = [p.detach().clone() for p in params]
    optimizer.step()
    after = [p.tolist() for p in params]
    with tg.no_grad():
        for p, b in zip(params, before, strict=True):
            p.copy_(b)
    other.step()
    for p, a in zip(params, after, strict=True):
        np.testing.assert_allclose(p.tolist(), a, rtol=1e-6, atol=1e-7)


def test_an_optimizer_of_ones_own_is_called_or_not():
    class Own(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})
            self.calls = 0

        def update(self, group, params):
            self.calls += 1

    for device in ("cpu", "interpreter"):
        p = nn.Parameter(tg.ones(2, device=device))
        optimizer, scaler = Own([p]), GradScaler(device, init_scale=2.0)
        for value in (1.0, float("inf"), 1.0):
            p.grad = tg.full((2,), value, device=device) * scaler.scale(tg.tensor(1.0, device=device))
            scaler.step(optimizer)
            assert optimizer.found_inf is None
            scaler.update()
        assert optimizer.calls == 2 and scaler.get_scale() == 1.0


def test_two_optimizers_share_a_scale():
    a, b = (nn.Parameter(tg.ones(2, device="interpreter")) for _ in range(2))
    first, second = optim.SGD([a], lr=1.0), optim.SGD([b], lr=1.0)
    scaler = GradScaler("interpreter", init_scale=4.0)
    one = scaler.scale(tg.ones(2, device="interpreter"))
    a.grad, b.grad = one * float("inf"), one
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert a.tolist() == [1.0, 1.0] and b.tolist() == [0.0, 0.0] and scaler.get_scale() == 2.0


def test_what_may_be_called_when():
    p = nn.Parameter(tg.ones(2))
    optimizer, scaler = optim.SGD([p], lr=1.0), GradScaler("cpu", init_scale=4.0)
    with pytest.raises(RuntimeError, match="nothing was scaled yet"):
        scaler.update()
    first, second = scaler.scale([tg.tensor(1.0), (tg.tensor(2.0), tg.tensor([3.0]))])
    assert first.item() == 4.0 and [t.tolist() for t in second] == [8.0, [12.0]] and isinstance(second, tuple)
    with pytest.raises(ValueError, match="expected tensors, got float"):
        scaler.scale(1.0)
    with pytest.raises(RuntimeError, match="no step was made"):
        scaler.update()
    with pytest.raises(RuntimeError, match="no parameter of this optimizer has a gradient"):
        scaler.step(optimizer)
    scaler = GradScaler("cpu", init_scale=4.0)
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    assert p.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="since the last update"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="closure"):
        scaler.step(optimizer, closure=lambda: None)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="since the last update"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    scaler.update()
    scaler.update(16.0)
    assert scaler.get_scale() == 16.0
    scaler.update(tg.tensor(32.0))
    assert scaler.get_scale() == 32.0
    p.grad = None
    q = nn.Parameter(tg.ones(2, dtype=tg.float16))
    q.grad = tg.ones(2, dtype=tg.float16)
    with pytest.raises(ValueError, match="float16"):
        scaler.unscale_(optim.SGD([q], lr=1.0))


def test_state_and_options():
    scaler = GradScaler("cpu", init_scale=8.0, growth_factor=4.0, backoff_factor=0.25, growth_interval=2)
    assert scaler.state_dict() == {
        "scale": 8.0,
        "growth_factor": 4.0,
        "backoff_factor": 0.25,
        "growth_interval": 2,
        "_growth_tracker": 0,
    }
    scaled_run(MAKERS["sgd"], "cpu", (), steps=3, scaler=scaler)
    assert scaler.state_dict()["scale"] == 32.0 and scaler.state_dict()["_growth_tracker"] == 1
    other = GradScaler("interpreter")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    scaled_run(MAKERS["sgd"], "interpreter", (), steps=1, scaler=other)
    assert other.get_scale() == 128.0
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 32.0
    with pytest.raises(RuntimeError, match="empty"):
        other.load_state_dict({})
    with pytest.raises(ValueError, match="growth_factor > 1"):
        GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(ValueError, match="backoff_factor < 1"):
        GradScaler("cpu", backoff_factor=1.0)


def test_disabled_it_does_nothing():
    p = nn.Parameter(tg.ones(2))
    optimizer, scaler = optim.SGD([p], lr=1.0), GradScaler(enabled=False)
    loss = p.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0 and not scaler.is_enabled()
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.0, 0.0] and scaler.state_dict() == {}
    if not tg.cuda.is_available():
        for make in (GradScaler, tg.cuda.amp.GradScaler):
            with pytest.warns(UserWarning, match="no cuda device"):
                assert not make().is_enabled()


def test_training_in_half_precision():
    """The whole recipe: autocast, scaled loss, clipping; the loss goes down in float16 on a device."""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1)).to("interpreter")
    optimizer, scaler = optim.Adam(net.parameters(), lr=0.02), GradScaler("interpreter")
    x = tg.randn(32, 4, device="interpreter")
    y = x[:, :1] - x[:, 1:2]
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        with tg.autocast("interpreter", tg.float16):
            out = net(x)
            loss = nn.functional.mse_loss(out, y)
        assert out.dtype is tg.float16 and loss.dtype is tg.float32
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert all(p.grad.dtype is tg.float32 for p in net.parameters())
    assert losses[-1] < 0.3 * losses[0]
