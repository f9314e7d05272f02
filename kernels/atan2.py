"""Angle and length of the vector (other, input), elementwise.

atan2  out = the angle between the x axis and (x = other, y = input), in (-pi, pi]
       grad_input = grad * other / (input^2 + other^2),  grad_other = -grad * input / (input^2 + other^2)
       both are 0 at the origin
hypot  out = sqrt(input^2 + other^2)
       grad_input = grad * input / out,  grad_other = grad * other / out;  nan at the origin, as in PyTorch
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Op, Sample, register
from .div import quotient


def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input) seen from the origin; shapes broadcast, integers give floats.

    >>> atan2(Tensor([0.0, 2.0]), Tensor([1.0, 0.0])).numpy()
    array([0.       , 1.5707964], dtype=float32)
    """
    return apply(ATAN2, input, other)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """``sqrt(input^2 + other^2)`` without overflow; floating; shapes broadcast, dtypes are promoted.

    Raises RuntimeError for integers.

    >>> hypot(Tensor([3.0]), Tensor([4.0])).tolist()
    [5.0]
    """
    if not any(isinstance(x, Tensor) and x.dtype.is_floating_point for x in (input, other)):
        raise RuntimeError("hypot: expected floating tensors, got integers")
    return apply(HYPOT, input, other)


def angle_numpy(input, other):
    return np.arctan2(input, other)


def hypot_numpy(input, other):
    return np.hypot(input, other)


def turn_numpy(grad, first, second, *, sign):
    """sign * grad * second / (first^2 + second^2)."""
    square = first * first + second * second
    return np.where(square == 0, 0, sign * grad * (second / square))


def cross_numpy(grad, scale, first, second, *, sign):
    """How ``turn`` changes with ``first``."""
    square = first * first + second * second
    return np.where(square == 0, 0, -2 * sign * grad * scale * (first / square) * (second / square))


def twist_numpy(grad, scale, first, second, *, sign):
    """How ``turn`` changes with ``second``."""
    square = first * first + second * second
    return np.where(square == 0, 0, sign * grad * scale * ((first - second) / square) * ((first + second) / square))


@jit
def _atan2(y, x):
    return libdevice.atan2(y, x)


@jit
def _hypot(x, y):
    return libdevice.hypot(x, y)


@jit
def _turn(grad, a, b, sign):
    square = a * a + b * b
    return tl.where(square == 0, 0, sign * grad * quotient(b, square))


@jit
def _cross(grad, scale, a, b, sign):
    square = a * a + b * b
    return tl.where(square == 0, 0, -2 * sign * grad * scale * quotient(a, square) * quotient(b, square))


@jit
def _twist(grad, scale, a, b, sign):
    square = a * a + b * b
    return tl.where(square == 0, 0, sign * grad * scale * quotient(a - b, square) * quotient(a + b, square))


def _usual(rng):
    for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,)), ((2, 1025), (2, 1025))]:
        x, y = (rng.uniform(0.3, 2.0, s) * rng.choice([-1.0, 1.0], s) for s in (a, b))
        yield Sample(f"shapes {a} {b}", (x, y), terms=5)
    yield Sample("number", (rng.uniform(0.3, 2.0, (3,)), -1.5))
    yield Sample("strided", (rng.uniform(0.3, 2.0, (5, 4)).T, rng.uniform(0.3, 2.0, (4, 10))[:, ::2]))


def samples(rng):
    yield Sample(
        "worked",
        (np.array([0.0, 1.0, 0.0, -2.0]), np.array([0.0, 1.0, -2.0, 0.0])),
        answers=([0.0, np.pi / 4, np.pi, -np.pi / 2], [0.0, 0.5, -0.5, 0.0], [0.0, -0.5, 0.0, 0.5]),
    )
    yield Sample("integers", (np.array([0]), np.array([2])), answers=([0.0],), dtypes=())
    yield from _usual(rng)


def hypot_samples(rng):
    yield Sample(
        "worked",
        (np.array([3.0, 0.0, np.inf]), np.array([4.0, 0.0, 1.0])),
        answers=([5.0, 0.0, np.inf], [0.6, np.nan, np.nan], [0.8, np.nan, 0.0]),
    )
    yield from _usual(rng)
    yield Sample(
        "integers",
        (np.array([1]), np.array([2])),
        raises=(RuntimeError, "hypot: expected floating tensors, got integers"),
    )


ATAN2 = register(
    Op(
        name="atan2",
        kernel=elementwise(angle_numpy, _atan2, ufunc=np.arctan2),
        grads=(
            Grad(of=("input",), keeps=("input", "other"), op="atan2_backward", settings=lambda call: {"sign": 1}),
            Grad(of=("other",), keeps=("other", "input"), op="atan2_backward", settings=lambda call: {"sign": -1}),
        ),
        samples=samples,
        function=atan2,
        promotion="float",
        autocast="float32",
    )
)

register(
    Op(
        name="atan2_backward",
        kernel=elementwise(turn_numpy, _turn),
        grads=(
            Grad(of=("grad",), keeps=("first", "second"), op="atan2_backward"),
            Grad(of=("first",), keeps=("grad", "first", "second"), op="atan2_cross"),
            Grad(of=("second",), keeps=("grad", "first", "second"), op="atan2_twist"),
        ),
    )
)

for _name, _numpy, _scalar in (("atan2_cross", cross_numpy, _cross), ("atan2_twist", twist_numpy, _twist)):
    register(
        Op(
            name=_name,
            kernel=elementwise(_numpy, _scalar),
            grads=(
                Grad(of=("grad",), keeps=("scale", "first", "second"), op=_name),
                Grad(of=("scale",), keeps=("grad", "first", "second"), op=_name),
            ),
        )
    )

HYPOT = register(
    Op(
        name="hypot",
        kernel=elementwise(hypot_numpy, _hypot, ufunc=np.hypot),
        grads=(
            Grad(
                of=("input",),
                keeps=("input", "output"),
                op="power_ratio",
                settings=lambda call: {"value": 1, "power": 1},
            ),
            Grad(
                of=("other",),
                keeps=("other", "output"),
                op="power_ratio",
                settings=lambda call: {"value": 1, "power": 1},
            ),
        ),
        samples=hypot_samples,
        function=hypot,
        promotion="arithmetic",
    )
)
