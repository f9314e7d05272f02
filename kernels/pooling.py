"""Pooling over signals and volumes, and adaptive, power-average and inverse pooling: made of other rows.

One spatial dimension is an image of one row, see ``avg_pool2d`` and ``max_pool2d``.  In three, means are taken along one
dimension after the other (``resample``), and the greatest value is that of planes' greatest values:

    out[o, p] = max over depth taps of max over the window p of input[depth, ...]

so that of equal values the first in row-major order is taken, and a NaN wins, as in two dimensions.
"""

from math import prod
from operator import index
from typing import Any

import numpy as np

from ..autograd import Tensor, apply, tensor
from ..framework import dtypes
from .adaptive_avg_pool2d import adaptive_avg_pool2d
from .avg_pool2d import avg_pool2d
from .gather import gather
from .max_pool2d import max_pool2d
from .mean import mean
from .relu import relu
from .resample import RESAMPLE, bounds, integer_mean, table
from .scatter import scatter
from .sign import sign
from .where import where


def _numbers(op, name, value, count):
    """``value``, an int or one or ``count`` ints, as ``count`` ints."""
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        if any(isinstance(v, bool) for v in parts):
            raise TypeError
        ints = tuple(index(v) for v in parts)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an int or {count} ints, got {value!r}") from None
    if len(ints) not in (1, count):
        raise RuntimeError(f"{op}: {name} must be an int or {count} ints, got {value!r}")
    return ints * count if len(ints) == 1 else ints


def _pooling(op, input, kernel_size, stride, padding, dilation, ceil_mode, spatial):
    """Checked kernel size, stride, padding, dilation and output size of a pooling."""
    kernel = _numbers(op, "kernel_size", kernel_size, spatial)
    no_stride = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    step = kernel if no_stride else _numbers(op, "stride", stride, spatial)
    before = _numbers(op, "padding", padding, spatial)
    apart = _numbers(op, "dilation", dilation, spatial)
    if not isinstance(ceil_mode, (bool, np.bool_)):
        raise TypeError(f"{op}: ceil_mode must be a bool, got {ceil_mode!r}")
    for name, values in (("kernel_size", kernel), ("stride", step), ("dilation", apart)):
        if min(values) <= 0:
            raise RuntimeError(f"{op}: {name} must be greater than zero, got {values}")
    shape = input.shape
    if len(shape) not in (spatial + 1, spatial + 2) or 0 in shape[-spatial - 1 :]:
        axes = "L" if spatial == 1 else ", ".join("DHW"[-spatial:])
        raise RuntimeError(
            f"{op}: expected an input of shape (N, C, {axes}) or (C, {axes}), where only N may be 0, got {shape}"
        )
    if any(p < 0 or 2 * p > k for k, p in zip(kernel, before, strict=True)):
        raise RuntimeError(
            f"{op}: padding must be between 0 and half of kernel_size, got padding {before} with kernel_size {kernel}"
        )
    out = ()
    for n, k, s, p, d in zip(shape[-spatial:], kernel, step, before, apart, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        size = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (size - 1) * s >= n + p:  # a window must begin inside the input or the padding before it
            size -= 1
        out += (size,)
    if min(out) < 1:
        raise RuntimeError(
            f"{op}: kernel_size {kernel} with padding {before} and dilation {apart} leaves an output of {out} from an "
            f"input of {shape}"
        )
    return kernel, step, before, apart, out


def avg_pool1d(
    input: Tensor,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of ``input`` (N, C, L) or (C, L), floating.  Arguments as in ``avg_pool2d``.

    >>> avg_pool1d(Tensor([[1.0, 3.0, 5.0]]), 2, stride=1).numpy()
    array([[2., 4.]], dtype=float32)
    """
    (k,), (s,), (p,), _, _ = _pooling("avg_pool1d", input, kernel_size, stride, padding, 1, ceil_mode, 1)
    out = avg_pool2d(input.unsqueeze(-2), (1, k), (1, s), (0, p), ceil_mode, count_include_pad)
    return out.squeeze(-2)


def avg_pool3d(
    input: Tensor,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ``input`` (N, C, D, H, W) or (C, D, H, W), floating.  Arguments as in ``avg_pool2d``.

    >>> avg_pool3d(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), (1, 2, 2)).numpy()
    array([[[[3.]]]], dtype=float32)
    """
    kernel, step, before, _, out = _pooling("avg_pool3d", input, kernel_size, stride, padding, 1, ceil_mode, 3)
    if divisor_override == 0:
        raise RuntimeError("avg_pool3d: divisor_override must not be 0")
    if input.dtype is dtypes.int64:
        return integer_mean(input, out, kernel, step, before, count_include_pad, divisor_override)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"avg_pool3d: expected a floating or int64 input, got {input.dtype.name}")
    divisors: tuple = (None,) * 3
    if divisor_override is not None:
        divisors = (index(divisor_override), 1, 1)
    lines = tuple(
        ("mean", n, o, k, s, p, bool(count_include_pad), divisor)
        for n, o, k, s, p, divisor in zip(input.shape[-3:], out, kernel, step, before, divisors, strict=True)
    )
    return apply(RESAMPLE, input, first=-3, lines=lines, transposed=False)


def _outputs(op, input, output_size, spatial):
    """The sizes asked for; None keeps the input's."""
    if input.ndim not in (spatial + 1, spatial + 2) or 0 in input.shape[-spatial:]:
        raise RuntimeError(
            f"{op}: expected an input of {spatial + 1} or {spatial + 2} dimensions with places, got {input.shape}"
        )
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * spatial
    if len(given) == 1:
        given *= spatial
    if len(given) != spatial:
        raise RuntimeError(f"{op}: output_size must be an int or {spatial}, got {output_size!r}")
    filled = tuple(n if o is None and spatial > 1 else o for o, n in zip(given, input.shape[-spatial:], strict=True))
    sizes = _numbers(op, "output_size", filled, spatial)
    if min(sizes) < 0:
        raise RuntimeError(f"{op}: output_size must not be negative, got {output_size!r}")
    return sizes


def adaptive_avg_pool1d(input: Tensor, output_size: int | tuple[int]) -> Tensor:
    """``input`` (N, C, L) or (C, L), floating, averaged to length ``output_size``.

    >>> adaptive_avg_pool1d(Tensor([[1.0, 2.0, 3.0]]), 2).numpy()
    array([[1.5, 2.5]], dtype=float32)
    """
    (size,) = _outputs("adaptive_avg_pool1d", input, output_size, 1)
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, size)).squeeze(-2)


def adaptive_avg_pool3d(input: Tensor, output_size: int | tuple[int | None, int | None, int | None]) -> Tensor:
    """``input`` (N, C, D, H, W) or (C, D, H, W), floating, averaged to ``output_size``; None keeps a size.

    >>> adaptive_avg_pool3d(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), 1).numpy()
    array([[[[3.]]]], dtype=float32)
    """
    sizes = _outputs("adaptive_avg_pool3d", input, output_size, 3)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"adaptive_avg_pool3d: expected a floating or int64 input, got {input.dtype.name}")
    if sizes == (1, 1, 1):
        return mean(input, (-3, -2, -1), keepdim=True)
    lines = tuple(("adaptive", n, o) for n, o in zip(input.shape[-3:], sizes, strict=True))
    return apply(RESAMPLE, input, first=-3, lines=lines, transposed=False)


def adaptive_mean(input: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Adaptive average pooling of as many dimensions as there are sizes.

    >>> adaptive_mean(Tensor([[1.0, 2.0, 3.0]]), (1,)).numpy()
    array([[2.]], dtype=float32)
    """
    pools: Any = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
    return pools[len(sizes) - 1](input, sizes)


def max_pool1d(
    input: Tensor,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window of ``input`` (N, C, L) or (C, L), and its place if ``return_indices``; see ``max_pool2d``.

    >>> max_pool1d(Tensor([[1.0, 5.0, 2.0]]), 2, stride=1).numpy()
    array([[5., 5.]], dtype=float32)
    """
    given = _pooling("max_pool1d", input, kernel_size, stride, padding, dilation, ceil_mode, 1)
    (k,), (s,), (p,), (d,), _ = given
    image = input.unsqueeze(-2)
    out, places = max_pool2d(image, (1, k), (1, s), (0, p), (1, d), ceil_mode, True)
    return (out.squeeze(-2), places.squeeze(-2)) if return_indices else out.squeeze(-2)


def max_pool3d(
    input: Tensor,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    dilation: int | tuple[int, int, int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window of ``input`` (N, C, D, H, W) or (C, D, H, W); see ``max_pool2d``.

    With ``return_indices`` also the place of each maximum in its volume, d * H * W + h * W + w.

    >>> max_pool3d(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), (1, 2, 2)).numpy()
    array([[[[6.]]]], dtype=float32)
    """
    given = _pooling("max_pool3d", input, kernel_size, stride, padding, dilation, ceil_mode, 3)
    kernel, step, before, apart, size = given
    depth, high, wide = input.shape[-3:]
    front = input.shape[:-3]
    count = prod(front)
    planes = input.reshape(count, depth, high, wide)
    flat, inner = max_pool2d(planes, kernel[1:], step[1:], before[1:], apart[1:], ceil_mode, True)
    across = size[1] * size[2]
    columns = flat.reshape(count, 1, depth, across)
    along = (kernel[0], 1), (step[0], 1), (before[0], 0), (apart[0], 1)
    out, outer = max_pool2d(columns, *along, ceil_mode, True)
    out = out.reshape(*front, *size)
    if not return_indices:
        return out
    chosen = outer.reshape(count, size[0] * across)
    within = gather(inner.reshape(count, depth * across), 1, where(chosen < 0, 0, chosen))
    places = chosen // across * (high * wide) + within
    places = where((chosen < 0) | (within < 0), -1, places)
    return out, places.reshape(*front, *size)


def _adaptive_max(op, input, output_size, return_indices, spatial):
    sizes = _outputs(op, input, output_size, spatial)
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{op}: expected an input of numbers, got bool")
    if 0 in sizes:
        raise RuntimeError(f"{op}: expected output sizes of at least 1, got {sizes}")
    pool = (max_pool1d, max_pool2d, max_pool3d)[spatial - 1]
    shape = input.shape[-spatial:]
    if all(n % o == 0 for n, o in zip(shape, sizes, strict=True)):
        window_size = tuple(n // o for n, o in zip(shape, sizes, strict=True))
        return pool(input, window_size, return_indices=return_indices)
    # windows of one length, one after the other: a window's last element stands in for those it lacks
    lines = tuple(("windows", n, o) for n, o in zip(shape, sizes, strict=True))
    spread = apply(RESAMPLE, input, first=-spatial, lines=lines, transposed=False)
    lengths = tuple(int(max(np.subtract(*bounds(n, o)[::-1]))) for n, o in zip(shape, sizes, strict=True))
    out, places = pool(spread, lengths, return_indices=True)
    if not return_indices:
        return out
    total, step, rest = None, 1, places
    for line, n, wide in zip(reversed(lines), reversed(shape), reversed(spread.shape[-spatial:]), strict=True):
        source = tensor(table(line, False)[0][:, 0].astype(np.int64), device=input.device)
        part = source[rest - rest // wide * wide] * step
        total = part if total is None else total + part
        rest, step = rest // wide, step * n
    return out, total


def adaptive_max_pool1d(
    input: Tensor, output_size: int | tuple[int], return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The maxima of ``output_size`` windows that divide ``input`` (N, C, L) or (C, L) evenly, and their places if asked for.

    >>> adaptive_max_pool1d(Tensor([[1.0, 3.0, 2.0]]), 2).numpy()
    array([[3., 3.]], dtype=float32)
    """
    return _adaptive_max("adaptive_max_pool1d", input, output_size, return_indices, 1)


def adaptive_max_pool2d(
    input: Tensor, output_size: int | tuple[int | None, int | None], return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The maxima of the windows that divide ``input`` (N, C, H, W) or (C, H, W) evenly, and their places if asked for.

    >>> adaptive_max_pool2d(Tensor([[[1.0, 3.0, 2.0]]]), (1, 2)).numpy()
    array([[[3., 3.]]], dtype=float32)
    """
    return _adaptive_max("adaptive_max_pool2d", input, output_size, return_indices, 2)


def adaptive_max_pool3d(
    input: Tensor, output_size: int | tuple[int | None, int | None, int | None], return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The maxima of the windows that divide ``input`` (N, C, D, H, W) or (C, D, H, W) evenly, and their places if asked for.

    >>> adaptive_max_pool3d(Tensor([[[[1.0, 3.0, 2.0]]]]), 1).numpy()
    array([[[[3.]]]], dtype=float32)
    """
    return _adaptive_max("adaptive_max_pool3d", input, output_size, return_indices, 3)


def _power_average(pool, input, norm_type, kernel_size, stride, ceil_mode, spatial):
    number = float(norm_type)
    count = prod(_numbers("lp_pool", "kernel_size", kernel_size, spatial))
    out = pool(input**number, kernel_size, stride, 0, ceil_mode)
    return (sign(out) * relu(abs(out)) * count) ** (1 / number)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The ``norm_type``-th root of the sum of each window's powers; see ``lp_pool2d``.

    >>> lp_pool1d(Tensor([[3.0, 4.0]]), 2, 2).numpy()
    array([[5.]], dtype=float32)
    """
    return _power_average(avg_pool1d, input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """``(sum of x ** p) ** (1 / p)`` over each window of ``input`` (N, C, H, W) or (C, H, W), with p = ``norm_type``.

    >>> lp_pool2d(Tensor([[[3.0, 4.0]]]), 2, (1, 2)).numpy()
    array([[[5.]]], dtype=float32)
    """
    return _power_average(avg_pool2d, input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The ``norm_type``-th root of the sum of each window's powers; see ``lp_pool2d``.

    >>> lp_pool3d(Tensor([[[[3.0, 4.0]]]]), 2, (1, 1, 2)).numpy()
    array([[[[5.]]]], dtype=float32)
    """
    return _power_average(avg_pool3d, input, norm_type, kernel_size, stride, ceil_mode, 3)


def _unpool(op, input, indices, kernel_size, stride, padding, output_size, spatial):
    kernel = _numbers(op, "kernel_size", kernel_size, spatial)
    step = kernel if stride is None or stride == () else _numbers(op, "stride", stride, spatial)
    before = _numbers(op, "padding", padding, spatial)
    if input.ndim not in (spatial + 1, spatial + 2):
        raise RuntimeError(f"{op}: expected an input of {spatial + 1} or {spatial + 2} dimensions, got {input.shape}")
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"{op}: expected indices of int64, got {indices.dtype.name}")
    if indices.shape != input.shape:
        raise RuntimeError(f"{op}: expected indices of shape {input.shape}, got {indices.shape}")
    least = tuple(
        (n - 1) * s - 2 * p + k for n, s, p, k in zip(input.shape[-spatial:], step, before, kernel, strict=True)
    )
    size = least
    if output_size is not None:
        if len(output_size) not in (spatial, spatial + 1, spatial + 2):
            raise ValueError(f"{op}: output_size must have {spatial} or {input.ndim} numbers, got {output_size!r}")
        size = tuple(index(n) for n in tuple(output_size)[-spatial:])
        if not all(m - s < n < m + s for n, m, s in zip(size, least, step, strict=True)):
            raise ValueError(f"{op}: output_size {size} must be less than stride {step} away from {least}")
    front = input.shape[:-spatial]
    places = indices.reshape(*front, -1)
    zeros = input.new_zeros((*front, prod(size)))
    return scatter(zeros, -1, places, input.reshape(*front, -1)).reshape(*front, *size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """Each value of ``input`` (N, C, L) or (C, L) at its place in a longer signal of zeros; see ``max_unpool2d``.

    >>> max_unpool1d(Tensor([[5.0]]), tensor([[1]]), 2).numpy()
    array([[0., 5.]], dtype=float32)
    """
    return _unpool("max_unpool1d", input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """Each value of ``input`` at the place that ``max_pool2d`` took it from, ``indices`` (int64, alike), among zeros.

    ``output_size`` settles which of the sizes that pool to this one is meant.  Where windows overlap and took one value
    twice, it stands there once.  Raises RuntimeError for indices that do not fit, ValueError for a wrong size.

    >>> max_unpool2d(Tensor([[[5.0]]]), tensor([[[1]]]), (1, 2)).numpy()
    array([[[0., 5.]]], dtype=float32)
    """
    return _unpool("max_unpool2d", input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """Each value of ``input`` at its place in a larger volume of zeros; see ``max_unpool2d``.

    >>> max_unpool3d(Tensor([[[[5.0]]]]), tensor([[[[1]]]]), (1, 1, 2)).numpy()
    array([[[[0., 5.]]]], dtype=float32)
    """
    return _unpool("max_unpool3d", input, indices, kernel_size, stride, padding, output_size, 3)
