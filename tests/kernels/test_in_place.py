"""Rows that keep their input, written into it: the gradient sees the input as it was."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.nn import functional as F

CHANGES = {
    "silu": (lambda x: F.silu(x, inplace=True), F.silu),
    "mish": (lambda x: F.mish(x, inplace=True), F.mish),
    "hardswish": (lambda x: F.hardswish(x, inplace=True), F.hardswish),
    "elu": (lambda x: F.elu_(x, 0.5), lambda x: F.elu(x, 0.5)),
    "threshold": (lambda x: F.threshold_(x, 0.1, 2.0), lambda x: F.threshold(x, 0.1, 2.0)),
    "sin, then cos": (lambda x: x.sin_().cos_(), lambda x: x.sin().cos()),
    "times itself": (lambda x: x.mul_(x), lambda x: x * x),
    "round": (lambda x: x.round_(decimals=1), lambda x: tg.round(x, decimals=1)),
}


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
@pytest.mark.parametrize("name", CHANGES)
def test_the_gradient_is_that_of_the_plain_form(name, device):
    in_place, plain = CHANGES[name]
    x = tg.tensor(np.random.default_rng(0).normal(size=(3, 4)), dtype=tg.float64, device=device, requires_grad=True)
    results = []
    for change in (in_place, plain):
        y = (x * 1.5).T
        y = y.clone() if change is in_place else y
        out = change(y)
        assert (out is y) == (change is in_place)
        (first,) = tg.autograd.grad((out * out).sum(), x, create_graph=True)
        results.append([out, first])
        if first.requires_grad:
            results[-1].append(tg.autograd.grad(first.sum(), x)[0])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=1e-14)


def test_a_factor_keeps_what_it_was_multiplied_by():
    x, w = tg.tensor([2.0, 3.0], requires_grad=True), tg.tensor([5.0, 7.0], requires_grad=True)
    y = x * 1
    y.mul_(w)
    y.sum().backward()
    assert w.grad.tolist() == [2.0, 3.0] and x.grad.tolist() == [5.0, 7.0]
