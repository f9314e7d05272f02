"""Device memory by size class: free lists in Python over whatever hands out large pieces.

A block's memory goes back to a free list when its last reference goes, and the next request of the same size class
takes it from there, so that a training loop in its steady state asks the driver for nothing.  One stream orders all
work of a device, so memory may be used again at once: whoever used it before is before in the stream.

Sizes are rounded up to 512 bytes below 1 MiB and to 2 MiB above; every block begins at a 512-byte boundary.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .device import Block

_FINE, _COARSE, _BORDER = 512, 2 << 20, 1 << 20


def size_class(nbytes: int) -> int:
    """The bytes that a request for ``nbytes`` takes."""
    step = _FINE if nbytes <= _BORDER else _COARSE
    return (nbytes + step - 1) // step * step or _FINE


def readable(nbytes: int) -> str:
    """``nbytes`` in the largest unit that leaves it at least one: ``1.50 MiB``."""
    size, unit = float(nbytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{nbytes} bytes" if unit == "bytes" else f"{size:.2f} {unit}"


class OutOfMemoryError(RuntimeError):
    """The device has no memory left for a request; its text tells what holds the rest."""


class Source(Protocol):
    """Where new memory comes from."""

    def obtain(self, nbytes: int) -> Any:
        """Keep ``nbytes`` bytes at the address ``handle`` of the returned object.  Raises MemoryError if it cannot."""

    def trim(self) -> None:
        """Wait for the device, so that what was dropped is free, and give unused memory back to the system."""


class Pool:
    """Free lists that share memory among themselves and with no other pool.

    A captured graph has addresses burnt in: it allocates from a pool of its own, whose memory no one else ever gets.
    A ``private`` pool gives nothing back before it is dropped as a whole.
    """

    __slots__ = ("__weakref__", "free", "made", "name", "private", "used")

    def __init__(self, name: str, private: bool = False) -> None:
        self.name = name
        self.private = private
        self.free: dict[int, list[tuple[int, Any]]] = {}  # size class -> (address, what keeps the memory)
        self.made: dict[int, int] = {}  # size class -> pieces obtained and not yet given back
        self.used = 0  # bytes in live blocks

    @property
    def reserved(self) -> int:
        """Bytes held, in live blocks and in free lists."""
        return sum(size * count for size, count in self.made.items())

    def release(self) -> None:
        """Drop every free piece."""
        for size, pieces in list(self.free.items()):
            while pieces:
                pieces.pop()
                self.made[size] -= 1


class _Lease:
    """Keeps one piece of memory from being handed out again; the end of the lease puts it on its pool's free list."""

    __slots__ = ("piece", "pool", "size")

    def __init__(self, piece: tuple[int, Any], pool: Pool, size: int) -> None:
        self.piece = piece
        self.pool = pool
        self.size = size

    def __del__(self) -> None:
        # No global name is used here: this also runs while the interpreter shuts down.
        pool = self.pool
        pool.used -= self.size
        pool.free[self.size].append(self.piece)


class Allocator:
    """Hands out ``Block``s of ``source``'s memory and counts them.  ``name`` is the device's, for messages."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.current = self.shared = Pool("shared")
        self._private: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._peak = 0

    @property
    def pools(self) -> list[Pool]:
        return [self.shared, *sorted(self._private, key=lambda pool: pool.name)]

    @property
    def used(self) -> int:
        """Bytes in live blocks."""
        return sum(pool.used for pool in self._private) + self.shared.used if self._private else self.shared.used

    @property
    def peak(self) -> int:
        """The most bytes in live blocks since the beginning or the last ``reset_peak``."""
        return self._peak

    @property
    def reserved(self) -> int:
        """Bytes obtained from the source and not given back."""
        return sum(pool.reserved for pool in self.pools)

    def reset_peak(self) -> None:
        """Count the peak from now on."""
        self._peak = self.used

    def allocate(self, nbytes: int) -> Block:
        """At least ``nbytes`` bytes, which come back here when the block's last reference goes.

        Raises OutOfMemoryError where dropping all free memory does not make room.
        """
        step = _FINE if nbytes <= _BORDER else _COARSE  # size_class, written out: this runs at every operation
        size = (nbytes + step - 1) // step * step or _FINE
        pool = self.current
        try:
            piece = pool.free[size].pop()
        except (KeyError, IndexError):
            piece = self._obtain(pool, size, nbytes)
        pool.used += size
        used = self.used if self._private else pool.used
        if used > self._peak:
            self._peak = used
        return Block(piece[0], nbytes, _Lease(piece, pool, size))

    def _obtain(self, pool: Pool, size: int, nbytes: int) -> tuple[int, Any]:
        try:
            memory = self.source.obtain(size)
        except MemoryError:
            gc.collect()  # blocks in reference cycles
            self.release()
            try:
                memory = self.source.obtain(size)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"allocate: {self.name} has no {readable(nbytes)} left ({error})\n{self.summary()}"
                ) from None
        pool.free.setdefault(size, [])
        pool.made[size] = pool.made.get(size, 0) + 1
        return int(memory.handle), memory

    def release(self) -> None:
        """Give all free memory back, except that of private pools."""
        for pool in self.pools:
            if not pool.private:
                pool.release()
        self.source.trim()

    def private_pool(self, name: str) -> Pool:
        """A new pool whose memory stays its own; its memory is given back when the pool and its blocks are dropped."""
        pool = Pool(name, private=True)
        self._private.add(pool)
        return pool

    @contextmanager
    def using(self, pool: Pool) -> Iterator[Pool]:
        """Allocate from ``pool`` inside the ``with`` block."""
        before, self.current = self.current, pool
        try:
            yield pool
        finally:
            self.current = before

    def summary(self) -> str:
        """A table of what each pool holds, by size class, largest first."""
        rows = [("pool", "size", "in use", "free", "held")]
        for pool in self.pools:
            held = [(size, count) for size, count in pool.made.items() if count]
            held.sort(key=lambda pair: -pair[0] * pair[1])
            for size, count in held[:20]:
                free = len(pool.free[size])
                rows.append((pool.name, readable(size), str(count - free), str(free), readable(size * count)))
            if held[20:]:
                rest = sum(size * count for size, count in held[20:])
                rows.append((pool.name, f"{len(held) - 20} more sizes", "", "", readable(rest)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        used, peak, reserved = readable(self.used), readable(self._peak), readable(self.reserved)
        return "\n".join([f"{self.name}: {used} in use (peak {peak}), {reserved} held", *lines])
