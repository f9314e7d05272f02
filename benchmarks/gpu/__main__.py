"""The command line: ``python -m benchmarks.gpu``.  What is measured, and how, is told in docs/gpu.md."""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import trigrad as tg

from . import checks, measure, rest, steps
from .cases import Case, cases
from .machine import ROOT, environment
from .report import Result, Store, console, goals, kernels, line, read
from .report import steps as steps_table
from .sides import Ours, Torch, peer

PARTS = ("checks", "kernels", "steps", "rest")
SHARES = {"checks": 0.30, "kernels": 0.62, "steps": 0.93, "rest": 1.0}  # of the time, by which a part must be done
RESULTS = ROOT / "benchmarks" / "results"
STEPS = tuple((net, precision) for precision in ("tf32", "bf16") for net in steps.NETS)
STUCK = {"kernels": 180.0, "steps": 1500.0, "rest": 1200.0}  # seconds after which a case is given up


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description="Check trigrad on this GPU, then time it beside its rivals."
    )
    add = parser.add_argument
    add("--minutes", type=float, default=None, help="wall clock to keep to; 8, or with --full no limit")
    add("--full", action="store_true", help="all cases, not only the core")
    add("--part", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="only cases in whose 'part name' one of these is found, with * and ?",
    )
    add("--resume", type=Path, default=None, metavar="FILE", help="go on with an earlier run's file")
    add("--out", type=Path, default=None, metavar="FOLDER", help="where the file is written: benchmarks/results")
    add("--dry-run", action="store_true", help="every case, tiny, on the interpreter: does the benchmark itself work?")
    add("--device", default=None, help="cuda, cuda:1, ...; interpreter for --dry-run")
    add("--no-torch", action="store_true", help="trigrad alone")
    add("--jax", action="store_true", help="JAX as well; with --full it is wherever it is installed")
    add("--unchecked", action="store_true", help="time also what is wrong (to try the benchmark, never to report)")
    add("--list", action="store_true", help="print the names of all cases and end")
    add("--worker", metavar="DEVICE", default=None, help=argparse.SUPPRESS)
    add("--first-step", metavar="NET", default=None, help=argparse.SUPPRESS)
    add("--measure", type=Path, metavar="FILE", default=None, help=argparse.SUPPRESS)
    add("--began", type=float, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.device = options.device or ("interpreter" if options.dry_run else "cuda")
    options.minutes = options.minutes or (1e6 if options.full or options.dry_run else 8.0)
    options.out = options.out or (ROOT / "out" / "benchmarks" if options.dry_run else RESULTS)
    options.began = options.began or time.time()
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns 0 where all that was looked at is right."""
    options = parse(arguments)
    if options.worker is not None:
        checks.work(options.worker, options.dry_run)
        return 0
    if options.first_step is not None:
        rest.first_step_child(options.first_step, options.device)
        return 0
    if options.list:
        print("\n".join(f"{part:<8} {name}" for part, name, _ in everything(options)))
        return 0
    if options.measure is not None:
        return measuring(options)
    if options.device.startswith("cuda") and not tg.cuda.is_available():
        print("no GPU can be used here: see python -m trigrad doctor; --dry-run needs none", file=sys.stderr)
        return 2
    return supervise(options)


def everything(options: argparse.Namespace) -> Iterator[tuple[str, str, Any]]:
    """All cases that the options ask for: part, name, and what the part needs to know of it."""
    tiny = options.dry_run
    torch = not options.no_torch and find_spec("torch") is not None
    jobs = checks.jobs(options.full, tiny, torch)
    found: list[tuple[str, str, Any]] = [("checks", job, job) for job in jobs]
    found += [("kernels", case.name, case) for case in cases(tiny) if case.core or options.full or tiny or options.only]
    found += [("steps", f"{net} {precision}", (net, precision)) for net, precision in STEPS]
    found += [("rest", name, name) for name in rest.cases(options.full or tiny or bool(options.only))]
    for part, name, thing in found:
        fits = not options.only or any(
            fnmatch.fnmatchcase(f"{part} {name}", f"*{pattern}*") for pattern in options.only
        )
        if part in options.part and fits:
            yield part, name, thing


def deadline(options: argparse.Namespace, part: str) -> float:
    """When a part must be done, on ``time.monotonic``'s clock."""
    spent = time.time() - options.began
    return time.monotonic() - spent + 60 * options.minutes * SHARES[part]


# -- the process that was started --------------------------------------------------------------------------------------


def supervise(options: argparse.Namespace) -> int:
    """Have everything checked and measured in other processes, show it, and outlive whatever happens to them."""
    out = console()
    header = environment(options.device, command=sys.argv[1:])
    name = re.sub(r"\W+", "-", str(header.get("gpu", options.device))).strip("-").lower()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = options.resume or options.out / f"{'dry-run' if options.dry_run else 'gpu'}-{name}-{stamp}.jsonl"
    store = Store(path, header, options.resume is not None)
    for key, value in header.items():
        if key not in ("part", "case", "status"):
            out.print(f"{key:<18} {value}", markup=False)
    out.print(f"{'results':<18} {path}", markup=False)
    peers = [] if options.no_torch or find_spec("torch") is None else ["torch"]
    out.print(f"{'compared with':<18} {', '.join(peers) or 'nothing: PyTorch is not installed or not wanted'}\n")

    ahead = any(part in ("kernels", "steps") and not store.has(part, case) for part, case, _ in everything(options))
    wanted = [
        job
        for part, job, _ in everything(options)
        if part == "checks" and ((ahead and job.startswith("warm ")) or not store.has(part, job))
    ]
    if wanted:
        cores = os.cpu_count() or 1
        workers = min(len(wanted), max(2, cores - 2) if cores > 2 else cores, 12)
        start = time.perf_counter()

        def done(result: Result) -> None:
            store.write(result)
            if result["status"] != "ok":
                out.print(line(result), markup=False, soft_wrap=True)

        until = deadline(options, "checks")
        left = checks.check_all(wanted, options.device, options.dry_run, workers, done, until)
        checked = [r for r in store.results if r["part"] == "checks"]
        good = sum(r["status"] == "ok" for r in checked)
        out.print(
            f"checks: {good} of {len(checked)} right, {len(left)} not reached, {time.perf_counter() - start:.0f} s\n"
        )
    store.close()
    if any(part != "checks" for part, _, _ in everything(options)):
        watch(options, path)
    return show(path)


def watch(options: argparse.Namespace, path: Path) -> None:
    """Have the rest measured by a process of its own; where that dies or hangs, note at which case and start another."""
    arguments = [sys.executable, "-m", "benchmarks.gpu", *passed_on(options), "--measure", str(path.resolve())]
    now = path.with_suffix(".now")
    for _ in range(50):
        now.write_text("")
        process = subprocess.Popen([*arguments, "--began", str(options.began)], cwd=ROOT)
        try:
            while process.poll() is None:
                time.sleep(0.05)
                if time.time() - now.stat().st_mtime > STUCK.get(now.read_text().partition("\n")[0], 600.0):
                    process.kill()
                    break
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        if status == 0:
            break
        part, _, case = now.read_text().partition("\n")
        if not case or status == 2:
            print(f"the measuring process ended with {status} before its first case", file=sys.stderr)
            break
        store = Store(path, {"part": "environment", "case": "restart", "status": "ok"}, True)
        if not store.has(part, case):
            result = {"part": part, "case": case, "status": "crashed", "message": f"its process ended with {status}"}
            store.write(result)
            print(line(result))
        store.close()
    now.unlink(missing_ok=True)


def passed_on(options: argparse.Namespace) -> list[str]:
    """The options as the measuring process is given them."""
    found = ["--device", options.device, "--minutes", str(options.minutes), "--part", *options.part]
    found += ["--only", *options.only] if options.only else []
    for flag in ("full", "dry_run", "no_torch", "jax", "unchecked"):
        found += ["--" + flag.replace("_", "-")] if getattr(options, flag) else []
    return found


def show(path: Path) -> int:
    """Print the tables of a file; returns the exit status."""
    results = read(path)
    out = console()
    if any(r["part"] == "kernels" for r in results):
        out.print(kernels(results))
    if any(r["part"] == "steps" and r.get("figures") for r in results):
        out.print(steps_table(results))
    for r in results:
        if r["part"] == "rest" and r["status"] == "ok":
            out.print(f"{r['case']}: {r.get('message', '')}", markup=False)
    if any(r["part"] in ("kernels", "steps") for r in results):
        out.print(goals(results))
    bad = [r for r in results if r["status"] not in ("ok", "refused")]
    refused = [r for r in results if r["status"] == "refused"]
    count = sum(r["part"] != "environment" for r in results)
    out.print(f"{count} results in {path}", markup=False)
    if refused:
        out.print(f"{len(refused)} cases were not timed, because what they are made of is wrong")
    for r in bad:
        out.print(line(r), markup=False, soft_wrap=True)
    return 1 if bad or refused else 0


# -- the process that measures -----------------------------------------------------------------------------------------


def measuring(options: argparse.Namespace) -> int:
    """Measure, case by case, adding each result to the file as it is known."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX takes most of the memory otherwise
    path: Path = options.measure
    now = path.with_suffix(".now")
    ours = Ours(options.device)
    torch = None if options.no_torch else peer(ours)
    store = Store(path, {"part": "environment", "case": "measuring", "status": "ok"}, True)
    wrong = {r["case"] for r in store.results if r["part"] == "checks" and r["status"] != "ok"}
    most = next((r["ceilings"] for r in store.results if r["part"] == "ceilings" and r["status"] == "ok"), None)
    missed = 0
    for part, name, thing in everything(options):
        if part == "checks" or store.has(part, name):
            continue
        if time.monotonic() > deadline(options, part):
            missed += 1
            continue
        now.write_text(f"{part}\n{name}")
        if most is None and part == "kernels":
            most = guarded(
                ours, store, "ceilings", "ceilings", lambda: {"ceilings": measure.ceilings(ours, torch), "status": "ok"}
            ).get("ceilings", {})
            print(", ".join(f"{key} {value:.4g}" for key, value in most.items()), flush=True)
        refused = because(part, thing, wrong)
        if refused and not options.unchecked:
            result = {"part": part, "case": name, "status": "refused", "message": f"{refused} is wrong"}
            store.write(result)
        else:
            work = partial(one, part, thing, ours, torch, most or {}, options)
            result = guarded(ours, store, part, name, work)
        print(line(result), flush=True)
    if missed:
        print(f"{missed} cases were not reached in {options.minutes:g} minutes: go on with --resume {path}")
    store.close()
    return 0


def one(
    part: str, thing: Any, ours: Ours, torch: Torch | None, most: dict[str, float], options: argparse.Namespace
) -> Result:
    """Measure one case."""
    tiny = options.dry_run
    if part == "kernels":
        pace = {"rounds": 1, "least": 0.0, "most": 1} if tiny else {}
        try:
            return measure.measure(thing, ours, torch, most, unchecked=options.unchecked, **pace)
        finally:
            measure.release(thing, ours, torch)
    if part == "steps":
        net, precision = thing
        jax = (options.full or options.jax) and find_spec("jax") is not None
        pace = {"rounds": 1, "steps": 1, "seconds": 0.0, "before": 1} if tiny else {}
        until = deadline(options, part)
        return steps.measure(net, ours, torch, precision, full=options.full, jax=jax, until=until, **pace)
    return rest.measure(thing, ours, torch)


def guarded(ours: Ours, store: Store, part: str, name: str, work: Callable[[], Result]) -> Result:
    """Do it; whatever goes wrong becomes its result.  Where the device is lost too, end the process."""
    result: Result = {"part": part, "case": name}
    lost = False
    try:
        result |= work()
    except Exception as error:
        said = " ".join(str(error).split())[:600]
        result |= {"status": "error", "message": f"{type(error).__name__}: {said}"}
        lost = ours.gpu and checks.unusable(ours)
        if lost:
            result["status"] = "crashed"
    store.write(result)
    if lost:
        print(line(result), flush=True)
        os._exit(3)
    return result


def because(part: str, thing: Any, wrong: set[str]) -> str | None:
    """The check that failed and on which a case rests, if there is one."""
    needs: list[str] = []
    if part == "kernels":
        case: Case = thing
        needs = [f"row {row}" for row in case.rows]
        if case.family.startswith("conv"):
            needs.append("trap convolutions in parts")
        if case.family == "matmul":
            needs.append("trap products in parts")
    elif part == "steps":
        needs = [f"trap {thing[0]} trains as numpy"]
    return next((need for need in needs if need in wrong), None)


if __name__ == "__main__":
    sys.exit(main())
