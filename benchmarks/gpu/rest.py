"""What is no kernel's and no step's time: host time of an op, of a launch in a graph, kernels, memory, the first step."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trigrad as tg

from . import steps
from .sides import Ours, Side, Torch

ROOT = Path(__file__).resolve().parents[2]


def cases(full: bool) -> list[str]:
    """The names of what is measured here."""
    names = ["host time", "graph launch", "memory lsgan28", "memory resnet18", "first step lsgan28"]
    if full:
        names += ["memory dcgan64", "memory resnet9", "first step resnet18", "first step dcgan64"]
    return names


def measure(name: str, ours: Ours, torch: Torch | None) -> dict[str, Any]:
    """Measure one of ``cases``."""
    result: dict[str, Any] = {"part": "rest", "case": name, "family": "rest", "status": "ok"}
    if name == "host time":
        return result | host_time(ours, torch)
    if name == "graph launch":
        return result | graph_launch(ours, torch)
    if name.startswith("memory "):
        return result | memory(name.removeprefix("memory "), ours, torch)
    return result | first_step(name.removeprefix("first step "), ours)


def host_time(ours: Ours, torch: Torch | None) -> dict[str, Any]:
    """Host microseconds of an eager op: as many calls as fit into the device's queue, without waiting for it."""
    calls, rounds = (20, 2) if not ours.gpu else (400, 9)
    figures: dict[str, dict[str, float]] = {}
    for side in (ours, torch):
        if side is None:
            continue
        lib, F = side.lib, side.lib.nn.functional
        a, b = (lib.ones(8, 8, device=side.device) for _ in range(2))
        leaf = lib.ones(8, 8, device=side.device).requires_grad_()
        image, weight = lib.ones(2, 4, 8, 8, device=side.device), lib.ones(4, 4, 3, 3, device=side.device)
        ops: dict[str, Callable[[], Any]] = {
            "add": lambda a=a, b=b: a + b,
            "add, recorded": lambda a=a, leaf=leaf: a + leaf,
            "relu": lambda F=F, a=a: F.relu(a),
            "matmul": lambda a=a, b=b: a @ b,
            "conv2d": lambda F=F, image=image, weight=weight: F.conv2d(image, weight, None, 1, 1),
            "sum": lambda a=a: a.sum(),
        }
        figures[side.name] = {name: _host(side, op, calls, rounds) for name, op in ops.items()}
    found: dict[str, Any] = {"figures": figures}
    if "torch" in figures:
        ratios = [figures["torch"][name] / figures["trigrad"][name] for name in figures["trigrad"]]
        found["ratio"] = round(statistics.geometric_mean(ratios), 4)
    found["message"] = _said(figures, "us")
    return found


def _host(side: Side, op: Callable[[], Any], calls: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        side.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            op()
        best = min(best, time.perf_counter() - start)
    side.synchronize()
    return round(best / calls * 1e6, 4)


def graph_launch(ours: Ours, torch: Torch | None) -> dict[str, Any]:
    """Microseconds per kernel of a graph of 200 tiny dependent kernels, and host microseconds of starting the graph."""
    links = 200 if ours.gpu else 4
    figures: dict[str, dict[str, float]] = {}
    for side in (ours, torch):
        if side is None:
            continue
        x = side.lib.ones(64, device=side.device)

        def chain(x: Any = x) -> None:
            for _ in range(links):
                x = x + 1

        replay, how = side.record(chain)
        times = 20 if ours.gpu else 1
        device = min(side.seconds(replay, times) / times for _ in range(5))
        figures[f"{side.name} ({how})"] = {
            "us per kernel": round(device / links * 1e6, 4),
            "host us of a launch": _host(side, replay, times, 5),
        }
    return {"figures": figures, "message": _said(figures, "")}


def memory(name: str, ours: Ours, torch: Torch | None) -> dict[str, Any]:
    """The most memory that arrays hold in an eager training step with tf32, and kernels a step where known."""
    tiny = not ours.gpu
    figures: dict[str, dict[str, float]] = {}
    for side in (ours, torch):
        if side is None:
            continue
        task = steps.build(name, side, "tf32", tiny)
        batch = task.inputs()
        if side.gpu:
            side.lib.cuda.empty_cache()
            side.lib.cuda.reset_peak_memory_stats()
        for _ in range(3 if side.gpu else 1):
            task.step(*batch)
        side.synchronize()
        found: dict[str, float] = {}
        if side.gpu:
            found["peak MB"] = round(side.lib.cuda.max_memory_allocated() / 1e6, 1)
            found["reserved MB"] = round(side.lib.cuda.memory_reserved() / 1e6, 1)
        if torch is not None and (side.gpu or side is torch):
            found["kernels a step"] = _kernels(torch, lambda task=task, batch=batch: task.step(*batch))
        figures[side.name] = found
    return {"figures": figures, "message": _said(figures, "")}


def _kernels(torch: Torch, step: Callable[[], Any]) -> int:
    """How many kernels and copies PyTorch's profiler sees in a step, whoever launched them; on the CPU, how many ops."""
    lib = torch.lib
    kinds = [lib.profiler.ProfilerActivity.CUDA if torch.gpu else lib.profiler.ProfilerActivity.CPU]
    with lib.profiler.profile(activities=kinds) as profile:
        step()
        torch.synchronize()
    if not torch.gpu:
        return len(profile.events())
    return sum(1 for event in profile.events() if str(event.device_type).endswith("CUDA"))


def first_step(name: str, ours: Ours) -> dict[str, Any]:
    """Seconds of a new process until its first step is done: with nothing compiled before, and again."""
    figures = {}
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"TRITON_CACHE_DIR": cache, "XDG_CACHE_HOME": cache}
        for temperature in ("cold", "warm"):
            command = [sys.executable, "-m", "benchmarks.gpu", "--first-step", name, "--device", ours.device]
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500, check=False)
            if done.returncode:
                raise RuntimeError(
                    f"the process that makes the first step ended with {done.returncode}: {done.stderr[-500:]}"
                )
            figures[temperature] = json.loads(done.stdout.splitlines()[-1])
    return {"figures": figures, "message": _said(figures, "s")}


def first_step_child(name: str, device: str) -> None:
    """What that process does."""
    start = time.perf_counter()
    ours = Ours(device)
    task = steps.build(name, ours, "tf32", not ours.gpu)
    batch = task.inputs()
    ours.synchronize()
    built = time.perf_counter()
    found = {"build": built - start}
    with ours.precision("tf32"):
        step = tg.capture(task.step)
        for label in ("first step", "second step", "third step")[: 3 if ours.gpu else 1]:
            before = time.perf_counter()
            step(*batch)
            ours.synchronize()
            found[label] = time.perf_counter() - before
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))


def _said(figures: dict[str, dict[str, float]], unit: str) -> str:
    return "; ".join(
        f"{who}: " + ", ".join(f"{what} {value:g}{' ' + unit if unit else ''}" for what, value in found.items())
        for who, found in figures.items()
    )
