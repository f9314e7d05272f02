"""Negative log-likelihoods of counts and of measurements, composed of other rows.

    poisson_nll_loss   exp(input) - target * input,  or input - target * log(input + eps) unless log_input
                       with full, where target > 1:  + target * log(target) - target + log(2 pi target) / 2
    gaussian_nll_loss  (log(var) + (input - target)^2 / var) / 2,  var at least eps;  with full  + log(2 pi) / 2

Each of them, or their mean or sum.  Source: Nix, Weigend (1994) for gaussian_nll_loss.
"""

from math import log, pi

import numpy as np

from ..autograd import Tensor
from ..framework.op import OPS
from .distance import raised
from .kl_div import common_shape
from .margin_losses import begin, reduced


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of counts ``target`` for rates ``exp(input)``, or ``input`` unless ``log_input``.

    ``full`` adds Stirling's formula for log(target!).  Shapes broadcast.  Raises ValueError for another reduction,
    RuntimeError for shapes that do not broadcast.

    >>> poisson_nll_loss(Tensor([0.0]), Tensor([3.0])).item()
    1.0
    """
    input, target = begin("poisson_nll_loss", reduction, input, target)
    common_shape("poisson_nll_loss", input, target)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        count = target.clamp_min(1)
        more = count * count.log() - count + (count * (2 * pi)).log() * 0.5
        losses = losses + OPS["where"].function(target > 1, more, 0.0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of ``target`` for normal distributions of mean ``input`` and variance ``var``.

    ``var`` has the input's shape, or that without its last dimension or with a 1 for one of them, or is a number.  A
    variance below ``eps`` counts as ``eps``.  Raises ValueError for another reduction, another shape of ``var``, and a
    negative variance: that is not looked for on GPUs.

    >>> gaussian_nll_loss(Tensor([1.0]), Tensor([3.0]), Tensor([1.0])).item()
    2.0
    """
    name = "gaussian_nll_loss"
    if not isinstance(var, Tensor):
        var = Tensor(float(var), dtype=input.dtype, device=input.device).expand(input.shape)
    if var.device.type != "cuda" and np.any(var.host() < 0):  # a GPU is not waited for
        raise ValueError(f"{name}: expected variances of at least 0, got negative ones")
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or [m for n, m in zip(input.shape, var.shape, strict=True) if n != m] != [1]:
            raise ValueError(f"{name}: expected var of the input's shape {input.shape}, or with one 1, got {var.shape}")
    input, target, var = begin(name, reduction, input, target, var)
    common_shape(name, input, target)
    var = raised(var, eps)
    distance = input - target
    losses = (var.log() + distance * distance / var) * 0.5
    if full:
        losses = losses + 0.5 * log(2 * pi)
    return reduced(losses, reduction)
