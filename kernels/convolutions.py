"""Convolutions over signals and volumes, by those over images.

One dimension is an image of one row.  In three dimensions the depth taps of a window become channels:

    out[n, k, z, p] = sum over c, i, r of input[n, c, z * stride - padding + i * dilation, ...] * weight[k, c, i, r]
                    = conv2d of (n, z) images of C * KD channels (c, i) with weight[k, (c, i), r]

and the transposed convolution spreads such channels over the depths they came from (``resample``, line "taps").
"""

from operator import index

from ..autograd import Tensor, apply, autocast_inputs
from ..framework import dtypes
from .conv2d import CONV2D, check_groups, conv2d
from .conv_transpose2d import CONV_TRANSPOSE2D, conv_transpose2d
from .resample import RESAMPLE


def _numbers(op, name, value, count, least):
    """``value``, an int or a sequence of one or ``count``, as ``count`` ints of at least ``least``."""
    try:
        parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(v, bool) for v in parts):
            raise TypeError
        ints = tuple(index(v) for v in parts)
    except TypeError:
        raise TypeError(f"{op}: expected {name} to be an int or {count} ints, got {value!r}") from None
    if len(ints) not in (1, count) or min(ints) < least:
        raise RuntimeError(f"{op}: expected {name} to be an int or {count} ints of at least {least}, got {value!r}")
    return ints * count if len(ints) == 1 else ints


def _check(op, input, weight, bias, groups, spatial, transposed):
    """Raise TypeError for what is no tensor, RuntimeError for ranks, dtypes, channels and sizes that do not fit."""
    given = [("input", input), ("weight", weight)] + ([] if bias is None else [("bias", bias)])
    for name, x in given:
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}: expected {name} to be a Tensor, got {type(x).__name__}")
    axes = "L" if spatial == 1 else "D, H, W"
    if weight.ndim != spatial + 2:
        raise RuntimeError(f"{op}: expected a weight of {spatial + 2} dimensions, got {weight.shape}")
    if input.ndim not in (spatial + 1, spatial + 2):
        raise RuntimeError(f"{op}: expected input (N, C, {axes}) or (C, {axes}), got {input.shape}")
    if any(x.dtype is not input.dtype for _, x in given):
        raise RuntimeError(f"{op}: expected one dtype, got {', '.join(f'{n} {x.dtype.name}' for n, x in given)}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{op}: bool has no convolution; use .to() first")
    if 0 in weight.shape[2:] or not weight.shape[0]:
        raise RuntimeError(f"{op}: expected a weight with at least one channel and tap, got {weight.shape}")
    if 0 in input.shape[-spatial:]:
        raise RuntimeError(f"{op}: expected an input of at least one place, got {input.shape}")
    check_groups(op, groups, weight)
    channels = input.shape[-spatial - 1]
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != wanted:
        raise RuntimeError(
            f"{op}: weight {weight.shape} with groups={groups} expects {wanted} input channels, input {input.shape} has "
            f"{channels}"
        )
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (out,):
        raise RuntimeError(f"{op}: weight {weight.shape} expects a bias of shape {(out,)}, got {bias.shape}")


def _padding(op, padding, input, weight, stride, dilation):
    """What is put before each dimension, and the output's sizes."""
    spatial = len(stride)
    taps, size = weight.shape[2:], input.shape[-spatial:]
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError(f"{op}: padding='same' needs stride 1, got {stride}")
        return tuple(d * (t - 1) // 2 for d, t in zip(dilation, taps, strict=True)), size
    if isinstance(padding, str) and padding != "valid":
        raise RuntimeError(f"{op}: expected padding to be an int, {spatial} ints, 'same' or 'valid', got {padding!r}")
    before = (0,) * spatial if padding == "valid" else _numbers(op, "padding", padding, spatial, 0)
    reach = tuple(d * (t - 1) + 1 for d, t in zip(dilation, taps, strict=True))
    padded = tuple(n + 2 * p for n, p in zip(size, before, strict=True))
    if any(r > n for r, n in zip(reach, padded, strict=True)):
        raise RuntimeError(
            f"{op}: weight {weight.shape} with dilation {dilation} spans {reach}, more than the padded input's {padded}"
        )
    return before, tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, stride, strict=True))


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] | str = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slide ``weight`` (K, C/groups, R) over ``input`` (N, C, L) or (C, L); ``bias`` is (K) or None.  See ``conv2d``.

    >>> conv1d(Tensor([[[1.0, 2.0, 3.0]]]), Tensor([[[1.0, 10.0]]])).numpy()
    array([[[21., 32.]]], dtype=float32)
    """
    input, weight, bias = autocast_inputs(CONV2D, input, weight, bias)
    _check("conv1d", input, weight, bias, groups, 1, False)
    (step,) = stride1 = _numbers("conv1d", "stride", stride, 1, 1)
    (apart,) = dilation1 = _numbers("conv1d", "dilation", dilation, 1, 1)
    (before,), _ = _padding("conv1d", padding, input, weight, stride1, dilation1)
    how = padding if isinstance(padding, str) else (0, before)
    out = conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, step), how, (1, apart), groups)
    return out.squeeze(-2)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
) -> Tensor:
    """Spread ``input`` (N, K, L) or (K, L) by ``weight`` (K, C/groups, R); ``bias`` is (C) or None.  See ``conv_transpose2d``.

    >>> conv_transpose1d(Tensor([[[1.0, 2.0]]]), Tensor([[[1.0, 10.0]]]), stride=2).numpy()
    array([[[ 1., 10.,  2., 20.]]], dtype=float32)
    """
    name = "conv_transpose1d"
    input, weight, bias = autocast_inputs(CONV_TRANSPOSE2D, input, weight, bias)
    _check(name, input, weight, bias, groups, 1, True)
    stride1, dilation1, before, after, _ = _spread(name, input, weight, stride, padding, output_padding, dilation, 1)
    out = conv_transpose2d(
        input.unsqueeze(-2),
        weight.unsqueeze(-2),
        bias,
        (1, *stride1),
        (0, *before),
        (0, *after),
        groups,
        (1, *dilation1),
    )
    return out.squeeze(-2)


def _spread(op, input, weight, stride, padding, output_padding, dilation, spatial):
    """Checked stride, dilation, padding, output_padding and the output's sizes of a transposed convolution."""
    steps = _numbers(op, "stride", stride, spatial, 1)
    apart = _numbers(op, "dilation", dilation, spatial, 1)
    before = _numbers(op, "padding", padding, spatial, 0)
    after = _numbers(op, "output_padding", output_padding, spatial, 0)
    if any(o >= max(s, d) for o, s, d in zip(after, steps, apart, strict=True)):
        raise RuntimeError(f"{op}: output_padding {after} must be less than stride {steps} or dilation {apart}")
    size = tuple(
        (n - 1) * s - 2 * p + d * (t - 1) + o + 1
        for n, s, p, d, t, o in zip(input.shape[-spatial:], steps, before, apart, weight.shape[2:], after, strict=True)
    )
    if min(size) < 0:
        raise RuntimeError(
            f"{op}: padding {before} leaves an output of {size} for input {input.shape}, weight {weight.shape}"
        )
    return steps, apart, before, after, size


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int, int] = 1,
    padding: int | tuple[int, int, int] | str = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slide ``weight`` (K, C/groups, T, R, S) over ``input`` (N, C, D, H, W) or (C, D, H, W); ``bias`` is (K) or None.

    Arguments and what is raised as in ``conv2d``.

    >>> conv3d(Tensor([[[[[1.0]], [[2.0]], [[3.0]]]]]), Tensor([[[[[1.0]], [[10.0]]]]])).numpy().ravel()
    array([21., 32.], dtype=float32)
    """
    input, weight, bias = autocast_inputs(CONV2D, input, weight, bias)
    _check("conv3d", input, weight, bias, groups, 3, False)
    if input.ndim == 4:
        return conv3d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    steps = _numbers("conv3d", "stride", stride, 3, 1)
    apart = _numbers("conv3d", "dilation", dilation, 3, 1)
    before, size = _padding("conv3d", padding, input, weight, steps, apart)
    n, channels, depth, high, wide = input.shape
    taps = weight.shape[2]
    if taps == 1 and steps[0] == 1 and not before[0]:
        images = input.permute(0, 2, 1, 3, 4).reshape(n * depth, channels, high, wide)
    else:
        line = ("taps", depth, size[0], taps, steps[0], before[0], apart[0])
        spread = apply(RESAMPLE, input, first=-3, lines=(line,), transposed=False)
        spread = spread.reshape(n, channels, taps, size[0], high, wide).permute(0, 3, 1, 2, 4, 5)
        images = spread.reshape(n * size[0], channels * taps, high, wide)
    kernel = weight.reshape(weight.shape[0], -1, *weight.shape[3:])
    how = padding if isinstance(padding, str) else before[1:]
    out = conv2d(images, kernel, bias, steps[1:], how, apart[1:], groups)
    return out.reshape(n, size[0], *out.shape[1:]).permute(0, 2, 1, 3, 4).contiguous()


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int, int] = 1,
    padding: int | tuple[int, int, int] = 0,
    output_padding: int | tuple[int, int, int] = 0,
    groups: int = 1,
    dilation: int | tuple[int, int, int] = 1,
) -> Tensor:
    """Spread ``input`` (N, K, D, H, W) or (K, D, H, W) by ``weight`` (K, C/groups, T, R, S); ``bias`` is (C) or None.

    Arguments and what is raised as in ``conv_transpose2d``.

    >>> conv_transpose3d(Tensor([[[[[2.0]]]]]), Tensor([[[[[1.0]], [[10.0]]]]])).numpy().ravel()
    array([ 2., 20.], dtype=float32)
    """
    name = "conv_transpose3d"
    input, weight, bias = autocast_inputs(CONV_TRANSPOSE2D, input, weight, bias)
    _check(name, input, weight, bias, groups, 3, True)
    if input.ndim == 4:
        return conv_transpose3d(
            input.unsqueeze(0), weight, bias, stride, padding, output_padding, groups, dilation
        ).squeeze(0)
    steps, apart, before, after, size = _spread(name, input, weight, stride, padding, output_padding, dilation, 3)
    n, channels, depth, high, wide = input.shape
    taps = weight.shape[2]
    images = input.permute(0, 2, 1, 3, 4).reshape(n * depth, channels, high, wide)
    kernel = weight.reshape(weight.shape[0], -1, *weight.shape[3:])
    out = conv_transpose2d(images, kernel, None, steps[1:], before[1:], after[1:], groups, apart[1:])
    made = weight.shape[1] * groups
    out = out.reshape(n, depth, made, taps, *size[1:]).permute(0, 2, 3, 1, 4, 5)
    line = ("taps", size[0], depth, taps, steps[0], before[0], apart[0])
    out = apply(RESAMPLE, out.reshape(n, made, taps * depth, *size[1:]), first=-3, lines=(line,), transposed=True)
    return out if bias is None else out + bias.reshape(-1, 1, 1, 1)
