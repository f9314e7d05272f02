"""Views are rows with one function for all devices: what NumPy does to an array, it does to a description of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .array import DeviceArray


def viewing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that views a NumPy array (indexes, transposes, never copies) do so to any device's array."""

    @wraps(function)
    def on_any_device(input: Any, **settings: Any) -> Any:
        if isinstance(input, DeviceArray):
            return input.viewed(lambda a: function(a, **settings))
        return function(input, **settings)

    return on_any_device
