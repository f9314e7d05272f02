"""One step of stochastic gradient descent for a group of parameters, in place; every array of a group in one launch.

    g        = (-grad if maximize else grad) + weight_decay * param
    momentum_buffer = g                                                    at the first step
    momentum_buffer = momentum * momentum_buffer + (1 - dampening) * g     later
    d        = g + momentum * momentum_buffer  with nesterov,  momentum_buffer  without,  g  where momentum is 0
    param    = param - lr * d

Without momentum there are no buffers.  All is done in the parameters' dtype, half types in float32 and rounded once.

The numbers are lr, weight_decay, momentum and 1 - dampening (``sgd_numbers``).  They come as a setting, or as one array
(``dials``) where the launch is to be repeated with others.  Where ``found_inf`` is given and not 0 nothing is done;
``grad_scale`` divides the gradients.

Source: Robbins, Monro (1951); Polyak (1964) for momentum; Sutskever, Martens, Dahl, Hinton (2013), section 2, for
nesterov.  As in PyTorch, the learning rate multiplies the buffer and is no part of it.
"""

import numpy as np

from ..framework.group import pieces, reciprocal, scratch, step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register


def sgd_numbers(lr, momentum, dampening, weight_decay):
    """What the formulas make of an optimizer's options, in double precision."""
    return lr, weight_decay, momentum, 1 - dampening


def forward_numpy(params, grads, momentum_buffers, dials, grad_scale, found_inf, *, numbers, nesterov, maximize, first):
    if found_inf and found_inf[0] != 0:
        return ()
    lr, weight_decay, momentum, undamped = dials[0].tolist() if dials else numbers
    roles = (params, *((momentum_buffers,) if momentum_buffers else ()), grads)
    buffers = scratch(roles, 2)
    for param, *buffer, grad in pieces(roles, len(roles) - 1):
        t, own = buffers(param)
        d = grad
        if grad_scale:
            d = np.multiply(d, reciprocal(grad_scale[0], d), out=own)
        if maximize:
            d = np.negative(d, out=own)
        if weight_decay:
            np.multiply(param, weight_decay, out=t)
            d = np.add(d, t, out=own)
        if buffer:
            if first:
                np.copyto(buffer[0], d)
            else:
                np.multiply(d, undamped, out=t)
                buffer[0] *= momentum
                buffer[0] += t
            if nesterov:
                np.multiply(buffer[0], momentum, out=t)
                d = np.add(d, t, out=own)
            else:
                d = buffer[0]
        np.multiply(d, lr, out=t)
        param -= t
    return ()


@jit
def _gradient(param, grad, decay, sign):
    g = grad * sign
    return tl.where(decay != 0, g + decay * param, g)


@jit
def _plain(param, grad, lr, decay, momentum, undamped, sign):
    return (param - lr * _gradient(param, grad, decay, sign),)


@jit
def _begin(param, buffer, grad, lr, decay, momentum, undamped, sign):
    g = _gradient(param, grad, decay, sign)
    return param - lr * g, g


@jit
def _begin_nesterov(param, buffer, grad, lr, decay, momentum, undamped, sign):
    g = _gradient(param, grad, decay, sign)
    return param - lr * (g + momentum * g), g


@jit
def _go_on(param, buffer, grad, lr, decay, momentum, undamped, sign):
    buffer = momentum * buffer + undamped * _gradient(param, grad, decay, sign)
    return param - lr * buffer, buffer


@jit
def _go_on_nesterov(param, buffer, grad, lr, decay, momentum, undamped, sign):
    g = _gradient(param, grad, decay, sign)
    buffer = momentum * buffer + undamped * g
    return param - lr * (g + momentum * buffer), buffer


def forward_triton(
    params, grads, momentum_buffers, dials, grad_scale, found_inf, *, numbers, nesterov, maximize, first
):
    if not momentum_buffers:
        function, roles = _plain, (params, grads)
    else:
        ways = ((_go_on, _go_on_nesterov), (_begin, _begin_nesterov))
        function, roles = ways[first][nesterov], (params, momentum_buffers, grads)
    step_group(
        function,
        roles,
        dials[0] if dials else numbers,
        (-1.0 if maximize else 1.0,),
        writes=len(roles) - 1,
        scale=grad_scale[0] if grad_scale else None,
        stop=found_inf[0] if found_inf else None,
    )
    return ()


def samples(rng):
    plain = {"lr": 0.5, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0}

    def settings(first=True, nesterov=False, maximize=False, **options):
        numbers = sgd_numbers(**{**plain, **options})
        return {"numbers": numbers, "nesterov": nesterov, "maximize": maximize, "first": first}

    one = lambda x: (np.array([x]),)  # noqa: E731
    none = (), (), ()  # no dials, no scale, no found_inf
    yield Sample("worked", (one(3.0), one(2.0), (), *none), settings(), answers=([2.0],))
    yield Sample("worked, maximize", (one(3.0), one(2.0), (), *none), settings(maximize=True), answers=([4.0],))
    yield Sample("worked, decay", (one(3.0), one(2.0), (), *none), settings(weight_decay=2.0), answers=([-1.0],))
    heavy = {"momentum": 0.5, "dampening": 0.75}
    # two steps by hand, gradients 2 and 4: the buffer is 2, then 0.5 * 2 + 0.25 * 4 = 2
    yield Sample("worked, first step", (one(3.0), one(2.0), one(9.0), *none), settings(**heavy), answers=([2.0], [2.0]))
    second = one(2.0), one(4.0), one(2.0)
    yield Sample("worked, second step", (*second, *none), settings(False, **heavy), answers=([1.0], [2.0]))
    # with nesterov: 2 + 0.5 * 2 = 3, then the buffer is 0.5 * 2 + 4 = 5 and the direction 4 + 0.5 * 5 = 6.5
    ahead = {"momentum": 0.5, "nesterov": True}
    yield Sample(
        "worked, nesterov first", (one(3.0), one(2.0), one(9.0), *none), settings(**ahead), answers=([1.5], [2.0])
    )
    yield Sample(
        "worked, nesterov second",
        (one(1.5), one(4.0), one(2.0), *none),
        settings(False, **ahead),
        answers=([-1.75], [5.0]),
    )
    # the second step once more, its numbers in an array, its gradient eight times as large
    dials = (np.array(sgd_numbers(**{**plain, **heavy})),)
    by_array = {**settings(False), "numbers": None}
    scaled = one(2.0), one(32.0), one(2.0), dials, (np.array(8.0),)
    yield Sample("worked, from dials, scaled", (*scaled, (np.array(0.0),)), by_array, answers=([1.0], [2.0]))
    yield Sample("worked, stopped", (*scaled, (np.array(1.0),)), by_array, answers=([2.0], [2.0]))
    shapes = [(3, 4), (0,), (), (1,), (1500,), (2, 1, 3)]
    usual = {**heavy, "lr": 0.1, "weight_decay": 0.01}
    for name, given in [
        ("group", settings(False, **usual)),
        ("group without momentum", settings(False, **{**usual, "momentum": 0.0})),
        (
            "group, nesterov and maximize",
            settings(False, nesterov=True, maximize=True, **{**usual, "dampening": 0.0}),
        ),
    ]:
        drawn = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
        yield Sample(name, (*drawn[:2], drawn[2] if "without" not in name else (), *none), given, terms=4)
    yield Sample(
        "strided parameter",
        ((rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),), *none),
        settings(False, **usual),
        terms=4,
    )
    many = [tuple(rng.normal(size=(70, 2))) for _ in range(3)]
    yield Sample("many", (*many, *none), settings(False, **usual), terms=4, dtypes=("float32",))


SGD_STEP = register(
    Op(
        name="sgd_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        # there is no output to differentiate
        zero=("params", "grads", "momentum_buffers", "dials", "grad_scale", "found_inf"),
        writes=("params", "momentum_buffers"),
    )
)
