"""What all tests share: the flag for the wide matrix, the marks that depend on the machine, a seeded generator."""

from importlib.util import find_spec

import numpy as np
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the wide matrix of cases (marked 'full') as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    full = pytest.mark.skip(reason="the wide matrix: give --full")
    peer = pytest.mark.skip(reason="torch is not installed")
    for item in items:
        if "full" in item.keywords and not config.getoption("--full"):
            item.add_marker(full)
        if "peer" in item.keywords and find_spec("torch") is None:
            item.add_marker(peer)


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's generator, in the same state at the beginning of each test."""
    return np.random.default_rng(0)


def pytest_terminal_summary(terminalreporter):
    """Say how many rows, samples, comparisons and kernels were checked."""
    counts: dict[str, set[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            counts.setdefault(name, set()).add(str(value))
    if counts:
        terminalreporter.write_sep("-", "checked")
        for name in sorted(counts):
            terminalreporter.write_line(f"{len(counts[name]):7d} {name}")
