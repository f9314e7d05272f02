"""Logarithm of a sum of powers, elementwise, without overflow.

    logaddexp   out = log(e^input + e^other)
    logaddexp2  out = log2(2^input + 2^other)
    grad_input = grad * s(input - other),  grad_other = grad * s(other - input)
    s(d) = 1 / (1 + base^-d),  with the derivative log(base) * s(d) * (1 - s(d))

Where both operands are the same infinity so is the result, and the gradients are nan, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import OPS, Grad, Op, Sample, register
from .div import quotient


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """``log(exp(input) + exp(other))``; floating; shapes broadcast, dtypes are promoted.  RuntimeError for integers.

    >>> logaddexp(Tensor([1000.0]), Tensor([0.0])).tolist()
    [1000.0]
    """
    return _apply("logaddexp", input, other)


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """``log2(2 ** input + 2 ** other)``; floating; shapes broadcast, dtypes are promoted.  RuntimeError for integers.

    >>> logaddexp2(Tensor([3.0]), Tensor([3.0])).tolist()
    [4.0]
    """
    return _apply("logaddexp2", input, other)


def _apply(name, input, other):
    if not any(isinstance(x, Tensor) and x.dtype.is_floating_point for x in (input, other)):
        raise RuntimeError(f"{name}: expected floating tensors, got integers")
    return apply(OPS[name], input, other)


def natural_numpy(input, other):
    return np.logaddexp(input, other)


def binary_numpy(input, other):
    return np.logaddexp2(input, other)


LOG_2 = float(np.log(2.0))


def share_numpy(grad, first, second, *, scale):
    return grad / (1 + np.exp(scale * (second - first)))


def slope_numpy(grad, arrived, first, second, *, scale, sign):
    small = np.exp(-np.abs(scale * (first - second)))
    return sign * scale * grad * arrived * (small / ((1 + small) * (1 + small)))


@jit
def _logaddexp(x, y):
    high = tl.where((x > y) | (x != x), x, y)
    gap = tl.abs(x - y)
    return tl.where(x == y, high + 0.6931471805599453, high + libdevice.log1p(tl.exp(-gap)))


@jit
def _logaddexp2(x, y):
    high = tl.where((x > y) | (x != x), x, y)
    gap = tl.abs(x - y)
    return tl.where(x == y, high + 1, high + libdevice.log1p(libdevice.exp2(-gap)) * 1.4426950408889634)


@jit
def _share(grad, a, b, scale):
    return quotient(grad, 1 + tl.exp(scale * (b - a)))


@jit
def _slope(grad, arrived, a, b, scale, sign):
    small = tl.exp(-tl.abs(scale * (a - b)))
    return sign * scale * grad * arrived * quotient(small, (1 + small) * (1 + small))


def _samples(name, worked):
    def samples(rng):
        third = np.log(3.0) if name == "logaddexp" else np.log2(3.0)
        yield Sample(
            "worked",
            (np.array([0.0, third]), np.array([0.0, 0.0])),
            answers=(worked, [0.5, 0.75], [0.5, 0.25]),
        )
        yield Sample(
            "infinite",
            (np.array([np.inf, -np.inf, np.inf, -np.inf, np.nan]), np.array([np.inf, -np.inf, 1.0, 1.0, 1.0])),
            answers=(
                [np.inf, -np.inf, np.inf, 1.0, np.nan],
                [np.nan, np.nan, 1.0, 0.0, np.nan],
                [np.nan, np.nan, 0.0, 1.0, np.nan],
            ),
        )
        yield Sample("far", (np.array([1000.0, -1000.0]), np.array([0.0, 0.0])), answers=([1000.0, 0.0],))
        for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,)), ((2, 1025), (2, 1025))]:
            yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.normal(size=b)), terms=8)
        yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]), terms=4)
        yield Sample(
            "integers",
            (np.array([1]), np.array([2])),
            raises=(RuntimeError, f"{name}: expected floating tensors, got integers"),
        )

    return samples


for _function, _numpy, _scalar, _worked, _scale in (
    (logaddexp, natural_numpy, _logaddexp, [np.log(2.0), np.log(4.0)], 1.0),
    (logaddexp2, binary_numpy, _logaddexp2, [1.0, 2.0], LOG_2),
):
    register(
        Op(
            name=_function.__name__,
            kernel=elementwise(_numpy, _scalar),
            grads=(
                Grad(
                    of=("input",),
                    keeps=("input", "other"),
                    op="logaddexp_backward",
                    settings=lambda call, scale=_scale: {"scale": scale},
                ),
                Grad(
                    of=("other",),
                    keeps=("other", "input"),
                    op="logaddexp_backward",
                    settings=lambda call, scale=_scale: {"scale": scale},
                ),
            ),
            samples=_samples(_function.__name__, _worked),
            function=_function,
            promotion="arithmetic",
        )
    )


def _signed(sign):
    return lambda call: {"scale": call.settings["scale"], "sign": sign}


register(
    Op(
        name="logaddexp_backward",
        kernel=elementwise(share_numpy, _share),
        grads=(
            Grad(of=("grad",), keeps=("first", "second"), op="logaddexp_backward"),
            Grad(of=("first",), keeps=("grad", "first", "second"), op="logaddexp_second", settings=_signed(1)),
            Grad(of=("second",), keeps=("grad", "first", "second"), op="logaddexp_second", settings=_signed(-1)),
        ),
    )
)

register(
    Op(
        name="logaddexp_second",
        kernel=elementwise(slope_numpy, _slope),
        grads=(
            Grad(of=("grad",), keeps=("arrived", "first", "second"), op="logaddexp_second"),
            Grad(of=("arrived",), keeps=("grad", "first", "second"), op="logaddexp_second"),
        ),
    )
)
