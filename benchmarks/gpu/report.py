"""What is kept of a run, and how it is shown: a file of JSON lines, tables, and the goals.

The first line of a file says where it was measured; each further line is one result, written when it is known, so
that a run that is cut off keeps what it has and can be resumed.
"""

from __future__ import annotations

import fnmatch
import json
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Result = dict[str, Any]
DONE = ("ok", "wrong", "crashed", "hung")  # what a resumed run does not try again; it does what failed or was refused


class Store:
    """The file of one run."""

    def __init__(self, path: Path, header: Result, resume: bool) -> None:
        self.path = path
        self.results: list[Result] = []
        if resume:
            self.results = [r for r in read(path) if r.get("part") != "environment"]
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else b""
        self._file = path.open("a")
        if before and not before.endswith(b"\n"):
            self._file.write("\n")  # a line that was cut off stays alone
        self.write(header)
        self.results.pop()

    def write(self, result: Result) -> None:
        """Add a result, to the disk too."""
        self.results.append(result)
        self._file.write(json.dumps(result, default=str) + "\n")
        self._file.flush()

    def has(self, part: str, case: str) -> bool:
        """Whether there is a result that need not be tried again."""
        return any(r["part"] == part and r.get("case") == case and r["status"] in DONE for r in self.results)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[Result]:
    """The results in a file; a line cut off in the middle is left out."""
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


# -- goals -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """A ratio that trigrad is to reach: the least to be content with, and what is aimed at."""

    name: str
    least: float
    target: float
    ratios: Callable[[list[Result]], list[float]]


def _kernels(results: list[Result], pattern: str, key: str, bytes: float = 0) -> list[float]:
    return [
        r[key]
        for r in results
        if r["part"] == "kernels"
        and r["status"] == "ok"
        and key in r
        and r["bytes"] >= bytes
        and any(fnmatch.fnmatchcase(text, pattern) for text in (r["family"], r["case"]))
    ]


def _bandwidth(pattern: str, bytes: float) -> Callable[[list[Result]], list[float]]:
    return lambda results: _kernels(results, pattern, "of copy", bytes)


def _rival(pattern: str) -> Callable[[list[Result]], list[float]]:
    return lambda results: _kernels(results, pattern, "against torch")


def _step(net: str, rival: str) -> Callable[[list[Result]], list[float]]:
    return lambda results: [
        r["ratios"][rival]
        for r in results
        if r["part"] == "steps" and r.get("net") == net and rival in r.get("ratios", {})
    ]


GOALS = (
    Goal("elementwise, of the copy bandwidth", 0.90, 0.97, _bandwidth("elementwise", 256e6)),
    Goal("batch norm, of the copy bandwidth", 0.85, 0.92, _bandwidth("batch_norm*", 64e6)),
    Goal("softmax, of the copy bandwidth", 0.85, 0.92, _bandwidth("softmax", 64e6)),
    Goal("reductions, of the copy bandwidth", 0.85, 0.92, _bandwidth("reduce", 64e6)),
    Goal("matmul bf16 / cuBLAS", 0.88, 0.95, _rival("matmul bf16 *")),
    Goal("matmul tf32 / cuBLAS", 0.80, 0.90, _rival("matmul tf32 *")),
    Goal("conv forward / cuDNN", 0.75, 0.90, _rival("conv forward")),
    Goal("conv input gradient / cuDNN", 0.70, 0.90, _rival("conv input gradient")),
    Goal("conv weight gradient / cuDNN", 0.70, 0.90, _rival("conv weight gradient")),
    Goal("conv_transpose / cuDNN", 1.0, 1.3, _rival("conv_transpose forward")),
    Goal("optimizer step / torch fused", 1.0, 1.5, _rival("optimizer")),
    Goal("LSGAN step / torch eager", 4.0, 8.0, _step("lsgan28", "torch eager")),
    Goal("LSGAN step / compile reduce-overhead", 1.1, 1.5, _step("lsgan28", "torch compile reduce-overhead")),
    Goal("LSGAN step / torch graph", 1.0, 1.3, _step("lsgan28", "torch graph")),
    Goal("DCGAN step / torch eager", 2.0, 3.0, _step("dcgan64", "torch eager")),
    Goal("DCGAN step / compile max-autotune", 1.0, 1.2, _step("dcgan64", "torch compile max-autotune")),
    Goal("ResNet-18 step / torch eager", 1.2, 1.6, _step("resnet18", "torch eager")),
    Goal(
        "host time of an eager op, torch / trigrad",
        1.0,
        1.0,
        lambda results: [
            r["ratio"] for r in results if r["part"] == "rest" and r["case"] == "host time" and "ratio" in r
        ],
    ),
)


def geometric(values: Iterable[float]) -> float:
    """The geometric mean."""
    return statistics.geometric_mean(list(values))


def goals(results: list[Result]) -> Table:
    """Each goal, what was measured, and whether it is reached."""
    table = Table(title="goals (geometric means)", title_justify="left")
    for title in ("goal", "least", "target", "measured", "worst", "cases", ""):
        table.add_column(title, justify="left" if title in ("goal", "") else "right")
    for goal in GOALS:
        ratios = goal.ratios(results)
        if not ratios:
            table.add_row(goal.name, f"{goal.least:.2f}", f"{goal.target:.2f}", "", "", "0", "not measured")
            continue
        value = geometric(ratios)
        verdict = (
            Text("target", "green")
            if value >= goal.target
            else Text("least", "yellow")
            if value >= goal.least
            else Text("below", "red")
        )
        cells = (f"{goal.least:.2f}", f"{goal.target:.2f}", f"{value:.3f}", f"{min(ratios):.3f}", str(len(ratios)))
        table.add_row(goal.name, *cells, verdict)
    return table


# -- tables ------------------------------------------------------------------------------------------------------------


def console() -> Console:
    """The terminal, or 160 columns where the output goes to a file."""
    return Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False, highlight=False)


def line(result: Result) -> str:
    """One result in a line, as the run goes."""
    head = f"{result['part']:<9} {result['case']:<64}"
    status = result["status"]
    if status == "wrong":
        far = f"error {result['error']:.1e}, allowed {result['tolerance']:.0e}" if "error" in result else ""
        return f"{head} WRONG: {far}{result.get('message', '')}"
    if status != "ok":
        return f"{head} {status}: {result.get('message', '')}"
    figures = result.get("figures", {})
    if result["part"] == "kernels":
        tail = f"{figures['trigrad']['us']:>10.2f} us"
        if "of copy" in result:
            tail += f"  {result['of copy']:.3f} of copy"
        if "against torch" in result:
            tail += f"  {result['against torch']:.3f}x torch"
        if result["how"]["trigrad"] != "graph":
            tail += f"  ({result['how']['trigrad']})"
        return f"{head} {tail}"
    if result["part"] == "steps":
        shown = ", ".join(f"{name} {f['us']:.1f}" for name, f in figures.items())
        failed = "".join(f"; {name} failed: {why}" for name, why in result.get("failed", {}).items())
        return f"{head} us: {shown}{failed}"
    return f"{head} {result.get('message', 'ok')}"


def kernels(results: list[Result]) -> Table:
    """The kernel cases that were timed."""
    table = Table(title="kernels", title_justify="left")
    for title in ("case", "us", "spread", "torch us", "spread", "GB/s", "of copy", "TFLOP/s", "against torch", "error"):
        table.add_column(title, justify="left" if title == "case" else "right")
    for r in results:
        if r["part"] != "kernels":
            continue
        if r["status"] != "ok":
            what = r["status"] + (f" {r['error']:.1e}" if "error" in r else "")
            table.add_row(r["case"], Text(what, "red"))
            continue
        ours, theirs = r["figures"]["trigrad"], r["figures"].get("torch")
        table.add_row(
            r["case"],
            f"{ours['us']:.2f}",
            f"{ours['spread']:.0%}",
            f"{theirs['us']:.2f}" if theirs else "",
            f"{theirs['spread']:.0%}" if theirs else "",
            f"{r['GB/s']:.0f}",
            f"{r['of copy']:.2f}" if "of copy" in r else "",
            f"{r['TFLOP/s']:.1f}" if "TFLOP/s" in r else "",
            f"{r['against torch']:.2f}" if "against torch" in r else "",
            f"{r['error']:.0e}" if "error" in r else "",
        )
    return table


def steps(results: list[Result]) -> Table:
    """The training steps: microseconds of each contender, and how many times trigrad's captured step that is."""
    found = [r for r in results if r["part"] == "steps" and r.get("figures")]
    names = list(dict.fromkeys(name for r in found for name in r["figures"]))
    table = Table(title="training steps: us, and times trigrad's captured step", title_justify="left")
    table.add_column("network")
    for name in names:
        table.add_column(name, justify="right")
    for r in found:
        cells = []
        for name in names:
            figure = r["figures"].get(name)
            ratio = r.get("ratios", {}).get(name)
            cells.append("" if figure is None else f"{figure['us']:.1f}" + (f"  {ratio:.2f}x" if ratio else ""))
        table.add_row(r["case"], *cells)
    return table
