"""Whether operations are being recorded: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``.

Each thread has its own setting, on by default.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import wraps
from typing import Any, Self, TypeVar

import numpy as np

from ..framework.dtypes import dtype

F = TypeVar("F", bound=Callable[..., Any])


class _Mode(threading.local):
    recording = True
    inference = False  # inside inference_mode: nothing can be recorded, and what is made cannot be later
    casting: Mapping[str, dtype] = {}  # device type: dtype of products, inside autocast; replaced, never changed
    cast_cache: dict[Any, Any] | None = None  # parameters cast there
    cast_depth = 0

    def __init__(self) -> None:
        # ``quiet(f, *args)`` runs NumPy code in which dividing by zero or overflowing is no event, as in PyTorch,
        # and leaves the settings of the user's own NumPy alone.  Ten times cheaper than entering np.errstate.
        context = copy_context()
        context.run(np.seterr, all="ignore")
        self.quiet = context.run


mode = _Mode()


class _Recording:
    """A scope, usable with ``with`` (also nested and again) and as a decorator, in which recording is on or off."""

    on: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> Self:
        self._before.append(_set(self.on))
        return self

    def __exit__(self, *exception: object) -> None:
        mode.recording = self._before.pop()

    def __call__(self, function: F) -> F:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            before = _set(self.on)
            try:
                return function(*args, **kwargs)
            finally:
                mode.recording = before

        return inside  # type: ignore[return-value]


class _Plain(_Recording):
    def __new__(cls, function: Any = None) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls()(function)  # ``@no_grad`` without parentheses


class no_grad(_Plain):
    """Nothing is recorded inside: results ask for no gradient and keep nothing."""

    on = False


class enable_grad(_Plain):
    """Operations are recorded inside, also within ``no_grad``."""

    on = True


class set_grad_enabled(_Recording):
    """Turn recording on or off, from now on or, with ``with``, inside the block only."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.on = bool(mode)
        self._previous = _set(self.on)

    def __enter__(self) -> Self:
        self._before.append(self._previous)
        _set(self.on)
        return self

    def __call__(self, function: F) -> F:
        _set(self._previous)
        return super().__call__(function)


def _set(on: bool) -> bool:
    before, mode.recording = mode.recording, on and not mode.inference
    return before


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return mode.recording
