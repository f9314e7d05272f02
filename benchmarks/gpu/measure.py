"""One kernel case: check it against the reference, then time it beside its rival."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .cases import Case
from .sides import Kit, Numpy, Ours, Side, Torch, distance, flat, interleaved, repeated, summary

REFERENCE_BYTES = 64 << 20  # a reference computed by NumPy is wanted only up to here
REFERENCE_OPERATIONS = 2e9
NONSENSE = 1e30  # the error of results that are no numbers or have another shape
LARGE = 1 << 28  # bytes from which memory is given back after a case


def check(case: Case, ours: Ours, torch: Torch | None) -> tuple[float | None, str]:
    """How far our results are from float64, and by whom that was computed; None where nobody can."""
    kit = Kit(ours)
    with ours.precision(case.precision):
        work = case.make(kit)
        if case.results is None:
            poison(work(), kit)
        got = work()
    results = flat(got if case.results is None else case.results(kit))
    if case.tolerance == math.inf:
        return None, "its rows' samples"
    reference: Side
    if torch is not None:
        reference = torch
    elif case.bytes <= REFERENCE_BYTES and case.operations <= REFERENCE_OPERATIONS:
        reference = Numpy()
    else:
        return None, "its rows' samples"
    theirs = Kit(reference, given=kit.made, cast="float64")
    with reference.precision("ieee"):
        again = case.make(theirs)
        expected = flat(again() if case.results is None else (again(), case.results(theirs))[1])
    reference.synchronize()
    far = max(distance(ours, reference, a, b) for a, b in zip(results, expected, strict=True))
    return far, reference.name


def poison(out: Any, kit: Kit) -> None:
    """Fill results with NaN before their memory is given back: an element that is not written will show."""
    inputs = {t.data_ptr() for t in kit.made if t.numel()}
    for t in flat(out):
        expanded = any(step == 0 and n > 1 for step, n in zip(t.stride(), t.shape, strict=True))
        if t.is_floating_point() and t.numel() and not expanded and t.data_ptr() not in inputs:
            t.detach().fill_(math.nan)


def kits(case: Case, ours: Ours, torch: Torch | None, rotate: int, most: int) -> tuple[list[Any], list[Any]]:
    """The case's work on several sets of inputs, for each side, which reads the same memory."""
    count = max(1, min(most, math.ceil(rotate / max(case.bytes, 1))))
    mine, theirs = [], []
    for i in range(count):
        kit = Kit(ours, seed=1000 * i)
        mine.append(case.make(kit))
        if torch is not None:
            theirs.append(case.make(Kit(torch, given=kit.made)))
    return mine, theirs


def copies(case: Case, sets: int, bandwidth: float, rate: float, tiny: bool) -> int:
    """How many pieces of work one recorded graph holds: about a millisecond's worth, between 20 and 100, few if large."""
    if tiny:
        return sets
    floor = max(case.bytes / bandwidth, case.operations / rate, 2e-6)
    wanted = int(1e-3 / floor)
    least = 20 if floor < 2e-4 else 4
    return max(sets, min(100, max(least, wanted)))


def measure(
    case: Case,
    ours: Ours,
    torch: Torch | None,
    ceilings: dict[str, float],
    rounds: int = 7,
    least: float = 0.006,
    rotate: int = 160 << 20,
    most: int = 32,
    unchecked: bool = False,
) -> dict[str, Any]:
    """Check a case, and time it if it is right (or if ``unchecked``): what to store about it."""
    result: dict[str, Any] = {
        "part": "kernels",
        "case": case.name,
        "family": case.family,
        "bytes": case.bytes,
        "operations": case.operations,
    }
    far, by = check(case, ours, torch)
    result["reference"] = by
    if far is not None:
        result["error"], result["tolerance"] = far if math.isfinite(far) else NONSENSE, case.tolerance
        if not far <= case.tolerance and not unchecked:
            return result | {"status": "wrong"}
    mine, theirs = kits(case, ours, torch, rotate if ours.gpu else 1, most)
    bandwidth, rate = ceilings.get("copy", 2e12), ceilings.get("bf16", 5e14)
    count = copies(case, len(mine), bandwidth, rate, not ours.gpu)
    timers: dict[str, Callable[[int], float]] = {}
    how = {}
    with ours.precision(case.precision):
        replay, how["trigrad"] = ours.record(repeated(mine, count))
    timers["trigrad"] = lambda times: ours.seconds(replay, times)
    if torch is not None and theirs:
        with torch.precision(case.precision):
            rival, how["torch"] = torch.record(repeated(theirs, count))
        peer = torch
        timers["torch"] = lambda times: peer.seconds(rival, times)
    ours.synchronize()
    times = interleaved(timers, rounds, least)
    figures = {name: summary([s / count for s in found]) for name, found in times.items()}
    seconds = figures["trigrad"]["us"] / 1e6
    result |= {"status": "ok", "how": how, "copies": count, "sets": len(mine), "figures": figures}
    result["GB/s"] = round(case.bytes / seconds / 1e9, 3)
    if "copy" in ceilings:
        result["of copy"] = round(case.bytes / seconds / ceilings["copy"], 4)
    if case.operations:
        result["TFLOP/s"] = round(case.operations / seconds / 1e12, 4)
    if "torch" in figures:
        result["against torch"] = round(figures["torch"]["us"] / figures["trigrad"]["us"], 4)
    return result


def release(case: Case, *sides: Side | None) -> None:
    """Give the memory of a large case back, so that the other library can have it."""
    if case.bytes > LARGE:
        for side in sides:
            if side is not None and side.gpu:
                side.synchronize()
                side.lib.cuda.empty_cache()


def ceilings(ours: Ours, torch: Torch | None) -> dict[str, float]:
    """What this machine can do at most: bytes a second copied (read and written), operations a second of products."""
    side: Side = torch if torch is not None else ours
    tiny = not ours.gpu
    n = 1 << (10 if tiny else 28)
    sizes = {"bf16": 16 if tiny else 8192, "tf32": 16 if tiny else 4096}
    found = {}

    def best(body: Callable[[], None], times: int) -> float:
        replay, _ = side.record(body)
        return min(side.seconds(replay, times) / times for _ in range(2 if tiny else 7))

    kit = Kit(ours, seed=77)
    source, target = kit.normal(n), kit.normal(n)
    if torch is not None:
        source, target = torch.taken(source), torch.taken(target)

    def copy() -> None:
        target.copy_(source)

    found["copy"] = 8.0 * n / max(best(copy, 3), 1e-9)
    for way, size in sizes.items():
        kit = Kit(ours, seed=78)
        dtype = "bfloat16" if way == "bf16" else "float32"
        a, b = (kit.normal(size, size, dtype=dtype) for _ in range(2))
        if torch is not None:
            a, b = torch.taken(a), torch.taken(b)

        def product(a: Any = a, b: Any = b) -> None:
            a @ b

        with side.precision(way):
            found[way] = 2.0 * size**3 / max(best(product, 3), 1e-9)
    found["measured with " + side.name] = 1.0
    return found
