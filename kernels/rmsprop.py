"""One step of RMSprop for a group of parameters, in place; every array of a group in one launch.

    g          = (-grad if maximize else grad) + weight_decay * param
    square_avg = alpha * square_avg + (1 - alpha) * g * g
    grad_avg   = grad_avg + (1 - alpha) * (g - grad_avg)                                   where centered
    average    = sqrt(square_avg - grad_avg * grad_avg) where centered, sqrt(square_avg) elsewhere
    momentum_buffer = momentum * momentum_buffer + g / (average + eps)
    param      = param - lr * momentum_buffer;   without momentum  param - lr * g / (average + eps)

There are ``grad_avgs`` only where centered, ``momentum_buffers`` only with momentum.  The numbers are ``rmsprop_numbers``;
they come as a setting or as one array (``dials``).  Where ``found_inf`` is given and not 0 nothing is done; ``grad_scale``
divides the gradients.  Half types are computed in float32 and rounded once.

Source: Tieleman, Hinton (2012), lecture 6.5; Graves (2013), section 4.2, for the centered form.  The formulas are PyTorch's.
"""

import numpy as np

from ..framework.descent import descents, downhill, stopped, told
from ..framework.group import step_group
from ..framework.language import jit
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def rmsprop_numbers(lr, alpha, eps, weight_decay, momentum):
    """What the formulas make of an optimizer's options, in double precision."""
    return lr, alpha, 1 - alpha, eps, weight_decay, momentum


def forward_numpy(
    params, grads, square_avgs, grad_avgs, momentum_buffers, dials, grad_scale, found_inf, *, numbers, maximize
):
    if stopped(found_inf):
        return ()
    lr, alpha, rest, eps, weight_decay, momentum = told(dials, numbers)
    extra = [r for r in (grad_avgs, momentum_buffers) if r]
    roles = (params, square_avgs, *extra, grads)
    for param, square, *more, g, t in descents(roles, maximize, weight_decay, grad_scale):
        np.multiply(g, g, out=t)
        t *= rest
        square *= alpha
        square += t
        if grad_avgs:
            mean = more[0]
            np.subtract(g, mean, out=t)
            t *= rest
            mean += t
            np.multiply(mean, mean, out=t)
            np.subtract(square, t, out=t)
            np.sqrt(t, out=t)
        else:
            np.sqrt(square, out=t)
        t += eps
        np.divide(g, t, out=t)
        if momentum_buffers:
            buffer = more[-1]
            buffer *= momentum
            buffer += t
            np.multiply(buffer, lr, out=t)
        else:
            t *= lr
        param -= t
    return ()


@jit
def _averaged(square, g, alpha, rest):
    return alpha * square + rest * (g * g)


@jit
def _step(param, square, grad, lr, alpha, rest, eps, decay, momentum, sign):
    g = downhill(param, grad, decay, sign)
    square = _averaged(square, g, alpha, rest)
    return param - lr * quotient(g, root(square) + eps), square


@jit
def _step_centered(param, square, mean, grad, lr, alpha, rest, eps, decay, momentum, sign):
    g = downhill(param, grad, decay, sign)
    square = _averaged(square, g, alpha, rest)
    mean += rest * (g - mean)
    return param - lr * quotient(g, root(square - mean * mean) + eps), square, mean


@jit
def _step_momentum(param, square, buffer, grad, lr, alpha, rest, eps, decay, momentum, sign):
    g = downhill(param, grad, decay, sign)
    square = _averaged(square, g, alpha, rest)
    buffer = momentum * buffer + quotient(g, root(square) + eps)
    return param - lr * buffer, square, buffer


@jit
def _step_centered_momentum(param, square, mean, buffer, grad, lr, alpha, rest, eps, decay, momentum, sign):
    g = downhill(param, grad, decay, sign)
    square = _averaged(square, g, alpha, rest)
    mean += rest * (g - mean)
    buffer = momentum * buffer + quotient(g, root(square - mean * mean) + eps)
    return param - lr * buffer, square, mean, buffer


def forward_triton(
    params, grads, square_avgs, grad_avgs, momentum_buffers, dials, grad_scale, found_inf, *, numbers, maximize
):
    ways = ((_step, _step_momentum), (_step_centered, _step_centered_momentum))
    roles = (params, square_avgs, *[r for r in (grad_avgs, momentum_buffers) if r], grads)
    step_group(
        ways[bool(grad_avgs)][bool(momentum_buffers)],
        roles,
        dials[0] if dials else numbers,
        (-1.0 if maximize else 1.0,),
        writes=len(roles) - 1,
        scale=grad_scale[0] if grad_scale else None,
        stop=found_inf[0] if found_inf else None,
    )
    return ()


def samples(rng):
    plain = {"lr": 0.5, "alpha": 0.75, "eps": 0.0, "weight_decay": 0.0, "momentum": 0.0}

    def at(maximize=False, **options):
        return {"numbers": rmsprop_numbers(**{**plain, **options}), "maximize": maximize}

    one = lambda x: (np.array([x]),)  # noqa: E731
    none = (), (), ()  # no dials, no scale, no found_inf
    # the average of squares is 0.75 * 4 + 0.25 * 4 = 4, its root 2
    yield Sample("worked", (one(3.0), one(2.0), one(4.0), (), (), *none), at(), answers=([2.5], [4.0]))
    yield Sample(
        "worked, momentum",
        (one(3.0), one(2.0), one(4.0), (), one(6.0), *none),
        at(momentum=0.5),
        answers=([1.0], [4.0], [4.0]),
    )
    # the mean is 1.5 + 0.25 * (2 - 1.5); with eps the average is sqrt(4 - 1.625²) + 1
    yield Sample(
        "worked, centered",
        (one(3.0), one(2.0), one(4.0), one(1.5), (), *none),
        at(eps=1.0),
        answers=([3 - 1 / (np.sqrt(4 - 1.625**2) + 1)], [4.0], [1.625]),
    )
    # g = -(-1) + 0.5 * 2 = 2
    yield Sample(
        "worked, maximize and decay",
        (one(2.0), one(-1.0), one(4.0), (), (), *none),
        at(True, weight_decay=0.5),
        answers=([1.5], [4.0]),
    )
    dials = (np.array(rmsprop_numbers(**plain)),)
    scaled = one(3.0), one(8.0), one(4.0), (), (), dials, (np.array(4.0),)
    by_array = {"numbers": None, "maximize": False}
    yield Sample("worked, from dials, scaled", (*scaled, (np.array(0.0),)), by_array, answers=([2.5], [4.0]))
    yield Sample("worked, stopped", (*scaled, (np.array(1.0),)), by_array, answers=([3.0], [4.0]))
    usual = {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.9}
    shapes = [(3, 4), (0,), (), (1500,)]
    for name, centered, heavy in [("group", 0, 0), ("group, centered with momentum", 1, 1)]:
        params, grads, means, buffers = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(4)]
        squares = tuple(m * m + rng.uniform(0.5, 1.0, m.shape) for m in means)
        yield Sample(
            name,
            (params, grads, squares, means if centered else (), buffers if heavy else (), *none),
            at(True, **usual),
            terms=8,
        )
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),)
    yield Sample("strided parameter", (*turned, (), (), *none), at(**usual), terms=4)


RMSPROP_STEP = register(
    Op(
        name="rmsprop_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        # there is no output to differentiate
        zero=("params", "grads", "square_avgs", "grad_avgs", "momentum_buffers", "dials", "grad_scale", "found_inf"),
        writes=("params", "square_avgs", "grad_avgs", "momentum_buffers"),
    )
)
