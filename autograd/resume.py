"""Training that goes on where it was: all of its state in one file.

The file is one that ``save`` writes, so it is replaced in one step, and is whole or not there:

    {"checkpoint": 1, "states": {name: state_dict}, "values": {name: value}, "random": generators}
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..framework import device as devices
from ..framework.random import default_generator
from .saving import load, save
from .tensor import Tensor, wrap


def save_checkpoint(f: Any, /, **parts: Any) -> None:
    """Write the state of training to ``f``, a path or a binary file object, for ``load_checkpoint``.

    ``parts`` are models, optimizers, schedulers, loaders, ... by any name: of whatever has a ``state_dict`` that is
    saved, all else (an epoch, a list of losses) as it is.  The random numbers' states (trigrad's, Python's ``random``,
    ``numpy.random``) are saved, too.  A path is replaced only when the new file is whole and on the disk.  Raises
    TypeError, naming the place, for what cannot be saved, OSError where the file cannot be written.

    >>> from io import BytesIO
    >>> f = BytesIO(); save_checkpoint(f, epoch=3, losses=[0.5]); _ = f.seek(0); load_checkpoint(f)
    {'epoch': 3, 'losses': [0.5]}
    """
    states = {name: part.state_dict() for name, part in parts.items() if _has_state(part)}
    values = {name: part for name, part in parts.items() if not _has_state(part)}
    save({"checkpoint": 1, "states": states, "values": values, "random": _random_states()}, f)


def load_checkpoint(
    f: Any, /, *, map_location: devices.device | str | None = None, rng: bool = True, **parts: Any
) -> dict[str, Any]:
    """Let ``parts`` go on from the file ``f`` that ``save_checkpoint`` wrote with them; returns the values saved beside.

    ``parts`` are objects with a ``load_state_dict``, under the names they were saved with; states in the file that
    nobody asks for are left out.  With ``rng`` random numbers go on, too.  Returned tensors come to ``map_location``,
    by default the CPU.  Raises ValueError where the file is not whole or no such checkpoint, or lacks a part, OSError
    where there is none, and what a part raises that the state does not fit: then every part is as it was before.
    """
    for name, part in parts.items():
        if not hasattr(part, "load_state_dict"):
            raise TypeError(
                f"load_checkpoint: {name} is a {type(part).__name__}, which has no load_state_dict; values are returned"
            )
    found = load(f, map_location)
    if not isinstance(found, dict) or not {"checkpoint", "states", "values", "random"} <= found.keys():
        raise ValueError(f"load_checkpoint: {f} was not written by save_checkpoint")
    if found["checkpoint"] != 1:
        raise ValueError(f"load_checkpoint: {f} is of version {found['checkpoint']}, this trigrad knows version 1")
    states = found["states"]
    missing = [name for name in parts if name not in states]
    if missing:
        raise ValueError(
            f"load_checkpoint: {f} has states of {', '.join(states) or 'nothing'}, not of {', '.join(missing)}"
        )
    before: dict[str, Any] = {}
    try:
        for name, part in parts.items():
            before[name] = _copied(part.state_dict())
            part.load_state_dict(states[name])
        if rng:
            _set_random_states(found["random"])
    except BaseException:
        for name, state in before.items():
            parts[name].load_state_dict(state)
        raise
    return found["values"]


def _has_state(part: Any) -> bool:
    return hasattr(part, "state_dict") and not isinstance(part, type)


def _copied(state: Any) -> Any:
    """A state dict with its tensors copied to the host."""
    if isinstance(state, Tensor):
        return wrap(np.array(state.detach().cpu().host(), order="K"))
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        values = [_copied(value) for value in state]
        return values if isinstance(state, list) else tuple(values)
    return state


def _random_states() -> dict[str, Any]:
    return {
        "trigrad": wrap(default_generator.get_state()),
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=False)),
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    before = random.getstate(), np.random.get_state(legacy=False)
    try:
        random.setstate(states["python"])
        np.random.set_state(_arrays(states["numpy"]))
        default_generator.set_state(states["trigrad"].cpu().host())
    except Exception as error:
        random.setstate(before[0])
        np.random.set_state(before[1])
        raise ValueError(f"load_checkpoint: the random numbers' states cannot be read: {error}") from None


def _plain(value: Any) -> Any:
    """NumPy's state with its arrays, which are of dtypes that trigrad lacks, as (dtype, numbers)."""
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    return (value.dtype.name, value.tolist()) if isinstance(value, np.ndarray) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(x) for key, x in value.items()}
    return np.array(value[1], value[0]) if isinstance(value, tuple) else value
