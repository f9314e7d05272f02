"""Checkpointing: the same gradients, less kept, the same random numbers."""

import gc
import weakref

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn
from trigrad.autograd import grad
from trigrad.nn import functional as F  # noqa: N812
from trigrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential

DEVICES = pytest.mark.parametrize("device", ["cpu", "interpreter"])


def network(device):
    tg.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    return net.to(device)


def gradients(net, run, x):
    net.zero_grad()
    x = x.clone().requires_grad_()
    out = run(net, x)
    (out * out).sum().backward()
    return [x.grad.tolist(), *[p.grad.tolist() for p in net.parameters()]]


@DEVICES
def test_the_same_gradients(device):
    x = tg.randn(5, 4, device=device)
    ways = [
        lambda net, x: net(x),
        lambda net, x: checkpoint(net, x, use_reentrant=False),
        lambda net, x: checkpoint(lambda x, *, scale: checkpoint(net, x) * scale, x, scale=1.0),
        lambda net, x: checkpoint(lambda pair: net(pair["x"][0]), {"x": (x,)}),
    ]
    first, *others = [gradients(network(device), way, x) for way in ways]
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("segments", [1, 2, 3, 6])
def test_in_segments(segments):
    x = tg.randn(5, 4)
    plain = gradients(network("cpu"), lambda net, x: net(x), x)
    pieces = gradients(network("cpu"), lambda net, x: checkpoint_sequential(net, segments, x), x)
    for a, b in zip(plain, pieces, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"expected segments in \[1, 6\], got 7"):
        checkpoint_sequential(network("cpu"), 7, x)


def test_it_keeps_less():
    between = []

    def piece(x):
        y = (x * 2).exp()
        between.append(weakref.ref(y.array))
        return (y * y).sum()

    x = tg.ones(10).requires_grad_()
    loss = checkpoint(piece, x)
    gc.collect()
    assert between[0]() is None and len(between) == 1
    loss.backward()
    assert len(between) == 2
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.exp(4.0), rtol=1e-6)
    with pytest.raises(RuntimeError, match="freed by a backward before"):
        loss.backward()


@DEVICES
def test_random_numbers_are_the_same(device):
    x = tg.ones(200, device=device).requires_grad_()
    tg.manual_seed(3)
    out = checkpoint(lambda x: F.dropout(x, 0.5) * x, x)
    after = tg.rand(1).item()
    tg.manual_seed(3)
    expected = F.dropout(x, 0.5) * x
    assert tg.rand(1).item() == after
    tg.rand(5)
    state = tg.get_rng_state().tolist()
    out.sum().backward()
    assert tg.get_rng_state().tolist() == state
    assert x.grad.tolist() == (2 * expected).tolist()
    tg.manual_seed(3)
    x.grad = None
    out = checkpoint(lambda x: F.dropout(x, 0.5) * x, x, preserve_rng_state=False)
    out.sum().backward()
    assert x.grad.tolist() != (2 * expected).tolist()


def test_gradients_of_gradients_and_twice():
    x = tg.tensor(np.array([0.5, -1.0, 2.0])).requires_grad_()
    y = checkpoint(lambda x: checkpoint(lambda x: x.tanh() * x, x) ** 2, x)
    plain = (x.tanh() * x) ** 2
    for out in (y, plain):
        (first,) = grad(out.sum(), x, create_graph=True)
        (second,) = grad((first * first).sum(), x)
        if out is y:
            found = first.tolist(), second.tolist()
    np.testing.assert_allclose(found, (first.tolist(), second.tolist()), rtol=1e-12)
    y = checkpoint(lambda x: x.exp() * x, x).sum()
    (once,) = grad(y, x, retain_graph=True)
    (twice,) = grad(y, x)
    assert once.tolist() == twice.tolist()


def test_autocast_is_as_it_was():
    w = tg.randn(4, 4).requires_grad_()
    x = tg.randn(3, 4).requires_grad_()

    def run(way):
        w.grad = x.grad = None
        with tg.autocast("cpu"):
            w @ w  # its cast is kept from here on
            out = way(lambda x: (x @ w) @ w, x)
        out.sum().backward()
        return [w.grad.tolist(), x.grad.tolist()]

    assert run(lambda f, x: f(x)) == run(checkpoint)


def test_functions_and_no_grad():
    class Cube(tg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x * x)
            return x * x * x

        @staticmethod
        def backward(ctx, grad):
            (square,) = ctx.saved_tensors
            return grad * square * 3

    x = tg.tensor([2.0]).requires_grad_()
    checkpoint(lambda x: Cube.apply(x) * x, x).sum().backward()
    assert x.grad.tolist() == [32.0]
    with tg.no_grad():
        assert not checkpoint(lambda x: x * 2, x).requires_grad


def test_errors():
    x = tg.ones(3).requires_grad_()
    calls = []

    def more(x):
        calls.append(1)
        return (x * x if len(calls) == 1 else x * x * x).sum()

    with pytest.raises(CheckpointError, match="2 operations were recorded in forward, 3 when run again"):
        checkpoint(more, x).backward()

    def other(x):
        calls.append(1)
        return (x[: len(calls)] * 2).exp().sum()

    calls.clear()
    with pytest.raises(CheckpointError, match=r"kept \[.*1,.*\] in forward, .* when run again"):
        checkpoint(other, x).backward()
    y = x * 1
    out = checkpoint(lambda y: y.exp(), y)
    with tg.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="an input was changed in place since forward"):
        out.sum().backward()
    with pytest.raises(ValueError, match="use_reentrant=True is not available"):
        checkpoint(more, x, use_reentrant=True)
    with pytest.raises(ValueError, match="expected determinism_check"):
        checkpoint(more, x, determinism_check="some")
