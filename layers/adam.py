"""Adam and AdamW as optimizers; the formulas are in ``kernels/adam.py``."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, apply
from ..framework.dtypes import float32
from ..kernels.adam import ADAM_DIALS, ADAM_STEP, adam_numbers
from ..kernels.create import full
from .optimizer import Optimizer, Params, nonnegative


class Adam(Optimizer):
    """Each element of a parameter moves by about ``lr`` a step, against the running mean of its gradients divided by
    the root of the running mean of their squares.

    ``betas`` say how slowly these means move, ``eps`` is added to the root, ``weight_decay`` adds that much of the
    parameter to its gradient, or shrinks the parameter itself with ``decoupled_weight_decay``, ``amsgrad`` divides by the
    greatest root so far, ``maximize`` goes uphill.
    ``state[p]["step"]`` is a number, or, once a GradScaler has left it to a device whether steps are made, a tensor there.
    Raises ValueError for negative rates and for betas outside [0, 1).

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); Adam([w], lr=0.5).step(); w.tolist()
    [0.5]
    """

    takes_found_inf = True

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
        decoupled_weight_decay: bool = False,
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
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative(type(self).__name__, **{key: options[key] for key in ("lr", "eps", "weight_decay")})
        betas = tuple(options["betas"])
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{type(self).__name__}: expected betas, two numbers in [0, 1), got {options['betas']}")

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["amsgrad"], group["maximize"], group["decoupled_weight_decay"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        found_inf = self.found_inf
        if found_inf is not None and found_inf.device.type == "cpu":
            if found_inf.item():
                return
            found_inf = None
        # parameters that had no gradient now and then have made fewer steps than others
        together: dict[tuple[bool, int], list[Tensor]] = {}
        for p in params:
            step = self.state[p].get("step", 0)
            counted = isinstance(step, Tensor)
            together.setdefault((counted, id(step) if counted else step), []).append(p)
        for (counted, _), moving in together.items():
            if found_inf is not None and not counted:
                count = full((), self.state[moving[0]].get("step", 0), dtype=float32, device=found_inf.device)
                self._count_with(count, moving)
                counted = True
            dials, numbers = (self._on_device if counted else self._on_host)(group, moving)
            names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))
            means, squares, *greatest = (self.all_remembered(moving, name) for name in names)
            apply(
                ADAM_STEP,
                tuple(moving),
                tuple([p.grad for p in moving]),
                means,
                squares,
                greatest[0] if greatest else (),
                dials,
                () if self.grad_scale is None else (self.grad_scale,),
                () if found_inf is None else (found_inf,),
                numbers=numbers,
                maximize=bool(group["maximize"]),
                decoupled=bool(group["decoupled_weight_decay"]),
            )

    def _on_host(self, group: dict[str, Any], moving: list[Tensor]) -> Any:
        """One step more for parameters that have made equally many, counted here."""

        states = [self.state[p] for p in moving]

        def numbers() -> tuple[float, ...]:
            step = states[0].get("step", 0) + 1
            for state in states:
                state["step"] = step
            return adam_numbers(*_options(group), step, bool(group["decoupled_weight_decay"]))

        return self.told(numbers)

    def _on_device(self, group: dict[str, Any], moving: list[Tensor]) -> Any:
        """One step more, counted on the device, where it is known whether the step is made."""
        count = self.state[moving[0]]["step"]
        if sum(state.get("step") is count for state in self.state.values()) > len(moving):
            count = count.clone()  # others that shared the count make no step now
            self._count_with(count, moving)
        if count.device is not moving[0].device:
            count = count.to(moving[0].device)
            self._count_with(count, moving)
        dials, options = self.told(lambda: _options(group))
        found_inf = () if self.found_inf is None else (self.found_inf,)
        decoupled = bool(group["decoupled_weight_decay"])
        return (apply(ADAM_DIALS, count, found_inf, dials, options=options, decoupled=decoupled),), None

    def _count_with(self, count: Tensor, moving: list[Tensor]) -> None:
        for p in moving:
            self.state[p]["step"] = count


class AdamW(Adam):
    """Adam whose ``weight_decay`` shrinks the parameters themselves by ``lr * weight_decay`` a step, apart from the means.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); AdamW([w], lr=0.5, weight_decay=0.5).step(); w.tolist()
    [0.25]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


def _options(group: dict[str, Any]) -> tuple[float, float, float, float, float]:
    beta1, beta2 = group["betas"]
    return float(group["lr"]), float(beta1), float(beta2), float(group["eps"]), float(group["weight_decay"])
