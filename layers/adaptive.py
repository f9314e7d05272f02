"""Optimizers that give every element a rate of its own, beside Adam: RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam.

The formulas are in the files of ``kernels/`` of these names.
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, apply
from ..autograd.tensor import wrap
from ..framework.fill import full
from ..kernels.adadelta import ADADELTA_STEP, adadelta_numbers
from ..kernels.adagrad import ADAGRAD_STEP, adagrad_numbers
from ..kernels.adamax import ADAMAX_STEP, adamax_numbers
from ..kernels.nadam import NADAM_STEP, nadam_mu, nadam_numbers
from ..kernels.radam import RADAM_STEP, radam_numbers
from ..kernels.rmsprop import RMSPROP_STEP, rmsprop_numbers
from .optimizer import Optimizer, Params, nonnegative


def filled_beside(param: Tensor, value: float) -> Tensor:
    """A tensor of one value, of a parameter's shape, dtype and device."""
    return wrap(full(param.shape, value, param.array.dtype, getattr(param.array, "backend", None)))


def _check_betas(name: str, options: Any) -> None:
    betas = tuple(options["betas"])
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"{name}: expected betas, two numbers in [0, 1), got {options['betas']}")


class RMSprop(Optimizer):
    """The gradient divided by the root of the running mean of its squares.

    ``alpha`` says how slowly the mean moves, ``centered`` takes the mean's own square off it, ``momentum`` sums up the
    moves, ``weight_decay`` adds that much of the parameter to its gradient, ``maximize`` goes uphill.
    Raises ValueError for negative options.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); RMSprop([w], lr=0.5, alpha=0.75).step(); w.tolist()
    [0.0]
    """

    takes_found_inf = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("RMSprop", **{key: options[key] for key in ("lr", "eps", "momentum", "weight_decay", "alpha")})

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["centered"], group["maximize"], group["momentum"] > 0

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if self.stops():
            return
        names = ("lr", "alpha", "eps", "weight_decay", "momentum")
        dials, numbers = self.told(lambda: rmsprop_numbers(*[float(group[key]) for key in names]))
        apply(
            RMSPROP_STEP,
            tuple(params),
            tuple([p.grad for p in params]),
            self.all_remembered(params, "square_avg"),
            self.all_remembered(params, "grad_avg") if group["centered"] else (),
            self.all_remembered(params, "momentum_buffer") if group["momentum"] > 0 else (),
            dials,
            *self.scaling(),
            numbers=numbers,
            maximize=bool(group["maximize"]),
        )


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares so far.

    The sum begins at ``initial_accumulator_value``; ``lr_decay`` lowers the rate to ``lr / (1 + (step - 1) lr_decay)``.
    Raises ValueError for negative options.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); Adagrad([w], lr=0.5).step(); w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        nonnegative("Adagrad", **{key: options[key] for key in names})

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        begin = float(group["initial_accumulator_value"])

        def numbers_at(step: int, _: dict[str, Any]) -> tuple[float, ...]:
            lr, lr_decay, eps, weight_decay = (float(group[k]) for k in ("lr", "lr_decay", "eps", "weight_decay"))
            return adagrad_numbers(lr, lr_decay, eps, weight_decay, step)

        for moving in self.abreast(params):
            dials, numbers = self.counted(moving, numbers_at)
            apply(
                ADAGRAD_STEP,
                tuple(moving),
                tuple([p.grad for p in moving]),
                tuple([self.remembered(p, "sum", lambda p: filled_beside(p, begin)) for p in moving]),
                dials,
                numbers=numbers,
                maximize=bool(group["maximize"]),
            )


class Adadelta(Optimizer):
    """The gradient times the root of the running mean of squared moves, over that of squared gradients.

    ``rho`` says how slowly the means move.  Raises ValueError for negative options and for a rho above 1.

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); Adadelta([w], rho=0.0, eps=16.0).step(); round(w.item(), 4)
    -1.4
    """

    takes_found_inf = True

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def check(self, options: Any) -> None:
        nonnegative("Adadelta", **{key: options[key] for key in ("lr", "eps", "weight_decay")})
        if not 0 <= options["rho"] <= 1:
            raise ValueError(f"Adadelta: expected rho in [0, 1], got {options['rho']}")

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if self.stops():
            return
        names = ("lr", "rho", "eps", "weight_decay")
        dials, numbers = self.told(lambda: adadelta_numbers(*[float(group[key]) for key in names]))
        apply(
            ADADELTA_STEP,
            tuple(params),
            tuple([p.grad for p in params]),
            self.all_remembered(params, "square_avg"),
            self.all_remembered(params, "acc_delta"),
            dials,
            *self.scaling(),
            numbers=numbers,
            maximize=bool(group["maximize"]),
        )


class Adamax(Optimizer):
    """Adam with the greatest gradient so far, which fades with ``betas[1]``, in place of the root of the mean square.

    Raises ValueError for negative rates and for betas outside [0, 1).

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); Adamax([w], lr=0.5).step(); w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def check(self, options: Any) -> None:
        nonnegative("Adamax", **{key: options[key] for key in ("lr", "eps", "weight_decay")})
        _check_betas("Adamax", options)

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for moving in self.abreast(params):
            dials, numbers = self.counted(moving, lambda step, _: adamax_numbers(*_adam_options(group), step))
            apply(
                ADAMAX_STEP,
                tuple(moving),
                tuple([p.grad for p in moving]),
                self.all_remembered(moving, "exp_avg"),
                self.all_remembered(moving, "exp_inf"),
                dials,
                numbers=numbers,
                maximize=bool(group["maximize"]),
            )


class NAdam(Optimizer):
    """Adam that looks one step ahead, as Nesterov's momentum does; ``momentum_decay`` warms the momentum up.

    ``decoupled_weight_decay`` shrinks the parameters themselves, as AdamW does.
    Raises ValueError for negative rates and for betas outside [0, 1).

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); NAdam([w], lr=0.5, momentum_decay=0.0).step(); round(w.item(), 4)
    0.4718
    """

    counts = ("step", "mu_product")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
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
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("NAdam", **{key: options[key] for key in ("lr", "eps", "weight_decay", "momentum_decay")})
        _check_betas("NAdam", options)

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        def numbers_at(step: int, counts: dict[str, Any]) -> tuple[float, ...]:
            lr, beta1, beta2, eps, weight_decay = _adam_options(group)
            slowness = float(group["momentum_decay"])
            product = counts["mu_product"] = counts.get("mu_product", 1.0) * nadam_mu(beta1, slowness, step)
            decoupled = bool(group["decoupled_weight_decay"])
            return nadam_numbers(lr, beta1, beta2, eps, weight_decay, slowness, decoupled, step, product)

        for moving in self.abreast(params):
            dials, numbers = self.counted(moving, numbers_at)
            apply(
                NADAM_STEP,
                tuple(moving),
                tuple([p.grad for p in moving]),
                self.all_remembered(moving, "exp_avg"),
                self.all_remembered(moving, "exp_avg_sq"),
                dials,
                numbers=numbers,
                maximize=bool(group["maximize"]),
            )


class RAdam(Optimizer):
    """Adam that trusts its mean square only once enough gradients are in it, and moves by the mean alone before.

    ``decoupled_weight_decay`` shrinks the parameters themselves, as AdamW does.
    Raises ValueError for negative rates and for betas outside [0, 1).

    >>> w = Tensor([1.0]).requires_grad_()
    >>> (w * 3).backward(); RAdam([w], lr=0.5).step(); round(w.item(), 4)
    -0.5
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
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
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("RAdam", **{key: options[key] for key in ("lr", "eps", "weight_decay")})
        _check_betas("RAdam", options)

    def fixed(self, group: dict[str, Any]) -> Any:
        return group["maximize"]

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        def numbers_at(step: int, counts: dict[str, Any]) -> tuple[float, ...]:
            return radam_numbers(*_adam_options(group), bool(group["decoupled_weight_decay"]), step)

        for moving in self.abreast(params):
            dials, numbers = self.counted(moving, numbers_at)
            apply(
                RADAM_STEP,
                tuple(moving),
                tuple([p.grad for p in moving]),
                self.all_remembered(moving, "exp_avg"),
                self.all_remembered(moving, "exp_avg_sq"),
                dials,
                numbers=numbers,
                maximize=bool(group["maximize"]),
            )


def _adam_options(group: dict[str, Any]) -> tuple[float, float, float, float, float]:
    beta1, beta2 = group["betas"]
    return float(group["lr"]), float(beta1), float(beta2), float(group["eps"]), float(group["weight_decay"])
