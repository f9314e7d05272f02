"""Runs tests marked ``nodriver`` in a process of their own, whose CUDA driver is the one in tests/nodriver."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trigrad

HOME = Path(__file__).parents[1] / "nodriver"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nodriver(**environment): runs in a process with the no-op CUDA driver")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the no-op driver; inside a test marked ``nodriver`` it is the driver itself."""
    spec = importlib.util.spec_from_file_location("nodriver", HOME / "nodriver.py")
    assert spec is not None and spec.loader is not None
    nodriver = sys.modules["nodriver"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nodriver)
    reason = nodriver.why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("nodriver")
    nodriver.build(folder)
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    mark = pyfuncitem.get_closest_marker("nodriver")
    if mark is None:
        return None
    folder = pyfuncitem.funcargs["driver"]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {
        "LD_LIBRARY_PATH": str(folder),
        "TRITON_CACHE_DIR": str(folder / "triton"),
        "PYTHONPATH": os.pathsep.join([str(Path(trigrad.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    } | mark.kwargs
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HOME / "nodriver.py"), str(pyfuncitem.path), pyfuncitem.originalname],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode or done.stderr:
        pytest.fail(f"in its own process (exit status {done.returncode}):\n{done.stdout}{done.stderr}", pytrace=False)
    return True
