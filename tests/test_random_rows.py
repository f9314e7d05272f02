"""Random tensors, where samples cannot say it: one seed on every device and in every layout, and the edges."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import dtypes
from trigrad.framework.random import Generator, manual_seed
from trigrad.kernels import dropout as drops
from trigrad.kernels import random as rows

DEVICES = ["interpreter"] + (["cuda"] if tg.cuda.is_available() else [])
FLOATING = [d.name for d in dtypes.FLOATING]


def seeded(seed=5):
    return Generator().manual_seed(seed)


def bits(tensor):
    host = np.ascontiguousarray(tensor.host())
    return host.view(f"u{host.itemsize}")


def same(first, second):
    assert first.dtype is second.dtype and first.shape == second.shape
    np.testing.assert_array_equal(bits(first), bits(second))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("make", [rows.rand, rows.randn], ids=["rand", "randn"])
def test_one_seed_gives_the_same_bits_on_every_device(make, dtype, device):
    kind = dtypes.dtype_of(dtype)
    same(make(3, 701, dtype=kind, generator=seeded()), make(3, 701, dtype=kind, device=device, generator=seeded()))


@pytest.mark.parametrize("device", DEVICES)
def test_integers_and_orders_are_the_same_on_every_device(device):
    for make in (lambda **k: rows.randint(-5, 2**40, (3, 50), **k), lambda **k: rows.randperm(77, **k)):
        same(make(generator=seeded()), make(device=device, generator=seeded()))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fill", ["uniform_", "normal_", "exponential_", "random_", "bernoulli_"])
def test_fills_count_logical_elements(fill, device):
    """Whatever the strides of what is filled, and wherever it lies, the numbers are those of a row-major tensor."""
    plain = getattr(rows, fill)(tg.tensor(np.zeros((4, 6))), generator=seeded())
    assert len(np.unique(plain.numpy())) > 1
    for where in ("cpu", device):
        base = tg.tensor(np.zeros((6, 4)), device=where)
        getattr(base.transpose(0, 1), fill)(generator=seeded())
        np.testing.assert_array_equal(base.host().T, plain.numpy())


@pytest.mark.parametrize("device", ["cpu", *DEVICES])
@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)], ids=["rows", "channels last", "columns"])
@pytest.mark.parametrize("name", ["dropout", "dropout2d"])
def test_dropout_masks_do_not_depend_on_layout_or_device(name, layout, device):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = getattr(drops, name)(tg.tensor(x), 0.4, generator=seeded())
    stored = tg.tensor(np.ascontiguousarray(x.transpose(layout)), device=device)
    there = stored.permute(*np.argsort(layout).tolist()).detach().requires_grad_()
    assert there.shape == x.shape
    out = getattr(drops, name)(there, 0.4, generator=seeded())
    np.testing.assert_array_equal(out.host(), expected.numpy())
    assert out.stride() == there.stride()  # the layout stays
    out.backward(tg.tensor(np.ones(x.shape), device=device))
    np.testing.assert_array_equal(there.grad.host() != 0, expected.numpy() != 0)
    np.testing.assert_allclose(there.grad.host()[expected.numpy() != 0], 1 / 0.6)


def test_dropout_leaves_the_right_share_and_the_mean():
    out = drops.dropout(tg.tensor(np.ones(100_000, np.float32)), 0.3, generator=seeded()).numpy()
    assert abs((out == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / out.size) ** 0.5
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.7)}


def test_dropout_of_channels_drops_them_whole():
    out = drops.dropout2d(tg.tensor(np.ones((50, 8, 3, 3))), 0.5, generator=seeded()).numpy()
    assert set(out.sum((2, 3)).ravel().tolist()) == {0.0, 18.0}
    single = drops.dropout1d(tg.tensor(np.ones((64, 5))), 0.5, generator=seeded()).numpy()
    assert set(single.sum(1).tolist()) == {0.0, 10.0}
    with pytest.raises(RuntimeError, match=r"an input \(N, C, H, W\) or \(N, C, L\), got shape \(2,\)"):
        drops.dropout2d(tg.tensor([1.0, 2.0]))


def test_dropout_in_place_and_not_at_all():
    x = tg.tensor(np.ones(64))
    assert drops.dropout(x, training=False) is x and drops.dropout(x, 0.0) is x
    w = tg.tensor(np.ones(64)).requires_grad_()
    y = w * 3
    assert drops.dropout(y, 0.5, inplace=True, generator=seeded()) is y
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), y.detach().numpy())
    with pytest.raises(RuntimeError, match="leaf"):
        drops.dropout(w, 0.5, inplace=True)


def test_a_fill_cuts_the_history_off():
    w = tg.tensor(np.ones(4)).requires_grad_()
    y = w * 3
    y.uniform_()
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.zeros(4))
    with pytest.raises(RuntimeError, match="leaf"):
        w.normal_()
    with tg.no_grad():
        w.normal_()


def test_the_default_generator_is_one_sequence():
    manual_seed(3)
    first = [rows.rand(4), rows.randn(4), rows.randint(9, (4,))]
    manual_seed(3)
    for x, y in zip(first, [rows.rand(4), rows.randn(4), rows.randint(9, (4,))], strict=True):
        same(x, y)
    assert not np.array_equal(rows.rand(4).numpy(), rows.rand(4).numpy())


def test_normal_of_tensors():
    mean, std = tg.tensor([[10.0], [20.0]]), tg.tensor([0.0, 1.0, 2.0])
    z = rows.randn(2, 3, generator=seeded()).numpy()
    got = rows.normal(mean, std, generator=seeded()).numpy()
    np.testing.assert_allclose(got, mean.numpy() + z * std.numpy(), rtol=1e-6)
    assert rows.normal(mean, 1.0).shape == (2, 1) and rows.normal(0.0, std).shape == (3,)
    with pytest.raises(RuntimeError, match="std >= 0"):
        rows.normal(mean, tg.tensor([-1.0]))
    with pytest.raises(RuntimeError, match="broadcast"):
        rows.normal(tg.tensor([0.0, 0.0]), std)
    with pytest.raises(TypeError, match="size"):
        rows.normal(0.0, 1.0)
    with pytest.raises(TypeError, match="size"):
        rows.normal(mean, 1.0, (2,))


def test_bernoulli_of_probabilities():
    p = tg.tensor([[0.0, 1.0, 0.5]])
    out = rows.bernoulli(p.expand(200, 3), generator=seeded()).numpy()
    assert out[:, 0].sum() == 0 and out[:, 1].sum() == 200 and 60 < out[:, 2].sum() < 140
    x = tg.tensor(np.zeros((200, 3), np.int64))
    np.testing.assert_array_equal(x.bernoulli_(p, generator=seeded()).numpy(), out)
    with pytest.raises(RuntimeError, match=r"probability in \[0, 1\]"):
        rows.bernoulli(tg.tensor([float("nan")]))


def test_ways_to_say_a_size():
    for x in (rows.rand(2, 3), rows.rand((2, 3)), rows.rand([2, 3]), rows.rand(size=(2, 3)), rows.randn(2, 3)):
        assert x.shape == (2, 3)
    assert rows.rand(()).shape == ()
    assert rows.randint(4, (2, 3)).shape == rows.randint(1, 4, (2, 3)).shape == rows.randint(high=4, size=(2, 3)).shape
    assert rows.rand(2, requires_grad=True).requires_grad
    for wrong in (
        lambda: rows.rand(),
        lambda: rows.rand(2, size=(2,)),
        lambda: rows.rand(2.5),
        lambda: rows.randint(5, 3),
    ):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (
        lambda: rows.rand(-1),
        lambda: rows.rand(2, dtype=dtypes.int64),
        lambda: rows.randint(3, 3, (2,)),
        lambda: rows.randperm(-1),
        lambda: rows.randperm(300, dtype=dtypes.uint8),
    ):
        with pytest.raises(RuntimeError):
            wrong()
