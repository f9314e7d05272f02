"""Optimizers against PyTorch's: trajectories, what is remembered, and going on from a state dict of the other's."""

import copy

import numpy as np
import pytest

import trigrad as tg

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

CASES = [
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": (0.5, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("ASGD", {"lr": 0.1, "lambd": 0.01, "t0": 3, "weight_decay": 0.1}),
    ("ASGD", {"maximize": True}),
    ("Rprop", {"lr": 0.05}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.1), "maximize": True}),
]
SHAPES = [(4, 3), (), (5,)]


def run(first, second, ours, theirs, steps):
    for step in steps:
        rng = np.random.default_rng(step)
        for a, b in zip(first, second, strict=True):
            g = rng.normal(size=a.shape)
            if a.shape == (5,) and step % 3 == 1:
                a.grad = b.grad = None
                continue
            a.grad, b.grad = tg.tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-7)


def both():
    start = [np.random.default_rng(99).normal(size=s) for s in SHAPES]
    return [tg.nn.Parameter(tg.tensor(s)) for s in start], [torch.nn.Parameter(torch.tensor(s)) for s in start]


@pytest.mark.parametrize("name, options", CASES, ids=lambda x: x if isinstance(x, str) else ",".join(x))
def test_trajectory(name, options):
    first, second = both()
    ours, theirs = getattr(tg.optim, name)(first, **options), getattr(torch.optim, name)(second, **options)
    run(first, second, ours, theirs, range(12))
    for a, b in zip(first, second, strict=True):
        for key, value in ours.state[a].items():
            np.testing.assert_allclose(np.asarray(value), theirs.state[b][key].numpy(), rtol=1e-5, atol=1e-6)
    assert {k: v for k, v in ours.defaults.items()} == {k: theirs.defaults[k] for k in ours.defaults}
    # on from what PyTorch remembers
    state = copy.deepcopy(theirs.state_dict())
    for kept in state["state"].values():
        for key, value in kept.items():
            kept[key] = tg.tensor(value.double().numpy())
    again = getattr(tg.optim, name)(first, **options)
    again.load_state_dict(state)
    run(first, second, again, theirs, range(12, 20))


@pytest.mark.parametrize(
    "name, options",
    [
        ("RMSprop", {"alpha": -1}),
        ("Adagrad", {"lr_decay": -1}),
        ("Adadelta", {"rho": 1.5}),
        ("Adamax", {"betas": (0.9, 1.0)}),
        ("NAdam", {"momentum_decay": -1}),
        ("RAdam", {"eps": -1}),
        ("ASGD", {"lr": -1}),
        ("Rprop", {"etas": (1.2, 0.5)}),
        ("AdamW", {"weight_decay": -1}),
    ],
)
def test_refused_by_both(name, options):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        getattr(tg.optim, name)([tg.nn.Parameter([1.0])], **options)
    with pytest.raises(ValueError):
        getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1))], **options)


def rosenbrock(lib, w):
    x, y = w[:2], w[2:]
    return ((1 - x) ** 2 + 100 * (y - x * x) ** 2).sum()


@pytest.mark.parametrize(
    "options",
    [
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 5},
        {"lr": 1e-3, "max_iter": 4},
        {"lr": 0.5, "max_iter": 7, "max_eval": 5, "line_search_fn": "strong_wolfe"},
    ],
)
def test_lbfgs(options):
    start = np.array([-1.2, 0.5, 1.0, 2.0])
    traces = []
    for lib in (tg, torch):
        w = lib.nn.Parameter(lib.tensor(start))
        other = lib.nn.Parameter(lib.tensor(np.array([[1.0, 2.0]])))
        optimizer = lib.optim.LBFGS([w, other], **options)

        def closure(lib=lib, w=w, other=other, optimizer=optimizer):
            optimizer.zero_grad()
            loss = rosenbrock(lib, w) + (other**4).sum()
            loss.backward()
            return loss

        trace = []
        for _ in range(4):
            trace.append(optimizer.step(closure).item())
            state = optimizer.state[w]
            trace += [state["n_iter"], state["func_evals"], *w.tolist(), *other.tolist()[0]]
        traces.append(trace)
    np.testing.assert_allclose(*traces, rtol=1e-5, atol=1e-8)


def test_lbfgs_goes_on_from_a_state_dict():
    def make():
        w = tg.nn.Parameter(tg.tensor(np.array([-1.2, 0.5, 1.0, 2.0])))
        optimizer = tg.optim.LBFGS([w], max_iter=3, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(tg, w)
            loss.backward()
            return loss

        return w, optimizer, closure

    w, optimizer, closure = make()
    optimizer.step(closure)
    v, again, closure_again = make()
    again.load_state_dict(optimizer.state_dict())
    with tg.no_grad():
        v.copy_(w)
    optimizer.step(closure)
    again.step(closure_again)
    assert v.tolist() == w.tolist()
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()
    with pytest.raises(ValueError, match="only one group"):
        tg.optim.LBFGS([{"params": [v]}, {"params": [w]}])
    with pytest.raises(ValueError, match="expected line_search_fn None or 'strong_wolfe', got 'armijo'"):
        tg.optim.LBFGS([v], line_search_fn="armijo")


@pytest.mark.parametrize("how", ["mean", "ema", "ema of one", "buffers"])
def test_averaged_model(how):
    traces = []
    for lib in (tg, torch):
        swa = lib.optim.swa_utils
        net = lib.nn.Sequential(lib.nn.Linear(3, 2), lib.nn.BatchNorm1d(2))
        options = {
            "mean": {},
            "ema": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.75)},
            "ema of one": {"avg_fn": swa.get_ema_avg_fn(0.75)},
            "buffers": {"use_buffers": True, "multi_avg_fn": swa.get_ema_multi_avg_fn(0.5)},
        }[how]
        averaged = swa.AveragedModel(net, **options)
        rng = np.random.default_rng(0)
        data = [lib.tensor(rng.normal(size=(5, 3)).astype(np.float32)) for _ in range(4)]
        for x in data:
            with lib.no_grad():
                for p in net.parameters():
                    p.copy_(lib.tensor(rng.normal(size=tuple(p.shape)).astype(np.float32)))
            net(x)
            averaged.update_parameters(net)
        found = {k: v.tolist() for k, v in averaged.state_dict().items()}
        swa.update_bn([(x, 1) for x in data], averaged)
        found.update({"bn " + k: v.tolist() for k, v in averaged.state_dict().items()})
        found["forward"] = averaged.eval()(data[0]).tolist()
        traces.append(found)
    ours, theirs = traces
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        np.testing.assert_allclose(value, theirs[key], rtol=1e-5, atol=1e-6, err_msg=key)
