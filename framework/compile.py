"""Kernels for GPUs: Triton used as a compiler, for any target, with or without a GPU.

A ``Specialisation`` says everything that the machine code depends on, and no more, so that a training set whose size is
no multiple of the batch costs no second compilation.  Integers differ by width (32 or 64 bits) and, because wide loads
need it, by whether 16 divides them; a 1 is nothing special.  Exempt are what no address and no mask along memory can
depend on: the first entry of a parameter called ``shape`` or ``..._shape`` (offsets never use the outermost size, which
is where the batch stands), and typed NumPy integers, which a launch passes where divisibility is chance.

Kernel ABI (checked in PTX for Triton 3.6 to 3.9): the run-time parameters in order, tuples flattened and None left out,
then two pointers to scratch memory, global and profiler's, that are 0 where ``metadata.global_scratch_size`` is 0.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from . import language
from .dtypes import ALL

TARGETS: dict[str, tuple[str, int | str, int]] = {  # back end, architecture, lanes of a warp
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}
Place = tuple[int, ...]  # of a value among the parameters: (2,), or (2, 0) inside the tuple there
FUSION = "enable_fp_fusion"  # reserved among a launch's constants: may a * b + c become one instruction?

_NAMES = {d.numpy: d.triton for d in ALL} | {np.dtype(f"u{n // 8}"): f"u{n}" for n in (16, 32, 64)}
_ALIGNED = [["tt.divisibility", 16]]


def target(name: str) -> Any:
    """Triton's description of the GPU ``sm_80``, ``sm_90``, ``sm_100`` or ``gfx942``, or another ``sm_..`` from 80 on.

    Raises ValueError for others.
    """
    other = re.fullmatch(r"sm_(\d{2,3})", name)
    if other is not None and name not in TARGETS and int(other[1]) >= 80:  # a GPU that no test compiles for
        language.modules()
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", int(other[1]), 32)
    if name not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {name!r}")
    language.modules()
    from triton.backends.compiler import GPUTarget

    return GPUTarget(*TARGETS[name])


@dataclass(frozen=True)
class Specialisation:
    """What a kernel is compiled for.

    ``types`` has one entry for each parameter: Triton's name of its type, ``"constexpr"``, or a tuple of these.
    ``aligned`` and ``constants`` map places, such as ``(2,)`` or ``(2, 0)``, to facts about the parameter there: a
    multiple of 16, a value.
    """

    function: Any
    types: tuple[Any, ...]
    aligned: tuple[Place, ...]
    constants: tuple[tuple[Place, Any], ...]
    num_warps: int
    num_stages: int
    fusion: bool = True

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """All of it in a form where 1, True and 1.0 differ."""
        return (
            id(self.function),
            self.types,
            self.aligned,
            typed(self.constants),
            self.num_warps,
            self.num_stages,
            self.fusion,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Specialisation) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        kinds = ", ".join(_shown(t) for t in self.types if t != "constexpr")
        return f"{self.function.fn.__name__}({kinds})"


def _shown(kind: Any) -> str:
    return kind if isinstance(kind, str) else "(" + ", ".join(map(_shown, kind)) + ")"


def typed(value: Any) -> Any:
    """A hashable stand-in for a constant: equal only to that of the same value of the same type."""
    if isinstance(value, tuple):
        return tuple(map(typed, value))
    if isinstance(value, float):
        return (float, value.hex())
    if language.is_triton_function(value):
        return id(value)
    return (type(value), value)


def specialise(
    function: Any, arguments: tuple[Any, ...], constants: Mapping[str, Any], num_warps: int, num_stages: int
) -> Specialisation:
    """What ``function`` must be compiled for to be launched with these arguments (as in ``Backend.launch``).

    Raises TypeError for arguments that do not fit the kernel's parameters.
    """
    real = language.real(function)
    kernel = language.signature(real)
    types: list[Any] = []
    aligned: list[Place] = []
    fixed: list[tuple[Place, Any]] = []
    values = kernel.bind(arguments, constants)
    for place, (value, (name, constant, _)) in enumerate(zip(values, kernel.parameters, strict=True)):
        if constant:
            types.append("constexpr")
            fixed.append(((place,), _constant(value)))
        else:
            free: Place = (place, 0) if name.endswith("shape") else ()  # the outermost size
            types.append(_describe(value, (place,), aligned, fixed, free, kernel.name))
    return Specialisation(
        real, tuple(types), tuple(aligned), tuple(fixed), num_warps, num_stages, bool(constants.get(FUSION, True))
    )


def _constant(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    return value.item() if isinstance(value, np.generic) else language.resolve(value)


def _describe(
    value: Any, place: Place, aligned: list[Place], fixed: list[tuple[Place, Any]], free: Place, kernel: str
) -> Any:
    """The type of a run-time parameter; what else is known of it is added to ``aligned`` and ``fixed``.

    The integer at the place ``free`` may be a multiple of 16 or not: nobody will know.
    """
    if value is None:
        fixed.append((place, None))
        return "constexpr"
    if isinstance(value, tuple):
        return tuple(_describe(v, (*place, i), aligned, fixed, free, kernel) for i, v in enumerate(value))
    if isinstance(value, (bool, np.bool_)):
        return "i1"
    if isinstance(value, float) and not isinstance(value, np.generic):
        return "fp32"
    if isinstance(value, int):
        if value % 16 == 0 and place != free:
            aligned.append(place)
        return "i32" if -(2**31) <= value < 2**31 else "i64"
    dtype = getattr(value, "dtype", None)
    name = _NAMES.get(dtype) if dtype is not None else None
    if name is None:
        raise TypeError(
            f"{kernel}: expected an array, a number, None or a tuple of these, got {type(value).__name__}"
            + ("" if dtype is None else f" of {dtype}")
        )
    if isinstance(value, np.generic):  # a value rather than a size: that it divides by 16 is chance
        return name
    if value.ptr % 16 == 0:
        aligned.append(place)
    return "*" + name


def flatten(arguments: Iterable[Any], out: list[Any] | None = None) -> list[Any]:
    """The run-time parameters as a launcher passes them: addresses and integers as int, other numbers as NumPy scalars.

    Sixteen-bit floats come as the uint16 of their bits.  The two scratch pointers are not among them.
    """
    if out is None:
        out = []
    for value in arguments:
        kind = type(value)
        if kind is int:
            out.append(value)
        elif kind is tuple:
            flatten(value, out)
        elif value is None:
            continue
        elif kind is float:
            out.append(np.float32(value))
        elif kind is bool:
            out.append(np.bool_(value))
        elif isinstance(value, np.generic):
            half = value.dtype.kind in "fV" and value.dtype.itemsize == 2
            out.append(np.asarray(value).view(np.uint16)[()] if half else value)
        else:
            out.append(value.ptr)
    return out


def _functions(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for v in value:
            yield from _functions(v)
    elif language.is_triton_function(value):
        yield value


def _wrapped(value: Any, constexpr: Any) -> Any:
    """``value`` with the strings inside tuples made constants by hand, which Triton 3.6 does for numbers only."""
    if not isinstance(value, tuple):
        return value
    return tuple(constexpr(v) if isinstance(v, str) else _wrapped(v, constexpr) for v in value)


def compile(specialisation: Specialisation, target: Any) -> Any:
    """Triton's ``CompiledKernel`` (``asm``, ``metadata``) for one specialisation.

    Raises RuntimeError where Triton is not installed or runs as an interpreter, and Triton's own errors, naming the
    kernel, where the kernel does not compile.
    """
    language.modules()
    from triton.compiler import ASTSource
    from triton.compiler import compile as compiled
    from triton.runtime.jit import JITFunction

    function = specialisation.function
    if not isinstance(language.modules()["triton.language"].sum, JITFunction) or not isinstance(function, JITFunction):
        raise RuntimeError(
            f"{function.fn.__name__}: nothing can be compiled while TRITON_INTERPRET is set, because "
            "Triton then interprets its own functions; unset TRITON_INTERPRET and start again"
        )

    class Source(ASTSource):  # type: ignore[misc]
        def hash(self) -> str:
            """Triton's key, which misses the source of functions inside tuples."""
            inside = [value for _, value in specialisation.constants if isinstance(value, tuple)]
            keys = [function.cache_key for function in _functions(tuple(inside))]
            return hashlib.sha256("-".join([super().hash(), *keys]).encode()).hexdigest()

    names = [name for name, _, _ in language.signature(function).parameters]
    options = {
        "num_warps": specialisation.num_warps,
        "num_stages": specialisation.num_stages,
        FUSION: specialisation.fusion,
    }
    constexpr = language.modules()["triton.language"].constexpr
    constants = {place: _wrapped(value, constexpr) for place, value in specialisation.constants}
    with language.lock:
        source = Source(
            function,
            dict(zip(names, specialisation.types, strict=True)),
            constants,
            {place: _ALIGNED for place in specialisation.aligned},
        )
        return compiled(source, target=target, options=options)
