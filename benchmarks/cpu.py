"""trigrad on the CPU against PyTorch on the CPU, as ratios in one run:  python -m benchmarks.cpu

Each case runs in processes of its own, trigrad's and PyTorch's in turn, two threads each; a time is the best over all
rounds, peak memory the growth of resident memory over the state before the model is built.  Where PyTorch is not
installed only trigrad's figures are printed.  ``--json FILE`` also writes them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

THREADS = 2
PEERS = ("trigrad", "torch")


class Adapter:
    """What differs between the two: the module names, and nothing else."""

    def __init__(self, name: str) -> None:
        if name == "trigrad":
            import trigrad as tensors
        else:
            import torch as tensors

            tensors.set_num_threads(THREADS)
        tensors.manual_seed(0)
        self.t, self.nn, self.optim = tensors, tensors.nn, tensors.optim


# -- the cases: each returns a function to time and how many operations one call of it is ---------------------------


def adds(a: Adapter) -> tuple[Callable[[], Any], int]:
    """A chain of 200 adds of 8x8 tensors, forward and backward."""
    x, w = a.t.randn(8, 8), a.t.randn(8, 8)
    x.requires_grad_()
    ones = a.t.ones(8, 8)

    def run() -> None:
        h = x
        for _ in range(200):
            h = h + w
        h.backward(ones)
        x.grad = None

    return run, 200


def adds_forward(a: Adapter) -> tuple[Callable[[], Any], int]:
    """The same, recorded but without its backward."""
    x, w = a.t.randn(8, 8), a.t.randn(8, 8)
    x.requires_grad_()

    def run() -> None:
        h = x
        for _ in range(200):
            h = h + w

    return run, 200


def mlp(a: Adapter) -> tuple[Callable[[], Any], int]:
    """A training step of a 784-256-256-10 perceptron, batch 64, with Adam."""
    nn = a.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = a.optim.Adam(model.parameters(), lr=1e-3)
    x, y = a.t.randn(64, 784), a.t.arange(64) * 0 + 3
    loss = nn.CrossEntropyLoss()

    def run() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return run, 1


def lsgan28(a: Adapter) -> tuple[Callable[[], Any], int]:
    """A training step of LSGAN at 28x28, batch 64: one step of D and one of G on the same fakes, Adam both."""
    nn = a.nn
    G = nn.Sequential(
        nn.Linear(100, 6272),
        nn.Unflatten(1, (128, 7, 7)),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(6272, 1),
    )
    d = a.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    g = a.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real = a.t.randn(64, 1, 28, 28)
    ones, zeros = a.t.ones(64, 1), a.t.zeros(64, 1)
    mse = nn.MSELoss()

    def run() -> None:
        fake = G(a.t.randn(64, 100))
        d.zero_grad()
        (0.5 * mse(D(real), ones) + 0.5 * mse(D(fake.detach()), zeros)).backward()
        d.step()
        g.zero_grad()
        (0.5 * mse(D(fake), ones)).backward()
        g.step()

    return run, 1


def lenet(a: Adapter) -> tuple[Callable[[], Any], int]:
    """A training step of LeNet on 1x28x28, batch 128, with SGD."""
    nn = a.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
    optimizer = a.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x, y = a.t.randn(128, 1, 28, 28), a.t.arange(128) * 0 + 3
    loss = nn.CrossEntropyLoss()

    def run() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return run, 1


CASES: dict[str, tuple[Callable[[Adapter], tuple[Callable[[], Any], int]], float | None]] = {
    # name: (case, the ratio of times aimed at)
    "adds forward": (adds_forward, None),
    "adds forward and backward": (adds, 1.0),
    "mlp": (mlp, None),
    "lsgan28": (lsgan28, 1.3),
    "lenet": (lenet, None),
}


# -- one process: one case, one framework ----------------------------------------------------------------------------


def resident() -> int:
    """Resident memory in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Peak:
    """The greatest resident memory while it runs, looked at every millisecond."""

    def __enter__(self) -> Peak:
        self.most, self._stop = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.001):
            self.most = max(self.most, resident())

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self.most = max(self.most, resident())


def worker(case: str, framework: str, seconds: float) -> dict[str, float]:
    """Time one case of one framework in this process."""
    adapter = Adapter(framework)
    adapter.t.randn(64, 64) @ adapter.t.randn(64, 64)  # libraries loaded, threads started
    before = resident()
    run, operations = CASES[case][0](adapter)
    with Peak() as peak:
        for _ in range(5):
            run()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    times.sort()
    return {
        "us": times[0] / operations * 1e6,
        "median us": times[len(times) // 2] / operations * 1e6,
        "MB": (max(peak.most, resident()) - before) / 1e6,
    }


def measure(case: str, framework: str, seconds: float) -> dict[str, float]:
    """The same in a fresh process."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}  # NumPy's BLAS as it comes
    plain |= {"OMP_NUM_THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": str(THREADS)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cpu", "--worker", case, framework, "--seconds", str(seconds)],
        env=plain,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    if done.returncode:
        raise RuntimeError(f"{framework} {case}: {done.stderr}")
    return json.loads(done.stdout)


def import_time() -> float:
    """Milliseconds that ``import trigrad`` takes once numpy is imported; the best of seven processes, after one
    that leaves compiled bytecode behind, as installing does."""
    code = "import numpy, time; t = time.perf_counter(); import trigrad; print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as cache:
        plain = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": cache}
        runs = [
            subprocess.run(
                [sys.executable, "-c", code],
                env=plain,
                capture_output=True,
                text=True,
                check=True,
                cwd=Path(__file__).parents[1],
            )
            for _ in range(8)
        ]
    return min(float(r.stdout) for r in runs[1:]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each case, framework and round")
    parser.add_argument("--worker", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        print(json.dumps(worker(*options.worker, options.seconds)))
        return

    from rich.console import Console
    from rich.table import Table

    frameworks = [f for f in PEERS if f == "trigrad" or find_spec(f)]
    results: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "import trigrad ms": import_time(),
        "cases": {},
    }
    table = Table(title=f"CPU, {THREADS} threads: best of {options.rounds} rounds")
    for name in ("case", "trigrad us", "torch us", "time ratio", "aim", "trigrad MB", "torch MB", "memory ratio"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for case in options.only:
        best: dict[str, dict[str, float]] = {}
        for _ in range(options.rounds):
            for framework in frameworks:
                found = measure(case, framework, options.seconds)
                best[framework] = {k: min(v, best.get(framework, found)[k]) for k, v in found.items()}
        ours, theirs = best["trigrad"], best.get("torch")
        aim = CASES[case][1]
        row = [
            case,
            f"{ours['us']:,.2f}",
            f"{theirs['us']:,.2f}" if theirs else "-",
            f"{ours['us'] / theirs['us']:.2f}" if theirs else "-",
            f"<= {aim}" if aim else "",
            f"{ours['MB']:.1f}",
            f"{theirs['MB']:.1f}" if theirs else "-",
            f"{ours['MB'] / theirs['MB']:.2f}" if theirs and theirs["MB"] > 1 else "-",
        ]
        table.add_row(*row)
        results["cases"][case] = best
    console = Console()
    console.print(table)
    console.print(f"import trigrad: {results['import trigrad ms']:.0f} ms on top of numpy's")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
