"""The mean of each window of an image.

    out[o]           = sum of input over window o / divisor[o]
    grad_input[h, w] = sum of grad[o] / divisor[o] over the windows o that hold (h, w)

The divisor is the number of places in the window, with or without those in the padding, unless one is given.  Places
beyond the padding (in the last windows of ``ceil_mode``) never count.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes, window
from ..framework.language import cdiv, jit, tl
from ..framework.launch import launch
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.window import elements, pixel
from .resample import integer_mean


def avg_pool2d(
    input: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ``input`` (N, C, H, W) or (C, H, W), floating.

    ``stride`` is ``kernel_size`` by default; sums are divided by ``divisor_override`` where it is given.  Raises
    RuntimeError for arguments that do not fit the input or each other, TypeError for those of wrong types.

    >>> avg_pool2d(Tensor([[[1.0, 5.0, 2.0], [3.0, 7.0, 6.0]]]), 2, stride=1).numpy()
    array([[[4., 5.]]], dtype=float32)
    """
    settings = window.pooling("avg_pool2d", input.shape, kernel_size, stride, padding, 1, ceil_mode)
    del settings["dilation"]
    if not input.dtype.is_floating_point and input.dtype is not dtypes.int64:
        raise RuntimeError(f"avg_pool2d: expected a floating or int64 input, got {input.dtype.name}")
    if not isinstance(count_include_pad, (bool, np.bool_)):
        raise TypeError(f"avg_pool2d: count_include_pad must be a bool, got {count_include_pad!r}")
    if divisor_override is not None:
        if isinstance(divisor_override, bool) or not isinstance(divisor_override, (int, np.integer)):
            raise TypeError(f"avg_pool2d: divisor_override must be an int or None, got {divisor_override!r}")
        if divisor_override == 0:
            raise RuntimeError("avg_pool2d: divisor_override must not be 0")
        divisor_override = int(divisor_override)
    if input.dtype is dtypes.int64:
        kernel, step, before = settings["kernel_size"], settings["stride"], settings["padding"]
        size = window.sizes(input.shape, kernel, step, before, (1, 1), settings["ceil_mode"])
        return integer_mean(input, size, kernel, step, before, bool(count_include_pad), divisor_override)
    return apply(
        AVG_POOL2D, input, **settings, count_include_pad=bool(count_include_pad), divisor_override=divisor_override
    )


def _divisors(size, out, kernel_size, stride, padding, count_include_pad, divisor_override):
    """What the sum of each window is divided by: a number or (OH, OW)."""
    if divisor_override is not None:
        return divisor_override
    counts = []
    for n, o, k, s, p in zip(size, out, kernel_size, stride, padding, strict=True):
        begin = np.arange(o) * s - p
        end = np.minimum(begin + k, n + p)
        counts.append(end - begin if count_include_pad else np.minimum(end, n) - np.maximum(begin, 0))
    return counts[0][:, None] * counts[1]


def forward_numpy(input, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    kind = input.dtype
    x = input.astype(np.float32) if kind in dtypes.HALF else input
    size = x.shape[-2:]
    out = window.sizes(x.shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    sums = x
    for axis in (-1, -2):  # along each row, then along each column
        taps = window.taps(size[axis], out[axis], kernel_size[axis], stride[axis], padding[axis], 1)
        shape = (*x.shape[:-2], size[0], out[1]) if axis == -1 else (*x.shape[:-2], *out)
        sums = _folded(sums, window.empty(x, shape), axis, taps)
    sums /= np.asarray(_divisors(size, out, kernel_size, stride, padding, count_include_pad, divisor_override), x.dtype)
    return sums.astype(kind, copy=False)


def _folded(values, out, axis, taps):
    """Add up, for each window along one axis, what its taps read."""
    behind = (slice(None),) * (-axis - 1)
    begun = False
    for to, at in taps:
        part = values[(..., at, *behind)]
        if begun:
            out[(..., to, *behind)] += part
        elif to == slice(0, out.shape[axis]):
            np.copyto(out, part)
        else:
            out.fill(0)
            out[(..., to, *behind)] = part
        begun = True
    return out


def backward_numpy(grad, *, size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    kind = grad.dtype
    g = grad.astype(np.float32) if kind in dtypes.HALF else grad
    out = g.shape[-2:]
    g = g / np.asarray(_divisors(size, out, kernel_size, stride, padding, count_include_pad, divisor_override), g.dtype)
    for axis in (-2, -1):
        taps = window.taps(size[axis], out[axis], kernel_size[axis], stride[axis], padding[axis], 1)
        shape = (*g.shape[:-2], size[0], out[1]) if axis == -2 else (*g.shape[:-2], *size)
        spread = window.empty(grad, shape, g.dtype)
        spread.fill(0)
        behind = (slice(None),) * (-axis - 1)
        for at, to in taps:
            spread[(..., to, *behind)] += g[(..., at, *behind)]
        g = spread
    return g.astype(kind, copy=False)


@jit
def _divisor(
    oh,
    ow,
    H,
    W,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    COUNT_PADDING: tl.constexpr,
):
    """The number of places of windows."""
    top = oh * SH - PH
    left = ow * SW - PW
    bottom = tl.minimum(top + KH, H + PH)
    right = tl.minimum(left + KW, W + PW)
    if not COUNT_PADDING:
        top = tl.maximum(top, 0)
        left = tl.maximum(left, 0)
        bottom = tl.minimum(bottom, H)
        right = tl.minimum(right, W)
    return (bottom - top) * (right - left)


@jit
def _forward(
    out_ptr,
    in_ptr,
    size,
    divisor,
    number,
    C,
    H,
    W,
    OH,
    OW,
    strides,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    COUNT_PADDING: tl.constexpr,
    UNROLL: tl.constexpr,
    LAST: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in (N, C, H, W), any strides · out (N, C, OH, OW), row-major or channels-last, of ``size`` groups of VECTOR
    # one program per BLOCK windows
    element, n, c, oh, ow = elements(C, OH, OW, LAST, VECTOR, WIDE, BLOCK)
    here = element < tl.cast(size, element.dtype) * VECTOR
    total = tl.zeros((BLOCK // VECTOR, VECTOR), number.dtype)
    for tap in tl.range(0, KH * KW, loop_unroll_factor=UNROLL):
        h = oh * SH - PH + tap // KW
        w = ow * SW - PW + tap % KW
        inside = here & ((h >= 0) & (h < H) & (w >= 0) & (w < W))
        value = tl.load(in_ptr + pixel(n, c, h, w, strides[0], VECTOR), mask=inside, other=0.0)
        total += value.to(number.dtype)
    if divisor is None:
        total = total / _divisor(oh, ow, H, W, KH, KW, SH, SW, PH, PW, COUNT_PADDING).to(number.dtype)
    else:
        total = total / divisor
    tl.store(out_ptr + element, total.to(out_ptr.dtype.element_ty), mask=here)


@jit
def _backward(
    out_ptr,
    grad_ptr,
    size,
    divisor,
    number,
    C,
    H,
    W,
    OH,
    OW,
    strides,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    COUNT_PADDING: tl.constexpr,
    UNROLL: tl.constexpr,
    LAST: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # grad (N, C, OH, OW), any strides · out (N, C, H, W), row-major or channels-last, of ``size`` groups of VECTOR
    # one program per BLOCK pixels; each collects from the windows that it lies in
    MOST_H: tl.constexpr = (KH - 1 + SH) // SH  # windows along one axis that a pixel may lie in
    MOST_W: tl.constexpr = (KW - 1 + SW) // SW
    element, n, c, h, w = elements(C, H, W, LAST, VECTOR, WIDE, BLOCK)
    here = element < tl.cast(size, element.dtype) * VECTOR
    total = tl.zeros((BLOCK // VECTOR, VECTOR), number.dtype)
    for i in tl.range(0, MOST_H * MOST_W, loop_unroll_factor=UNROLL):
        oh = (h + PH) // SH - i // MOST_W
        ow = (w + PW) // SW - i % MOST_W
        inside = (oh >= 0) & (oh < OH) & (ow >= 0) & (ow < OW) & (h + PH < oh * SH + KH) & (w + PW < ow * SW + KW)
        value = tl.load(grad_ptr + pixel(n, c, oh, ow, strides[0], VECTOR), mask=here & inside, other=0.0)
        if divisor is None:
            count = _divisor(oh, ow, H, W, KH, KW, SH, SW, PH, PW, COUNT_PADDING)
            total += value.to(number.dtype) / tl.where(inside, count, 1).to(number.dtype)
        else:
            total += value.to(number.dtype) / divisor
    tl.store(out_ptr + element, total.to(out_ptr.dtype.element_ty), mask=here)


def _run(kernel, array, shape, image, windows, kernel_size, stride, padding, count_include_pad, divisor_override):
    out = window.empty(array, shape)
    work = np.dtype(np.float32) if array.dtype in dtypes.HALF else array.dtype
    divisor = None if divisor_override is None else work.type(divisor_override)
    source = window.batched(array)
    names = ("KH", "KW", "SH", "SW", "PH", "PW")
    strides, constants, channels = window.walk(out, (source,))
    block = max(array.backend.block_size(out.size), constants["VECTOR"])
    # one program per BLOCK elements of out
    launch(
        kernel,
        (cdiv(out.size, block),),
        out,
        source,
        out.size // constants["VECTOR"],
        divisor,
        work.type(0),
        channels,
        *image,
        *windows,
        strides,
        **dict(zip(names, (*kernel_size, *stride, *padding), strict=True)),
        COUNT_PADDING=count_include_pad,
        UNROLL=min(kernel_size[0] * kernel_size[1], 9) if kernel is _forward else 4,
        BLOCK=block,
        **constants,
    )
    return out


def forward_triton(input, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    windows = window.sizes(input.shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    return _run(
        _forward,
        input,
        (*input.shape[:-2], *windows),
        input.shape[-2:],
        windows,
        kernel_size,
        stride,
        padding,
        count_include_pad,
        divisor_override,
    )


def backward_triton(grad, *, size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    return _run(
        _backward,
        grad,
        (*grad.shape[:-2], *size),
        size,
        grad.shape[-2:],
        kernel_size,
        stride,
        padding,
        count_include_pad,
        divisor_override,
    )


def _settings(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    def two(v):
        return v if isinstance(v, tuple) else (v, v)

    return {
        "kernel_size": two(kernel_size),
        "stride": two(kernel_size if stride is None else stride),
        "padding": two(padding),
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
        "divisor_override": divisor_override,
    }


def samples(rng):
    x = np.array([[[1.0, 5.0, 2.0], [3.0, 7.0, 6.0]]])
    yield Sample("worked", (x,), _settings(2, 1), answers=([[[4.0, 5.0]]], [[[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]]))
    yield Sample(
        "padding counts", (x,), _settings(2, 2, 1), answers=([[[0.25, 1.75], [0.75, 3.25]]], [[[0.25] * 3, [0.25] * 3]])
    )
    yield Sample(
        "padding does not count",
        (x,),
        _settings(2, 2, 1, count_include_pad=False),
        answers=([[[1.0, 3.5], [3.0, 6.5]]], [[[1.0, 0.5, 0.5], [1.0, 0.5, 0.5]]]),
    )
    yield Sample(
        "divisor",
        (x,),
        _settings(2, 1, divisor_override=-2),
        answers=([[[-8.0, -10.0]]], [[[-0.5, -1.0, -0.5], [-0.5, -1.0, -0.5]]]),
    )
    yield Sample(
        "over the border",
        (x,),
        _settings(2, ceil_mode=True),
        answers=([[[4.0, 4.0]]], [[[0.25, 0.25, 0.5], [0.25, 0.25, 0.5]]]),
    )
    for shape, settings in [
        ((2, 3, 6, 8), _settings(2)),
        ((2, 2, 7, 5), _settings(3, 2, 1)),
        ((1, 2, 9, 8), _settings((2, 3), (3, 1), (1, 0))),
        ((2, 7, 5), _settings(3, 2, 1, ceil_mode=True)),
        ((2, 1, 5, 5), _settings(3, 2, 1, True, False)),
        ((1, 2, 4, 4), _settings(3, 1, 1, divisor_override=5)),
        ((0, 2, 4, 4), _settings(2)),
        ((2, 1, 3, 5), _settings(1, 2)),
    ]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),), settings, terms=9)
    yield Sample("channels last", (rng.normal(size=(2, 5, 6, 3)).transpose(0, 3, 1, 2),), _settings(3, 2, 1), terms=9)
    yield Sample("strided", (rng.normal(size=(5, 6, 3, 4)).T[:, :, ::-1, ::2],), _settings(2, 1), terms=4)
    yield Sample("larger", (rng.normal(size=(1, 3, 24, 24)),), _settings(2), terms=4, dtypes=("float64", "float32"))

    image = np.zeros((1, 3, 6, 6))
    yield Sample(
        "two dimensions",
        (np.zeros((6, 6)),),
        {"kernel_size": 2},
        raises=(
            RuntimeError,
            "avg_pool2d: expected an input of shape (N, C, H, W) or (C, H, W), where only N may be 0, got (6, 6)",
        ),
    )
    yield Sample(
        "too much padding",
        (image,),
        {"kernel_size": 3, "padding": 2},
        raises=(
            RuntimeError,
            "avg_pool2d: padding must be between 0 and half of kernel_size, got padding (2, 2) with kernel_size (3, 3)",
        ),
    )
    yield Sample(
        "divisor 0",
        (image,),
        {"kernel_size": 2, "divisor_override": 0},
        raises=(RuntimeError, "avg_pool2d: divisor_override must not be 0"),
    )
    yield Sample(
        "divisor 1.5",
        (image,),
        {"kernel_size": 2, "divisor_override": 1.5},
        raises=(TypeError, "avg_pool2d: divisor_override must be an int or None, got 1.5"),
    )
    yield Sample(
        "count_include_pad",
        (image,),
        {"kernel_size": 2, "count_include_pad": "no"},
        raises=(TypeError, "avg_pool2d: count_include_pad must be a bool, got 'no'"),
    )
    yield Sample(
        "integers",
        (np.zeros((1, 2, 2), np.int32),),
        {"kernel_size": 2},
        dtypes=(),
        raises=(RuntimeError, "avg_pool2d: expected a floating or int64 input, got int32"),
    )


def _without_size(call):
    return {name: value for name, value in call.settings.items() if name != "size"}


AVG_POOL2D = register(
    Op(
        name="avg_pool2d",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="avg_pool2d_backward",
                settings=lambda call: {"size": call.shape("input")[-2:], **call.settings},
            ),
        ),
        samples=samples,
        function=avg_pool2d,
    )
)

register(
    Op(
        name="avg_pool2d_backward",  # takes ceil_mode for its own gradient's sake: its windows are those of grad
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(Grad(of=("grad",), keeps=(), op="avg_pool2d", settings=_without_size),),
    )
)
