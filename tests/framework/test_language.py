"""Triton is imported when a kernel needs it, and takes the stand-ins' place everywhere."""

import importlib.util
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from trigrad.framework import array as arrays
from trigrad.framework import language
from trigrad.framework.device import backend, device
from trigrad.framework.language import cdiv, jit, next_power_of_2, real, tl

HALF = tl.constexpr(0.5)
sigmoid = tl.sigmoid  # an alias at the top of a file


@jit
def kernel(out, N: tl.constexpr, KIND: tl.constexpr = tl.float32):
    """A kernel that refers to what is defined below it."""
    i = tl.arange(0, N)
    tl.store(out + i, helper(i.to(KIND), 2) + sigmoid(i.to(KIND)) * 0)


@jit
def helper(x, depth: tl.constexpr):
    if depth > 0:
        x = other(x, depth - 1) + HALF
    return x


@jit
def other(x, depth: tl.constexpr):
    return helper(x, depth)


def run(function, out, **constants):
    interpreter = backend(device("interpreter"))
    placed = arrays.from_numpy(out, interpreter)
    interpreter.launch(function, (1,), (placed,), constants, 4, 1)
    return placed.numpy()


def test_functions_that_call_each_other_become_real():
    assert isinstance(kernel, language.Jit)
    assert kernel.__name__ == "kernel"
    assert "defined below" in kernel.__doc__
    held = kernel
    function = real(held)
    assert function is real(held) is real(function)
    assert type(helper).__name__ == "JITFunction"  # replaced in this file, where the kernel refers to it
    assert [p.is_constexpr for p in function.params] == [False, True, True]
    np.testing.assert_array_equal(run(held, np.zeros(8, np.float32), N=8), np.arange(8) + 1.0)


def test_what_the_annotations_say_without_evaluation(tmp_path):
    file = tmp_path / "postponed.py"
    file.write_text(
        "from __future__ import annotations\n"
        "from trigrad.framework.language import jit, tl\n"
        "@jit\ndef fill(out, N: tl.constexpr):\n    tl.store(out + tl.arange(0, N), N)\n"
    )
    module = load(file)
    np.testing.assert_array_equal(run(module.fill, np.zeros(4, np.float32), N=4), [4, 4, 4, 4])
    assert real(module.fill).params[1].is_constexpr


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_file_that_imports_triton_itself(tmp_path):
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("the file's functions would be Triton's interpreter's")
    file = tmp_path / "direct.py"
    file.write_text(
        "import triton\nimport triton.language as tl\n"
        "from trigrad.framework.language import jit, tl as lazy\n"
        "@jit\ndef half(x):\n    return x * 0.5\n"
        "@triton.jit\ndef fill(out, N: tl.constexpr):\n"
        "    i = tl.arange(0, N)\n    tl.store(out + i, half(i.to(tl.float32)) + lazy.zeros_like(i))\n"
    )
    module = load(file)
    np.testing.assert_array_equal(run(module.fill, np.zeros(4, np.float32), N=4), [0, 0.5, 1, 1.5])
    assert real(module.fill) is module.fill


def test_functions_of_another_module_and_of_an_enclosing_scope(tmp_path):
    (tmp_path / "tools.py").write_text(
        "from trigrad.framework.language import jit, tl\n@jit\ndef twice(x):\n    return tl.cast(x * 2, tl.float32)\n"
    )
    tools = load(tmp_path / "tools.py")
    globals()["tools"] = tools

    @jit
    def inner(x):
        return tools.twice(x) + HALF

    @jit
    def outer(out, N: tl.constexpr):
        i = tl.arange(0, N)
        tl.store(out + i, inner(i))

    try:
        np.testing.assert_array_equal(run(outer, np.zeros(4, np.float32), N=4), [0.5, 2.5, 4.5, 6.5])
    finally:
        del globals()["tools"]


def test_a_name_that_is_not_defined_yet():
    @jit
    def early(out):
        tl.store(out, later(1))

    with pytest.raises(RuntimeError, match="early: the kernel refers to 'later', which is not defined yet"):
        real(early)
    later = helper
    assert later is helper
    assert real(early).fn.__name__ == "early"


def test_misuse():
    with pytest.raises(TypeError, match="jit: expected a Python function"):
        jit(3)
    with pytest.raises(RuntimeError, match="kernel: a @jit function can be called in kernels only"):
        language.Jit(kernel.fn)(1)
    with pytest.raises(RuntimeError, match="can be called in kernels only"):
        language.libdevice.tanh(1.0)  # this file's own name may be Triton's by now
    with pytest.raises(TypeError, match="expected a @jit function"):
        real(len)


def test_host_arithmetic():
    assert [cdiv(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [next_power_of_2(n) for n in (0, 1, 2, 3, 64, 65)] == [1, 1, 2, 4, 64, 128]
    assert tl.float32 is tl.float32


def test_threads_make_one_function():
    @jit
    def shared(out, N: tl.constexpr):
        tl.store(out + tl.arange(0, N), 1.0)

    found, start = [], threading.Barrier(4)

    def ask():
        start.wait()
        found.append(real(shared))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environment,
    )


def test_nothing_is_imported_for_a_kernel(tmp_path):
    file = tmp_path / "lazy.py"
    file.write_text(
        "from trigrad.framework.language import jit, libdevice, tl, triton\n"
        "LIMIT = tl.constexpr(3.0)\n"
        "@jit\ndef f(x, N: tl.constexpr, T: tl.constexpr = tl.float32):\n    tl.store(x, LIMIT)\n"
        "GRID = triton.cdiv(10, triton.next_power_of_2(3))\n"
    )
    done = python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import lazy\n"
        "print(lazy.GRID, [m for m in ('triton', 'cuda', 'torch') if m in sys.modules])\n"
    )
    assert done.stdout == "3 []\n", done.stderr


def test_triton_missing():
    done = python(
        "import sys; sys.modules['triton'] = None\n"
        "from trigrad.framework.device import backend, device\n"
        "try:\n    backend(device('interpreter'))\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert done.stdout.startswith("Triton is not installed: the devices 'cuda' and 'interpreter'"), done.stderr


def test_under_triton_interpret(tmp_path):
    file = tmp_path / "kernels_file.py"
    file.write_text(
        "import numpy as np, triton\nimport triton.language as ttl\n"
        "from trigrad.framework.language import jit, tl\n"
        "@jit\ndef f(x, out, N: tl.constexpr):\n    v = tl.load(x + tl.arange(0, N))\n"
        "    tl.store(out, tl.sum(v) + v.max(0) + tl.cdiv(N, 3))\n"
        "@triton.jit\ndef g(x, out, N: ttl.constexpr):\n    v = ttl.load(x + ttl.arange(0, N))\n"
        "    ttl.store(out, ttl.sum(v) + v.max(0) + ttl.cdiv(N, 3))\n"
    )
    done = python(
        f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import numpy as np, kernels_file
from trigrad.framework import array, compile, device
print(device.get_default_device())
b = device.backend(device.device("interpreter"))
x = array.from_numpy(np.arange(8, dtype=np.float32), b)
for f in (kernels_file.f, kernels_file.g):
    out = array.empty((1,), np.dtype(np.float32), b)
    b.launch(f, (1,), (x, out), dict(N=8), 4, 1)
    print(out.numpy())
    try:
        compile.compile(compile.specialise(f, (x, out), dict(N=8), 4, 1), compile.target("sm_90"))
    except RuntimeError as error:
        print(error)
""",
        TRITON_INTERPRET="1",
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["interpreter", "[38.]"], done.stderr
    assert lines[2].startswith("f: nothing can be compiled while TRITON_INTERPRET is set")
    assert lines[3] == "[38.]", done.stderr
    assert "unset TRITON_INTERPRET" in lines[4]
