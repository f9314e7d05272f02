"""Adam as an optimizer; the formulas are in ``kernels/adam.py``."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, apply
from ..kernels.adam import ADAM_STEP
from .optimizer import Optimizer, Params, nonnegative


class Adam(Optimizer):
    """Each element of a parameter moves by about ``lr`` a step, against the running mean of its gradients divided by
    the root of the running mean of their squares.

    ``betas`` say how slowly these means move, ``eps`` is added to the root, ``weight_decay`` adds that much of the
    parameter to its gradient, ``amsgrad`` divides by the greatest root so far, ``maximize`` goes uphill.
    Raises ValueError for negative rates and for betas outside [0, 1).

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); Adam([w], lr=0.5).step(); w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("Adam", **{key: options[key] for key in ("lr", "eps", "weight_decay")})
        betas = tuple(options["betas"])
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam: expected betas, two numbers in [0, 1), got {options['betas']}")

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        settings = {key: float(group[key]) for key in ("lr", "eps", "weight_decay")}
        # parameters that had no gradient now and then have made fewer steps than others
        together: dict[int, list[Tensor]] = {}
        for p in params:
            state = self.state[p]
            state["step"] = state.get("step", 0) + 1
            together.setdefault(state["step"], []).append(p)
        for step, moving in together.items():
            names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))
            means, squares, *greatest = (tuple(self.remembered(p, name) for p in moving) for name in names)
            apply(
                ADAM_STEP,
                tuple(moving),
                tuple(p.grad for p in moving),
                means,
                squares,
                greatest[0] if greatest else (),
                **settings,
                beta1=float(beta1),
                beta2=float(beta2),
                maximize=bool(group["maximize"]),
                step=step,
            )
