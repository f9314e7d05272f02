"""Snake, an activation for periodic data, as an op of your own.

    out        = input + sin(frequency * input)^2 / frequency
    grad_input = grad * (1 + sin(2 * frequency * input))

It grows like its input and yet can repeat itself beyond the data, which a rectifier or tanh cannot.
Source: Liu, Hartwig, Ueda (2020), "Neural networks fail to learn periodic functions and how to fix it".
"""

import numpy as np

from trigrad.op import Grad, Op, Sample, Tensor, apply, elementwise, jit, libdevice, register


def snake(input: Tensor, frequency: float = 1.0) -> Tensor:
    """``input + sin(frequency * input) ** 2 / frequency``; any shape.  Raises ValueError for a frequency of 0.

    >>> snake(Tensor([0.0, 1.0]), frequency=2.0).numpy()
    array([0.       , 1.4134109], dtype=float32)
    """
    if frequency == 0:
        raise ValueError("snake: expected a frequency other than 0")
    return apply(SNAKE, input, frequency=float(frequency))


def forward_numpy(input, *, frequency):
    return input + np.sin(frequency * input) ** 2 / frequency


def backward_numpy(grad, input, *, frequency):
    return grad * (1 + np.sin(2 * frequency * input))


def second_numpy(grad, scale, input, *, frequency):
    return grad * scale * (2 * frequency * np.cos(2 * frequency * input))


@jit
def _forward(x, frequency):
    wave = libdevice.sin(frequency * x)
    return x + wave * wave / frequency


@jit
def _backward(grad, x, frequency):
    return grad * (1 + libdevice.sin(2 * frequency * x))


@jit
def _second(grad, scale, x, frequency):
    return grad * scale * (2 * frequency * libdevice.cos(2 * frequency * x))


def samples(rng):
    x = np.array([0.0, np.pi / 4, -np.pi / 4, np.pi / 2])
    yield Sample(
        "worked",
        (x,),
        {"frequency": 1.0},
        answers=([0.0, np.pi / 4 + 0.5, -np.pi / 4 + 0.5, np.pi / 2 + 1.0], [1.0, 2.0, 0.0, 1.0]),
    )
    for shape in [(), (0, 3), (5,), (3, 70)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),), {"frequency": 0.5})
    yield Sample("strided", (rng.normal(size=(4, 6)).T[::2],), {"frequency": 2.0})
    message = "snake: expected a frequency other than 0"
    yield Sample("frequency 0", (x,), {"frequency": 0.0}, raises=(ValueError, message))


SNAKE = register(
    Op(
        name="snake",
        kernel=elementwise(forward_numpy, _forward),
        grads=(Grad(of=("input",), keeps=("input",), op="snake_backward"),),
        samples=samples,
        function=snake,
        promotion="float",
    )
)

register(
    Op(
        name="snake_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("input",), op="snake_backward"),
            Grad(of=("input",), keeps=("grad", "input"), op="snake_second"),  # so that gradients of gradients exist
        ),
    )
)

register(Op(name="snake_second", kernel=elementwise(second_numpy, _second)))
