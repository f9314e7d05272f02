"""Layers and optimizers against PyTorch's: outputs, state dicts both ways, trajectories, how things print."""

import numpy as np
import pytest

import trigrad as tg

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")


def as_torch(state):
    return {k: torch.from_numpy(np.array(v.numpy())) for k, v in state.items()}


def as_ours(state):
    return {k: v.numpy() for k, v in state.items()}


def residual_net(nn, base):
    """A small residual network, built of either library's layers."""

    class Residual(base):
        def __init__(self, inside, outside, stride):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outside),
                nn.ReLU(),
                nn.Conv2d(outside, outside, 3, padding=1, bias=False),
                nn.BatchNorm2d(outside),
            )
            same = stride == 1 and inside == outside
            self.shortcut = (
                nn.Identity()
                if same
                else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
            )
            self.last = nn.LeakyReLU(0.1)

        def forward(self, x):
            return self.last(self.body(x) + self.shortcut(x))

    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, return_indices=False),
        Residual(4, 4, 1),
        Residual(4, 8, 2),
        nn.AvgPool2d(2),
        nn.ConvTranspose2d(8, 4, 4, 2, 1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d((1, 2)),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(8, 6),
        nn.Unflatten(1, (2, 3)),
        nn.Flatten(),
        nn.LogSoftmax(1),
    )


def both():
    return residual_net(tg.nn, tg.nn.Module), residual_net(torch.nn, torch.nn.Module)


def test_a_residual_network_computes_the_same():
    torch.manual_seed(0)
    tg.manual_seed(0)
    ours, theirs = both()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    x = np.random.default_rng(0).normal(size=(5, 3, 16, 16)).astype(np.float32)
    y = np.array([0, 1, 2, 3, 5])
    for direction in ("to torch", "from torch"):
        if direction == "to torch":
            theirs.load_state_dict(as_torch(ours.state_dict()))
        else:
            theirs = both()[1]
            ours.load_state_dict(as_ours(theirs.state_dict()))
        ours.zero_grad()
        loss = tg.nn.NLLLoss()(ours(tg.tensor(x)), tg.tensor(y))
        loss.backward()
        theirs_loss = torch.nn.NLLLoss()(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        theirs_loss.backward()
        assert loss.item() == pytest.approx(theirs_loss.item(), rel=1e-5)
        gradients = dict(theirs.named_parameters())
        for name, p in ours.named_parameters():
            expected = gradients[name].grad.numpy()
            np.testing.assert_allclose(
                p.grad.numpy(), expected, rtol=1e-3, atol=1e-5 * max(1, np.abs(expected).max()), err_msg=name
            )
        for name, value in theirs.state_dict().items():  # running statistics moved alike
            np.testing.assert_allclose(
                ours.state_dict()[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=name
            )
        out = ours.eval()(tg.tensor(x)).numpy(force=True)
        np.testing.assert_allclose(out, theirs.eval()(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-5)
        ours.train()
        theirs.train()


LAYERS = [
    ("Linear", (3, 4), {}),
    ("Linear", (3, 4), {"bias": False}),
    ("Identity", (3,), {}),
    ("Conv2d", (2, 4, 3), {}),
    ("Conv2d", (2, 4, (3, 1)), {"stride": 2, "padding": (1, 0), "dilation": 2, "groups": 2, "bias": False}),
    ("Conv2d", (2, 4, 3), {"padding": "same"}),
    ("ConvTranspose2d", (4, 2, 3), {}),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "dilation": 1}),
    ("BatchNorm2d", (3,), {}),
    ("BatchNorm2d", (3,), {"momentum": None, "affine": False, "eps": 1e-3}),
    ("BatchNorm1d", (3,), {"track_running_stats": False}),
    ("MaxPool2d", (2,), {}),
    ("MaxPool2d", ((3, 2),), {"stride": 1, "padding": 1, "ceil_mode": True}),
    ("AvgPool2d", (2,), {"count_include_pad": False}),
    ("AdaptiveAvgPool2d", ((1, None),), {}),
    ("Flatten", (), {}),
    ("Unflatten", (1, (2, 3)), {}),
    ("Dropout", (), {}),
    ("Dropout2d", (0.25,), {}),
    ("ReLU", (), {}),
    ("ReLU", (), {"inplace": True}),
    ("LeakyReLU", (), {}),
    ("LeakyReLU", (0.2,), {"inplace": True}),
    ("Tanh", (), {}),
    ("Sigmoid", (), {}),
    ("Softmax", (), {"dim": 1}),
    ("LogSoftmax", (), {"dim": -1}),
    ("MSELoss", (), {}),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}),
    ("NLLLoss", (), {}),
    ("BCEWithLogitsLoss", (), {"reduction": "sum"}),
    ("Sequential", (), {}),
    ("ModuleList", (), {}),
    ("ModuleDict", (), {}),
]


@pytest.mark.parametrize("name, args, options", LAYERS, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(LAYERS)])
def test_layers_are_made_alike(name, args, options):
    ours, theirs = getattr(tg.nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == shapes
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    public = {k: v for k, v in vars(theirs).items() if not k.startswith("_") and k not in ("call_super_init",)}
    for key, value in public.items():
        if key not in ("op", "size_average", "reduce"):
            assert getattr(ours, key) == value, key


@pytest.mark.parametrize(
    "name, args, options",
    [
        ("Linear", (30, 40), {}),
        ("Conv2d", (4, 20, 3), {"groups": 2}),
        ("ConvTranspose2d", (6, 10, 3), {}),
    ],
    ids=["linear", "conv", "transposed"],
)
def test_first_values_have_one_distribution(name, args, options):
    torch.manual_seed(0)
    tg.manual_seed(0)
    for key in ("weight", "bias"):
        ours = np.concatenate(
            [getattr(getattr(tg.nn, name)(*args, **options), key).numpy(force=True).ravel() for _ in range(20)]
        )
        theirs = np.concatenate(
            [getattr(getattr(torch.nn, name)(*args, **options), key).detach().numpy().ravel() for _ in range(20)]
        )
        steps = np.quantile(theirs, np.linspace(0, 1, 11))
        share = np.histogram(ours, steps)[0] / ours.size
        assert np.abs(share - 0.1).max() < 5 / np.sqrt(ours.size)
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.05)


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "maximize": True, "momentum": 0.5}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.999), "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "eps": 1e-3, "maximize": True, "amsgrad": True, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("name, options", OPTIMIZERS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(OPTIMIZERS)])
def test_trajectories(name, options):
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=s) for s in ((4, 3), (3,), ())]
    ours = [tg.tensor(s, requires_grad=True) for s in starts]
    theirs = [torch.tensor(s, requires_grad=True) for s in starts]
    a, b = getattr(tg.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(10):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            gradient = rng.normal(size=p.shape)
            absent = i == 1 and step % 3 == 1
            p.grad = None if absent else tg.tensor(gradient)
            q.grad = None if absent else torch.tensor(gradient)
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-12)
    kept = b.state_dict()["state"]
    for number, state in a.state_dict()["state"].items():
        for key, value in state.items():
            np.testing.assert_allclose(value if key == "step" else value.numpy(), kept[number][key].numpy(), rtol=1e-10)
