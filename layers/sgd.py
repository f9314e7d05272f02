"""Stochastic gradient descent with momentum, as an optimizer; the formulas are in ``kernels/sgd.py``."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, apply
from ..kernels.sgd import SGD_STEP
from .optimizer import Optimizer, Params, nonnegative


class SGD(Optimizer):
    """``param -= lr * d``, where d is the gradient, or with ``momentum`` a running sum of gradients.

    ``weight_decay`` adds that much of the parameter to its gradient, ``dampening`` weakens new gradients in the sum,
    ``nesterov`` looks one step ahead, ``maximize`` goes uphill.  Raises ValueError for negative rates, and for
    ``nesterov`` without momentum or with dampening.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); SGD([w], lr=0.5).step(); w.tolist()
    [-0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("SGD", **{key: options[key] for key in ("lr", "momentum", "weight_decay")})
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum and no dampening")

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        settings = {key: float(group[key]) for key in ("lr", "momentum", "dampening", "weight_decay")}
        flags = {key: bool(group[key]) for key in ("nesterov", "maximize")}
        if not settings["momentum"]:
            apply(SGD_STEP, tuple(params), tuple(p.grad for p in params), (), **settings, **flags, first=True)
            return
        fresh = [self.state[p].get("momentum_buffer") is None for p in params]
        for first in (True, False):
            moving = [p for p, new in zip(params, fresh, strict=True) if new is first]
            if moving:
                buffers = tuple(self.remembered(p, "momentum_buffer") for p in moving)
                apply(SGD_STEP, tuple(moving), tuple(p.grad for p in moving), buffers, **settings, **flags, first=first)
