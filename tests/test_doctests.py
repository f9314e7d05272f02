"""Every example in a docstring runs, and everything public has a docstring.

Modules are taken by name, never by path: a room's file is importable only as part of ``trigrad``.
"""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pkgutil import iter_modules
from types import ModuleType

import pytest

import trigrad


def names(package: ModuleType) -> Iterator[str]:
    """The package and every module below it, by name."""
    yield package.__name__
    for found in iter_modules(package.__path__, f"{package.__name__}."):
        if found.name == "trigrad.trigrad":  # in a checkout the door's own folder stands beside the rooms
            continue
        if found.ispkg:
            yield from names(importlib.import_module(found.name))
        else:
            yield found.name


NAMES = list(names(trigrad))


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report: list[str] = []
    for example in doctest.DocTestFinder().find(module, name):
        runner.run(example, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in NAMES
        if name.split(".")[1:2]
        not in (
            ["framework"],
            ["autograd"],
            ["kernels"],
            ["layers"],
            ["data"],
        )
    ],
)
def test_public_names_have_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    bare = [
        public
        for public, value in vars(module).items()
        if not public.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("trigrad")
        and not value.__doc__
    ]
    assert bare == []
