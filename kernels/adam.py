"""One step of Adam for a group of parameters, in place; every array of a group in one launch.

    g           = (-grad if maximize else grad) + weight_decay * param
    exp_avg     = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq  = beta2 * exp_avg_sq + (1 - beta2) * g * g
    denominator = sqrt(exp_avg_sq) / sqrt(1 - beta2**step) + eps
    param       = param - lr / (1 - beta1**step) * exp_avg / denominator

With ``decoupled`` (AdamW), g is without weight_decay; param is first multiplied by 1 - lr * weight_decay instead.
With ``max_exp_avg_sqs`` (amsgrad), the greatest exp_avg_sq so far stands in the denominator.  ``step`` counts from 1.
All is done in the parameters' dtype, half types in float32 and rounded once.

The seven numbers that the formulas make of lr, beta1, beta2, eps, weight_decay and step are ``adam_numbers``.  They come
as a setting, or as one array (``dials``) where the launch is to be repeated with others.  Where ``found_inf`` is given
and not 0 nothing is done; ``grad_scale`` divides the gradients.

    adam_dials = adam_numbers of one step more; steps = steps + 1; neither is needed where found_inf is not 0

Source: Kingma, Ba (2015), "Adam: a method for stochastic optimization", algorithm 1; Reddi, Kale, Kumar (2018) for
amsgrad; Loshchilov, Hutter (2019), "Decoupled weight decay regularization", algorithm 2.  The formulas are PyTorch's.
"""

from math import sqrt

import numpy as np

from ..framework.array import empty_like
from ..framework.group import pieces, reciprocal, scratch, step_group
from ..framework.language import jit, libdevice, tl
from ..framework.launch import contiguous, launch
from ..framework.op import Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def adam_numbers(lr, beta1, beta2, eps, weight_decay, step, decoupled=False):
    """Step size, bias correction of the root, eps, decay, 1 - beta1, beta2 and 1 - beta2, in double precision.

    The first two correct the moments' start at zero; 1 - beta would lose half its digits in float32.  Where decay is
    decoupled it comes as 1 - lr * weight_decay.
    """
    decay = 1 - lr * weight_decay if decoupled else weight_decay
    return lr / (1 - beta1**step), sqrt(1 - beta2**step), eps, decay, 1 - beta1, beta2, 1 - beta2


def forward_numpy(
    params,
    grads,
    exp_avgs,
    exp_avg_sqs,
    max_exp_avg_sqs,
    dials,
    grad_scale,
    found_inf,
    *,
    numbers,
    maximize,
    decoupled,
):
    if found_inf and found_inf[0] != 0:
        return ()
    size, bias, eps, weight_decay, rest1, beta2, rest2 = dials[0].tolist() if dials else numbers
    # written roles first; without amsgrad there is one fewer
    roles = (params, exp_avgs, exp_avg_sqs, *((max_exp_avg_sqs,) if max_exp_avg_sqs else ()), grads)
    buffers = scratch(roles, 2)
    for param, mean, square, *greatest, grad in pieces(roles, len(roles) - 1):
        t, own = buffers(param)
        g = grad
        if grad_scale:
            g = np.multiply(g, reciprocal(grad_scale[0], g), out=own)
        if maximize:
            g = np.negative(g, out=own)
        if decoupled:
            param *= weight_decay
        elif weight_decay:
            np.multiply(param, weight_decay, out=t)
            g = np.add(g, t, out=own)
        np.subtract(g, mean, out=t)
        t *= rest1
        mean += t
        np.multiply(g, g, out=t)
        t *= rest2
        square *= beta2
        square += t
        if greatest:
            np.maximum(greatest[0], square, out=greatest[0])
        np.sqrt(greatest[0] if greatest else square, out=t)
        t += eps * bias  # root / bias + eps, times bias: a pass less, and the same but for rounding
        np.divide(mean, t, out=t)
        t *= size * bias
        param -= t
    return ()


@jit
def _gradient(param, grad, decay, sign):
    g = grad * sign
    return tl.where(decay != 0, g + decay * param, g)


@jit
def _decoupled_step(param, mean, square, grad, size, bias, eps, kept, rest1, beta2, rest2, sign):
    g = grad * sign
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    return _moved(kept * param, mean, square, size, bias, eps), mean, square


@jit
def _decoupled_step_amsgrad(param, mean, square, greatest, grad, size, bias, eps, kept, rest1, beta2, rest2, sign):
    g = grad * sign
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    greatest = tl.maximum(greatest, square, propagate_nan=tl.PropagateNan.ALL)
    return _moved(kept * param, mean, greatest, size, bias, eps), mean, square, greatest


@jit
def _moved(param, mean, square, size, bias, eps):
    return param - size * quotient(mean, quotient(root(square), bias) + eps)


@jit
def _step(param, mean, square, grad, size, bias, eps, decay, rest1, beta2, rest2, sign):
    g = _gradient(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    return _moved(param, mean, square, size, bias, eps), mean, square


@jit
def _step_amsgrad(param, mean, square, greatest, grad, size, bias, eps, decay, rest1, beta2, rest2, sign):
    g = _gradient(param, grad, decay, sign)
    mean += rest1 * (g - mean)
    square = beta2 * square + rest2 * (g * g)
    greatest = tl.maximum(greatest, square, propagate_nan=tl.PropagateNan.ALL)
    return _moved(param, mean, greatest, size, bias, eps), mean, square, greatest


def forward_triton(
    params,
    grads,
    exp_avgs,
    exp_avg_sqs,
    max_exp_avg_sqs,
    dials,
    grad_scale,
    found_inf,
    *,
    numbers,
    maximize,
    decoupled,
):
    ways = ((_step, _step_amsgrad), (_decoupled_step, _decoupled_step_amsgrad))
    greatest = (max_exp_avg_sqs,) if max_exp_avg_sqs else ()
    step_group(
        ways[decoupled][len(greatest)],
        (params, exp_avgs, exp_avg_sqs, *greatest, grads),
        dials[0] if dials else numbers,
        (-1.0 if maximize else 1.0,),
        writes=3 + len(greatest),
        scale=grad_scale[0] if grad_scale else None,
        stop=found_inf[0] if found_inf else None,
    )
    return ()


def dials_numpy(steps, found_inf, dials, *, options, decoupled):
    lr, beta1, beta2, eps, weight_decay = dials[0].tolist() if dials else options
    if not found_inf or found_inf[0] == 0:
        steps += 1
    return np.array(adam_numbers(lr, beta1, beta2, eps, weight_decay, max(int(steps), 1), decoupled))


@jit
def _dials(out_ptr, steps_ptr, found_ptr, dials_ptr, options, DECOUPLED: tl.constexpr):
    # out (7,) float64 · steps, found: one element each · dials (5,), or None: then the options are numbers · one program
    if dials_ptr is not None:
        lr = tl.load(dials_ptr).to(tl.float64)
        beta1 = tl.load(dials_ptr + 1).to(tl.float64)
        beta2 = tl.load(dials_ptr + 2).to(tl.float64)
        eps = tl.load(dials_ptr + 3).to(tl.float64)
        decay = tl.load(dials_ptr + 4).to(tl.float64)
    else:
        lr, beta1, beta2, eps, decay = options
    step = tl.load(steps_ptr).to(tl.float64)
    if found_ptr is not None:
        step += tl.where(tl.load(found_ptr) == 0, 1, 0)
    else:
        step += 1
    tl.store(steps_ptr, step.to(steps_ptr.dtype.element_ty))
    step = tl.where(step < 1, 1, step)
    tl.store(out_ptr, lr / (1 - libdevice.pow(beta1, step)))
    tl.store(out_ptr + 1, tl.sqrt(1 - libdevice.pow(beta2, step)))
    tl.store(out_ptr + 2, eps)
    tl.store(out_ptr + 3, 1 - lr * decay if DECOUPLED else decay)
    tl.store(out_ptr + 4, 1 - beta1)
    tl.store(out_ptr + 5, beta2)
    tl.store(out_ptr + 6, 1 - beta2)


def dials_triton(steps, found_inf, dials, *, options, decoupled):
    out = empty_like(steps, (7,), np.dtype(np.float64))
    given = () if dials else tuple(map(np.float64, options))
    array = contiguous(dials[0]) if dials else None
    # one program, one lane
    found = found_inf[0] if found_inf else None
    launch(_dials, (1,), out, steps, found, array, given, num_warps=1, DECOUPLED=decoupled)
    return out


def samples(rng):
    plain = {"lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.0, "weight_decay": 0.0}

    def at(step, maximize=False, decoupled=False, **options):
        numbers = adam_numbers(**{**plain, **options}, step=step, decoupled=decoupled)
        return {"numbers": numbers, "maximize": maximize, "decoupled": decoupled}

    none = (), (), ()  # no dials, no scale, no found_inf
    # two steps by hand.  First: m = 1, v = 1; bias corrections 1/2 and 1/4, so the step is 0.5 * 2 / 2 = 0.5.
    first = (np.array([3.0, 1.0]),), (np.array([2.0, -2.0]),), (np.zeros(2),), (np.zeros(2),), ()
    yield Sample("worked, first step", (*first, *none), at(1), answers=([2.5, 1.5], [1.0, -1.0], [1.0, 1.0]))
    # Second, gradient 4: m = 1 + (4 - 1) / 2 = 2.5, v = 3/4 + 16/4 = 4.75; corrections 3/4 and 7/16.
    second = (np.array([2.5]),), (np.array([4.0]),), (np.array([1.0]),), (np.array([1.0]),), ()
    yield Sample(
        "worked, second step",
        (*second, *none),
        at(2),
        answers=([2.5 - (0.5 / 0.75) * 2.5 / (np.sqrt(4.75) / np.sqrt(0.4375))], [2.5], [4.75]),
    )
    yield Sample(
        "worked, amsgrad",
        (*second[:4], (np.array([19.0]),), *none),
        at(2),
        answers=([2.5 - (0.5 / 0.75) * 2.5 / (np.sqrt(19.0) / np.sqrt(0.4375))], [2.5], [4.75], [19.0]),
    )
    # g = -2 + 0.5 * 4 = 0: nothing moves
    yield Sample(
        "worked, maximize and decay",
        ((np.array([4.0]),), (np.array([2.0]),), (np.zeros(1),), (np.zeros(1),), (), *none),
        at(1, True, eps=1.0, weight_decay=0.5),
        answers=([4.0], [0.0], [0.0]),
    )
    # decoupled, 4 becomes 4 * (1 - 0.5 * 0.5) = 3 and then moves as in the first step
    yield Sample(
        "worked, decoupled decay",
        ((np.array([4.0]),), (np.array([2.0]),), (np.zeros(1),), (np.zeros(1),), (), *none),
        at(1, decoupled=True, weight_decay=0.5),
        answers=([2.5], [1.0], [1.0]),
    )
    # the first step once more, its numbers in an array, its gradients four times as large
    dials = np.array(adam_numbers(**plain, step=1))
    scaled = first[0], (np.array([8.0, -8.0]),), *first[2:]
    by_array = {"numbers": None, "maximize": False, "decoupled": False}
    one, zero = np.array(1.0), np.array(0.0)
    yield Sample(
        "worked, from dials, scaled",
        (*scaled, (dials,), (np.array(4.0),), (zero,)),
        by_array,
        answers=([2.5, 1.5], [1.0, -1.0], [1.0, 1.0]),
    )
    yield Sample(
        "worked, stopped",
        (*scaled, (dials,), (np.array(4.0),), (one,)),
        by_array,
        answers=([3.0, 1.0], [0.0, 0.0], [0.0, 0.0]),
    )
    usual = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "weight_decay": 0.1}
    shapes = [(3, 4), (0,), (), (1,), (1500,), (2, 1, 3)]
    for name, amsgrad, decoupled in [
        ("group", False, False),
        ("group, amsgrad and maximize", True, False),
        ("group, decoupled", False, True),
        ("group, decoupled, amsgrad and maximize", True, True),
    ]:
        drawn = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(3)]
        squares = [tuple(np.asarray(rng.uniform(0.1, 1.0, s)) for s in shapes) for _ in range(2)]
        yield Sample(
            name,
            (*drawn, squares[0], squares[1] if amsgrad else (), *none),
            at(3, amsgrad, decoupled, **usual),
            terms=4,
        )
    yield Sample(
        "strided parameter",
        ((rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),), (np.zeros((4, 3)),), (np.zeros((4, 3)),), (), *none),
        at(1, **usual),
        terms=4,
    )
    gaps = tuple(rng.normal(size=(3, 8))[:, ::2] for _ in range(2))
    yield Sample(
        "parameter with gaps",
        (gaps[:1], gaps[1:], (np.zeros((3, 4)),), (np.zeros((3, 4)),), (), *none),
        at(1, **usual),
        terms=4,
    )
    many = [tuple(rng.normal(size=(70, 2))) for _ in range(2)]
    zeros = [tuple(np.zeros((70, 2))) for _ in range(2)]
    yield Sample("many", (*many, *zeros, (), *none), at(1, **usual), terms=4, dtypes=("float32",))


def dials_samples(rng):
    plain = (0.5, 0.5, 0.75, 0.25, 0.125)
    rest = [0.25, 0.125, 0.5, 0.75, 0.25]
    first, second = [1.0, 0.5, *rest], [0.5 / 0.75, np.sqrt(0.4375), *rest]
    one = lambda x: np.full((), x, np.float32)  # noqa: E731
    given, by_array = ({"options": options, "decoupled": False} for options in (plain, None))
    yield Sample("worked, first", (one(0), (), ()), given, answers=(first, 1), dtypes=())
    yield Sample("worked, second", (one(1), (one(0),), ()), given, answers=(second, 2), dtypes=())
    yield Sample("worked, stopped", (one(1), (one(1),), ()), given, answers=(first, 1), dtypes=())
    dials = (np.array(plain),)
    yield Sample("worked, from dials", (one(1), (), dials), by_array, answers=(second, 2), dtypes=())
    apart = [*first[:3], 1 - 0.5 * 0.125, *first[4:]]
    yield Sample("worked, decoupled", (one(0), (), ()), {**given, "decoupled": True}, answers=(apart, 1), dtypes=())
    usual = {"options": (0.01, 0.9, 0.999, 1e-8, 0.0), "decoupled": False}
    yield Sample("later", (one(999), (one(0),), ()), usual, terms=4, dtypes=())


ADAM_STEP = register(
    Op(
        name="adam_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        # there is no output to differentiate
        zero=("params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs", "dials", "grad_scale", "found_inf"),
        writes=("params", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"),
    )
)
ADAM_DIALS = register(
    Op(
        name="adam_dials",
        kernel=Kernel(numpy=dials_numpy, triton=dials_triton),
        samples=dials_samples,
        outputs=("dials",),
        differentiable=0,
        zero=("steps", "found_inf", "dials"),
        writes=("steps",),
    )
)
