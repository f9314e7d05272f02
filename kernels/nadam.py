"""One step of NAdam for a group of parameters, in place; every array of a group in one launch.

    g           = (-grad if maximize else grad) + weight_decay * param
    mu(t)       = beta1 * (1 - 0.96**(t * momentum_decay) / 2)
    product     = mu(1) * ... * mu(step)
    exp_avg     = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq  = beta2 * exp_avg_sq + (1 - beta2) * g * g
    denominator = sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    param       = param - lr * (1 - mu(step)) / (1 - product) * g / denominator
                        - lr * mu(step + 1) / (1 - product * mu(step + 1)) * exp_avg / denominator

With ``decoupled``, param is first multiplied by 1 - lr * weight_decay, and g is without it.  ``step`` counts from 1.
The numbers are ``nadam_numbers``; they come as a setting or as one array (``dials``).  Half types are computed in float32
and rounded once.

Source: Dozat (2016), "Incorporating Nesterov momentum into Adam"; the formulas are PyTorch's.
"""

from math import sqrt

import numpy as np

from ..framework.descent import descents, downhill, told
from ..framework.group import step_group
from ..framework.language import jit
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def nadam_mu(beta1, momentum_decay, step):
    """mu(step)."""
    return beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))


def nadam_numbers(lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled, step, product):
    """What the formulas make of an optimizer's options, in double precision; ``product`` ends with mu(step)."""
    mu, following = (nadam_mu(beta1, momentum_decay, t) for t in (step, step + 1))
    return (
        lr * (1 - mu) / (1 - product),
        lr * following / (1 - product * following),
        sqrt(1 - beta2**step),
        eps,
        0.0 if decoupled else weight_decay,
        1 - lr * weight_decay if decoupled else 1.0,
        1 - beta1,
        beta2,
        1 - beta2,
    )


def forward_numpy(params, grads, exp_avgs, exp_avg_sqs, dials, *, numbers, maximize):
    now, ahead, bias, eps, weight_decay, shrink, rest1, beta2, rest2 = told(dials, numbers)
    roles = (params, exp_avgs, exp_avg_sqs, grads)
    for param, mean, square, g, t, way in descents(roles, maximize, weight_decay, spare=2):
        if shrink != 1:
            param *= shrink
        np.subtract(g, mean, out=t)
        t *= rest1
        mean += t
        np.multiply(g, g, out=t)
        t *= rest2
        square *= beta2
        square += t
        np.multiply(mean, ahead, out=way)
        np.multiply(g, now, out=t)
        way += t
        np.sqrt(square, out=t)
        t /= bias
        t += eps
        way /= t
        param -= way
    return ()


@jit
def _step(param, mean, square, grad, now, ahead, bias, eps, decay, shrink, rest1, beta2, rest2, sign):
    g = downhill(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    way = quotient(now * g + ahead * mean, quotient(root(square), bias) + eps)
    return shrink * param - way, mean, square


def forward_triton(params, grads, exp_avgs, exp_avg_sqs, dials, *, numbers, maximize):
    sign = -1.0 if maximize else 1.0
    step_group(_step, (params, exp_avgs, exp_avg_sqs, grads), dials[0] if dials else numbers, (sign,), writes=3)
    return ()


def samples(rng):
    plain = {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.0, "weight_decay": 0.0, "momentum_decay": 0.0}

    def at(step, product, maximize=False, decoupled=False, **options):
        numbers = nadam_numbers(**{**plain, **options}, decoupled=decoupled, step=step, product=product)
        return {"numbers": numbers, "maximize": maximize}

    one = lambda x: (np.array([x]),)  # noqa: E731
    # without decay mu is always 1/4.  First step: mean 1, square 1, denominator 2; the gradient's share is
    # 0.5 * (3/4) / (3/4) * 2 / 2 = 1/2, the mean's 0.5 * (1/4) / (15/16) * 1 / 2 = 1/15
    first = one(3.0), one(2.0), one(0.0), one(0.0)
    yield Sample("worked", (*first, ()), at(1, 0.25), answers=([3 - 0.5 - 1 / 15], [1.0], [1.0]))
    yield Sample(
        "worked, decoupled decay",
        (*first, ()),
        at(1, 0.25, decoupled=True, weight_decay=0.5),
        answers=([2.25 - 0.5 - 1 / 15], [1.0], [1.0]),
    )
    # g = -(-1) + 0.5 * 2 = 2
    yield Sample(
        "worked, maximize and decay",
        (one(2.0), one(-1.0), one(0.0), one(0.0), ()),
        at(1, 0.25, True, weight_decay=0.5),
        answers=([2 - 0.5 - 1 / 15], [1.0], [1.0]),
    )
    dials = (np.array(at(1, 0.25)["numbers"]),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials", (*first, dials), by_array, answers=([3 - 0.5 - 1 / 15], [1.0], [1.0]))
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads, means = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
    squares = tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes)
    usual = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.004}
    yield Sample("group", (params, grads, means, squares, ()), at(3, 0.1, True, **usual), terms=8)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.zeros((4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, ()), at(1, 0.45, decoupled=True, **usual), terms=8)


NADAM_STEP = register(
    Op(
        name="nadam_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "exp_avgs", "exp_avg_sqs", "dials"),  # there is no output to differentiate
        writes=("params", "exp_avgs", "exp_avg_sqs"),
    )
)
