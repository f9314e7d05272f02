"""Stochastic gradient descent with momentum, as an optimizer; the formulas are in ``kernels/sgd.py``."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, apply
from ..kernels.sgd import SGD_STEP, sgd_numbers
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

    takes_found_inf = True

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

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["nesterov"], group["maximize"], group["momentum"] == 0

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        found_inf = self.found_inf
        fresh = [group["momentum"] != 0 and self.state[p].get("momentum_buffer") is None for p in params]
        # The first gradient is not dampened: whether this step is made must be known here, or it must not matter.
        if found_inf is not None and (found_inf.device.type == "cpu" or (any(fresh) and group["dampening"])):
            if found_inf.item():
                return
            found_inf = None
        begins = [found_inf is None and new for new in fresh]
        for first in (True, False):
            moving = [p for p, begin in zip(params, begins, strict=True) if begin is first]
            if moving:
                dials, numbers = self.told(lambda: _numbers(group))
                apply(
                    SGD_STEP,
                    tuple(moving),
                    tuple([p.grad for p in moving]),
                    self.all_remembered(moving, "momentum_buffer") if group["momentum"] else (),
                    dials,
                    () if self.grad_scale is None else (self.grad_scale,),
                    () if found_inf is None else (found_inf,),
                    numbers=numbers,
                    nesterov=bool(group["nesterov"]),
                    maximize=bool(group["maximize"]),
                    first=first,
                )


def _numbers(group: dict[str, Any]) -> tuple[float, ...]:
    return sgd_numbers(*[float(group[key]) for key in ("lr", "momentum", "dampening", "weight_decay")])
