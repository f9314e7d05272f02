"""``python -m trigrad ops`` prints the op table, ``python -m trigrad doctor`` what this machine has."""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import __version__
from .framework import catalogue, doctor
from .framework.op import OPS, Op
from .testing import twice_differentiable

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a name that is not in the table."""
    parser = argparse.ArgumentParser(prog="python -m trigrad", description=f"trigrad {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    ops = commands.add_parser("ops", help="print the op table", description="Print the op table.")
    ops.add_argument("names", nargs="*", metavar="name", help="rows to print; by default all with samples")
    ops.add_argument("--all", action="store_true", help="print the rows that only serve as gradients as well")
    ops.add_argument("--markdown", action="store_true", help="print a Markdown table")
    commands.add_parser("doctor", help="say what this machine has and will use")
    options = parser.parse_args(arguments)
    if options.command == "ops":
        return _ops(options.names, options.all, options.markdown)
    if options.command == "doctor":
        return _doctor()
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


if __name__ == "__main__":
    sys.exit(main())
