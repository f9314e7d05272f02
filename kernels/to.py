"""The same values in another dtype, or on another device.

    out        = input, rounded to nearest even where the new dtype is narrower
    grad_input = grad, in input's dtype, on input's device

Floating to integer truncates towards zero; to bool it is ``input != 0``.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import device as devices
from ..framework import dtypes
from ..framework.launch import cast
from ..framework.layout import check, memory_order, permuted, preserve_format
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.transfer import transfer


def to(
    input: Tensor,
    *args,
    dtype=None,
    device=None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format=preserve_format,
) -> Tensor:
    """``input`` as ``dtype`` and on ``device``, given by keyword or position; also ``to(other)``, like a tensor.

    Returns ``input`` itself where nothing changes, unless ``copy``.  With ``non_blocking`` a copy between pinned memory
    and a GPU is only begun: from pinned memory, which must stay as it is until the copy is done, or to the host, where
    the result is pinned and its values are there after the stream's (``trigrad.cuda.synchronize()``).

    The order of dimensions in memory stays, unless ``memory_format`` names another.  Raises TypeError for an argument
    that is neither, RuntimeError for a device that cannot be had and for a format that the shape cannot have.

    >>> to(Tensor([1.7, -1.7]), dtypes.int64).numpy()
    array([ 1, -1])
    """
    for x in args:
        if isinstance(x, Tensor):
            dtype, device = x.dtype, x.device
        elif isinstance(x, (devices.device, str)):
            device = x
        elif isinstance(x, dtypes.dtype):
            dtype = x
        else:
            raise TypeError(f"to: expected a dtype, a device or a Tensor, got {type(x).__name__}")
    check("to", memory_format, input.shape)
    out = input
    where = input.device if device is None else devices.device(device)
    if where.type != "cpu":
        where = devices.backend(where).device
    if where is not input.device:
        out = apply(TO_DEVICE, out, device=where, non_blocking=non_blocking)
    if dtype is not None and dtypes.dtype_of(dtype) is not out.dtype:
        out = apply(TO, out, dtype=dtypes.dtype_of(dtype).numpy)
    if memory_format is not preserve_format:
        out = out.contiguous(memory_format)
    if copy and out is input:
        from .clone import clone

        out = clone(input)
    return out


def forward_numpy(input, *, dtype):
    if input.dtype in dtypes.HALF and dtype.kind in "iu":
        input = input.astype(np.float32)
    return input.astype(dtype)


def forward_triton(input, *, dtype):
    return cast(input, dtype)


def _other_dtype(call):
    return {"dtype": call.dtype}


def _other_device(call):
    return {"device": call.device, "non_blocking": False}


def samples(rng):
    yield Sample("worked", (np.array([1.7, -1.7, 0.0]),), {"dtype": np.dtype("i8")}, answers=([1, -1, 0],))
    yield Sample("bool", (np.array([0.5, -1.0, 0.0]),), {"dtype": np.dtype(bool)}, answers=([True, True, False],))
    yield Sample(
        "rounded",
        (np.array([1.0, 1.00390625, 1.01171875]),),
        {"dtype": dtypes.bfloat16.numpy},
        answers=([1.0, 1.0, 1.015625], [1.0, 1.0, 1.0]),
        dtypes=("float64", "float32"),
    )
    yield Sample("wide", (rng.normal(size=(3, 7)),), {"dtype": np.dtype("f8")})
    yield Sample("narrow", (rng.normal(size=(3, 7)).T,), {"dtype": np.dtype("f4")})
    yield Sample("0-d", (rng.normal(size=()),), {"dtype": np.dtype("f4")})
    yield Sample("empty", (rng.normal(size=(0,)),), {"dtype": np.dtype("f4")})
    yield Sample("from int", (np.array([3, -4, 0]),), {"dtype": np.dtype("f4")}, answers=([3.0, -4.0, 0.0],), dtypes=())


TO = register(
    Op(
        name="to",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(Grad(of=("input",), keeps=(), op="to", settings=_other_dtype),),
        samples=samples,
        function=to,
    )
)


def move(input, *, device, non_blocking):
    """Values on another device; one function, since it begins on one device and ends on another."""
    here = devices.CPU if isinstance(input, np.ndarray) else input.device
    if here is device:
        return input
    order = memory_order(input)  # kept: what is moved is the memory as it lies
    if order is None:
        return transfer(input, device, non_blocking)
    return permuted(transfer(permuted(input, order), device, non_blocking), np.argsort(order))


def device_samples(rng):
    yield Sample("to the CPU", (rng.normal(size=(2, 3)),), {"device": devices.CPU, "non_blocking": False})


TO_DEVICE = register(
    Op(
        name="to_device",
        kernel=Kernel(numpy=move, triton=move),
        grads=(Grad(of=("input",), keeps=(), op="to_device", settings=_other_device),),
        samples=device_samples,
    )
)
