"""One step of Adagrad for a group of parameters, in place; every array of a group in one launch.

    g     = (-grad if maximize else grad) + weight_decay * param
    sum   = sum + g * g
    param = param - lr / (1 + (step - 1) * lr_decay) * g / (sqrt(sum) + eps)

``step`` counts from 1.  The numbers are ``adagrad_numbers``; they come as a setting or as one array (``dials``).
Half types are computed in float32 and rounded once.

Source: Duchi, Hazan, Singer (2011), "Adaptive subgradient methods for online learning and stochastic optimization".
"""

import numpy as np

from ..framework.descent import descents, downhill, told
from ..framework.group import step_group
from ..framework.language import jit
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def adagrad_numbers(lr, lr_decay, eps, weight_decay, step):
    """What the formulas make of an optimizer's options, in double precision."""
    return lr / (1 + (step - 1) * lr_decay), eps, weight_decay


def forward_numpy(params, grads, sums, dials, *, numbers, maximize):
    size, eps, weight_decay = told(dials, numbers)
    for param, sum, g, t in descents((params, sums, grads), maximize, weight_decay):
        np.multiply(g, g, out=t)
        sum += t
        np.sqrt(sum, out=t)
        t += eps
        np.divide(g, t, out=t)
        t *= size
        param -= t
    return ()


@jit
def _step(param, sum, grad, size, eps, decay, sign):
    g = downhill(param, grad, decay, sign)
    sum += g * g
    return param - size * quotient(g, root(sum) + eps), sum


def forward_triton(params, grads, sums, dials, *, numbers, maximize):
    sign = -1.0 if maximize else 1.0
    step_group(_step, (params, sums, grads), dials[0] if dials else numbers, (sign,), writes=2)
    return ()


def samples(rng):
    plain = {"lr": 0.5, "lr_decay": 0.0, "eps": 0.0, "weight_decay": 0.0}

    def at(step, maximize=False, **options):
        return {"numbers": adagrad_numbers(**{**plain, **options}, step=step), "maximize": maximize}

    one = lambda x: (np.array([x]),)  # noqa: E731
    # the sum is 12 + 4 = 16, its root 4; at the third step with decay 0.5 the rate is halved
    yield Sample("worked", (one(3.0), one(2.0), one(12.0), ()), at(1), answers=([2.75], [16.0]))
    yield Sample("worked, later", (one(3.0), one(2.0), one(12.0), ()), at(3, lr_decay=0.5), answers=([2.875], [16.0]))
    yield Sample(
        "worked, maximize and decay",
        (one(2.0), one(-1.0), one(12.0), ()),
        at(1, True, weight_decay=0.5),
        answers=([1.75], [16.0]),
    )
    dials = (np.array(adagrad_numbers(**plain, step=1)),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials", (one(3.0), one(2.0), one(12.0), dials), by_array, answers=([2.75], [16.0]))
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(2)]
    sums = tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes)
    usual = {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.1, "lr_decay": 0.01}
    yield Sample("group", (params, grads, sums, ()), at(4, True, **usual), terms=4)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, ()), at(1, **usual), terms=4)


ADAGRAD_STEP = register(
    Op(
        name="adagrad_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "sums", "dials"),  # there is no output to differentiate
        writes=("params", "sums"),
    )
)
