"""The largest value of each window of an image, and where it stands.

    out[o]     = max over taps i of input[o * stride - padding + i * dilation]      (both axes alike)
    index[o]   = h * W + w of that value within its H x W plane
    grad_input[h, w] = sum of grad[o] over the windows o whose index is h * W + w

The padding counts as -inf.  Of equal values the first in row-major order is taken; a NaN wins over every number, and
the last of several over the others, as in PyTorch.  A window whose taps all fall into the padding (dilation can do
that) holds -inf, has the index -1 and sends its gradient nowhere.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes, window
from ..framework.language import cdiv, jit, tl
from ..framework.launch import launch
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.window import elements, pixel, place_of


def max_pool2d(
    input: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window of ``input`` (N, C, H, W) or (C, H, W), any dtype but bool.

    ``stride`` is ``kernel_size`` by default; ``ceil_mode`` keeps a last window that reaches over the border.  With
    ``return_indices`` also the int64 places of the maxima in their planes.  Raises RuntimeError for arguments that do
    not fit the input or each other, TypeError for those that are no integers.

    >>> max_pool2d(Tensor([[[1.0, 5.0, 2.0], [3.0, 4.0, 6.0]]]), 2, stride=1).numpy()
    array([[[5., 6.]]], dtype=float32)
    """
    settings = window.pooling("max_pool2d", input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    if input.dtype is dtypes.bool_:
        raise RuntimeError("max_pool2d: expected an input of numbers, got bool")
    if not isinstance(return_indices, (bool, np.bool_)):
        raise TypeError(f"max_pool2d: return_indices must be a bool, got {return_indices!r}")
    out, indices = apply(MAX_POOL2D, input, **settings)
    return (out, indices) if return_indices else out


def _least(kind):
    """What is below every value of a dtype."""
    return -np.inf if dtypes.dtype_of(kind).is_floating_point else int(np.iinfo(kind).min)


def forward_numpy(input, *, kernel_size, stride, padding, dilation, ceil_mode):
    size = window.sizes(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    kind, half = input.dtype, input.dtype in dtypes.HALF
    x = input.astype(np.float32) if half else input
    out = window.empty(x, (*x.shape[:-2], *size))
    rows, columns = (
        list(window.taps(*one)) for one in zip(x.shape[-2:], size, kernel_size, stride, padding, dilation, strict=True)
    )
    out.fill(_least(x.dtype))
    taps = [((..., r[0], c[0]), x[..., r[1], c[1]]) for r in rows for c in columns]
    for where, values in taps:
        np.maximum(out[where], values, out=out[where])
    # taps are numbered from the end, so that the first one that equals the maximum has the highest number
    number = np.zeros_like(out, np.min_scalar_type(len(taps)))
    for code, (where, values) in enumerate(reversed(taps), 1):
        found = np.equal(values, out[where])
        np.maximum(number[where], np.multiply(found, number.dtype.type(code)), out=number[where])
    if x.dtype.kind == "f" and np.isnan(np.min(out, initial=0)):
        for code, (where, values) in zip(range(len(taps), 0, -1), taps, strict=True):
            np.copyto(number[where], number.dtype.type(code), where=np.isnan(values))
    width = x.shape[-1]
    steps = np.array(
        [0]
        + [
            i * dilation[0] * width + j * dilation[1]
            for i in reversed(range(kernel_size[0]))
            for j in reversed(range(kernel_size[1]))
        ]
    )
    corner = [np.arange(n) * s - p for n, s, p in zip(size, stride, padding, strict=True)]
    indices = np.take(steps, number)
    indices += corner[0][:, None] * width + corner[1]
    if not np.min(number, initial=1):  # windows without a tap inside
        indices[number == 0] = -1
    return out.astype(kind, copy=False), indices


def backward_numpy(grad, indices, *, size, kernel_size, stride, padding, dilation):
    plane = size[0] * size[1]
    shape = (*grad.shape[:-2], *size)
    images = int(np.prod(shape[:-2], dtype=np.int64))
    windows = grad.shape[-2] * grad.shape[-1]
    if np.min(indices, initial=0) < 0:
        grad, indices = np.where(indices < 0, grad.dtype.type(0), grad), np.maximum(indices, 0)
    places = (indices.reshape(images, windows) + np.arange(0, images * plane, plane)[:, None]).reshape(-1)
    apart = all(s > d * (k - 1) for s, d, k in zip(stride, dilation, kernel_size, strict=True))
    if apart and padding == (0, 0):  # no place is taken twice
        flat = np.zeros(images * plane, grad.dtype)
        flat[places] = grad.reshape(-1)
    else:
        flat = np.bincount(places, grad.reshape(-1).astype(np.float64), images * plane).astype(grad.dtype)
    out = flat.reshape(shape)
    if not window.channels_last(grad):
        return out
    moved = window.empty(grad, shape)
    moved[...] = out
    return moved


def gather_numpy(input, indices, *, size, kernel_size, stride, padding, dilation):
    flat = input.reshape(*input.shape[:-2], size[0] * size[1])
    windows = indices.shape[-2] * indices.shape[-1]
    taken = np.take_along_axis(flat, np.maximum(indices, 0).reshape(*indices.shape[:-2], windows), -1)
    return np.where(indices < 0, taken.dtype.type(0), taken.reshape(indices.shape))


@jit
def _forward(
    out_ptr,
    index_ptr,
    in_ptr,
    size,
    least,
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
    DH: tl.constexpr,
    DW: tl.constexpr,
    UNROLL: tl.constexpr,
    LAST: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in (N, C, H, W), any strides · out, index (N, C, OH, OW), row-major or channels-last, of ``size`` groups of VECTOR
    # one program per BLOCK windows
    element, n, c, oh, ow = elements(C, OH, OW, LAST, VECTOR, WIDE, BLOCK)
    here = element < tl.cast(size, element.dtype) * VECTOR
    best = tl.zeros((BLOCK // VECTOR, VECTOR), least.dtype) + least
    index = element * 0 - 1
    for tap in tl.range(0, KH * KW, loop_unroll_factor=UNROLL):
        h = oh * SH - PH + tap // KW * DH
        w = ow * SW - PW + tap % KW * DW
        inside = here & ((h >= 0) & (h < H) & (w >= 0) & (w < W))
        value = tl.load(in_ptr + pixel(n, c, h, w, strides[0], VECTOR), mask=inside, other=0).to(least.dtype)
        # a NaN differs from itself; the first tap inside is taken whatever it holds
        better = inside & ((value > best) | (value != value) | (index < 0))
        best = tl.where(better, value, best)
        index = tl.where(better, h * W + w, index)
    tl.store(out_ptr + element, best.to(out_ptr.dtype.element_ty), mask=here)
    tl.store(index_ptr + element, index.to(tl.int64), mask=here)


@jit
def _backward(
    out_ptr,
    grad_ptr,
    index_ptr,
    size,
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
    DH: tl.constexpr,
    DW: tl.constexpr,
    UNROLL: tl.constexpr,
    LAST: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # grad, index (N, C, OH, OW), any strides · out (N, C, H, W), row-major or channels-last, of ``size`` groups of VECTOR
    # one program per BLOCK pixels; each collects from the windows that it lies in, so nothing is added atomically
    MOST_H: tl.constexpr = ((KH - 1) * DH + SH) // SH  # windows along one axis that a pixel may lie in
    MOST_W: tl.constexpr = ((KW - 1) * DW + SW) // SW
    element, n, c, h, w = elements(C, H, W, LAST, VECTOR, WIDE, BLOCK)
    here = element < tl.cast(size, element.dtype) * VECTOR
    total = tl.zeros((BLOCK // VECTOR, VECTOR), number.dtype)
    for i in tl.range(0, MOST_H * MOST_W, loop_unroll_factor=UNROLL):
        oh = (h + PH) // SH - i // MOST_W
        ow = (w + PW) // SW - i % MOST_W
        inside = here & ((oh >= 0) & (oh < OH) & (ow >= 0) & (ow < OW))
        index = tl.load(index_ptr + pixel(n, c, oh, ow, strides[1], VECTOR), mask=inside, other=-1)
        chosen = inside & (index == h * W + w)
        value = tl.load(grad_ptr + pixel(n, c, oh, ow, strides[0], VECTOR), mask=inside, other=0.0)
        total += tl.where(chosen, value.to(number.dtype), 0.0)
    tl.store(out_ptr + element, total.to(out_ptr.dtype.element_ty), mask=here)


@jit
def _gather(
    out_ptr,
    in_ptr,
    index_ptr,
    size,
    C,
    W,
    OH,
    OW,
    in_strides,
    index_strides,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in (N, C, H, W), index (N, C, OH, OW), any strides · out as index, row-major or channels-last
    # one program per BLOCK windows
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = element < size
    n, c, oh, ow = place_of(element, C, OH, OW, LAST)
    at = index_ptr + n * index_strides[0] + c * index_strides[1] + oh * index_strides[2] + ow * index_strides[3]
    index = tl.load(at, mask=here, other=0)
    where = n * in_strides[0] + c * in_strides[1] + index // W * in_strides[2] + index % W * in_strides[3]
    tl.store(out_ptr + element, tl.load(in_ptr + where, mask=here & (index >= 0), other=0.0), mask=here)


def _taps(kernel_size, stride, padding, dilation):
    names = ("KH", "KW", "SH", "SW", "PH", "PW", "DH", "DW")
    return dict(zip(names, (*kernel_size, *stride, *padding, *dilation), strict=True))


def forward_triton(input, *, kernel_size, stride, padding, dilation, ceil_mode):
    size = window.sizes(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (*input.shape[:-2], *size)
    out, indices = window.empty(input, shape), window.empty(input, shape, np.int64)
    work = np.dtype(np.float32) if input.dtype in dtypes.HALF else input.dtype
    x = window.batched(input)
    strides, constants, channels = window.walk(out, (x,))
    block = max(input.backend.block_size(out.size), constants["VECTOR"])
    # one program per BLOCK windows
    launch(
        _forward,
        (cdiv(out.size, block),),
        out,
        indices,
        x,
        out.size // constants["VECTOR"],
        work.type(_least(work)),
        channels,
        *x.shape[2:],
        *size,
        strides,
        **_taps(kernel_size, stride, padding, dilation),
        UNROLL=min(kernel_size[0] * kernel_size[1], 9),
        BLOCK=block,
        **constants,
    )
    return out, indices


def backward_triton(grad, indices, *, size, kernel_size, stride, padding, dilation):
    out = window.empty(grad, (*grad.shape[:-2], *size))
    work = np.dtype(np.float32) if grad.dtype in dtypes.HALF else grad.dtype
    g, index = window.batched(grad), window.batched(indices)
    strides, constants, channels = window.walk(out, (g, index))
    block = max(grad.backend.block_size(out.size), constants["VECTOR"])
    # one program per BLOCK pixels
    launch(
        _backward,
        (cdiv(out.size, block),),
        out,
        g,
        index,
        out.size // constants["VECTOR"],
        work.type(0),
        channels,
        *size,
        *g.shape[2:],
        strides,
        **_taps(kernel_size, stride, padding, dilation),
        UNROLL=4,
        BLOCK=block,
        **constants,
    )
    return out


def gather_triton(input, indices, *, size, kernel_size, stride, padding, dilation):
    out = window.empty(input, indices.shape)
    x, index = window.batched(input), window.batched(indices)
    block = input.backend.block_size(out.size)
    # one program per BLOCK windows
    launch(
        _gather,
        (cdiv(out.size, block),),
        out,
        x,
        index,
        out.size,
        index.shape[1],
        size[1],
        *index.shape[2:],
        x.strides,
        index.strides,
        LAST=window.channels_last(input),
        BLOCK=block,
    )
    return out


def _distinct(rng, shape):
    """Values that differ by more than a finite difference or a half type's rounding moves them."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 16.0 - 2.0


def _settings(kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    def two(v):
        return v if isinstance(v, tuple) else (v, v)

    return {
        "kernel_size": two(kernel_size),
        "stride": two(kernel_size if stride is None else stride),
        "padding": two(padding),
        "dilation": two(dilation),
        "ceil_mode": ceil_mode,
    }


def samples(rng):
    x = np.array([[[1.0, 5.0, 2.0], [3.0, 4.0, 6.0], [0.0, 7.0, 6.0]]])
    yield Sample(
        "worked",
        (x,),
        _settings(2, 1),
        answers=([[[5.0, 6.0], [7.0, 7.0]]], [[[1, 5], [7, 7]]], [[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0]]]),
    )
    yield Sample(
        "padded",
        (-x,),
        _settings(3, 2, 1),
        answers=(
            [[[-1.0, -2.0], [0.0, -4.0]]],
            [[[0, 2], [6, 4]]],
            [[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]],
        ),
    )
    yield Sample(
        "ties",
        (np.ones((1, 1, 2, 4)),),
        _settings(2),
        answers=([[[[1.0, 1.0]]]], [[[[0, 2]]]], [[[[1.0, 0.0, 1.0, 0.0], [0.0] * 4]]]),
    )
    nan, low = np.nan, -np.inf
    yield Sample(
        "not a number",
        (np.array([[[1.0, nan, 3.0], [nan, 2.0, low], [5.0, low, low]]]),),
        _settings(2, 1),
        answers=([[[nan, nan], [nan, 2.0]]], [[[3, 1], [3, 4]]], [[[0.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]),
    )
    yield Sample(
        "lowest",
        (np.full((1, 3, 3), low),),
        _settings(2, 2, 1, 2),
        answers=([[[low] * 2] * 2], [[[4, 4], [4, 4]]], [[[0.0] * 3, [0.0, 4.0, 0.0], [0.0] * 3]]),
    )
    yield Sample(
        "nothing inside", (np.array([[[3.0]]]),), _settings(2, 1, 1, 2), answers=([[[low]]], [[[-1]]], [[[0.0]]])
    )
    yield Sample("integers", (np.array([[[-9, -7], [-8, -6]]]),), _settings(2), answers=([[[-6]]], [[[3]]]), dtypes=())
    for shape, settings in [
        ((2, 3, 6, 8), _settings(2)),
        ((2, 2, 7, 5), _settings(3, 2, 1)),
        ((1, 2, 9, 8), _settings((2, 3), (3, 1), (1, 0), (2, 1))),
        ((2, 7, 5), _settings(3, 2, ceil_mode=True)),
        ((2, 1, 5, 5), _settings(2, 3, ceil_mode=True)),
        ((0, 2, 4, 4), _settings(2)),
    ]:
        yield Sample(f"shape {shape}", (_distinct(rng, shape),), settings)
    yield Sample("channels last", (_distinct(rng, (2, 5, 6, 3)).transpose(0, 3, 1, 2),), _settings(3, 2, 1))
    yield Sample("strided", (_distinct(rng, (5, 6, 3, 4)).T[:, :, ::-1, ::2],), _settings(2, 1))
    yield Sample("larger", (_distinct(rng, (1, 3, 24, 24)),), _settings(2), dtypes=("float64", "float32"))

    image = np.zeros((1, 3, 6, 6))
    yield Sample(
        "two dimensions",
        (np.zeros((6, 6)),),
        {"kernel_size": 2},
        raises=(
            RuntimeError,
            "max_pool2d: expected an input of shape (N, C, H, W) or (C, H, W), where only N may be 0, got (6, 6)",
        ),
    )
    yield Sample(
        "too much padding",
        (image,),
        {"kernel_size": 3, "padding": 2},
        raises=(
            RuntimeError,
            "max_pool2d: padding must be between 0 and half of kernel_size, got padding (2, 2) with kernel_size (3, 3)",
        ),
    )
    yield Sample(
        "too large",
        (image,),
        {"kernel_size": (7, 1)},
        raises=(
            RuntimeError,
            "max_pool2d: kernel_size (7, 1) with padding (0, 0) and dilation (1, 1) leaves an output of (0, 6) from "
            "an input of (1, 3, 6, 6)",
        ),
    )
    yield Sample(
        "no stride",
        (image,),
        {"kernel_size": 2, "stride": 0},
        raises=(RuntimeError, "max_pool2d: stride must be greater than zero, got (0, 0)"),
    )
    yield Sample(
        "three sizes",
        (image,),
        {"kernel_size": (2, 2, 2)},
        raises=(RuntimeError, "max_pool2d: kernel_size must be an int or a tuple of two ints, got (2, 2, 2)"),
    )
    yield Sample(
        "fraction",
        (image,),
        {"kernel_size": 2.5},
        raises=(TypeError, "max_pool2d: kernel_size must be an int or a tuple of two ints, got 2.5"),
    )
    yield Sample(
        "ceil_mode",
        (image,),
        {"kernel_size": 2, "ceil_mode": 1},
        raises=(TypeError, "max_pool2d: ceil_mode must be a bool, got 1"),
    )
    yield Sample(
        "return_indices",
        (image,),
        {"kernel_size": 2, "return_indices": 1},
        raises=(TypeError, "max_pool2d: return_indices must be a bool, got 1"),
    )
    yield Sample(
        "bool",
        (np.zeros((1, 2, 2), bool),),
        {"kernel_size": 2},
        dtypes=(),
        raises=(RuntimeError, "max_pool2d: expected an input of numbers, got bool"),
    )


def _backwards(call):
    geometry = {name: value for name, value in call.settings.items() if name != "ceil_mode"}
    return {"size": call.shape("input")[-2:], **geometry}


MAX_POOL2D = register(
    Op(
        name="max_pool2d",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=("indices",), op="max_pool2d_backward", settings=_backwards),),
        samples=samples,
        function=max_pool2d,
        outputs=("output", "indices"),
    )
)

register(
    Op(
        name="max_pool2d_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(Grad(of=("grad",), keeps=("indices",), op="max_pool2d_gather"),),
        zero=("indices",),
    )
)

register(
    Op(
        name="max_pool2d_gather",  # takes the settings that its own gradient needs
        kernel=Kernel(numpy=gather_numpy, triton=repeated(gather_triton)),
        grads=(Grad(of=("input",), keeps=("indices",), op="max_pool2d_backward"),),
        zero=("indices",),
    )
)
