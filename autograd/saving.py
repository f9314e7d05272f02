"""Saving and loading tensors: ``framework/saving.py`` with tensors for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..framework import device as devices
from ..framework import saving
from ..framework.array import RawArray, from_numpy
from .tensor import Tensor, wrap


def save(obj: Any, f: Any) -> None:
    """Write ``obj`` to ``f``, a path or a binary file object, as one safetensors file.

    ``obj`` may be a tensor, a number, a string, None, or dicts, lists and tuples of these, nested (NumPy arrays count
    as tensors): a ``state_dict``, or a dict of several.  Values are saved, row-major; whether they require a gradient,
    and where they lay, is not.  A path is replaced only when the new file is whole.  Raises TypeError, naming the
    place inside ``obj``, for anything else, OSError where the file cannot be written.

    >>> from io import BytesIO
    >>> f = BytesIO(); save({"weight": Tensor([1.0, 2.0]), "epoch": 3}, f); _ = f.seek(0); load(f)["weight"].tolist()
    [1.0, 2.0]
    """
    devices.catch_up()
    saving.save(obj, f, _array)


def load(f: Any, map_location: devices.device | str | None = None, *, weights_only: bool = True) -> Any:
    """What ``save`` wrote to ``f``, a path or a binary file object; other safetensors files give a dict of tensors.

    Tensors come to ``map_location``, by default the CPU, and require no gradient.  Nothing is unpickled: with
    ``weights_only=False`` ValueError is raised.  So it is where ``f`` is no safetensors file, not a whole one, or holds
    a dtype that trigrad does not have; OSError where there is no such file.

    >>> from io import BytesIO
    >>> f = BytesIO(); save([Tensor([True, False]), "text"], f); _ = f.seek(0); load(f)[1]
    'text'
    """
    if weights_only is not True:
        raise ValueError(f"load: weights_only={weights_only!r} would mean to unpickle, which trigrad never does")
    if map_location is None:
        where = devices.CPU
    elif isinstance(map_location, (str, devices.device)):
        where = devices.device(map_location)
    else:
        raise TypeError(f"load: expected map_location to be a device, got {type(map_location).__name__}")
    backend = None if where.type == "cpu" else devices.backend(where)

    def made(array: np.ndarray) -> Tensor:
        return wrap(array if backend is None else from_numpy(array, backend))

    return saving.load(f, made)


def _array(value: Any) -> RawArray | None:
    return value.array if isinstance(value, Tensor) else saving.own_array(value)
