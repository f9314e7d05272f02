"""Passing batches between processes: structure as a pickle, arrays through anonymous shared memory.

The bytes of all arrays in a batch are written, one behind the other, to a block of memory that has no name (a memfd on
Linux, an unlinked file on other POSIX systems).  Its descriptor goes through the socket; the receiver maps the block,
and its arrays lie there.  Nothing is left behind when a process is killed: the system frees a block with its last
mapping.  Small batches, and all of them on Windows, go through the socket whole.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Iterable
from io import BytesIO
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..autograd import Parameter, Tensor
from ..autograd.tensor import wrap

_SMALL = 16 << 10  # bytes that are worth no block
_ALIGN = 64
_PART = 1 << 30  # bytes written at a time: the system takes no more than 2 GB


class _Pickler(pickle.Pickler):
    """Also pickles tensors in host memory, whose own ``__reduce__`` refuses it for files."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if not isinstance(value.array, np.ndarray):
                raise TypeError(
                    f"DataLoader: a tensor on {value.device} cannot go from one process to another; items stay on the cpu"
                )
            if not value.is_leaf:
                raise TypeError("DataLoader: a tensor with a history cannot go to another process; detach() it")
            return _tensor, (type(value) is Parameter, value.requires_grad, value.array)
        if type(value) is np.ndarray and not value.dtype.hasobject:
            order = sorted(range(value.ndim), key=lambda d: -abs(value.strides[d]))  # as it lies in memory
            flat = np.ascontiguousarray(value.transpose(order)).reshape(-1).view(np.uint8)
            return _array, (pickle.PickleBuffer(flat), value.dtype, value.shape, tuple(order))
        return NotImplemented


def _array(buffer: Any, dtype: np.dtype, shape: tuple[int, ...], order: tuple[int, ...]) -> np.ndarray:
    laid = np.frombuffer(buffer, np.uint8).view(dtype).reshape([shape[d] for d in order])
    return laid.transpose(np.argsort(order)) if order != tuple(range(len(order))) else laid


def _tensor(parameter: bool, wants_grad: bool, array: np.ndarray) -> Tensor:
    if parameter:
        return Parameter(wrap(array), wants_grad)
    return wrap(array).requires_grad_(wants_grad)


def whole(value: Any) -> bytes:
    """``value``, arrays and all, as one pickle.  Raises what pickling raises."""
    out = BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(value)
    return out.getvalue()


def send(channel: Connection, label: tuple[Any, ...], value: Any) -> None:
    """Send ``label``, small and plain, and ``value``.  Nothing is sent when ``value`` cannot be pickled."""
    out = BytesIO()
    buffers: list[Any] = []

    def take(buffer: pickle.PickleBuffer) -> None:
        buffers.append(buffer.raw())

    _Pickler(out, pickle.HIGHEST_PROTOCOL, buffer_callback=take).dump(value)
    body = out.getvalue()
    sizes = [b.nbytes for b in buffers]
    if os.name != "posix" or len(body) + sum(sizes) <= _SMALL:
        channel.send_bytes(pickle.dumps((label, body, [bytearray(b) for b in buffers], None)))
        return
    block = _block([body, *buffers])
    try:
        channel.send_bytes(pickle.dumps((label, len(body), None, sizes)))
        reduction.send_handle(channel, block, None)  # type: ignore[attr-defined]
    finally:
        os.close(block)


def receive(channel: Connection) -> tuple[tuple[Any, ...], Any]:
    """The label and the value of the next message, which has come.  Raises EOFError or OSError where it breaks off."""
    label, body, buffers, sizes = pickle.loads(channel.recv_bytes())
    if sizes is None:
        return label, pickle.loads(body, buffers=buffers)
    handle = reduction.recv_handle(channel)  # type: ignore[attr-defined]
    try:
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)  # one call instead of a fault for every 4 KB
        view = memoryview(mmap.mmap(handle, 0, flags))
    finally:
        os.close(handle)
    places = list(_places([body, *sizes]))
    parts = [view[start : start + size] for start, size in places[1:]]
    return label, pickle.loads(view[:body], buffers=parts)


def _places(sizes: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Where in a block each part begins, with its size."""
    start = 0
    for size in sizes:
        yield start, size
        start += -(-size // _ALIGN) * _ALIGN


def _block(parts: list[Any]) -> int:
    """A descriptor of nameless memory that holds ``parts``.  Raises OSError where there is not enough."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("trigrad", os.MFD_CLOEXEC)
    else:
        file, path = tempfile.mkstemp()
        os.unlink(path)
        handle = file
    try:
        views = [memoryview(p) for p in parts]
        for view, (start, size) in zip(views, _places([v.nbytes for v in views]), strict=True):
            done = 0
            while done < size:
                done += os.pwrite(handle, view[done : done + _PART], start + done)
    except BaseException:
        os.close(handle)
        raise
    return handle
