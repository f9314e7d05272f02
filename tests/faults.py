"""Deliberate faults, applied one at a time to a copy of the project, and which test catches each:  python tests/faults.py

A fault is one piece of text in one file and what is put in its place.  The tests named beside it are run on the copy
until the first fails.  Exits with 1 if a fault survives, and with 2 if a fault's text is no longer in its file or
its tests do not run; the tests pass where no fault is, which is for the test suite itself to show.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Fault(NamedTuple):
    """``old`` in ``file`` becomes ``new``; ``tests`` are pytest's arguments that should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def rows(names: str) -> tuple[str, ...]:
    return ("tests/test_ops.py", "-k", f"({names}) and not compile")


FAULTS = [
    Fault(
        "a sign in a Triton backward kernel",
        "kernels/tanh.py",
        "def _backward(grad, y):\n    return grad * (1 - y * y)",
        "def _backward(grad, y):\n    return grad * (1 + y * y)",
        rows("tanh"),
    ),
    Fault(
        "an off-by-one mask in the elementwise kernel",
        "framework/elementwise.py",
        "        mask = number < n\n",
        "        mask = number < n - 1\n",
        rows("mul"),
    ),
    Fault(
        "an off-by-one mask in the copy kernel",
        "framework/launch.py",
        "out_ptr, in_ptr, first, number, number < n, shape",
        "out_ptr, in_ptr, first, number, number < n - 1, shape",
        rows("contiguous or to-"),
    ),
    Fault(
        "a wrong keeps",
        "kernels/mul.py",
        'Grad(of=("input",), keeps=("other",), op="mul")',
        'Grad(of=("input",), keeps=("input",), op="mul")',
        rows("mul"),
    ),
    Fault(
        "a lost accumulation in the engine",
        "autograd/engine.py",
        'arriving[edge] = self.run(OPS["add"], (before, gradient), {})',
        "arriving[edge] = gradient",
        ("tests/autograd/test_engine.py",),
    ),
    Fault(
        "un-broadcasting left out",
        "autograd/engine.py",
        "return result if result.shape == shape else",
        "return result if result.shape != () else",
        ("tests/autograd/test_engine.py",),
    ),
    Fault(
        "swapped strides in the convolution kernel",
        "framework/convolve_kernels.py",
        "seen = source + (down * IN[2] + along * IN[3])",
        "seen = source + (down * IN[3] + along * IN[2])",
        rows("conv2d"),
    ),
    Fault(
        "a mean that forgets to divide",
        "kernels/mean.py",
        'factor=1 / n if n else float("inf"))',
        "factor=1.0)",
        rows("mean"),
    ),
    Fault(
        "the kink of leaky_relu on the wrong side, in NumPy",
        "kernels/leaky_relu.py",
        "factor = np.multiply(input > 0,",
        "factor = np.multiply(input >= 0,",
        rows("leaky_relu"),
    ),
    Fault(
        "the kink of leaky_relu on the wrong side, in Triton",
        "kernels/leaky_relu.py",
        "def _backward(grad, x, slope):\n    return tl.where(x > 0,",
        "def _backward(grad, x, slope):\n    return tl.where(x >= 0,",
        rows("leaky_relu"),
    ),
    Fault(
        "a biased variance doubly divided in batch norm",
        "kernels/batch_norm.py",
        "var = (rows.sums(x * x) / rows.count)",
        "var = (rows.sums(x * x) / (rows.count - 1))",
        rows("batch_norm"),
    ),
    Fault(
        "a running variance that is the biased one, in Triton",
        "framework/normalise.py",
        "kind.type(count / max(count - 1, 1))",
        "kind.type(1.0)",
        rows("batch_norm"),
    ),
    Fault(
        "two words of the random counter swapped, in Triton",
        "framework/random.py",
        "return c0, c1, c2, c3",
        "return c1, c0, c2, c3",
        ("tests/test_random_rows.py",),
    ),
    Fault(
        "a stream number that reaches the random counter in NumPy only in part",
        "framework/random.py",
        "odd[1] = stream >> 32",
        "odd[1] = 0",
        ("tests/framework/test_random.py",),
    ),
    Fault(
        "Adam without the second moment's bias correction",
        "kernels/adam.py",
        "return lr / (1 - beta1**step), sqrt(1 - beta2**step)",
        "return lr / (1 - beta1**step), 1.0",
        rows("adam"),
    ),
    Fault(
        "a saved tensor's version never checked",
        "autograd/engine.py",
        "if storage.version != version:",
        "if False:",
        ("tests/autograd/test_engine.py",),
    ),
    Fault(
        "the graph kept after backward",
        "autograd/engine.py",
        "        if not self.retain_graph:\n            node.kept = None",
        "        if False:\n            node.kept = None",
        ("tests/autograd/test_engine.py",),
    ),
    Fault(
        "a loader that drops the last batch",
        "data/loader.py",
        "BatchSampler(order, batch_size, drop_last)",
        "BatchSampler(order, batch_size, True)",
        ("tests/data/test_loader.py",),
    ),
    Fault(
        "transposed tensors saved as they lie in memory",
        "framework/saving.py",
        "np.ascontiguousarray(host)",
        "np.asarray(host)",
        ("tests/autograd/test_saving.py",),
    ),
]


def copy_of_project(folder: Path) -> Path:
    """The working tree without what running it leaves behind."""
    skip = shutil.ignore_patterns(
        ".git", ".venv*", "__pycache__", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis", "out"
    )
    return Path(shutil.copytree(ROOT, folder / "project", ignore=skip))


def caught_by(project: Path, fault: Fault) -> str | None:
    """The first test that fails with ``fault`` in place; None where all pass."""
    path = project / fault.file
    sound = path.read_text()
    path.write_text(sound.replace(fault.old, fault.new))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *fault.tests],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
            | {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    finally:
        path.write_text(sound)
    if done.returncode == 0:
        return None
    named = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or named is None:
        print(f"{fault.name}: pytest did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}", file=sys.stderr)
        sys.exit(2)
    return named.group(1)


def main() -> int:
    gone = [f for f in FAULTS if f.old not in (ROOT / f.file).read_text()]
    for fault in gone:
        print(f"{fault.name}: its text is no longer in {fault.file}", file=sys.stderr)
    if gone:
        return 2
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        project = copy_of_project(Path(folder))
        for number, fault in enumerate(FAULTS, 1):
            test = caught_by(project, fault)
            survived += test is None
            print(f"{number:2d}. {fault.name}: {'SURVIVED' if test is None else 'caught by ' + test}", flush=True)
    print(f"{len(FAULTS)} faults, {len(FAULTS) - survived} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
