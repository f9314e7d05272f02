"""Hooks on a module's backward pass, as PyTorch's "full" ones: they see the gradients of its outputs and its inputs.

The outputs pass through one identity and the inputs through another.  Where the gradients of the outputs arrive, the
pre-hooks are called; where those of the inputs leave, the hooks, with both.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd import Function, Tensor

BEFORE, AFTER = "before", "after"


class ModuleInputs(Function):
    """The identity, whose gradients the hooks of ``call`` may change."""

    @staticmethod
    def forward(ctx: Any, call: BackwardCall, *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.call.leaving(grads)


class ModuleOutputs(Function):
    """The identity, whose gradients the pre-hooks of ``call`` may change."""

    @staticmethod
    def forward(ctx: Any, call: BackwardCall, *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.call.arriving(grads)


class BackwardCall:
    """One call of a module whose backward pass somebody looks at."""

    def __init__(self, module: Any, hooks: tuple[tuple[Any, str], ...]) -> None:
        self.module = module
        self.before = [hook for hook, kind in hooks if kind is BEFORE]
        self.after = [hook for hook, kind in hooks if kind is AFTER]
        self.inputs: list[int] = []  # places of the tensors among the arguments
        self.outputs: list[int] = []
        self.taken = self.given = 0  # how many there are of each
        self.grad_outputs: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that are tensors through the identity."""
        self.taken = len(args)
        if not self.after:
            return args
        self.inputs, args = _through(ModuleInputs, self, args)
        return args

    def leave(self, out: Any) -> Any:
        """The result, its tensors through the identity."""
        single = not isinstance(out, tuple)
        outs = (out,) if single else out
        if not all(isinstance(o, Tensor) for o in outs):
            warnings.warn(
                f"backward hooks of {type(self.module).__name__} are not called: expected it to return a Tensor or a tuple "
                f"of tensors, got {type(out).__name__}",
                stacklevel=4,
            )
            return out
        self.given = len(outs)
        self.outputs, outs = _through(ModuleOutputs, self, outs)
        return outs[0] if single else outs

    def arriving(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call the pre-hooks, and the hooks too where no input wants a gradient; returns the outputs' gradients."""
        full = _spread(grads, self.outputs, self.given)
        for hook in self.before:
            full = _changed(hook(self.module, full), full, "full_backward_pre_hook")
        self.grad_outputs = full
        if not self.inputs:
            for hook in self.after:
                changed = hook(self.module, (None,) * self.taken, full)
                if changed is not None and any(g is not None for g in _tuple(changed)):
                    raise RuntimeError(
                        "full_backward_hook: expected None where no input of the module requires a gradient"
                    )
        return tuple(full[i] for i in self.outputs)

    def leaving(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call the hooks; returns the inputs' gradients."""
        full = _spread(grads, self.inputs, self.taken)
        for hook in self.after:
            full = _changed(hook(self.module, full, self.grad_outputs), full, "full_backward_hook")
        self.grad_outputs = ()
        return tuple(full[i] for i in self.inputs)


def _through(
    function: type[Function], call: BackwardCall, values: tuple[Any, ...]
) -> tuple[list[int], tuple[Any, ...]]:
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not places:
        return [], values
    passed = dict(zip(places, function.apply(call, *(values[i] for i in places)), strict=True))
    return places, tuple(passed.get(i, v) for i, v in enumerate(values))


def _spread(values: tuple[Any, ...], places: list[int], size: int) -> tuple[Any, ...]:
    found = dict(zip(places, values, strict=True))
    return tuple(found.get(i) for i in range(size))


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _changed(value: Any, before: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """What a hook returned in place of the gradients, if anything."""
    if value is None:
        return before
    after = _tuple(value)
    if len(after) != len(before):
        raise RuntimeError(f"{name}: expected None or {len(before)} gradients, got {len(after)}")
    return after
