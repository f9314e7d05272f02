"""What the compiler makes of every kernel that real training steps launch, held against budgets.  Needs no GPU.

    python tests/gates/gates.py                       a table of all networks on sm_90 and sm_80
    python tests/gates/gates.py lsgan28 --precision bf16 --target sm_90
    python tests/gates/gates.py --write               take today's registers and launch counts as budgets

A training step of a network is recorded at its usual batch, channels-last; each different kernel is compiled and its
machine code read (``trigrad.framework.machine``).  The rules, in ``broken``:

    no spilled registers, no private memory         no floating-point atomics
    no more registers than the budget               products on tensor cores: wgmma on sm_90 where the tile has 64 rows
    asynchronous copies of 16 bytes in their loops  kernels that stream memory load and store 16 bytes at a time

Exceptions are listed by name, with the reason, in ``budgets.json`` beside the budgets.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import trigrad as tg  # noqa: E402
from benchmarks import nets  # noqa: E402
from trigrad.framework import compile as compiler  # noqa: E402
from trigrad.framework import language  # noqa: E402
from trigrad.framework.machine import Facts, facts  # noqa: E402
from trigrad.framework.record import Recorder  # noqa: E402

BUDGETS = Path(__file__).with_name("budgets.json")
NETS = ("lsgan28", "dcgan64", "resnet18")
PRECISIONS = ("ieee", "tf32", "bf16", "fp16")
TARGETS = ("sm_90", "sm_80")
SLACK = 12  # registers by which compilers may differ before a budget is broken
FEW = 4  # programs up to which a launch is too small for its width to matter
PRODUCTS = re.compile(r"gemm|convolve|correlate|spread|weights|product|matmul")
READERS = re.compile(
    r"reduce|statistics|sum_parts|sums|update|norm|loss|rows|finish|settle"
)  # these store little of what they load


@dataclass(frozen=True)
class Kernel:
    """One kernel as one network launches it."""

    name: str
    types: str  # of its parameters
    constants: str
    dtype: str  # of what it mostly reads
    rows: int  # BLOCK_M of a product's tile; 0 elsewhere
    warps: int
    programs: int  # in the largest launch
    launches: int  # in one step
    target: str
    facts: Facts

    @property
    def key(self) -> str:
        """What budgets go by."""
        return f"{self.name} {self.dtype} {self.target}"


def record(net: str, precision: str, target: str, **options: Any) -> tuple[Recorder, dict[str, int]]:
    """Record one training step; returns the recorder, closed, and launches by part of the step."""
    half = {"bf16": tg.bfloat16, "fp16": tg.float16}.get(precision)
    matmul, conv = tg.get_float32_matmul_precision(), tg.get_float32_conv_precision()
    if half is None:
        tg.set_float32_matmul_precision(precision)
        tg.set_float32_conv_precision(precision)
    try:
        with Recorder(target) as recorder:
            task = nets.task(net, tg, recorder.device, half=half, channels_last=True, **options)
            inputs = task.inputs()
            task.step(*inputs)  # the first makes the optimizers' state
            before = recorder.counts
            task.step(*inputs)
            after = recorder.counts
    finally:
        tg.set_float32_matmul_precision(matmul)
        tg.set_float32_conv_precision(conv)
    step = {s: n - before.get(s, 0) for s, n in after.items() if n > before.get(s, 0)}
    recorder.step = step  # type: ignore[attr-defined]
    return recorder, {"step": sum(step.values()), "different": len(step)}


def _dtype(types: Any) -> str:
    """The narrowest floating type among the pointers: what a kernel of mixed types is about."""
    found = re.findall(r"\*(fp64|fp32|bf16|fp16|fp8\w*)", str(types))
    order = ("bf16", "fp16", "fp32", "fp64")
    return next((kind for kind in order if kind in found), "int")


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ",".join(map(_shown, value)) + ")"
    if language.is_triton_function(value):
        return value.fn.__name__.strip("_")
    return str(value).replace("triton.language.", "")


_waiting: list[tuple[Any, Any]] = []


def _measure(index: int) -> Facts:
    specialisation, target = _waiting[index]
    return facts(compiler.compile(specialisation, target))


def measure(
    net: str, precision: str, target: str, workers: int = 1, **options: Any
) -> tuple[list[Kernel], dict[str, int]]:
    """Every different kernel of a training step with its figures, and the step's launch counts."""
    recorder, counts = record(net, precision, target, **options)
    step: dict[Any, int] = recorder.step  # type: ignore[attr-defined]
    _waiting[:] = [(s, recorder.target) for s in step]
    if workers > 1:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            found = pool.map(_measure, range(len(_waiting)), chunksize=1)
    else:
        found = [_measure(i) for i in range(len(_waiting))]
    kernels = []
    for (specialisation, launches), figures in zip(step.items(), found, strict=True):
        names = [name for name, _, _ in language.signature(specialisation.function).parameters]
        constants = {names[place[0]]: value for place, value in specialisation.constants if len(place) == 1}
        kernels.append(
            Kernel(
                figures.name,
                str(specialisation),
                " ".join(f"{k}={_shown(v)}" for k, v in constants.items() if v is not None),
                _dtype(specialisation.types),
                constants.get("BLOCK_M", 0) if PRODUCTS.search(figures.name) else 0,
                specialisation.num_warps,
                recorder.programs_of[specialisation],
                launches,
                target,
                figures,
            )
        )
    return kernels, counts


def budgets() -> dict[str, Any]:
    """The budgets and exceptions on record."""
    return json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {"registers": {}, "launches": {}, "exceptions": []}


def excused(kernel: Kernel, rule: str, known: dict[str, Any]) -> bool:
    """Whether an exception covers this kernel: its "kernel" and, where given, "where" are found in name and constants."""
    return any(
        entry["rule"] == rule
        and re.fullmatch(entry["kernel"], kernel.name)
        and re.search(entry.get("where", ""), f"{kernel.key} {kernel.types} {kernel.constants}")
        for entry in known["exceptions"]
    )


def broken(kernel: Kernel, precision: str, known: dict[str, Any]) -> list[str]:
    """The rules that a kernel breaks, each as a sentence with figure and budget."""
    f, found = kernel.facts, []

    def rule(name: str, holds: bool, sentence: str) -> None:
        if not holds and not excused(kernel, name, known):
            found.append(
                f"{kernel.name} [{name}]: {sentence}\n    {kernel.types} on {kernel.target}\n    {kernel.constants}"
            )

    rule(
        "spills",
        f.spills == 0,
        f"{f.spills} spill instructions, {f.stack} bytes of private memory, 0 allowed",
    )
    rule("atomics", f.float_atomics == 0, f"{f.float_atomics} floating-point atomics, whose order is chance; 0 allowed")
    most = known["registers"].get(kernel.key)
    rule("registers", most is None or f.registers <= most, f"{f.registers} registers, {most} allowed")
    if PRODUCTS.search(kernel.name) and kernel.dtype in ("bf16", "fp16", "fp32"):
        if kernel.dtype != "fp32" or precision == "tf32":
            wanted = "wgmma" if kernel.target == "sm_90" and kernel.rows >= 64 and kernel.warps >= 4 else "mma"
            good = f.tensor == wanted or (wanted == "mma" and f.tensor == "wgmma")
            rule("tensor cores", good, f"{f.tensor or 'no tensor-core'} instructions, {wanted} expected")
        copies = f.widths("LDGSTS")
        rule("asynchronous copies", bool(copies), "no asynchronous copies, expected in its loop")
        rule("wide copies", set(copies) <= {16}, f"asynchronous copies of {_widths(copies)} bytes, all of 16 expected")
    elif kernel.programs > FEW:
        loads, stores = f.widths("LDG"), f.widths("STG")
        rule("wide loads", not loads or max(loads) == 16, f"loads of {_widths(loads)} bytes, some of 16 expected")
        few = bool(READERS.search(kernel.name)) or not stores
        rule("wide stores", few or max(stores) == 16, f"stores of {_widths(stores)} bytes, some of 16 expected")
    return found


def _widths(found: dict[int, int]) -> str:
    return "/".join(map(str, found)) or "-"


def table(kernels: Iterable[Kernel], title: str) -> Any:
    """The figures as a rich table, most launched first."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for heading in (
        "kernel",
        "dtype",
        "warps",
        "programs",
        "launches",
        "registers",
        "spills",
        "shared",
        "loads",
        "stores",
        "async",
        "tensor",
    ):
        made.add_column(heading, justify="left" if heading in ("kernel", "dtype", "tensor") else "right")
    for k in sorted(kernels, key=lambda k: (-k.launches, k.name)):
        f = k.facts
        cells = (f.registers, f.spills, f.shared)
        widths = (_widths(f.widths(family)) for family in ("LDG", "STG", "LDGSTS"))
        made.add_row(
            k.name.strip("_"),
            k.dtype,
            str(k.warps),
            str(k.programs),
            str(k.launches),
            *map(str, cells),
            *widths,
            f.tensor or "-",
        )
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command; returns how many rules are broken."""
    from rich.console import Console

    parser = argparse.ArgumentParser(prog="python tests/gates/gates.py", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("nets", nargs="*", default=NETS, metavar="NET", help=f"of {', '.join(nets.NAMES)}")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--workers", type=int, default=2, help="processes that compile")
    parser.add_argument("--write", action="store_true", help="take today's registers and launch counts as budgets")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    given = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    known, measured = budgets(), []
    for net in given.nets:
        for target in given.target:
            for precision in given.precision:
                kernels, counts = measure(net, precision, target, given.workers)
                console.print(table(kernels, f"{net} {precision} {target}: {counts['step']} launches a step"))
                measured += [(net, precision, k) for k in kernels]
                if given.write:
                    known["launches"][f"{net} {precision}"] = counts["step"]
    if given.write:
        taken: dict[str, int] = {}
        for _, _, k in measured:
            taken[k.key] = max(taken.get(k.key, 0), min(k.facts.registers + SLACK, 255))
        known["registers"] = dict(sorted((known["registers"] | taken).items()))
        BUDGETS.write_text(json.dumps(known, indent=1) + "\n")
    violations = [line for _, precision, k in measured for line in broken(k, precision, known)]
    console.print("\n".join(violations) or "all rules hold", markup=False, highlight=False)
    everything = [
        {"net": net, "precision": precision, **{k: v for k, v in asdict(each).items() if k != "facts"}}
        | {"registers": each.facts.registers, "spills": each.facts.spills, "tensor": each.facts.tensor}
        | {f"bytes {f}": each.facts.widths(f) for f in ("LDG", "STG", "LDGSTS")}
        for net, precision, each in measured
    ]
    if given.json:
        given.json.write_text(json.dumps(everything, indent=1))
    console.print(f"{len(everything)} kernels, {len(violations)} broken rules")
    return min(len(violations), 100)


if __name__ == "__main__":
    sys.exit(main())
