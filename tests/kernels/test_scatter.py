"""What the rows of gather, scatter and embedding cannot say: reductions with gradients, in place, masks, renormalising."""

import itertools

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework.order import ordered

DEVICES = ["cpu", "interpreter"]
REDUCTIONS = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min}


def by_hand(x, index, src, dim, reduce, include):
    """``scatter_reduce`` by its definition: all that comes to a place, in a list."""
    came = {place: [v] if include else [] for place, v in np.ndenumerate(x)}
    for place, k in np.ndenumerate(index):
        came[(*place[:dim], k, *place[dim + 1 :])].append(src[place])
    out = x.copy()
    for place, values in came.items():
        if values:
            out[place] = REDUCTIONS[reduce](values)
    return out


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("include", [True, False])
def test_reductions_and_their_gradients(device, reduce, include):
    rng = np.random.default_rng(0)
    x, src = rng.normal(size=(3, 4)), rng.normal(size=(3, 7))
    index, weights = rng.integers(0, 4, (3, 7)), rng.normal(size=(3, 4))
    leaves = [tg.tensor(a, device=device, requires_grad=True) for a in (x, src)]
    out = leaves[0].scatter_reduce(1, tg.tensor(index, device=device), leaves[1], reduce, include_self=include)
    np.testing.assert_allclose(out.detach().cpu().numpy(), by_hand(x, index, src, 1, reduce, include), rtol=1e-13)
    out.backward(tg.tensor(weights, device=device))
    for which, leaf in enumerate(leaves):
        measured = np.zeros(leaf.shape)
        for place in np.ndindex(leaf.shape):
            ends = []
            for eps in (1e-6, -1e-6):
                moved = [x.copy(), src.copy()]
                moved[which][place] += eps
                ends.append((by_hand(moved[0], index, moved[1], 1, reduce, include) * weights).sum())
            measured[place] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(leaf.grad.cpu().numpy(), measured, atol=1e-7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("reduce", ["prod", "amax", "amin"])
def test_reductions_of_smaller_dtypes(device, dtype, reduce):
    rng = np.random.default_rng(1)
    x, src = (tg.tensor(rng.normal(size=s)).to(getattr(tg, dtype)) for s in [(5, 3), (9, 3)])
    index = rng.integers(0, 5, (9, 3))
    out = x.to(device).scatter_reduce(0, tg.tensor(index, device=device), src.to(device), reduce)
    expected = by_hand(x.double().numpy(), index, src.double().numpy(), 0, reduce, True)
    eps = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    np.testing.assert_allclose(out.cpu().double().numpy(), expected, rtol=10 * eps)


def test_a_tie_shares_the_gradient():
    x = tg.tensor([2.0, 1.0], requires_grad=True)
    src = tg.tensor([2.0, 2.0, 0.0], requires_grad=True)
    x.scatter_reduce(0, tg.tensor([0, 0, 1]), src, "amax").sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 / 3, 1.0])
    np.testing.assert_allclose(src.grad.numpy(), [1 / 3, 1 / 3, 0.0])


def test_the_gradient_of_a_product_with_zeros():
    x = tg.tensor([2.0, 3.0, 5.0], requires_grad=True)
    src = tg.tensor([0.0, 7.0, 0.0, 0.0, 4.0], requires_grad=True)
    x.scatter_reduce(0, tg.tensor([0, 0, 1, 1, 2]), src, "prod").sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 4.0]
    assert src.grad.tolist() == [14.0, 0.0, 0.0, 0.0, 5.0]


def test_a_gradient_of_a_gradient():
    x = tg.tensor([2.0, 3.0], requires_grad=True)
    src = tg.tensor([5.0, 7.0], requires_grad=True)
    out = x.scatter_reduce(0, tg.tensor([0, 0]), src, "prod")
    (g,) = tg.autograd.grad(out.sum(), [src], create_graph=True)
    assert g.tolist() == [14.0, 10.0]
    (gg,) = tg.autograd.grad(g[0], [x])
    assert gg.tolist() == [7.0, 0.0]


@pytest.mark.parametrize("device", DEVICES)
def test_in_place(device):
    x = tg.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    index, src = tg.tensor([2, 0], device=device), tg.tensor([4.0, 5.0], device=device, requires_grad=True)
    y = x * 2
    y.scatter_add_(0, index, src).scatter_reduce_(0, index, src, "prod")
    assert y.tolist() == [35.0, 4.0, 40.0]
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 2.0, 8.0] and src.grad.tolist() == [14.0, 12.0]
    with pytest.raises(RuntimeError, match="leaf"):
        x.scatter_add_(0, index, src)
    z = tg.zeros(3, device=device)
    assert z.index_fill_(0, tg.tensor([-1], device=device), 2).index_copy_(0, index, src.detach()).tolist() == [
        5.0,
        0.0,
        4.0,
    ]
    assert z.masked_scatter_(z > 0, tg.tensor([8.0, 9.0], device=device)).tolist() == [8.0, 0.0, 9.0]
    assert z.index_put_((index,), src.detach(), accumulate=True).tolist() == [13.0, 0.0, 13.0]


@pytest.mark.parametrize("device", DEVICES)
def test_places_and_masks(device):
    x = tg.tensor([[0, 3], [4, 0]], device=device)
    assert tg.nonzero(x).tolist() == [[0, 1], [1, 0]] and [t.tolist() for t in tg.where(x)] == [[0, 1], [1, 0]]
    assert tg.nonzero(tg.tensor(3, device=device)).shape == (1, 0) and tg.nonzero(x > 9).shape == (0, 2)
    y = tg.tensor([1.0, 2.0], device=device, requires_grad=True)
    picked = y.masked_select(x > 0)
    assert picked.tolist() == [2.0, 1.0]
    picked.sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("device", DEVICES)
def test_rows_that_are_too_long_are_shortened(device):
    weight = tg.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]], device=device)
    out = tg.nn.functional.embedding(tg.tensor([0, 1, 0], device=device), weight, max_norm=1.0)
    np.testing.assert_allclose(out.cpu().numpy(), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(weight.cpu().numpy(), [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0]], rtol=1e-6)


def test_the_layer():
    layer = tg.nn.Embedding(5, 3, padding_idx=-1)
    assert repr(layer) == "Embedding(5, 3, padding_idx=4)" and layer.weight[4].tolist() == [0.0, 0.0, 0.0]
    layer(tg.tensor([[4, 1], [1, 0]])).sum().backward()
    assert layer.weight.grad.tolist() == [[1.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3]
    with pytest.raises(AssertionError):
        tg.nn.Embedding(5, 3, padding_idx=5)
    with pytest.raises(IndexError, match="index 5 is out of range for size 5"):
        layer(tg.tensor([5]))
    assert not tg.nn.Embedding.from_pretrained(layer.weight.detach()).weight.requires_grad


def test_classes_as_rows():
    assert tg.nn.functional.one_hot(tg.tensor([1, 0])).tolist() == [[0, 1], [1, 0]]
    for classes, count, message in [
        ([-1], 3, "negative"),
        ([3], 3, "out of range"),
        ([], -1, "infer"),
        ([0], 0, "positive"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            tg.nn.functional.one_hot(tg.tensor(classes, dtype=tg.int64), count)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 1000])
def test_order_on_a_device(n):
    rng = np.random.default_rng(n)
    positions = rng.integers(0, 40, n)
    keys, ends = (a.numpy() for a in ordered(tg.tensor(positions, device="interpreter").array))
    assert (keys == np.sort(positions * n + np.arange(n))).all()
    start = 0
    for _, group in itertools.groupby(keys // n):
        count = len(list(group))
        assert (
            ends[start] == start + count
            and (ends[start + 1 : start + count] == np.arange(start + 1, start + count)).all()
        )
        start += count
