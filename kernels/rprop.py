"""One step of resilient propagation for a group of parameters, in place; every array of a group in one launch.

    g         = -grad if maximize else grad
    turn      = g * prev
    step_size = step_size * (eta_plus where turn > 0, eta_minus where turn < 0, 1 elsewhere), at least ``least``, at most ``most``
    g         = 0 where turn < 0
    param     = param - sign(g) * step_size
    prev      = g

The numbers are (eta_minus, eta_plus, least, most); they come as a setting or as one array (``dials``).  Where ``found_inf``
is given and not 0 nothing is done; ``grad_scale`` divides the gradients.  Half types are computed in float32 and rounded
once.

Source: Riedmiller, Braun (1993), "A direct adaptive method for faster backpropagation learning: the RPROP algorithm".
"""

import numpy as np

from ..framework.descent import descents, stopped, told
from ..framework.group import step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register


def forward_numpy(params, grads, prevs, step_sizes, dials, grad_scale, found_inf, *, numbers, maximize):
    if stopped(found_inf):
        return ()
    minus, plus, least, most = told(dials, numbers)
    roles = (params, prevs, step_sizes, grads)
    for param, prev, size, g, t in descents(roles, maximize, 0.0, grad_scale):
        np.multiply(g, prev, out=t)
        back = t < 0
        size *= np.where(t > 0, plus, np.where(back, minus, 1)).astype(size.dtype)
        np.clip(size, least, most, out=size)
        np.copyto(prev, g)
        prev[back] = 0
        np.sign(prev, out=t)
        t *= size
        param -= t
    return ()


@jit
def _step(param, prev, size, grad, minus, plus, least, most, sign):
    g = grad * sign
    turn = g * prev
    size = tl.where(turn > 0, size * plus, tl.where(turn < 0, size * minus, size))
    size = tl.where(size < least, least, tl.where(size > most, most, size))
    g = tl.where(turn < 0, 0 * size, g)
    way = tl.where(g > 0, size, tl.where(g < 0, -size, g))  # 0 and nan as they are
    return param - way, g, size


def forward_triton(params, grads, prevs, step_sizes, dials, grad_scale, found_inf, *, numbers, maximize):
    step_group(
        _step,
        (params, prevs, step_sizes, grads),
        dials[0] if dials else numbers,
        (-1.0 if maximize else 1.0,),
        writes=3,
        scale=grad_scale[0] if grad_scale else None,
        stop=found_inf[0] if found_inf else None,
    )
    return ()


def samples(rng):
    usual = {"numbers": (0.5, 1.5, 0.125, 4.0), "maximize": False}
    none = (), (), ()  # no dials, no scale, no found_inf
    # onward: 1 becomes 1.5 · back: 1 becomes 0.5, no move · a zero: neither · at both limits
    p, g = np.zeros(5), np.array([2.0, -2.0, 0.0, 3.0, -3.0])
    prev, size = np.array([1.0, 1.0, 1.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 3.0, 0.125])
    worked = [-1.5, 0.0, 0.0, -4.0, 0.0], [2.0, 0.0, 0.0, 3.0, 0.0], [1.5, 0.5, 1.0, 4.0, 0.125]
    given = ((p,), (g,), (prev,), (size,))
    yield Sample("worked", (*given, *none), usual, answers=worked)
    yield Sample("worked, maximize", ((p,), (-g,), *given[2:], *none), {**usual, "maximize": True}, answers=worked)
    dials = (np.array(usual["numbers"]),)
    by_array = {"numbers": None, "maximize": False}
    scaled = (p,), (4 * g,), (prev,), (size,), dials, (np.array(4.0),)
    yield Sample("worked, from dials, scaled", (*scaled, (np.array(0.0),)), by_array, answers=worked)
    kept = ([0.0] * 5, [1.0] * 5, [1.0, 1.0, 1.0, 3.0, 0.125])
    yield Sample("worked, stopped", (*scaled, (np.array(1.0),)), by_array, answers=kept)
    shapes = [(3, 4), (0,), (), (1500,)]
    params, grads, prevs = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
    sizes = tuple(np.asarray(rng.uniform(0.1, 5.0, s)) for s in shapes)
    yield Sample("group", (params, grads, prevs, sizes, *none), usual)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, *none), usual)


RPROP_STEP = register(
    Op(
        name="rprop_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        # there is no output to differentiate
        zero=("params", "grads", "prevs", "step_sizes", "dials", "grad_scale", "found_inf"),
        writes=("params", "prevs", "step_sizes"),
    )
)
