"""Power of two arrays, elementwise.

    out           = input ** exponent
    grad_input    = grad * exponent * input ** (exponent - 1),  0 where exponent = 0
    grad_exponent = grad * out * log(input),                    0 where input = 0 <= exponent

0 ** 0 is 1.  A negative number to a power that is no integer is NaN.  Integer powers of integers are exact and wrap;
a negative exponent rounds them towards zero, and gives 0 for 0.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise, run
from ..framework.language import jit, libdevice, tl
from ..framework.op import Grad, Kernel, Op, Sample, register
from .div import quotient
from .sqrt import root


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """``input ** exponent``; shapes broadcast, dtypes are promoted.

    Raises RuntimeError for an integer tensor to a negative integer number, and for bool to bool.

    >>> pow(Tensor([2.0, 3.0]), 2).numpy()
    array([4., 9.], dtype=float32)
    """
    if isinstance(input, Tensor) and not input.dtype.is_floating_point and type(exponent) is int and exponent < 0:
        got = f"{input.dtype.name} and {exponent}"
        raise RuntimeError(f"pow: expected a floating tensor or an exponent >= 0, got {got}")
    if all(isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype is dtypes.bool_) for x in (input, exponent)):
        raise RuntimeError("pow: expected numbers, got bool")
    return apply(POW, input, exponent)


def forward_numpy(input, exponent):
    if isinstance(exponent, (int, float)):
        if exponent == 2:
            return input * input
        if exponent == 3:
            return input * input * input
        if exponent == 0.5:
            return np.sqrt(input)
    kind = (input if isinstance(input, (np.ndarray, np.generic)) else exponent).dtype
    if kind.kind == "f":
        return np.power(input, exponent)
    base, exponent = np.asarray(input, kind), np.asarray(exponent, kind)
    up = np.power(base, np.maximum(exponent, 0))
    if not np.any(exponent < 0):
        return up
    unit = np.where(base == 1, up.dtype.type(1), np.where(base == -1, 1 - 2 * (exponent & 1), 0)).astype(kind)
    return np.where(exponent < 0, unit, up)


def backward_input_numpy(grad, input, exponent):
    if isinstance(exponent, (int, float)):
        if exponent == 0.5:
            return grad * (0.5 / np.sqrt(input))
        if exponent == 2:
            return grad * (2 * input)
        return grad * (exponent * forward_numpy(input, exponent - 1)) if exponent else np.zeros_like(grad)
    return np.where(exponent == 0, 0, grad * (exponent * np.power(input, exponent - 1)))


def _log(input, like):
    return np.log(np.asarray(input, like.dtype))  # NumPy would take a number for a float64


def backward_exponent_numpy(grad, output, input, exponent):
    return np.where((input == 0) & (exponent >= 0), 0, grad * (output * _log(input, grad)))


def second_input_numpy(grad, scale, input, exponent):
    factor = exponent * (exponent - 1)
    return np.where(factor == 0, 0, grad * scale * (factor * np.power(input, exponent - 2)))


def second_mixed_numpy(grad, scale, input, exponent):
    slope = np.power(input, exponent - 1)
    curve = np.where((input == 0) & (exponent > 1), 0, exponent * slope * _log(input, grad))
    return grad * scale * (slope + np.where(exponent == 0, 0, curve))


def second_exponent_numpy(grad, scale, input, exponent):
    curve = np.power(input, exponent) * _log(input, grad) ** 2
    return np.where((input == 0) & (exponent >= 0), 0, grad * scale * curve)


@jit
def _power(x, e):
    if x.dtype.is_floating():
        return libdevice.pow(x, e)
    else:
        return _integer_power(x, e)


@jit
def _integer_power(x, e):
    base = x + e * 0
    rest = e + x * 0
    out = (base * 0 + 1).to(x.dtype)
    if x.dtype != tl.uint8:
        negative = rest < 0
        unit = tl.where(base == 1, 1, tl.where(base == -1, 1 - 2 * (rest & 1), 0)).to(x.dtype)
        out = tl.where(negative, unit, out)
        rest = tl.where(negative, 0, rest).to(x.dtype)
    for _ in range(x.dtype.primitive_bitwidth):  # one bit of the exponent at a time
        out = tl.where((rest & 1) != 0, out * base, out).to(x.dtype)
        base = (base * base).to(x.dtype)
        rest = (rest >> 1).to(x.dtype)
    return out


@jit
def _square(x):
    return x * x


@jit
def _cube(x):
    return x * x * x


@jit
def _square_backward(grad, x):
    return grad * (2 * x)


@jit
def _cube_backward(grad, x):
    return grad * (3 * x * x)


@jit
def _root_backward(grad, x):
    return quotient(0.5 * grad, root(x))


@jit
def _backward_input(grad, x, e):
    return tl.where(e == 0, 0, grad * (e * libdevice.pow(x, e - 1)))


@jit
def _backward_exponent(grad, output, x, e):
    return tl.where((x == 0) & (e >= 0), 0, grad * (output * libdevice.log(x)))


@jit
def _second_input(grad, scale, x, e):
    factor = e * (e - 1)
    return tl.where(factor == 0, 0, grad * scale * (factor * libdevice.pow(x, e - 2)))


@jit
def _second_mixed(grad, scale, x, e):
    slope = libdevice.pow(x, e - 1)
    curve = tl.where((x == 0) & (e > 1), 0, e * slope * libdevice.log(x))
    return grad * scale * (slope + tl.where(e == 0, 0, curve))


@jit
def _second_exponent(grad, scale, x, e):
    log = libdevice.log(x)
    return tl.where((x == 0) & (e >= 0), 0, grad * scale * (libdevice.pow(x, e) * log * log))


# forward and backward of the powers, to numbers, that are a product or a root
_SHORT = {2: (_square, _square_backward), 3: (_cube, _cube_backward), 0.5: (root, _root_backward)}
_FORWARD = elementwise(forward_numpy, _power)
_BACKWARD_INPUT = elementwise(backward_input_numpy, _backward_input)


def forward_triton(input, exponent):
    if isinstance(exponent, (int, float)) and exponent in _SHORT:
        return run(_SHORT[exponent][0], (input,), ())
    return _FORWARD.triton(input, exponent)


def _short(input, exponent):
    if isinstance(exponent, (int, float)) and exponent in _SHORT:
        return _SHORT[exponent][0], (input,)
    return None


def _short_backward(grad, input, exponent):
    if isinstance(exponent, (int, float)) and exponent in _SHORT:
        return _SHORT[exponent][1], (grad, input)
    return None


def backward_input_triton(grad, input, exponent):
    if isinstance(exponent, (int, float)) and exponent in _SHORT:
        return run(_SHORT[exponent][1], (grad, input), ())
    return _BACKWARD_INPUT.triton(grad, input, exponent)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([2.0, 4.0]), np.array([3.0, 0.5])),
        answers=([8.0, 2.0], [12.0, 0.25], [8 * np.log(2.0), 2 * np.log(4.0)]),
    )
    yield Sample(
        "at zero",
        (np.zeros(4), np.array([0.0, 1.0, 2.0, -1.0])),
        answers=([1.0, 0.0, 0.0, np.inf], [0.0, 1.0, 0.0, -np.inf], [0.0, 0.0, 0.0, -np.inf]),
    )
    yield Sample(
        "negative",
        (np.array([-2.0, -2.0, -2.0]), np.array([3.0, -1.0, 0.0])),
        answers=([-8.0, -0.5, 1.0], [12.0, -0.25, 0.0], [np.nan, np.nan, np.nan]),
    )
    yield Sample("square", (np.array([0.0, -3.0]), 2), answers=([0.0, 9.0], [0.0, -6.0]))
    yield Sample("number 0", (np.array([0.0, -3.0]), 0), answers=([1.0, 1.0], [0.0, 0.0]))
    yield Sample("base 0", (0.0, np.array([0.0, 2.0])), answers=([1.0, 0.0], [0.0, 0.0]))
    for exponent in (3, 0.5, -1, 1, 2.5, -2):
        yield Sample(f"to {exponent}", (rng.uniform(0.5, 2.0, (2, 5)), exponent))
    yield Sample("number first", (2.5, rng.normal(size=(3,))))
    for a, b in [((), ()), ((3, 4), (4,)), ((3, 1), (1, 5)), ((0, 3), (3,))]:
        yield Sample(f"shapes {a} {b}", (rng.uniform(0.5, 2.0, a), rng.uniform(-2.0, 3.0, b)))
    yield Sample("strided", (rng.uniform(0.5, 2.0, (5, 4)).T, rng.uniform(-2.0, 3.0, (4, 10))[:, ::2]))
    yield Sample("integers", (np.array([3, -2, 0, 7]), np.array([4, 5, 0, 1])), answers=([81, -32, 1, 7],), dtypes=())
    yield Sample(
        "negative exponents",
        (np.array([0, 1, -1, -1, 2], "i1"), np.array([-1, -2, -3, -2, -1], "i1")),
        answers=([0, 1, -1, 1, 0],),
        dtypes=(),
    )
    yield Sample("bytes", (np.array([2, 255, 3], "u1"), np.array([7, 1, 2], "u1")), answers=([128, 255, 9],), dtypes=())
    yield Sample("number to integers", (3, np.array([39, 0, -1])), answers=([4052555153018976267, 1, 0],), dtypes=())
    yield Sample(
        "negative number",
        (np.array([2]), -1),
        raises=(RuntimeError, "pow: expected a floating tensor or an exponent >= 0, got int64 and -1"),
    )


POW = register(
    Op(
        name="pow",
        autocast="float32",
        kernel=Kernel(numpy=_FORWARD.numpy, triton=forward_triton, scalar=_power, wide=forward_numpy, special=_short),
        grads=(
            Grad(of=("input",), keeps=("input", "exponent"), op="pow_backward_input"),
            Grad(of=("exponent",), keeps=("output", "input", "exponent"), op="pow_backward_exponent"),
        ),
        samples=samples,
        function=pow,
        promotion="arithmetic",
    )
)

register(
    Op(
        name="pow_backward_input",
        kernel=Kernel(
            numpy=_BACKWARD_INPUT.numpy,
            triton=backward_input_triton,
            scalar=_backward_input,
            wide=backward_input_numpy,
            special=_short_backward,
        ),
        grads=(
            Grad(of=("grad",), keeps=("input", "exponent"), op="pow_backward_input"),
            Grad(of=("input",), keeps=("grad", "input", "exponent"), op="pow_second_input"),
            Grad(of=("exponent",), keeps=("grad", "input", "exponent"), op="pow_second_mixed"),
        ),
    )
)

register(
    Op(
        name="pow_backward_exponent",
        kernel=elementwise(backward_exponent_numpy, _backward_exponent),
        grads=(
            Grad(of=("grad",), keeps=("output", "input", "exponent"), op="pow_backward_exponent"),
            Grad(of=("input",), keeps=("grad", "input", "exponent"), op="pow_second_mixed"),
            Grad(of=("exponent",), keeps=("grad", "input", "exponent"), op="pow_second_exponent"),
        ),
        # the output depends on input and exponent only, and these count that dependence
        zero=("output",),
    )
)

for _name, _numpy, _scalar in (
    ("pow_second_input", second_input_numpy, _second_input),
    ("pow_second_mixed", second_mixed_numpy, _second_mixed),
    ("pow_second_exponent", second_exponent_numpy, _second_exponent),
):
    register(
        Op(
            name=_name,
            kernel=elementwise(_numpy, _scalar),
            grads=(
                Grad(of=("grad",), keeps=("scale", "input", "exponent"), op=_name),
                Grad(of=("scale",), keeps=("grad", "input", "exponent"), op=_name),
            ),
        )
    )
