"""Whether the device computes what NumPy computes: every row of the op table, and the places where kernels go wrong.

Jobs run in worker processes, several at a time: that compiles in parallel, and a kernel that reads outside its memory
takes one worker with it and not the run.  A worker reads names of jobs, one a line, and answers each with one line of
JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

import trigrad as tg
from benchmarks import nets
from trigrad import testing
from trigrad.nn import functional as F
from trigrad.op import OPS, DeviceArray, cdiv, jit, launch, tl
from trigrad.utils import data

from . import steps
from .cases import cases
from .sides import Kit, Ours, difference, peer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0  # seconds that one job may take
SLICES = 8  # in which the timed kernels are compiled ahead
Trap = Callable[[Ours, bool], None]
TRAPS: dict[str, Trap] = {}


def trap(function: Trap) -> Trap:
    """Enter a function in ``TRAPS`` under the words of its name.  It takes the side and whether sizes are tiny."""
    TRAPS[function.__name__.strip("_").replace("_", " ")] = function
    return function


def jobs(full: bool = False, tiny: bool = False, torch: bool = False) -> list[str]:
    """All jobs, the longest first: preparations, traps, rows."""
    warm = [f"warm step {net} {precision}" for net in steps.NETS for precision in ("tf32", "bf16")]
    warm += [f"warm kernels {i} of {SLICES}" for i in range(SLICES)]
    if tiny:  # everything is walked later anyway
        warm = [warm[0], warm[-1]]
    if torch:
        modes = {net: steps.TORCH_MODES for net in steps.NETS} if full else steps.CORE_MODES
        warm = [f"warm torch {net} tf32 {mode}" for net, some in modes.items() for mode in some] + warm
    rows = [f"row {name}" for name, op in OPS.items() if op.samples is not None]
    return warm + [f"trap {name}" for name in TRAPS] + rows


def run(job: str, ours: Ours, tiny: bool) -> None:
    """Do a job.  Raises AssertionError, or whatever the device says, where something is wrong."""
    kind, name = job.split(" ", 1)
    if kind == "trap":
        TRAPS[name](ours, tiny)
        return
    if kind == "warm":
        warm(name, ours, tiny)
        return
    op = OPS[name]
    samples = testing.samples_of(op)
    if tiny:
        samples = [s for s in samples if s.raises is None][:1]
    for sample in samples:
        if sample.raises is not None:
            testing.check_error(op, sample, ours.device)
            continue
        for dtype in (sample.dtypes or (None,))[: 1 if tiny else None]:
            testing.check_triton(op, sample, dtype, ours.device)


def warm(what: str, ours: Ours, tiny: bool) -> None:
    """Have everything compiled that will be timed, so that the process that times finds it on the disk."""
    match what.split():
        case ["step", net, precision]:
            with steps.pinned(ours, None, precision):
                task = steps.build(net, ours, precision, tiny)
                for i in range(1 if tiny else 2):
                    task.step(*task.inputs(i))
        case ["kernels", i, "of", n]:
            some = [case for case in cases(tiny) if case.core][int(i) :: int(n)]
            for case in some:
                with ours.precision(case.precision):
                    case.make(Kit(ours))()
        case ["torch", net, precision, mode]:
            torch = peer(ours)
            if torch is not None:
                with steps.pinned(ours, torch, precision):
                    one = steps.torch_compiled(net, torch, precision, tiny, mode)
                    for i in range(4):
                        one.step(i)
                    one.wait()
        case _:
            raise ValueError(f"no preparation is called {what!r}")


# -- traps -------------------------------------------------------------------------------------------------------------


def _random(shape: tuple[int, ...], seed: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def _close(what: str, got: Any, expected: np.ndarray, tolerance: float) -> None:
    far = difference(np.asarray(got.detach().cpu().numpy(), np.float64), expected)
    assert far <= tolerance, f"{what}: the relative error is {far:.2e}, allowed {tolerance:.0e}"


def _same(what: str, got: Any, expected: Any) -> None:
    a, b = (np.asarray(x.detach().cpu().numpy()) for x in (got, expected))
    assert a.dtype == b.dtype and a.shape == b.shape, f"{what}: {a.dtype}{a.shape}, expected {b.dtype}{b.shape}"
    differ = int((a.view(np.uint8) != b.view(np.uint8)).sum()) if a.size else 0
    assert not differ, f"{what}: {differ} of {a.nbytes} bytes differ"


@trap
def reductions_in_parts(ours: Ours, tiny: bool) -> None:
    """Long and ragged reductions, which several programs share."""
    n = 2051 if tiny else (1 << 22) + 3
    for shape in ((1, n), (n, 1), (3, n // 3), (n // 3, 3), (n // 64, 64)):
        x = _random(shape, 1)
        wide = x.astype(np.float64)
        t = tg.from_numpy(x).to(ours.device)
        for dim in (0, 1):
            _close(f"sum {shape} {dim}", t.sum(dim), wide.sum(dim), 1e-4)
            _close(f"amax {shape} {dim}", tg.amax(t, dim), wide.max(dim), 0)
            if shape[dim] > 1:
                _close(f"var {shape} {dim}", t.var(dim), wide.var(dim, ddof=1), 1e-4)
        _close(f"mean {shape}", t.mean(), wide.mean(), 1e-2)
        assert int(t.argmax()) == int(x.argmax()), f"argmax {shape}"


@trap
def products_in_parts(ours: Ours, tiny: bool) -> None:
    """Few outputs and a long sum: split products; odd sizes; both operands transposed."""
    for m, n, k in ((17, 9, 303), (8, 8, 512)) if tiny else ((64, 64, 1 << 18), (17, 33, 100003), (1, 1, 1 << 20)):
        a, b = _random((m, k), 1), _random((k, n), 2)
        expected = a.astype(np.float64) @ b.astype(np.float64)
        ta, tb = (tg.from_numpy(x).to(ours.device) for x in (a, b))
        for way, tolerance in (("ieee", 1e-5), ("tf32", 2e-3)):
            with ours.precision(way):
                _close(f"{way} {m}x{n}x{k}", ta @ tb, expected, tolerance)
                turned = ta.t().contiguous().t() @ tb.t().contiguous().t()
                _close(f"{way} {m}x{n}x{k} transposed", turned, expected, tolerance)
        half = ta.to(tg.bfloat16) @ tb.to(tg.bfloat16)
        _close(f"bfloat16 {m}x{n}x{k}", half, expected, 2e-2)


@trap
def convolutions_in_parts(ours: Ours, tiny: bool) -> None:
    """Every gradient of convolutions with few output channels and many places, odd channels, strides, both layouts."""
    shapes = [(2, 5, 7, 6, 3, 2, 1), (1, 16, 5, 3, 3, 1, 1)]
    if not tiny:
        shapes += [
            (64, 64, 32, 64, 3, 1, 1),
            (128, 3, 32, 64, 3, 1, 1),
            (32, 20, 17, 10, 5, 3, 2),
            (64, 1, 28, 64, 4, 2, 1),
        ]
    for n, c, size, k, kernel, stride, padding in shapes:
        x, w = _random((n, c, size, size), 1), _random((k, c, kernel, kernel), 2)
        for last in (False, True):
            for way, tolerance in (("ieee", 2e-5), ("tf32", 3e-3), ("bf16", 2e-2)):
                results = []
                for device in ("cpu", ours.device):
                    dtype = tg.bfloat16 if way == "bf16" and device != "cpu" else tg.float32
                    tx, tw = (tg.from_numpy(a).to(device).to(dtype) for a in (x, w))
                    if last:
                        tx, tw = (t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for t in (tx, tw))
                    tx, tw = tx.detach().requires_grad_(), tw.detach().requires_grad_()
                    with ours.precision("ieee" if device == "cpu" else way):
                        y = F.conv2d(tx, tw, None, stride, padding)
                        g = tg.from_numpy(_random(tuple(y.shape), 3)).to(device).to(dtype)
                        results.append([y, *tg.autograd.grad(y, [tx, tw], [g])])
                for name, want, have in zip(("output", "input gradient", "weight gradient"), *results, strict=True):
                    expected = np.asarray(want.detach().numpy(), np.float64)
                    _close(f"{way} {(n, c, size, k, kernel, stride)} {name}", have, expected, tolerance)


@jit
def _flat_loop(
    out, image, weight, C: tl.constexpr, K: tl.constexpr, SIZE: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr
):
    # image (1, SIZE, SIZE, C), weight (K, 3, 3, C), out (1, SIZE - 2, SIZE - 2, K); one program per BM output places
    SMALL: tl.constexpr = SIZE - 2
    place = tl.program_id(0) * BM + tl.arange(0, BM)
    inside = place < SMALL * SMALL
    row, column = place // SMALL, place % SMALL
    k = tl.arange(0, K)
    channel = tl.arange(0, BK)
    total = tl.zeros((BM, K), tl.float32)
    for step in range(9 * (C // BK)):
        tap, block = step // (C // BK), step % (C // BK)
        r, s = tap // 3, tap % 3
        at = ((row + r) * SIZE + column + s) * C + block * BK
        a = tl.load(image + at[:, None] + channel[None, :], mask=inside[:, None], other=0.0)
        b = tl.load(weight + (k * 9 + tap)[None, :] * C + block * BK + channel[:, None])
        total = tl.dot(a, b, total)
    tl.store(out + place[:, None] * K + k[None, :], total.to(out.dtype.element_ty), mask=inside[:, None])


@trap
def loops_over_taps_with_4_and_8_warps(ours: Ours, tiny: bool) -> None:
    """A flat loop over taps and channels, the form of our convolutions, which Triton has miscompiled with eight warps."""
    C, K, size = (32, 32, 8) if tiny else (64, 64, 34)
    image, weight = _random((size, size, C), 1), _random((K, 3, 3, C), 2) / 24
    ti, tw = (tg.from_numpy(a).to(ours.device).to(tg.bfloat16) for a in (image, weight))
    ri, rw = (np.asarray(t.cpu().to(tg.float32).numpy(), np.float64) for t in (ti, tw))
    small = size - 2
    expected = sum(
        np.einsum("hwc,kc->hwk", ri[r : r + small, s : s + small], rw[:, r, s]) for r in range(3) for s in range(3)
    )
    wrong = []
    for warps in (4, 8):
        for stages in (1, 3):
            out = tg.full((small, small, K), float("nan"), device=ours.device, dtype=tg.bfloat16)
            arrays: list[DeviceArray] = [out.array, ti.array, tw.array]
            BM = 16 if tiny else 128
            constants = {"C": C, "K": K, "SIZE": size, "BM": BM, "BK": 32}
            launch(_flat_loop, (cdiv(small * small, BM),), *arrays, num_warps=warps, num_stages=stages, **constants)
            far = difference(np.asarray(out.cpu().to(tg.float32).numpy(), np.float64), np.asarray(expected))
            if not far <= 1e-2:
                wrong.append(f"{warps} warps, {stages} stages: relative error {far:.1e}")
    assert not wrong, "; ".join(wrong)


@trap
def wide_rows(ours: Ours, tiny: bool) -> None:
    """Softmax and cross-entropy of rows longer than a program holds, and of very short ones."""
    for rows, columns in ((2, 5000), (300, 3)) if tiny else ((4, 100003), (8, 50257), (100000, 10), (513, 1)):
        x = _random((rows, columns), 1) * 4
        classes = np.random.default_rng(2).integers(0, columns, rows)
        wide = x.astype(np.float64)
        e = np.exp(wide - wide.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        t = tg.from_numpy(x).to(ours.device).requires_grad_()
        labels = tg.from_numpy(classes).to(ours.device)
        _close(f"softmax {rows}x{columns}", F.softmax(t, 1), p, 1e-5)
        loss = F.cross_entropy(t, labels)
        if columns > 1:
            _close(f"cross_entropy {rows}x{columns}", loss, -np.log(p[np.arange(rows), classes]).mean(), 1e-5)
            p[np.arange(rows), classes] -= 1
            _close(f"its gradient {rows}x{columns}", tg.autograd.grad(loss, [t])[0], p / rows, 1e-4)


@trap
def norms_in_parts(ours: Ours, tiny: bool) -> None:
    """Batch norm over many places and over few, both layouts, forward and backward, mean far from zero."""
    shapes = [(2, 3, 4, 4), (3, 20, 2, 2)]
    if not tiny:
        shapes += [(128, 64, 32, 32), (64, 128, 7, 7), (256, 3, 64, 64), (128, 512, 4, 4), (7, 10, 33, 31)]
    for shape in shapes:
        x, g = _random(shape, 1) + 3, _random(shape, 2)
        for last in (False, True):
            results = []
            for device in ("cpu", ours.device):
                dtype = tg.float64 if device == "cpu" else tg.float32
                t = tg.from_numpy(x).to(device).to(dtype)
                if last:
                    t = t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
                t = t.detach().requires_grad_()
                w, b = (tg.full((shape[1],), v, device=device, dtype=dtype, requires_grad=True) for v in (0.7, 0.3))
                mean, var = (
                    tg.zeros(shape[1], device=device, dtype=dtype),
                    tg.ones(shape[1], device=device, dtype=dtype),
                )
                y = F.batch_norm(t, mean, var, w, b, True)
                into = tg.from_numpy(g).to(device).to(dtype)
                results.append([y, mean, var, *tg.autograd.grad(y, [t, w, b], [into])])
            names = ("output", "running mean", "running variance", "input gradient", "weight gradient", "bias gradient")
            for name, want, have in zip(names, *results, strict=True):
                layout = "channels last" if last else "row-major"
                _close(f"{shape} {layout} {name}", have, np.asarray(want.detach().numpy()), 1e-4)


@trap
def offsets_past_31_bits(ours: Ours, tiny: bool) -> None:
    """Arrays of more than 2^31 elements: first, middle and last elements come out right."""
    n = (1 << 12 if tiny else 1 << 31) + 1030
    x = tg.zeros(n, device=ours.device, dtype=tg.bfloat16)
    for begin in (0, n // 2, n - 16):
        x[begin : begin + 16] = 2.0
    y = F.relu(x) + 1
    for begin, value in ((0, 3.0), (100, 1.0), (n // 2, 3.0), (n - 16, 3.0), (n - 20, 1.0)):
        got = y[begin : begin + 4].cpu().to(tg.float32).numpy()
        assert (got == value).all(), f"element {begin} of {n}: {got}, expected {value}"
    total = float(x.sum(dtype=tg.float32))
    assert total == 96.0, f"the sum of {n} elements is {total}, expected 96"
    columns = x[: n - n % 1024].reshape(-1, 1024).sum(0)
    assert float(columns.to(tg.float32).sum()) >= 64.0, "column sums of more than 2^31 elements"


@trap
def random_bits(ours: Ours, tiny: bool) -> None:
    """Uniform, normal and integer random numbers and dropout are the CPU's, bit for bit."""
    for n in (1, 5, 1023) if tiny else (1, 5, 1023, (1 << 20) + 7):
        for dtype in (tg.float32, tg.float64, tg.bfloat16, tg.float16):
            made = []
            for device in ("cpu", ours.device):
                tg.manual_seed(n)
                x = tg.ones(n, device=device, dtype=dtype)
                made.append(
                    [
                        tg.rand(n, device=device, dtype=dtype),
                        tg.randn(n, device=device, dtype=dtype),
                        tg.randint(-3, 1000, (n,), device=device),
                        F.dropout(x, 0.3, True),
                        tg.bernoulli(tg.full((n,), 0.25, device=device, dtype=dtype)),
                    ]
                )
            for name, want, have in zip(("rand", "randn", "randint", "dropout", "bernoulli"), *made, strict=True):
                _same(f"{name} {n} {dtype}", have, want)


@trap
def the_same_twice(ours: Ours, tiny: bool) -> None:
    """Two runs from one seed give the same bits."""
    found = []
    for _ in range(2):
        tg.manual_seed(3)
        task = steps.build("resnet18", ours, "ieee", True)
        for i in range(1 if tiny else 2):
            task.step(*task.inputs(i))
        found.append(dict(task.values()))
    differ = [key for key in found[0] if found[0][key].tobytes() != found[1][key].tobytes()]
    assert not differ, f"{len(differ)} differ, {differ[0]} among them"


@trap
def batches_of_changing_size(ours: Ours, tiny: bool) -> None:
    """A ragged last batch, captured and not, trains as NumPy does."""
    width, size = nets.SMALL["lsgan28"]
    tasks = [nets.task("lsgan28", tg, device, 8, width=width, size=size) for device in ("cpu", ours.device)]
    batches = [t.inputs(0) for t in tasks]
    captured = tg.capture(tasks[1].nets["D"].forward) if ours.gpu else tasks[1].nets["D"].forward
    with tg.no_grad():
        for count in (8, 8, 8, 3, 3, 3, 8):
            want, have = tasks[0].nets["D"](batches[0][0][:count]), captured(batches[1][0][:count])
            _close(f"{count} images", have, np.asarray(want.numpy(), np.float64), 1e-4)


@trap
def options_that_change_under_capture(ours: Ours, tiny: bool) -> None:
    """A captured step follows learning rates and betas as an eager one does, bit for bit."""
    found = []
    for capture in (False, True):
        tg.manual_seed(5)
        task = steps.build("lsgan28", ours, "ieee", True)
        step = tg.capture(task.step) if capture else task.step
        batch = task.inputs()
        for i in range(2 if tiny else 6):
            task.optimizers["G"].param_groups[0]["lr"] = 1e-3 / (i + 1)
            task.optimizers["D"].param_groups[0]["betas"] = (0.5, 0.9 + 0.01 * i)
            step(*batch)
        found.append(dict(task.values()))
    differ = [key for key in found[0] if found[0][key].tobytes() != found[1][key].tobytes()]
    assert not differ, f"{len(differ)} values differ, {differ[0]} among them"


@trap
def layers_and_what_follows_in_one_kernel(ours: Ours, tiny: bool) -> None:
    """Activations fused into convolutions, linear layers and norms: what the layers give one by one, gradients too."""
    shape = (2, 4, 6, 6) if tiny else (32, 48, 14, 14)
    channels = shape[1]
    net = tg.nn.Sequential(
        tg.nn.Conv2d(channels, 32, 3, padding=1),
        tg.nn.LeakyReLU(0.2),
        tg.nn.Conv2d(32, 16, 3, stride=2),
        tg.nn.BatchNorm2d(16),
        tg.nn.ReLU(),
        tg.nn.ConvTranspose2d(16, 8, 4, 2, 1),
        tg.nn.Tanh(),
        tg.nn.Flatten(1),
    ).to(ours.device)
    x = tg.from_numpy(_random(shape, 1)).to(ours.device)
    found = []
    for together in (True, False):
        leaf = x.detach().requires_grad_()
        y = net(leaf) if together else leaf
        for layer in () if together else net:
            y = layer(y)
        g = tg.from_numpy(_random(tuple(y.shape), 2)).to(ours.device)
        found.append([y, *tg.autograd.grad(y, [leaf, *net.parameters()], [g])])
    for i, (have, want) in enumerate(zip(*found, strict=True)):
        _close(f"result {i}", have, np.asarray(want.detach().cpu().numpy(), np.float64), 1e-4)


@trap
def batches_fetched_ahead(ours: Ours, tiny: bool) -> None:
    """Batches that were copied in the background are the loader's, though the host is far ahead of the device."""
    images = _random((40, 3, 8, 8) if tiny else (2000, 3, 64, 64), 1)
    loader = data.DataLoader(images, batch_size=16, pin_memory=ours.gpu)
    a = tg.ones(32, 32, device=ours.device)
    found = []
    for batch in data.prefetch(loader, ours.device):
        for _ in range(1 if tiny else 50):
            a = (a @ a).clamp(-1, 1)
        found.append(batch * 2)
    for i, have in enumerate(found):
        np.testing.assert_array_equal(have.cpu().numpy(), images[16 * i : 16 * (i + 1)] * 2, f"batch {i}")


def _trains_as_numpy(name: str) -> Trap:
    def check(ours: Ours, tiny: bool) -> None:
        worst = steps.against_numpy(name, ours, 1 if tiny else 3)
        assert worst <= 1e-3, f"a loss differs from the CPU's by {worst:.1e}"

    return check


def _captured_is_eager(name: str, precision: str, small: bool) -> Trap:
    def check(ours: Ours, tiny: bool) -> None:
        differ = steps.same_bits(name, ours, precision, small or tiny, 1 if tiny else 4)
        assert not differ, f"{len(differ)} values differ between eager and captured, {differ[0]} among them"

    return check


for _name in nets.NAMES:
    TRAPS[f"{_name} trains as numpy"] = _trains_as_numpy(_name)
    for _precision in ("ieee", "tf32", "bf16"):
        TRAPS[f"{_name} {_precision} captured is eager, small"] = _captured_is_eager(_name, _precision, True)
TRAPS["lsgan28 tf32 captured is eager"] = _captured_is_eager("lsgan28", "tf32", False)
TRAPS["resnet18 bf16 captured is eager"] = _captured_is_eager("resnet18", "bf16", False)


# -- workers -----------------------------------------------------------------------------------------------------------


def work(device: str, tiny: bool) -> None:
    """Be a worker: answer each job on the standard input, until it ends."""
    ours = Ours(device)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints to the standard error
    for text in sys.stdin:
        job = text.strip()
        start = time.perf_counter()
        answer: dict[str, Any] = {"part": "checks", "case": job, "status": "ok"}
        lost = False
        try:
            run(job, ours, tiny)
            ours.synchronize()
        except AssertionError as error:
            answer |= {"status": "wrong", "message": _short(error)}
        except Exception as error:
            answer |= {"status": "wrong", "message": f"{type(error).__name__}: {_short(error)}", "where": _where(error)}
            lost = unusable(ours)
        answer["seconds"] = round(time.perf_counter() - start, 3)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if lost:
            os._exit(3)  # the device's memory is no longer to be trusted in this process


def unusable(ours: Ours) -> bool:
    """Whether the device refuses all further work in this process, as after an access outside its memory."""
    try:
        ours.synchronize()
        tg.ones(4, device=ours.device).sum().item()
    except Exception:
        return True
    return False


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


class Worker:
    """A worker process, started when it is first needed and again when it has died."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    def ask(self, job: str, patience: float) -> dict[str, Any]:
        """Have a job done."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                self._arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        answer = ""
        try:
            process.stdin.write(job + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], patience)
            if not ready:
                self.close()
                return {"part": "checks", "case": job, "status": "hung", "message": f"no answer in {patience:.0f} s"}
            answer = process.stdout.readline()
        except BrokenPipeError:
            pass
        if not answer:
            status = process.wait()
            self.close()
            return {"part": "checks", "case": job, "status": "crashed", "message": f"its process ended with {status}"}
        return dict(json.loads(answer))

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # type: ignore[union-attr]


def check_all(
    names: Iterable[str],
    device: str,
    tiny: bool,
    workers: int,
    done: Callable[[dict[str, Any]], None],
    until: float,
) -> list[str]:
    """Do jobs in worker processes, telling ``done`` each answer; returns those for which no time was left."""
    queue: SimpleQueue[str] = SimpleQueue()
    for name in names:
        queue.put(name)
    lock = threading.Lock()
    left: list[str] = []
    arguments = [sys.executable, "-m", "benchmarks.gpu", "--worker", device] + ["--dry-run"] * tiny

    def serve() -> None:
        worker = Worker(arguments)
        try:
            while True:
                try:
                    job = queue.get_nowait()
                except Empty:
                    return
                if time.monotonic() > until:
                    with lock:
                        left.append(job)
                    continue
                answer = worker.ask(job, PATIENCE)
                with lock:
                    done(answer)
        finally:
            worker.close()

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return left
