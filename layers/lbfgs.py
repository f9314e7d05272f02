"""L-BFGS as an optimizer: Newton's method with a Hessian guessed from the last few gradients, and a line search.

Source: Nocedal, Wright (2006), "Numerical optimization", algorithms 7.4 and 7.5 (the two loops), 3.5 and 3.6 (a step that
fulfils the strong Wolfe conditions).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from ..autograd import Tensor, enable_grad, no_grad
from ..framework import capture
from ..kernels.cat import cat
from ..kernels.create import zeros_like
from .optimizer import Optimizer, Params, nonnegative

Evaluate = Callable[[float], "Point"]


class Point:
    """A place on the line: how far along, the loss there, the gradient, and its slope along the line."""

    __slots__ = ("grad", "loss", "slope", "t")

    def __init__(self, t: float, loss: float, grad: Tensor, slope: float) -> None:
        self.t, self.loss, self.grad, self.slope = t, loss, grad, slope


class LBFGS(Optimizer):
    """Minimize what ``closure`` computes, with up to ``max_iter`` iterations in each ``step(closure)``.

    ``closure`` clears the gradients, computes the loss, calls its ``backward`` and returns it; it is called up to
    ``max_eval`` times (by default 5/4 of ``max_iter``).  A step ends early where no gradient is above ``tolerance_grad``
    or neither loss nor parameters change by more than ``tolerance_change``.  ``history_size`` pairs of gradient and move
    are remembered; ``line_search_fn="strong_wolfe"`` finds the length of each move, which is ``lr`` otherwise.
    There is one group of parameters, all of them on one device.  Raises ValueError for several groups and for another
    line search, TypeError without a closure.

    >>> w = Tensor([3.0, -2.0]).requires_grad_()
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad(); loss = ((w - 1) ** 2).sum(); loss.backward(); return loss
    >>> optimizer.step(closure).item(), w.detach().round().tolist()
    (13.0, [1.0, 1.0])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def check(self, options: Any) -> None:
        nonnegative("LBFGS", lr=options["lr"])
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f"LBFGS: expected line_search_fn None or 'strong_wolfe', got {options['line_search_fn']!r}"
            )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Set the one group; ValueError for a second."""
        if self.param_groups:
            raise ValueError("LBFGS: there can be only one group of parameters")
        super().add_param_group(param_group)

    def _restored(self, key: str, value: Any, param: Tensor) -> Any:
        """What is remembered is of all parameters together and has no parameter's shape."""
        if isinstance(value, Tensor):
            return value.detach().to(dtype=param.dtype, device=param.device, copy=True)
        if isinstance(value, list):
            return [self._restored(key, v, param) for v in value]
        return value

    # -- all parameters as one vector ---------------------------------------------------------------------------

    def _gradient(self) -> Tensor:
        params = self.param_groups[0]["params"]
        return cat([(zeros_like(p) if p.grad is None else p.grad).detach().reshape(-1) for p in params], 0)

    def _move_by(self, direction: Tensor, t: float) -> None:
        begin = 0
        for p in self.param_groups[0]["params"]:
            end = begin + p.numel()
            p.add_(direction[begin:end].reshape(p.shape), alpha=t)
            begin = end

    # -- stepping -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Go some iterations towards the minimum; returns the loss where it began."""
        if closure is None:
            raise TypeError("LBFGS: step needs a closure that computes the loss again")
        if capture.recording() is not None:
            raise capture.Refused("LBFGS: its steps depend on the loss and cannot be captured")
        self._has_stepped = True
        with no_grad():
            return self._iterate(closure)

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        lr, max_iter, max_eval = float(group["lr"]), group["max_iter"], group["max_eval"]
        still, flat = group["tolerance_change"], group["tolerance_grad"]

        def evaluate() -> tuple[Any, float, Tensor]:
            with enable_grad():
                loss = closure()
            state["func_evals"] += 1
            return loss, float(loss), self._gradient()

        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        evaluated = state["func_evals"]
        first, loss, grad = evaluate()
        if _largest(grad) <= flat:
            return first
        for iteration in range(1, max_iter + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                direction = -grad
                state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
                t = min(1.0, 1.0 / float(grad.abs().sum())) * lr
            else:
                self._learn(state, grad, group["history_size"])
                direction = self._direction(state, grad)
                t = lr
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            state["d"], state["t"] = direction, t
            slope = _dot(grad, direction)
            if slope > -still:
                break
            before = loss
            if group["line_search_fn"] is not None:
                start = [p.clone() for p in group["params"]]

                def at(t: float, direction: Tensor = direction, start: list[Tensor] = start) -> Point:
                    self._move_by(direction, t)
                    _, loss, grad = evaluate()
                    for p, held in zip(group["params"], start, strict=True):
                        p.copy_(held)
                    return Point(t, loss, grad, _dot(grad, direction))

                left = max_eval - (state["func_evals"] - evaluated)
                found = strong_wolfe(at, Point(0.0, loss, grad, slope), t, _largest(direction), left)
                t = state["t"] = found.t
                loss, grad = found.loss, found.grad
                self._move_by(direction, t)
            else:
                self._move_by(direction, t)
                if iteration != max_iter:  # after the last move nobody looks at the loss
                    _, loss, grad = evaluate()
            if (
                state["func_evals"] - evaluated >= max_eval
                or _largest(grad) <= flat
                or _largest(direction) * abs(t) <= still
                or abs(loss - before) < still
            ):
                break
        return first

    def _learn(self, state: dict[str, Any], grad: Tensor, most: int) -> None:
        """Remember the last move and how the gradient changed by it, where that tells of upward curvature."""
        change, move = grad - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = _dot(change, move)
        if curvature > 1e-10:
            for name, value in (("old_dirs", change), ("old_stps", move), ("ro", 1.0 / curvature)):
                if len(state[name]) == most:
                    del state[name][0]
                state[name].append(value)
            state["H_diag"] = curvature / _dot(change, change)

    def _direction(self, state: dict[str, Any], grad: Tensor) -> Tensor:
        """Minus the guessed inverse of the Hessian times the gradient, by the two loops."""
        remembered = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        q = -grad
        weights = []
        for change, move, rho in reversed(remembered):
            weights.append(_dot(move, q) * rho)
            q.add_(change, alpha=-weights[-1])
        q.mul_(state["H_diag"])
        for (change, move, rho), weight in zip(remembered, reversed(weights), strict=True):
            q.add_(move, alpha=weight - _dot(change, q) * rho)
        return q


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())


def _largest(a: Tensor) -> float:
    return float(a.abs().max())


def strong_wolfe(at: Evaluate, start: Point, t: float, size: float, most: int) -> Point:
    """A point on the line that is low enough and flat enough, or the lowest found within ``most`` evaluations.

    ``at(t)`` evaluates at distance t from ``start``; ``size`` is the largest element of the direction.
    """
    low_enough, flat_enough, still = 1e-4, 0.9, 1e-9

    def too_high(p: Point) -> bool:
        return p.loss > start.loss + low_enough * p.t * start.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -flat_enough * start.slope

    before, point = start, at(t)
    tries = 0
    bracket: list[Point] | None = None
    while tries < most:  # go on until a minimum must lie between two points
        if too_high(point) or (tries > 1 and point.loss >= before.loss):
            bracket = [before, point]
            break
        if flat(point):
            return point
        if point.slope >= 0:
            bracket = [before, point]
            break
        onward = _cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10)
        before, point = point, at(onward)
        tries += 1
    if bracket is None:
        bracket = [start, point]
    stuck = False
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    while tries < most:  # narrow it down
        first, second = sorted((bracket[0].t, bracket[1].t))
        if (second - first) * size < still:
            break
        t = _cubic_minimum(bracket[0], bracket[1], first, second)
        margin = 0.1 * (second - first)
        if min(second - t, t - first) >= margin:
            stuck = False
        elif stuck or t >= second or t <= first:  # too close to an end for the second time, or on it: inwards
            t = second - margin if abs(t - second) < abs(t - first) else first + margin
            stuck = False
        else:
            stuck = True
        point = at(t)
        tries += 1
        if too_high(point) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        done = flat(point)
        if not done and point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
        if done:
            break
    return bracket[low]


def _cubic_minimum(a: Point, b: Point, least: float, most: float) -> float:
    """Where the cubic through two points with their slopes is lowest, kept within bounds; their middle if nowhere."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    d2 = sqrt(square)
    slopes = b.slope - a.slope + 2 * d2
    if slopes == 0:
        return (least + most) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / slopes), least), most)
