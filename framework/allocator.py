"""Device memory by size class: free lists in Python over whatever hands out large pieces.

A block's memory goes back to a free list when its last reference goes, and the next request of the same size class
takes it from there, so that a training loop in its steady state asks the driver for nothing.  One stream orders the work
of a device, so memory may be used again at once: whoever used it before is before in the stream.

Work on other streams is the exception.  Such a stream has a pool of its own, and a piece that may have been used on a
stream other than its pool's is ``pending`` when it comes back: it is free only when every stream of the device has passed
a mark set after that.  Pieces of the shared pool that other streams use are marked when they do (``lend``).

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

    def obtain(self, nbytes: int, stream: Any = None) -> Any:
        """Keep ``nbytes`` bytes at the address ``handle`` of the returned object, for ``stream`` (None: the compute stream).

        Raises MemoryError if it cannot.
        """

    def fence(self) -> Any:
        """A mark behind the work given so far to all streams: ``passed()`` says whether it is done, ``wait()`` waits."""

    def trim(self) -> None:
        """Wait for the device, so that what was dropped is free, and give unused memory back to the system."""


class Tally:
    """Bytes in live blocks of all pools of a device, and the most there have been."""

    __slots__ = ("peak", "used")

    def __init__(self) -> None:
        self.used = self.peak = 0


class Pool:
    """Free lists that share memory among themselves and with no other pool.

    A captured graph has addresses burnt in: it allocates from a pool of its own, whose memory no one else ever gets.
    A ``private`` pool gives nothing back before it is dropped as a whole.
    """

    __slots__ = ("__weakref__", "fenced", "free", "made", "memory", "name", "pending", "private", "stream", "tally")

    def __init__(self, name: str, tally: Tally, private: bool = False, stream: Any = None) -> None:
        self.name = name
        self.tally = tally
        self.stream = stream  # whose memory this is; None: the compute stream's
        self.pending: list[tuple[int, int]] = []  # (size class, address): other streams may still use these
        self.fenced: list[tuple[Any, list[tuple[int, int]]]] = []  # the same, behind a fence
        self.private = private
        self.free: dict[int, list[int]] = {}  # size class -> addresses
        # address -> what keeps the memory.  Leases only know addresses: where the garbage collector finds some in a cycle,
        # it finalizes all that the cycle alone keeps alive, and the memory must not be among that.
        self.memory: dict[int, Any] = {}
        self.made: dict[int, int] = {}  # size class -> pieces obtained and not yet given back

    @property
    def reserved(self) -> int:
        """Bytes held, in live blocks and in free lists."""
        return sum(size * count for size, count in self.made.items())

    def release(self) -> None:
        """Drop every free piece."""
        for size, pieces in list(self.free.items()):
            while pieces:
                del self.memory[pieces.pop()]
                self.made[size] -= 1


class _Lease:
    """Keeps one piece of memory from being handed out again; the end of the lease puts it on its pool's free list."""

    __slots__ = ("piece", "pool", "size")

    def __init__(self, piece: int, pool: Pool, size: int) -> None:
        self.piece = piece
        self.pool = pool
        self.size = size

    def __del__(self) -> None:
        # No global name is used here: this also runs while the interpreter shuts down.
        pool = self.pool
        pool.tally.used -= self.size
        pool.free[self.size].append(self.piece)


class _Lent(_Lease):
    """A lease of memory that streams other than the pool's have used or may have used."""

    __slots__ = ()

    def __del__(self) -> None:
        pool = self.pool
        pool.tally.used -= self.size
        pool.pending.append((self.size, self.piece))


def lend(block: Block, pool: Pool) -> None:
    """Note that work of the stream behind ``pool`` uses ``block``."""
    owner = block.owner
    if type(owner) is _Lease and owner.pool is not pool:
        owner.__class__ = _Lent


class Allocator:
    """Hands out ``Block``s of ``source``'s memory and counts them.  ``name`` is the device's, for messages."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.tally = Tally()
        self.current = self.shared = Pool("shared", self.tally)
        self._private: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._reserved_peak = 0

    @property
    def pools(self) -> list[Pool]:
        return [self.shared, *sorted(self._private, key=lambda pool: pool.name)]

    def stream_pool(self, name: str, stream: Any) -> Pool:
        """A new pool for a stream beside the compute stream."""
        pool = Pool(name, self.tally, stream=stream)
        self._private.add(pool)
        return pool

    @property
    def used(self) -> int:
        """Bytes in live blocks."""
        return self.tally.used

    @property
    def peak(self) -> int:
        """The most bytes in live blocks since the beginning or the last ``reset_peak``."""
        return self.tally.peak

    @property
    def reserved(self) -> int:
        """Bytes obtained from the source and not given back."""
        return sum(pool.reserved for pool in self.pools)

    @property
    def reserved_peak(self) -> int:
        """The most bytes obtained from the source since the beginning or the last ``reset_peak``."""
        return self._reserved_peak

    def reset_peak(self) -> None:
        """Count the peaks from now on."""
        self.tally.peak = self.tally.used
        self._reserved_peak = self.reserved

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
        tally = pool.tally
        tally.used += size
        if tally.used > tally.peak:
            tally.peak = tally.used
        return Block(piece, nbytes, _Lease(piece, pool, size))

    def allocate_for(self, pool: Pool, nbytes: int) -> Block:
        """The same from another pool; where that is a stream's, the compute stream may still use what comes back."""
        size = size_class(nbytes)
        try:
            piece = pool.free[size].pop()
        except (KeyError, IndexError):
            piece = self._obtain(pool, size, nbytes)
        tally = self.tally
        tally.used += size
        tally.peak = max(tally.peak, tally.used)
        return Block(piece, nbytes, (_Lease if pool.private else _Lent)(piece, pool, size))

    def _reclaim(self, pool: Pool, wait: bool = False) -> None:
        """Free what all streams are done with; with ``wait`` everything pending."""
        pieces, pool.pending = pool.pending, []
        if pieces:
            pool.fenced.append((self.source.fence(), pieces))
        while pool.fenced and (wait or pool.fenced[0][0].passed()):
            fence, pieces = pool.fenced.pop(0)
            if wait:
                fence.wait()
            for size, piece in pieces:
                pool.free[size].append(piece)

    def _obtain(self, pool: Pool, size: int, nbytes: int) -> int:
        if pool.pending or pool.fenced:
            self._reclaim(pool)
            if pool.free.get(size):
                return pool.free[size].pop()
        try:
            memory = self.source.obtain(size, pool.stream)
        except MemoryError:
            gc.collect()  # blocks in reference cycles
            self.release()
            if pool.free.get(size):  # a private pool keeps what had been pending
                return pool.free[size].pop()
            try:
                memory = self.source.obtain(size, pool.stream)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"allocate: {self.name} has no {readable(nbytes)} left ({error})\n{self.summary()}"
                ) from None
        pool.free.setdefault(size, [])
        pool.made[size] = pool.made.get(size, 0) + 1
        self._reserved_peak = max(self._reserved_peak, self.reserved)
        address = int(memory.handle)
        pool.memory[address] = memory
        return address

    def release(self) -> None:
        """Give all free memory back, except that of private pools."""
        for pool in self.pools:
            if pool.pending or pool.fenced:
                self._reclaim(pool, wait=True)
            if not pool.private:
                if pool.stream is not None:
                    pool.stream.sync()  # memory goes back through the compute stream, which does not know of this one
                pool.release()
        self.source.trim()

    def private_pool(self, name: str) -> Pool:
        """A new pool whose memory stays its own; its memory is given back when the pool and its blocks are dropped."""
        pool = Pool(name, self.tally, private=True)
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
        used, peak, reserved = readable(self.used), readable(self.peak), readable(self.reserved)
        return "\n".join([f"{self.name}: {used} in use (peak {peak}), {reserved} held", *lines])
