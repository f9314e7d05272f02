"""Views and copies that are put together from rows, against NumPy; strides of one's own; distributions."""

import numpy as np
import pytest

import trigrad as tg

DEVICES = ["cpu", "interpreter"]


@pytest.mark.parametrize("device", DEVICES)
def test_strides_of_ones_own(device):
    base = np.arange(24.0).reshape(4, 6)
    x = tg.tensor(base, device=device, requires_grad=True)
    y = x * 1
    out = y[1:].T.as_strided((3, 2, 2), (2, 1, 0))
    memory = base.reshape(-1)
    expected = np.array([[[memory[6 + 2 * i + j]] * 2 for j in range(2)] for i in range(3)])
    np.testing.assert_array_equal(out.detach().cpu().numpy(), expected)
    assert out.storage_offset() == 6 and out.stride() == (2, 1, 0)
    weights = np.random.default_rng(0).normal(size=out.shape)
    out.backward(tg.tensor(weights, device=device))
    grad = np.zeros(24)
    for i, j, k in np.ndindex(3, 2, 2):
        grad[6 + 2 * i + j] += weights[i, j, k]
    np.testing.assert_allclose(x.grad.cpu().numpy().reshape(-1), grad, rtol=1e-14)
    with pytest.raises(RuntimeError, match="would reach element 24"):
        y.as_strided((2, 2), (12, 11), 1)
    with pytest.raises(RuntimeError, match="clone"):
        x[:1].expand(3, 6).as_strided((2,), (1,))


@pytest.mark.parametrize("device", DEVICES)
def test_as_numpy_has_it(device):
    x = np.arange(24).reshape(2, 3, 4)
    t = tg.tensor(x, device=device)

    def same(ours, theirs):
        np.testing.assert_array_equal(ours.cpu().numpy(), theirs)

    same(t.repeat(2, 1, 1, 3), np.tile(x, (2, 1, 1, 3)))
    same(t.tile(2, 2), np.tile(x, (2, 2)))
    same(t.repeat_interleave(tg.tensor([2, 0, 1], device=device), 1), np.repeat(x, [2, 0, 1], 1))
    same(t.roll((1, -3), (0, 2)), np.roll(x, (1, -3), (0, 2)))
    same(t.roll(5), np.roll(x, 5))
    for k in range(-2, 6):
        same(t.rot90(k, (1, 2)), np.rot90(x, k, (1, 2)))
    for ours, theirs in zip(t.tensor_split(3, 2), np.array_split(x, 3, 2), strict=True):
        same(ours, theirs)
    for ours, theirs in zip(
        tg.meshgrid(t[0, 0], t[0, :, 0], indexing="xy"), np.meshgrid(x[0, 0], x[0, :, 0]), strict=True
    ):
        same(ours, theirs)
    same(tg.vander(t[0, 0], 3), np.vander(x[0, 0], 3))
    same(tg.vstack([t[0], t[0, 0]]), np.vstack([x[0], x[0, 0]]))
    same(tg.hstack([t, t]), np.hstack([x, x]))
    same(tg.dstack([t[0], t[0]]), np.dstack([x[0], x[0]]))


def test_what_does_not_fit():
    x = tg.zeros(2, 3)
    for call, error in [
        (lambda: x.repeat(2), RuntimeError),
        (lambda: x.roll((1, 2), 0), RuntimeError),
        (lambda: x.repeat_interleave(-1), RuntimeError),
        (lambda: x.hsplit(2), RuntimeError),
        (lambda: x.vsplit(3), RuntimeError),
        (lambda: x.dsplit(1), RuntimeError),
        (lambda: x.tensor_split(0), RuntimeError),
        (lambda: tg.meshgrid(x), RuntimeError),
        (lambda: tg.meshgrid(x[0], indexing="ji"), RuntimeError),
        (lambda: tg.broadcast_tensors(x, tg.zeros(2)), RuntimeError),
        (lambda: tg.combinations(x), RuntimeError),
        (lambda: x.select_scatter(tg.zeros(2), 0, 0), RuntimeError),
        (lambda: tg.logspace(0, 1, -1), RuntimeError),
        (lambda: tg.asarray([1], copy=False), ValueError),
    ]:
        with pytest.raises(error):
            call()


@pytest.mark.parametrize("device", DEVICES)
def test_distributions(device):
    g = tg.Generator().manual_seed(3)
    weights = tg.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]], device=device)
    drawn = tg.multinomial(weights, 2000, replacement=True, generator=g).cpu().numpy()
    assert drawn.shape == (2, 2000) and (drawn[1] == 1).all() and (drawn[0] != 1).all()
    assert abs((drawn[0] == 2).mean() - 0.75) < 0.05
    once = weights[0].multinomial(2, generator=g).tolist()
    assert sorted(once) == [0, 2]
    rates = tg.poisson(tg.full((2000,), 4.0, device=device), generator=g).cpu().numpy()
    assert abs(rates.mean() - 4) < 0.3 and abs(rates.var() - 4) < 0.8
    trials = tg.zeros(2000, device=device, dtype=tg.int64).geometric_(0.25, generator=g).cpu().numpy()
    assert trials.min() == 1 and abs(trials.mean() - 4) < 0.4
    sums = tg.zeros(2000, device=device).log_normal_(1.0, 0.5, generator=g).cpu().numpy()
    assert abs(np.log(sums).mean() - 1) < 0.06
    wild = tg.zeros(2000, device=device).cauchy_(2.0, 0.5, generator=g).cpu().numpy()
    assert abs(np.median(wild) - 2) < 0.1
    again = tg.Generator().manual_seed(3)
    assert (tg.multinomial(weights, 2000, replacement=True, generator=again).cpu().numpy() == drawn).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tg.multinomial(tg.tensor([1.0, -1.0]), 1), "finite and not negative"),
        (lambda: tg.multinomial(tg.tensor([0.0, 0.0]), 1), "positive weight"),
        (lambda: tg.multinomial(tg.tensor([1.0, 1.0]), 3), "without replacement"),
        (lambda: tg.poisson(tg.tensor([-1.0])), "not negative"),
        (lambda: tg.zeros(2).geometric_(1.0), "between 0 and 1"),
        (lambda: tg.zeros(2).cauchy_(0.0, 0.0), "sigma > 0"),
        (lambda: tg.zeros(2).log_normal_(0.0, -1.0), "std > 0"),
    ],
)
def test_distributions_refuse(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()
