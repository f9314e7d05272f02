"""Initialisation: ranges, moments, structure, and equal bits on every device."""

import math

import numpy as np
import pytest

import trigrad as tg
from trigrad.nn import init

RANDOM = {
    "uniform_": lambda t: init.uniform_(t, -1.0, 2.0),
    "normal_": lambda t: init.normal_(t, 1.0, 0.5),
    "trunc_normal_": lambda t: init.trunc_normal_(t, std=0.5),
    "xavier_uniform_": init.xavier_uniform_,
    "xavier_normal_": init.xavier_normal_,
    "kaiming_uniform_": init.kaiming_uniform_,
    "kaiming_normal_": init.kaiming_normal_,
    "orthogonal_": init.orthogonal_,
}
SHAPE = (40, 20, 3, 3)
FAN_IN, FAN_OUT = 180, 360
SPREAD = {  # standard deviation aimed at, and the largest possible absolute value
    "xavier_uniform_": (math.sqrt(2 / (FAN_IN + FAN_OUT)), math.sqrt(6 / (FAN_IN + FAN_OUT))),
    "xavier_normal_": (math.sqrt(2 / (FAN_IN + FAN_OUT)), math.inf),
    "kaiming_uniform_": (math.sqrt(2 / FAN_IN), math.sqrt(6 / FAN_IN)),
    "kaiming_normal_": (math.sqrt(2 / FAN_IN), math.inf),
}


@pytest.mark.parametrize("fill", RANDOM.values(), ids=RANDOM)
def test_a_seed_gives_the_same_values_everywhere(fill):
    found = []
    for device in ("cpu", "interpreter"):
        tg.manual_seed(5)
        t = tg.empty(6, 4, device=device)
        assert fill(t) is t
        found.append(t.cpu().numpy())
    np.testing.assert_array_equal(*found)
    assert np.unique(found[0]).size > 10


@pytest.mark.parametrize("name", SPREAD)
def test_spread(name):
    std, most = SPREAD[name]
    tg.manual_seed(0)
    values = RANDOM[name](tg.empty(*SHAPE)).numpy()
    n = values.size
    assert abs(values.mean()) < 5 * std / math.sqrt(n)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(n)
    assert np.abs(values).max() <= most * (1 + 1e-6)


def test_modes_and_gains():
    tg.manual_seed(0)
    t = init.kaiming_normal_(tg.empty(300, 200), mode="fan_out", nonlinearity="relu")
    assert t.numpy().std() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    t = init.kaiming_uniform_(tg.empty(300, 200), a=math.sqrt(5))
    assert np.abs(t.numpy()).max() == pytest.approx(1 / math.sqrt(200), rel=1e-2)
    t = init.xavier_uniform_(tg.empty(300, 200), gain=2.0)
    assert np.abs(t.numpy()).max() == pytest.approx(2 * math.sqrt(6 / 500), rel=1e-2)
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("selu") == 0.75 and init.calculate_gain("conv2d") == 1


def test_uniform_normal_and_truncated():
    tg.manual_seed(0)
    u = init.uniform_(tg.empty(20000), -1.0, 2.0).numpy()
    assert u.min() >= -1 and u.max() < 2 and abs(u.mean() - 0.5) < 0.03
    z = init.normal_(tg.empty(20000), 3.0, 0.5).numpy()
    assert abs(z.mean() - 3) < 0.02 and abs(z.std() - 0.5) < 0.02
    t = init.trunc_normal_(tg.empty(20000), mean=0.0, std=1.0, a=-1.0, b=0.5).numpy()
    assert t.min() >= -1 and t.max() <= 0.5
    density = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (-1.0, 0.5)]
    mass = (math.erf(0.5 / math.sqrt(2)) + math.erf(1 / math.sqrt(2))) / 2
    assert t.mean() == pytest.approx((density[0] - density[1]) / mass, abs=0.02)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (4, 3, 2)])
def test_orthogonal(shape):
    m = init.orthogonal_(tg.empty(*shape, dtype=tg.float64), gain=2.0).numpy().reshape(shape[0], -1)
    product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_constants():
    assert init.ones_(tg.empty(2)).tolist() == [1, 1] and init.zeros_(tg.empty(2)).tolist() == [0, 0]
    assert init.constant_(tg.empty(1, 2), 0.5).tolist() == [[0.5, 0.5]]
    assert init.eye_(tg.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    x = tg.tensor(np.arange(18.0).reshape(1, 2, 3, 3))
    w = init.dirac_(tg.empty(2, 2, 3, 3, dtype=tg.float64))
    np.testing.assert_array_equal(tg.nn.functional.conv2d(x, w, padding=1).numpy(), x.numpy())


def test_leaves_stay_leaves_and_generators_count():
    p = tg.nn.Parameter(tg.empty(3, 3))
    version = p._version
    init.kaiming_uniform_(p)
    assert p.is_leaf and p.requires_grad and p._version > version
    g = [tg.Generator().manual_seed(1) for _ in range(2)]
    a, b = (init.normal_(tg.empty(5), generator=x).tolist() for x in g)
    assert a == b and init.normal_(tg.empty(5), generator=g[0]).tolist() != a


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda t: init.xavier_uniform_(t),
            ValueError,
            r"xavier_uniform_: fan_in and fan_out need at least 2 dimensions, got shape \(3,\)",
        ),
        (
            lambda t: init.kaiming_normal_(t),
            ValueError,
            "kaiming_normal_: fan_in and fan_out need at least 2 dimensions",
        ),
        (
            lambda t: init.kaiming_uniform_(t, mode="sideways"),
            ValueError,
            "expected mode 'fan_in' or 'fan_out', got 'sideways'",
        ),
        (lambda t: init.orthogonal_(t), ValueError, "orthogonal_: expected at least 2 dimensions"),
        (lambda t: init.eye_(t), ValueError, "eye_: expected 2 dimensions"),
        (lambda t: init.dirac_(t), ValueError, "dirac_: expected 3, 4 or 5 dimensions"),
        (lambda t: init.normal_(t, std=-1), RuntimeError, "std >= 0"),
        (lambda t: init.uniform_(t, 2, 1), RuntimeError, "low <= high"),
        (lambda t: init.trunc_normal_(t, a=1, b=1), ValueError, "trunc_normal_: expected std > 0 and a < b"),
        (lambda t: init.calculate_gain("wavy"), ValueError, "got 'wavy'"),
    ],
)
def test_refused(call, kind, message):
    t = tg.zeros(3)
    with pytest.raises(kind, match=message):
        call(t)
    assert t.tolist() == [0, 0, 0]
