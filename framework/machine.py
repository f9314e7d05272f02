"""What came out of the compiler: registers, spills, widths of loads and stores, tensor-core instructions.

Read from the machine code itself with the tools that come with Triton (``cuobjdump``, ``nvdisasm``), so that neither
a GPU nor a driver is needed.  For NVIDIA targets only.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import language

_RESOURCES = re.compile(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)*)")
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}  # a name without any of these moves 4 bytes


@dataclass(frozen=True)
class Facts:
    """A kernel's machine code in figures; ``counts`` has each instruction's full name and how often it is written."""

    name: str
    registers: int
    stack: int  # bytes of a thread's private memory: spilled registers, arrays that need addresses
    shared: int  # bytes of shared memory of a program
    counts: tuple[tuple[str, int], ...]

    @cached_property
    def _families(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {}
        for name, count in self.counts:
            found.setdefault(name.split(".")[0], Counter())[name] += count
        return found

    def count(self, *families: str) -> int:
        """How many instructions of these families (``"LDG"``, ``"HMMA"``) are written in the code."""
        return sum(sum(self._families.get(f, Counter()).values()) for f in families)

    def widths(self, family: str) -> dict[int, int]:
        """Bytes that a thread moves at a time, and how often: for ``LDG``, ``STG`` and ``LDGSTS`` (asynchronous copies)."""
        found: Counter[int] = Counter()
        for name, count in self._families.get(family, Counter()).items():
            found[next((_WIDTHS[part] for part in name.split(".")[1:] if part in _WIDTHS), 4)] += count
        return dict(sorted(found.items()))

    @property
    def spills(self) -> int:
        """Loads and stores of private memory, which a kernel with enough registers does not have."""
        return self.count("LDL", "STL")

    @property
    def tensor(self) -> str:
        """The tensor-core instructions: ``wgmma`` (a warp group's, sm_90), ``mma`` (a warp's), ``tcgen05`` (sm_100) or nothing."""
        for name, families in (
            ("wgmma", ("HGMMA", "IGMMA", "QGMMA")),
            ("tcgen05", ("UTCHMMA", "UTCQMMA", "UTCIMMA")),
            ("mma", ("HMMA", "IMMA", "DMMA", "QMMA")),
        ):
            if self.count(*families):
                return name
        return ""

    @property
    def float_atomics(self) -> int:
        """Floating-point additions whose order is left to chance."""
        return sum(
            count
            for family in ("RED", "ATOM", "ATOMG", "REDG")
            for name, count in self._families.get(family, Counter()).items()
            if any(part in ("F16x2", "F32", "F64", "F16", "BF16") or part.startswith("FTZ") for part in name.split("."))
        )


def _tool(name: str) -> str:
    language.modules()
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    if not path.exists():
        raise RuntimeError(f"machine: Triton {triton.__version__} does not bring {name}")
    return str(path)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"machine: {Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout


def facts(compiled: Any) -> Facts:
    """The figures of one of Triton's ``CompiledKernel``s.  Raises ValueError where it is not for an NVIDIA target."""
    code = compiled.asm.get("cubin")
    if code is None:
        raise ValueError(f"machine: expected a kernel for an NVIDIA target, {compiled.metadata.name} has no cubin")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        usage = _RESOURCES.search(_run(_tool("cuobjdump"), "-res-usage", file.name))
        listing = _run(_tool("nvdisasm"), "-c", file.name)
    assert usage is not None
    counts = Counter(found.group(1) for found in _INSTRUCTION.finditer(listing))
    _, registers, stack, _, local = usage.groups()
    return Facts(
        compiled.metadata.name,
        int(registers),
        int(stack) + int(local),
        int(compiled.metadata.shared),
        tuple(sorted(counts.items())),
    )
