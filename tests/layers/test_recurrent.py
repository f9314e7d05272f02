"""Recurrent layers against PyTorch's: state dicts both ways, outputs, states, gradients; shapes that do not fit."""

import warnings

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn

LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True, "bias": False}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"num_layers": 2, "proj_size": 2, "bidirectional": True}),
    ("GRU", {}),
    ("GRU", {"num_layers": 3, "batch_first": True, "bias": False}),
    ("GRU", {"bidirectional": True}),
]
CELLS = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
    ("GRUCell", {}),
]


def pair(name, options, *sizes):
    """The two libraries' modules in float64 with the same parameters, loaded one way and checked the other."""
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*sizes, **options), getattr(torch.nn, name)(*sizes, **options)
    assert repr(ours) == repr(theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    ours, theirs = ours.double(), theirs.double()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def flat(x):
    return [t for y in x for t in flat(y)] if isinstance(x, (tuple, list)) else [x]


def compare(ours, theirs, arrays):
    """Results and all gradients; ``arrays`` are the arguments, tuples where the module takes them."""
    torch = pytest.importorskip("torch")

    def made(make, x):
        return tuple(made(make, y) for y in x) if isinstance(x, tuple) else make(x, requires_grad=True)

    a, b = [made(tg.tensor, x) for x in arrays], [made(torch.tensor, x) for x in arrays]
    out, expected = flat(ours(*a)), flat(theirs(*b))
    assert len(out) == len(expected)
    for x, y in zip(out, expected, strict=True):
        assert x.shape == tuple(y.shape)
        np.testing.assert_allclose(x.numpy(force=True), y.detach().numpy(), rtol=1e-9, atol=1e-12)
    sum((i + 1) * (x * x).sum() for i, x in enumerate(out)).backward()
    sum((i + 1) * (y * y).sum() for i, y in enumerate(expected)).backward()
    leaves = [*flat(a), *ours.parameters()]
    for x, y in zip(leaves, [*flat(b), *theirs.parameters()], strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-8, atol=1e-11)


@pytest.mark.peer
@pytest.mark.parametrize("name, options", LAYERS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(LAYERS)])
def test_layers_equal_theirs(name, options, rng):
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    steps, batch, width = 4, 3, options.get("proj_size") or 5
    first = (batch, steps) if options.get("batch_first") else (steps, batch)
    for shape, own in [((*first, 2), (layers, batch)), ((steps, 2), (layers,))]:
        x, h, c = rng.normal(size=shape), rng.normal(size=(*own, width)), rng.normal(size=(*own, 5))
        compare(*pair(name, options, 2, 5), [x])
        compare(*pair(name, options, 2, 5), [x, (h, c) if name == "LSTM" else h])


@pytest.mark.peer
@pytest.mark.parametrize("name, options", CELLS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CELLS)])
def test_cells_equal_theirs(name, options, rng):
    for lead in ((3,), ()):
        x, h, c = (rng.normal(size=(*lead, n)) for n in (2, 5, 5))
        compare(*pair(name, options, 2, 5), [x])
        compare(*pair(name, options, 2, 5), [x, (h, c) if name == "LSTMCell" else h])


def test_first_values_lie_within_the_bound():
    net = nn.LSTM(3, 16, num_layers=2)
    values = np.concatenate([p.numpy(force=True).ravel() for p in net.parameters()])
    assert np.abs(values).max() <= 0.25 and np.abs(values).max() > 0.24 and abs(values.mean()) < 0.02
    assert [len(w) for w in net.all_weights] == [4, 4]


def test_dropout_between_layers():
    tg.manual_seed(0)
    net = nn.GRU(2, 3, num_layers=2, dropout=1.0)
    x = tg.ones(4, 1, 2)
    assert not np.allclose(net(x)[0].numpy(force=True), net.eval()(x)[0].numpy(force=True))
    with pytest.warns(UserWarning, match="GRU: dropout=0.5 stands between layers, and there is one"):
        nn.GRU(2, 3, dropout=0.5)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_on_a_device_and_twice_differentiable(name, rng):
    net = getattr(nn, name)(2, 3).double()
    x = tg.tensor(rng.normal(size=(3, 2, 2)))
    expected = net(x)[0].numpy(force=True)
    assert tg.autograd.gradgradcheck(lambda x: net(x)[0], (tg.tensor(rng.normal(size=(2, 1, 2)), requires_grad=True),))
    net.to("interpreter")
    np.testing.assert_allclose(net(x.to("interpreter"))[0].numpy(force=True), expected, rtol=1e-10, atol=1e-12)


def test_autocast_runs_in_half():
    net = nn.LSTM(2, 3)
    with tg.autocast("cpu"):
        out, (h, c) = net(tg.ones(4, 1, 2))
        assert {out.dtype, h.dtype, c.dtype} == {tg.bfloat16}
    out.float().sum().backward()
    assert net.weight_ih_l0.grad.dtype is tg.float32


def test_it_learns_to_remember():
    tg.manual_seed(0)
    rng = np.random.default_rng(0)
    net, head = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 1)
    optimizer = tg.optim.Adam([*net.parameters(), *head.parameters()], lr=0.03)
    for _ in range(60):
        x = tg.tensor(rng.choice([-1.0, 1.0], (32, 5, 1)).astype(np.float32))
        loss = nn.functional.mse_loss(head(net(x)[0][:, -1]), x[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


WRONG = [
    (lambda: nn.RNN(2, 3, nonlinearity="sin"), ValueError, "expected nonlinearity 'tanh' or 'relu', got 'sin'"),
    (lambda: nn.GRU(2, 0), ValueError, "GRU: expected hidden_size > 0, got 0"),
    (lambda: nn.GRU(2, 3.0), TypeError, "GRU: expected hidden_size to be an int, got float"),
    (lambda: nn.LSTM(2, 3, dropout=2), ValueError, "LSTM: expected dropout to be a number in"),
    (lambda: nn.LSTM(2, 3, proj_size=3), ValueError, "LSTM: expected proj_size from 0 to hidden_size - 1, got 3"),
    (lambda: nn.GRU(2, 3)(tg.zeros(4, 1, 3)), RuntimeError, r"GRU: expected input \(T, N, I\) or \(T, I\) with I = 2"),
    (lambda: nn.GRU(2, 3)(tg.zeros(0, 1, 2)), RuntimeError, "GRU: expected at least 1 step"),
    (
        lambda: nn.GRU(2, 3)(tg.zeros(4, 1, 2), tg.zeros(1, 2, 3)),
        RuntimeError,
        r"a hidden state \(1, 1, 3\), got \(1, 2, 3\)",
    ),
    (
        lambda: nn.LSTM(2, 3)(tg.zeros(4, 1, 2), tg.zeros(1, 1, 3)),
        RuntimeError,
        r"LSTM: expected the hidden state \(h, c\)",
    ),
    (
        lambda: nn.LSTMCell(2, 3)(tg.zeros(4, 3)),
        RuntimeError,
        r"LSTMCell: expected input \(N, I\) or \(I,\) with I = 2",
    ),
    (lambda: nn.GRUCell(2, 3)(tg.zeros(4, 2), tg.zeros(3)), RuntimeError, r"GRUCell: expected a hidden state \(4, 3\)"),
]


@pytest.mark.parametrize("call, error, message", WRONG)
def test_wrong_calls(call, error, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=message):
            call()
