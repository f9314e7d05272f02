"""Anomaly detection: which line of forward made the node whose backward fails, or gives nan.

While it is on, every node notes where it was made, and every gradient is looked at; both are slow.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

import numpy as np

from . import watch
from .tensor import Node, Output, Tensor

engine: Any = import_module(".engine", __package__)
_on = False
_checks = True


def _note(node: Node) -> None:
    node.trace = traceback.extract_stack()[:-3]  # without this function and what called it to make the node


def _set(on: bool, check_nan: bool) -> None:
    global _on, _checks
    if on and not _on:
        watch.everywhere.append(_note)
        watch.count(1)
        engine.walks = _careful
    elif _on and not on:
        engine.walks = None
        watch.count(-1)
        watch.everywhere.remove(_note)
    _on, _checks = on, check_nan


def _has_nan(gradient: Any) -> bool:
    array = gradient.array if isinstance(gradient, Tensor) else gradient
    host = array if isinstance(array, np.ndarray) else array.numpy()
    return bool(np.isnan(host.astype(np.float32) if host.dtype.itemsize < 4 else host).any())


def _careful(usual: Any) -> Any:
    """The walk that looks at every gradient on its way."""

    class Careful(usual):  # type: ignore[misc]
        visiting: Node | None = None

        def visit(self, node: Node, gradients: Sequence[Any]) -> None:
            self.visiting = node
            try:
                super().visit(node, gradients)
            except Exception:
                warnings.warn(_story(node), UserWarning, stacklevel=2)
                raise
            finally:
                self.visiting = None

        def arrive(self, edge: Any, gradient: Any) -> None:
            node = self.visiting
            if node is not None and _checks and _has_nan(gradient):
                raise RuntimeError(
                    f"Function '{node.name()}' returned nan values in its {_place(node, edge)}th output."
                )
            super().arrive(edge, gradient)

    return Careful


def _place(node: Node, edge: Any) -> int:
    flat = [e for given in node.edges for e in (given if type(given) is list else [given])]
    for i, e in enumerate(flat):
        same = e is edge or (
            type(e) is Output and type(edge) is Output and (e.node, e.index) == (edge.node, edge.index)
        )
        if same:
            return i
    return 0


def _story(node: Node) -> str:
    trace = getattr(node, "trace", None)
    if trace is None:
        return (
            f"Error detected in {node.name()}. No forward pass information available: detect anomalies during the "
            "forward pass as well."
        )
    lines = "".join(traceback.format_list(trace))
    return f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{lines}"


class detect_anomaly:
    """Inside: a backward that fails or gives nan warns with the traceback of the forward call that it belongs to.

    With ``check_nan`` (the default) nan among the gradients is an error, RuntimeError, that names node and output.
    It must be on in forward and in backward.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._wanted = (True, bool(check_nan))
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> Self:
        self._before.append((_on, _checks))
        _set(*self._wanted)
        return self

    def __exit__(self, *exception: object) -> None:
        _set(*self._before.pop())


class set_detect_anomaly:
    """Turn anomaly detection on or off, from now on or, with ``with``, inside the block only."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._previous = (_on, _checks)
        _set(bool(mode), bool(check_nan))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        _set(*self._previous)


def is_anomaly_enabled() -> bool:
    """Whether anomalies are being looked for."""
    return _on


def is_anomaly_check_nan_enabled() -> bool:
    """Whether nan counts as one."""
    return _checks
