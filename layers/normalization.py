"""Batch normalisation layers: BatchNorm1d over (N, C) and (N, C, L), BatchNorm2d over (N, C, H, W)."""

from __future__ import annotations

from typing import Any

from ..autograd import Parameter, Tensor
from ..framework.dtypes import int64
from ..kernels.batch_norm import batch_norm
from ..kernels.create import empty, full, zeros
from . import init
from .module import Module


class _BatchNorm(Module):
    """What the layers share, whatever the number of dimensions.  Abstract."""

    num_features: int
    eps: float
    momentum: float | None  # None averages all batches seen alike
    affine: bool
    track_running_stats: bool
    weight: Parameter | None  # (C,)
    bias: Parameter | None  # (C,)
    running_mean: Tensor | None  # (C,)
    running_var: Tensor | None  # (C,)
    num_batches_tracked: Tensor | None  # ()
    ranks: tuple[int, ...]  # numbers of dimensions that inputs may have

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, used in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, Parameter(empty(num_features, device=device, dtype=dtype)) if used else None)
        kept = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if kept else None)
        self.register_buffer("running_var", zeros(num_features, device=device, dtype=dtype) if kept else None)
        self.register_buffer("num_batches_tracked", full((), 0, dtype=int64, device=device) if kept else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches seen: mean 0, variance 1."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and no batches seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.ranks:
            expected = " or ".join(map(str, self.ranks))
            raise ValueError(f"{type(self).__name__}: expected {expected} dimensions, got shape {input.shape}")
        counted = self.training and self.track_running_stats
        factor = 0.0 if self.momentum is None else self.momentum
        batches = self.num_batches_tracked if counted else None
        if batches is not None and self.momentum is None:
            factor = 1.0 / (float(batches) + 1.0)
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        used = counted or not self.training  # a layer that stopped tracking leaves its statistics alone
        return batch_norm(
            input,
            self.running_mean if used else None,
            self.running_var if used else None,
            self.weight,
            self.bias,
            by_batch,
            factor,
            self.eps,
            num_batches_tracked=batches,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L) over all but C.  See BatchNorm2d."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W): ``(input - mean) / sqrt(var + eps) * weight + bias`` for each channel.

    In training mean and variance are the batch's own, and running averages of them are kept, which evaluation uses.
    Raises ValueError for inputs of other than four dimensions.

    >>> from ..kernels.create import ones
    >>> BatchNorm2d(3)(ones(2, 3, 4, 4)).sum().item()
    0.0
    """

    ranks = (4,)
