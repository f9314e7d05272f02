"""The kernels of whole training steps, compiled for GPUs that need not be there, against rules and budgets.

The rules and how to take new budgets are in ``gates.py``.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed, so that nothing can be compiled")


def _beside(name):
    """The module ``name`` from this file's own folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


gates = _beside("gates")

# In the daily suite every network once on each target, in the precision that asks most of it; --full has all pairs.
DAILY = {
    ("lsgan28", "bf16", "sm_90"),
    ("lsgan28", "tf32", "sm_90"),
    ("lsgan28", "fp16", "sm_80"),
    ("lsgan28", "ieee", "sm_80"),
    ("dcgan64", "bf16", "sm_90"),
    ("dcgan64", "tf32", "sm_80"),
    ("resnet18", "bf16", "sm_90"),
    ("resnet18", "tf32", "sm_90"),
    ("resnet18", "bf16", "sm_80"),
}
CASES = [
    pytest.param(*case, marks=() if case in DAILY else pytest.mark.full, id="-".join(case))
    for case in ((n, p, t) for n in gates.NETS for p in gates.PRECISIONS for t in gates.TARGETS)
]


@pytest.mark.parametrize(("net", "precision", "target"), CASES)
def test_kernels_of_a_step(net, precision, target, record_property):
    known = gates.budgets()
    kernels, counts = gates.measure(net, precision, target)
    said = [line for k in kernels for line in gates.broken(k, precision, known)]
    assert not said, "\n".join(said)
    most = known["launches"][f"{net} {precision}"]
    assert counts["step"] <= most, f"{net} {precision}: {counts['step']} launches a step, {most} allowed"
    for k in kernels:
        assert k.key in known["registers"], f"{k.key} has no budget: python tests/gates/gates.py --write"
        record_property("kernels gated", f"{net} {precision} {k.key} {k.constants}")


# -- each rule can fail ------------------------------------------------------------------------------------------------

GOOD = {"LDG.E.128": 4, "STG.E.128": 2}
PRODUCT = {"LDGSTS.E.BYPASS.128": 8, "HGMMA.64x128x16.F32.BF16": 4, "STG.E.128": 2}


def kernel(name="_elementwise", dtype="fp32", registers=32, stack=0, rows=0, target="sm_90", counts=GOOD):
    facts = gates.Facts(name, registers, stack, 0, tuple(sorted(counts.items())))
    return gates.Kernel(name, f"{name}(*{dtype})", "BLOCK=1024", dtype, rows, 4, 100, 1, target, facts)


NO_BUDGETS = {"registers": {}, "launches": {}, "exceptions": []}


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (kernel(), None),
        (kernel("_gemm", "bf16", rows=128, counts=PRODUCT), None),
        (kernel(counts={**GOOD, "STL": 1}), "spills"),
        (kernel(stack=8), None),  # reserved, but neither written nor read
        (kernel(counts={**GOOD, "RED.E.ADD.F32.FTZ.RN.STRONG.GPU": 1}), "atomics"),
        (kernel(counts={**GOOD, "ATOMG.E.ADD.STRONG.GPU": 1}), None),
        (kernel(counts={"LDG.E": 4, "STG.E.128": 2}), "wide loads"),
        (kernel(counts={"LDG.E.128": 4, "STG.E.64": 2}), "wide stores"),
        (kernel("_reduce", counts={"LDG.E.128": 4, "STG.E": 1}), None),
        (kernel("_gemm", "bf16", rows=128, counts={**PRODUCT, "LDGSTS.E": 1}), "wide copies"),
        (kernel("_gemm", "bf16", rows=128, counts={"LDG.E.128": 1, "HGMMA.64x128x16.F32": 4}), "asynchronous copies"),
        (kernel("_gemm", "bf16", rows=128, counts={"LDGSTS.E.128": 1, "FFMA": 99}), "tensor cores"),
        (kernel("_gemm", "bf16", rows=128, counts={"LDGSTS.E.128": 1, "HMMA.16816.F32.BF16": 9}), "tensor cores"),
        (kernel("_gemm", "bf16", rows=128, target="sm_80", counts={"LDGSTS.E.128": 1, "HMMA.16816.F32": 9}), None),
        (kernel("_gemm", "bf16", rows=16, counts={"LDGSTS.E.128": 1, "HMMA.16816.F32.BF16": 9}), None),
    ],
)
def test_a_broken_rule_is_told(made, rule):
    said = gates.broken(made, "bf16", NO_BUDGETS)
    assert [line.split("[")[1].split("]")[0] for line in said] == ([] if rule is None else [rule])
    if rule is not None:
        excuse = {"rule": rule, "kernel": made.name, "where": made.dtype, "reason": "for this test"}
        assert not gates.broken(made, "bf16", {**NO_BUDGETS, "exceptions": [excuse]})
        assert gates.broken(made, "bf16", {**NO_BUDGETS, "exceptions": [{**excuse, "kernel": "_another"}]})


def test_registers_beyond_the_budget_are_told():
    known = {**NO_BUDGETS, "registers": {"_elementwise fp32 sm_90": 40}}
    assert not gates.broken(kernel(registers=40), "ieee", known)
    (said,) = gates.broken(kernel(registers=41), "ieee", known)
    assert "41 registers, 40 allowed" in said


def test_exceptions_have_reasons():
    for entry in gates.budgets()["exceptions"]:
        assert set(entry) <= {"rule", "kernel", "where", "reason"} and len(entry["reason"]) > 20
