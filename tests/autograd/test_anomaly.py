"""Anomaly detection: the forward line of a node whose backward goes wrong."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import autograd


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_nan_names_the_line(device):
    x = tg.tensor([0.0, 1.0], device=device).requires_grad_()
    with autograd.detect_anomaly():
        y = (x * 0).sqrt()  # the line that is named
        out = y * 0
        with (
            pytest.warns(UserWarning, match=r"Error detected in SqrtBackward(.|\n)*\(x \* 0\).sqrt\(\)  # the line"),
            pytest.raises(RuntimeError, match="Function 'SqrtBackward' returned nan values in its 0th output"),
        ):
            out.sum().backward()
    assert not autograd.is_anomaly_enabled()
    (x * 0).sqrt().sum().backward()  # and now it is nobody's business


def test_errors_name_the_line():
    class Bad(tg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            raise ValueError("bad")

    x = tg.ones(2).requires_grad_()
    with autograd.set_detect_anomaly(True, check_nan=False):
        assert autograd.is_anomaly_enabled() and not autograd.is_anomaly_check_nan_enabled()
        out = Bad.apply(x)  # here
        with (
            pytest.warns(UserWarning, match=r"BadBackward(.|\n)*Bad.apply\(x\)  # here"),
            pytest.raises(ValueError, match="bad"),
        ):
            out.sum().backward()
        y = (x * 0).sqrt() * 0
        y.sum().backward()
        assert np.isnan(x.grad.numpy()).all()
    z = Bad.apply(x)
    with (
        autograd.detect_anomaly(),
        pytest.warns(UserWarning, match="No forward pass information"),
        pytest.raises(ValueError),
    ):
        z.sum().backward()


def test_the_second_input_is_named():
    x, y = tg.tensor([1.0]).requires_grad_(), tg.tensor([0.0]).requires_grad_()
    with autograd.detect_anomaly():
        with autograd.detect_anomaly(check_nan=False):
            out = (x - 1) / y
        with (
            pytest.warns(UserWarning),
            pytest.raises(RuntimeError, match="'DivBackward' returned nan values in its 1th"),
        ):
            out.sum().backward()


def test_switched_by_a_call():
    autograd.set_detect_anomaly(True)
    try:
        assert autograd.is_anomaly_enabled()
    finally:
        autograd.set_detect_anomaly(False)
    x = tg.ones(1).requires_grad_()
    node = (x * 2).grad_fn
    assert not hasattr(node, "trace")
