"""How tensors look when printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..framework import device as devices
from ..framework import dtypes

if TYPE_CHECKING:
    from .tensor import Tensor


def text(t: Tensor) -> str:
    """The values, and after them whatever is not the default: dtype, device, history."""
    host = t.host()
    if host.dtype in dtypes.HALF:
        host = host.astype(np.float32)
    start = "tensor("
    values = (
        np.array2string(host, precision=4, separator=", ", prefix=start, threshold=1000, edgeitems=3)
        if host.size
        else "[]"
    )
    notes = []
    if not host.size and t.shape != (0,):
        notes.append(f"size={t.shape}")
    if t.device is not devices.CPU:
        notes.append(f"device='{t.device}'")
    if t.dtype not in (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_) or (
        not host.size and t.dtype is dtypes.int64
    ):
        notes.append(f"dtype={t.dtype!r}")
    if t.grad_fn is not None:
        notes.append(f"grad_fn={t.grad_fn!r}")
    elif t.wants_grad:
        notes.append("requires_grad=True")
    return start + ", ".join([values, *notes]) + ")"
