"""One step of stochastic gradient descent for a group of parameters, in place; every array of a group in one launch.

    g        = (-grad if maximize else grad) + weight_decay * param
    momentum_buffer = g                                                    at the first step
    momentum_buffer = momentum * momentum_buffer + (1 - dampening) * g     later
    d        = g + momentum * momentum_buffer  with nesterov,  momentum_buffer  without,  g  where momentum is 0
    param    = param - lr * d

Without momentum there are no buffers.  All is done in the parameters' dtype, half types in float32 and rounded once.

Source: Robbins, Monro (1951); Polyak (1964) for momentum; Sutskever, Martens, Dahl, Hinton (2013), section 2, for
nesterov.  As in PyTorch, the learning rate multiplies the buffer and is no part of it.
"""

import numpy as np

from ..framework.group import pieces, scratch, step_group
from ..framework.language import jit, tl
from ..framework.op import Kernel, Op, Sample, register


def forward_numpy(params, grads, momentum_buffers, *, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    roles = (params, *((momentum_buffers,) if momentum_buffers else ()), grads)
    buffers = scratch(roles, 2)
    for param, *buffer, grad in pieces(roles, len(roles) - 1):
        t, own = buffers(param)
        d = np.negative(grad, out=own) if maximize else grad
        if weight_decay:
            np.multiply(param, weight_decay, out=t)
            d = np.add(d, t, out=own)
        if buffer:
            if first:
                np.copyto(buffer[0], d)
            else:
                np.multiply(d, 1 - dampening, out=t)
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
def _plain(param, grad, lr, decay, sign):
    return (param - lr * _gradient(param, grad, decay, sign),)


@jit
def _begin(param, buffer, grad, lr, decay, sign):
    g = _gradient(param, grad, decay, sign)
    return param - lr * g, g


@jit
def _begin_nesterov(param, buffer, grad, lr, decay, sign, momentum):
    g = _gradient(param, grad, decay, sign)
    return param - lr * (g + momentum * g), g


@jit
def _go_on(param, buffer, grad, lr, decay, sign, momentum, undamped):
    buffer = momentum * buffer + undamped * _gradient(param, grad, decay, sign)
    return param - lr * buffer, buffer


@jit
def _go_on_nesterov(param, buffer, grad, lr, decay, sign, momentum, undamped):
    g = _gradient(param, grad, decay, sign)
    buffer = momentum * buffer + undamped * g
    return param - lr * (g + momentum * buffer), buffer


def forward_triton(
    params, grads, momentum_buffers, *, lr, momentum, dampening, weight_decay, nesterov, maximize, first
):
    settings = (lr, weight_decay, -1.0 if maximize else 1.0)
    if not momentum_buffers:
        step_group(_plain, (params, grads), settings, writes=1)
        return ()
    if first:
        function, settings = (_begin_nesterov, (*settings, momentum)) if nesterov else (_begin, settings)
    else:
        function, settings = _go_on_nesterov if nesterov else _go_on, (*settings, momentum, 1 - dampening)
    step_group(function, (params, momentum_buffers, grads), settings, writes=2)
    return ()


def samples(rng):
    plain = {
        "lr": 0.5,
        "momentum": 0.0,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
        "maximize": False,
        "first": True,
    }
    one = lambda x: (np.array([x]),)  # noqa: E731
    yield Sample("worked", (one(3.0), one(2.0), ()), plain, answers=([2.0],))
    yield Sample("worked, maximize", (one(3.0), one(2.0), ()), {**plain, "maximize": True}, answers=([4.0],))
    yield Sample("worked, decay", (one(3.0), one(2.0), ()), {**plain, "weight_decay": 2.0}, answers=([-1.0],))
    heavy = {**plain, "momentum": 0.5, "dampening": 0.75}
    # two steps by hand, gradients 2 and 4: the buffer is 2, then 0.5 * 2 + 0.25 * 4 = 2
    yield Sample("worked, first step", (one(3.0), one(2.0), one(9.0)), heavy, answers=([2.0], [2.0]))
    yield Sample(
        "worked, second step", (one(2.0), one(4.0), one(2.0)), {**heavy, "first": False}, answers=([1.0], [2.0])
    )
    # with nesterov: 2 + 0.5 * 2 = 3, then the buffer is 0.5 * 2 + 4 = 5 and the direction 4 + 0.5 * 5 = 6.5
    ahead = {**heavy, "dampening": 0.0, "nesterov": True}
    yield Sample("worked, nesterov first", (one(3.0), one(2.0), one(9.0)), ahead, answers=([1.5], [2.0]))
    yield Sample(
        "worked, nesterov second", (one(1.5), one(4.0), one(2.0)), {**ahead, "first": False}, answers=([-1.75], [5.0])
    )
    shapes = [(3, 4), (0,), (), (1,), (1500,), (2, 1, 3)]
    usual = {**heavy, "lr": 0.1, "weight_decay": 0.01, "first": False}
    for name, settings in [
        ("group", usual),
        ("group without momentum", {**usual, "momentum": 0.0}),
        ("group, nesterov and maximize", {**usual, "dampening": 0.0, "nesterov": True, "maximize": True}),
    ]:
        drawn = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
        yield Sample(name, (*drawn[:2], drawn[2] if settings["momentum"] else ()), settings, terms=4)
    yield Sample(
        "strided parameter",
        ((rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.ones((4, 3)),)),
        usual,
        terms=4,
    )
    many = [tuple(rng.normal(size=(70, 2))) for _ in range(3)]
    yield Sample("more than one launch", tuple(many), usual, terms=4, dtypes=("float32",))


SGD_STEP = register(
    Op(
        name="sgd_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("params", "grads", "momentum_buffers"),  # there is no output to differentiate
        writes=("params", "momentum_buffers"),
    )
)
