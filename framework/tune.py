"""Choosing tiles by measurement: ``python -m trigrad tune``.

For each product a few candidates are tried.  Each has to prove itself first: it is run on two sets of operands, whose
results must be those of NumPy in float64 within the dtype's error, and twice on the first, to the same bits; compilers
have been known to get single configurations wrong.  Those that pass are timed by turns, and the fastest is kept if it
beats the analytic rule's choice by more than measurements vary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import ml_dtypes
import numpy as np

from . import dtypes
from .array import DeviceArray, empty, from_numpy
from .gemm import Tile, candidates, gemm, key_of, machine, on_matrix_units, transposed
from .precision import float32_product, set_float32_matmul_precision
from .tiles import Table

MOST = 8  # candidates of a product
ROUNDS = 5
GAIN = 0.97  # of the rule's time, which a choice must get below to be written down
REPEATS = 20  # runs of a product in one measurement

LAYERS = (  # batch, inputs, outputs
    (64, 100, 6272),
    (64, 6272, 1),
    (128, 8192, 1),
    (128, 512, 512),
    (256, 1024, 1024),
    (1024, 1024, 1024),
    (4096, 1024, 1024),
    (4096, 4096, 4096),
    (8192, 8192, 8192),
)

Run = Callable[[], Any]
Measure = Callable[[], float]  # the seconds of one run
Prepare = Callable[[Run, Tile], Measure]


@dataclass(frozen=True)
class Product:
    """One product to tune: (M, K) by (K, N) in ``dtype``, operands lying as ``layout`` says (see ``layout_of``)."""

    M: int
    N: int
    K: int
    dtype: np.dtype
    precision: str = "ieee"
    layout: str = "nn"

    @property
    def key(self) -> str:
        """Its key in tables."""
        return key_of(self.M, self.N, self.K, 1, self.dtype, self.precision, self.layout)

    def __str__(self) -> str:
        name = dtypes.dtype_of(self.dtype).name
        shown = name if self.dtype != np.float32 else f"{name} {self.precision}"
        return f"({self.M}, {self.K}) by ({self.K}, {self.N}) {self.layout} {shown}"


@dataclass
class Choice:
    """What tuning one product found: the rule's tile, the chosen one, seconds of each, and who was thrown out why."""

    product: Product
    rule: Tile
    chosen: Tile
    seconds: dict[Tile, float] = field(default_factory=dict)
    rejected: dict[Tile, str] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """The rule's time as a multiple of the chosen tile's; 1 where the rule's tile was chosen or is wrong."""
        return self.seconds.get(self.rule, self.seconds[self.chosen]) / self.seconds[self.chosen]


def parse_layer(text: str) -> tuple[int, int, int]:
    """``"64x100x6272"`` as batch, inputs, outputs.  Raises ValueError for anything else."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(f"tune: expected a layer BATCHxINPUTSxOUTPUTS, got {text!r}")
    batch, inputs, outputs = map(int, parts)
    return batch, inputs, outputs


KINDS = {  # what the command calls a dtype with a precision
    "bfloat16": (dtypes.bfloat16.numpy, "ieee"),
    "float16": (dtypes.float16.numpy, "ieee"),
    "tf32": (dtypes.float32.numpy, "tf32"),
    "bf16x3": (dtypes.float32.numpy, "bf16x3"),
    "float32": (dtypes.float32.numpy, "ieee"),
}


def products(layers: Iterable[tuple[int, int, int]], kinds: Iterable[tuple[np.dtype, str]]) -> Iterator[Product]:
    """The three products of linear layers (batch, inputs, outputs): forward, gradient of input and of weight."""
    every = list(kinds)
    for batch, inputs, outputs in layers:
        for dtype, precision in every:
            yield Product(batch, outputs, inputs, dtype, precision, "nt")
            yield Product(batch, inputs, outputs, dtype, precision, "nn")
            yield Product(outputs, inputs, batch, dtype, precision, "tn")


def contenders(product: Product, backend: Any) -> list[Tile]:
    """At most 8 tiles worth trying, the rule's first: other sides, then the first with one thing changed."""
    on = machine(backend)
    M, N, K = product.M, product.N, product.K
    ranked = candidates(M, N, K, 1, product.dtype, product.precision, product.layout, on)
    first = ranked[0]
    changed = [first._replace(stages=first.stages - 1 if first.stages > 2 else 3)]
    if on_matrix_units(product.dtype, product.precision):
        changed.append(first._replace(warps=12 - first.warps))
    if -(-M // first.m) * -(-N // first.n) > on.programs:
        changed.append(first._replace(persistent=1))
    if first.splits > 1:
        changed.append(first._replace(splits=1))
        changed.append(first._replace(splits=2 * first.splits))
    elif -(-K // first.k) >= 16:
        changed.append(first._replace(splits=2))
    return list(dict.fromkeys([first, *ranked[1 : MOST - len(changed)], *changed]))[:MOST]


def operands(product: Product, backend: Any, seed: int) -> tuple[DeviceArray, DeviceArray, np.ndarray]:
    """Random operands, laid out as the product says, and their product in float64."""
    rng = np.random.default_rng(seed)
    host, placed = [], []
    for shape, way in zip(((product.M, product.K), (product.K, product.N)), product.layout, strict=True):
        array = rng.standard_normal(shape, np.float32).astype(product.dtype)
        host.append(array.astype(np.float64))
        if way == "t":
            placed.append(transposed(from_numpy(np.ascontiguousarray(array.T), backend)))
        else:
            placed.append(from_numpy(array, backend))
    return placed[0], placed[1], host[0] @ host[1]


def fault(got: np.ndarray, want: np.ndarray, product: Product) -> str | None:
    """What is wrong with a result, if anything: its error is compared with what the dtypes explain."""
    stored = float(ml_dtypes.finfo(product.dtype).eps)
    taken = {"ieee": 0.0, "tf32": 2.0**-9, "bf16x3": 2.0**-15}[product.precision]
    summed = 2.0**-48 if product.dtype.itemsize == 8 else 2.0**-20
    # Entries are of standard deviation 1: K products, each wrong by its rounding, and sums that grow to about sqrt(K).
    bound = (stored + taken) * np.abs(want) + 8 * taken * np.sqrt(product.K) + summed * (product.K + 16)
    error = np.abs(got.astype(np.float64) - want)
    wrong = ~(error <= bound)  # so that NaN is wrong
    if not wrong.any():
        return None
    return f"{int(wrong.sum())} of {wrong.size} results are wrong, one by {np.nanmax(np.where(wrong, error, 0)):.3g}"


def tune(product: Product, backend: Any, prepare: Prepare, tiles: Iterable[Tile] | None = None) -> Choice:
    """Try ``tiles`` (by default the contenders) on one product.

    ``prepare`` gets a candidate's run and returns what measures it.  Raises RuntimeError where every candidate fails.
    """
    tried = contenders(product, backend) if tiles is None else list(tiles)
    found = Choice(product, tried[0], tried[0])
    before = float32_product("matmul")
    set_float32_matmul_precision(product.precision)
    try:
        sets = [operands(product, backend, seed) for seed in (0, 1)]
        measures: dict[Tile, Measure] = {}
        for tile in tried:
            try:
                complaint = _trial(product, tile, sets)
                if complaint is None:
                    out = empty((product.M, product.N), product.dtype, backend)
                    measures[tile] = prepare(_run(sets[0], tile, out), tile)
            except RuntimeError as error:  # more shared memory than there is, say
                complaint = str(error)
            if complaint is not None:
                found.rejected[tile] = complaint
        if not measures:
            raise RuntimeError(f"tune: {product}: every candidate fails: {next(iter(found.rejected.values()))}")
        times: dict[Tile, list[float]] = {tile: [] for tile in measures}
        for _ in range(ROUNDS):  # by turns, so that a change of clock rate hits all alike
            for tile, measure in measures.items():
                times[tile].append(measure())
    finally:
        set_float32_matmul_precision(before)
    found.seconds = {tile: median(taken) for tile, taken in times.items()}
    fastest = min(found.seconds, key=found.seconds.__getitem__)
    rule = found.seconds.get(found.rule)
    found.chosen = found.rule if rule is not None and found.seconds[fastest] > GAIN * rule else fastest
    return found


def _run(operands: tuple[DeviceArray, DeviceArray, np.ndarray], tile: Tile, out: DeviceArray) -> Run:
    a, b, _ = operands
    return lambda: gemm(a, b, tile=tile, out=out)


def _trial(product: Product, tile: Tile, sets: list[tuple[DeviceArray, DeviceArray, np.ndarray]]) -> str | None:
    """What is wrong with a candidate.  Two sets of operands, since memory may hold another candidate's right result."""
    first = None
    for a, b, want in sets:
        got = gemm(a, b, tile=tile).numpy()
        complaint = fault(got, want, product)
        if complaint is not None:
            return complaint
        first = got if first is None else first
    assert first is not None
    again = gemm(*sets[0][:2], tile=tile).numpy()
    return None if np.array_equal(again, first) else "results differ from run to run"


def entries(choices: Iterable[Choice]) -> dict[str, dict[str, int]]:
    """What tables say of these choices; nothing of products for which the rule's tile is the best."""
    return {c.product.key: c.chosen._asdict() for c in choices if c.chosen != c.rule}


def merged(table: Table, device_name: str, choices: Iterable[Choice]) -> Table:
    """The table with these choices in place of what it says of their products."""
    made = {device: {kind: dict(e) for kind, e in kinds.items()} for device, kinds in table.items()}
    own = made.setdefault(device_name, {}).setdefault("gemm", {})
    done = list(choices)
    for choice in done:
        own.pop(choice.product.key, None)
    own.update(entries(done))
    return made


def clock(capture: Callable[[Run], Run]) -> Prepare:
    """Measures runs by events around a captured graph of several, so that the time of launching them is not counted."""
    from .cuda import Event

    def prepare(run: Run, tile: Tile) -> Measure:
        def repeat() -> None:
            for _ in range(REPEATS):
                run()

        captured = capture(repeat)
        for _ in range(3):  # as usual, captured, started again
            captured()
        begin, end = Event(enable_timing=True), Event(enable_timing=True)

        def measure() -> float:
            begin.record()
            captured()
            end.record()
            end.synchronize()
            return begin.elapsed_time(end) / 1000 / REPEATS

        return measure

    return prepare
