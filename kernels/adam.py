"""One step of Adam for a group of parameters, in place; every array of a group in one launch.

    g           = (-grad if maximize else grad) + weight_decay * param
    exp_avg     = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq  = beta2 * exp_avg_sq + (1 - beta2) * g * g
    denominator = sqrt(exp_avg_sq) / sqrt(1 - beta2**step) + eps
    param       = param - lr / (1 - beta1**step) * exp_avg / denominator

With ``max_exp_avg_sqs`` (amsgrad), the greatest exp_avg_sq so far stands in the denominator.  ``step`` counts from 1.
All is done in the parameters' dtype, half types in float32 and rounded once.

Source: Kingma, Ba (2015), "Adam: a method for stochastic optimization", algorithm 1; Reddi, Kale, Kumar (2018) for
amsgrad.  The formulas are PyTorch's.
"""

from math import sqrt

import numpy as np

from ..framework.group import pieces, scratch, step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def _scales(lr, beta1, beta2, step):
    """The step size, and what the root of exp_avg_sq is divided by: both correct the moments' start at zero."""
    return lr / (1 - beta1**step), sqrt(1 - beta2**step)


def forward_numpy(
    params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, *, lr, beta1, beta2, eps, weight_decay, maximize, step
):
    size, bias = _scales(lr, beta1, beta2, step)
    # written roles first; without amsgrad there is one fewer
    roles = (params, exp_avgs, exp_avg_sqs, *((max_exp_avg_sqs,) if max_exp_avg_sqs else ()), grads)
    buffers = scratch(roles, 2)
    for param, mean, square, *greatest, grad in pieces(roles, len(roles) - 1):
        t, own = buffers(param)
        g = np.negative(grad, out=own) if maximize else grad
        if weight_decay:
            np.multiply(param, weight_decay, out=t)
            g = np.add(g, t, out=own)
        np.subtract(g, mean, out=t)
        t *= 1 - beta1
        mean += t
        np.multiply(g, g, out=t)
        t *= 1 - beta2
        square *= beta2
        square += t
        if greatest:
            np.maximum(greatest[0], square, out=greatest[0])
        np.sqrt(greatest[0] if greatest else square, out=t)
        t += eps * bias  # root / bias + eps, times bias: a pass less, and the same but for rounding
        np.divide(mean, t, out=t)
        t *= size * bias
        param -= t
    return ()


@jit
def _gradient(param, grad, decay, sign):
    g = grad * sign
    return tl.where(decay != 0, g + decay * param, g)


@jit
def _moved(param, mean, square, size, bias, eps):
    return param - size * quotient(mean, quotient(root(square), bias) + eps)


@jit
def _step(param, mean, square, grad, size, bias, eps, decay, rest1, beta2, rest2, sign):
    g = _gradient(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    return _moved(param, mean, square, size, bias, eps), mean, square


@jit
def _step_amsgrad(param, mean, square, greatest, grad, size, bias, eps, decay, rest1, beta2, rest2, sign):
    g = _gradient(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    greatest = tl.maximum(greatest, square, propagate_nan=tl.PropagateNan.ALL)
    return _moved(param, mean, greatest, size, bias, eps), mean, square, greatest


def forward_triton(
    params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, *, lr, beta1, beta2, eps, weight_decay, maximize, step
):
    size, bias = _scales(lr, beta1, beta2, step)
    # 1 - beta is taken in double precision: in float32 it would lose half its digits
    settings = (size, bias, eps, weight_decay, 1 - beta1, beta2, 1 - beta2, -1.0 if maximize else 1.0)
    if max_exp_avg_sqs:
        step_group(_step_amsgrad, (params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, grads), settings, writes=4)
    else:
        step_group(_step, (params, exp_avgs, exp_avg_sqs, grads), settings, writes=3)
    return ()


def samples(rng):
    plain = {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.0, "weight_decay": 0.0, "maximize": False}
    # two steps by hand.  First: m = 1, v = 1; bias corrections 1/2 and 1/4, so the step is 0.5 * 2 / 2 = 0.5.
    first = (np.array([3.0, 1.0]),), (np.array([2.0, -2.0]),), (np.zeros(2),), (np.zeros(2),), ()
    yield Sample("worked, first step", first, {**plain, "step": 1}, answers=([2.5, 1.5], [1.0, -1.0], [1.0, 1.0]))
    # Second, gradient 4: m = 1 + (4 - 1) / 2 = 2.5, v = 3/4 + 16/4 = 4.75; corrections 3/4 and 7/16.
    second = (np.array([2.5]),), (np.array([4.0]),), (np.array([1.0]),), (np.array([1.0]),), ()
    yield Sample(
        "worked, second step",
        second,
        {**plain, "step": 2},
        answers=([2.5 - (0.5 / 0.75) * 2.5 / (np.sqrt(4.75) / np.sqrt(0.4375))], [2.5], [4.75]),
    )
    yield Sample(
        "worked, amsgrad",
        (*second[:4], (np.array([19.0]),)),
        {**plain, "step": 2},
        answers=([2.5 - (0.5 / 0.75) * 2.5 / (np.sqrt(19.0) / np.sqrt(0.4375))], [2.5], [4.75], [19.0]),
    )
    # g = -2 + 0.5 * 4 = 0: nothing moves
    yield Sample(
        "worked, maximize and decay",
        ((np.array([4.0]),), (np.array([2.0]),), (np.zeros(1),), (np.zeros(1),), ()),
        {**plain, "eps": 1.0, "weight_decay": 0.5, "maximize": True, "step": 1},
        answers=([4.0], [0.0], [0.0]),
    )
    usual = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "weight_decay": 0.1, "maximize": False}
    shapes = [(3, 4), (0,), (), (1,), (1500,), (2, 1, 3)]
    for name, amsgrad, maximize in [("group", False, False), ("group, amsgrad and maximize", True, True)]:
        drawn = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
        squares = [tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes) for _ in range(2)]
        yield Sample(
            name,
            (*drawn, squares[0], squares[1] if amsgrad else ()),
            {**usual, "maximize": maximize, "step": 3},
            terms=4,
        )
    yield Sample(
        "strided parameter",
        ((rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.zeros((4, 3)),), (np.zeros((4, 3)),), ()),
        {**usual, "step": 1},
        terms=4,
    )
    many = [tuple(rng.normal(size=(70, 2))) for _ in range(2)]
    zeros = [tuple(np.zeros((70, 2))) for _ in range(2)]
    yield Sample("more than one launch", (*many, *zeros, ()), {**usual, "step": 1}, terms=4, dtypes=("float32",))


ADAM_STEP = register(
    Op(
        name="adam_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"),  # there is no output to differentiate
        writes=("params", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"),
    )
)
