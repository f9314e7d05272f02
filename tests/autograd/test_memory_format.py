"""Memory formats: shapes and values never change, strides tell the truth, and they are PyTorch's."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn

DEVICES = ["cpu", "interpreter"]
LAST = "channels_last"

# calls of an image tensor in channels-last order, written for either library
CALLS = {
    "contiguous": lambda x, m: x.contiguous(),
    "contiguous again": lambda x, m: x.contiguous(memory_format=m.channels_last),
    "clone": lambda x, m: x.clone(),
    "clone row-major": lambda x, m: x.clone(memory_format=m.contiguous_format),
    "to row-major": lambda x, m: x.to(memory_format=m.contiguous_format),
    "to dtype": lambda x, m: x.to(m.float64),
    "to dtype and format": lambda x, m: x.contiguous().to(m.float64, memory_format=m.channels_last),
    "cpu": lambda x, m: x.cpu(),
    "relu": lambda x, m: x.relu(),
    "sum of two": lambda x, m: x + x,
    "with a channel's": lambda x, m: x * m.ones(x.shape[1], 1, 1, device=x.device),
    "where": lambda x, m: m.where(x > 0, x, 0.0),
    "zeros_like": lambda x, m: m.zeros_like(x),
    "ones_like": lambda x, m: m.ones_like(x),
    "full_like row-major": lambda x, m: m.full_like(x, 2.0, memory_format=m.contiguous_format),
    "empty_like": lambda x, m: m.empty_like(x),
    "rand_like": lambda x, m: m.rand_like(x),
    "randn_like": lambda x, m: m.randn_like(x),
    "randint_like": lambda x, m: m.randint_like(x, 5),
    "empty": lambda x, m: m.empty(x.shape, memory_format=m.channels_last),
    "ones_like, permuted": lambda x, m: m.ones_like(x.permute(3, 1, 0, 2)),
    "empty_like, with gaps": lambda x, m: m.empty_like(x.permute(3, 1, 0, 2)[::2]),
    "reshape": lambda x, m: x.reshape(x.shape[0], -1),
    "flatten": lambda x, m: x.flatten(1),
    "view": lambda x, m: x.view(x.shape[0], -1),
    "view of pixels": lambda x, m: x.view(x.shape[0], x.shape[1], -1),
    "three dimensions": lambda x, m: x[0].contiguous(memory_format=m.channels_last),
    "preserve, not row-major": lambda x, m: x.contiguous(memory_format=m.preserve_format),
    "preserve, row-major": lambda x, m: x.contiguous().contiguous(memory_format=m.preserve_format),
    "is_contiguous": lambda x, m: m.tensor([x.is_contiguous(), x.is_contiguous(memory_format=m.channels_last)]),
    "pool": lambda x, m: m.nn.functional.max_pool2d(x, 2, padding=1),
    "batch norm": lambda x, m: m.nn.functional.batch_norm(x, None, None, training=True),
    "conv": lambda x, m: m.nn.functional.conv2d(x, m.ones(4, x.shape[1], 1, 1, device=x.device)),
}


def strides(x):
    """Those of dimensions in which there is a step to make."""
    return tuple(s for s, n in zip(x.stride(), x.shape, strict=True) if n != 1)


@pytest.mark.peer
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 4, 5), (2, 1, 4, 5), (2, 3, 2, 1)])
@pytest.mark.parametrize("name", CALLS)
def test_strides_are_pytorchs(name, shape, device):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = []
    for library, x in ((tg, tg.tensor(values, device=device)), (torch, torch.tensor(values))):
        try:
            found.append(CALLS[name](x.contiguous(memory_format=library.channels_last), library))
        except RuntimeError:
            found.append(None)
    ours, theirs = found
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert tuple(ours.shape) == tuple(theirs.shape) and strides(ours) == strides(theirs)
        if "rand" not in name and "empty" not in name:
            np.testing.assert_allclose(ours.detach().cpu().numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_values_and_gradients_do_not_depend_on_it(device):
    x = tg.tensor(np.arange(120.0).reshape(2, 3, 4, 5), device=device, requires_grad=True)
    last = x.to(memory_format=tg.channels_last)
    assert last.shape == x.shape and last.stride() == (60, 1, 15, 3) and last[1, 2, 3, 4].item() == 119
    assert last.contiguous(memory_format=tg.channels_last) is last and x.to(memory_format=tg.contiguous_format) is x
    (last * tg.tensor([1.0, 2.0, 3.0], device=device, dtype=tg.float64).view(3, 1, 1)).sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), np.broadcast_to([[[1.0]], [[2.0]], [[3.0]]], x.shape))
    tg.manual_seed(0)
    noise = tg.randn_like(last)
    tg.manual_seed(0)
    np.testing.assert_array_equal(noise.cpu().numpy(), tg.randn_like(x).cpu().numpy())


@pytest.mark.parametrize("device", DEVICES)
def test_a_module_in_channels_last_learns_the_same(device):
    found = []
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    for formatted in (False, True):
        tg.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 4, 2, 1)
        )
        net.to(device)
        input = tg.tensor(x, dtype=tg.float32, device=device)
        if formatted:
            weights = list(net.parameters())
            assert net.to(memory_format=tg.channels_last) is net
            assert all(a is b for a, b in zip(weights, net.parameters(), strict=True))
            assert all(p.is_contiguous(memory_format=tg.channels_last) for p in net.parameters() if p.ndim == 4)
            assert net[0].weight.stride() == (27, 1, 9, 3) and net[3].bias.stride() == (1,)
            input = input.to(memory_format=tg.channels_last)
        optimizer = tg.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            out = net(input)
            (out**2).mean().backward()
            optimizer.step()
        assert out.is_contiguous(memory_format=tg.channels_last) == formatted
        found.append([out.detach().cpu().numpy(), *(p.detach().cpu().numpy() for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_tensor_copies_a_transposed_array_row_by_row():
    array = np.arange(6.0).reshape(2, 3).T
    assert tg.tensor(array).stride() == (2, 1) and tg.tensor(array).view(-1).tolist() == [0, 3, 1, 4, 2, 5]
    assert tg.from_numpy(array).stride() == (1, 3) and tg.as_tensor(array).stride() == (1, 3)


def test_messages():
    x = tg.zeros(2, 3)
    for call, name in [(x.contiguous, "contiguous"), (x.clone, "clone"), (x.to, "to")]:
        with pytest.raises(
            RuntimeError, match=rf"{name}: channels_last is for tensors \(N, C, H, W\), got shape \(2, 3\)"
        ):
            call(memory_format=tg.channels_last)
        with pytest.raises(
            TypeError, match=f"{name}: expected a memory format such as trigrad.channels_last, got 'last'"
        ):
            call(memory_format="last")
    with pytest.raises(RuntimeError, match="contiguous: preserve_format is no order"):
        x.T.contiguous(memory_format=tg.preserve_format)
    with pytest.raises(RuntimeError, match="empty: channels_last is for tensors"):
        tg.empty(3, memory_format=tg.channels_last)
    with pytest.raises(TypeError, match="to: expected a memory format"):
        nn.Linear(2, 2).to(memory_format="last")
