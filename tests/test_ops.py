"""Every row of the op table is held to the same properties.  Nothing here names an op."""

from collections.abc import Iterator

import numpy as np
import pytest

import trigrad as tg
from trigrad import testing
from trigrad.framework.op import OPS, Op, Sample

TARGETS = ("sm_80", "sm_90", "sm_100", "gfx942")
DEVICES = ["interpreter"] + (["cuda"] if tg.cuda.is_available() else [])

ROWS = [op for op in OPS.values() if op.kernel.numpy.__module__.startswith("trigrad.kernels")]
WITH_SAMPLES = [op for op in ROWS if op.samples is not None]
CALLS = [(op, s) for op in WITH_SAMPLES for s in testing.samples_of(op)]


def calls(keep) -> list:
    return [pytest.param(op, s, id=f"{op.name}-{s.name}".replace(" ", "_")) for op, s in CALLS if keep(s)]


def typed() -> Iterator:
    for op, s in CALLS:
        if s.raises is None:
            for dtype in s.dtypes or (None,):
                yield pytest.param(op, s, dtype, id=f"{op.name}-{s.name}-{dtype}".replace(" ", "_"))


RUNS = calls(lambda s: s.raises is None)


def reached() -> set[str]:
    """Rows with samples of their own, and rows that one of these reaches as a gradient, or a gradient's gradient."""
    found, waiting = set(), [op.name for op in WITH_SAMPLES]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(g.op for g in OPS[name].grads)
    return found


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_row_is_whole(op: Op, record_property):
    testing.check_row(op)
    record_property("rows", op.name)
    assert op.name in reached(), f"{op.name} has no samples and no row with samples leads to it"
    if op.grads:
        record_property("differentiable rows", op.name)


def test_the_table_is_whole(record_property):
    """Every row has NumPy, Triton and samples, every differentiable row its backward rows; prints how many."""
    backward = {g.op for op in ROWS for g in op.grads}
    for op in ROWS:
        assert callable(op.kernel.numpy) and callable(op.kernel.triton)
        assert op.name in reached()
        assert all(g.op in OPS for g in op.grads)
    twice = [op for op in ROWS if testing.twice_differentiable(op)]
    print(
        f"\n{len(ROWS)} rows, each with NumPy, Triton and samples; {sum(bool(op.grads) for op in ROWS)} differentiable, all with "
        f"their backward rows ({len(backward)} rows serve as a gradient); {len(twice)} twice differentiable; {len(CALLS)} samples"
    )


@pytest.mark.parametrize("op, sample", calls(lambda s: s.answers))
def test_worked_answers(op: Op, sample: Sample, record_property):
    testing.check_worked(op, sample)
    record_property("worked answers", f"{op.name} {sample.name}")


@pytest.mark.parametrize("op, sample", RUNS)
def test_inputs_are_left_alone(op: Op, sample: Sample, record_property):
    testing.check_untouched(op, sample)
    record_property("samples", f"{op.name} {sample.name}")


@pytest.mark.parametrize("op, sample", RUNS)
def test_strides_do_not_matter(op: Op, sample: Sample):
    testing.check_strides(op, sample)


@pytest.mark.parametrize("op, sample", calls(lambda s: s.raises is None and not s.answers))
def test_gradients(op: Op, sample: Sample, record_property):
    if testing.check_gradient(op, sample):
        record_property("gradients", f"{op.name} {sample.name}")
        if testing.check_second_gradient(op, sample):
            record_property("second gradients", f"{op.name} {sample.name}")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("op, sample, dtype", list(typed()))
def test_triton_equals_numpy(op: Op, sample: Sample, dtype: str | None, device: str, record_property):
    testing.check_triton(op, sample, dtype, device)
    record_property("comparisons", f"{op.name} {sample.name} {dtype} {device}")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("op, sample", RUNS)
def test_triton_minds_strides(op: Op, sample: Sample, device: str):
    testing.check_triton(op, sample, "float32" if "float32" in sample.dtypes else None, device, spread=True)


@pytest.mark.parametrize("device", ["cpu", *DEVICES])
@pytest.mark.parametrize("op, sample", calls(lambda s: s.raises is not None))
def test_errors(op: Op, sample: Sample, device: str, record_property):
    testing.check_error(op, sample, device)
    record_property("error messages", f"{op.name} {sample.name}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", WITH_SAMPLES, ids=lambda op: op.name)
def test_kernels_compile(op: Op, target: str, record_property, request):
    """The row's most used specialisation; with --full, all its samples in all their dtypes."""
    full = request.config.getoption("--full")
    for dtype in ("float32", "float16", "bfloat16", "float64") if full else ("float32",):
        for name, _ in testing.compile_row(op, target, dtype, None if full else 1):
            record_property("kernels compiled", f"{target} {op.name} {name} {dtype}")


def test_numbers_are_seeded():
    for op in WITH_SAMPLES:
        first, second = testing.samples_of(op), testing.samples_of(op)
        for a, b in zip(first, second, strict=True):
            for x, y in zip(a.inputs, b.inputs, strict=True):
                if isinstance(x, np.ndarray):
                    np.testing.assert_array_equal(x, y)
