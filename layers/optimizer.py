"""Optimizer: what SGD, Adam and others share: groups of parameters with options, state per parameter, state dicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any

from ..autograd import Tensor, enable_grad, no_grad
from ..kernels.create import zeros_like
from .module import zero_gradients

_NOTES = ("name", "initial_lr")  # what a group may carry beside its options: its name, and where a schedule began

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Optimizer:
    """Base of all optimizers: a subclass gives the options' defaults and defines ``update``.

    ``param_groups`` holds one dict of options per group, its parameters under "params"; ``state`` what is remembered
    of each parameter, from its first step on.
    """

    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    state: defaultdict[Tensor, dict[str, Any]]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        name = type(self).__name__
        if isinstance(params, (Tensor, str, Mapping)):
            raise TypeError(f"{name}: params must be several tensors or dicts, got {type(params).__name__}")
        given = list(params)
        if not given:
            raise ValueError(f"{name}: got no parameters")
        groups: list[Any] = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    # -- what a subclass says -----------------------------------------------------------------------------------

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for options of a group that make no sense."""

    def update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Move ``params``, those of ``group`` that have a gradient."""
        raise NotImplementedError(f"{type(self).__name__}: define update(self, group, params)")

    # -- stepping -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; returns what ``closure``, called first, computed."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                params = [p for p in group["params"] if p.grad is not None]
                if params:
                    self.update(group, params)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or fill it with zeros."""
        zero_gradients(self._params(), set_to_none)

    def remembered(self, param: Tensor, name: str, make: Callable[[Tensor], Tensor] = zeros_like) -> Tensor:
        """A tensor of the parameter's state, made on first need; it follows where the parameter has been moved to."""
        state = self.state[param]
        found: Tensor | None = state.get(name)
        if found is None:
            found = state[name] = make(param)
        elif found.array.dtype != param.array.dtype or found.device is not param.device:
            found = state[name] = found.to(param)
        return found

    # -- groups -------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: its parameters under "params", and options that differ from the defaults.

        Raises TypeError for what are no tensors or options, ValueError for tensors that an operation made, for one that
        is there already, and for options that make no sense.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{name}: a parameter group must be a dict with the key 'params', got {param_group!r}")
        params = param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: parameters must come in an order, got a {type(params).__name__}")
        members = [params] if isinstance(params, Tensor) else list(params)
        options = {key: value for key, value in param_group.items() if key != "params"}
        unknown = [key for key in options if key not in self.defaults and key not in _NOTES]
        if unknown:
            raise TypeError(f"{name}: unknown option {', '.join(unknown)}; there are {', '.join(self.defaults)}")
        held = {id(p) for p in self._params()}
        for p in members:
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: parameters must be tensors, got {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(
                    f"{name}: a tensor of shape {p.shape} was made by an operation; only leaves can be optimized"
                )
            if id(p) in held:
                raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
            held.add(id(p))
        group = {"params": members, **self.defaults, **options}
        self.check(group)
        self.param_groups.append(group)

    def _params(self) -> Iterator[Tensor]:
        return chain.from_iterable(group["params"] for group in self.param_groups)

    # -- state --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Options and state, with parameters as numbers in order; the tensors of the state are the optimizer's own."""
        number = {id(p): i for i, p in enumerate(self._params())}
        groups = [{**group, "params": [number[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": {number[id(p)]: dict(s) for p, s in self.state.items() if s}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and a copy of the state from ``state_dict()`` of an optimizer with as many parameters.

        Raises ValueError where groups or shapes do not fit; nothing is changed then.
        """
        name = type(self).__name__
        groups = state_dict["param_groups"]
        ours, theirs = ([len(g["params"]) for g in many] for many in (self.param_groups, groups))
        if ours != theirs:
            raise ValueError(f"{name}: the state dict has groups of {theirs} parameters, the optimizer of {ours}")
        param = dict(zip(chain.from_iterable(g["params"] for g in groups), self._params(), strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, kept in state_dict["state"].items():
            if number not in param:
                raise ValueError(
                    f"{name}: the state dict has state of a parameter {number}, which is in none of its groups"
                )
            state[param[number]] = {key: self._restored(key, value, param[number]) for key, value in kept.items()}
        updated = [
            {**own, **deepcopy({k: v for k, v in g.items() if k != "params"})}
            for own, g in zip(self.param_groups, groups, strict=True)
        ]
        for group in updated:
            self.check(group)
        self.param_groups = updated
        self.state = state

    def _restored(self, key: str, value: Any, param: Tensor) -> Any:
        """A copy of a piece of state: tensors like the parameter, counts as numbers."""
        if not isinstance(value, Tensor):
            return deepcopy(value)
        if key == "step":
            return int(value.item())
        if value.shape != param.shape:
            raise ValueError(
                f"{type(self).__name__}: {key} in the state dict has shape {value.shape}, its parameter {param.shape}"
            )
        return value.detach().to(dtype=param.dtype, device=param.device, copy=True)

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {value}" for key, value in sorted(group.items()) if key != "params"]
        return "\n".join([f"{type(self).__name__} (", *lines, ")"])


def nonnegative(name: str, **values: Any) -> None:
    """Raise ValueError for a number below 0, or none at all."""
    for what, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name}: expected {what} >= 0, got {value}")
