"""What the host spends on each operation of a GPU, without a GPU:  python -m benchmarks.host

A driver that does nothing (tests/nodriver, built with ``cc``) takes the calls, in a process of its own, so that the figures are
Python's and cuda-core's time alone; a real driver adds about 2 us to each launch.  A time is processor time, the best of several rounds,
per call.  PyTorch's column, where it is installed, is the same call on one-element CPU tensors: what its dispatcher and
graph cost, with next to nothing computed.  ``--json FILE`` also writes the figures.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NODRIVER = ROOT / "tests" / "nodriver" / "nodriver.py"
GOALS = {"one launch": 3.0, "elementwise, with its node": 6.0, "LSGAN step, captured": 10.0}  # us, where there is one

Case = tuple[str, Callable[[], Any], int]  # name, what to time, how many calls that is


def best(function: Callable[[], Any], calls: int, seconds: float) -> float:
    """Microseconds a call, the best of several rounds that take ``seconds`` in all."""
    function()
    begin = time.process_time()
    function()
    once = max(time.process_time() - begin, 1e-7)
    loops = max(1, int(seconds / 10 / once))
    found = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            begin = time.process_time()
            for _ in range(loops):
                function()
            found.append((time.process_time() - begin) / loops)
    finally:
        gc.enable()
    return min(found) / calls * 1e6


def chain(x: Any, w: Any, ones: Any, length: int = 20) -> Callable[[], Any]:
    """A chain of additions, forward and backward."""

    def run() -> None:
        h = x
        for _ in range(length):
            h = h + w
        h.backward(ones)
        x.grad = None

    return run


def adds(t: Any, device: str, shape: tuple[int, ...]) -> Iterator[Case]:
    """The cases that PyTorch has, too."""
    x, w, ones = (t.ones(*shape, device=device) for _ in range(3))
    g = t.ones(*shape, device=device).requires_grad_()
    yield "elementwise, no gradient", lambda: x + w, 1
    yield "elementwise, with its node", lambda: g + w, 1
    yield "20 additions, forward and backward, each", chain(g, w, ones), 20


def lsgan(tg: Any, device: str) -> Callable[..., Any]:
    """One training step of D and G on 28x28 images, batch 64."""
    nn, optim = tg.nn, tg.optim
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
    ).to(device)
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(6272, 1),
    ).to(device)
    for_g = optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for_d = optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(real: Any) -> tuple[Any, Any]:
        fake = G(tg.randn(64, 100, device=device))
        for_d.zero_grad()
        d_loss = 0.5 * ((D(real) - 1) ** 2).mean() + 0.5 * (D(fake.detach()) ** 2).mean()
        d_loss.backward()
        for_d.step()
        for_g.zero_grad()
        g_loss = 0.5 * ((D(fake) - 1) ** 2).mean()
        g_loss.backward()
        for_g.step()
        return d_loss.detach(), g_loss.detach()

    return step


def warm(device: Any) -> None:
    """One LSGAN step, for ``python -m trigrad warm benchmarks.host:warm``."""
    import trigrad as tg

    lsgan(tg, device)(tg.randn(64, 1, 28, 28, device=device))


def cases(tg: Any, launched: Callable[[], int], notes: dict[str, int]) -> Iterator[Case]:
    """Everything that is timed on the no-op driver; ``notes`` gets the launches of one call of some."""
    from trigrad.op import jit, launch, tl

    @jit
    def scale(out, x, n, factor, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, N803
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        tl.store(out + offsets, tl.load(x + offsets, mask=mask) * factor, mask=mask)

    def counted(name: str, function: Callable[[], Any], calls: int = 1) -> Case:
        function()
        before = launched()
        function()
        notes[name] = launched() - before
        return name, function, calls

    F, nn, randn = tg.nn.functional, tg.nn, tg.randn
    a, b = (randn(64, 64, device="cuda").array for _ in range(2))
    yield "allocate and free", lambda: a.backend.allocate(16384), 1
    yield "one launch", lambda: launch(scale, (4,), a, b, 4096, 2.5, BLOCK=1024), 1
    yield from adds(tg, "cuda", (64, 64))
    x = randn(64, 64, device="cuda").requires_grad_()
    w = randn(64, 64, device="cuda").requires_grad_()
    yield counted("matmul", lambda: x @ w)
    yield counted("matmul, forward and backward", lambda: (x @ w).backward(w.detach()))
    bias = randn(64, device="cuda")
    yield counted("linear", lambda: F.linear(x, w, bias))
    image = randn(64, 64, 14, 14, device="cuda").requires_grad_()
    conv = nn.Conv2d(64, 128, 4, 2, 1).to("cuda")
    yield counted("conv2d", lambda: conv(image))
    norm = nn.BatchNorm2d(64).to("cuda")
    yield counted("batch_norm, training", lambda: norm(image))
    yield counted("mean of squares", lambda: (image**2).mean())
    step = lsgan(tg, "cuda")
    real = randn(64, 1, 28, 28, device="cuda")
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(31))).to("cuda")
    optimizer = tg.optim.Adam(model.parameters())
    for p in model.parameters():
        p.grad = tg.ones_like(p)
    yield counted("Adam step of 62 parameters", optimizer.step)
    yield counted("LSGAN step", lambda: step(real))
    if hasattr(tg, "capture"):
        captured = tg.capture(step)
        for _ in range(3):
            captured(real)
        yield counted("LSGAN step, captured", lambda: captured(real))


def measure(seconds: float) -> dict[str, Any]:
    """All figures; in a process whose CUDA driver is the no-op one."""
    spec = importlib.util.spec_from_file_location("nodriver", NODRIVER)
    assert spec is not None and spec.loader is not None
    nodriver = sys.modules["nodriver"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nodriver)
    driver = nodriver.Driver()  # before anything of cuda: a real driver must never be reached
    import trigrad as tg

    launches: dict[str, int] = {}
    times: dict[str, float] = {}
    for name, function, calls in cases(tg, driver.launches, launches):
        times[name] = best(function, calls, seconds)
    return {"trigrad": times, "launches": launches}


def measure_torch(seconds: float) -> dict[str, float]:
    """PyTorch's figures, on the CPU."""
    import torch

    torch.set_num_threads(1)
    return {name: best(function, calls, seconds) for name, function, calls in adds(torch, "cpu", (1,))}


def child(task: str, seconds: float, folder: str) -> Any:
    """What one task says, done in a process of its own."""
    environment = {**os.environ, "LD_LIBRARY_PATH": folder, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    environment["NODRIVER_GRAPHS"] = "0"  # a graph is launched by the driver: nothing of that is host time
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-m", "benchmarks.host", "--task", task, "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.host: the process for {task} failed\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def report(figures: dict[str, Any]) -> None:
    """The table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="host time of a call, us (no-op driver)")
    table.add_column("call")
    for title in ("trigrad", "launches", "us a launch", "goal", "torch, cpu"):
        table.add_column(title, justify="right")
    peer = figures["torch"]
    for name, spent in figures["trigrad"].items():
        count, goal = figures["launches"].get(name), GOALS.get(name)
        shown = f"{spent:.1f}"
        if goal is not None:
            shown = f"[{'green' if spent <= goal else 'red'}]{shown}[/]"
        each = f"{spent / count:.1f}" if count else ""
        known = f"{peer[name]:.1f}" if name in peer else ""
        table.add_row(
            name, shown, "" if count is None else str(count), each, "" if goal is None else f"{goal:g}", known
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each call is timed")
    parser.add_argument("--task", choices=("trigrad", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps((measure if options.task == "trigrad" else measure_torch)(options.seconds)))
        return 0
    spec = importlib.util.spec_from_file_location("nodriver", NODRIVER)
    assert spec is not None and spec.loader is not None
    nodriver = sys.modules["nodriver"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nodriver)
    reason = nodriver.why_not()
    if reason:
        print(f"benchmarks.host: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        nodriver.build(Path(folder))
        figures = child("trigrad", options.seconds, folder)
        torch = importlib.util.find_spec("torch") is not None
        figures["torch"] = child("torch", options.seconds, folder) if torch else {}
    report(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
