"""Dropout as modules: of single elements, and of whole channels."""

from __future__ import annotations

from ..autograd import Tensor
from ..kernels.alpha_dropout import alpha_dropout, feature_alpha_dropout
from ..kernels.dropout import dropout, dropout1d, dropout2d, dropout3d
from .module import Module


class _Dropout(Module):
    """What they share, whatever is dropped.  Abstract."""

    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: expected p in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """While training, each element 0 with probability ``p`` and else divided by ``1 - p``; in evaluation the input.

    Raises ValueError for a ``p`` outside [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """While training, each channel of (N, C, L) or (C, L) wholly 0 with probability ``p`` and else divided by ``1 - p``.

    Raises ValueError for a ``p`` outside [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """While training, each channel of (N, C, H, W) wholly 0 with probability ``p`` and else divided by ``1 - p``.

    Raises ValueError for a ``p`` outside [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """While training, each channel of (N, C, D, H, W) wholly 0 with probability ``p`` and else divided by ``1 - p``.

    Raises ValueError for a ``p`` outside [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """While training, each element dropped with probability ``p`` so that mean and variance stay, for nets of ``SELU``.

    Raises ValueError for a ``p`` outside [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels of (N, C, ...).

    Raises ValueError for a ``p`` outside [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return feature_alpha_dropout(input, self.p, self.training, self.inplace)
