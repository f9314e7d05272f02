"""Devices by name, and the back end (memory and launching) that stands behind each.

``cpu`` runs the NumPy half of each row on NumPy arrays.  ``cuda`` and ``interpreter`` run its Triton half on
``DeviceArray``s; a ``Backend`` is what such a device must be able to do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .array import DeviceArray

TYPES = ("cpu", "cuda", "interpreter")
_MOST_TABLES = 64


class device:
    """Where a tensor's memory is: ``device("cpu")``, ``device("cuda", 1)``, ``device("cuda:1")``, ``device("interpreter")``.

    Equal devices are one object.  Raises RuntimeError for a name or index that does not exist by its form;
    whether the machine has the device is asked when it is first used.
    """

    __slots__ = ("index", "type")
    _all: dict[tuple[str, int | None], device] = {}
    type: str
    index: int | None

    def __new__(cls, type: str | device, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if not isinstance(type, str):
            raise TypeError(f"device: expected a name such as 'cpu' or 'cuda:0', got {type!r}")
        name, colon, number = type.partition(":")
        if colon:
            if index is not None or not number.isdecimal():
                raise RuntimeError(f"device: expected 'name' or 'name:index', got {type!r}")
            index = int(number)
        if name not in TYPES:
            raise RuntimeError(f"device: expected one of {', '.join(TYPES)}, got {type!r}")
        if index is not None and (index < 0 or (name != "cuda" and index != 0)):
            raise RuntimeError(f"device: {name} has no index {index}")
        if name != "cuda":
            index = None
        key = (name, index)
        found = cls._all.get(key)
        if found is None:
            found = cls._all[key] = object.__new__(cls)
            found.type, found.index = key
        return found

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (")" if self.index is None else f", index={self.index})")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (str(self),))


CPU = device("cpu")
INTERPRETER = device("interpreter")


class Block:
    """A piece of device memory: ``nbytes`` at address ``ptr``, given back when the last reference goes."""

    __slots__ = ("__weakref__", "nbytes", "owner", "ptr")

    def __init__(self, ptr: int, nbytes: int, owner: Any) -> None:
        self.ptr = ptr
        self.nbytes = nbytes
        self.owner = owner  # whatever keeps the memory alive


class Backend:
    """What the devices other than ``cpu`` provide.  All addresses are plain integers."""

    device: device
    block: int = 1024  # elements an elementwise program handles
    swift: dict[Any, Any] | None = (
        None  # elementwise calls that are ready to be repeated; None where that saves nothing
    )
    programs: int = 132  # programs that run at one time: how far split reductions are worth splitting
    name: str = ""  # the GPU's, as its driver tells it
    shared: int = 227 << 10  # bytes of shared memory that a program may have
    capability: tuple[int, int] = (0, 0)  # CUDA's number of the GPU's generation; (0, 0) for what is none

    def block_size(self, n: int) -> int:
        """Elements an elementwise program over ``n`` elements handles: a power of two."""
        return self.block

    def allocate(self, nbytes: int) -> Block:
        """Memory for ``nbytes`` bytes at a 512-byte boundary.  Raises RuntimeError when there is none left."""
        raise NotImplementedError

    def copy_in(self, ptr: int, array: np.ndarray) -> None:
        """Copy a C-contiguous NumPy array to address ``ptr``; the array may be reused at once."""
        raise NotImplementedError

    def copy_out(self, array: np.ndarray, ptr: int) -> None:
        """Copy from address ``ptr`` into a C-contiguous NumPy array, after all work given before."""
        raise NotImplementedError

    def launch(
        self,
        function: Any,
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        constants: Mapping[str, Any],
        num_warps: int,
        num_stages: int,
    ) -> None:
        """Run a ``@jit`` function over ``grid``.

        ``arguments`` are its run-time parameters in order: a ``DeviceArray`` (its address), a typed NumPy scalar,
        a Python int (32 bits where it fits, else 64), ``None``, or a tuple of these.  ``constants`` are its
        ``tl.constexpr`` parameters by name.
        """
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until all work given before is done."""

    def upload_table(self, values: np.ndarray) -> DeviceArray:
        """A copy of a small table in device memory, there before any work that is given from now on."""
        from .array import from_numpy

        return from_numpy(values, self)

    def table(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> DeviceArray:
        """The table that ``make`` computes, in device memory; ``key`` says all that it depends on.

        Tables used lately are kept, so that a training loop in its steady state copies none.
        """
        kept = self.__dict__.get("_tables")
        if kept is None:
            kept = self.__dict__.setdefault("_tables", {})
        found = kept.pop(key, None)
        if found is None:
            found = self.upload_table(make())
        kept[key] = found  # the last place is that of the table used last
        while len(kept) > _MOST_TABLES:
            kept.pop(next(iter(kept)), None)
        return found


put_off: list[Callable[[], None]] = []  # what computes the calls that a thread's fused functions have put off


def catch_up() -> None:
    """Launch what this thread has put off: before it chooses another stream, or sets a mark, or looks at the clock."""
    for compute in put_off:
        compute()


_backends: dict[device, Backend] = {}


def backend(where: device) -> Backend:
    """The back end of ``where``, made on first use.  Raises RuntimeError, saying why, where it cannot be had."""
    found = _backends.get(where)
    if found is None:
        if where.type == "interpreter":
            from .interpreter import Interpreter

            found = Interpreter()
        elif where.type == "cuda":
            from .gpu import cuda_backend

            found = cuda_backend(where.index)
        else:
            raise RuntimeError("cpu: NumPy arrays need no back end")
        if where is found.device:  # plain "cuda" is the current GPU, which may change
            _backends[where] = found
    return found


def forget(devices: Iterable[device]) -> None:
    """Drop the back ends of ``devices``, which can no longer be used."""
    for where in devices:
        _backends.pop(where, None)


_default = INTERPRETER if os.environ.get("TRITON_INTERPRET") == "1" else CPU


def get_default_device() -> device:
    """The device of tensors created without ``device=``."""
    return _default


def set_default_device(where: device | str) -> None:
    """Change the device of tensors created without ``device=``.  Raises RuntimeError where it cannot be had."""
    global _default
    chosen = device(where)
    if chosen.type != "cpu":
        chosen = backend(chosen).device
    _default = chosen
