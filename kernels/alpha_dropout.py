"""Dropout that keeps mean and variance where activations are those of selu, composed of other rows.

    out = a * (mask * input - (1 - mask) * alpha) + a * alpha * p,  a = 1 / sqrt((1 - p) (1 + p alpha^2)),  alpha = 1.7581

A dropped element becomes -alpha, which is where selu levels off.  Source: Klambauer, Unterthiner, Mayr, Hochreiter (2017).
"""

from math import sqrt

from ..autograd import Tensor
from .create import ones
from .dropout import dropout

_ALPHA = 1.0507009873554805 * 1.6732632423543772


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """``input``, each element dropped to -1.7581 with probability ``p``, then scaled and moved to the mean and variance it had.

    Returns ``input`` itself where not ``training`` or ``p`` is 0.  Raises ValueError unless 0 <= p <= 1, RuntimeError for
    integers.

    >>> alpha_dropout(Tensor([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return _dropped("alpha_dropout", input, p, training, inplace, input.shape)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """``alpha_dropout`` of whole channels; input (N, C, ...).

    Raises as ``alpha_dropout``, RuntimeError for fewer than 2 dimensions.

    >>> feature_alpha_dropout(Tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    """
    if training and input.ndim < 2:
        raise RuntimeError(f"feature_alpha_dropout: expected input (N, C, ...), got {input.shape}")
    shape = input.shape[:2] + (1,) * (input.ndim - 2)
    return _dropped("feature_alpha_dropout", input, p, training, inplace, shape)


def _dropped(name, input, p, training, inplace, shape):
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected p in [0, 1], got {p}")
    if not training or p == 0:
        return input
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating tensor, got {input.dtype.name}")
    kept = dropout(ones(shape, dtype=input.dtype, device=input.device), p) != 0
    if p == 1:
        return input.mul_(kept) if inplace else input * kept
    a = 1 / sqrt((1 - p) * (1 + p * _ALPHA**2))
    scale = kept.to(input.dtype) * a
    moved = scale * _ALPHA - (1 - p) * _ALPHA * a
    return input.mul_(scale).add_(moved) if inplace else input * scale + moved
