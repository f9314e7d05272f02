"""Calls that repeat themselves: what a row's Triton half does on a GPU, noted once and done again at other addresses.

Most of the host's time in a call goes into finding out what to launch: layouts, tiles, keys.  All of that follows from
the shapes, strides, dtypes and alignments of the arrays and from the settings.  So ``repeated`` notes the memory and the
launches of the first such call, and later ones only put new addresses in.  What cannot be noted faithfully (values that
are read, random numbers, tables, memory that comes from elsewhere, settings of unknown types) is done as before, and so
is everything while a step is captured and on other devices than a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from . import language
from .array import DeviceArray
from .epilogue import Stage
from .precision import choices
from .random import default_generator

F = TypeVar("F", bound=Callable[..., Any])
_MOST = 4096  # calls that one function remembers
_PLAIN = frozenset((int, bool, str, type(None), type(np.dtype(np.float32)), language.Jit))
_DTYPE = np.dtype
_lock = threading.Lock()


def repeated(function: F) -> F:
    """Let a function of arrays, launches and nothing else be noted at its first call with arguments of one kind.

    What it launches must follow from shapes, strides, dtypes and settings; arrays are positional, in tuples or alone.
    """
    known: dict[Any, Any] = {}

    @wraps(function)
    def call(*inputs: Any, **settings: Any) -> Any:
        arrays: list[DeviceArray] = []
        parts: list[Any] = []
        if not _read(inputs, parts, arrays) or not arrays:
            return function(*inputs, **settings)
        backend: Any = arrays[0].backend
        if backend.swift is None or "launch" in backend.__dict__:
            return function(*inputs, **settings)
        if settings:
            parts += settings
            if not _read(settings.values(), parts, arrays):
                return function(*inputs, **settings)
        parts += (backend, *choices())
        key = tuple(parts)
        found = known.get(key)
        if found is None:
            return _first(function, inputs, settings, key, known, arrays, backend)
        return found(arrays) if found else function(*inputs, **settings)

    return call  # type: ignore[return-value]


def _read(values: Any, parts: list[Any], arrays: list[DeviceArray]) -> bool:
    """Append what a call depends on to ``parts`` and its arrays to ``arrays``; false for what is not understood."""
    for x in values:
        kind = type(x)
        if kind is DeviceArray:
            block, ptr = x.block, x.ptr
            parts += (x.shape, x.strides, x.dtype, ptr & 15)
            for i, other in enumerate(arrays):  # arrays in one piece of memory: how they lie to each other counts
                if other.block is block:
                    parts += ("shares", i, ptr - other.ptr)
                    break
            arrays.append(x)
        elif kind is tuple:
            parts.append(len(x))
            if not _read(x, parts, arrays):
                return False
        elif kind in _PLAIN:
            parts += (kind, x)
        elif kind is float:
            parts += (kind, x.hex())
        elif kind is Stage:
            parts += (x.scalar, x.first)
            if not _read((x.operands, x.settings), parts, arrays):
                return False
        elif isinstance(x, _DTYPE):
            parts.append(x)
        else:
            return False
    return True


def _first(
    function: Callable[..., Any],
    inputs: Any,
    settings: Any,
    key: Any,
    known: dict[Any, Any],
    arrays: list[DeviceArray],
    backend: Any,
) -> Any:
    with _lock:
        if "launch" in backend.__dict__:  # another thread is noting
            noted = None
        else:
            noted = _Notes(backend)
    if noted is None:
        return function(*inputs, **settings)
    position = default_generator.position()
    try:
        out = function(*inputs, **settings)
    finally:
        noted.close()
    if len(known) >= _MOST:  # shapes that change all the time must not fill the memory
        known.clear()
    same = default_generator.position() == position
    known[key] = (noted.program(arrays, out) if same else None) or False
    return out


class _Notes:
    """What this thread asks of a back end until ``close``, noted while it is done."""

    watched = ("launch", "allocate", "copy_in", "copy_out", "synchronize", "upload_table", "table", "bound", "prepared")

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.faithful = True
        self.blocks: list[Any] = []
        self.launches: list[Any] = []
        self._ident = threading.get_ident()
        self._before = {name: backend.__dict__[name] for name in self.watched if name in backend.__dict__}
        self._own = {name: getattr(backend, name) for name in self.watched if hasattr(backend, name)}
        for name in self._own:
            setattr(backend, name, getattr(self, "_" + name, None) or self._unfaithful(name))

    def close(self) -> None:
        """Note no more."""
        for name in self._own:
            if name in self._before:
                setattr(self.backend, name, self._before[name])
            else:
                delattr(self.backend, name)

    def _unfaithful(self, name: str) -> Callable[..., Any]:
        def pass_on(*arguments: Any) -> Any:
            if threading.get_ident() == self._ident:
                self.faithful = False
            return self._own[name](*arguments)

        return pass_on

    def _allocate(self, nbytes: int) -> Any:
        block = self._own["allocate"](nbytes)
        if threading.get_ident() == self._ident:
            self.blocks.append(block)  # kept until the call is over, so that no two are one piece of memory
        return block

    def _launch(self, function: Any, grid: Any, arguments: Any, constants: Any, warps: int, stages: int) -> None:
        self._own["launch"](function, grid, arguments, constants, warps, stages)
        if threading.get_ident() == self._ident:
            self.launches.append((function, grid, arguments, constants, warps, stages))

    def program(self, arrays: list[DeviceArray], out: Any) -> Callable[[list[DeviceArray]], Any] | None:
        """A function that does the same for other arrays of the same kind; None where that cannot be had."""
        if not self.faithful or any(a.backend is not self.backend for a in arrays):
            return None
        given = len(arrays)
        places = {id(block): given + i for i, block in enumerate(self.blocks)}
        origins = [block.ptr for block in self.blocks]
        for i in reversed(range(given)):
            places[id(arrays[i].block)] = i
        origins = [a.ptr for a in arrays] + origins

        def place(array: DeviceArray) -> tuple[int, int] | None:
            found = places.get(id(array.block))
            if found is None or hasattr(array, "reaches"):
                return None
            return found, array.ptr - origins[found]

        steps = []
        last = dict.fromkeys(range(given, len(origins)), -1)
        for number, (function, grid, arguments, constants, warps, stages) in enumerate(self.launches):
            if 0 in grid:
                continue
            holes: list[Any] = []
            position = 0
            for value in _flat(arguments):
                if type(value) is DeviceArray:
                    where = place(value)
                    if where is None:
                        return None
                    holes.append((position, *where))
                    last[where[0]] = number
                position += 1
            steps.append(
                (self.backend.ready(function, grid, arguments, constants, warps, stages), tuple(holes), number)
            )
        result = _described(out, arrays, place)
        if result is None:
            return None
        kept = {where for where, *_ in _places(result)}
        drops = [tuple(k for k, n in last.items() if n == number and k not in kept) for *_, number in steps]
        return self._player(given, tuple(b.nbytes for b in self.blocks), steps, drops, result)

    def _player(
        self, given: int, sizes: tuple[int, ...], steps: list[Any], drops: list[tuple[int, ...]], result: Any
    ) -> Callable[[list[DeviceArray]], Any]:
        backend = self.backend
        plain = tuple((start, holes, dropped) for (start, holes, _), dropped in zip(steps, drops, strict=True))

        def play(arrays: list[DeviceArray]) -> Any:
            blocks: list[Any] = [a.block for a in arrays]
            origins = [a.ptr for a in arrays]
            for nbytes in sizes:
                block = backend.allocate(nbytes)
                blocks.append(block)
                origins.append(block.ptr)
            for (start, template), holes, dropped in plain:
                values = template[:]
                for position, where, offset in holes:
                    values[position] = origins[where] + offset
                start(values, blocks)
                for where in dropped:
                    blocks[where] = None
            return _made(result, arrays, blocks, origins, backend)

        return play


def _flat(arguments: tuple[Any, ...]) -> Any:
    """The run-time parameters one by one, as they reach the driver."""
    for value in arguments:
        if type(value) is tuple:
            yield from _flat(value)
        elif value is not None:
            yield value


def _described(out: Any, arrays: list[DeviceArray], place: Any) -> Any:
    """How to make a result like ``out``; None where that is not known."""
    if out is None:
        return ()
    if type(out) is tuple:
        parts = tuple(_described(x, arrays, place) for x in out)
        return None if None in parts else ("tuple", parts)
    if type(out) is not DeviceArray:
        return None
    for i, array in enumerate(arrays):
        if out is array:
            return ("input", i)
    where = place(out)
    return None if where is None else ("array", *where, out.dtype, out.shape, out.strides)


def _places(result: Any) -> Any:
    if result and result[0] == "tuple":
        for part in result[1]:
            yield from _places(part)
    elif result and result[0] == "array":
        yield result[1:]


def _made(result: Any, arrays: list[DeviceArray], blocks: list[Any], origins: list[int], backend: Any) -> Any:
    if not result:
        return None
    if result[0] == "array":
        _, where, offset, dtype, shape, strides = result
        return DeviceArray(blocks[where], origins[where] + offset, dtype, shape, strides, backend)
    if result[0] == "tuple":
        return tuple(_made(part, arrays, blocks, origins, backend) for part in result[1])
    return arrays[result[1]]
