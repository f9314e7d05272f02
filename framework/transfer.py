"""Values from one device to another: through pinned memory, in the background, or from GPU to GPU.

A copy belongs to the stream that the thread has chosen, and memory stays alive until the copy is done.  A copy with
``non_blocking`` from or to pinned memory is not waited for; every other copy to the host is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import DeviceArray, RawArray, empty, from_numpy
from .device import CPU, backend, device
from .launch import contiguous
from .pinned import owner, pinned_empty


def transfer(array: RawArray, where: device, non_blocking: bool = False) -> RawArray:
    """The values of ``array`` in the memory of ``where``, another device than its own; row-major.

    With ``non_blocking`` a result in host memory is pinned, and its values are there when the stream has come so far.
    """
    if isinstance(array, np.ndarray):
        to = backend(where)
        if non_blocking and owner(array) is not None and array.flags.c_contiguous:
            out = empty(array.shape, array.dtype, to)
            if out.size:
                to.copy_in_background(out.ptr, array)  # type: ignore[attr-defined]
            return out
        return from_numpy(array, to)
    if where is CPU:
        if non_blocking and hasattr(array.backend, "copy_out_background"):
            host = pinned_empty(array.shape, array.dtype)
            copy_directly(host, array)
            return host
        return array.numpy()
    to = backend(where)
    if array.device.type == to.device.type == "cuda" and hasattr(to, "copy_from_peer"):
        source = contiguous(array)
        out = empty(array.shape, array.dtype, to)
        if out.size:
            to.copy_from_peer(out, source)
        return out
    return from_numpy(array.numpy(), to)


def copy_directly(out: RawArray, source: RawArray) -> bool:
    """Copy between pinned memory and a GPU in the background, where the two arrays allow it; returns whether they did."""
    if out.shape != source.shape or out.dtype != source.dtype:
        return False
    if isinstance(out, DeviceArray) == isinstance(source, DeviceArray):
        return False
    host, other = (source, out) if isinstance(out, DeviceArray) else (out, source)
    gpu: Any = other.backend  # type: ignore[union-attr]
    if not hasattr(gpu, "copy_out_background") or not isinstance(host, np.ndarray):
        return False
    if owner(host) is None or not host.flags.c_contiguous or (out is other and not other.is_contiguous):  # type: ignore[union-attr]
        return False
    if host.size:
        flat = contiguous(other)  # type: ignore[arg-type]
        gpu.lend(flat)
        if out is other:
            gpu.copy_in_background(flat.ptr, host)
        else:
            gpu.copy_out_background(host, flat.ptr)
    return True
