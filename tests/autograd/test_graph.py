"""Function's remarks about its outputs, hooks for what is kept, hooks after accumulation, pictures of the graph."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn
from trigrad.autograd import grad, graph
from trigrad.autograd.function import once_differentiable

DEVICES = pytest.mark.parametrize("device", ["cpu", "interpreter"])


class Add(tg.Function):
    @staticmethod
    def forward(ctx, x):
        x.add_(1)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_mark_dirty():
    x = tg.ones(2).requires_grad_()
    y = x * 3
    z = Add.apply(y)
    assert z is y and z.tolist() == [4.0, 4.0] and "AddBackward" in repr(y.grad_fn)
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match="Add.forward: changed a leaf that requires a gradient in place"):
        Add.apply(x)
    with pytest.raises(RuntimeError, match="Add.forward: changed a view in place"):
        Add.apply((x * 1)[:1])
    square = (x * 3) ** 2
    w = x * 3
    kept = (w * w).sum()
    Add.apply(w)
    with pytest.raises(RuntimeError, match="changed in place"):
        kept.backward()
    assert square.requires_grad
    plain = tg.ones(2)
    assert Add.apply(plain) is plain and plain.tolist() == [2.0, 2.0]

    class Lost(Add):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x.add_(1))
            return x * 1

    with pytest.raises(RuntimeError, match="what mark_dirty names must be among the outputs"):
        Lost.apply(x * 1)


def test_once_differentiable():
    class Square(tg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * x * 2

    x = tg.tensor([3.0]).requires_grad_()
    assert grad(Square.apply(x), x)[0].item() == 6.0
    (g,) = grad(Square.apply(x) ** 2, x, create_graph=True)
    assert g.item() == 108.0 and g.requires_grad
    with pytest.raises(RuntimeError, match="marked with once_differentiable, and was to be differentiated twice"):
        g.backward()


@DEVICES
def test_saved_tensors_hooks(device):
    x = tg.tensor(np.array([0.5, -1.0]), device=device).requires_grad_()
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        assert not t.requires_grad
        return len(packed) - 1

    def unpack(i):
        unpacked.append(i)
        return tg.tensor(np.array(packed[i]), device=device)

    with graph.saved_tensors_hooks(pack, unpack):
        y = x.exp() * x
    plain = x.exp() * x
    expected = grad(plain.sum(), x)[0].tolist()
    assert len(packed) == 3 and not unpacked
    (found,) = grad(y.sum(), x, retain_graph=True, create_graph=True)
    assert found.tolist() == expected and sorted(unpacked) == [0, 1, 2]
    (second,) = grad(found.sum(), x)
    np.testing.assert_allclose(second.cpu().numpy(), np.exp(x.tolist()) * (2 + np.array(x.tolist())), rtol=1e-12)

    class Cube(tg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] ** 2 * 3

    packed.clear()
    with graph.saved_tensors_hooks(pack, unpack), graph.save_on_cpu():
        z = (x * 2).tanh()
    assert not packed  # the innermost hooks count
    with graph.saved_tensors_hooks(pack, unpack):
        z = Cube.apply(z)
    assert len(packed) == 1
    z.sum().backward()
    t = np.tanh(2 * x.detach().cpu().numpy())
    np.testing.assert_allclose(x.grad.cpu().numpy(), 6 * t**2 * (1 - t**2), rtol=1e-12)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        z = x.exp()
    with pytest.raises(TypeError, match="expected unpack_hook to give a Tensor, got int"):
        z.sum().backward()


@DEVICES
def test_post_accumulate_grad_hook(device):
    x = tg.ones(2, device=device).requires_grad_()
    seen = []

    def step(p):
        seen.append(p.grad.tolist())
        with tg.no_grad():
            p.sub_(p.grad, alpha=0.5)
        p.grad = None

    handle = x.register_post_accumulate_grad_hook(step)
    x.register_hook(lambda g: g * 2)
    (x * 3 + x).sum().backward()
    assert seen == [[8.0, 8.0]] and x.grad is None and x.tolist() == [-3.0, -3.0]
    handle.remove()
    (x * 3).sum().backward()
    assert len(seen) == 1 and x.grad.tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match="expected a leaf that requires a gradient"):
        (x * 2).register_post_accumulate_grad_hook(step)
    with pytest.raises(TypeError, match="expected a function, got int"):
        x.register_post_accumulate_grad_hook(3)


def test_multi_grad_hook():
    a, b, c = tg.ones(1).requires_grad_(), tg.ones(1).requires_grad_(), tg.ones(1)
    seen = []
    handle = graph.register_multi_grad_hook([a, c, b], lambda gs: seen.append([g and g.item() for g in gs]))
    first = graph.register_multi_grad_hook([a, b], lambda g: seen.append(g.item()), mode="any")
    for _ in range(2):
        (a * 2 + b * 3 + c).backward()
    assert [s for s in seen if isinstance(s, list)] == [[2.0, None, 3.0]] * 2
    assert len([s for s in seen if isinstance(s, float)]) == 2
    handle.remove()
    first.remove()
    (a * b).backward()
    assert len(seen) == 4
    with pytest.raises(ValueError, match="'all' or 'any'"):
        graph.register_multi_grad_hook([a], print, mode="some")


def test_pictures(capsys):
    net = nn.Linear(3, 2)
    x = tg.ones(4, 3)
    h = net(x).tanh()
    loss = (h * h).sum()
    graph.show(loss)
    told = capsys.readouterr().out
    assert "SumBackward ()" in told and "TanhBackward (4, 2)" in told and "Parameter (2, 3) float32" in told
    assert "shown before" in told
    text = graph.dot(loss)
    assert text.startswith("digraph {") and text.endswith("}")
    assert text.count('label="TanhBackward"') == 1 and 'label="Parameter (2,) float32" shape=box' in text
    assert text.count(" -> ") == 6
    deep = x.requires_grad_()
    for _ in range(3000):
        deep = deep * 1
    assert graph.dot(deep).count(" -> ") == 3000
    with pytest.raises(ValueError, match="this tensor has no history"):
        graph.dot(tg.ones(1))
    assert "leaf (4, 3)" in graph.dot(x)
