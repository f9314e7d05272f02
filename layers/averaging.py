"""Averages of a model's weights over the course of training: SWA and exponential moving averages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from ..autograd import Tensor, apply, no_grad, tensor
from ..framework.dtypes import int64
from ..kernels.average import AVERAGE_STEP
from .module import Module
from .normalization import _BatchNorm

MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]
Average = Callable[[Tensor, Tensor, Any], Tensor]


def _decay(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"moving average: expected a decay in [0, 1], got {value}")
    return value


def _towards(averages: Sequence[Tensor], currents: Sequence[Tensor], share: float) -> None:
    """Move each average by that share of its distance from the current value."""
    together = []
    for average, current in zip(averages, currents, strict=True):
        if average.dtype.is_floating_point and average.dtype is current.dtype and average.device is current.device:
            together.append((average, current))
        elif average.dtype.is_floating_point:
            average.add_(current.to(average) - average, alpha=share)
        else:
            average.copy_(average + (current - average) * share)
    for device in dict.fromkeys(average.device for average, _ in together):
        there = [pair for pair in together if pair[0].device is device]
        apply(AVERAGE_STEP, *map(tuple, zip(*there, strict=True)), share=float(share))


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """A function that makes each average ``decay * average + (1 - decay) * current``, in place."""
    share = 1 - _decay(decay)

    def update(averages: Sequence[Tensor], currents: Sequence[Tensor], num_averaged: Any) -> None:
        with no_grad():
            _towards(averages, currents, share)

    return update


def get_swa_multi_avg_fn() -> MultiAverage:
    """A function that makes each average the mean of all models so far, in place."""

    def update(averages: Sequence[Tensor], currents: Sequence[Tensor], num_averaged: Any) -> None:
        with no_grad():
            _towards(averages, currents, 1 / (int(num_averaged) + 1))

    return update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """A function of one average and one current value: ``decay * average + (1 - decay) * current``."""
    _decay(decay)

    def update(average: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            return average * decay + current * (1 - decay)

    return update


def get_swa_avg_fn() -> Average:
    """A function of one average and one current value: the mean of all models so far."""

    def update(average: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            return average + (current - average) / (int(num_averaged) + 1)

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of what the model's were at each ``update_parameters``.

    By default their mean (SWA); ``multi_avg_fn`` (of all averages and current values) or ``avg_fn`` (of one of each)
    says otherwise, such as ``get_ema_multi_avg_fn(0.999)``.  Buffers are copied, or averaged with ``use_buffers``.
    Raises ValueError where both functions are given.

    >>> from trigrad import nn
    >>> net = nn.Linear(1, 1); averaged = AveragedModel(net)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(net.weight, value); averaged.update_parameters(net)
    >>> averaged.module.weight.item(), averaged.n_averaged.item()
    (3.0, 3)
    """

    module: Module
    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: expected avg_fn or multi_avg_fn, got both")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list[Tensor]:
        return list(chain(model.parameters(), model.buffers() if self.use_buffers else ()))

    def update_parameters(self, model: Module) -> None:
        """Take the parameters that ``model`` has now into the average; the first time they are copied."""
        own = [t.detach() for t in self._averaged(self.module)]
        current = [t.detach().to(mine.device) for t, mine in zip(self._averaged(model), own, strict=True)]
        with no_grad():
            if int(self.n_averaged) == 0:
                for mine, theirs in zip(own, current, strict=True):
                    mine.copy_(theirs)
            elif self.avg_fn is not None:
                for mine, theirs in zip(own, current, strict=True):
                    mine.copy_(self.avg_fn(mine, theirs, self.n_averaged))
            else:
                update = get_swa_multi_avg_fn() if self.multi_avg_fn is None else self.multi_avg_fn
                update(own, current, self.n_averaged)
            if not self.use_buffers:
                for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                    mine.detach().copy_(theirs.detach().to(mine.device))
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of the model's batch norms anew, as means over all batches of ``loader``.

    A batch is a tensor, or a tuple or list that begins with one; it is moved to ``device`` first, where one is given.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    before = [(m, m.momentum) for m in norms]
    was_training = model.training
    model.train()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    try:
        with no_grad():
            for batch in loader:
                given = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(given if device is None else given.to(device))
    finally:
        for m, momentum in before:
            m.momentum = momentum
        model.train(was_training)
