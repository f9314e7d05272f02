"""Functions of one number and activations against PyTorch on the CPU: values, dtypes, gradients twice, in place, modules."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn
from trigrad.nn import functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0, np.inf, -np.inf, np.nan, 30.0, -30.0, 1e-6]
FUNCTIONS = (
    "log1p expm1 log2 log10 exp2 rsqrt square reciprocal sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc "
    "erfinv floor ceil round trunc frac sign sinc deg2rad rad2deg logit arcsin arccos arctan arcsinh arccosh arctanh "
    "fix negative absolute exp log sqrt tanh sigmoid abs neg"
).split()
ACTIVATIONS = {
    "elu": [{}, {"alpha": 0.3}],
    "selu": [{}],
    "celu": [{}, {"alpha": 0.4}, {"alpha": -0.4}],
    "softplus": [{}, {"beta": 2.0, "threshold": 1.0}],
    "softsign": [{}],
    "silu": [{}],
    "gelu": [{}, {"approximate": "tanh"}],
    "mish": [{}],
    "hardtanh": [{}, {"min_val": -0.25, "max_val": 2.0}],
    "hardsigmoid": [{}],
    "hardswish": [{}],
    "relu6": [{}],
    "logsigmoid": [{}],
    "rrelu": [{}, {"lower": 0.1, "upper": 0.6}],
    "hardshrink": [{}, {"lambd": 1.0}],
    "softshrink": [{}, {"lambd": 1.0}],
    "tanhshrink": [{}],
    "threshold": [{"threshold": 0.5, "value": -2.0}],
    "glu": [{}, {"dim": 0}],
    "softmin": [{"dim": 0}, {"dim": -1}],
}
CALLS = [(tg, torch, name, {}) for name in FUNCTIONS] + [(tg, torch, "logit", {"eps": 0.1})]
CALLS += [(tg, torch, "round", {"decimals": 2}), (tg, torch, "round", {"decimals": -1})]
CALLS += [(F, torch.nn.functional, name, given) for name, all_given in ACTIVATIONS.items() for given in all_given]
ROUGH = ("celu", "hardsigmoid")  # PyTorch keeps a constant of theirs in float32
SKIPPED = {  # where PyTorch's own answer is not the formula's: its short cuts in float32, lost digits, signs off the domain
    "gelu": (np.inf,),
    "sinc": (1e-6,),
    "acosh": (-1.0,),
    "arccosh": (-1.0,),
    "rsqrt": (-0.0,),
    "logit": (-0.0,),
}
IDS = [f"{name} {given}" for _, _, name, given in CALLS]


def close(got, expected, dtype):
    eps = {"float64": 2.0**-44, "float32": 2.0**-18, "float16": 2.0**-9, "bfloat16": 2.0**-6}[dtype]
    got, expected = got.detach().double().numpy(), expected.detach().double().numpy(force=True)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=eps, atol=eps)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def edges(name):
    return np.array(
        [v for v in EDGES if not any(v == s and np.signbit(v) == np.signbit(s) for s in SKIPPED.get(name, ()))]
    )


def pair(values, dtype):
    return tg.tensor(values).to(getattr(tg, dtype)), torch.tensor(values).to(getattr(torch, dtype))


@pytest.mark.parametrize("ours, theirs, name, given", CALLS, ids=IDS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_values(ours, theirs, name, given, dtype, rng):
    for values in (
        rng.normal(size=(4, 6)) * 2,
        edges(name),
        np.zeros((2, 0)),
        rng.uniform(0.01, 0.99, (3, 8)),
    ):
        if name in ("glu", "softmin") and values.shape != (4, 6):
            continue
        x, t = pair(values, dtype)
        got, expected = getattr(ours, name)(x, **given), getattr(theirs, name)(t, **given)
        assert str(expected.dtype) == f"torch.{got.dtype.name}"
        close(got, expected, dtype)


@pytest.mark.parametrize("ours, theirs, name, given", CALLS, ids=IDS)
def test_gradients_twice(ours, theirs, name, given, rng):
    places = [rng.uniform(0.05, 0.95, (4, 6))]
    if "logit" not in name:
        places += [rng.normal(size=(4, 6)), rng.uniform(1.1, 7.0, (4, 6)), rng.uniform(-9, -1, (4, 6))]
    for values in places:
        x, t = pair(values, "float64")
        x.requires_grad_(), t.requires_grad_()
        u, v = pair(rng.normal(size=getattr(theirs, name)(t, **given).shape), "float64")
        (g,) = tg.autograd.grad((getattr(ours, name)(x, **given) * u).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad((getattr(theirs, name)(t, **given) * v).sum(), t, create_graph=True)
        close(g, h, "float32" if name in ROUGH else "float64")
        if name == "hardsigmoid":  # PyTorch has no second gradient
            continue
        if not h.requires_grad:
            assert not g.requires_grad
            continue
        (h,) = torch.autograd.grad((h * h).sum(), t)
        if g.requires_grad:
            (g,) = tg.autograd.grad((g * g).sum(), x)
            close(g, h, "float32" if name in ROUGH else "float64")
        else:  # a gradient that is constant piece by piece has no history
            assert not h.any()


@pytest.mark.parametrize("ours, theirs, name, given", CALLS, ids=IDS)
def test_gradients_at_edges(ours, theirs, name, given):
    if name in ("glu", "softmin"):
        return
    x, t = pair(edges(name), "float64")
    x.requires_grad_(), t.requires_grad_()
    getattr(ours, name)(x, **given).sum().backward()
    getattr(theirs, name)(t, **given).sum().backward()
    close(x.grad, t.grad, "float32" if name in ROUGH else "float64")


@pytest.mark.parametrize("ours, theirs, name, given", CALLS, ids=IDS)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_integers(ours, theirs, name, given, dtype):
    x, t = pair(np.array([[0, 1, 5, 3], [1, 2, 0, 1]]), dtype)
    try:
        expected = getattr(theirs, name)(t, **given)
    except RuntimeError:  # NotImplementedError too
        with pytest.raises(RuntimeError):
            getattr(ours, name)(x, **given)
        return
    got = getattr(ours, name)(x, **given)
    assert str(expected.dtype) == f"torch.{got.dtype.name}"
    close(got, expected, "float32")


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if hasattr(torch.Tensor, f"{n}_")])
def test_methods_and_in_place(name, rng):
    x, t = pair(rng.uniform(0.05, 0.95, (3, 5)), "float64")
    close(getattr(x, name)(), getattr(t, name)(), "float64")
    x.requires_grad_(), t.requires_grad_()
    y, z = x + 0.01, t + 0.01
    assert getattr(y, f"{name}_")() is y
    inverse = name.endswith(("sinh", "cosh", "tanh")) and name.startswith("a")  # these have no gradient in place there
    z = getattr(z, name if inverse else f"{name}_")()
    close(y, z, "float64")
    y.sum().backward(), z.sum().backward()
    close(x.grad, t.grad, "float64")


@pytest.mark.parametrize(
    "name", "relu relu6 hardtanh hardsigmoid hardswish elu selu celu silu mish leaky_relu rrelu".split()
)
def test_activations_in_place(name, rng):
    x, t = pair(rng.normal(size=(3, 5)) * 4, "float64")
    x.requires_grad_(), t.requires_grad_()
    y, z = x * 1.5, t * 1.5
    assert getattr(F, name)(y, inplace=True) is y
    getattr(torch.nn.functional, name)(z, inplace=True)
    close(y, z, "float64")
    (y * y).sum().backward(), (z * z).sum().backward()
    close(x.grad, t.grad, "float32" if name in ROUGH else "float64")


def test_other_in_place_forms(rng):
    for name, *given in [
        ("elu_", 0.5),
        ("selu_",),
        ("celu_", 0.5),
        ("hardtanh_", -0.5, 0.5),
        ("threshold_", 0.1, 2.0),
        ("relu_",),
    ]:
        x, t = pair(rng.normal(size=(3, 5)), "float64")
        assert getattr(F, name)(x, *given) is x
        getattr(torch.nn.functional, name)(t, *given)
        close(x, t, "float64")
    for name, *given in [
        ("round_", {"decimals": 1}),
        ("logit_", {"eps": 0.3}),
        ("square_", {}),
        ("deg2rad_", {}),
        ("rad2deg_", {}),
    ]:
        x, t = pair(rng.uniform(0.1, 0.9, (3, 5)), "float64")
        assert getattr(x, name)(**given[0]) is x
        close(x, getattr(t, name)(**given[0]), "float64")


@pytest.mark.parametrize(
    "shape, channels", [((4,), 1), ((), 1), ((3, 4), 4), ((3, 4), 1), ((2, 3, 4), 3), ((2, 3, 4, 5), 3)]
)
def test_prelu(shape, channels, rng):
    x, t = pair(rng.normal(size=shape), "float64")
    w, v = pair(rng.normal(size=(channels,)), "float64")
    for tensor in (x, t, w, v):
        tensor.requires_grad_()
    a, b = F.prelu(x, w), torch.nn.functional.prelu(t, v)
    close(a, b, "float64")
    grads = tg.autograd.grad((a * a).sum(), (x, w), create_graph=True)
    others = torch.autograd.grad((b * b).sum(), (t, v), create_graph=True)
    for g, h in zip(grads, others, strict=True):
        close(g, h, "float64")
    seconds = tg.autograd.grad(sum((g * g).sum() for g in grads), (x, w))
    for g, h in zip(seconds, torch.autograd.grad(sum((g * g).sum() for g in others), (t, v)), strict=True):
        close(g, h, "float64")


def test_rrelu_in_training(rng):
    x = tg.tensor(rng.normal(size=(400, 50)), requires_grad=True)
    tg.manual_seed(3)
    y = F.rrelu(x, 0.1, 0.3, training=True)
    y.sum().backward()
    a, b, g = x.detach().numpy(), y.detach().numpy(), x.grad.numpy()
    np.testing.assert_array_equal(b[a > 0], a[a > 0])
    slopes = b[a < 0] / a[a < 0]
    assert slopes.min() >= 0.1 - 1e-6 and slopes.max() <= 0.3 + 1e-6
    assert abs(slopes.mean() - 0.2) < 0.003 and abs(slopes.std() - 0.2 / 12**0.5) < 0.002
    np.testing.assert_allclose(g[a < 0], slopes, rtol=1e-5)
    tg.manual_seed(3)
    z = tg.tensor(a).clone()
    assert F.rrelu_(z, 0.1, 0.3, training=True) is z
    np.testing.assert_array_equal(z.numpy(), b)


MODULES = [
    ("ReLU6", ()), ("ReLU6", (True,)), ("Hardtanh", ()), ("Hardtanh", (-2.0, 0.5, True)), ("Hardsigmoid", ()),
    ("Hardswish", ()), ("ELU", ()), ("ELU", (0.5, True)), ("SELU", ()), ("SELU", (True,)), ("CELU", (0.5,)),
    ("CELU", (0.5, True)), ("GELU", ()), ("GELU", ("tanh",)), ("SiLU", ()), ("SiLU", (True,)), ("Mish", ()),
    ("Softplus", ()), ("Softplus", (2.0, 4.0)), ("Softsign", ()), ("Tanhshrink", ()), ("LogSigmoid", ()),
    ("Hardshrink", ()), ("Softshrink", (0.25,)), ("Threshold", (0.5, 2.0)), ("Threshold", (0.5, 2.0, True)), ("RReLU", ()),
    ("GLU", ()), ("GLU", (0,)), ("Softmin", (1,)), ("PReLU", ()), ("PReLU", (6, 0.1)),
]  # fmt: skip


@pytest.mark.parametrize("name, given", MODULES, ids=lambda v: str(v))
def test_modules(name, given, rng):
    ours, theirs = getattr(nn, name)(*given).eval(), getattr(torch.nn, name)(*given).eval()
    assert repr(ours) == repr(theirs)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    x, t = pair(rng.normal(size=(4, 6)) * 3, "float32")
    close(ours(x), theirs(t), "float32")


def test_softmax2d(rng):
    for shape in ((2, 3, 4, 5), (3, 4, 5)):
        x, t = pair(rng.normal(size=shape), "float64")
        close(nn.Softmax2d()(x), torch.nn.Softmax2d()(t), "float64")
    with pytest.raises(ValueError, match="Softmax2d"):
        nn.Softmax2d()(tg.ones(2, 3))


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda m, f: f.glu(m.ones(3)), RuntimeError),
        (lambda m, f: f.glu(m.ones(4), dim=2), IndexError),
        (lambda m, f: f.gelu(m.ones(3), approximate="x"), RuntimeError),
        (lambda m, f: f.softshrink(m.ones(3), -1.0), RuntimeError),
        (lambda m, f: f.hardtanh(m.ones(3), 1.0, -1.0), ValueError),
        (lambda m, f: f.celu(m.ones(3), 0.0), RuntimeError),
        (lambda m, f: f.prelu(m.ones(2, 3), m.ones(2)), RuntimeError),
        (lambda m, f: f.prelu(m.ones(2, 3), m.ones(3, 1)), RuntimeError),
        (lambda m, f: f.prelu(m.ones(2, 3), m.ones(3).double()), RuntimeError),
        (lambda m, f: f.rrelu(m.ones(3), 0.5, 0.1), RuntimeError),
        (lambda m, f: f.rrelu(m.ones(3), float("nan"), 0.1, training=True), RuntimeError),
        (lambda m, f: m.tensor([1, 2]).sin_(), RuntimeError),
        (lambda m, f: m.positive(m.tensor([True])), RuntimeError),
    ],
)  # fmt: skip
def test_errors(call, error):
    for m, f in ((tg, F), (torch, torch.nn.functional)):
        with pytest.raises(error):
            call(m, f)
