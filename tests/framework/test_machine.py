"""What the machine code of known kernels says: each figure that a gate rests on can be seen to move."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import dtypes
from trigrad.framework.array import empty
from trigrad.framework.language import jit, tl
from trigrad.framework.launch import launch
from trigrad.framework.machine import facts
from trigrad.framework.record import Recorder

pytest.importorskip("triton", reason="Triton is not installed")


@jit
def scale(out_ptr, in_ptr, step, BLOCK: tl.constexpr):
    # out, in: BLOCK elements, in's ``step`` apart
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(in_ptr + i * step) * 2)


@jit
def scale_dense(out_ptr, in_ptr, BLOCK: tl.constexpr):
    # out, in: BLOCK elements
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(in_ptr + i) * 2)


@jit
def accumulate(out_ptr, in_ptr, BLOCK: tl.constexpr):
    # out: 1 element, in: BLOCK elements
    tl.atomic_add(out_ptr, tl.sum(tl.load(in_ptr + tl.arange(0, BLOCK))))


@jit
def product(out_ptr, a_ptr, b_ptr, K, M: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr):
    # a (M, K) and b (K, N), row-major with K a multiple of BLOCK; out (M, N)
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, BLOCK)
    acc = tl.zeros((M, N), tl.float32)
    for start in range(0, K, BLOCK):
        a = tl.load(a_ptr + m[:, None] * K + (start + k)[None, :])
        b = tl.load(b_ptr + (start + k)[:, None] * N + n[None, :])
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    tl.store(out_ptr + m[:, None] * N + n[None, :], acc)


def compiled(target, function, shapes, numbers=(), kind=dtypes.float32, num_warps=4, **constants):
    with Recorder(target) as recorder:
        arrays = [empty(shape, kind.numpy, recorder) for shape in shapes]
        launch(function, (1,), *arrays, *numbers, num_warps=num_warps, num_stages=3, **constants)
        ((_, kernel),) = recorder.compile_all()
        return facts(kernel)


@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_widths(target):
    dense = compiled(target, scale_dense, [(4096,), (4096,)], BLOCK=4096)
    assert set(dense.widths("LDG")) == set(dense.widths("STG")) == {16}
    spread = compiled(target, scale, [(4096,), (4096,)], (3,), BLOCK=4096)
    assert set(spread.widths("LDG")) == {4} and set(spread.widths("STG")) == {16}
    halves = compiled(target, scale, [(4096,), (4096,)], (3,), kind=dtypes.bfloat16, BLOCK=4096)
    assert set(halves.widths("LDG")) == {2}
    assert dense.spills == dense.stack == dense.float_atomics == 0 and dense.tensor == ""


def test_a_sum_by_float_atomics_is_seen():
    assert compiled("sm_90", accumulate, [(1,), (1024,)], BLOCK=1024).float_atomics > 0


@pytest.mark.parametrize(("target", "tensor"), [("sm_80", "mma"), ("sm_90", "wgmma"), ("sm_100", "tcgen05")])
def test_tensor_cores(target, tensor):
    shapes = [(128, 64), (128, 256), (256, 64)]
    sizes = {"M": 128, "N": 64, "BLOCK": 64}
    halves = compiled(target, product, shapes, (256,), kind=dtypes.bfloat16, PRECISION="ieee", **sizes)
    assert halves.tensor == tensor
    assert set(halves.widths("LDGSTS")) == {16}
    sizes = {"M": 64, "N": 64, "BLOCK": 32}
    plain = compiled(target, product, [(64, 64), (64, 256), (256, 64)], (256,), PRECISION="ieee", **sizes)
    assert plain.tensor == "" and plain.count("FFMA", "FFMA2") > 0


def test_registers_that_do_not_fit_are_seen():
    sizes = {"M": 256, "N": 128, "BLOCK": 32}
    crowded = compiled("sm_90", product, [(256, 128), (256, 256), (256, 128)], (256,), PRECISION="ieee", **sizes)
    assert crowded.registers == 255 and crowded.spills > 0 and crowded.stack > 0


def test_other_targets_are_refused():
    with Recorder("gfx942") as recorder:
        x = tg.zeros(4, device=recorder.device)
        (x + x).sum()
        _, kernel = recorder.compile_all()[0]
    with pytest.raises(ValueError, match="machine: expected a kernel for an NVIDIA target, .* has no cubin"):
        facts(kernel)


def test_large_memory_is_recorded_by_address_only():
    with Recorder("sm_90") as recorder:
        x = tg.zeros(1 << 34, device=recorder.device)
        y = x + x
        assert y.array.ptr % 512 == 0 and y.array.ptr != x.array.ptr
        small = tg.tensor(np.arange(3.0), device=recorder.device)
        assert small.tolist() == [0.0, 1.0, 2.0]
        assert len(recorder.launches) == 2 and sum(recorder.counts.values()) == 2
