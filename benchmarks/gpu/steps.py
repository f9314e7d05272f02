"""Whole training steps: trigrad eager and captured, PyTorch in each of its ways, JAX.

Every contender trains the network of ``benchmarks/nets.py`` from the same weights on the same eight batches, which lie
on the GPU; a GAN's noise is drawn inside the step.  A round is a number of steps by the wall clock with one wait at the
end, contenders in turn.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import trigrad as tg
from benchmarks import nets

from .sides import Ours, Side, Torch, difference, interleaved, summary

BATCHES = 8
NETS = ("lsgan28", "dcgan64", "resnet18", "resnet9")
TORCH_MODES = ("default", "reduce-overhead", "max-autotune")
# Compiling takes PyTorch half a minute to some minutes: the short run has the modes that the goals speak of.
CORE_MODES = {"lsgan28": ("reduce-overhead",)}


@dataclass
class Contender:
    """One way to train one network."""

    name: str
    step: Callable[[int], Any]  # runs step i
    wait: Callable[[], None]
    first: float = 0.0  # seconds until its first steps were done

    def seconds(self, times: int) -> float:
        """Wall clock of ``times`` steps, with one wait at the end."""
        self.wait()
        start = time.perf_counter()
        for i in range(times):
            self.step(i)
        self.wait()
        return time.perf_counter() - start


def build(name: str, side: Side, precision: str, tiny: bool, **options: Any) -> nets.Task:
    """A network's task on one side; ``precision`` is ieee, tf32 or bf16 (autocast)."""
    width, size = nets.SMALL[name] if tiny else (64, nets.RECIPES[name]().image[1])
    half = side.lib.bfloat16 if precision == "bf16" else None
    last = side.gpu and hasattr(side.lib, "channels_last")
    return nets.task(
        name,
        side.lib,
        side.device,
        batch=2 if tiny else None,
        width=width,
        size=size,
        half=half,
        channels_last=last,
        **options,
    )


def _batches(task: nets.Task) -> list[tuple[Any, ...]]:
    """Eight batches on the device; a GAN's are images only."""
    classes = task.recipe.loss == "classes"
    return [task.inputs(i) if classes else task.inputs(i)[:1] for i in range(BATCHES)]


def ours_eager(name: str, ours: Ours, precision: str, tiny: bool) -> Contender:
    """trigrad, one launch after the other."""
    task = build(name, ours, precision, tiny)
    batches = _batches(task)
    return Contender("trigrad eager", lambda i: task.step(*batches[i % BATCHES]), ours.synchronize)


def ours_captured(name: str, ours: Ours, precision: str, tiny: bool) -> Contender:
    """trigrad, the whole step one CUDA graph."""
    task = build(name, ours, precision, tiny)
    batches = _batches(task)
    step = tg.capture(task.step)
    return Contender("trigrad captured", lambda i: step(*batches[i % BATCHES]), ours.synchronize)


def _torch_options(name: str, torch: Torch, graph: bool) -> dict[str, Any]:
    if not torch.gpu:
        return {}
    classes = nets.RECIPES[name]().loss == "classes"
    return {"optimizer": {"fused": True} | ({"capturable": True} if graph and not classes else {})}


def torch_eager(name: str, torch: Torch, precision: str, tiny: bool) -> Contender:
    """PyTorch as it comes, at its best settings: channels-last, tuned cuDNN, fused optimizers."""
    task = build(name, torch, precision, tiny, **_torch_options(name, torch, False))
    batches = _batches(task)
    return Contender("torch eager", lambda i: task.step(*batches[i % BATCHES]), torch.synchronize)


def torch_graph(name: str, torch: Torch, precision: str, tiny: bool) -> Contender:
    """PyTorch with the whole step captured by hand."""
    lib = torch.lib
    task = build(name, torch, precision, tiny, **_torch_options(name, torch, True))
    batches = _batches(task)
    if not torch.gpu:  # the same steps without the graph
        return Contender("torch graph", lambda i: task.step(*batches[i % BATCHES]), torch.synchronize)
    held = [t.clone() for t in batches[0]]
    for i in range(3):
        task.step(*batches[i])
    torch.synchronize()
    graph = lib.cuda.CUDAGraph()
    with lib.cuda.graph(graph, stream=torch.stream, capture_error_mode="thread_local"):
        losses = task.step(*held)

    def step(i: int) -> Any:
        for static, new in zip(held, batches[i % BATCHES], strict=True):
            static.copy_(new)
        graph.replay()
        return [loss.clone() for loss in losses]

    return Contender("torch graph", step, torch.synchronize)


def torch_compiled(name: str, torch: Torch, precision: str, tiny: bool, mode: str) -> Contender:
    """PyTorch with its networks compiled."""
    lib = torch.lib
    task = build(name, torch, precision, tiny, **_torch_options(name, torch, False))
    batches = _batches(task)
    how: dict[str, Any] = {"mode": mode} if torch.gpu else {"backend": "aot_eager"}  # without a GPU only the path
    if not torch.gpu and mode != "default":
        how = {"backend": "eager"}
    task.nets = {key: lib.compile(net, **how) for key, net in task.nets.items()}

    def step(i: int) -> Any:
        if torch.gpu and mode != "default":
            lib.compiler.cudagraph_mark_step_begin()
        return task.step(*batches[i % BATCHES])

    return Contender(f"torch compile {mode}", step, torch.synchronize)


def contenders(
    name: str, ours: Ours, torch: Torch | None, precision: str, full: bool, jax: bool
) -> Iterator[tuple[str, Callable[[], Contender]]]:
    """Everyone who trains ``name``, as (name, function that sets it up)."""
    tiny = not ours.gpu
    yield "trigrad captured", lambda: ours_captured(name, ours, precision, tiny)
    yield "trigrad eager", lambda: ours_eager(name, ours, precision, tiny)
    if torch is not None:
        peer = torch
        yield "torch eager", lambda: torch_eager(name, peer, precision, tiny)
        yield "torch graph", lambda: torch_graph(name, peer, precision, tiny)
        for mode in TORCH_MODES if full else CORE_MODES.get(name, ()):
            yield f"torch compile {mode}", lambda mode=mode: torch_compiled(name, peer, precision, tiny, mode)  # type: ignore[misc]
    if jax:
        from .jax_peer import contender

        yield "jax", lambda: contender(name, precision, tiny)


@contextlib.contextmanager
def pinned(ours: Ours, torch: Torch | None, precision: str) -> Iterator[None]:
    """Products of float32 computed in the same way everywhere: tf32, also under autocast, or exactly."""
    way = "ieee" if precision == "ieee" else "tf32"
    with contextlib.ExitStack() as stack:
        for side in (ours, torch):
            if side is not None:
                stack.enter_context(side.precision(way))
        yield


def measure(
    name: str,
    ours: Ours,
    torch: Torch | None,
    precision: str,
    *,
    full: bool = False,
    jax: bool = False,
    rounds: int = 5,
    steps: int = 200,
    seconds: float = 1.0,
    before: int = 4,
    until: float = float("inf"),
) -> dict[str, Any]:
    """The step times of all contenders; those that fail are named with their error.

    At least ``steps`` steps of each are timed, more where they are short, and ``before`` steps are made before; after
    ``until`` (of ``time.monotonic``) no further rival is set up.
    """
    result: dict[str, Any] = {"part": "steps", "case": f"{name} {precision}", "family": "step", "net": name}
    ready: dict[str, Contender] = {}
    failed: dict[str, str] = {}
    left: list[str] = []
    losses: dict[str, list[float]] = {}
    with pinned(ours, torch, precision):
        for label, prepare in contenders(name, ours, torch, precision, full, jax):
            if time.monotonic() > until and not label.startswith("trigrad"):
                left.append(label)
                continue
            try:
                start = time.perf_counter()
                one = prepare()
                said = [one.step(i) for i in range(before)]
                one.wait()
                one.first = time.perf_counter() - start
                losses[label] = [float(x) for x in said[0]]
                if not all(np.isfinite(float(x)) for losses3 in said for x in losses3):
                    raise ArithmeticError("a loss is not finite")
                ready[label] = one
            except Exception as error:
                failed[label] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:400]
        if ready:
            timers = {label: one.seconds for label, one in ready.items()}
            fewest = max(1, steps // rounds)
            found = interleaved(timers, rounds, seconds / rounds, fewest)
            result["figures"] = {label: summary(times) for label, times in found.items()}
    result["first losses"] = {label: [round(x, 6) for x in values] for label, values in losses.items()}
    result["seconds before"] = {label: round(one.first, 3) for label, one in ready.items()}
    if failed:
        result["failed"] = failed
    if left:
        result["left out"] = left
    figures = result.get("figures", {})
    mine = figures.get("trigrad captured")
    if mine:
        result["ratios"] = {
            label: round(figure["us"] / mine["us"], 4)
            for label, figure in figures.items()
            if label != "trigrad captured"
        }
        batch = build_batch(name, not ours.gpu)
        result["images/s"] = round(batch / mine["us"] * 1e6, 1)
    broken = [label for label in failed if label.startswith("trigrad")]
    result["status"] = "error" if broken else "ok"
    if broken:
        result["message"] = "; ".join(f"{label}: {failed[label]}" for label in broken)
    return result


def build_batch(name: str, tiny: bool) -> int:
    """The batch that is timed."""
    return 2 if tiny else nets.RECIPES[name]().batch


# -- is it right? ------------------------------------------------------------------------------------------------------


def same_bits(name: str, ours: Ours, precision: str, tiny: bool, steps: int = 4) -> list[str]:
    """What differs between eager and captured training after ``steps`` steps; nothing may."""
    found = []
    for capture in (False, True):
        tg.manual_seed(7)
        task = build(name, ours, precision, tiny)
        step = tg.capture(task.step) if capture else task.step
        batches = _batches(task)
        tg.manual_seed(8)
        losses = [[np.asarray(x.detach().cpu().numpy()) for x in step(*batches[i])] for i in range(steps)]
        values = dict(task.values()) | {f"loss {i}.{j}": x for i, row in enumerate(losses) for j, x in enumerate(row)}
        found.append(values)
    eager, captured = found
    return sorted(
        key
        for key in eager.keys() | captured.keys()
        if key not in eager or key not in captured or eager[key].tobytes() != captured[key].tobytes()
    )


def against_numpy(name: str, ours: Ours, steps: int = 3) -> float:
    """The largest relative difference of a loss from training on the CPU, over some steps of the small network."""
    width, size = nets.SMALL[name]
    worst = 0.0
    with ours.precision("ieee"):
        here = nets.task(name, tg, ours.device, batch=8, width=width, size=size)
        there = nets.task(name, tg, "cpu", batch=8, width=width, size=size)
        for i in range(steps):
            pairs = zip(here.step(*here.inputs(i)), there.step(*there.inputs(i)), strict=True)
            worst = max([worst, *(difference(a.cpu().numpy(), b.numpy()) for a, b in pairs)])
    return worst
