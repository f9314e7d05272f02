"""Weight and spectral normalisation, both ways, against PyTorch's; parametrizations of one's own; vectors; padding."""

import copy

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn

utils = nn.utils


def pair(apply, module, *args, **options):
    """The two libraries' modules, normalised alike, with one state."""
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, module)(*args), getattr(torch.nn, module)(*args)
    ours, theirs = apply(nn.utils, ours, **options), apply(torch.nn.utils, theirs, **options)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    return ours, theirs


def compare(ours, theirs, x):
    torch = pytest.importorskip("torch")
    for _ in range(2):
        out, expected = ours(tg.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(out.numpy(force=True), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
        (out * out).sum().backward()
        (expected * expected).sum().backward()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)
        for key, value in theirs.state_dict().items():  # singular vectors moved alike
            np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
        ours.eval()
        theirs.eval()


WAYS = {
    "weight norm": lambda u, m, **o: u.parametrizations.weight_norm(m, **o),
    "spectral norm": lambda u, m, **o: u.parametrizations.spectral_norm(m, **o),
    "older spectral norm": lambda u, m, **o: u.spectral_norm(m, **o),
}
CASES = [
    ("Linear", (4, 3), (5, 4), {}),
    ("Conv2d", (2, 3, 3), (2, 2, 5, 5), {}),
    ("ConvTranspose2d", (2, 3, 3), (2, 2, 4, 4), {}),
]


@pytest.mark.peer
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("module, args, shape, options", CASES, ids=[c[0] for c in CASES])
def test_normalised_layers_equal_theirs(way, module, args, shape, options, rng):
    compare(*pair(WAYS[way], module, *args, **options), rng.normal(size=shape).astype(np.float32))


@pytest.mark.peer
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_along_other_dimensions(dim, rng):
    x = rng.normal(size=(5, 4)).astype(np.float32)
    compare(*pair(WAYS["weight norm"], "Linear", 4, 3, dim=dim), x)


def test_older_weight_norm(rng):
    net = nn.Linear(4, 3)
    weight = net.weight.numpy(force=True).copy()
    x = tg.tensor(rng.normal(size=(2, 4)).astype(np.float32))
    expected = net(x).numpy(force=True)
    assert utils.weight_norm(net) is net
    assert sorted(net.state_dict()) == ["bias", "weight_g", "weight_v"] and net.weight_g.shape == (3, 1)
    np.testing.assert_allclose(net(x).numpy(force=True), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="Linear: 'weight' is normalised already"):
        utils.weight_norm(net)
    net(x).sum().backward()
    assert net.weight_g.grad.shape == (3, 1) and net.weight_v.grad.shape == (3, 4)
    utils.remove_weight_norm(net)
    assert sorted(net.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(net.weight.numpy(force=True), weight, rtol=1e-5)
    with pytest.raises(ValueError, match="'weight' is not normalised"):
        utils.remove_weight_norm(net)


@pytest.mark.parametrize("older", [True, False])
def test_spectral_norm_makes_the_norm_one(older, rng):
    tg.manual_seed(0)
    net = (utils.spectral_norm if older else utils.parametrizations.spectral_norm)(
        nn.Linear(6, 4), n_power_iterations=30
    )
    net(tg.ones(1, 6))
    assert np.linalg.norm(net.weight.numpy(force=True), 2) == pytest.approx(1, rel=1e-3)
    if older:
        utils.remove_spectral_norm(net)
    else:
        utils.parametrize.remove_parametrizations(net, "weight")
    assert type(net) is nn.Linear and sorted(net.state_dict()) == ["bias", "weight"]
    assert np.linalg.norm(net.weight.numpy(force=True), 2) == pytest.approx(1, rel=1e-3)


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(0, 1)

    def right_inverse(self, x):
        return x.triu()


class Double(nn.Module):
    def forward(self, x):
        return x * 2


def test_parametrizations_of_ones_own():
    net = nn.Linear(3, 3)
    first = net.weight
    utils.parametrize.register_parametrization(net, "weight", Symmetric())
    assert type(net).__name__ == "ParametrizedLinear" and isinstance(net, nn.Linear)
    assert utils.parametrize.is_parametrized(net, "weight") and not utils.parametrize.is_parametrized(net, "bias")
    assert sorted(net.state_dict()) == ["bias", "parametrizations.weight.original"]
    np.testing.assert_array_equal(net.weight.numpy(force=True), net.weight.numpy(force=True).T)
    net.weight = tg.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    assert net.weight.tolist()[2] == [3.0, 5.0, 6.0]
    assert net.parametrizations.weight.original.tolist()[2] == [0.0, 0.0, 6.0]
    with utils.parametrize.cached():
        assert net.weight is net.weight
    assert net.weight is not net.weight
    copied = copy.deepcopy(net)
    copied(tg.ones(1, 3)).sum().backward()
    assert copied.parametrizations.weight.original.grad is not None
    assert net.parametrizations.weight.original.grad is None
    utils.parametrize.register_parametrization(net, "weight", Double())
    assert net.weight[0, 0].item() == 2.0
    with pytest.raises(RuntimeError, match="Double: define right_inverse"):
        net.weight = tg.ones(3, 3)
    utils.parametrize.remove_parametrizations(net, "weight")
    assert type(net) is nn.Linear and net.weight[0, 0].item() == 2.0 and isinstance(net.weight, nn.Parameter)
    assert first.shape == (3, 3)
    with pytest.raises(ValueError, match="Linear has no parameter or buffer 'scale' to parametrize"):
        utils.parametrize.register_parametrization(net, "scale", Double())

    class Wider(nn.Module):
        def forward(self, x):
            return x[:2]

    with pytest.raises(ValueError, match=r"changes \(3, 3\) of float32 into \(2, 3\)"):
        utils.parametrize.register_parametrization(net, "weight", Wider())
    assert type(net) is nn.Linear and sorted(net.state_dict()) == ["bias", "weight"]


def test_vectors():
    net = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    utils.vector_to_parameters(tg.arange(9.0), net.parameters())
    assert net.weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] and net.bias.tolist() == [6.0, 7.0, 8.0]
    with pytest.raises(RuntimeError, match="expected a vector of 9 elements"):
        utils.vector_to_parameters(tg.zeros(8), net.parameters())
    with pytest.raises(TypeError, match="expected a Tensor, got list"):
        utils.vector_to_parameters([1.0], net.parameters())


@pytest.mark.peer
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_padding_equals_theirs(side, batch_first, rng):
    torch = pytest.importorskip("torch")
    arrays = [rng.normal(size=(n, 2)) for n in (3, 1, 4)]
    given = {"batch_first": batch_first, "padding_value": -1.0, "padding_side": side}
    ours = utils.rnn.pad_sequence([tg.tensor(a) for a in arrays], **given)
    theirs = torch.nn.utils.rnn.pad_sequence([torch.tensor(a) for a in arrays], **given)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    if side == "right":
        back = utils.rnn.unpad_sequence(ours, tg.tensor([3, 1, 4]), batch_first)
        assert all(np.array_equal(x.numpy(), a) for x, a in zip(back, arrays, strict=True))


def test_padding_nothing():
    with pytest.raises(RuntimeError, match="expected at least one sequence"):
        utils.rnn.pad_sequence([])


def test_sparse_first_values():
    weight = nn.init.sparse_(tg.zeros(10, 7), 0.25, std=2.0)
    assert ((weight == 0).sum(0) == 3).sum().item() == 7 and weight.std().item() > 1
    with pytest.raises(ValueError, match="sparse_: expected 2 dimensions"):
        nn.init.sparse_(tg.zeros(3), 0.5)
