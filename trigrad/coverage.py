"""Which of PyTorch's public names there are: ``python -m trigrad ops --coverage``.

The list, ``torch_names.json``, comes from ``benchmarks/torch_names.py``, which says by which rules names are left out.
A name counts as there where it can be looked up; nothing is said about its arguments.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Category", "examine"]

# where the names of each category are looked up
PLACES = {
    "functions": ("trigrad",),
    "Tensor methods": ("trigrad", "Tensor"),
    "functional": ("trigrad.nn.functional",),
    "modules": ("trigrad.nn",),
    "optimizers": ("trigrad.optim",),
    "schedulers": ("trigrad.optim.lr_scheduler",),
    "data": ("trigrad.utils.data",),
}


class Category(NamedTuple):
    """The names of one kind: those that there are, those that there are not, and how many each rule leaves out."""

    name: str
    there: list[str]
    absent: list[str]
    left_out: dict[str, int]


def examine() -> tuple[str, list[Category]]:
    """The version of PyTorch whose names are listed, and what is here of each category."""
    listed = json.loads(Path(__file__).with_name("torch_names.json").read_text())
    return listed["torch"], [
        _category(name, names, listed["left out"][name]) for name, names in listed["names"].items()
    ]


def _category(name: str, names: list[str], left_out: dict[str, int]) -> Category:
    module, *inside = PLACES[name]
    place: Any = import_module(module)
    for attribute in inside:
        place = getattr(place, attribute)
    there = [n for n in names if hasattr(place, n)]
    return Category(name, there, [n for n in names if n not in set(there)], left_out)
