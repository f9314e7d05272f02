"""A device that notes which kernels would be launched, so that they can be compiled where there is no GPU."""

from __future__ import annotations

from collections.abc import Mapping
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
    values.  Use as a context manager, or call ``close``: until then ``recorder.device`` names this back end.
    """

    block = 1024
    programs = 132

    def __init__(self, target_name: str, execute: bool = False) -> None:
        self.target = compiler.target(target_name)
        self.device = RecordedDevice(target_name)
        self.execute = execute
        self._host = Interpreter()
        self._seen: dict[compiler.Specialisation, None] = {}
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

    def allocate(self, nbytes: int) -> Block:
        block = self._host.allocate(nbytes)
        block.owner[:] = 0
        return block

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        self._host.copy_in(ptr, array)

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        self._host.copy_out(array, ptr)

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
        self._seen.setdefault(compiler.specialise(function, arguments, constants, num_warps, num_stages))
        if self.execute:
            self._host.launch(function, grid, arguments, constants, num_warps, num_stages)

    def compile_all(self) -> list[tuple[str, Any]]:
        """Compile what was recorded: (name and types, Triton's CompiledKernel), in order."""
        return [(str(s), compiler.compile(s, self.target)) for s in self.launches]
