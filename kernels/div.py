"""Quotient of two arrays, elementwise: exact, or rounded to an integer.

    div        out = input / other
    div_floor  out = floor(input / other)
    div_trunc  out = input / other without its fraction

    grad_input =  grad / other
    grad_other = -grad * out / other

The gradients of the rounded quotients are 0, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Op, Sample, register


def div(input: Tensor | float, other: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``; shapes broadcast, dtypes are promoted and integers give floats.

    With ``rounding_mode`` "floor" or "trunc" the quotient is rounded down or towards zero, and integers stay
    integers.  Raises RuntimeError for another mode, and on the CPU where an integer is divided by zero.

    >>> div(Tensor([1.0, -3.0]), 2, rounding_mode="floor").numpy()
    array([ 0., -2.], dtype=float32)
    """
    if rounding_mode is None:
        return apply(DIV, input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(f"div: expected rounding_mode None, 'floor' or 'trunc', got {rounding_mode!r}")
    _refuse_bool(f"div with rounding_mode={rounding_mode!r}", input, other)
    return apply(DIV_FLOOR if rounding_mode == "floor" else DIV_TRUNC, input, other)


def true_divide(input: Tensor | float, other: Tensor | float) -> Tensor:
    """``div`` without rounding.

    >>> true_divide(Tensor([1, 3]), 2).tolist()
    [0.5, 1.5]
    """
    return apply(DIV, input, other)


def floor_divide(input: Tensor | float, other: Tensor | float) -> Tensor:
    """``input / other`` rounded down; shapes broadcast, dtypes are promoted, integers stay integers.

    Raises RuntimeError on the CPU where an integer is divided by zero.

    >>> floor_divide(Tensor([7, -7]), 2).numpy()
    array([ 3, -4])
    """
    _refuse_bool("floor_divide", input, other)
    return apply(DIV_FLOOR, input, other)


def _refuse_bool(name, *operands):
    if all(isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype is dtypes.bool_) for x in operands):
        raise RuntimeError(f"{name}: expected numbers, got bool")


def forward_numpy(input, other):
    return np.true_divide(input, other)


def backward_numpy(grad, output, other):
    return -grad * (output / other)


def _checked(other):
    """``other``, which if it is of integers must not hold a zero."""
    if (type(other) is int or getattr(other, "dtype", np.dtype(float)).kind in "iu") and not np.all(other):
        raise RuntimeError("div: integer division by zero")
    return other


def floor_numpy(input, other):
    return np.floor_divide(input, other if np.result_type(input).kind == "f" else _checked(other))


def trunc_numpy(input, other):
    kind = np.result_type(input, other)
    if kind.kind == "f":
        return np.trunc(np.true_divide(input, other))
    down = np.floor_divide(input, _checked(other))
    return down + ((down < 0) & (down * other != input)).astype(down.dtype)


@jit
def quotient(x, y):
    """``x / y`` of floats, rounded to nearest: plain float32 division on a GPU is not."""
    if x.dtype == tl.float32:
        return tl.div_rn(x, y)
    else:
        return x / y


@jit
def _backward(grad, output, other):
    return -grad * quotient(output, other)


@jit
def _floor(x, y):
    if x.dtype.is_floating():
        rest = libdevice.fmod(x, y)
        whole = quotient(x - rest, y)
        whole = tl.where((rest != 0) & ((y < 0) != (rest < 0)), whole - 1, whole)
        down = tl.floor(whole)
        down = tl.where(whole - down > 0.5, down + 1, down)  # whole is an integer but for rounding
        return tl.where(y == 0, quotient(x, y), down)
    else:
        down = x // y  # towards zero, as in C
        rest = x - down * y
        return tl.where((rest != 0) & ((rest < 0) != (y < 0)), down - 1, down)


@jit
def _trunc(x, y):
    if x.dtype.is_floating():
        return libdevice.trunc(quotient(x, y))
    else:
        return x // y


def samples(rng):
    yield Sample(
        "worked", (np.array([1.0, 6.0]), np.array([2.0, -4.0])), answers=([0.5, -1.5], [0.5, -0.25], [-0.25, -0.375])
    )
    yield Sample(
        "by zero",
        (np.array([1.0, -1.0]), np.array([0.0, 0.0])),
        answers=([np.inf, -np.inf], [np.inf, np.inf], [-np.inf, np.inf]),
    )
    for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,)), ((3, 1025), (3, 1025))]:
        yield Sample(f"shapes {a} {b}", (rng.normal(size=a), rng.uniform(0.5, 2, b) * rng.choice([-1, 1], b)))
    yield Sample("number", (rng.normal(size=(3,)), -2.5))
    yield Sample("number first", (2, rng.uniform(0.5, 2, (3,))))
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.uniform(1, 2, (4, 10))[:, ::2]))
    yield Sample("integers", (np.array([3, -4]), np.array([2, 8])), answers=([1.5, -0.5],), dtypes=())
    yield Sample(
        "mode",
        (np.ones(1), np.ones(1)),
        {"rounding_mode": "up"},
        raises=(RuntimeError, "div: expected rounding_mode None, 'floor' or 'trunc', got 'up'"),
    )


def rounded_samples(answers):
    x, y = [7.0, -7.0, 7.0, -7.0, 6.0], [2.0, 2.0, -2.0, -2.0, 3.0]

    def samples(rng):
        nothing = [0.0] * 5
        yield Sample("worked", (np.array(x), np.array(y)), answers=(answers, nothing, nothing))
        for kind in ("i8", "i4", "i1"):
            yield Sample(f"integers {kind}", (np.array(x, kind), np.array(y, kind)), answers=(answers,), dtypes=())
        yield Sample(
            "bytes", (np.array([7, 255, 6], "u1"), np.array([2, 2, 200], "u1")), answers=([3, 127, 0],), dtypes=()
        )
        yield Sample(
            "broadcast", (rng.normal(size=(4, 3)) * 5, rng.uniform(0.5, 2, (3,))), dtypes=("float64", "float32")
        )
        yield Sample("number first", (7.5, np.array([2.0, 4.0])))
        yield Sample("empty", (np.zeros((0, 2)), np.ones((2,))))

    return samples


DIV = register(
    Op(
        name="div",
        kernel=elementwise(forward_numpy, quotient, ufunc=np.true_divide),
        grads=(
            Grad(of=("input",), keeps=("other",), op="div"),
            Grad(of=("other",), keeps=("output", "other"), op="div_backward"),
        ),
        samples=samples,
        function=div,
        promotion="float",
    )
)

# f(a, b, c) = -a * b / c has derivatives -b / c, -a / c and -f / c: all of them f again
register(
    Op(
        name="div_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("output", "other"), op="div_backward"),
            Grad(of=("output",), keeps=("grad", "other"), op="div_backward"),
            Grad(of=("other",), keeps=("result", "other"), op="div_backward"),
        ),
        outputs=("result",),
    )
)

DIV_FLOOR = register(
    Op(
        name="div_floor",
        kernel=elementwise(floor_numpy, _floor),
        grads=(Grad(of=("input",), keeps=(), op="flat"), Grad(of=("other",), keeps=(), op="flat")),
        samples=rounded_samples([3.0, -4.0, -4.0, 3.0, 2.0]),
        function=floor_divide,
        promotion="arithmetic",
    )
)

DIV_TRUNC = register(
    Op(
        name="div_trunc",
        kernel=elementwise(trunc_numpy, _trunc),
        grads=(Grad(of=("input",), keeps=(), op="flat"), Grad(of=("other",), keeps=(), op="flat")),
        samples=rounded_samples([3.0, -3.0, -3.0, 3.0, 2.0]),
        promotion="arithmetic",
    )
)
