"""GradScaler: losses scaled up so that small gradients survive half precision, and steps that overflow left out.

The scale, the count towards its growth and the finding of overflow live on the device.  For optimizers whose step looks
at the finding there itself (those of ``optim``) nothing is read back: the host never waits.  For others, and on the CPU,
the finding is read before the step, and a step with an overflow is not called at all.

Source: Micikevicius et al. (2018), "Mixed precision training", section 3.2.  Names and semantics are PyTorch's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..framework import device as devices
from ..framework import dtypes
from ..framework.capture import recording
from ..framework.fill import full
from ..framework.op import OPS
from .mode import no_grad
from .tensor import Tensor, apply, wrap

_F32 = dtypes.float32.numpy
_READY, _UNSCALED, _STEPPED = "ready", "unscaled", "stepped"


class GradScaler:
    """Scales losses, unscales gradients, leaves out steps with infinite or nan gradients, and adapts the scale.

    The scale begins at ``init_scale``, is multiplied by ``backoff_factor`` after a step that overflowed, and by
    ``growth_factor`` after ``growth_interval`` steps in a row that did not.  With ``enabled=False`` it does nothing at
    all: ``step`` is the optimizer's.  Raises ValueError for factors and intervals that make no sense.

    >>> from trigrad import nn, optim, tensor
    >>> w = nn.Parameter(tensor([1.0]))
    >>> optimizer, scaler = optim.SGD([w], lr=0.5), GradScaler("cpu", init_scale=8.0)
    >>> scaler.scale((w * 3).sum()).backward(); w.grad.item()
    24.0
    >>> scaler.step(optimizer); scaler.update(); w.tolist()
    [-0.5]
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = devices.device(device).type
        if enabled and self._device == "cuda":
            from ..framework.cuda import is_available

            if not is_available():
                warnings.warn("GradScaler: there is no cuda device, so it does nothing", stacklevel=2)
                enabled = False
        self._enabled = bool(enabled)
        if self._enabled:
            if growth_factor <= 1:
                raise ValueError(f"GradScaler: expected growth_factor > 1, got {growth_factor}")
            if backoff_factor >= 1:
                raise ValueError(f"GradScaler: expected backoff_factor < 1, got {backoff_factor}")
        self._init_scale = float(init_scale)
        self._growth_factor = float(growth_factor)
        self._backoff_factor = float(backoff_factor)
        self._growth_interval = int(growth_interval)
        self._init_tracker = 0
        self._scale: Tensor | None = None  # made where the first loss is
        self._tracker: Tensor | None = None
        self._optimizers: dict[int, _Optimizer] = {}

    # -- a step, in order -----------------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A tensor times the scale; a list or tuple of tensors likewise.  Raises ValueError for anything else."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale_beside(outputs)
        if isinstance(outputs, Iterable) and not isinstance(outputs, (str, Mapping)):
            scaled = [self.scale(o) for o in outputs]
            return scaled if isinstance(outputs, list) else tuple(scaled)
        raise ValueError(f"GradScaler.scale: expected tensors, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, in place, once per step: before clipping, say.

        Raises RuntimeError where that has been done since the last ``update``, or after ``step``; ValueError for float16
        gradients.
        """
        if not self._enabled:
            return
        held = self._of(optimizer)
        if held.stage == _UNSCALED:
            raise RuntimeError("GradScaler.unscale_: it was called for this optimizer since the last update()")
        if held.stage == _STEPPED:
            raise RuntimeError("GradScaler.unscale_: it was called after step()")
        self._unscale(optimizer, held, allow_half=False)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscale the gradients, if that is not done, and ``optimizer.step(*args, **kwargs)`` unless they overflowed.

        Returns what that returns, None for a step that was not called.  Raises RuntimeError for a second call since the
        last ``update``, for a closure, and where no gradient was there.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("GradScaler.step: a closure cannot be used, its losses would not be scaled")
        held = self._of(optimizer)
        if held.stage == _STEPPED:
            raise RuntimeError("GradScaler.step: it was called for this optimizer since the last update()")
        if held.stage == _READY:
            self._unscale(optimizer, held, allow_half=True)
        if not held.found:
            raise RuntimeError("GradScaler.step: no parameter of this optimizer has a gradient")
        held.stage = _STEPPED
        (where, found), *others = held.found.items()
        if where.type != "cpu" and not others and getattr(optimizer, "takes_found_inf", False):
            optimizer.found_inf = found
            try:
                return optimizer.step(*args, **kwargs)
            finally:
                optimizer.found_inf = None
        if any(f.item() for f in held.found.values()):
            return None
        return optimizer.step(*args, **kwargs)

    @no_grad()
    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale to what the steps since the last ``update`` found, or set it to ``new_scale``.

        Raises RuntimeError where no step was made, or nothing scaled, since then.
        """
        if not self._enabled:
            return
        scale, tracker = self._made("update")
        if new_scale is not None:
            if isinstance(new_scale, Tensor):
                if new_scale.array.size != 1 or new_scale.requires_grad or new_scale.dtype is not dtypes.float32:
                    raise ValueError(
                        "GradScaler.update: expected new_scale to be a number or a float32 tensor of one element "
                        "that requires no gradient"
                    )
                scale.copy_(new_scale.reshape(()).to(scale.device))
            else:
                self._scale = _number(float(new_scale), _F32, scale)
        else:
            found = [f for held in self._optimizers.values() for f in held.found.values()]
            if not found:
                raise RuntimeError("GradScaler.update: no step was made since the last update()")
            total = found[0].to(scale.device)
            for f in found[1:]:
                total = total + f.to(scale.device)
            apply(
                OPS["amp_update_scale"],
                scale,
                tracker,
                total,
                growth_factor=self._growth_factor,
                backoff_factor=self._backoff_factor,
                growth_interval=self._growth_interval,
            )
        self._optimizers = {}

    # -- parts of it ----------------------------------------------------------------------------------------------

    def _scale_beside(self, tensor: Tensor) -> Tensor:
        if self._scale is None:
            backend = None if isinstance(tensor.array, np.ndarray) else tensor.array.backend
            self._scale = wrap(full((), self._init_scale, _F32, backend))
            self._tracker = wrap(full((), self._init_tracker, np.dtype(np.int32), backend))
        return self._scale.to(device=tensor.device)

    def _made(self, name: str) -> tuple[Tensor, Tensor]:
        if self._scale is None or self._tracker is None:
            raise RuntimeError(f"GradScaler.{name}: nothing was scaled yet, so there is no scale")
        return self._scale, self._tracker

    def _of(self, optimizer: Any) -> _Optimizer:
        held = self._optimizers.get(id(optimizer))
        if held is None:
            held = self._optimizers[id(optimizer)] = _Optimizer(optimizer)
        noted = recording()
        if noted is not None:  # a captured step that is refused has not happened
            noted.undo(held.back_to(held.stage, dict(held.found)))
        return held

    @no_grad()
    def _unscale(self, optimizer: Any, held: _Optimizer, allow_half: bool) -> None:
        """Multiply the gradients by 1 / scale and note, for each device, whether one was not finite."""
        scale, _ = self._made("unscale_")
        grads: dict[Any, dict[int, Tensor]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if not allow_half and p.grad.dtype is dtypes.float16:
                        raise ValueError(
                            "GradScaler.unscale_: float16 gradients may not be unscaled: they would underflow"
                        )
                    grads.setdefault(p.grad.device, {})[id(p.grad)] = p.grad  # one that is shared is unscaled once
        for where, shared in grads.items():
            many = tuple(shared.values())
            found = _number(0.0, _F32, many[0])
            apply(OPS["amp_unscale"], many, found, scale.to(device=where))
            held.found[where] = found
        held.stage = _UNSCALED

    # -- what it is -----------------------------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale, 1.0 where disabled; waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Change it."""
        self._growth_factor = float(new_factor)

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Change it."""
        self._backoff_factor = float(new_factor)

    def get_growth_interval(self) -> int:
        """How many steps without overflow make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Change it."""
        self._growth_interval = int(new_interval)

    def _get_growth_tracker(self) -> int:
        return self._init_tracker if self._tracker is None else int(self._tracker.item())

    def state_dict(self) -> dict[str, Any]:
        """All of its numbers, read from the device; an empty dict where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the numbers of ``state_dict()``.  Raises RuntimeError for an empty one, from a disabled scaler."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("GradScaler.load_state_dict: the state dict is empty; was it a disabled scaler's?")
        self._init_scale = float(state_dict["scale"])
        self._growth_factor = float(state_dict["growth_factor"])
        self._backoff_factor = float(state_dict["backoff_factor"])
        self._growth_interval = int(state_dict["growth_interval"])
        self._init_tracker = int(state_dict["_growth_tracker"])
        if self._scale is not None and self._tracker is not None:
            self._scale = _number(self._init_scale, _F32, self._scale)
            self._tracker = _number(self._init_tracker, np.dtype(np.int32), self._tracker)


class cuda_grad_scaler(GradScaler):
    """``GradScaler("cuda", ...)``, under PyTorch's older name ``cuda.amp.GradScaler``."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


class _Optimizer:
    """Where one optimizer is between two updates, and what was found in its gradients on each device."""

    __slots__ = ("found", "optimizer", "stage")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer  # kept, so that its id stays its own
        self.stage = _READY
        self.found: dict[Any, Tensor] = {}

    def back_to(self, stage: Any, found: dict[Any, Tensor]) -> Callable[[], None]:
        """A function that makes it what it was."""

        def undo() -> None:
            self.stage, self.found = stage, found

        return undo


def _number(value: float, dtype: np.dtype, beside: Tensor) -> Tensor:
    """A 0-d tensor on the device of another."""
    backend = None if isinstance(beside.array, np.ndarray) else beside.array.backend
    return wrap(full((), value, dtype, backend))
