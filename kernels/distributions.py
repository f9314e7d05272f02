"""Random numbers of further distributions, made from those of ``random.py``.

    log_normal   out = exp(z * std + mean)
    cauchy       out = median + sigma * tan(pi * (u - 1/2))
    geometric    out = floor(e / -ln(1 - p)) + 1
    multinomial  out = the first k with u < (w_0 + ... + w_k) / sum of w;  without replacement, the k's of the least
                 e_k / w_k, in order
    poisson      out = the number of events of a rate

with u uniform in [0, 1), z standard normal and e exponential of rate 1.  The last two are computed on the host, so a
device is waited for; all have the same numbers everywhere but for rounding.  None has a history.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np

from ..autograd import Tensor, apply
from ..autograd.tensor import wrap
from ..framework import device as devices
from ..framework import dtypes, random
from ..framework.op import OPS
from ..framework.random import Generator, Key, default_generator
from .random import key_of


def _real(name: str, what: str, value: Any) -> float:
    if isinstance(value, (Tensor, np.generic)):
        value = value.item()
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number {what}, got {type(value).__name__}")
    return float(value)


def _floating(name: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating dtype, got {input.dtype.name}")


def _wide(input: Tensor) -> dtypes.dtype:
    """The dtype to compute in."""
    exact = not input.dtype.is_floating_point or input.dtype is dtypes.float64
    return dtypes.float64 if exact else dtypes.float32


def log_normal_(input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input`` with numbers whose logarithm has this mean and standard deviation, and return it.

    Raises RuntimeError where std <= 0, for a dtype that is not floating, and for a leaf that requires a gradient.

    >>> bool((log_normal_(Tensor([0.0, 0.0])).numpy() > 0).all())
    True
    """
    _floating("log_normal_", input)
    middle, spread = _real("log_normal_", "mean", mean), _real("log_normal_", "std", std)
    if not spread > 0:
        raise RuntimeError(f"log_normal_: expected std > 0, got {spread}")
    key = key_of("log_normal_", generator)
    drawn = random.normal(input.shape, _wide(input).numpy, input.device, key, middle, spread)
    return input.copy_(apply(OPS["exp"], wrap(drawn)))


def cauchy_(input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input`` with numbers of the Cauchy distribution, and return it.

    Raises RuntimeError where sigma <= 0, for a dtype that is not floating, and for a leaf that requires a gradient.

    >>> cauchy_(Tensor([0.0, 0.0])).shape
    (2,)
    """
    _floating("cauchy_", input)
    middle, width = _real("cauchy_", "median", median), _real("cauchy_", "sigma", sigma)
    if not width > 0:
        raise RuntimeError(f"cauchy_: expected sigma > 0, got {width}")
    key = key_of("cauchy_", generator)
    u = wrap(random.uniform(input.shape, _wide(input).numpy, input.device, key))
    return input.copy_(apply(OPS["tan"], (u - 0.5) * math.pi) * width + middle)


def geometric_(input: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill ``input`` with the numbers of trials, of a probability ``p`` each, up to the first success, and return it.

    Raises RuntimeError unless 0 < p < 1, and for a leaf that requires a gradient.

    >>> bool((geometric_(Tensor([0.0, 0.0]), 0.5).numpy() >= 1).all())
    True
    """
    share = _real("geometric_", "p", p)
    if not 0 < share < 1:
        raise RuntimeError(f"geometric_: expected p between 0 and 1, got {share}")
    key = key_of("geometric_", generator)
    e = wrap(random.exponential(input.shape, _wide(input).numpy, input.device, key))
    return input.copy_((apply(OPS["floor"], e / -math.log1p(-share)) + 1).to(input.dtype))


def _on_host(name: str, generator: Generator | None) -> Key:
    key = key_of(name, generator)
    if key.base is not None:
        raise RuntimeError(f"{name}: computes on the host and cannot be part of a graph")
    return key


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """``num_samples`` numbers of columns, drawn with the weights in each row of ``input`` (C,) or (N, C); int64.

    Weights need not add up to 1.  Raises RuntimeError for weights that are negative or not finite, rows without a
    positive one, no samples, and more than there are columns to draw without ``replacement``.

    >>> multinomial(Tensor([0.0, 3.0]), 2, replacement=True).tolist()
    [1, 1]
    """
    if input.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: expected weights of shape (C,) or (N, C), got {input.shape}")
    _floating("multinomial", input)
    count, C = index(num_samples), input.shape[-1]
    if count <= 0:
        raise RuntimeError(f"multinomial: expected a positive number of samples, got {count}")
    if not replacement and count > C:
        raise RuntimeError(f"multinomial: {count} samples cannot be drawn from {C} columns without replacement")
    weights = input.host().astype(np.float64).reshape(-1, C)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("multinomial: weights must be finite and not negative")
    if weights.size and not (weights.sum(1) > 0).all():
        raise RuntimeError("multinomial: each row needs a positive weight")
    key = _on_host("multinomial", generator)
    rows = len(weights)
    drawn = np.empty((rows, count), np.int64)
    if replacement:
        u: Any = random.uniform((rows, count), np.float64, devices.CPU, key)
        sums = np.cumsum(weights, 1)
        for i in range(rows):
            last = np.flatnonzero(weights[i])[-1]  # rounding must not lead to a column behind it
            drawn[i] = np.minimum(np.searchsorted(sums[i], u[i] * sums[i, -1], side="right"), last)
    else:
        waits = random.exponential((rows, C), np.float64, devices.CPU, key)
        with np.errstate(divide="ignore", over="ignore"):
            drawn[...] = np.argsort(waits / weights, 1, kind="stable")[:, :count]
    return Tensor(drawn.reshape(*input.shape[:-1], count), device=input.device)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of events of the rates in ``input``, of its shape and floating dtype.

    Raises RuntimeError for a negative rate and a dtype that is not floating.

    >>> poisson(Tensor([0.0, 0.0])).tolist()
    [0.0, 0.0]
    """
    _floating("poisson", input)
    rates = input.host().astype(np.float64)
    if rates.size and not (rates >= 0).all():
        raise RuntimeError("poisson: expected rates that are not negative")
    key = _on_host("poisson", generator)
    source = np.random.Generator(np.random.Philox(key=[key.seed % 2**64, key.stream % 2**64]))
    drawn = np.asarray(source.poisson(rates)).astype(input.array.dtype)
    return Tensor(drawn, device=input.device)


@contextmanager
def fork_rng(devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str = "cuda") -> Iterator[None]:
    """Give the default generator its state back at the end of the ``with`` block.

    There is one default generator for all devices: ``devices`` and ``device_type`` are PyTorch's and change nothing.

    >>> from trigrad import manual_seed, rand
    >>> _ = manual_seed(3)
    >>> with fork_rng():
    ...     first = rand(2).tolist()
    >>> first == rand(2).tolist()
    True
    """
    if not enabled:
        yield
        return
    state = default_generator.get_state()
    try:
        yield
    finally:
        default_generator.set_state(state)
