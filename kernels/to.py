"""The same values in another dtype, or on another device.

    out        = input, rounded to nearest even where the new dtype is narrower
    grad_input = grad, in input's dtype, on input's device

Floating to integer truncates towards zero; to bool it is ``input != 0``.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import device as devices
from ..framework import dtypes
from ..framework.array import DeviceArray, from_numpy
from ..framework.launch import cast
from ..framework.op import Grad, Kernel, Op, Sample, register


def to(input: Tensor, *args, dtype=None, device=None, copy: bool = False) -> Tensor:
    """``input`` as ``dtype`` and on ``device``, given by keyword or position; also ``to(other)``, like a tensor.

    Returns ``input`` itself where nothing changes, unless ``copy``.  Raises TypeError for an argument that is
    neither, RuntimeError for a device that cannot be had.

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
    out = input
    where = input.device if device is None else devices.device(device)
    if where.type != "cpu":
        where = devices.backend(where).device
    if where is not input.device:
        out = apply(TO_DEVICE, out, device=where)
    if dtype is not None and dtypes.dtype_of(dtype) is not out.dtype:
        out = apply(TO, out, dtype=dtypes.dtype_of(dtype).numpy)
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


def move(input, *, device):
    """Values on another device; one function, since it begins on one device and ends on another."""
    host = input.numpy() if isinstance(input, DeviceArray) else input
    return host if device.type == "cpu" else from_numpy(host, devices.backend(device))


def device_samples(rng):
    yield Sample("to the CPU", (rng.normal(size=(2, 3)),), {"device": devices.CPU})


TO_DEVICE = register(
    Op(
        name="to_device",
        kernel=Kernel(numpy=move, triton=move),
        grads=(Grad(of=("input",), keeps=(), op="to_device", settings=lambda call: {"device": call.device}),),
        samples=device_samples,
    )
)
