"""How products are cut into tiles: a table of measured choices beside the analytic rules of the kernels.

A rule always has an answer; where a table knows better, its fields replace the rule's.  Tables are JSON:

    {"format": 1, "devices": {"NVIDIA H200": {"gemm": {"m10 n10 k10 x0 float32 tf32 nt": {"m": 128, "n": 128}}}}}

``tiles.json`` beside this file is shipped with trigrad.  ``python -m trigrad tune`` writes a user's own, which comes
first: ``$TRIGRAD_TILES``, else ``tiles-triton-VERSION.json`` in ``$XDG_CACHE_HOME/trigrad`` (``~/.cache/trigrad``);
it is for one version of Triton, because another compiles other code.  Each file is read once.
"""

from __future__ import annotations

import json
import os
import warnings
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

FORMAT = 1
SHIPPED = Path(__file__).with_name("tiles.json")

Table = dict[str, dict[str, dict[str, dict[str, int]]]]  # device, kind of kernel, key, fields
T = TypeVar("T", bound=tuple[Any, ...])


def user_file() -> Path:
    """Where this user's table lies, or would lie."""
    said = os.environ.get("TRIGRAD_TILES")
    if said:
        return Path(said)
    cache = os.environ.get("XDG_CACHE_HOME")
    folder = Path(cache) if cache else Path.home() / ".cache"
    return folder / "trigrad" / f"tiles-triton-{metadata.version('triton')}.json"


def read(path: Path) -> Table:
    """The table in a file; empty where there is no file.  Raises ValueError, saying why, for one that is no table."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a table of format {FORMAT}")
    devices: Any = content.get("devices")
    for where, tables in _items(path, devices, "devices"):
        for kind, entries in _items(path, tables, where):
            for key, fields in _items(path, entries, f"{where}, {kind}"):
                for field, value in _items(path, fields, f"{where}, {kind}, {key}"):
                    if type(value) is not int or value < 0:
                        raise ValueError(
                            f"{path}: {where}, {kind}, {key}: expected {field} to be a size, got {value!r}"
                        )
    table: Table = devices
    return table


def _items(path: Path, table: Any, where: str) -> Any:
    if not isinstance(table, dict):
        raise ValueError(f"{path}: {where}: expected an object, got {type(table).__name__}")
    return table.items()


def write(path: Path, table: Table) -> None:
    """Write a table, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    text = json.dumps({"format": FORMAT, "devices": table}, indent=1, sort_keys=True)
    beside.write_text(text + "\n", encoding="utf-8")
    os.replace(beside, path)


@lru_cache(maxsize=1)
def _tables() -> tuple[Table, ...]:
    """The user's table and the shipped one.  A user's file that is no table is warned about and left aside."""
    try:
        own = read(user_file())
    except (OSError, ValueError, metadata.PackageNotFoundError) as error:
        warnings.warn(f"tiles: left aside: {error}", stacklevel=2)
        own = {}
    return own, read(SHIPPED)


def forget() -> None:
    """Read the files again when they are next needed.  Choices already made stay made."""
    _tables.cache_clear()


def bucket(n: int) -> int:
    """The power of two that is the first not below ``n``, as an exponent: shapes of one bucket share a choice."""
    return max(n - 1, 0).bit_length()


def tile_for(kind: str, key: str, default: T, device_name: str) -> T:
    """``default``, a named tuple of ints, with the fields that a table has under ``key`` for this device and kind.

    Fields that ``default`` does not have raise ValueError.
    """
    if not device_name:
        return default
    for table in _tables():
        found = table.get(device_name, {}).get(kind, {}).get(key)
        if found is not None:
            return default._replace(**found)  # type: ignore[attr-defined, no-any-return]
    return default
