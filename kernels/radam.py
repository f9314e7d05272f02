"""One step of RAdam for a group of parameters, in place; every array of a group in one launch.

    g          = (-grad if maximize else grad) + weight_decay * param
    exp_avg    = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g * g
    most       = 2 / (1 - beta2) - 1
    length     = most - 2 * step * beta2**step / (1 - beta2**step)
    rectified  = sqrt((length - 4) (length - 2) most / ((most - 4) (most - 2) length))
    adaptive   = rectified * sqrt(1 - beta2**step) / (sqrt(exp_avg_sq) + eps)  where length > 5,  1  elsewhere
    param      = param - lr / (1 - beta1**step) * exp_avg * adaptive

With ``decoupled``, param is first multiplied by 1 - lr * weight_decay, and g is without it.  ``step`` counts from 1.
The numbers are ``radam_numbers``; they come as a setting or as one array (``dials``).  Half types are computed in float32
and rounded once.

Source: Liu et al. (2020), "On the variance of the adaptive learning rate and beyond", algorithm 2.
"""

from math import sqrt

import numpy as np

from ..framework.descent import descents, downhill, told
from ..framework.group import step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def radam_numbers(lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """What the formulas make of an optimizer's options, in double precision; the second says whether length > 5."""
    size, corrected = lr / (1 - beta1**step), 1 - beta2**step
    most = 2 / (1 - beta2) - 1
    length = most - 2 * step * beta2**step / corrected
    adaptive = length > 5.0
    if adaptive:
        size *= sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)) * sqrt(corrected)
    return (
        size,
        float(adaptive),
        eps,
        0.0 if decoupled else weight_decay,
        1 - lr * weight_decay if decoupled else 1.0,
        1 - beta1,
        beta2,
        1 - beta2,
    )


def forward_numpy(params, grads, exp_avgs, exp_avg_sqs, dials, *, numbers, maximize):
    size, adaptive, eps, weight_decay, shrink, rest1, beta2, rest2 = told(dials, numbers)
    roles = (params, exp_avgs, exp_avg_sqs, grads)
    for param, mean, square, g, t in descents(roles, maximize, weight_decay):
        if shrink != 1:
            param *= shrink
        np.subtract(g, mean, out=t)
        t *= rest1
        mean += t
        np.multiply(g, g, out=t)
        t *= rest2
        square *= beta2
        square += t
        if adaptive:
            np.sqrt(square, out=t)
            t += eps
            np.divide(mean, t, out=t)
            t *= size
        else:
            np.multiply(mean, size, out=t)
        param -= t
    return ()


@jit
def _step(param, mean, square, grad, size, adaptive, eps, decay, shrink, rest1, beta2, rest2, sign):
    g = downhill(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    way = tl.where(adaptive != 0, quotient(mean, root(square) + eps), mean)
    return shrink * param - size * way, mean, square


def forward_triton(params, grads, exp_avgs, exp_avg_sqs, dials, *, numbers, maximize):
    sign = -1.0 if maximize else 1.0
    step_group(_step, (params, exp_avgs, exp_avg_sqs, grads), dials[0] if dials else numbers, (sign,), writes=3)
    return ()


def samples(rng):
    plain = {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.0, "weight_decay": 0.0}

    def at(step, maximize=False, decoupled=False, **options):
        numbers = radam_numbers(**{**plain, **options}, decoupled=decoupled, step=step)
        return {"numbers": numbers, "maximize": maximize}

    one = lambda x: (np.array([x]),)  # noqa: E731
    # first step: the length is 7 - 2 * (3/4) / (1/4) = 1, so the mean alone moves: 0.5 / (1/2) * 1
    first = one(3.0), one(2.0), one(0.0), one(0.0)
    yield Sample("worked, first step", (*first, ()), at(1), answers=([2.0], [1.0], [1.0]))
    yield Sample(
        "worked, decoupled decay",
        (*first, ()),
        at(1, decoupled=True, weight_decay=0.5),
        answers=([1.25], [1.0], [1.0]),
    )
    # g = -(-1) + 0.5 * 2 = 2
    yield Sample(
        "worked, maximize and decay",
        (one(2.0), one(-1.0), one(0.0), one(0.0), ()),
        at(1, True, weight_decay=0.5),
        answers=([1.0], [1.0], [1.0]),
    )
    # far on, with beta1 = 0, length and most are both 7 to the last digit: rectified is 1 and the step is Adam's
    late = one(3.0), one(2.0), one(9.0), one(4.0)
    yield Sample("worked, late", (*late, ()), at(300, beta1=0.0), answers=([2.5], [2.0], [4.0]))
    dials = (np.array(at(1)["numbers"]),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials", (*first, dials), by_array, answers=([2.0], [1.0], [1.0]))
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads, means = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
    squares = tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes)
    usual = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "weight_decay": 0.1}
    yield Sample("group", (params, grads, means, squares, ()), at(8, True, **usual), terms=8)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.zeros((4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, ()), at(3, decoupled=True, **usual), terms=8)


RADAM_STEP = register(
    Op(
        name="radam_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "exp_avgs", "exp_avg_sqs", "dials"),  # there is no output to differentiate
        writes=("params", "exp_avgs", "exp_avg_sqs"),
    )
)
