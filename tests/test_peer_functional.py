"""autograd.functional against PyTorch's, with its tuples, its errors and gradients through it."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.autograd import functional as ours

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")
theirs = torch.autograd.functional

FUNCTIONS = {
    "one": (lambda x: (x**3).sum(1), [(3, 2)]),
    "tuple out": (lambda x: (x.exp(), (x * x).sum()), [(3,)]),
    "two in": (lambda x, y: (x * y).tanh() + x, [(3,), (3,)]),
    "two in, two out": (lambda x, y: ((x * y).sum(0), y.exp() * 2), [(2, 3), (3,)]),
    "unused": (lambda x, y: x * 3, [(2,), (2,)]),
    "constant": (lambda x: x.detach() * 2, [(2,)]),
}
NUMBERS = {
    "cubes": (lambda x: (x**3).sum(), [(3,)]),
    "matrix": (lambda x: (x.exp() * x).sum() ** 2, [(2, 2)]),
    "two": (lambda x, y: (x * y * y).sum() + (x**3).sum(), [(3,), (3,)]),
    "linear": (lambda x, y: (x * 2).sum() + (y * y).sum(), [(3,), (2,)]),
}


def both(shapes, several=True, requires_grad=False):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s) for s in shapes]
    a, b = tuple(tg.tensor(v) for v in values), tuple(torch.tensor(v) for v in values)
    if requires_grad:
        a, b = tuple(t.requires_grad_() for t in a), tuple(t.requires_grad_() for t in b)
    return (a, b) if several else (a[0], b[0])


def same(a, b):
    if isinstance(b, (tuple, list)):
        assert isinstance(a, tuple) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
        return
    assert a.requires_grad == b.requires_grad
    assert tuple(a.shape) == tuple(b.shape)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


def leaves(value):
    return [leaf for v in value for leaf in leaves(v)] if isinstance(value, tuple) else [value]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("func, shapes", FUNCTIONS.values(), ids=FUNCTIONS)
def test_jacobians(func, shapes, create_graph):
    a, b = both(shapes, len(shapes) > 1, create_graph)
    same(ours.jacobian(func, a, create_graph), theirs.jacobian(func, b, create_graph))
    rng = np.random.default_rng(1)
    out = func(*b) if isinstance(b, tuple) else func(b)
    draw = lambda t: rng.normal(size=tuple(t.shape))  # noqa: E731
    for name, like in (("vjp", out), ("jvp", b)):
        drawn = tuple(draw(t) for t in like) if isinstance(like, tuple) else draw(like)
        vs = [tuple(map(lib.tensor, drawn)) if isinstance(drawn, tuple) else lib.tensor(drawn) for lib in (tg, torch)]
        found, expected = (
            getattr(lib, name)(func, x, v, create_graph) for lib, x, v in ((ours, a, vs[0]), (theirs, b, vs[1]))
        )
        same(found, expected)
        if create_graph and expected[1][0].requires_grad:
            inputs = [(a, found), (b, expected)]
            grads = [
                lib.autograd.grad(sum((t * t).sum() for t in leaves(r[1])), leaves(x), allow_unused=True)
                for lib, (x, r) in zip((tg, torch), inputs, strict=True)
            ]
            for g, h in zip(*grads, strict=True):
                np.testing.assert_allclose(0.0 if g is None else g.numpy(), 0.0 if h is None else h.numpy(), rtol=1e-9)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("func, shapes", NUMBERS.values(), ids=NUMBERS)
def test_hessians(func, shapes, create_graph):
    a, b = both(shapes, len(shapes) > 1, create_graph)
    same(ours.hessian(func, a, create_graph), theirs.hessian(func, b, create_graph))
    va, vb = both(shapes, len(shapes) > 1)
    for name in ("vhp", "hvp"):
        same(getattr(ours, name)(func, a, va, create_graph), getattr(theirs, name)(func, b, vb, create_graph))


def test_no_grad_is_touched_and_nothing_is_left():
    x = tg.tensor([1.0, 2.0]).requires_grad_()
    with tg.no_grad():
        j = ours.jacobian(lambda x: x * x, x)
    assert j.tolist() == [[2.0, 0.0], [0.0, 4.0]] and x.grad is None and not j.requires_grad
    assert ours.vjp(lambda x: (x * x).sum(), x)[1].tolist() == [2.0, 4.0]
    assert ours.jacobian(lambda x: x[:0], x).shape == (0, 2)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda f, x: f.vjp(lambda x: x * 2, x), RuntimeError, "vjp: v may be left out only"),
        (lambda f, x: f.jvp(lambda x: x * 2, x), RuntimeError, "jvp: v may be left out only"),
        (lambda f, x: f.vjp(lambda x: x * 2, x, x[0]), RuntimeError, r"vjp: v\[0\] has shape"),
        (lambda f, x: f.vjp(lambda x: x * 2, x, (x, x)), RuntimeError, "vjp: expected one v per tensor of outputs, 1"),
        (lambda f, x: f.hessian(lambda x: x * 2, x), RuntimeError, "one element, got shape"),
        (lambda f, x: f.jacobian(lambda x: 3.0, x), TypeError, "expected the outputs of func"),
        (lambda f, x: f.jacobian(lambda x: x, 3.0), TypeError, "expected inputs, a Tensor"),
        (lambda f, x: f.jacobian(lambda x: x.detach(), x, strict=True), RuntimeError, "output 0 does not depend"),
        (lambda f, x: f.jacobian(lambda x, y: x * 2, (x, x), strict=True), RuntimeError, "not depend on input 1"),
        (lambda f, x: f.hessian(lambda x: (x * 2).sum(), x, strict=True), RuntimeError, "strict=True"),
    ],
)
def test_refused_by_both(call, kind, message):
    a, b = both([(3,)], several=False)
    with pytest.raises(kind, match=message):
        call(ours, a)
    with pytest.raises((RuntimeError, TypeError)):
        call(theirs, b)


def test_what_is_not_available():
    x = tg.ones(2)
    with pytest.raises(NotImplementedError, match="vectorize=False"):
        ours.jacobian(lambda x: x, x, vectorize=True)
    with pytest.raises(NotImplementedError, match="reverse-mode"):
        ours.hessian(lambda x: x.sum(), x, outer_jacobian_strategy="forward-mode")
