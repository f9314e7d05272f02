"""Remainders of a division, elementwise.

remainder  out = input - other * floor(input / other):  it has the sign of ``other``
           grad_input = grad,  grad_other = -grad * floor(input / other)
fmod       out = input - other * trunc(input / other):  it has the sign of ``input``
           grad_input = grad,  grad_other = -grad * trunc(input / other)
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, libdevice, tl
from ..framework.op import OPS, Grad, Op, Sample, register
from .div import _checked, _floor, _refuse_bool, _trunc, floor_numpy, trunc_numpy


def remainder(input: Tensor | float, other: Tensor | float) -> Tensor:
    """What is left of ``input`` after division by ``other``, with the sign of ``other``, as Python's ``%``.

    Shapes broadcast, dtypes are promoted.  Raises RuntimeError for bool operands, and on the CPU where an integer is
    divided by zero.

    >>> remainder(Tensor([7.0, -7.0]), 3).tolist()
    [1.0, 2.0]
    """
    _refuse_bool("remainder", input, other)
    return apply(OPS["remainder"], input, other)


def fmod(input: Tensor, other: Tensor | float) -> Tensor:
    """What is left of ``input`` after division by ``other``, with the sign of ``input``, as C's ``fmod``.

    Shapes broadcast, dtypes are promoted.  Raises RuntimeError for bool operands, and on the CPU where an integer is
    divided by zero.

    >>> fmod(Tensor([7.0, -7.0]), 3).tolist()
    [1.0, -1.0]
    """
    _refuse_bool("fmod", input, other)
    return apply(OPS["fmod"], input, other)


def _divisor(other):
    return other if np.result_type(other).kind == "f" else _checked(other)


def remainder_numpy(input, other):
    return np.remainder(input, other if np.result_type(input).kind == "f" else _divisor(other))


def fmod_numpy(input, other):
    return np.fmod(input, other if np.result_type(input).kind == "f" else _divisor(other))


def remainder_backward_numpy(grad, input, other):
    return -grad * floor_numpy(input, other)


def fmod_backward_numpy(grad, input, other):
    return -grad * trunc_numpy(input, other)


@jit
def _fmod(x, y):
    if x.dtype.is_floating():
        return libdevice.fmod(x, y)
    else:
        return x - (x // y) * y  # // is towards zero, as in C


@jit
def _remainder(x, y):
    rest = _fmod(x, y)
    return tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)


@jit
def _remainder_backward(grad, x, y):
    return -grad * _floor(x, y)


@jit
def _fmod_backward(grad, x, y):
    return -grad * _trunc(x, y)


def _samples(answers, slopes, infinite):
    x, y = [7.0, -7.0, 7.0, -7.0, 6.0], [2.0, 2.0, -2.0, -2.0, 3.0]

    def samples(rng):
        yield Sample("worked", (np.array(x), np.array(y)), answers=(answers, [1.0] * 5, slopes))
        for kind in ("i8", "i4", "i1"):
            yield Sample(f"integers {kind}", (np.array(x, kind), np.array(y, kind)), answers=(answers,), dtypes=())
        yield Sample(
            "bytes", (np.array([7, 255, 6], "u1"), np.array([2, 2, 200], "u1")), answers=([1, 1, 6],), dtypes=()
        )
        yield Sample(
            "edges", (np.array([3.0, -3.0, np.inf, 1.0]), np.array([np.inf, np.inf, 2.0, 0.0])), answers=(infinite,)
        )
        # quotients far enough from integers that a step does not cross one
        y2 = rng.uniform(1.0, 2.0, (3,))
        x2 = y2 * (rng.integers(-4, 5, (4, 3)) + rng.uniform(0.2, 0.8, (4, 3)))
        yield Sample("broadcast", (x2, y2), dtypes=("float64", "float32"), terms=4)
        yield Sample("number first", (7.5, np.array([2.0, 4.0])))
        yield Sample("number", (np.array([[7.5], [-0.25]]), -2.0))
        yield Sample("strided", (x2.T, y2[:, None]), dtypes=("float64",), terms=4)
        yield Sample("0-d", (np.array(5.5), np.array(2.0)))
        yield Sample("empty", (np.zeros((0, 2)), np.ones((2,))))

    return samples


def _error_samples(name, plain):
    def samples(rng):
        yield from plain(rng)
        yield Sample(
            "bool",
            (np.array([True]), np.array([True])),
            dtypes=(),
            raises=(RuntimeError, f"{name}: expected numbers, got bool"),
        )

    return samples


for _name, _function, _numpy, _scalar, _back_numpy, _back, _worked in (
    (
        "remainder", remainder, remainder_numpy, _remainder, remainder_backward_numpy, _remainder_backward,
        ([1.0, 1.0, -1.0, -1.0, 0.0], [-3.0, 4.0, 4.0, -3.0, -2.0], [3.0, np.inf, np.nan, np.nan]),
    ),
    (
        "fmod", fmod, fmod_numpy, _fmod, fmod_backward_numpy, _fmod_backward,
        ([1.0, -1.0, 1.0, -1.0, 0.0], [-3.0, 3.0, 3.0, -3.0, -2.0], [3.0, -3.0, np.nan, np.nan]),
    ),
):  # fmt: skip
    register(
        Op(
            name=_name,
            kernel=elementwise(_numpy, _scalar),
            grads=(
                Grad(of=("input",), keeps=(), op="identity"),
                Grad(of=("other",), keeps=("input", "other"), op=f"{_name}_backward"),
            ),
            samples=_error_samples(_name, _samples(*_worked)),
            function=_function,
            promotion="arithmetic",
        )
    )
    register(
        Op(
            name=f"{_name}_backward",
            kernel=elementwise(_back_numpy, _back),
            grads=(Grad(of=("grad",), keeps=("input", "other"), op=f"{_name}_backward"),),
            zero=("input", "other"),
        )
    )
