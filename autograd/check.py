"""gradcheck and gradgradcheck: analytic gradients against finite differences.

The numeric side is the central difference (f(x + e) - f(x - e)) / 2e, element by element, or along one random
direction in ``fast_mode``, whose cost does not grow with the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..framework import dtypes
from ..framework.array import from_numpy
from .engine import grad
from .mode import no_grad
from .tensor import Tensor, wrap


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _with(like: Tensor, values: np.ndarray) -> Tensor:
    """A tensor of ``values`` beside ``like``."""
    return wrap(values if isinstance(like.array, np.ndarray) else from_numpy(values, like.array.backend))


def _outputs(func: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    return [o for o in _as_tuple(func(*inputs)) if isinstance(o, Tensor) and o.dtype.is_floating_point]


def _moved(func: Callable[..., Any], inputs: Sequence[Any], place: int, step: np.ndarray) -> list[np.ndarray]:
    moved = list(inputs)
    moved[place] = _with(inputs[place], np.asarray(inputs[place].host() + step))
    with no_grad():
        return [o.host() for o in _outputs(func, moved)]


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
) -> bool:
    """Whether the gradients of ``func(*inputs)`` agree with central differences of step ``eps``.

    Every floating tensor of ``inputs`` that requires a gradient is checked; float64 is expected, since the
    differences of anything narrower are noise.  Each pair is compared as ``|a - n| <= atol + rtol * |n|``.
    Gradients computed twice may differ by ``nondet_tol``.
    Raises RuntimeError with both values where they differ (or returns False with ``raise_exception=False``),
    and ValueError where no input requires a gradient.
    """
    arguments = _as_tuple(inputs)
    checked = [i for i, t in enumerate(arguments) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise ValueError("gradcheck: at least one input must require a gradient")
    for i in checked:
        if arguments[i].dtype is not dtypes.float64:
            raise ValueError(f"gradcheck: expected float64 inputs, input {i} is {arguments[i].dtype.name}")
    rng = np.random.default_rng(0)
    outputs = _outputs(func, arguments)
    for number, output in enumerate(outputs):
        if not output.requires_grad:
            continue
        for i in checked:
            x = arguments[i]
            apart = _apart(output, x, rng)
            if apart > nondet_tol:
                if not raise_exception:
                    return False
                raise RuntimeError(
                    f"gradcheck: output {number} with respect to input {i}: the gradient computed twice differs by "
                    f"{apart:.6g}, more than nondet_tol={nondet_tol:g}"
                )
            if fast_mode:
                weight, direction = rng.normal(size=output.shape), rng.normal(size=x.shape)
                (g,) = grad(output, x, _with(output, np.asarray(weight)), retain_graph=True, materialize_grads=True)
                assert g is not None
                claimed = np.asarray(np.sum(g.host() * direction))
                up, down = (_moved(func, arguments, i, s * eps * direction)[number] for s in (1, -1))
                measured = np.asarray(np.sum(weight * (up - down)) / (2 * eps))
            else:
                claimed, measured = _jacobians(func, arguments, i, number, output, eps)
            if not np.allclose(claimed, measured, rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                worst = np.unravel_index(np.argmax(np.abs(claimed - measured)), claimed.shape)
                raise RuntimeError(
                    f"gradcheck: output {number} with respect to input {i}: the gradient is {claimed[worst]:.6g}, "
                    f"central differences give {measured[worst]:.6g}"
                    + (" (along a random direction)" if fast_mode else f" (element {worst} of the Jacobian)")
                )
    return True


def _apart(output: Tensor, x: Tensor, rng: np.random.Generator) -> float:
    """By how much the gradient, computed twice, differs."""
    weight = _with(output, np.asarray(rng.normal(size=output.shape)))
    once, again = (grad(output, x, weight, retain_graph=True, materialize_grads=True)[0] for _ in range(2))
    assert once is not None and again is not None
    return float(np.max(np.abs(once.host() - again.host()), initial=0.0))


def _jacobians(
    func: Callable[..., Any], arguments: Sequence[Any], i: int, number: int, output: Tensor, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, inputs) matrices of derivatives: claimed by backward, and measured."""
    x = arguments[i]
    claimed = np.zeros((output.array.size, x.array.size))
    for row in range(output.array.size):
        weight = np.zeros(output.array.size)
        weight[row] = 1.0
        (g,) = grad(output, x, _with(output, weight.reshape(output.shape)), retain_graph=True, materialize_grads=True)
        assert g is not None
        claimed[row] = g.host().reshape(-1)
    measured = np.zeros_like(claimed)
    for column in range(x.array.size):
        step = np.zeros(x.array.size)
        step[column] = eps
        up, down = (_moved(func, arguments, i, s * step.reshape(x.shape))[number] for s in (1, -1))
        measured[:, column] = ((up - down) / (2 * eps)).reshape(-1)
    return claimed, measured


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
) -> bool:
    """gradcheck of the gradients themselves: second derivatives, for random gradients of the outputs or ``grad_outputs``.

    Raises as ``gradcheck``, and RuntimeError naming the row where a gradient is not itself differentiable.
    """
    arguments = _as_tuple(inputs)
    checked = [i for i, t in enumerate(arguments) if isinstance(t, Tensor) and t.requires_grad]
    rng = np.random.default_rng(1)
    if grad_outputs is None:
        weights = [_with(o, np.asarray(rng.normal(size=o.shape))).requires_grad_() for o in _outputs(func, arguments)]
    else:
        weights = [w.detach().requires_grad_() for w in _as_tuple(grad_outputs)]

    def first(*everything: Any) -> tuple[Tensor | None, ...]:
        given, ws = everything[: len(arguments)], everything[len(arguments) :]
        given = tuple(
            g if not isinstance(g, Tensor) or g.requires_grad or i not in checked else g.detach().requires_grad_()
            for i, g in enumerate(given)
        )
        from .mode import enable_grad

        with enable_grad():
            outs = _outputs(func, given)
            live = [(o, w) for o, w in zip(outs, ws, strict=True) if o.requires_grad]
            return grad(
                [o for o, _ in live],
                [given[i] for i in checked],
                [w for _, w in live],
                create_graph=True,
                materialize_grads=True,
            )

    return gradcheck(
        first,
        (*arguments, *weights),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        fast_mode=fast_mode,
    )
