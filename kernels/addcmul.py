"""A product, or a quotient, added to an array, elementwise.

    addcmul       out = input + value * tensor1 * tensor2
                  grad_input = grad,  grad_tensor1 = value * grad * tensor2,  grad_tensor2 = value * grad * tensor1
    addcdiv       out = input + value * tensor1 / tensor2
                  grad_input = grad,  grad_tensor1 = value * grad / tensor2
                  grad_tensor2 = -value * grad * tensor1 / tensor2^2
    product_times  out = value * a * b
    ratio_times    out = value * a / c
    power_ratio     out = value * a * b / c^power:  grad_c = -power * grad * out / c

Half types are computed in float32 and rounded once.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.op import Grad, Op, Sample, register
from .div import quotient


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``; shapes broadcast, dtypes are promoted.

    Raises TypeError for operands that are no tensors, RuntimeError for a floating ``value`` between integers.

    >>> addcmul(Tensor([1.0]), Tensor([2.0]), Tensor([3.0]), value=0.5).tolist()
    [4.0]
    """
    _check("addcmul", input, tensor1, tensor2)
    if isinstance(value, float) and not any(x.dtype.is_floating_point for x in (input, tensor1, tensor2)):
        if not value.is_integer():
            raise RuntimeError(f"addcmul: value must be an integer between integers, got {value}")
        value = int(value)
    return apply(ADDCMUL, input, tensor1, tensor2, value=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``; shapes broadcast, dtypes are promoted.

    Raises TypeError for operands that are no tensors, RuntimeError where both ``tensor1`` and ``tensor2`` are integers.

    >>> addcdiv(Tensor([1.0]), Tensor([6.0]), Tensor([3.0]), value=0.5).tolist()
    [2.0]
    """
    _check("addcdiv", input, tensor1, tensor2)
    if not tensor1.dtype.is_floating_point and not tensor2.dtype.is_floating_point:
        raise RuntimeError(
            f"addcdiv: expected tensor1 or tensor2 to be floating, got {tensor1.dtype.name} and {tensor2.dtype.name}"
        )
    return apply(ADDCDIV, input, tensor1, tensor2, value=value)


def _check(name, *operands):
    for x in operands:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(x).__name__}")


def addcmul_numpy(input, tensor1, tensor2, *, value):
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


def addcdiv_numpy(input, tensor1, tensor2, *, value):
    return input + value * (tensor1 / tensor2)


def product_numpy(a, b, *, value):
    return a * b * value


def ratio_numpy(a, c, *, value):
    return a / c * value


def power_ratio_numpy(a, b, c, *, value, power):
    return value * (a * b) / (c * c if power == 2 else c)


@jit
def _addcmul(x, a, b, value):
    return x + value * (a * b)


@jit
def _addcdiv(x, a, c, value):
    return x + value * quotient(a, c)


@jit
def _product(a, b, value):
    return a * b * value


@jit
def _ratio(a, c, value):
    return quotient(a, c) * value


@jit
def _power_ratio(a, b, c, value, power):
    if power == 2:
        c = c * c
    return quotient(value * (a * b), c)


def samples(rng):
    x, a, b = np.array([1.0, 2.0]), np.array([2.0, -3.0]), np.array([3.0, 4.0])
    yield Sample("worked", (x, a, b), {"value": 2}, answers=([13.0, -22.0], [1.0, 1.0], [6.0, 8.0], [4.0, -6.0]))
    yield Sample("integers", (np.array([1]), np.array([-2]), np.array([3])), {"value": 2}, answers=([-11],), dtypes=())
    yield from _usual(rng)
    yield Sample(
        "fraction",
        (np.array([1]), np.array([2]), np.array([3])),
        {"value": 0.5},
        raises=(RuntimeError, "addcmul: value must be an integer between integers, got 0.5"),
    )
    yield Sample("number", (x, 2.0, b), raises=(TypeError, "addcmul: expected tensors, got float"))


def ratio_samples(rng):
    x, a, c = np.array([1.0, 2.0]), np.array([6.0, -3.0]), np.array([3.0, 2.0])
    yield Sample("worked", (x, a, c), {"value": 2}, answers=([5.0, -1.0], [1.0, 1.0], [2 / 3, 1.0], [-4 / 3, 1.5]))
    yield from _usual(rng)
    yield Sample(
        "integers",
        (np.array([1]), np.array([2]), np.array([3])),
        raises=(RuntimeError, "addcdiv: expected tensor1 or tensor2 to be floating, got int64 and int64"),
    )


def _usual(rng):
    for shapes in [((), (), ()), ((3, 1), (4,), (1,)), ((0, 2), (2,), (1, 2)), ((2, 1025),) * 3]:
        x, a, c = (rng.uniform(0.5, 2.0, s) for s in shapes)
        yield Sample(f"shapes {shapes}", (x, a, c), {"value": -0.5}, terms=12)
    yield Sample(
        "strided",
        (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2], rng.uniform(1, 2, (5, 4)).T),
        {"value": 1},
    )


ADDCMUL = register(
    Op(
        name="addcmul",
        kernel=elementwise(addcmul_numpy, _addcmul),
        grads=(
            Grad(of=("input",), keeps=(), op="identity", settings=lambda call: {}),
            Grad(of=("tensor1",), keeps=("tensor2",), op="product_times"),
            Grad(of=("tensor2",), keeps=("tensor1",), op="product_times"),
        ),
        samples=samples,
        function=addcmul,
        promotion="arithmetic",
    )
)

ADDCDIV = register(
    Op(
        name="addcdiv",
        kernel=elementwise(addcdiv_numpy, _addcdiv),
        grads=(
            Grad(of=("input",), keeps=(), op="identity", settings=lambda call: {}),
            Grad(of=("tensor1",), keeps=("tensor2",), op="ratio_times"),
            Grad(
                of=("tensor2",),
                keeps=("tensor1", "tensor2"),
                op="power_ratio",
                settings=lambda call: {"value": -call.settings["value"], "power": 2},
            ),
        ),
        samples=ratio_samples,
        function=addcdiv,
        promotion="float",
    )
)

register(
    Op(
        name="product_times",
        kernel=elementwise(product_numpy, _product),
        grads=(
            Grad(of=("a",), keeps=("b",), op="product_times"),
            Grad(of=("b",), keeps=("a",), op="product_times"),
        ),
    )
)

register(
    Op(
        name="ratio_times",
        kernel=elementwise(ratio_numpy, _ratio),
        grads=(
            Grad(of=("a",), keeps=("c",), op="ratio_times"),
            Grad(
                of=("c",),
                keeps=("output", "c"),
                op="power_ratio",
                settings=lambda call: {"value": -1, "power": 1},
            ),
        ),
    )
)

register(
    Op(
        name="power_ratio",
        kernel=elementwise(power_ratio_numpy, _power_ratio),
        grads=(
            Grad(of=("a",), keeps=("b", "c"), op="power_ratio"),
            Grad(of=("b",), keeps=("a", "c"), op="power_ratio"),
            Grad(
                of=("c",),
                keeps=("output", "c"),
                op="power_ratio",
                settings=lambda call: {"value": -call.settings["power"], "power": 1},
            ),
        ),
    )
)
