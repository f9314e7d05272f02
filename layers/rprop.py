"""ASGD and Rprop, which look at the way that parameters have gone; the formulas are in ``kernels/``."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, apply
from ..kernels.asgd import ASGD_STEP, asgd_numbers
from ..kernels.rprop import RPROP_STEP
from .adaptive import filled_beside
from .optimizer import Optimizer, Params, nonnegative


class ASGD(Optimizer):
    """Stochastic gradient descent that averages what the parameters were, from step ``t0`` on, in ``state[p]["ax"]``.

    The rate is ``lr / (1 + lambd lr step)**alpha``; ``lambd`` pulls the parameters towards zero as well.
    Raises ValueError for negative rates.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); ASGD([w], lr=0.5, lambd=0.0).step(); w.tolist()
    [-0.5]
    """

    counts = ("step", "eta", "mu")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("ASGD", **{key: options[key] for key in ("lr", "weight_decay")})

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        def numbers_at(step: int, counts: dict[str, Any]) -> tuple[float, ...]:
            lr, lambd = float(group["lr"]), float(group["lambd"])
            told = asgd_numbers(lambd, float(group["weight_decay"]), counts.get("eta", lr), counts.get("mu", 1.0))
            counts["eta"] = lr / (1 + lambd * lr * step) ** float(group["alpha"])
            counts["mu"] = 1 / max(1.0, step - float(group["t0"]))
            return told

        for moving in self.abreast(params):
            dials, numbers = self.counted(moving, numbers_at)
            apply(
                ASGD_STEP,
                tuple(moving),
                tuple([p.grad for p in moving]),
                self.all_remembered(moving, "ax"),
                dials,
                numbers=numbers,
                maximize=bool(group["maximize"]),
            )


class Rprop(Optimizer):
    """Each element moves by a step of its own against the sign of its gradient, longer while that sign stays.

    Steps begin at ``lr``, are multiplied by ``etas[1]`` or, where the sign turned, by ``etas[0]``, and stay within
    ``step_sizes``.  For whole batches only.  Raises ValueError unless ``0 < etas[0] < 1 < etas[1]``.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); Rprop([w], lr=0.5).step(); w.tolist()
    [0.5]
    """

    takes_found_inf = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, options: Any) -> None:
        nonnegative("Rprop", lr=options["lr"])
        etas = tuple(options["etas"])
        if len(etas) != 2 or not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Rprop: expected etas, one in (0, 1) and one above 1, got {options['etas']}")

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if self.stops():
            return
        begin = float(group["lr"])
        dials, numbers = self.told(lambda: tuple(float(n) for n in (*group["etas"], *group["step_sizes"])))
        apply(
            RPROP_STEP,
            tuple(params),
            tuple([p.grad for p in params]),
            self.all_remembered(params, "prev"),
            tuple([self.remembered(p, "step_size", lambda p: filled_beside(p, begin)) for p in params]),
            dials,
            *self.scaling(),
            numbers=numbers,
            maximize=bool(group["maximize"]),
        )
