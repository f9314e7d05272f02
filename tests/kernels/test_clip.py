"""Clipping gradients: what the rows cannot say; several devices, dtypes, generators, warnings, changes counted."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn
from trigrad.framework.record import Recorder
from trigrad.nn.utils import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm


def parameters(device="cpu", dtype=tg.float32):
    rng = np.random.default_rng(0)
    made = [nn.Parameter(tg.tensor(rng.normal(size=s)).to(device, dtype)) for s in [(3, 4), (5,), ()]]
    for p in made:
        p.grad = tg.tensor(rng.normal(size=p.shape)).to(device, dtype)
    return made


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_the_norm_is_clipped(device, dtype):
    params = parameters(device, getattr(tg, dtype))
    grads = [p.grad.cpu().double().numpy().copy() for p in params]
    expected = np.sqrt(sum((g**2).sum() for g in grads))
    norm = clip_grad_norm_((p for p in params), 1.5)
    eps = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    assert norm.shape == () and norm.dtype.name == dtype and norm.device.type == device
    assert norm.item() == pytest.approx(expected, rel=8 * eps)
    for p, g in zip(params, grads, strict=True):
        np.testing.assert_allclose(
            p.grad.cpu().double().numpy(), g * 1.5 / (expected + 1e-6), rtol=16 * eps, atol=16 * eps
        )
    assert clip_grad_norm_(params, 100.0).item() == pytest.approx(1.5, rel=16 * eps + 1e-6)


def test_several_devices_and_dtypes():
    params = [*parameters("cpu"), *parameters("interpreter"), *parameters("cpu", tg.bfloat16)]
    grads = [p.grad.cpu().double().numpy() for p in params]
    norm = get_total_norm([p.grad for p in params])
    assert norm.device.type == "cpu" and norm.dtype is tg.float32
    assert norm.item() == pytest.approx(np.sqrt(sum((g**2).sum() for g in grads)), rel=1e-5)
    clip_grads_with_norm_(params, 0.5, norm)
    assert get_total_norm([p.grad for p in params]).item() == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_a_gradient_given_twice_is_scaled_twice(device):
    p = nn.Parameter(tg.ones(1, device=device))
    p.grad = tg.full((1,), 3.0, device=device)
    assert clip_grad_norm_([p, p], 1.0).item() == pytest.approx(18**0.5)
    assert p.grad.item() == pytest.approx(3.0 / 18, rel=1e-5)


def test_orders():
    tensors = [tg.tensor([3.0, 0.0, -4.0]), tg.tensor([0.0]), tg.tensor([[1.0]])]
    inf = float("inf")
    for order, answer in [(1, 8.0), (inf, 4.0), (-inf, 0.0), (2, 26**0.5), (0, 2.0), (3, 92 ** (1 / 3))]:
        for device in ("cpu", "interpreter"):
            there = [t.to(device) for t in tensors]
            assert get_total_norm(there, order).item() == pytest.approx(answer, rel=1e-6)  # 0: norms that are not 0
    assert get_total_norm(tensors[0], "inf").item() == 4.0
    assert get_total_norm([]).item() == 0.0


def test_who_has_no_gradient_is_left_out():
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0])
    assert clip_grad_norm_([p, q], 1.0).item() == 0.0
    p.grad = tg.tensor([8.0])
    version = p.grad._version
    assert clip_grad_norm_(p, 2.0).item() == 8.0
    assert p.grad.item() == pytest.approx(2.0) and q.grad is None and p.grad._version > version
    clip_grad_value_([p, q], 0.5)
    assert p.grad.item() == 0.5
    with pytest.warns(UserWarning, match="empty generator"):
        clip_grad_norm_(iter([]), 1.0)


def test_errors():
    p = nn.Parameter([1.0])
    p.grad = tg.tensor([float("nan")])
    with pytest.raises(RuntimeError, match="norm of order 2.0 is not finite"):
        clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert np.isnan(clip_grad_norm_(p, 1.0).item())
    with pytest.raises(TypeError, match="expected tensors, got float"):
        clip_grad_norm_([1.0], 1.0)
    with pytest.raises(TypeError, match="foreach"):
        clip_grad_value_([p], 1.0, foreach=1)


def test_launches():
    """Two launches find the norm of any number of gradients and one scales them; nothing is read back."""
    with Recorder("sm_90") as recorder:
        recorder.copy_out = lambda *_: pytest.fail("something was read back")
        params = [nn.Parameter(tg.zeros(64, 9).to(recorder.device)) for _ in range(80)]
        for p in params:
            p.grad = tg.zeros_like(p)
        before = sum(recorder.counts.values())
        clip_grad_norm_(params, 1.0)
        assert sum(recorder.counts.values()) - before == 3
