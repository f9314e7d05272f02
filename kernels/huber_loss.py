"""Losses of a difference d = input - target that grow like |d|: the absolute error, and two that are smooth at 0.

    l1_loss         f(d) = |d|,                     f'(d) = sign(d),           f'' = 0
    smooth_l1_loss  f(d) = d^2 / (2 beta)           where |d| < beta,          |d| - beta / 2 elsewhere
                    f'(d) = d / beta,               f'' = 1 / beta  there,     sign(d) and 0 elsewhere
    huber_loss      f(d) = d^2 / 2                  where |d| < delta,         delta (|d| - delta / 2) elsewhere
                    f'(d) = d,                      f'' = 1  there,            delta sign(d) and 0 elsewhere

    out         = f(d), or its mean or sum over all elements
    grad_input  = scale * grad * f'(d),  scale = 1 / n for the mean of n elements, else 1
    grad_target = -grad_input

Shapes broadcast.  The value is one pass, each gradient another.  Source: Huber (1964); Girshick (2015) for smooth_l1_loss.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise, run
from ..framework.language import jit, tl
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import plus, reduce
from ..framework.repeat import repeated
from .mse_loss import REDUCTIONS, check_reduction, reciprocal, share, weighted
from .softmax import wide


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """The mean (or "sum", or with "none" each) of the absolute differences; floating, shapes broadcast.

    ``weight``, of the input's shape, multiplies each; their mean is then divided by the sum of the weights.  Raises
    ValueError for another reduction or a weight of another shape, RuntimeError for shapes that do not broadcast and
    integers throughout.

    >>> l1_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0])).item()
    1.0
    """
    return _loss(L1_LOSS, input, target, reduction, weight)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """As ``l1_loss``, but ``d ** 2 / (2 * beta)`` for differences below ``beta`` and ``|d| - beta / 2`` above.

    Raises as ``l1_loss``, and RuntimeError where beta < 0.

    >>> smooth_l1_loss(Tensor([1.0, 2.0]), Tensor([0.0, 0.0]), reduction="none", beta=2.0).tolist()
    [0.25, 1.0]
    """
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: expected beta >= 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return _loss(SMOOTH_L1_LOSS, input, target, reduction, None, beta=float(beta))


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """As ``l1_loss``, but ``d ** 2 / 2`` for differences below ``delta`` and ``delta * (|d| - delta / 2)`` above.

    The mean of weighted losses is that of all elements here, as in PyTorch.  Raises as ``l1_loss``, and RuntimeError unless delta > 0.

    >>> huber_loss(Tensor([1.0, 3.0]), Tensor([0.0, 0.0]), reduction="none", delta=2.0).tolist()
    [0.5, 4.0]
    """
    if not delta > 0:
        raise RuntimeError(f"huber_loss: expected delta > 0, got {delta}")
    return _loss(HUBER_LOSS, input, target, reduction, weight, delta=float(delta))


def _loss(row, input, target, reduction, weight, **settings):
    check_reduction(row.name, reduction)
    if not (input.dtype.is_floating_point or target.dtype.is_floating_point):
        raise RuntimeError(f"{row.name}: expected floating tensors, got {input.dtype.name} and {target.dtype.name}")
    if weight is None:
        return apply(row, input, target, reduction=reduction, **settings)
    losses, weight = weighted(row, input, target, weight, **settings)
    if reduction == "none":
        return losses
    if reduction == "mean" and row is HUBER_LOSS:  # as in PyTorch, which divides the other losses by the weights
        return OPS["mean"].function(losses)
    total = OPS["sum"].function(losses)
    return total / OPS["sum"].function(weight) if reduction == "mean" else total


# -- NumPy -------------------------------------------------------------------------------------------------------------


def _reduced(losses, reduction, kind):
    if reduction == "none":
        return losses.astype(kind, copy=False)
    total = np.add.reduce(losses, axis=None)
    return np.asarray(total * total.dtype.type(reciprocal(losses.size, reduction))).astype(kind, copy=False)


def _size(input, target):
    d = np.asarray(np.subtract(wide(input), wide(target)))
    return np.abs(d, out=d)


def _bent(size, bound, factor):
    """``factor * size ** 2 / 2`` below ``bound``, and straight on from there."""
    below = np.minimum(size, size.dtype.type(bound))
    size -= below * size.dtype.type(0.5)
    size *= below
    size *= size.dtype.type(factor)
    return size


def l1_numpy(input, target, *, reduction):
    return _reduced(_size(input, target), reduction, input.dtype)


def smooth_l1_numpy(input, target, *, reduction, beta):
    return _reduced(_bent(_size(input, target), beta, 1 / beta), reduction, input.dtype)


def huber_numpy(input, target, *, reduction, delta):
    return _reduced(_bent(_size(input, target), delta, 1.0), reduction, input.dtype)


def _held(d, bound):
    """``d`` no further from 0 than ``bound``; nan stays."""
    return np.clip(d, d.dtype.type(-bound), d.dtype.type(bound))


def l1_slope_numpy(grad, input, target, *, scale):
    d = np.asarray(input - target)
    one = d.dtype.type(scale)
    return grad * np.where(d > 0, one, np.where(d < 0, -one, one * 0))  # 0 for nan, as in PyTorch


def smooth_l1_slope_numpy(grad, input, target, *, scale, beta):
    d = np.asarray(input - target)
    return grad * _held(d, beta) * d.dtype.type(scale / beta)


def huber_slope_numpy(grad, input, target, *, scale, delta):
    d = np.asarray(input - target)
    return grad * _held(d, delta) * d.dtype.type(scale)


def smooth_l1_curve_numpy(grad, arrived, input, target, *, scale, beta):
    d = np.asarray(input - target)
    return np.where(np.abs(d) < beta, grad * arrived * d.dtype.type(scale / beta), d.dtype.type(0))


def huber_curve_numpy(grad, arrived, input, target, *, scale, delta):
    d = np.asarray(input - target)
    return np.where(np.abs(d) < delta, grad * arrived * d.dtype.type(scale), d.dtype.type(0))


# -- Triton ------------------------------------------------------------------------------------------------------------


@jit
def _l1(x, t):
    return tl.abs(x - t)


@jit
def _smooth_l1(x, t, beta):
    size = tl.abs(x - t)
    return tl.where(size < beta, size * size * (0.5 / beta), size - 0.5 * beta)


@jit
def _huber(x, t, delta):
    size = tl.abs(x - t)
    return tl.where(size < delta, size * size * 0.5, (size - 0.5 * delta) * delta)


@jit
def _hold(d, bound):
    return tl.where(d > bound, bound, tl.where(d < -bound, -bound, d))


@jit
def _l1_slope(grad, x, t, scale):
    d = x - t
    return grad * scale * tl.where(d > 0, 1.0, tl.where(d < 0, -1.0, 0.0)).to(d.dtype)


@jit
def _smooth_l1_slope(grad, x, t, scale, beta):
    return grad * (scale / beta) * _hold(x - t, beta)


@jit
def _huber_slope(grad, x, t, scale, delta):
    return grad * scale * _hold(x - t, delta)


@jit
def _smooth_l1_curve(grad, arrived, x, t, scale, beta):
    return tl.where(tl.abs(x - t) < beta, grad * arrived * (scale / beta), 0.0).to(x.dtype)


@jit
def _huber_curve(grad, arrived, x, t, scale, delta):
    return tl.where(tl.abs(x - t) < delta, grad * arrived * scale, 0.0).to(x.dtype)


def _forward(function, input, target, reduction, settings):
    """The losses, or their sum or mean, in one pass."""
    if reduction == "none":
        return run(function, (input, target), settings)
    shape = np.broadcast_shapes(input.shape, target.shape)
    factor = reciprocal(int(np.prod(shape, dtype=np.int64)), reduction)
    dims = tuple(range(len(shape)))
    return reduce((input, target), dims, False, plus, 0, map=function, factor=factor, settings=settings)


def l1_triton(input, target, *, reduction):
    return _forward(_l1, input, target, reduction, ())


def smooth_l1_triton(input, target, *, reduction, beta):
    return _forward(_smooth_l1, input, target, reduction, (beta,))


def huber_triton(input, target, *, reduction, delta):
    return _forward(_huber, input, target, reduction, (delta,))


# -- rows --------------------------------------------------------------------------------------------------------------


def _scaled(sign):
    """The forward call's settings for the row of the slope: a scale in place of the reduction."""

    def settings(call):
        own = {k: v for k, v in call.settings.items() if k != "reduction"}
        return {"scale": sign * share(call), **own}

    return settings


def _opposite(call):
    return {**call.settings, "scale": -call.settings["scale"]}


def _samples(name, settings, worked):
    """Samples of one of the three; ``worked`` are the losses and slopes of d = -3, -1, 0, 1, 3."""

    def samples(rng):
        x, t = np.array([-2.0, 0.0, 1.0, 2.0, 4.0]), np.ones(5)
        losses, slopes = map(np.array, worked)
        yield Sample("none", (x, t), {"reduction": "none", **settings}, answers=(losses, slopes, -slopes))
        yield Sample("sum", (x, t), {"reduction": "sum", **settings}, answers=(losses.sum(), slopes, -slopes))
        yield Sample(
            "mean", (x, t), {"reduction": "mean", **settings}, answers=(losses.mean(), slopes / 5, -slopes / 5)
        )
        empty = np.zeros((0, 2))
        yield Sample("of nothing", (empty, empty), {"reduction": "mean", **settings}, answers=(np.nan, empty, empty))
        for reduction in REDUCTIONS:
            d = rng.choice([-3.0, -2.5, -0.5, 0.5, 2.5, 3.0], (17, 9)) + rng.uniform(-0.25, 0.25, (17, 9))
            t = rng.normal(size=(17, 9))  # off the kinks
            yield Sample(f"{reduction} of many", (t + d, t), {"reduction": reduction, **settings}, terms=153)
        yield Sample("0-d", (np.array(0.25), np.array(-0.25)), {"reduction": "mean", **settings})
        row = (rng.uniform(0.1, 0.4, (6, 4)).T, rng.uniform(-0.4, -0.1, 6))
        yield Sample("broadcast", row, {"reduction": "sum", **settings}, terms=24)
        yield Sample(
            "another reduction",
            (x, x),
            {"reduction": "average"},
            raises=(ValueError, f"{name}: expected reduction to be one of none, mean, sum, got 'average'"),
        )
        yield Sample(
            "integers",
            (np.array([1]), np.array([2])),
            raises=(RuntimeError, f"{name}: expected floating tensors, got int64 and int64"),
        )
        if name == "smooth_l1_loss":
            raises = (RuntimeError, "smooth_l1_loss: expected beta >= 0, got -1.0")
            yield Sample("negative", (x, x), {"beta": -1.0}, raises=raises)
        if name == "huber_loss":
            raises = (RuntimeError, "huber_loss: expected delta > 0, got 0.0")
            yield Sample("no width", (x, x), {"delta": 0.0}, raises=raises)

    return samples


def _family(name, function, value, slope, curve, settings, worked):
    """Register value, slope and, where there is one, curvature; ``value`` is a pair of NumPy's and Triton's version."""
    keeps = ("input", "target")
    row = register(
        Op(
            name=name,
            autocast="float32",
            kernel=Kernel(numpy=value[0], triton=repeated(value[1])),
            grads=(
                Grad(of=("input",), keeps=keeps, op=f"{name}_backward", settings=_scaled(1)),
                Grad(of=("target",), keeps=keeps, op=f"{name}_backward", settings=_scaled(-1)),
            ),
            samples=_samples(name, settings, worked),
            function=function,
            promotion="arithmetic",
        )
    )
    bent = curve is not None
    again = (
        Grad(of=("input",), keeps=("grad", *keeps), op=f"{name}_curvature"),
        Grad(of=("target",), keeps=("grad", *keeps), op=f"{name}_curvature", settings=_opposite),
    )
    register(
        Op(
            name=f"{name}_backward",
            kernel=elementwise(*slope),
            grads=(Grad(of=("grad",), keeps=keeps, op=f"{name}_backward"), *(again if bent else ())),
            zero=() if bent else keeps,
        )
    )
    if bent:
        register(
            Op(
                name=f"{name}_curvature",
                kernel=elementwise(*curve),
                grads=(
                    Grad(of=("grad",), keeps=("arrived", *keeps), op=f"{name}_curvature"),
                    Grad(of=("arrived",), keeps=("grad", *keeps), op=f"{name}_curvature"),
                ),
                zero=keeps,
            )
        )
    return row


L1_LOSS = _family(
    "l1_loss",
    l1_loss,
    (l1_numpy, l1_triton),
    (l1_slope_numpy, _l1_slope),
    None,
    {},
    ([3.0, 1.0, 0.0, 1.0, 3.0], [-1.0, -1.0, 0.0, 1.0, 1.0]),
)
SMOOTH_L1_LOSS = _family(
    "smooth_l1_loss",
    smooth_l1_loss,
    (smooth_l1_numpy, smooth_l1_triton),
    (smooth_l1_slope_numpy, _smooth_l1_slope),
    (smooth_l1_curve_numpy, _smooth_l1_curve),
    {"beta": 2.0},
    ([2.0, 0.25, 0.0, 0.25, 2.0], [-1.0, -0.5, 0.0, 0.5, 1.0]),
)
HUBER_LOSS = _family(
    "huber_loss",
    huber_loss,
    (huber_numpy, huber_triton),
    (huber_slope_numpy, _huber_slope),
    (huber_curve_numpy, _huber_curve),
    {"delta": 2.0},
    ([4.0, 0.5, 0.0, 0.5, 4.0], [-2.0, -1.0, 0.0, 1.0, 2.0]),
)
