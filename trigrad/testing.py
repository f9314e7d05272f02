"""Testing rows of the op table, ours and yours: ``trigrad.testing.check_op(ROW)``.

Three links of trust, none of which knows an op by name:

    source --> worked answers --> NumPy forward --> finite differences --> NumPy backward --> Triton, both
               (literal numbers)                    (float64, along one random direction)     (per dtype)

Tolerances follow from the dtype and from how many terms are added up, and from nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .autograd import Tensor, apply, grad
from .autograd.tensor import wrap
from .framework import device as devices
from .framework import dtypes
from .framework.array import from_numpy
from .framework.op import OPS, Op, Sample

__all__ = [
    "assert_close",
    "check_error",
    "check_gradient",
    "check_op",
    "check_row",
    "check_second_gradient",
    "check_triton",
    "check_untouched",
    "check_worked",
    "compile_row",
    "samples_of",
    "tolerance",
    "twice_differentiable",
]

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def tolerance(dtype: str, terms: int = 1) -> float:
    """Relative error allowed between two ways to compute one thing: 4 eps sqrt(terms)."""
    return 4 * EPS[dtype] * float(np.sqrt(terms))


def assert_close(got: Any, expected: Any, terms: int = 1, dtype: str | None = None, what: str = "result") -> None:
    """Raise AssertionError unless two arrays have one shape and dtype and agree as closely as ``tolerance`` says.

    Values are compared relative to themselves and, where terms are added up, to the largest of the array.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, expected {expected.dtype}"
    name = dtype or expected.dtype.name
    if name not in EPS:
        np.testing.assert_array_equal(got, expected, err_msg=what)
        return
    wide_got, wide = got.astype(np.float64), expected.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    largest = float(finite.max()) if finite.size else 0.0
    allowed = tolerance(name, terms)
    np.testing.assert_allclose(
        wide_got, wide, rtol=allowed, atol=allowed * (largest if terms > 1 else min(1.0, largest)), err_msg=what
    )


def samples_of(op: Op) -> list[Sample]:
    """The row's samples, the same every time."""
    return list(op.samples(np.random.default_rng(0))) if op.samples is not None else []


# -- calling a row --------------------------------------------------------------------------------------------------


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and (x.dtype.kind == "f" or x.dtype == dtypes.bfloat16.numpy)


def _cast(x: Any, dtype: str) -> Any:
    if isinstance(x, tuple):
        return tuple(_cast(y, dtype) for y in x)
    return x.astype(dtypes.dtype_of(dtype).numpy) if _is_float(x) else x


def _inputs(sample: Sample, dtype: str | None) -> tuple[Any, ...]:
    """The sample's inputs, floating ones in ``dtype``, every one a copy with its own strides kept."""
    copied = tuple(tuple(_duplicate(y) for y in x) if isinstance(x, tuple) else _duplicate(x) for x in sample.inputs)
    return copied if dtype is None or not sample.dtypes else tuple(_cast(x, dtype) for x in copied)


def _duplicate(x: Any) -> Any:
    if isinstance(x, np.generic):
        return np.asarray(x)  # what NumPy makes of a 0-d array
    return x.copy(order="K") if isinstance(x, np.ndarray) else x


def _spread(a: np.ndarray) -> np.ndarray:
    """The same values with gaps between them."""
    gaps = np.zeros((*a.shape, 2), a.dtype)
    gaps[..., 0] = a
    return gaps


class _Called:
    """One call of a row on one device: outputs, gradients for seeded gradients, and what was written."""

    def __init__(self, op: Op, inputs: Sequence[Any], settings: Any, place: Any, spread: bool = False) -> None:
        self.leaves: list[Tensor] = []
        self.op = op
        tensors = [self._tensor(x, name, place, spread) for name, x in zip(op.inputs, inputs, strict=True)]
        out = apply(op, *tensors, **settings)
        self.outputs = out if isinstance(out, tuple) else (out,)
        rng = np.random.default_rng(1)
        live = [o for o in self.outputs if o.requires_grad]
        weights = [np.asarray(rng.normal(size=o.shape)).astype(o.dtype.numpy) for o in live]
        self.gradients: list[Any] = []
        if live and self.leaves:
            self.gradients = list(
                grad(live, self.leaves, [_beside(w, o) for w, o in zip(weights, live, strict=True)], allow_unused=True)
            )
        written = (t for name, t in zip(op.inputs, tensors, strict=True) if name in op.writes)
        self.written = [t for t in written if isinstance(t, (Tensor, tuple))]  # a number stands for what is not there

    def _tensor(self, x: Any, name: str, place: Any, spread: bool) -> Any:
        if isinstance(x, tuple):
            return tuple(self._tensor(y, name, place, spread) for y in x)
        if not isinstance(x, np.ndarray):
            return x
        if spread and name not in self.op.writes:
            t = wrap(_put(_spread(x), place).array)
            array = t.array
            t = wrap(array[..., 0] if isinstance(array, np.ndarray) else array.viewed(lambda a: a[..., 0]))
        else:
            t = _put(x, place)
        if _is_float(x) and name not in self.op.writes:
            t.requires_grad_()
            self.leaves.append(t)
        return t

    def everything(self) -> list[tuple[str, np.ndarray]]:
        named = [(f"output {i}", o.host()) for i, o in enumerate(self.outputs)]
        named += [(f"gradient of input {i}", g.host()) for i, g in enumerate(self.gradients) if g is not None]
        for group in self.written:
            named += [(f"written {i}", t.host()) for i, t in enumerate(group if isinstance(group, tuple) else (group,))]
        return named


def _put(x: np.ndarray, place: Any) -> Tensor:
    """A tensor around ``x``: as it is on the CPU, copied to any other device or back end."""
    if place == "cpu":
        return wrap(x)
    backend = place if isinstance(place, devices.Backend) else devices.backend(devices.device(place))
    return wrap(from_numpy(x, backend))


def _beside(x: np.ndarray, tensor: Tensor) -> Tensor:
    """A tensor around ``x`` where ``tensor`` is."""
    return _put(x, "cpu" if isinstance(tensor.array, np.ndarray) else tensor.array.backend)


# -- the checks -----------------------------------------------------------------------------------------------------


def check_row(op: Op) -> None:
    """The row is whole: both versions with one signature, gradients that exist, a formula, a public docstring."""
    ours, theirs = (
        [(p.name, p.kind) for p in inspect.signature(f).parameters.values()]
        for f in (op.kernel.numpy, op.kernel.triton)
    )
    assert ours == theirs, f"{op.name}: the NumPy version takes {ours}, the Triton version {theirs}"
    for g in op.grads:
        assert g.op in OPS, f"{op.name}: the gradient of {g.of} is the row {g.op!r}, which does not exist"
    doc = inspect.getmodule(op.kernel.numpy).__doc__  # type: ignore[union-attr]
    assert doc is not None and "=" in doc, f"{op.name}: its file's docstring states no formula"
    if op.function is not None:
        text = op.function.__doc__
        assert text and ">>>" in text, f"{op.name}: its public function has no docstring with an example"


def check_worked(op: Op, sample: Sample) -> None:
    """The NumPy version gives the literal answers."""
    called = _Called(op, _inputs(sample, "float64"), sample.settings, "cpu")
    results = [*called.outputs, *_flat(called.written)]
    count = len(results)
    for i, (o, answer) in enumerate(zip(results, sample.answers, strict=False)):
        expected = np.asarray(answer)
        assert o.shape == expected.shape, (
            f"{op.name} {sample.name}: output {i} has shape {o.shape}, expected {expected.shape}"
        )
        np.testing.assert_allclose(
            np.asarray(o.host(), np.float64), np.asarray(expected, np.float64), rtol=1e-12, atol=1e-15
        )
    answers = sample.answers[count:]
    if answers:
        found = _ones(op, sample)
        assert len(found) == len(answers), f"{op.name} {sample.name}: {len(found)} gradients, {len(answers)} answers"
        for i, (g, answer) in enumerate(zip(found, answers, strict=True)):
            np.testing.assert_allclose(
                g, np.asarray(answer, np.float64), rtol=1e-12, atol=1e-15, err_msg=f"gradient {i}"
            )


def _ones(op: Op, sample: Sample) -> list[np.ndarray]:
    """Gradients of the differentiable inputs for a gradient of ones at the first output."""
    leaves: list[Tensor] = []

    def tensor(x: Any, name: str) -> Any:
        if isinstance(x, tuple):
            return tuple(tensor(y, name) for y in x)
        if not isinstance(x, np.ndarray):
            return x
        t = wrap(x)
        if _is_float(x) and any(name in g.of for g in op.grads):
            leaves.append(t.requires_grad_())
        return t

    out = apply(
        op, *(tensor(x, n) for n, x in zip(op.inputs, _inputs(sample, "float64"), strict=True)), **sample.settings
    )
    first = out[0] if isinstance(out, tuple) else out
    ones = wrap(np.ones(first.shape, first.dtype.numpy))
    found = grad(first, leaves, ones, materialize_grads=True)
    return [g.host() for g in found if g is not None]


def check_untouched(op: Op, sample: Sample) -> None:
    """A call leaves its inputs as they were, but for those that the row says it writes."""
    inputs = _inputs(sample, "float64")
    before = _inputs(sample, "float64")
    _Called(op, inputs, sample.settings, "cpu")
    for name, now, then in zip(op.inputs, inputs, before, strict=True):
        if name not in op.writes:
            for a, b in zip(
                now if isinstance(now, tuple) else (now,), then if isinstance(then, tuple) else (then,), strict=True
            ):
                np.testing.assert_array_equal(a, b, err_msg=f"{op.name} {sample.name}: input {name} was changed")


def _flat(inputs: Sequence[Any]) -> list[Any]:
    return [y for x in inputs for y in (x if isinstance(x, tuple) else (x,))]


def _differentiable(op: Op) -> bool:
    return bool(op.grads or op.zero)


def check_gradient(op: Op, sample: Sample, eps: float = 1e-6) -> bool:
    """The gradient along one random direction agrees with central differences of the NumPy version, in float64.

    Returns False where there is nothing to check: a row or a call without differentiable outputs.
    """
    if not _differentiable(op):
        return False
    inputs = _inputs(sample, "float64")
    called = _Called(op, inputs, sample.settings, "cpu")
    live = [i for i, o in enumerate(called.outputs) if o.requires_grad]
    if not live or not called.leaves or any(called.outputs[i].dtype is not dtypes.float64 for i in live):
        return False
    rng = np.random.default_rng(2)
    directions = [
        np.asarray(rng.normal(size=x.shape)) if _is_float(x) and x.dtype == np.float64 else None for x in _flat(inputs)
    ]
    rng_w = np.random.default_rng(1)
    weights = [np.asarray(rng_w.normal(size=called.outputs[i].shape)) for i in live]

    def along(step: float) -> float:
        moved = iter(
            x if d is None else np.asarray(x + step * d) for x, d in zip(_flat(inputs), directions, strict=True)
        )
        regrouped = [tuple(next(moved) for _ in x) if isinstance(x, tuple) else next(moved) for x in inputs]
        out = apply(op, *(_plain(x) for x in regrouped), **sample.settings)
        outs = out if isinstance(out, tuple) else (out,)
        return float(sum(np.sum(w * outs[i].host()) for w, i in zip(weights, live, strict=True)))

    steps = [d for x, d in zip(_named(op, inputs), directions, strict=True) if d is not None and x not in op.writes]
    claimed = sum(np.sum(g.host() * d) for g, d in zip(called.gradients, steps, strict=True) if g is not None)
    up, down = along(eps), along(-eps)
    measured = (up - down) / (2 * eps)
    size = sum(
        float(np.sum(np.abs(g.host() * d))) for g, d in zip(called.gradients, steps, strict=True) if g is not None
    )
    # truncation ~ eps^2, cancellation ~ 2^-52 |f| / eps
    allowed = 1e-6 * size + 2.0**-48 * (abs(up) + 1) / eps
    assert abs(claimed - measured) <= allowed, (
        f"{op.name} {sample.name}: the gradient along a random direction is {claimed:.10g}, central differences give {measured:.10g}"
    )
    return True


def _named(op: Op, inputs: Sequence[Any]) -> list[str]:
    return [n for n, x in zip(op.inputs, inputs, strict=True) for _ in (x if isinstance(x, tuple) else (x,))]


def _plain(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(_plain(y) for y in x)
    return wrap(x) if isinstance(x, np.ndarray) else x


def twice_differentiable(op: Op) -> bool:
    """Whether each gradient row covers all its own inputs that may ask for a gradient."""
    return bool(op.grads) and all(
        set(row.inputs) <= {n for h in row.grads for n in h.of} | set(row.zero) | _never_float(op, g, row)
        for g in op.grads
        for row in [OPS[g.op]]
    )


def _never_float(op: Op, g: Any, row: Op) -> set[str]:
    """Inputs of a gradient row that are kept arrays without a gradient of their own: indices, masks, targets."""
    differentiable = {n for h in op.grads for n in h.of} | {
        op.outputs[i] for i in range(min(op.differentiable, len(op.outputs)))
    }
    kept = row.inputs[len(row.inputs) - len(g.keeps) :] if g.keeps else ()
    return {name for name, source in zip(kept, g.keeps, strict=True) if source not in differentiable}


def check_second_gradient(op: Op, sample: Sample, eps: float = 1e-6) -> bool:
    """The gradient of the gradient, likewise; returns False where the row has none."""
    if not twice_differentiable(op):
        return False
    inputs = _inputs(sample, "float64")
    flat = _flat(inputs)
    names = _named(op, inputs)
    moving = [_is_float(x) and x.dtype == np.float64 and n not in op.writes for x, n in zip(flat, names, strict=True)]
    out0 = apply(op, *(_plain(x) for x in inputs), **sample.settings)
    outs0 = out0 if isinstance(out0, tuple) else (out0,)
    live = [i for i, o in enumerate(outs0[: op.differentiable]) if o.dtype is dtypes.float64]
    rng = np.random.default_rng(3)
    arriving = [np.asarray(rng.normal(size=outs0[i].shape)) for i in live]
    weights = [np.asarray(rng.normal(size=x.shape)) if m else None for x, m in zip(flat, moving, strict=True)]
    directions = [np.asarray(rng.normal(size=x.shape)) if m else None for x, m in zip(flat, moving, strict=True)]
    bends = [np.asarray(rng.normal(size=a.shape)) for a in arriving]

    def first(step: float, create_graph: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor | None]]:
        leaves = [
            wrap(np.asarray(x + step * d)).requires_grad_() if d is not None else x
            for x, d in zip(flat, directions, strict=True)
        ]
        queue = iter(wrap(x) if isinstance(x, np.ndarray) else x for x in leaves)
        regrouped = [tuple(next(queue) for _ in x) if isinstance(x, tuple) else next(queue) for x in inputs]
        out = apply(op, *regrouped, **sample.settings)
        outs = out if isinstance(out, tuple) else (out,)
        given = [wrap(np.asarray(a + step * b)).requires_grad_() for a, b in zip(arriving, bends, strict=True)]
        asked = [t for t, d in zip(leaves, directions, strict=True) if d is not None]
        used = [(outs[i], g) for i, g in zip(live, given, strict=True) if outs[i].requires_grad]
        if not used:
            return asked, given, []
        found = grad([o for o, _ in used], asked, [g for _, g in used], create_graph=create_graph, allow_unused=True)
        return asked, given, list(found)

    asked, given, found = first(0.0, True)
    ws = [w for w in weights if w is not None]
    live_grads = [(g, w) for g, w in zip(found, ws, strict=False) if g is not None and g.requires_grad]
    if not live_grads:
        return False
    second = grad([g for g, _ in live_grads], [*asked, *given], [wrap(w) for _, w in live_grads], allow_unused=True)
    steps = [d for d in directions if d is not None] + bends
    products = [np.sum(s.host() * d) for s, d in zip(second, steps, strict=True) if s is not None]
    claimed = float(sum(products))

    def along(step: float) -> float:
        _, _, gs = first(step, False)
        return float(sum(np.sum(g.host() * w) for g, w in zip(gs, ws, strict=True) if g is not None))

    up, down = along(eps), along(-eps)
    measured = (up - down) / (2 * eps)
    size = sum(float(np.sum(np.abs(s.host() * d))) for s, d in zip(second, steps, strict=True) if s is not None)
    allowed = 1e-6 * size + 2.0**-48 * (abs(up) + 1) / eps
    assert abs(claimed - measured) <= allowed, (
        f"{op.name} {sample.name}: the second derivative along a random direction is {claimed:.10g}, "
        f"central differences give {measured:.10g}"
    )
    return True


def check_triton(op: Op, sample: Sample, dtype: str | None, device: Any = "interpreter", spread: bool = False) -> None:
    """The Triton version gives what the NumPy version gives, forward and backward, in ``dtype``.

    With ``spread`` its inputs lie in memory with gaps between their elements.
    """
    expected = _Called(op, _inputs(sample, dtype), sample.settings, "cpu")
    got = _Called(op, _inputs(sample, dtype), sample.settings, device, spread)
    ours, theirs = expected.everything(), got.everything()
    assert [n for n, _ in ours] == [n for n, _ in theirs]
    for (name, want), (_, have) in zip(ours, theirs, strict=True):
        assert_close(have, want, sample.terms, what=f"{op.name} {sample.name} {dtype or ''}: {name}")


def check_strides(op: Op, sample: Sample) -> None:
    """The NumPy version does not care how its inputs lie in memory."""
    expected = _Called(op, _inputs(sample, "float64"), sample.settings, "cpu")
    got = _Called(op, _inputs(sample, "float64"), sample.settings, "cpu", spread=True)
    for (name, want), (_, have) in zip(expected.everything(), got.everything(), strict=True):
        assert_close(have, want, max(sample.terms, 2), what=f"{op.name} {sample.name}: {name}")


def check_error(op: Op, sample: Sample, device: Any = "cpu") -> None:
    """The public function raises exactly what the sample says, and leaves its inputs alone."""
    assert sample.raises is not None and op.function is not None
    kind, message = sample.raises
    inputs = _inputs(sample, None)
    tensors = [
        tuple(_put(y, device) for y in x)
        if isinstance(x, tuple) and all(isinstance(y, np.ndarray) for y in x)
        else _put(x, device)
        if isinstance(x, np.ndarray)
        else x
        for x in inputs
    ]
    try:
        op.function(*tensors, **sample.settings)
    except kind as error:
        said = str(error) if not isinstance(error, KeyError) else error.args[0]
        assert said == message, f"{op.name} {sample.name}: it says\n  {said}\nexpected\n  {message}"
    else:
        raise AssertionError(f"{op.name} {sample.name}: no {kind.__name__} was raised")
    for now, then in zip(_flat(inputs), _flat(sample.inputs), strict=True):
        np.testing.assert_array_equal(now, then)


def compile_row(op: Op, target: str, dtype: str = "float32", most: int | None = 1) -> list[tuple[str, Any]]:
    """Compile what the row's first ``most`` samples launch, forward and backward, for ``target``; needs no GPU.

    Returns (kernel name, compiled kernel) for each distinct specialisation.
    """
    from .framework.record import Recorder

    recorder = Recorder(target)
    usable = [s for s in samples_of(op) if s.raises is None and (not s.dtypes or dtype in s.dtypes) and _not_empty(s)]
    for sample in usable[:most]:
        _Called(op, _inputs(sample, dtype), sample.settings, recorder)
    return recorder.compile_all()


def _not_empty(sample: Sample) -> bool:
    return all(not isinstance(x, np.ndarray) or x.size for x in _flat(sample.inputs))


def check_op(op: Op, device: Any = "interpreter", targets: Iterable[str] = ()) -> dict[str, int]:
    """Every check of one row; returns how many of each were made.

    ``device`` runs the Triton version (the interpreter, or ``"cuda"`` where there is a GPU); ``targets`` are
    names such as ``"sm_90"`` for which its kernels are compiled.  Raises AssertionError at the first failure.
    """
    made = {
        "samples": 0,
        "worked": 0,
        "gradients": 0,
        "second gradients": 0,
        "comparisons": 0,
        "errors": 0,
        "kernels": 0,
    }
    check_row(op)
    for sample in samples_of(op):
        made["samples"] += 1
        if sample.raises is not None:
            check_error(op, sample, "cpu")
            check_error(op, sample, device)
            made["errors"] += 1
            continue
        check_untouched(op, sample)
        check_strides(op, sample)
        if sample.answers:
            check_worked(op, sample)
            made["worked"] += 1
        else:
            made["gradients"] += check_gradient(op, sample)
            made["second gradients"] += check_second_gradient(op, sample)
        for dtype in sample.dtypes or (None,):
            check_triton(op, sample, dtype, device)
            made["comparisons"] += 1
    for target in targets:
        made["kernels"] += len(compile_row(op, target))
    return made
