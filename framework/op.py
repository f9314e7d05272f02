"""The op table: what an operation is, and the list of all of them.

This file knows no operation by name and no gradient by formula.  The files in ``kernels/`` fill the table,
``autograd/`` reads it, and neither knows the other's secrets.

    Op       a row: one primitive
    Kernel   its computation, told twice: the NumPy specification and the Triton version
    Grad     the gradient of some of its inputs, which is again a row
    Sample   one call worth testing
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from .device import device

VARIADIC = 2**31  # Op.differentiable of a row with as many outputs as the call asks for, all of them differentiable

Array = Any  # a numpy.ndarray on the CPU, a DeviceArray elsewhere


class Call(Protocol):
    """What a row may know of the call whose gradient is asked for: a node of the graph."""

    settings: Mapping[str, Any]
    dtype: Any  # NumPy dtype of the first array input
    device: device

    def shape(self, name: str) -> Any:
        """Shape of the input ``name``; a tuple of shapes where that input is a tuple of arrays."""


@dataclass(frozen=True, eq=False)
class Begun:
    """A call whose first output is still to be computed: ``finish(chain)`` does that, once.

    The output has ``shape``, and the dtype of the first array.  ``others`` are the other outputs; these, and inputs that
    the row writes, may be written by ``finish`` too, and nobody looks at them before.
    ``chain`` is a tuple of ``epilogue.Stage``, empty for the plain result.
    """

    shape: tuple[int, ...]
    finish: Callable[[Any], Array]
    others: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class Kernel:
    """One computation, told twice with one signature: arrays positional, settings keyword-only.

    An array input may be a tuple of arrays.  Several results are returned as a tuple.  ``scalar`` is the
    ``@jit`` function of loaded values behind an elementwise row: launcher, epilogues and fusion read it.
    ``wide`` is the NumPy version without its care for half types, where it needs some.  ``result`` is the dtype of an
    elementwise row's output where that is not its operands'.  ``begin`` is the Triton version in two parts, for rows
    whose kernel can run a chain of elementwise rows on its result: see ``Begun``.  ``special`` is asked by fusion, with
    a call's array inputs and numbers: None, or another scalar function and those of them that it takes.
    """

    numpy: Callable[..., Any]
    triton: Callable[..., Any]
    scalar: Any = None
    wide: Callable[..., Any] | None = None
    result: Any = None
    begin: Callable[..., Begun] | None = None
    special: Callable[..., tuple[Any, tuple[Any, ...]] | None] | None = None

    def on(self, where: device) -> Callable[..., Any]:
        """The version that runs on ``where``: the whole of device dispatch."""
        return self.numpy if where.type == "cpu" else self.triton


@dataclass(frozen=True)
class Grad:
    """The gradient of the inputs named in ``of`` is the row ``op``.

    It is called as ``op(grad, *keeps, **settings)``: ``grad`` is the gradient of each differentiable output in
    turn, ``keeps`` names inputs and outputs of the forward call, and the settings are the forward call's own,
    or what ``settings(call)`` makes of them.  Shapes are known without being kept: ``call.shape("input")``.
    It returns one gradient for each name in ``of``; a gradient is un-broadcast by the engine.
    """

    of: tuple[str, ...]
    keeps: tuple[str, ...]
    op: str
    settings: Callable[[Call], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Sample:
    """One call worth testing.

    A worked sample states its ``answers``: the outputs, what is in the inputs that the row writes afterwards, then the
    gradient of each differentiable input for a gradient of ones at the first output; literal numbers, from the
    definition.  An error sample states the
    exception and the whole message that the public function ``raises``.  Floating inputs are given as float64
    and tested in each of ``dtypes``; a sample that rests on a dtype of its own says ``dtypes=()``.  ``terms`` is the
    greatest number of products or values that are added up in any element of an output or gradient.
    """

    name: str
    inputs: tuple[Any, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[Any, ...] = ()
    raises: tuple[type[Exception], str] | None = None
    dtypes: tuple[str, ...] = ("float64", "float32", "float16", "bfloat16")
    terms: int = 1


@dataclass(frozen=True, eq=False)
class Op:
    """A row of the table.

    Beside the four fields that make a row (name, kernel, grads, samples) the others speak only where a row
    has something to say:

    ``function``   the public function, with defaults and checks; Tensor methods find it here by name
    ``promotion``  how the gate treats dtypes: "arithmetic" (PyTorch's promotion), "float" (the same, integers
                   become floating), "comparison" (the same, the result is bool), "" (dtypes are left alone)
    ``promotes``   the inputs that take part in promotion; all by default
    ``outputs``    names of the outputs, for ``keeps``; one name and no tuple returned by default
    ``differentiable``  how many of the outputs, from the first, have a gradient; the others never ask for one;
                   VARIADIC for all of them, and then their gradients are passed as one tuple
    ``zero``       inputs whose derivative is zero (almost) everywhere: said, so that silence can be an error
    ``view``       the output shares the first input's memory
    ``writes``     inputs that the kernel writes into: running statistics, optimizer state
    ``autocast``   what the gate casts the inputs to inside an autocast region: "half" (the region's dtype), "float32",
                   "" (nothing)
    ``by_output``  says of a call's settings whether its gradients may be given the output where they keep the first
                   input: they must look at nothing of it that the output does not show, such as the sign
    """

    name: str
    kernel: Kernel
    grads: tuple[Grad, ...] = ()
    samples: Callable[[Any], Iterable[Sample]] | None = None
    function: Any = None
    promotion: str = ""
    promotes: tuple[str, ...] | None = None
    outputs: tuple[str, ...] = ("output",)
    differentiable: int = 1
    zero: tuple[str, ...] = ()
    view: bool = False
    writes: tuple[str, ...] = ()
    autocast: str = ""
    by_output: Callable[[Mapping[str, Any]], bool] | None = None

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the array inputs: the positional parameters of the NumPy version."""
        parameters = inspect.signature(self.kernel.numpy).parameters.values()
        return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings: the keyword-only parameters of the NumPy version."""
        parameters = inspect.signature(self.kernel.numpy).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    @cached_property
    def wide(self) -> Callable[..., Any]:
        """The NumPy version for float32 and float64."""
        return self.kernel.wide or self.kernel.numpy

    @cached_property
    def aliases(self) -> bool:
        """Whether a call shares memory with an input, or changes one."""
        return self.view or bool(self.writes)

    @cached_property
    def plans(self) -> dict[int, Plan]:
        """For each set of inputs that ask for a gradient (bit i = input i): what to keep and what to run."""
        return {}

    def plan(self, wanted: int) -> Plan:
        """The plan for a set of wanted inputs, made once."""
        found = self.plans.get(wanted)
        if found is None:
            found = self.plans[wanted] = Plan(self, wanted)
        return found

    def __repr__(self) -> str:
        return f"<row {self.name}({', '.join(self.inputs)}; {', '.join(self.settings)})>"


class Plan:
    """What a call of ``op`` keeps, and which gradients it will run, when the inputs in ``wanted`` ask for one."""

    __slots__ = ("asks", "flat", "keeps", "live", "missing", "steps", "wanted")

    def __init__(self, op: Op, wanted: int) -> None:
        place = {name: i for i, name in enumerate(op.inputs)}
        grads = [g for g in op.grads if any(wanted >> place[name] & 1 for name in g.of)]
        names = list(dict.fromkeys(name for g in grads for name in g.keeps))
        self.wanted = wanted
        # where each kept array is found: input i as i, output j as ~j
        self.keeps = tuple(place[n] if n in place else ~op.outputs.index(n) for n in names)
        self.steps = tuple(
            (OPS[g.op], tuple(place[n] for n in g.of), tuple(names.index(n) for n in g.keeps), g.settings)
            for g in grads
        )
        self.asks = any(g.settings is not None for g in grads)
        covered = {n for g in grads for n in g.of} | set(op.zero)
        self.missing = tuple(n for n in op.inputs if wanted >> place[n] & 1 and n not in covered)
        # wanted inputs whose derivative is zero, of a row that has others: what is asked for there is zeros, not nothing
        self.flat = tuple(place[n] for n in op.zero if wanted >> place[n] & 1) if op.grads else ()
        self.live = bool(self.steps or self.missing or self.flat)


OPS: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add a row and return it.  Raises ValueError for a name taken already, or one that the row does not have."""
    if op.name in OPS:
        raise ValueError(f"op {op.name!r} is registered twice")
    if op.promotion not in ("", "arithmetic", "float", "comparison"):
        raise ValueError(f"op {op.name!r}: unknown promotion {op.promotion!r}")
    if op.autocast not in ("", "half", "float32"):
        raise ValueError(f"op {op.name!r}: unknown autocast rule {op.autocast!r}")
    named = [*op.zero, *op.writes, *(op.promotes or ()), *(n for g in op.grads for n in g.of)]
    for name in named:
        if name not in op.inputs:
            raise ValueError(f"op {op.name!r}: {name!r} is not one of its inputs {op.inputs}")
    for name in (n for g in op.grads for n in g.keeps):
        if name not in (*op.inputs, *op.outputs):
            raise ValueError(f"op {op.name!r}: keeps {name!r}, which is none of {op.inputs + op.outputs}")
    OPS[op.name] = op
    return op
