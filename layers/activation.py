"""Activations, elementwise or along a dimension, and dropout.

With ``inplace=True`` the input's own memory is overwritten; what was saved from it for a gradient is then refused.
"""

from __future__ import annotations

from ..autograd import Tensor
from ..kernels.leaky_relu import leaky_relu as _leaky_relu
from ..kernels.leaky_relu import leaky_relu_
from ..kernels.log_softmax import log_softmax
from ..kernels.relu import relu as _relu
from ..kernels.sigmoid import sigmoid
from ..kernels.softmax import softmax
from ..kernels.tanh import tanh
from .module import Module


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``input`` where it is positive, 0 elsewhere; in its own memory with ``inplace``."""
    return input.relu_() if inplace else _relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` where it is positive, ``negative_slope * input`` elsewhere; in its own memory with ``inplace``."""
    return leaky_relu_(input, negative_slope) if inplace else _leaky_relu(input, negative_slope)


class ReLU(Module):
    """``max(input, 0)``.

    >>> ReLU()(Tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """``input`` where it is positive, ``negative_slope * input`` elsewhere.

    >>> LeakyReLU(0.5)(Tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    negative_slope: float
    inplace: bool

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Tanh(Module):
    """``tanh(input)``."""

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)


class Sigmoid(Module):
    """``1 / (1 + exp(-input))``."""

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)


class Softmax(Module):
    """``exp(input)`` divided by its sum along ``dim``."""

    dim: int

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of ``Softmax``, computed without losing small values."""

    dim: int

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
