"""Saving: nested structures of arrays and plain values in one safetensors file, which is written whole or not at all.

A tensor is stored under the path that leads to it, its keys joined by dots: ``{"model": {"weight": x}}`` gives
``model.weight``, so a flat dict of tensors is to any other reader of safetensors just those tensors.  All else is
described in the file's metadata under ``trigrad``, in JSON:

    {"version": 1, "structure": node}

    node = null | true | 3 | 0.5 | "text"     plain values; {"float": "nan" | "inf" | "-inf"} for what JSON lacks
         | {"tensor": name}                   two nodes with one name are one tensor
         | {"dict": [[key, node], ...]}       keys: strings, numbers, bools, null
         | {"list": [node, ...]} | {"tuple": [node, ...]}

Nothing in a file is ever executed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import safetensors

from . import dtypes
from .array import DeviceArray, RawArray

_KEY = "trigrad"
_DEEPEST = 100  # containers within containers
_KINDS = {
    "F64": dtypes.float64,
    "F32": dtypes.float32,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "I64": dtypes.int64,
    "I32": dtypes.int32,
    "I16": dtypes.int16,
    "I8": dtypes.int8,
    "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
}


def own_array(value: Any) -> RawArray | None:
    """``value`` where it is an array, else None."""
    return value if isinstance(value, (np.ndarray, DeviceArray)) else None


def save(tree: Any, file: Any, array_of: Callable[[Any], RawArray | None] = own_array) -> None:
    """Write ``tree`` to ``file``, a path or a binary file object.

    ``array_of`` says which values are arrays.  A path is replaced in one step once all is on the disk, and keeps its
    old content if anything fails.  Arrays in one place (tied weights) are stored under each of their names and come
    back as one.  Raises TypeError, naming the path inside ``tree``, for what cannot be saved, ValueError for a
    structure that contains itself, OSError where the file cannot be written.
    """
    writer = _Writer(array_of)
    structure = writer.node(tree, ())
    text = json.dumps({"version": 1, "structure": structure}, allow_nan=False, separators=(",", ":"))
    specs = {
        name: safetensors.TensorSpec(dtype=a.dtype.name, shape=list(shape), data_ptr=a.ctypes.data, data_len=a.nbytes)
        for name, (a, shape) in writer.arrays.items()
    }
    content = safetensors.serialize(specs, metadata={_KEY: text})
    if hasattr(file, "write"):
        file.write(content)
    else:
        _replace(_path("save", file), content)


def load(file: Any, made: Callable[[np.ndarray], Any] = lambda array: array) -> Any:
    """What ``save`` wrote to ``file``, a path or a binary file object, each array as ``made`` returns it.

    A file that somebody else wrote gives a flat dict of its tensors by name.  Raises OSError where there is no such
    file, ValueError where it is no safetensors file, not a whole one, or holds a dtype that trigrad does not have.
    """
    if hasattr(file, "read"):
        content, name = file.read(), getattr(file, "name", None) or "the file object"
        if not isinstance(content, bytes):
            raise TypeError(f"load: expected a file object that gives bytes, got {type(content).__name__}")
    else:
        name = _path("load", file)
        with open(name, "rb") as source:
            content = source.read()
    try:
        found = dict(safetensors.deserialize(content))
    except safetensors.SafetensorError as error:
        if content.startswith((b"PK\x03\x04", b"\x80")):
            raise ValueError(
                f"load: {name} is pickled, as torch.save does it; trigrad reads safetensors and unpickles nothing"
            ) from None
        raise ValueError(f"load: {name} is not a whole safetensors file: {error}") from None
    arrays = {key: _array(name, key, entry) for key, entry in found.items()}
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = (header.pop("__metadata__", None) or {}).get(_KEY)
    if text is None:
        return {key: made(arrays[key]) for key in header}
    reader = _Reader(arrays, made)
    try:
        description = json.loads(text)
        if description["version"] != 1:
            raise ValueError(f"version {description['version']} is not known")
        reader.check(description["structure"], 0)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"load: {name} describes its structure in a way that cannot be read: {error}") from None
    return reader.value(description["structure"])


def _path(name: str, file: Any) -> str:
    try:
        return os.fsdecode(file)
    except TypeError:
        raise TypeError(f"{name}: expected a path or a binary file object, got {type(file).__name__}") from None


def _replace(path: str, content: bytes) -> None:
    """Make ``content`` the content of the file at ``path``, in one step."""
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):  # a folder, which refuses, or a pipe or device
        with open(target, "wb") as out:
            out.write(content)
        return
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".{os.urandom(8).hex()}.tmp")
    nameless = _nameless(folder)
    try:
        with open(temporary, "xb") if nameless is None else os.fdopen(nameless, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
            if os.path.exists(target):
                where: Any = temporary if nameless is None else out.fileno()
                shutil.copymode(target, where)
            if nameless is not None:
                _name(out.fileno(), temporary)  # for the moment until the next line
                os.replace(temporary, target)
        if nameless is None:
            os.replace(temporary, target)
    except FileNotFoundError:
        raise FileNotFoundError(f"save: there is no folder {folder}") from None
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the folder's entry, too, should survive a power failure
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _nameless(folder: str) -> int | None:
    """A new file in ``folder`` that has no name yet, so that a process which is killed leaves none; None if there are no such."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError:  # not on this file system; or there is no such folder, as whoever opens a file there will say
        return None


def _name(handle: int, path: str) -> None:
    """Give a nameless file its name."""
    # any open folder will do: with one, the link that leads to the file is followed
    os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle, follow_symlinks=True)


class _Writer:
    """Turns a tree into nodes and gathers its arrays by name."""

    def __init__(self, array_of: Callable[[Any], RawArray | None]) -> None:
        self.array_of = array_of
        self.arrays: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {}  # row-major (0-d ones 1-d), and the shape
        self.names: dict[Any, str] = {}  # the first name of each place in memory
        self.kept: list[Any] = []  # no place is given away and used again while names are told apart by it
        self.above: list[int] = []

    def node(self, value: Any, path: tuple[Any, ...]) -> Any:
        """The node of ``value``, to which ``path`` leads."""
        array = self.array_of(value)
        if array is not None:
            return {"tensor": self.tensor(array, path)}
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            value = value.item()
        if isinstance(value, (int, str)):
            return int(value) if isinstance(value, int) else str(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if type(value) not in (dict, OrderedDict, list, tuple):
            hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
            raise TypeError(
                f"save: {_said(path)} is a {type(value).__name__}; tensors, numbers, strings, None, dicts, lists and "
                f"tuples can be saved{hint}"
            )
        if id(value) in self.above:
            raise ValueError(f"save: {_said(path)} contains itself")
        if len(self.above) == _DEEPEST:
            raise ValueError(f"save: the structure is nested more than {_DEEPEST} deep")
        self.above.append(id(value))
        if isinstance(value, dict):
            for key in value:
                plain = type(key) in (str, int, bool, type(None)) or (type(key) is float and math.isfinite(key))
                if not plain:
                    raise TypeError(
                        f"save: {_said(path)} has the key {key!r}; keys can be strings, finite numbers, bools and None"
                    )
            node: Any = {"dict": [[key, self.node(x, (*path, key))] for key, x in value.items()]}
        else:
            kind = "list" if isinstance(value, list) else "tuple"
            node = {kind: [self.node(x, (*path, i)) for i, x in enumerate(value)]}
        self.above.pop()
        return node

    def tensor(self, array: RawArray, path: tuple[Any, ...]) -> str:
        """Store an array; the name under which its place in memory was first stored."""
        if array.dtype not in dtypes._OF:
            raise TypeError(f"save: {_said(path)} is an array of {array.dtype}, which trigrad does not have")
        name = base = ".".join(map(str, path)).encode("utf-8", "backslashreplace").decode() or "tensor"
        copies = 1
        while name in self.arrays or name == "__metadata__":  # {"a.b": x, "a": {"b": y}}; the format's own word
            copies += 1
            name = f"{base}~{copies}"
        self.kept.append(array)
        if isinstance(array, DeviceArray):
            place: Any = (array.device, array.ptr, array.shape, array.strides, array.dtype)
        else:
            place = (None, array.__array_interface__["data"][0], array.shape, array.strides, array.dtype)
        first = self.names.setdefault(place, name) if array.size else name
        host = array.numpy() if isinstance(array, DeviceArray) else array
        self.arrays[name] = self.arrays[first] if first != name else (np.ascontiguousarray(host), array.shape)
        return first


def _said(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path) or "the object itself"


def _array(file: Any, name: str, entry: Any) -> np.ndarray:
    kind = _KINDS.get(entry["dtype"])
    if kind is None:
        raise ValueError(f"load: tensor {name!r} in {file} is of {entry['dtype']}, which trigrad does not have")
    if kind is dtypes.bool_:  # any other byte than 0 and 1 would be a bool that is neither
        return (np.frombuffer(entry["data"], np.uint8) != 0).reshape(entry["shape"])
    return np.frombuffer(entry["data"], kind.numpy).reshape(entry["shape"])


class _Reader:
    """Turns nodes into a tree.  ``check`` first: nothing is made from a description that is wrong further on."""

    def __init__(self, arrays: dict[str, np.ndarray], made: Callable[[np.ndarray], Any]) -> None:
        self.arrays = arrays
        self.made = made
        self.done: dict[str, Any] = {}

    def check(self, node: Any, depth: int) -> None:
        """Raise ValueError unless ``node`` is one of those that the module's docstring lists."""
        if node is None or isinstance(node, (bool, int, float, str)):
            return
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
        if not isinstance(node, dict) or len(node) != 1:
            raise ValueError(f"unexpected {str(node)[:60]}")
        ((kind, content),) = node.items()
        if kind == "tensor" and content in self.arrays:
            return
        if kind == "float" and content in ("nan", "inf", "-inf"):
            return
        if kind == "dict" and isinstance(content, list):
            for key, value in content:
                if not (key is None or isinstance(key, (bool, int, float, str))):
                    raise ValueError(f"unexpected key {str(key)[:60]}")
                self.check(value, depth + 1)
            return
        if kind in ("list", "tuple") and isinstance(content, list):
            for value in content:
                self.check(value, depth + 1)
            return
        raise ValueError(f"unexpected {str(node)[:60]}")

    def value(self, node: Any) -> Any:
        """What a checked node stands for."""
        if not isinstance(node, dict):
            return node
        ((kind, content),) = node.items()
        if kind == "tensor":
            if content not in self.done:
                self.done[content] = self.made(self.arrays[content])
            return self.done[content]
        if kind == "float":
            return float(content)
        if kind == "dict":
            return {key: self.value(x) for key, x in content}
        values = [self.value(x) for x in content]
        return values if kind == "list" else tuple(values)
