"""One step of Adamax for a group of parameters, in place; every array of a group in one launch.

    g       = (-grad if maximize else grad) + weight_decay * param
    exp_avg = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_inf = max(beta2 * exp_inf, |g| + eps)
    param   = param - lr / (1 - beta1**step) * exp_avg / exp_inf

``step`` counts from 1.  The numbers are ``adamax_numbers``; they come as a setting or as one array (``dials``).
Half types are computed in float32 and rounded once.  A nan among the gradients is in exp_inf from then on.

Source: Kingma, Ba (2015), "Adam: a method for stochastic optimization", algorithm 2; eps stands where PyTorch has it.
"""

import numpy as np

from ..framework.descent import descents, downhill, told
from ..framework.group import step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient


def adamax_numbers(lr, beta1, beta2, eps, weight_decay, step):
    """What the formulas make of an optimizer's options, in double precision."""
    return lr / (1 - beta1**step), eps, weight_decay, 1 - beta1, beta2


def forward_numpy(params, grads, exp_avgs, exp_infs, dials, *, numbers, maximize):
    size, eps, weight_decay, rest1, beta2 = told(dials, numbers)
    for param, mean, greatest, g, t in descents((params, exp_avgs, exp_infs, grads), maximize, weight_decay):
        np.subtract(g, mean, out=t)
        t *= rest1
        mean += t
        greatest *= beta2
        np.abs(g, out=t)
        t += eps
        np.maximum(greatest, t, out=greatest)
        np.divide(mean, greatest, out=t)
        t *= size
        param -= t
    return ()


@jit
def _step(param, mean, greatest, grad, size, eps, decay, rest1, beta2, sign):
    g = downhill(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    greatest = tl.maximum(beta2 * greatest, tl.abs(g) + eps, propagate_nan=tl.PropagateNan.ALL)
    return param - size * quotient(mean, greatest), mean, greatest


def forward_triton(params, grads, exp_avgs, exp_infs, dials, *, numbers, maximize):
    sign = -1.0 if maximize else 1.0
    step_group(_step, (params, exp_avgs, exp_infs, grads), dials[0] if dials else numbers, (sign,), writes=3)
    return ()


def samples(rng):
    plain = {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.0, "weight_decay": 0.0}

    def at(step, maximize=False, **options):
        return {"numbers": adamax_numbers(**{**plain, **options}, step=step), "maximize": maximize}

    # first step: the mean is 1 and -1, the correction 1/2; the greatest are |2| and 0.75 * 4
    first = (np.array([3.0, 1.0]),), (np.array([2.0, -2.0]),), (np.zeros(2),), (np.array([0.0, 4.0]),)
    yield Sample("worked", (*first, ()), at(1), answers=([2.5, 1 + 1 / 3], [1.0, -1.0], [2.0, 3.0]))
    # equal ones: 0.75 * 4 = |2| + 1
    one = lambda x: (np.array([x]),)  # noqa: E731
    tie = one(3.0), one(2.0), one(4.0), one(4.0)
    yield Sample("worked, a tie", (*tie, ()), at(2, eps=1.0), answers=([3 - 0.5 / 0.75], [3.0], [3.0]))
    yield Sample(
        "worked, maximize and decay",
        (one(4.0), one(2.0), one(0.0), one(0.0), ()),
        at(1, True, eps=1.0, weight_decay=1.0),
        answers=([4 - 1 / 3], [1.0], [3.0]),
    )
    dials = (np.array(adamax_numbers(**plain, step=1)),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials", (*first, dials), by_array, answers=([2.5, 1 + 1 / 3], [1.0, -1.0], [2.0, 3.0]))
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads, means = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
    greatest = tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes)
    usual = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "weight_decay": 0.1}
    yield Sample("group", (params, grads, means, greatest, ()), at(3, True, **usual), terms=4)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.zeros((4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, ()), at(1, **usual), terms=4)


ADAMAX_STEP = register(
    Op(
        name="adamax_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "exp_avgs", "exp_infs", "dials"),  # there is no output to differentiate
        writes=("params", "exp_avgs", "exp_infs"),
    )
)
