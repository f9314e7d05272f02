"""One step of averaged stochastic gradient descent for a group of parameters, in place; one launch for every array.

    g     = (-grad if maximize else grad) + weight_decay * param
    param = (1 - lambd * eta) * param - eta * g
    ax    = ax + mu * (param - ax),   the average of what param was since mu began to sink;  param itself  where mu is 1

The optimizer says how eta and mu go down from step to step.  The numbers are ``asgd_numbers``; they come as a setting or
as one array (``dials``).  Half types are computed in float32 and rounded once.

Source: Polyak, Juditsky (1992), "Acceleration of stochastic approximation by averaging"; the formulas are PyTorch's.
"""

import numpy as np

from ..framework.descent import descents, downhill, told
from ..framework.group import step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register


def asgd_numbers(lambd, weight_decay, eta, mu):
    """What the formulas make of an optimizer's options, in double precision."""
    return eta, 1 - lambd * eta, mu, weight_decay


def forward_numpy(params, grads, axs, dials, *, numbers, maximize):
    eta, shrink, mu, weight_decay = told(dials, numbers)
    for param, average, g, t in descents((params, axs, grads), maximize, weight_decay):
        np.multiply(g, eta, out=t)
        param *= shrink
        param -= t
        if mu == 1:
            np.copyto(average, param)
        else:
            np.subtract(param, average, out=t)
            t *= mu
            average += t
    return ()


@jit
def _step(param, average, grad, eta, shrink, mu, decay, sign):
    param = shrink * param - eta * downhill(param, grad, decay, sign)
    return param, tl.where(mu == 1, param, average + mu * (param - average))


def forward_triton(params, grads, axs, dials, *, numbers, maximize):
    sign = -1.0 if maximize else 1.0
    step_group(_step, (params, axs, grads), dials[0] if dials else numbers, (sign,), writes=2)
    return ()


def samples(rng):
    plain = {"lambd": 0.0, "weight_decay": 0.0, "eta": 0.5, "mu": 1.0}

    def at(maximize=False, **options):
        return {"numbers": asgd_numbers(**{**plain, **options}), "maximize": maximize}

    one = lambda x: (np.array([x]),)  # noqa: E731
    yield Sample("worked", (one(3.0), one(2.0), one(7.0), ()), at(), answers=([2.0], [2.0]))
    yield Sample(
        "worked, averaged", (one(3.0), one(2.0), one(7.0), ()), at(lambd=0.5, mu=0.5), answers=([1.25], [4.125])
    )
    # g = -(-1) + 0.5 * 2 = 2
    yield Sample(
        "worked, maximize and decay",
        (one(2.0), one(-1.0), one(0.0), ()),
        at(True, weight_decay=0.5),
        answers=([1.0], [1.0]),
    )
    dials = (np.array(asgd_numbers(**plain)),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials", (one(3.0), one(2.0), one(7.0), dials), by_array, answers=([2.0], [2.0]))
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads, averages = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
    usual = {"lambd": 0.01, "weight_decay": 0.1, "eta": 0.1, "mu": 0.25}
    yield Sample("group", (params, grads, averages, ()), at(True, **usual), terms=4)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, ()), at(**usual), terms=4)


ASGD_STEP = register(
    Op(
        name="asgd_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "axs", "dials"),  # there is no output to differentiate
        writes=("params", "axs"),
    )
)
