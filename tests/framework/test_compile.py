"""Kernels compile for every target, beside the interpreter and in threads, and are told apart by what matters."""

import hashlib
import importlib.util
import pathlib
import re
import threading

import ml_dtypes
import numpy as np
import pytest

from trigrad.framework import array as arrays
from trigrad.framework.compile import TARGETS, compile, flatten, specialise, target
from trigrad.framework.device import _backends, backend, device
from trigrad.framework.language import jit, real, tl
from trigrad.framework.record import Recorder


def interpreter_tests():
    path = pathlib.Path(__file__).with_name("test_interpreter.py")
    spec = importlib.util.spec_from_file_location("interpreter_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


K = interpreter_tests()
F16, BF16, F32, F64 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32), np.dtype(np.float64)
I32, I64 = np.dtype(np.int32), np.dtype(np.int64)


class Pointer:
    """An array as far as a specialisation looks at it."""

    def __init__(self, dtype, ptr=4096):
        self.dtype, self.ptr = np.dtype(dtype), ptr


def pointers(dtype, count):
    return tuple(Pointer(dtype) for _ in range(count))


# Every kernel that the interpreter's tests run, with one set of arguments each.
CASES = {
    "copy_masked": ((*pointers(np.bool_, 2), 100), {"BLOCK": 32}),
    "positions": (pointers(I32, 1), {"BLOCK": 1}),
    "out_of_bounds": (pointers(F32, 2), {"SHIFT": 0, "BLOCK": 64}),
    "arithmetic": (pointers(BF16, 3), {"BLOCK": 64}),
    "division": ((*pointers(I32, 4), Pointer(F32)), {"BLOCK": 64}),
    "bit_operations": (pointers(np.uint32, 4), {"BLOCK": 64}),
    "casts": ((Pointer(F64), Pointer(F16)), {"BLOCK": 64}),
    "fused": (pointers(F32, 4), {"BLOCK": 64}),
    "functions": (pointers(F64, 2), {"BLOCK": 64}),
    "matrix_product": ((*pointers(BF16, 2), Pointer(F32)), {"M": 16, "N": 16, "K": 32}),
    "total": (pointers(F32, 2), {"M": 8, "N": 16}),
    "extremes": ((Pointer(F32), Pointer(I32)), {"M": 8, "N": 16}),
    "own_combines": (pointers(F32, 2), {"BLOCK": 64}),
    "given_combine": (pointers(F32, 2), {"BLOCK": 64, "COMBINE": K.nan_max}),
    "scans": (pointers(F64, 3), {"BLOCK": 64}),
    "shapes": (pointers(F32, 2), {"M": 4, "N": 8}),
    "sorting": ((*pointers(F32, 2), Pointer(I32)), {"BLOCK": 64}),
    "control": ((Pointer(F32), 7), {"LIMIT": 4, "MODE": "even"}),
    "generic": (
        (Pointer(F64), pointers(F64, 2), ((1, 2), (3, 4)), (np.float64(0.1), np.float64(0.7)), None, 64),
        {"F": K.weighted, "KINDS": ("block", "scalar"), "BLOCK": 32},
    ),
    "scalars": ((Pointer(F64), np.float64(1), np.int64(1), 2.5, 3, ml_dtypes.bfloat16(1), True), {}),
    "wrapping": ((Pointer(I64), np.int64(5)), {"BLOCK": 64}),
    "random_numbers": ((Pointer(F32), 42), {"BLOCK": 64}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_interpreter_runs_also_compiles(name):
    arguments, constants = CASES[name]
    kernel = compile(specialise(getattr(K, name), arguments, constants, 4, 2), target("sm_90"))
    assert kernel.metadata.name == name
    assert kernel.asm["cubin"][:4] == b"\x7fELF"
    parameters = re.search(r"\.entry[^)]*\)", kernel.asm["ptx"]).group(0).count(".param")
    assert parameters == len(flatten(arguments)) + 2  # the two scratch pointers


def test_no_kernel_of_the_interpreters_is_forgotten():
    kernels = {n for n, f in vars(K).items() if type(f).__name__ in ("Jit", "JITFunction")}
    parts = {"merge", "later", "nan_max", "affine", "fetch", "weighted"}
    refused = {"asserting", "chained", "nested", "looped"}
    assert kernels - parts - refused == set(CASES)


def test_chained_comparisons_do_not_compile_everywhere():
    """The interpreter refuses them because Triton 3.6 does."""
    import triton

    kernel = specialise(K.chained, (Pointer(I32), 3), {}, 4, 1)
    if triton.__version__ < "3.7":
        with pytest.raises(Exception, match="simultaneous multiple comparison"):
            compile(kernel, target("sm_90"))


@jit
def scale(x, out, n, factor, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) * factor + 1.0, mask=i < n)


def simple(n=1024, constants=None, **pointer):
    return specialise(scale, (Pointer(F32, **pointer), Pointer(F32), n, 2.0), constants or {"BLOCK": 1024}, 4, 1)


@pytest.mark.parametrize("name", TARGETS)
def test_targets(name):
    kernel = compile(simple(), target(name))
    binary = "hsaco" if name == "gfx942" else "cubin"
    assert kernel.asm[binary][:4] == b"\x7fELF"
    if name != "gfx942":
        assert f".target {name}" in kernel.asm["ptx"]
        assert "ld.global.v4" in kernel.asm["ptx"]  # addresses and n are multiples of 16


def test_unknown_target():
    with pytest.raises(ValueError, match="target: expected one of sm_80, sm_90, sm_100, gfx942, got 'sm_1'"):
        target("sm_1")


def test_alignment_is_part_of_a_specialisation():
    assert simple() == simple(2048)
    assert hash(simple()) == hash(simple(2048))
    assert simple() != simple(1000)
    assert simple() != simple(ptr=4100)
    assert "ld.global.v4" not in compile(simple(ptr=4100), target("sm_90")).asm["ptx"]


def test_constants_of_different_types_differ():
    @jit
    def kernel(out, X: tl.constexpr):
        tl.store(out, X)

    made = {
        specialise(kernel, (Pointer(F32),), {"X": x}, 4, 1)
        for x in (1, True, 1.0, 0.0, -0.0, (1, 2), (1.0, 2), np.float64(1.0), np.int64(1))
    }
    assert len(made) == 7  # NumPy's numbers become Python's


def test_fusion_can_be_turned_off():
    with_fusion, without = (simple(constants={"BLOCK": 1024, "enable_fp_fusion": on}) for on in (True, False))
    assert with_fusion == simple()
    assert with_fusion != without
    assert "fma.rn.f32" in compile(with_fusion, target("sm_90")).asm["ptx"]
    ptx = compile(without, target("sm_90")).asm["ptx"]
    assert "fma.rn" not in ptx
    assert "mul" in ptx


def test_types_of_arguments():
    @jit
    def kernel(a, b, c, d, e, f, g, h):
        pass

    arguments = (
        Pointer(np.bool_),
        Pointer(np.uint8),
        (Pointer(BF16), (None, np.float16(1))),
        2**31 - 1,
        2**31,
        np.int8(16),
        np.bool_(True),
        (),
    )
    made = specialise(kernel, arguments, {}, 8, 3)
    assert made.types == ("*i1", "*u8", ("*bf16", ("constexpr", "fp16")), "i32", "i64", "i8", "i1", ())
    assert made.aligned == ((0,), (1,), (2, 0), (4,))
    assert made.constants == (((2, 1, 0), None),)
    assert str(made) == "kernel(*i1, *u8, (*bf16, (constexpr, fp16)), i32, i64, i8, i1, ())"
    with pytest.raises(TypeError, match="kernel: expected an array, a number, None or a tuple of these, got complex64"):
        specialise(kernel, (np.complex64(1), 0, 0, 0, 0, 0, 0, 0), {}, 4, 1)
    with pytest.raises(TypeError, match="kernel: expected 8 arguments, got 1"):
        specialise(kernel, (1,), {}, 4, 1)


def test_arguments_in_the_kernels_order():
    half = np.float16(1.5)
    inside = (Pointer(F32, 128), (None, 2.5))
    flat = flatten((Pointer(F32, 64), 3, inside, half, ml_dtypes.bfloat16(1), True, np.int64(5)))
    assert flat == [64, 3, 128, 2.5, half.view(np.uint16), 0x3F80, True, 5]
    assert [type(x) for x in flat] == [int, int, int, np.float32, np.uint16, np.uint16, np.bool_, np.int64]


def test_functions_inside_tuples_count():
    @jit
    def one(x):
        return x + 1

    @jit
    def two(x):
        return x + 2

    @jit
    def apply(out, FS: tl.constexpr):
        tl.store(out, FS[0](tl.load(out)))

    first, second = (
        compile(specialise(apply, (Pointer(I32),), {"FS": (f,)}, 4, 1), target("sm_90")) for f in (one, two)
    )
    assert first.hash != second.hash
    assert first.asm["ttir"] != second.asm["ttir"]


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """A cache of compiled kernels that is empty, so that compiling compiles."""
    count = iter(range(1000))

    def renew():
        monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / str(next(count))))

    renew()
    return renew


def interpret():
    interpreter = backend(device("interpreter"))
    x = np.arange(1024, dtype=np.float32)
    placed, out = arrays.from_numpy(x, interpreter), arrays.empty((1024,), F32, interpreter)
    interpreter.launch(scale, (1,), (placed, out, 1024, 2.0), {"BLOCK": 1024}, 4, 1)
    np.testing.assert_array_equal(out.numpy(), x * 2 + 1)


def digest(specialisation):
    return hashlib.sha256(compile(specialisation, target("sm_90")).asm["cubin"]).hexdigest()


def test_interpreting_leaves_compiling_as_it_was(fresh_cache):
    arguments, constants = CASES["own_combines"]
    specialisations = [simple(), specialise(K.own_combines, arguments, constants, 4, 1)]
    before = [digest(s) for s in specialisations]
    interpret()
    K.run(K.own_combines, np.ones(64, np.float32), np.zeros(4, np.float32), BLOCK=64)
    with pytest.raises(RuntimeError):
        K.run(K.asserting, np.zeros(8, np.int32), 3, MODE=0)
    fresh_cache()
    assert [digest(s) for s in specialisations] == before
    interpret()


def test_compiling_and_interpreting_in_threads(fresh_cache):
    errors, stop = [], threading.Event()

    def keep_interpreting():
        try:
            while not stop.is_set():
                interpret()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=keep_interpreting)
    thread.start()
    try:
        digests = set()
        for _ in range(4):
            fresh_cache()
            digests.add(digest(simple()))
    finally:
        stop.set()
        thread.join()
    assert not errors
    assert len(digests) == 1


def test_a_kernel_that_does_not_compile_says_which():
    @jit
    def broken(out):
        tl.store(out, tl.arange(0, 3))

    with pytest.raises(Exception, match="broken"):
        compile(specialise(broken, (Pointer(I32),), {}, 4, 1), target("sm_90"))


def test_recorder_notes_each_specialisation_once():
    with Recorder("sm_90") as recorder:
        where = recorder.device
        assert str(where) == "record:sm_90"
        assert where.type == "cuda"
        assert where != device("cuda")
        assert backend(where) is recorder
        assert device(where) is where
        x = arrays.from_numpy(np.ones(100, np.float32), recorder)
        assert x.device is where
        out = arrays.empty((100,), F32, recorder)
        for n in (96, 100, 100, 32):
            recorder.launch(scale, (1,), (x, out, n, 2.0), {"BLOCK": recorder.block}, 4, 1)
        assert [len(s.aligned) for s in recorder.launches] == [3, 2]
        np.testing.assert_array_equal(out.numpy(), 0)
        (first, kernel), (second, _) = recorder.compile_all()
        assert first == second == "scale(*fp32, *fp32, i32, fp32)"
        assert kernel.asm["cubin"]
    assert where not in _backends


def test_recorder_that_executes():
    with Recorder("gfx942", execute=True) as recorder:
        x = np.arange(2000, dtype=np.float32)
        placed, out = arrays.from_numpy(x, recorder), arrays.empty((2000,), F32, recorder)
        recorder.launch(scale, (2,), (placed, out, 2000, 3.0), {"BLOCK": recorder.block}, 4, 1)
        np.testing.assert_array_equal(out.numpy(), x * 3 + 1)
        assert [name for name, _ in recorder.compile_all()] == ["scale(*fp32, *fp32, i32, fp32)"]


def test_the_function_of_a_specialisation_is_tritons():
    assert simple().function is real(scale)
