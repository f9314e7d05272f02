"""Optimizers: groups, state, devices, and the two steps worked by hand once more through the classes."""

import copy

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn, optim

MAKERS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda params: optim.Adam(params, lr=0.1, betas=(0.5, 0.9)),
    "amsgrad": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.1, amsgrad=True, maximize=True),
    "adamw": lambda params: optim.AdamW(params, lr=0.1, weight_decay=0.1),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.05, momentum=0.5, centered=True),
    "adagrad": lambda params: optim.Adagrad(params, lr=0.5, initial_accumulator_value=0.1, maximize=True),
    "adadelta": lambda params: optim.Adadelta(params, lr=1.0, eps=1e-2),
    "adamax": lambda params: optim.Adamax(params, lr=0.1, eps=1e-3),
    "nadam": lambda params: optim.NAdam(params, lr=0.1, weight_decay=0.01, eps=1e-3),
    "radam": lambda params: optim.RAdam(params, lr=0.1, betas=(0.5, 0.9), decoupled_weight_decay=True, eps=1e-3),
    "asgd": lambda params: optim.ASGD(params, lr=0.1, t0=1.0),
    "rprop": lambda params: optim.Rprop(params, lr=0.1),
}
EACH = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def parameters(device="cpu", dtype=tg.float32, shapes=((3, 2), (), (5,), (0,))):
    rng = np.random.default_rng(0)
    return [nn.Parameter(tg.tensor(rng.normal(size=s)).to(device, dtype)) for s in shapes]


def give_gradients(params, step):
    rng = np.random.default_rng(step)
    for p in params:
        p.grad = tg.tensor(rng.normal(size=p.shape)).to(p.device, p.dtype)


def run(params, optimizer, steps):
    for step in steps:
        give_gradients(params, step)
        optimizer.step()
    return [p.detach().cpu().numpy() for p in params]


@EACH
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_devices_agree(make, dtype):
    kind = getattr(tg, dtype)
    found = []
    for device in ("cpu", "interpreter"):
        params = parameters(device, kind)
        found.append(run(params, make(params), range(3)))
    eps = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    for here, there in zip(*found, strict=True):
        assert there.dtype == here.dtype == kind.numpy
        np.testing.assert_allclose(there.astype(np.float64), here.astype(np.float64), rtol=8 * eps, atol=8 * eps)


@EACH
def test_the_loss_goes_down(make):
    p = nn.Parameter([3.0, -2.0])
    optimizer = make([p])
    sign = -1 if optimizer.defaults["maximize"] else 1

    def loss():
        optimizer.zero_grad()
        value = (p * p).sum() * sign
        value.backward()
        return value

    with tg.no_grad():
        first = optimizer.step(loss)
    for _ in range(60):
        last = optimizer.step(loss)
    assert abs(last.item()) < 0.1 * abs(first.item())
    assert optimizer.step() is None


@EACH
def test_state_dict_goes_on_where_it_was(make):
    straight, broken = parameters(), parameters()
    expected = run(straight, make(straight), range(6))
    first = make(broken)
    run(broken, first, range(3))
    saved = copy.deepcopy(first.state_dict())
    second = make(broken)
    second.load_state_dict(first.state_dict())
    for group in second.param_groups:
        assert all(a is b for a, b in zip(group["params"], broken, strict=True))
    for a, b in zip(run(broken, second, range(3, 6)), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    state = first.state_dict()  # the first one's state is its own
    assert state["param_groups"] == saved["param_groups"] and state["param_groups"][0]["params"] == [0, 1, 2, 3]
    for number, kept in saved["state"].items():
        for key, value in kept.items():
            now = state["state"][number][key]
            assert now.tolist() == value.tolist() if isinstance(value, tg.Tensor) else now == value


@EACH
def test_moving_the_model_moves_the_state(make):
    straight, moved = nn.Linear(3, 2), nn.Linear(3, 2)
    moved.load_state_dict(straight.state_dict())
    a, b = make(straight.parameters()), make(moved.parameters())
    for net, optimizer in ((straight, a), (moved, b)):
        run(list(net.parameters()), optimizer, range(2))
    moved.to("interpreter", tg.float64)
    straight.double()
    for net, optimizer in ((straight, a), (moved, b)):
        run(list(net.parameters()), optimizer, range(2, 4))
    for p, q in zip(straight.parameters(), moved.parameters(), strict=True):
        assert q.device.type == "interpreter"
        np.testing.assert_allclose(q.detach().cpu().numpy(), p.detach().numpy(), rtol=1e-6)


def test_who_has_no_gradient_stays():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.Adam([a, b], lr=0.5)
    a.grad = tg.tensor([1.0])
    optimizer.step()
    assert a.tolist() == [0.5] and b.tolist() == [1.0] and b not in optimizer.state
    b.grad = tg.tensor([1.0])
    optimizer.step()  # a makes its second step, b its first
    assert b.tolist() == [0.5] and optimizer.state[a]["step"] == 2 and optimizer.state[b]["step"] == 1
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert a.grad is None


def test_a_step_counts_as_a_change():
    p = nn.Parameter([2.0])
    square = (p * p).sum()
    p.grad = tg.tensor([1.0])
    before, storage = p._version, p.data_ptr()
    optim.SGD([p], lr=0.1).step()
    assert p._version > before and p.data_ptr() == storage and p.is_leaf and p.requires_grad
    with pytest.raises(RuntimeError, match="changed in place"):
        square.backward()


def test_views_see_the_step():
    p = nn.Parameter([[1.0, 2.0], [3.0, 4.0]])
    row = p.detach()[0]
    turned = nn.Parameter(tg.tensor([[1.0, 2.0], [3.0, 4.0]]).T)
    for q in (p, turned):
        q.grad = tg.ones(2, 2)
    optim.SGD([p, turned], lr=0.5).step()
    assert row.tolist() == [0.5, 1.5] and turned.tolist() == [[0.5, 2.5], [1.5, 3.5]]


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_parameters_inside_others(device):
    whole = tg.arange(3000, dtype=tg.float32, device=device)
    p = nn.Parameter(whole[1:2900])  # row-major, but not where wide loads may begin
    p.grad = tg.ones(2899, device=device)
    optim.Adam([p], lr=1.0).step()
    expected = np.arange(3000.0)
    expected[1:2900] -= 1
    np.testing.assert_allclose(whole.cpu().numpy(), expected, rtol=1e-6, atol=1e-6)


def test_groups():
    a, b, c = (nn.Parameter([1.0]) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.25, "name": "slow"}], lr=0.5)
    optimizer.add_param_group({"params": [c], "lr": 1.0})
    for p in (a, b, c):
        p.grad = tg.tensor([1.0])
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == [0.5, 0.75, 0.0]
    optimizer.param_groups[0]["lr"] = 0.0  # as schedulers do
    optimizer.step()
    assert a.item() == 0.5 and optimizer.param_groups[1]["name"] == "slow"
    assert repr(optim.SGD([a], lr=0.5)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.5\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


P = nn.Parameter([1.0])


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: optim.SGD([]), ValueError, "SGD: got no parameters"),
        (lambda: optim.SGD(P), TypeError, "SGD: params must be several tensors or dicts, got Parameter"),
        (lambda: optim.Adam([1.0]), TypeError, "Adam: parameters must be tensors, got float"),
        (lambda: optim.Adam([P * 2]), ValueError, r"Adam: a tensor of shape \(1,\) was made by an operation"),
        (lambda: optim.Adam([P, P]), ValueError, r"Adam: a parameter of shape \(1,\) is given twice"),
        (lambda: optim.SGD([{"params": [P]}, {"params": [P]}]), ValueError, "SGD: a parameter .* is given twice"),
        (lambda: optim.SGD([{"params": {P}}]), TypeError, "SGD: parameters must come in an order, got a set"),
        (lambda: optim.SGD([{"parameters": [P]}]), TypeError, "a dict with the key 'params'"),
        (
            lambda: optim.SGD([{"params": [P], "learning_rate": 1}]),
            TypeError,
            "SGD: unknown option learning_rate; there are lr, momentum",
        ),
        (lambda: optim.SGD([P], lr=-1), ValueError, "SGD: expected lr >= 0, got -1"),
        (lambda: optim.SGD([P], momentum=-1), ValueError, "SGD: expected momentum >= 0, got -1"),
        (lambda: optim.SGD([P], nesterov=True), ValueError, "SGD: nesterov needs a momentum and no dampening"),
        (
            lambda: optim.Adam([P], betas=(0.9, 1.0)),
            ValueError,
            r"Adam: expected betas, two numbers in \[0, 1\), got \(0.9, 1.0\)",
        ),
        (lambda: optim.Adam([P], eps=float("nan")), ValueError, "Adam: expected eps >= 0, got nan"),
    ],
)
def test_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_loading_what_does_not_fit():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    one, two = optim.Adam([a]), optim.Adam([a, b])
    with pytest.raises(
        ValueError, match=r"Adam: the state dict has groups of \[2\] parameters, the optimizer of \[1\]"
    ):
        one.load_state_dict(two.state_dict())
    b.grad = tg.ones(2)
    other = optim.Adam([b])
    other.step()
    with pytest.raises(ValueError, match=r"Adam: exp_avg in the state dict has shape \(2,\), its parameter \(1,\)"):
        one.load_state_dict(other.state_dict())
    assert not one.state
