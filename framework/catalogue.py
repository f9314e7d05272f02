"""The op table in words: ``python -m trigrad ops``.

A row's formula is read from the docstring of its file, where it stands as ``out = ...`` and ``grad_input = ...``; in
the file of a family each formula follows the name of its row.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

import numpy as np

from .op import OPS, Op

KINDS = {
    "": "as given",
    "arithmetic": "promoted",
    "float": "promoted, to floating",
    "comparison": "promoted, gives bool",
}


@dataclass(frozen=True)
class Entry:
    """What a row says about itself, as lines of text."""

    name: str
    formula: tuple[str, ...]
    gradients: tuple[str, ...]  # one line for each group of inputs: "input by mul, keeps other"
    dtypes: tuple[str, ...]  # of its samples
    promotion: str
    views: bool
    writes: tuple[str, ...]


def describe(op: Op) -> Entry:
    """The row in words."""
    gradients = [f"{', '.join(g.of)} by {g.op}, keeps {', '.join(g.keeps) or 'nothing'}" for g in op.grads]
    if op.zero:
        gradients.append(f"{', '.join(op.zero)}: zero")
    return Entry(op.name, formula(op), tuple(gradients), dtypes(op), KINDS[op.promotion], op.view, op.writes)


def dtypes(op: Op) -> tuple[str, ...]:
    """Names of the dtypes that the row's own samples are tested in; none for a row without samples."""
    found: dict[str, None] = {}
    for sample in op.samples(np.random.default_rng(0)) if op.samples is not None else ():
        if sample.raises is None:
            inputs = [y for x in sample.inputs for y in (x if isinstance(x, tuple) else (x,))]
            own = [y.dtype.name for y in inputs if isinstance(y, np.ndarray)]
            found.update(dict.fromkeys(sample.dtypes or own))
    return tuple(found)


def formula(op: Op) -> tuple[str, ...]:
    """The lines of its file's docstring that define the row; none where the file does not spell them out.

    A row that serves as a gradient in its own file has the lines ``grad_...`` of the inputs it is the gradient of.
    """
    module = inspect.getmodule(op.kernel.numpy)
    family = [row for row in OPS.values() if inspect.getmodule(row.kernel.numpy) is module]
    stated = _formulas(inspect.getdoc(module) or "", [row.name for row in family])
    forward = [row for row in family if row.samples is not None and row is not op]
    wanted = {(row.name, f"grad_{name}") for row in forward for g in row.grads if g.op == op.name for name in g.of}
    if op.function is not None or (op.samples is not None and not wanted):
        wanted = {
            (op.name, name) for name in (*op.writes, op.name, "out", "out_i", "out_k", ", ".join(op.outputs) or "out")
        }
    own = [line for row, left, line in stated if (row, left) in wanted]
    shared = [line for row, left, line in stated if row == "" and any(left == name for _, name in wanted)]
    everything = [line for _, left, line in stated if left] if op.writes else []  # a step that is a list of assignments
    return tuple(dict.fromkeys(own or shared or everything))


def _formulas(text: str, names: list[str]) -> list[tuple[str, str, str]]:
    """The row whose formula it is (empty where it is every row's), what it defines, and the formula itself."""
    choice = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    label = re.compile(rf"(?:^|(?<=\s\s))({choice})(?::\s+|\s+)(?=out|=)")
    found: list[tuple[str, str, str]] = []
    section, depth = "", -1  # the row whose paragraph it is; how far the last formula is indented, -1 if there is none
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        parts = label.split(line.strip())
        if not parts[0] and len(parts) == 1:
            section, depth = "", -1
        elif parts[0].startswith("=") or (parts[0] and not _left(parts[0]) and 0 <= depth < indent):
            row, left, before = found[-1]  # a second case of the formula above, or the rest of it
            found[-1] = (row, left, f"{before} {_tidy(parts[0])}")
        elif parts[0]:
            depth = indent if _left(parts[0]) else -1
            found.append((section, _left(parts[0]), _tidy(parts[0])))
        for name, formula in zip(parts[1::2], parts[2::2], strict=True):
            section, depth = name, indent
            whole = _tidy(f"{name} {formula}" if formula.startswith("=") else formula)
            found.append((name, _left(whole), whole))
    return found


def _left(line: str) -> str:
    """What a formula defines: ``out`` for ``out[i, j] = ...``; nothing for other lines."""
    left, equals, _ = line.partition(" = ")
    return re.split(r"[\[.]", left)[0].strip() if equals else ""


def _tidy(line: str) -> str:
    return re.sub(r"\s{2,}", "  ", line.strip()).replace("  = ", " = ")
