"""Compiling ahead, what is on disk afterwards, how little varies with the batch, and what the terminal is told."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trigrad as tg
from trigrad.__main__ import main
from trigrad.framework import compile as compiler
from trigrad.framework import progress, warm
from trigrad.framework.device import backend, device
from trigrad.framework.language import jit, tl
from trigrad.framework.record import Recorder
from trigrad.nn import functional as F

SCRIPT = """
import trigrad as tg

def step(device):
    x = tg.ones(64, device=device)
    return (x * 2).tanh()

def net():
    return tg.nn.Linear(8, 4)

number = 3
"""


# ---- one compilation for many batches --------------------------------------------------------------------------------


def usual(where, batch):
    """The usual operations of a training step, by name, on a batch of one size."""
    x = tg.randn(batch, 64, device=where).requires_grad_()
    bias = tg.randn(64, device=where)
    yield "elementwise", lambda: (tg.tanh(x * 2 + bias) * x).backward(x.detach())
    yield "sum over the batch", lambda: x.detach().sum(0)
    yield "softmax", lambda: tg.softmax(x, 1).backward(x.detach())
    image = tg.randn(batch, 16, 12, 12, device=where).requires_grad_()
    conv = tg.nn.Conv2d(16, 32, 3, 2, 1).to(where)
    yield "conv", lambda: conv(image).backward(tg.ones(batch, 32, 6, 6, device=where))
    norm = tg.nn.BatchNorm2d(16).to(where)
    yield "batch_norm", lambda: norm(image).backward(image.detach())
    linear = tg.nn.Linear(64, 48).to(where)
    yield "linear", lambda: linear(x).backward(tg.ones(batch, 48, device=where))
    labels = tg.zeros(batch, dtype=tg.int64, device=where)
    logits = tg.randn(batch, 10, device=where).requires_grad_()
    yield "loss", lambda: F.cross_entropy(logits, labels).backward()
    yield "pool", lambda: F.max_pool2d(image, 2).backward(tg.ones(batch, 16, 6, 6, device=where))


def kernels_of(batches):
    """How many different kernels the operations need in all, by name."""
    found = {}
    with Recorder("sm_90") as recorder:
        for batch in batches:
            for name, function in usual(recorder.device, batch):
                before = set(recorder.launches)
                function()
                found.setdefault(name, set()).update(set(recorder.launches) - before)
    return {name: len(kernels) for name, kernels in found.items()}


def test_twenty_batch_sizes_need_few_kernels():
    """Twenty sizes of one magnitude need hardly more kernels than one and a ragged last batch."""
    pair = kernels_of([128, 77])
    twenty = kernels_of(range(65, 129, 3))
    assert sum(kernels_of([128]).values()) <= sum(pair.values())
    for name in pair:
        assert twenty[name] <= pair[name] + 4, (name, pair[name], twenty[name])


def test_what_a_batch_may_be_without_another_kernel():
    @jit
    def rows(out, n, shape, strides, kept_shape, BLOCK: tl.constexpr):
        tl.store(out + tl.arange(0, BLOCK), n + shape[0] + strides[0] + kept_shape[0])

    class Pointer:
        dtype, ptr = np.dtype(np.int64), 4096

    def kernel(n=5, shape=(7, 32), strides=(32, 1), kept=(3,)):
        return compiler.specialise(rows, (Pointer(), n, shape, strides, kept), {"BLOCK": 16}, 4, 3)

    assert kernel() == kernel(shape=(64, 32)) == kernel(shape=(1, 32)) == kernel(kept=(16,)) == kernel(n=7)
    assert kernel() != kernel(shape=(7, 33))  # inner sizes and strides tell which loads are wide
    assert kernel() != kernel(strides=(33, 1))
    assert kernel() != kernel(n=32)
    assert kernel(n=np.int32(5)) == kernel(n=np.int32(32))  # said to be chance
    assert kernel() != kernel(shape=(1 << 33, 32))


# ---- warm ------------------------------------------------------------------------------------------------------------


def run(folder, *arguments, **environment):
    settings = {
        **os.environ,
        "PYTHONPATH": str(Path(tg.__file__).parents[1]),
        "TRITON_CACHE_DIR": str(folder / "cache"),
    }
    settings.pop("TRITON_INTERPRET", None)
    return subprocess.run(
        [sys.executable, "-m", "trigrad", "warm", *arguments],
        cwd=folder,
        env=settings | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def on_disk(folder):
    return {path.name for path in (folder / "cache").iterdir()} if (folder / "cache").exists() else set()


def test_a_function_is_compiled_ahead(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run(tmp_path, "script.py:step", "--target", "sm_90", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "kernels for sm_90 are compiled" in done.stdout
    made = on_disk(tmp_path)
    assert len(made) >= 2
    again = run(tmp_path, "script:step", "--target", "sm_90", "--jobs", "1")
    assert again.returncode == 0 and on_disk(tmp_path) == made  # everything was there
    other = run(tmp_path, "script.py:net", "--input", "2x8", "--target", "sm_80", "--jobs", "1")
    assert other.returncode == 0, other.stderr
    assert on_disk(tmp_path) > made


def test_what_cannot_be_compiled_ahead(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_step.py").write_text("def step(device):\n    raise KeyError('inside the step')\n")
    for what, message in [
        ("nothing", "warm: expected MODULE:NAME or FILE.py:NAME, got 'nothing'"),
        ("absent.py:step", "warm: there is no file absent.py"),
        ("no_such_module:step", "warm: 'no_such_module' cannot be imported"),
        ("json:step", "warm: json has no 'step'"),
    ]:
        assert main(["warm", what, "--target", "sm_90"]) == 2
        assert message in capsys.readouterr().err
    assert main(["warm", "json:loads", "--target", "sm_1"]) == 2
    assert "target: expected one of" in capsys.readouterr().err
    assert main(["warm", "json:loads", "--target", "sm_90", "--jobs", "0"]) == 2
    if not tg.cuda.is_available():
        assert main(["warm", "json:loads"]) == 2
        assert "there is no GPU here: name one with --target" in capsys.readouterr().err
    done = run(tmp_path, "broken_step.py:step", "--target", "sm_90", "--jobs", "1")
    assert done.returncode == 1
    assert "warm: a compiling process failed" in done.stderr and "inside the step" in done.stderr


def test_shares_are_the_whole():
    def step(where):
        x = tg.ones(8, device=where)
        return (x + 1).exp() * x

    names = [str(kernel) for kernel in warm.recorded(step, "sm_90")]
    shares = [[name for _, name in warm.share(step, "sm_90", i, 2)] for i in range(2)]
    assert shares == [names[::2], names[1::2]]
    assert compiler.target("sm_86").arch == 86


@pytest.mark.nodriver
def test_a_gpu_finds_what_was_compiled_ahead(driver):
    """The kernels noted without a GPU are those that a GPU of that kind asks for."""
    folder = Path(os.environ["TRITON_CACHE_DIR"])

    def step(where):
        net = tg.nn.Sequential(tg.nn.Linear(33, 7), tg.nn.Tanh()).to(where)
        net(tg.ones(5, 33, device=where)).sum().backward()
        tg.optim.Adam(net.parameters()).step()

    assert warm.targets_here() == "sm_90"
    made = [name for _, name in warm.share(step, "sm_90", 0, 1)]
    assert driver.launches() == 0
    before = set(folder.iterdir())
    step("cuda")
    assert driver.calls("cuLibraryLoadData") == len(made) > 3
    assert set(folder.iterdir()) == before


# ---- the cache on disk -------------------------------------------------------------------------------------------------


def test_functions_inside_tuples_are_part_of_the_key(tmp_path, monkeypatch):
    """Another body of a function that a kernel gets in a tuple, as epilogues do, is another kernel on disk."""
    code = """
from trigrad.framework.language import jit, tl

@jit
def change(x):
    return x {change}

@jit
def kernel(out, F: tl.constexpr):
    tl.store(out, F[0](tl.load(out)))
"""
    import importlib.util

    made = []
    for i, text in enumerate(("+ 1", "+ 2", "+ 1")):
        path = tmp_path / f"changing_{i}.py"
        path.write_text(code.replace("{change}", text))
        spec = importlib.util.spec_from_file_location("changing", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        class Pointer:
            dtype, ptr = np.dtype(np.float32), 4096

        kernel = compiler.specialise(module.kernel, (Pointer(),), {"F": (module.change,)}, 1, 1)
        made.append(compiler.compile(kernel, compiler.target("sm_90")).hash)
    assert made[0] != made[1]
    assert made[0] == made[2]


# ---- progress ----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.delenv("TRIGRAD_PROGRESS", raising=False)
    monkeypatch.setattr(progress, "total", progress._Total())
    return progress.total


def said(monkeypatch, stream, kernel="kernel(*fp32)"):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.compiling(kernel):
        inside = stream.getvalue()
    return inside, stream.getvalue()


def test_progress_is_told_to_terminals_that_have_waited(quick, monkeypatch):
    assert said(monkeypatch, Terminal()) == ("", "")  # not yet
    quick.seconds = 8.2
    inside, after = said(monkeypatch, Terminal())
    assert inside == "\r\x1b[2Ktrigrad: compiling kernel 2, kernel(*fp32); 8 s so far, once per machine"[: len(inside)]
    assert "compiling kernel 2" in inside and after == inside + "\r\x1b[2K"
    assert said(monkeypatch, io.StringIO()) == ("", "")  # never to a file
    assert quick.kernels == 3


def test_progress_can_be_chosen(quick, monkeypatch):
    quick.seconds = 8
    monkeypatch.setenv("TRIGRAD_PROGRESS", "0")
    assert said(monkeypatch, Terminal()) == ("", "")
    monkeypatch.setenv("TRIGRAD_PROGRESS", "1")
    quick.seconds = 0
    inside, after = said(monkeypatch, io.StringIO())
    assert inside == after == "trigrad: compiling kernel 2, kernel(*fp32); 0 s so far, once per machine\n"
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.delenv("TRIGRAD_PROGRESS")
    with progress.compiling("kernel"):
        pass


def test_a_failure_is_counted_and_told(quick, monkeypatch):
    quick.seconds = 8
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(KeyError), progress.compiling("kernel"):
        raise KeyError
    assert stream.getvalue().endswith("\r\x1b[2K") and quick.kernels == 1


@pytest.mark.nodriver(TRIGRAD_PROGRESS="0")
def test_first_launches_are_counted(driver):
    gpu = backend(device("cuda"))
    x = tg.ones(10, device="cuda")
    x + x
    x + x
    assert progress.total.kernels == driver.calls("cuLibraryLoadData") > 1
    assert gpu.swift
