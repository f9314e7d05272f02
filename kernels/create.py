"""New tensors: of one value, of numbers in order, around memory that exists; and questions about whole tensors.

    arange[i]   = start + i * step,  for i = 0, 1, ... while it has not reached end
    linspace[i] = start + i * (end - start) / (steps - 1)
    logspace[i] = base ** linspace[i]
    vander[i, j] = x[i] ** (N - 1 - j)
    eye[i, j]   = 1 where i == j, else 0

Nothing here is a row: there is no input to have a gradient.  On a device, arrays of one value are filled there; the
others are computed in float64 on the host and copied.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import host_array, wrap
from ..framework import device as devices
from ..framework import dtypes
from ..framework.array import empty as _empty
from ..framework.array import from_numpy as _copied
from ..framework.dtypes import dtype as DType
from ..framework.fill import full as _full
from ..framework.layout import arranged, check, contiguous_format, memory_format, preserve_format, strides_for
from ..framework.shape import shape_of

Device = devices.device | str | None


def _place(device: Device) -> devices.Backend | None:
    """The back end of a device, or of the default one; None for the CPU."""
    where = devices.get_default_device() if device is None else devices.device(device)
    return None if where.type == "cpu" else devices.backend(where)


def _made(array: Any, requires_grad: bool) -> Tensor:
    out = wrap(array)
    if requires_grad:
        out.requires_grad = True
    return out


def _from_host(array: np.ndarray, device: Device, requires_grad: bool) -> Tensor:
    backend = _place(device)
    return _made(array if backend is None else _copied(array, backend), requires_grad)


def _kind(dtype: Any) -> np.dtype:
    return (dtypes.get_default_dtype() if dtype is None else dtypes.dtype_of(dtype)).numpy


def zeros(
    *shape: Any,
    size: Any = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros, of the default dtype unless told otherwise.  Raises RuntimeError for a negative size.

    >>> zeros(2, 2).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    sizes, backend = shape_of("zeros", shape, size), _place(device)
    if backend is None:
        return _made(np.zeros(sizes, _kind(dtype)), requires_grad)
    return _made(_full(sizes, 0, _kind(dtype), backend), requires_grad)


def ones(
    *shape: Any,
    size: Any = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones, of the default dtype unless told otherwise.  Raises RuntimeError for a negative size.

    >>> ones(3).tolist()
    [1.0, 1.0, 1.0]
    """
    return _made(_full(shape_of("ones", shape, size), 1, _kind(dtype), _place(device)), requires_grad)


def empty(
    *sizes: Any,
    size: Any = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = contiguous_format,
) -> Tensor:
    """A tensor whose values are whatever was in memory.  Raises RuntimeError for a negative size.

    >>> empty(2, 3).shape
    (2, 3)
    """
    shape, backend = shape_of("empty", sizes, size), _place(device)
    check("empty", memory_format, shape, preserve=False)
    array = np.empty(shape, _kind(dtype)) if backend is None else _empty(shape, _kind(dtype), backend)
    return _made(arranged(array, strides_for(shape, (), memory_format)), requires_grad)


def full(
    size: Any, fill_value: float, *, dtype: DType | None = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of one value; its dtype is the value's own (the default dtype, int64, bool) unless told otherwise.

    Raises RuntimeError for a negative size, TypeError where ``fill_value`` is no number.

    >>> full((2,), 7).tolist()
    [7, 7]
    """
    value = _number("full", fill_value)
    kind = dtypes.dtype_of(type(value)).numpy if dtype is None else _kind(dtype)
    return _made(_full(shape_of("full", (size,)), value, kind, _place(device)), requires_grad)


def _number(name: str, value: Any) -> float | int | bool:
    if isinstance(value, (Tensor, np.generic)):
        value = value.item()
    if not isinstance(value, (float, int)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    return value


def _as_like(
    name: str, input: Tensor, value: Any, dtype: Any, device: Device, requires_grad: bool, format: memory_format
) -> Tensor:
    check(name, format, input.shape)
    where = input.device if device is None else devices.device(device)
    kind = input.array.dtype if dtype is None else _kind(dtype)
    backend = None if where.type == "cpu" else devices.backend(where)
    if value is not None:
        array = _full(input.shape, value, kind, backend)
    elif backend is None:
        array = np.empty(input.shape, kind)
    else:
        array = _empty(input.shape, kind, backend)
    return _made(arranged(array, strides_for(input.shape, input.stride(), format)), requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """Zeros in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> zeros_like(Tensor([1, 2])).tolist()
    [0, 0]
    """
    return _as_like("zeros_like", input, 0, dtype, device, requires_grad, memory_format)


def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """Ones in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> ones_like(Tensor([[1.0, 2.0]])).tolist()
    [[1.0, 1.0]]
    """
    return _as_like("ones_like", input, 1, dtype, device, requires_grad, memory_format)


def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """One value in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> full_like(Tensor([1.0, 2.0]), 0.5).tolist()
    [0.5, 0.5]
    """
    value = _number("full_like", fill_value)
    return _as_like("full_like", input, value, dtype, device, requires_grad, memory_format)


def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """Memory in the shape of ``input``, of its dtype and on its device unless told otherwise; in its order in memory too.

    >>> empty_like(Tensor([1.0, 2.0])).shape
    (2,)
    """
    return _as_like("empty_like", input, None, dtype, device, requires_grad, memory_format)


def arange(
    start: float | None = None,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers from ``start`` (0 where only one number is given) up to but without ``end``, ``step`` apart.

    int64 where all three are integers, else the default dtype.  Raises RuntimeError for a step of 0, and for one that
    leads away from ``end``.

    >>> arange(5).tolist(), arange(1, 2, 0.5).tolist()
    ([0, 1, 2, 3, 4], [1.0, 1.5])
    """
    if end is None:
        start, end = 0, start
    if end is None:
        raise TypeError("arange: expected an end")
    start = 0 if start is None else start
    first, last, apart = (_number("arange", x) for x in (start, end, step))
    if apart == 0:
        raise RuntimeError("arange: step must not be 0")
    if not all(map(math.isfinite, (first, last, apart))):
        raise RuntimeError(f"arange: expected finite numbers, got start {first}, end {last}, step {apart}")
    if (last - first) * apart < 0:
        raise RuntimeError(f"arange: step {apart} leads from start {first} away from end {last}")
    whole = all(isinstance(x, int) for x in (first, last, apart))
    kind = np.dtype(np.int64) if dtype is None and whole else _kind(dtype)
    if whole:
        count = -((first - last) // apart)  # type: ignore[operator]
        values: np.ndarray = first + apart * np.arange(count, dtype=np.int64)
    else:
        values = first + apart * np.arange(math.ceil((last - first) / apart), dtype=np.float64)
    return _from_host(values.astype(kind, copy=False), device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both included, equally far apart.

    Raises RuntimeError where ``steps`` is negative.

    >>> linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"linspace: steps must be an integer, got {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError(f"linspace: steps must not be negative, got {steps}")
    first, last = _number("linspace", start), _number("linspace", end)
    kind = _kind(dtype)
    values = np.linspace(float(first), float(last), int(steps))
    if kind.kind in "iub":
        values = np.trunc(values)
    return _from_host(values.astype(kind), device, requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to the power of ``steps`` numbers from ``start`` to ``end``, both included, equally far apart.

    Raises RuntimeError where ``steps`` is negative.

    >>> logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    powers = linspace(start, end, steps, dtype=dtypes.float64, device="cpu")
    values = np.power(float(_number("logspace", base)), powers.numpy())
    kind = _kind(dtype)
    if kind.kind in "iub":
        values = np.trunc(values)
    return _from_host(values.astype(kind), device, requires_grad)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803
    """Powers of the elements of a vector, a row each: x ** (N - 1), ..., x ** 0, or the other way round.

    As many as there are elements unless told otherwise.  Raises RuntimeError for other shapes and a negative ``N``.

    >>> vander(Tensor([2, 3])).tolist()
    [[2, 1], [3, 1]]
    """
    if x.ndim != 1:
        raise RuntimeError(f"vander: expected a vector, got shape {x.shape}")
    count = x.numel() if N is None else N
    if count < 0:
        raise RuntimeError(f"vander: N must not be negative, got {count}")
    column = x.unsqueeze(-1)
    powers = [ones_like(column)]
    for _ in range(1, count):
        powers.append(powers[-1] * column)
    if not count:
        return x.new_zeros((x.numel(), 0))
    from .cat import cat

    return cat(powers if increasing else powers[::-1], 1)


def empty_strided(
    size: Any, stride: Any, *, dtype: DType | None = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of these strides, in elements, whose values are whatever was in memory.

    Raises RuntimeError for negative sizes or strides and where there are not as many of one as of the other.

    >>> empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    shape, strides = shape_of("empty_strided", (size,)), shape_of("empty_strided", (stride,))
    if len(shape) != len(strides):
        raise RuntimeError(f"empty_strided: size {shape} and stride {strides} differ in length")
    room = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if math.prod(shape) else 0
    flat = empty(room, dtype=dtype, device=device)
    from .as_strided import as_strided

    return _made(as_strided(flat, shape, strides, 0).array, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: DType | None = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """The matrix of ``n`` rows and ``m`` (else ``n``) columns with ones on its diagonal.

    Raises RuntimeError for a negative size.

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows, columns = shape_of("eye", (n, n if m is None else m))
    return _from_host(np.eye(rows, columns).astype(_kind(dtype)), device, requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Device = None) -> Tensor:
    """``data`` as a tensor without a copy where none is needed: a tensor as it is, a NumPy array sharing its memory.

    A tensor that must change dtype or device keeps its history.  Raises as ``tensor``.

    >>> x = np.zeros(2); as_tensor(x).numpy() is x
    True
    """
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return _from_host(host_array(data, dtype, copy=False), device, False)


def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Device = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """``obj`` as a tensor: with a copy where ``copy`` is true or one is needed; without history unless ``requires_grad``.

    Raises ValueError where a copy is needed and ``copy`` is false, else as ``tensor``.

    >>> x = np.zeros(2); asarray(x).numpy() is x, asarray(x, copy=True).numpy() is x
    (True, False)
    """
    found = as_tensor(obj, dtype, device)
    shares = isinstance(obj, Tensor) and found is obj
    if isinstance(obj, np.ndarray) and isinstance(found.array, np.ndarray):
        shares = np.shares_memory(found.array, obj) or not obj.size
    if copy is False and not shares:
        raise ValueError("asarray: a copy is needed, and copy is False")
    if copy and shares:
        found = found.detach().clone()
    if found.wants_grad and not requires_grad:
        found = found.detach()
    if requires_grad and not found.wants_grad:
        found = found.detach().requires_grad_()
    return found


def from_numpy(array: np.ndarray) -> Tensor:
    """A CPU tensor that shares the memory of ``array``: each sees what is written to the other.

    Raises TypeError for what is no NumPy array and for a dtype that trigrad does not have.

    >>> x = np.zeros(2); t = from_numpy(x); x[0] = 5; t.tolist()
    [5.0, 0.0]
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    if array.dtype not in dtypes._OF or not array.dtype.isnative:
        raise TypeError(
            f"from_numpy: no dtype shares the memory of NumPy's {array.dtype}; convert it with astype, or use tensor"
        )
    return wrap(array.view(np.ndarray))


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor.

    >>> is_tensor(Tensor([1.0])), is_tensor(1.0)
    (True, False)
    """
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """How many elements ``input`` has.

    >>> numel(zeros(2, 3))
    6
    """
    return input.numel()


def _pair(name: str, input: Any, other: Any) -> tuple[np.ndarray, np.ndarray]:
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected two Tensors, got {type(x).__name__}")
    if input.device is not other.device:
        raise RuntimeError(f"{name}: expected both tensors on one device, got {input.device} and {other.device}")
    return input.host(), other.host()


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and equal values; waits for the device.

    Raises RuntimeError for tensors of different devices.

    >>> equal(Tensor([1.0, 2.0]), Tensor([1.0, 2.0]))
    True
    """
    a, b = _pair("equal", input, other)
    return a.shape == b.shape and bool(np.array_equal(a, b))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` everywhere; shapes broadcast; waits for the device.

    Raises RuntimeError for tensors of different dtypes or devices, and where shapes do not broadcast.

    >>> allclose(Tensor([1.0]), Tensor([1.000001]))
    True
    """
    a, b = _pair("allclose", input, other)
    if a.dtype != b.dtype:
        raise RuntimeError(f"allclose: expected one dtype, got {input.dtype.name} and {other.dtype.name}")
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise RuntimeError(f"allclose: shapes {a.shape} and {b.shape} do not broadcast") from None
    if not math.prod(shape):
        return True
    wide = np.float64 if input.dtype.is_floating_point else np.int64
    return bool(np.allclose(a.astype(wide), b.astype(wide), rtol=rtol, atol=atol, equal_nan=equal_nan))
