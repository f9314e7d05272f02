"""inference_mode: as ``no_grad``, and what is made inside can never take part in a recorded operation that keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, Self, TypeVar

from .mode import mode
from .tensor import Tensor, Unrecorded

F = TypeVar("F", bound=Callable[..., Any])

gate: Any = import_module(".tensor", __package__)  # the file; the package has a function of this name
_lock = threading.Lock()
_regions = 0  # in all threads; the gate looks no further while there is none


def _count(change: int) -> None:
    global _regions
    with _lock:
        _regions += change
        gate.marks = _mark if _regions else None


def _mark(t: Tensor) -> None:
    if mode.inference:
        t._storage = Unrecorded.under(t.array)


class inference_mode:
    """A region, as a context manager or a decorator, in which nothing is recorded, not even inside ``enable_grad``.

    Tensors made inside say so by ``is_inference()``.  Outside they can be read and computed with, but RuntimeError is
    raised where one would be kept for a gradient, changed in place or told to require a gradient; a ``clone()`` of it
    can be.  ``inference_mode(False)`` is a region like any other code, inside one that is not.

    >>> from trigrad.autograd import tensor
    >>> w = tensor([2.0]).requires_grad_()
    >>> with inference_mode():
    ...     y = w * 3
    >>> y.requires_grad, y.is_inference()
    (False, True)
    """

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return cls()(mode)  # ``@inference_mode`` without parentheses
        return super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.on = bool(mode)
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> Self:
        self._before.append((mode.inference, mode.recording))
        _count(1)
        mode.inference, mode.recording = self.on, not self.on
        return self

    def __exit__(self, *exception: object) -> None:
        mode.inference, mode.recording = self._before.pop()
        _count(-1)

    def __call__(self, function: F) -> F:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with inference_mode(self.on):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in inference mode."""
    return mode.inference


def is_inference(input: Tensor) -> bool:
    """Whether a tensor was made in inference mode."""
    return input.is_inference()
