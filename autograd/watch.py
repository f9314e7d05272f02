"""Looking at nodes as they are made: ``watching`` tells a function of each one that this thread makes.

Anomaly detection notes where a node was made, checkpointing takes away what it keeps.  The gate asks one name while
nobody watches.  What may stand in the place of a kept array is here too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .tensor import Node, Tensor

gate: Any = import_module(".tensor", __package__)  # the file; the package has a function of this name
_lock = threading.Lock()
_watchers = 0  # in all threads


class _Thread(threading.local):
    def __init__(self) -> None:
        self.told: list[Callable[[Node], None]] = []


_thread = _Thread()
everywhere: list[Callable[[Node], None]] = []  # told of the nodes of all threads


def count(change: int) -> None:
    """Say that so many more ask to be told."""
    global _watchers
    with _lock:
        _watchers += change
        gate.born = _tell if _watchers else None


def _tell(node: Node) -> None:
    for function in (*_thread.told, *everywhere):
        function(node)


@contextmanager
def watching(function: Callable[[Node], None]) -> Iterator[None]:
    """Tell ``function`` of every node that this thread makes inside."""
    _thread.told.append(function)
    count(1)
    try:
        yield
    finally:
        count(-1)
        _thread.told.remove(function)


class Dropped:
    """Stands for what a node kept, until ``restore`` brings it back."""

    __slots__ = ("number", "source")

    def __init__(self, source: Any, number: int) -> None:
        self.source = source
        self.number = number

    def restore(self, node: Node) -> None:
        """Give the node what it kept again."""
        self.source.restore(node, self.number)


class Packed:
    """What a hook made of a kept array: see ``saved_tensors_hooks``."""

    __slots__ = ("held", "unpack")

    def __init__(self, held: Any, unpack: Callable[[Any], Any]) -> None:
        self.held = held
        self.unpack = unpack

    def open(self) -> Tensor:
        """The tensor again."""
        out = self.unpack(self.held)
        if not isinstance(out, Tensor):
            raise TypeError(f"saved_tensors_hooks: expected unpack_hook to give a Tensor, got {type(out).__name__}")
        return out
