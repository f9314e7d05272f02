"""One step of Adadelta for a group of parameters, in place; every array of a group in one launch.

    g          = (-grad if maximize else grad) + weight_decay * param
    square_avg = rho * square_avg + (1 - rho) * g * g
    delta      = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
    acc_delta  = rho * acc_delta + (1 - rho) * delta * delta
    param      = param - lr * delta

The numbers are ``adadelta_numbers``; they come as a setting or as one array (``dials``).  Where ``found_inf`` is given and
not 0 nothing is done; ``grad_scale`` divides the gradients.  Half types are computed in float32 and rounded once.

Source: Zeiler (2012), "Adadelta: an adaptive learning rate method", algorithm 1.
"""

import numpy as np

from ..framework.descent import descents, downhill, stopped, told
from ..framework.group import step_group
from ..framework.language import jit
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def adadelta_numbers(lr, rho, eps, weight_decay):
    """What the formulas make of an optimizer's options, in double precision."""
    return lr, rho, 1 - rho, eps, weight_decay


def forward_numpy(params, grads, square_avgs, acc_deltas, dials, grad_scale, found_inf, *, numbers, maximize):
    if stopped(found_inf):
        return ()
    lr, rho, rest, eps, weight_decay = told(dials, numbers)
    roles = (params, square_avgs, acc_deltas, grads)
    for param, square, moved, g, t, delta in descents(roles, maximize, weight_decay, grad_scale, spare=2):
        np.multiply(g, g, out=t)
        t *= rest
        square *= rho
        square += t
        np.add(moved, eps, out=delta)
        np.sqrt(delta, out=delta)
        np.add(square, eps, out=t)
        np.sqrt(t, out=t)
        delta /= t
        delta *= g
        np.multiply(delta, delta, out=t)
        t *= rest
        moved *= rho
        moved += t
        delta *= lr
        param -= delta
    return ()


@jit
def _step(param, square, moved, grad, lr, rho, rest, eps, decay, sign):
    g = downhill(param, grad, decay, sign)
    square = rho * square + rest * (g * g)
    delta = quotient(root(moved + eps), root(square + eps)) * g
    return param - lr * delta, square, rho * moved + rest * (delta * delta)


def forward_triton(params, grads, square_avgs, acc_deltas, dials, grad_scale, found_inf, *, numbers, maximize):
    step_group(
        _step,
        (params, square_avgs, acc_deltas, grads),
        dials[0] if dials else numbers,
        (-1.0 if maximize else 1.0,),
        writes=3,
        scale=grad_scale[0] if grad_scale else None,
        stop=found_inf[0] if found_inf else None,
    )
    return ()


def samples(rng):
    plain = {"lr": 0.5, "rho": 0.75, "eps": 0.0, "weight_decay": 0.0}

    def at(maximize=False, **options):
        return {"numbers": adadelta_numbers(**{**plain, **options}), "maximize": maximize}

    one = lambda x: (np.array([x]),)  # noqa: E731
    none = (), (), ()  # no dials, no scale, no found_inf
    # squares: 0.75 * 4 + 0.25 * 4 = 4; delta: 4 / 2 * 2 = 4, and 0.75 * 16 + 0.25 * 16 = 16
    worked = one(3.0), one(2.0), one(4.0), one(16.0)
    yield Sample("worked", (*worked, *none), at(), answers=([1.0], [4.0], [16.0]))
    # with eps 12: 0 and 16 become 12 and 16; delta is sqrt(12) / 4 * 2 = sqrt(3)
    yield Sample(
        "worked, first",
        (one(3.0), one(2.0), one(4.0), one(0.0), *none),
        at(eps=12.0),
        answers=([3 - 0.5 * np.sqrt(3.0)], [4.0], [0.75]),
    )
    yield Sample(
        "worked, maximize and decay",
        (one(2.0), one(-1.0), one(4.0), one(16.0), *none),
        at(True, weight_decay=0.5),
        answers=([0.0], [4.0], [16.0]),
    )
    scaled = one(3.0), one(8.0), one(4.0), one(16.0), (np.array(adadelta_numbers(**plain)),), (np.array(4.0),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials, scaled", (*scaled, (np.array(0.0),)), by_array, answers=([1.0], [4.0], [16.0]))
    yield Sample("worked, stopped", (*scaled, (np.array(1.0),)), by_array, answers=([3.0], [4.0], [16.0]))
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(2)]
    squares, moved = [tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes) for _ in range(2)]
    usual = {"lr": 0.1, "rho": 0.9, "eps": 1e-3, "weight_decay": 0.1}
    yield Sample("group", (params, grads, squares, moved, *none), at(True, **usual), terms=8)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, *none), at(**usual), terms=8)


ADADELTA_STEP = register(
    Op(
        name="adadelta_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        # there is no output to differentiate
        zero=("params", "grads", "square_avgs", "acc_deltas", "dials", "grad_scale", "found_inf"),
        writes=("params", "square_avgs", "acc_deltas"),
    )
)
