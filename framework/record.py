"""A device that notes which kernels would be launched, so that they can be compiled where there is no GPU."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from . import compile as compiler
from .device import Backend, Block, _backends, device
from .interpreter import Interpreter


class RecordedDevice(device):
    """The device of a Recorder.

    Its ``type`` is ``"cuda"``, so that whatever distinguishes a GPU from the CPU or the interpreter does here what it
    does on the GPU; it equals no other device and prints as ``record:sm_90``.
    """

    __slots__ = ("_target",)
    _target: str

    def __new__(cls, target: str) -> RecordedDevice:
        made = object.__new__(cls)
        made.type, made.index, made._target = "cuda", None, target
        return made

    def __repr__(self) -> str:
        return f"device(type='record', target={self._target!r})"

    def __str__(self) -> str:
        return f"record:{self._target}"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self}: arrays of a recorder exist in their process only")


class Recorder(Backend):
    """Notes launches on ``recorder.device``; with ``execute=True`` it also runs them in the interpreter.

    Memory is the host's and starts as zeros; without ``execute`` it stays so, and nothing should be concluded from
    values.  There, pieces above a mebibyte are addresses only, so that a large network can be recorded on a small machine.
    Use as a context manager, or call ``close``: until then ``recorder.device`` names this back end.
    """

    block = 1024
    programs = 132
    _REAL = 1 << 20  # bytes up to which memory is there also without ``execute``
    _BEYOND = 1 << 56  # addresses from here on have no memory behind them

    def __init__(self, target_name: str, execute: bool = False) -> None:
        self.target = compiler.target(target_name)
        if self.target.backend == "cuda":
            self.capability = divmod(self.target.arch, 10)
        self.device = RecordedDevice(target_name)
        self.execute = execute
        self._host = Interpreter()
        self._seen: dict[compiler.Specialisation, int] = {}
        self._programs: dict[compiler.Specialisation, int] = {}
        self._next = self._BEYOND
        _backends[self.device] = self

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the device; arrays that exist stay usable."""
        _backends.pop(self.device, None)

    @property
    def launches(self) -> list[compiler.Specialisation]:
        """The different specialisations launched so far, in the order of their first launch."""
        return list(self._seen)

    @property
    def counts(self) -> dict[compiler.Specialisation, int]:
        """How often each specialisation was launched."""
        return dict(self._seen)

    @property
    def programs_of(self) -> dict[compiler.Specialisation, int]:
        """The most programs of one launch of each specialisation."""
        return dict(self._programs)

    def allocate(self, nbytes: int) -> Block:
        if nbytes > self._REAL and not self.execute:
            address = self._next
            self._next += (nbytes + 511) // 512 * 512
            return Block(address, nbytes, None)
        block = self._host.allocate(nbytes)
        block.owner[:] = 0
        return block

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        if ptr < self._BEYOND:
            self._host.copy_in(ptr, array)

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        if ptr < self._BEYOND:
            self._host.copy_out(array, ptr)
        else:
            array[...] = np.zeros((), array.dtype)

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def launch(
        self,
        function: Any,
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        constants: Mapping[str, Any],
        num_warps: int,
        num_stages: int,
    ) -> None:
        made = compiler.specialise(function, arguments, constants, num_warps, num_stages)
        self._seen[made] = self._seen.get(made, 0) + 1
        self._programs[made] = max(prod(grid), self._programs.get(made, 0))
        if self.execute:
            self._host.launch(function, grid, arguments, constants, num_warps, num_stages)

    def compile_all(self) -> list[tuple[str, Any]]:
        """Compile what was recorded: (name and types, Triton's CompiledKernel), in order."""
        return [(str(s), compiler.compile(s, self.target)) for s in self.launches]
