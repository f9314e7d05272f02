"""Dropout as a module."""

from __future__ import annotations

from ..autograd import Tensor
from ..kernels.dropout import dropout
from .module import Module


class Dropout(Module):
    """While training, each element 0 with probability ``p`` and otherwise divided by ``1 - p``; in evaluation the input.

    Raises ValueError for a ``p`` outside [0, 1].
    """

    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: expected p in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
