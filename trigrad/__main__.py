"""``python -m trigrad``: ``ops`` prints the op table, ``doctor`` what this machine has; ``tune`` and ``warm`` prepare a GPU."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from . import __version__, coverage, nn, ones_like, randn
from .autograd import capture
from .framework import catalogue, doctor, driver, tiles, tune, warm
from .framework import compile as compiler
from .framework.gpu import cuda_backend
from .framework.op import OPS, Op
from .testing import twice_differentiable

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for what cannot be done here, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m trigrad", description=f"trigrad {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    ops = commands.add_parser("ops", help="print the op table", description="Print the op table.")
    ops.add_argument("names", nargs="*", metavar="name", help="rows to print; by default all with samples")
    ops.add_argument("--all", action="store_true", help="print the rows that only serve as gradients as well")
    ops.add_argument("--markdown", action="store_true", help="print a Markdown table")
    ops.add_argument("--coverage", action="store_true", help="count which of PyTorch's public names there are")
    ops.add_argument("--absent", action="store_true", help="name those that there are not, too")
    commands.add_parser("doctor", help="say what this machine has and will use")
    tuning = commands.add_parser("tune", help="measure how products are best cut into tiles on this GPU")
    tuning.description = (
        "Measure, for linear layers, which tiles are fastest on this GPU, after checking each one's results, and "
        "keep what beats the rule in a table that trigrad reads from then on."
    )
    tuning.add_argument(
        "layers", nargs="*", metavar="BATCHxINPUTSxOUTPUTS", help="layers; by default a choice of sizes"
    )
    tuning.add_argument("--kind", action="append", choices=tune.KINDS, help="dtype or float32 precision; repeatable")
    tuning.add_argument("--output", metavar="FILE", help="the table; by default the one that is read on this machine")
    warming = commands.add_parser("warm", help="compile kernels ahead, for this GPU or one that is named")
    warming.description = (
        "Compile every kernel that a function launches, in several processes, so that its first step finds all of them "
        "on disk.  NAME is a function of a device that does there what is wanted (one training step), or, with --input, "
        "a module, or something that makes one; it is then run forward and backward."
    )
    warming.add_argument("what", metavar="MODULE:NAME", help="or FILE.py:NAME")
    warming.add_argument("--input", action="append", metavar="SIZExSIZEx...", help="shape of an input; repeatable")
    warming.add_argument("--target", help="sm_80, sm_90, sm_100, gfx942 ...; by default this machine's GPU")
    warming.add_argument("--jobs", type=int, help="processes; by default one for each core")
    warming.add_argument("--share", help=argparse.SUPPRESS)  # the part of one such process
    options = parser.parse_args(arguments)
    if options.command == "ops" and (options.coverage or options.absent):
        return _coverage(options.absent, options.markdown)
    if options.command == "ops":
        return _ops(options.names, options.all, options.markdown)
    if options.command == "doctor":
        return _doctor()
    if options.command == "tune":
        return _tune(options.layers, options.kind or list(tune.KINDS), options.output)
    if options.command == "warm":
        return _warm(options.what, options.input, options.target, options.jobs, options.share)
    parser.print_help()
    return 0


def _console() -> Console:
    """The terminal, or 180 columns where the output goes to a file or another program."""
    return Console(width=None if sys.stdout.isatty() else 180, soft_wrap=False)


def _ops(names: list[str], everything: bool, markdown: bool) -> int:
    unknown = [name for name in names if name not in OPS]
    for name in unknown:
        near = difflib.get_close_matches(name, OPS)
        print(f"no row is called {name!r}" + (f"; there is {', '.join(near)}" if near else ""), file=sys.stderr)
    if unknown:
        return 2
    chosen = [OPS[name] for name in dict.fromkeys(names)]
    rows = chosen or [op for op in sorted(OPS.values(), key=lambda op: op.name) if everything or op.samples is not None]
    cells = [(name, *cells) for name, cells in ((op.name, _cells(op)) for op in rows)]
    titles = ("op", "formula", "gradients: of what, by which row", "twice", "dtypes")
    if markdown:
        print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
        for line in cells:
            print("| " + " | ".join(_escaped(cell) for cell in line) + " |")
        return 0
    table = Table(show_lines=True)
    for title in titles:
        table.add_column(title, no_wrap=title == "op", style="bold" if title == "op" else "")
    for line in cells:
        table.add_row(*map(Text, line))
    console = _console()
    console.print(table)
    console.print(_summary(rows))
    return 0


def _coverage(absent: bool, markdown: bool) -> int:
    version, found = coverage.examine()
    titles = ("category", "there", "of", "left out, by rule")
    cells = [
        (
            c.name,
            str(len(c.there)),
            str(len(c.there) + len(c.absent)),
            ", ".join(f"{r} {n}" for r, n in c.left_out.items()),
        )
        for c in found
    ]
    if markdown:
        print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
        for line in cells:
            print("| " + " | ".join(line) + " |")
    else:
        table = Table(title=f"names of PyTorch {version}")
        for title in titles:
            table.add_column(title, justify="right" if title in ("there", "of") else "left")
        for line in cells:
            table.add_row(*map(Text, line))
        _console().print(table)
    if absent:
        for c in found:
            print(f"\n{c.name}, absent: {', '.join(c.absent) or 'none'}")
    return 0


def _cells(op: Op) -> tuple[str, str, str, str]:
    """Formula, gradients, whether twice differentiable, dtypes: one line of text for each item."""
    entry = catalogue.describe(op)
    notes = ["a view of its input"] if entry.views else []
    notes += [f"writes {', '.join(entry.writes)}"] if entry.writes else []
    twice = "" if not op.grads else "yes" if twice_differentiable(op) else "no"
    kinds = [", ".join(entry.dtypes) or "those of the rows it serves", f"({entry.promotion})"]
    formula = entry.formula or (f"(in {inspect.unwrap(op.kernel.numpy).__module__})",)
    return "\n".join([*formula, *notes]), "\n".join(entry.gradients), twice, "\n".join(kinds)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("*", "\\*").replace("\n", "<br>")


def _summary(rows: Iterable[Op]) -> str:
    shown = len({op.name for op in rows})
    every = list(OPS.values())
    return (
        f"{shown} of {len(every)} rows; in the table {sum(bool(op.grads) for op in every)} are differentiable, "
        f"{sum(map(twice_differentiable, every))} of them twice"
    )


def _doctor() -> int:
    table = Table(title=f"trigrad {__version__}", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    for found in doctor.examine():
        mark = Text("") if found.good is None else Text("yes", "green") if found.good else Text("no", "red")
        table.add_row(Text(found.name), mark, Text(found.value))
    _console().print(table)
    return 0


def _warm(what: str, inputs: list[str] | None, target: str | None, jobs: int | None, share: str | None) -> int:
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        if jobs < 1:
            raise ValueError(f"warm: expected --jobs to be at least 1, got {jobs}")
        target = target or warm.targets_here()
        if target is None:
            raise ValueError("warm: there is no GPU here: name one with --target, for example --target sm_90")
        compiler.target(target)
        shapes = [tuple(int(n) for n in text.split("x")) for text in inputs or ()]
        run = warm.find(what)
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    if inputs:
        run = _forward_and_backward(run, shapes)
    if share is not None:
        number, _, of = share.partition("/")
        for count, name in warm.share(run, target, int(number), int(of)):
            print(f"{count}\t{name}", flush=True)
        return 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    arguments = [what, "--target", target, *(part for text in inputs or () for part in ("--input", text))]
    done = 0
    with Progress(*columns, console=_console()) as bar:
        task = bar.add_task(f"kernels for {target}", total=None)
        try:
            for count, _ in warm.warm(arguments, jobs):
                done += 1
                bar.update(task, total=count, completed=done)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{done} kernels for {target} are compiled")
    return 0


def _forward_and_backward(model: Any, shapes: list[tuple[int, ...]]) -> warm.Run:
    """What a module launches in one pass on random inputs of these shapes."""
    if not isinstance(model, nn.Module):
        model = model()

    def run(device: Any) -> None:
        model.to(device)
        out = model(*(randn(shape, device=device) for shape in shapes))
        out.backward(ones_like(out))

    return run


def _tune(layers: list[str], kinds: list[str], output: str | None) -> int:
    path = Path(output) if output else tiles.user_file()
    try:
        wanted = [tune.parse_layer(text) for text in layers] or list(tune.LAYERS)
        table = tiles.read(path)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        driver.require()
    except RuntimeError as error:
        print(f"tune needs a GPU: {error}", file=sys.stderr)
        return 1
    gpu = cuda_backend(None)
    console = _console()
    choices, failed = [], 0
    for product in dict.fromkeys(tune.products(wanted, [tune.KINDS[kind] for kind in dict.fromkeys(kinds)])):
        try:
            choice = tune.tune(product, gpu, tune.clock(capture))
        except RuntimeError as error:
            console.print(Text(str(error), "red"))
            failed += 1
            continue
        choices.append(choice)
        for tile, why in choice.rejected.items():
            console.print(Text(f"{product}: {tile} is left out: {why}", "yellow"))
        console.print(f"{product}: {choice.seconds[choice.chosen] * 1e6:.1f} us, {choice.gain:.2f}x the rule's tile")
        tiles.write(path, tune.merged(table, gpu.name, choices))  # what is cut short keeps what it has
    console.print(f"{len(tune.entries(choices))} of {len(choices)} products have a better tile than the rule's: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
