"""gradcheck and gradgradcheck: what they accept and what they find."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.autograd import gradcheck, gradgradcheck


def wobbly(step):
    calls = []

    class Wobbly(tg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            calls.append(1)
            return grad * 2 + step * len(calls)

    return Wobbly.apply


def test_nondeterministic_gradients():
    x = tg.tensor(np.array([1.0, 2.0])).requires_grad_()
    with pytest.raises(RuntimeError, match=r"computed twice differs by 1e-09, more than nondet_tol=0"):
        gradcheck(wobbly(1e-9), x)
    assert gradcheck(wobbly(1e-9), x, nondet_tol=1e-7)
    assert not gradcheck(wobbly(1e-9), x, raise_exception=False)
    assert gradcheck(lambda x: x.exp() * x, x) and gradcheck(lambda x: x.exp() * x, x, fast_mode=True)


def test_given_gradients_of_the_outputs():
    x = tg.tensor(np.array([1.0, 2.0])).requires_grad_()
    assert gradgradcheck(lambda x: x.exp() * x, x, tg.tensor(np.array([1.0, -1.0])))
    assert gradgradcheck(lambda x: (x.exp(), x.sum()), x)
    with pytest.raises(TypeError):
        gradcheck(lambda x: x, x, check_everything=True)
