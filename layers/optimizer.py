"""Optimizer: what SGD, Adam and others share: groups of parameters with options, state per parameter, state dicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from ..autograd import Tensor, enable_grad, no_grad
from ..autograd.tensor import wrap
from ..framework import capture
from ..framework.array import DeviceArray, empty_like
from ..framework.fill import fill
from ..framework.group import dense_order
from .module import zero_gradients

# what a group may carry beside its options: its name, and what schedules note there
_NOTES = ("name", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr")

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


def zeros_beside(param: Tensor) -> Tensor:
    """Zeros of a parameter's shape, dtype and device, in memory in the order in which the parameter is."""
    array = param.array
    if isinstance(array, np.ndarray):
        return wrap(np.zeros_like(array))
    made = empty_like(array)
    fill(made, 0)
    if dense_order(array.shape, array.strides) is not None:
        made.strides = array.strides
    return wrap(made)


class Optimizer:
    """Base of all optimizers: a subclass gives the options' defaults and defines ``update``.

    ``param_groups`` holds one dict of options per group, its parameters under "params"; ``state`` what is remembered
    of each parameter, from its first step on.
    """

    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    state: defaultdict[Tensor, dict[str, Any]]
    tells: tuple[
        str, ...
    ] = ()  # options that reach the row only through ``told``, so that a captured step may change them
    _has_told = False
    _has_stepped = False  # whether ``step`` was ever called, as schedules like to know
    counts: tuple[str, ...] = ("step",)  # what of a parameter's state is a number
    takes_found_inf = False  # whether ``update`` minds the two below; if not, a GradScaler decides before the step
    grad_scale: Tensor | None = None  # divides the gradients; one float32 element on the parameters' device
    found_inf: Tensor | None = None  # likewise: where it is not 0, the step is not made

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

    def fixed(self, group: dict[str, Any]) -> Any:
        """What of a group's options must not change while a captured step is repeated: all that ``told`` does not tell."""
        return {key: value for key, value in group.items() if key != "params" and key not in _NOTES}

    # -- stepping -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; returns what ``closure``, called first, computed."""
        self._has_stepped = True
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        note, recording = capture.thread.leaf, capture.thread.recording
        if note is not None:
            for p in self._params():
                note(p)
        if recording is None or recording.rehearses:
            self._move()
        else:
            self._move_captured(recording)
        return loss

    def _move(self) -> None:
        with no_grad():
            for group in self.param_groups:
                params = [p for p in group["params"] if p.grad is not None]
                if params:
                    self.update(group, params)

    def _move_captured(self, recording: Any) -> None:
        """The same while a step is captured: what later steps could do otherwise must be known to the graph."""
        state = self.state
        before = {p: dict(kept) for p, kept in state.items()}

        def undo() -> None:
            for p in list(state):
                state[p].clear()
                state[p].update(before.get(p, {}))
                if p not in before:
                    del state[p]

        recording.undo(undo)
        self._has_told = False
        self._move()
        for p, kept in state.items():
            for key, value in kept.items():
                was = before.get(p, {}).get(key)
                if isinstance(value, Tensor):
                    if value is not was:
                        recording.postpone()
                elif value != was and not self._has_told:
                    name = type(self).__name__
                    raise recording.refuse(
                        f"{name} changes {key!r} of a parameter's state on the host, outside of told()"
                    )
        fixed = self.fixed if self._has_told else partial(Optimizer.fixed, self)
        recording.stays(lambda: (self.state is state, [(len(g["params"]), fixed(g)) for g in self.param_groups]))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or fill it with zeros."""
        zero_gradients(self._params(), set_to_none)

    def told(self, numbers: Callable[[], tuple[float, ...]]) -> tuple[tuple[Tensor, ...], tuple[float, ...] | None]:
        """The numbers of a step as its row takes them: (dials, numbers), of which one says them all.

        ``numbers`` is called once for every step that is made, and counts the step where steps are counted.
        """
        given = capture.numbers(numbers)
        if isinstance(given, tuple):
            return (), given
        self._has_told = True
        return (wrap(given),), None

    def remembered(self, param: Tensor, name: str, make: Callable[[Tensor], Tensor] = zeros_beside) -> Tensor:
        """A tensor of the parameter's state, made on first need; it follows where the parameter has been moved to."""
        state = self.state[param]
        found: Tensor | None = state.get(name)
        if found is None:
            found = state[name] = make(param)
        elif not _together(found, param):
            found = state[name] = found.to(param)
        return found

    def all_remembered(self, params: list[Tensor], name: str) -> tuple[Tensor, ...]:
        """The same for several parameters: only what is missing, or has been left behind, costs more than a look."""
        state = self.state
        found = [state[p].get(name) for p in params]
        return tuple(
            [
                t if t is not None and _together(t, p) else self.remembered(p, name)
                for t, p in zip(found, params, strict=True)
            ]
        )

    def abreast(self, params: list[Tensor]) -> list[list[Tensor]]:
        """Parameters that have made equally many steps together; one that had no gradient now and then falls behind."""
        together: dict[Any, list[Tensor]] = {}
        for p in params:
            together.setdefault(tuple([self.state[p].get(key) for key in self.counts]), []).append(p)
        return list(together.values())

    def counted(
        self, moving: list[Tensor], numbers: Callable[[int, dict[str, Any]], tuple[float, ...]]
    ) -> tuple[tuple[Tensor, ...], tuple[float, ...] | None]:
        """``told`` for parameters that are ``abreast``: ``numbers(step, counts)`` counts on and says the numbers.

        ``counts`` is a dict of what ``counts`` names in their state; what is put there is theirs afterwards.
        """
        states = [self.state[p] for p in moving]

        def count() -> tuple[float, ...]:
            counts = {key: states[0][key] for key in self.counts if key in states[0]}
            counts["step"] = step = counts.get("step", 0) + 1
            told = numbers(step, counts)
            for state in states:
                state.update(counts)
            return told

        return self.told(count)

    def stops(self) -> bool:
        """Whether a GradScaler's ``found_inf``, where it lies on the CPU, forbids this step."""
        return self.found_inf is not None and self.found_inf.device.type == "cpu" and bool(self.found_inf.item())

    def scaling(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """``grad_scale`` and ``found_inf`` as rows take them: one tensor each, or none."""
        found_inf = () if self.found_inf is None or self.found_inf.device.type == "cpu" else (self.found_inf,)
        return () if self.grad_scale is None else (self.grad_scale,), found_inf

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
        if key in self.counts:
            return int(value.item()) if key == "step" else float(value.item())
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


def _together(t: Tensor, param: Tensor) -> bool:
    """Whether a tensor has its parameter's dtype and device."""
    a, b = t.array, param.array
    return a.dtype == b.dtype and (
        a.backend is b.backend if isinstance(a, DeviceArray) and isinstance(b, DeviceArray) else type(a) is type(b)
    )


def nonnegative(name: str, **values: Any) -> None:
    """Raise ValueError for a number below 0, or none at all."""
    for what, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name}: expected {what} >= 0, got {value}")
