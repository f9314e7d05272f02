"""Losses as modules; ``reduction`` is "mean" (the default), "sum" or "none"."""

from __future__ import annotations

from ..autograd import Tensor
from ..kernels.binary_cross_entropy_with_logits import binary_cross_entropy_with_logits
from ..kernels.cross_entropy import cross_entropy
from ..kernels.mse_loss import mse_loss
from ..kernels.nll_loss import nll_loss
from .module import Module


class MSELoss(Module):
    """``(input - target) ** 2``, reduced.

    >>> MSELoss()(Tensor([1.0, 2.0]), Tensor([0.0, 4.0])).item()
    2.5
    """

    reduction: str

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction)


class NLLLoss(Module):
    """``-input[n, target[n]]``, weighted by class and reduced: input (N, C, *) log-probabilities, target (N, *) classes."""

    weight: Tensor | None  # (C,), a buffer
    ignore_index: int
    reduction: str

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(Module):
    """``NLLLoss`` of the logarithm of softmax: input (N, C, *) logits; target (N, *) classes, or (N, C, *) probabilities.

    >>> CrossEntropyLoss()(Tensor([[0.0, 0.0]]), Tensor([1])).item()
    0.6931471824645996
    """

    weight: Tensor | None  # (C,), a buffer
    ignore_index: int
    reduction: str
    label_smoothing: float

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class BCEWithLogitsLoss(Module):
    """Binary cross entropy between ``sigmoid(input)`` and ``target``, in one stable formula; ``pos_weight`` weighs the ones."""

    weight: Tensor | None  # broadcasts to the input, a buffer
    pos_weight: Tensor | None  # likewise
    reduction: str

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
