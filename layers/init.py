"""Filling tensors with first values, in place and unrecorded, under the names of ``torch.nn.init``.

    xavier    uniform in +-gain sqrt(6 / (fan_in + fan_out)), normal of deviation gain sqrt(2 / (fan_in + fan_out))
    kaiming   uniform in +-gain sqrt(3 / fan),                normal of deviation gain / sqrt(fan)

``fan_in`` is how many inputs an output of the layer sums, ``fan_out`` how many outputs an input reaches.  Random
values come from the default generator and are the same bits on every device.
Source: Glorot, Bengio (2010); He, Zhang, Ren, Sun (2015); Saxe, McClelland, Ganguli (2014) for orthogonal.
"""

from __future__ import annotations

import math
from math import prod, sqrt
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.tensor import wrap
from ..framework import random
from ..framework.device import CPU
from ..framework.random import Generator, default_generator

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through ``nonlinearity``; ``param`` is leaky_relu's slope.

    Raises ValueError for one that is not known.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = float(param)
        else:
            raise ValueError(f"calculate_gain: leaky_relu's slope must be a number, got {param!r}")
        return sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: expected leaky_relu or one of {', '.join(_GAINS)}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight (out, in, *window).  Raises ValueError below two dimensions."""
    if tensor.ndim < 2:
        raise ValueError(f"{name}: fan_in and fan_out need at least 2 dimensions, got shape {tensor.shape}")
    window = prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


@no_grad
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element ``val``.

    >>> constant_(Tensor([1.0, 2.0]), 0.5).tolist()
    [0.5, 0.5]
    """
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0."""
    return constant_(tensor, 0)


@no_grad
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Evenly spread in [a, b).  Raises RuntimeError where a > b."""
    key = (generator or default_generator).key()
    return tensor.copy_(wrap(random.uniform(tensor.shape, tensor.dtype, tensor.device, key, a, b)))


@no_grad
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normally distributed.  Raises RuntimeError where std < 0."""
    key = (generator or default_generator).key()
    return tensor.copy_(wrap(random.normal(tensor.shape, tensor.dtype, tensor.device, key, mean, std)))


@no_grad
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normally distributed, given that the value lies in [a, b]; computed on the host, by inversion.

    Raises ValueError where std <= 0 or a >= b, or where [a, b] is too improbable to be met.
    """
    if not std > 0 or not a < b:
        raise ValueError(f"trunc_normal_: expected std > 0 and a < b, got std={std}, a={a}, b={b}")
    law = NormalDist(mean, std)
    low, high = law.cdf(a), law.cdf(b)
    if not low < high:
        raise ValueError(f"trunc_normal_: [{a}, {b}] has no probability under mean {mean} and std {std}")
    key = (generator or default_generator).key()
    chances = random.uniform((tensor.numel(),), np.float64, CPU, key, low, high)
    inner = np.clip(chances, 2.0**-1022, 1 - 2.0**-53)  # where the inverse is finite
    values = np.fromiter(map(law.inv_cdf, inner.tolist()), np.float64, inner.size)
    return tensor.copy_(wrap(np.clip(values, a, b).reshape(tensor.shape)))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform, keeping the variance forwards and backwards.  Raises ValueError below two dimensions."""
    bound = gain * sqrt(6.0 / sum(fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal, keeping the variance forwards and backwards.  Raises ValueError below two dimensions."""
    return normal_(tensor, 0.0, gain * sqrt(2.0 / sum(fans("xavier_normal_", tensor))), generator)


def _kaiming(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    """The standard deviation that kaiming initialisation aims at."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: expected mode 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = fans(name, tensor)
    return calculate_gain(nonlinearity, a) / sqrt(fan_in if mode == "fan_in" else fan_out)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform, keeping the variance forwards (or backwards, ``mode="fan_out"``) through ``nonlinearity`` of slope ``a``.

    Raises ValueError below two dimensions and for an unknown mode or nonlinearity.
    """
    if 0 in tensor.shape:
        return tensor
    bound = sqrt(3.0) * _kaiming("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal, keeping the variance forwards (or backwards, ``mode="fan_out"``) through ``nonlinearity`` of slope ``a``.

    Raises ValueError below two dimensions and for an unknown mode or nonlinearity.
    """
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


@no_grad
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Rows, or columns where they are fewer, orthogonal and of length ``gain``; computed on the host.

    More than two dimensions count as (first, all others).  Raises ValueError below two dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: expected at least 2 dimensions, got shape {tensor.shape}")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    key = (generator or default_generator).key()
    drawn: Any = random.normal((max(rows, columns), min(rows, columns)), np.float64, CPU, key)
    basis, upper = np.linalg.qr(drawn)
    basis = basis * np.sign(np.diag(upper))  # else the signs would follow from the method of factoring, not from chance
    values = basis if rows >= columns else basis.T
    return tensor.copy_(wrap(gain * values.reshape(tensor.shape)))


@no_grad
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """A matrix of normal values, in each column the share ``sparsity`` of them, rounded up, 0; computed on the host.

    Raises ValueError unless there are two dimensions.
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: expected 2 dimensions, got shape {tensor.shape}")
    rows, columns = tensor.shape
    given = generator or default_generator
    values: Any = random.normal(tensor.shape, np.float64, CPU, given.key(), 0.0, std)
    places: Any = random.uniform(tensor.shape, np.float64, CPU, given.key())
    zeros = math.ceil(sparsity * rows)
    np.put_along_axis(values, np.argsort(places, axis=0)[:zeros], 0.0, axis=0)
    return tensor.copy_(wrap(values))


@no_grad
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.  Raises ValueError unless there are two dimensions."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: expected 2 dimensions, got shape {tensor.shape}")
    return tensor.copy_(wrap(np.eye(*tensor.shape, dtype=tensor.dtype.numpy)))


@no_grad
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight that passes its inputs on unchanged, as many channels as there are.

    Raises ValueError for other than 3 to 5 dimensions, or where ``groups`` does not divide the first size.
    """
    shape = tensor.shape
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"dirac_: expected 3, 4 or 5 dimensions, got shape {shape}")
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"dirac_: groups={groups} does not divide the {shape[0]} output channels")
    values = np.zeros(shape, tensor.dtype.numpy)
    per_group = shape[0] // groups
    for g in range(groups):
        for channel in range(min(per_group, shape[1])):
            values[(g * per_group + channel, channel, *(n // 2 for n in shape[2:]))] = 1
    return tensor.copy_(wrap(values))


def default_bias_(bias: Tensor, weight: Tensor) -> Tensor:
    """What linear and convolution layers begin with: uniform in +-1 / sqrt(fan_in of ``weight``)."""
    fan_in, _ = fans("default_bias_", weight)
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(bias, -bound, bound)
