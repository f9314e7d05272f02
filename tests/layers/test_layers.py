"""Layers: what they compute beyond their rows, how they begin, and what they refuse."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn

LAYERS = {
    "linear": lambda **kw: nn.Linear(5, 4, **kw),
    "conv": lambda **kw: nn.Conv2d(4, 6, 3, groups=2, **kw),
    "transposed": lambda **kw: nn.ConvTranspose2d(4, 6, 3, groups=2, **kw),
    "norm": lambda **kw: nn.BatchNorm2d(4, **kw),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_seed_gives_the_same_layer_on_every_device(make):
    tg.manual_seed(3)
    here = make()
    tg.manual_seed(3)
    there = make(device="interpreter")
    for (name, a), b in zip(here.state_dict().items(), there.state_dict().values(), strict=True):
        assert b.device.type == "interpreter"
        np.testing.assert_array_equal(a.numpy(), b.cpu().numpy(), err_msg=name)
    assert make(dtype=tg.float64).weight.dtype is tg.float64


@pytest.mark.parametrize(
    "make", [LAYERS[n] for n in ("linear", "conv", "transposed")], ids=["linear", "conv", "transposed"]
)
def test_first_values_fill_their_range(make):
    layer = make()
    bound = 1 / np.sqrt(layer.weight[0].numel())
    for tensor in layer.parameters():
        values = tensor.numpy(force=True)
        assert np.abs(values).max() <= bound and values.min() < 0 < values.max()


def test_batch_norm_remembers_batches(rng):
    x = rng.normal(2.0, 3.0, (8, 3, 4, 5)).astype(np.float32)
    y = rng.normal(-1.0, 0.5, (8, 3, 4, 5)).astype(np.float32)
    plain, average, forgetful = (
        nn.BatchNorm2d(3),
        nn.BatchNorm2d(3, momentum=None),
        nn.BatchNorm2d(3, track_running_stats=False),
    )
    for layer in (plain, average, forgetful):
        layer(tg.tensor(x))
        out = layer(tg.tensor(y)).numpy(force=True)
        np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-5)
    means = [a.mean((0, 2, 3)) for a in (x, y)]
    spreads = [a.var((0, 2, 3), ddof=1) for a in (x, y)]
    np.testing.assert_allclose(plain.running_mean.numpy(), 0.09 * means[0] + 0.1 * means[1], rtol=1e-5)
    np.testing.assert_allclose(plain.running_var.numpy(), 0.81 + 0.09 * spreads[0] + 0.1 * spreads[1], rtol=1e-5)
    np.testing.assert_allclose(average.running_mean.numpy(), (means[0] + means[1]) / 2, rtol=1e-5, atol=1e-6)
    assert plain.num_batches_tracked.item() == 2 and forgetful.running_mean is None
    assert list(forgetful.state_dict()) == ["weight", "bias"]
    seen = plain.eval().running_mean.tolist()
    out = plain(tg.tensor(x)).numpy(force=True)
    expected = (x - plain.running_mean.numpy()[:, None, None]) / np.sqrt(plain.running_var.numpy() + 1e-5)[
        :, None, None
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    assert plain.running_mean.tolist() == seen and plain.num_batches_tracked.item() == 2
    plain.reset_running_stats()
    assert plain.running_var.tolist() == [1.0] * 3 and plain.num_batches_tracked.item() == 0
    with pytest.raises(ValueError, match=r"BatchNorm2d: expected 4 dimensions, got shape \(2, 3\)"):
        plain(tg.zeros(2, 3))
    assert nn.BatchNorm1d(3)(tg.tensor(x[:, :, 0, 0])).shape == (8, 3)


def test_dropout_depends_on_the_mode():
    layer = nn.Dropout(0.25)
    x = tg.ones(4, 250)
    out = layer(x)
    values = np.unique(out.numpy())
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-6)
    assert 0.2 < (out.numpy() == 0).mean() < 0.3
    assert layer.eval()(x).tolist() == x.tolist()
    planes = nn.Dropout2d(0.5)(tg.ones(6, 8, 3, 3)).numpy().reshape(48, 9)
    assert (planes.min(1) == planes.max(1)).all() and 0 < (planes.max(1) == 0).mean() < 1
    with pytest.raises(ValueError, match=r"Dropout: expected p in \[0, 1\], got 1.5"):
        nn.Dropout(1.5)


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.LeakyReLU(0.2, inplace=True)], ids=["relu", "leaky_relu"])
def test_activations_in_place(layer, device):
    x = tg.tensor([-1.0, 0.0, 2.0], device=device, requires_grad=True)
    y = x * 3
    out = layer(y)
    assert out is y
    out.sum().backward()
    slope = getattr(layer, "negative_slope", 0.0)
    np.testing.assert_allclose(out.detach().cpu().numpy(), [-3 * slope, 0, 6], rtol=1e-6)
    np.testing.assert_allclose(x.grad.cpu().numpy(), [3 * slope, 3 * slope, 3], rtol=1e-6)
    with pytest.raises(RuntimeError, match="leaf"):
        layer(x)


def test_a_negative_slope_in_place_is_refused():
    x = tg.tensor([1.0], requires_grad=True) * 1
    with pytest.raises(RuntimeError, match="leaky_relu_: expected negative_slope >= 0 in place, got -1"):
        nn.LeakyReLU(-1, inplace=True)(x)


def test_output_size_of_a_transposed_convolution():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = tg.ones(1, 2, 5, 5)
    assert layer(x).shape == (1, 3, 9, 9)
    assert layer(x, output_size=(10, 9)).shape == (1, 3, 10, 9)
    assert layer(x, output_size=[1, 3, 10, 10]).shape == (1, 3, 10, 10)
    with pytest.raises(ValueError, match=r"output_size \(11, 9\) must lie between \(9, 9\) and \(10, 10\)"):
        layer(x, output_size=(11, 9))
    with pytest.raises(ValueError, match="output_size must have 2 or 4 numbers"):
        layer(x, output_size=(9,))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: in_channels=3 is not divisible by groups=2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "Conv2d: out_channels=3 is not divisible by groups=2"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), "Conv2d: groups must be positive, got 0"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), r"Conv2d: kernel_size must be one number or a pair, got \(3, 3, 3\)"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), "Conv2d: expected padding 'same', 'valid' or numbers, got 'full'"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), r"Conv2d: padding='same' needs stride 1, got \(2, 2\)"),
        (
            lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"),
            "Conv2d: expected padding_mode 'zeros', 'reflect', 'replicate', 'circular', got 'mirror'",
        ),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding="same"), "ConvTranspose2d: padding must be numbers, got 'same'"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unflatten_wants_a_tuple():
    with pytest.raises(TypeError, match="Unflatten: unflattened_size must be a tuple of integers, got 6"):
        nn.Unflatten(1, 6)


def test_losses_hold_their_options():
    weight = tg.tensor([1.0, 3.0])
    loss = nn.CrossEntropyLoss(weight, reduction="sum")
    assert list(loss.state_dict()) == ["weight"] and loss.weight is weight
    logits, classes = tg.zeros(2, 2), tg.tensor([0, 1])
    assert loss(logits, classes).item() == pytest.approx(4 * np.log(2))
    assert nn.NLLLoss()(tg.tensor([[-1.0, -2.0]]), tg.tensor([1])).item() == 2.0
    assert nn.MSELoss(reduction="none")(tg.tensor([1.0, 2.0]), tg.tensor([0.0, 4.0])).tolist() == [1.0, 4.0]
    assert nn.BCEWithLogitsLoss()(tg.zeros(3), tg.ones(3)).item() == pytest.approx(np.log(2))
    with pytest.raises(ValueError, match="reduction"):
        nn.MSELoss(reduction="middle")(tg.zeros(1), tg.zeros(1))
