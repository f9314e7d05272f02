"""The mean of windows that divide an image into a given number of rows and columns, as evenly as can be.

window o of O along an axis of n: from floor(o * n / O) to ceil((o + 1) * n / O)
out[o]           = mean of input over window o
grad_input[h, w] = sum of grad[o] / size of window o, over the windows o that hold (h, w)
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes, window
from ..framework.language import cdiv, jit, tl
from ..framework.launch import launch
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import plus, reduce
from ..framework.repeat import repeated
from ..framework.window import elements, pixel
from .mean import SCALE


def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """``input`` (N, C, H, W) or (C, H, W), floating, averaged to height and width ``output_size``; None keeps one.

    Raises RuntimeError for a negative size and for images of no pixel, TypeError for sizes that are no integers.

    >>> adaptive_avg_pool2d(Tensor([[[1.0, 2.0, 3.0]]]), (1, 2)).numpy()
    array([[[1.5, 2.5]]], dtype=float32)
    """
    shape = input.shape
    if len(shape) not in (3, 4) or 0 in shape[-2:]:
        raise RuntimeError(
            f"adaptive_avg_pool2d: expected an input of shape (N, C, H, W) or (C, H, W) with pixels, got {shape}"
        )
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"adaptive_avg_pool2d: expected a floating input, got {input.dtype.name}")
    given = output_size
    if isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise RuntimeError(f"adaptive_avg_pool2d: output_size must be an int or two, got {output_size!r}")
        given = tuple(n if o is None else o for o, n in zip(given, shape[-2:], strict=True))
    size = window.pair("adaptive_avg_pool2d", "output_size", given)
    if min(size) < 0:
        raise RuntimeError(f"adaptive_avg_pool2d: output_size must not be negative, got {output_size!r}")
    return apply(ADAPTIVE_AVG_POOL2D, input, output_size=size)


def _bounds(n, out):
    """Where each window along an axis begins and ends."""
    o = np.arange(out)
    return o * n // max(out, 1), -(-(o + 1) * n // max(out, 1))


def forward_numpy(input, *, output_size):
    kind = input.dtype
    x = input.astype(np.float32) if kind in dtypes.HALF else input
    if output_size == (1, 1):
        return (np.einsum("...hw->...", x) / x.dtype.type(x.shape[-2] * x.shape[-1])).astype(kind, copy=False)[
            ..., None, None
        ]
    for axis in (-2, -1):
        out = output_size[axis]
        n = x.shape[axis]
        if out == n:
            continue
        begin, end = _bounds(n, out)
        behind = (slice(None),) * (-axis - 1)
        shape = list(x.shape)
        shape[axis] = out
        mean = window.empty(x, tuple(shape))
        for o in range(out):
            np.add.reduce(x[(..., slice(begin[o], end[o]), *behind)], axis=axis, out=mean[(..., o, *behind)])
        mean /= (end - begin).reshape(-1, *(1 for _ in behind)).astype(x.dtype)
        x = mean
    if x is not input:
        return x.astype(kind, copy=False)
    out = window.empty(input, input.shape)
    np.copyto(out, input)
    return out


def backward_numpy(grad, *, size):
    kind = grad.dtype
    g = grad.astype(np.float32) if kind in dtypes.HALF else grad
    for axis in (-2, -1):
        n, out = size[axis], g.shape[axis]
        if out == n:
            continue
        begin, end = _bounds(n, out)
        behind = (slice(None),) * (-axis - 1)
        shape = list(g.shape)
        shape[axis] = n
        g = g / (end - begin).reshape(-1, *(1 for _ in behind)).astype(g.dtype)
        if out == 1:
            g = np.broadcast_to(g, shape)
            continue
        spread = window.empty(grad, tuple(shape), g.dtype)
        spread.fill(0)
        for o in range(out):
            spread[(..., slice(begin[o], end[o]), *behind)] += g[(..., slice(o, o + 1), *behind)]
        g = spread
    out = window.empty(grad, g.shape, kind)
    np.copyto(out, g, casting="same_kind")
    return out


@jit
def _forward(
    out_ptr,
    in_ptr,
    size,
    number,
    most_h,
    most_w,
    C,
    H,
    W,
    OH,
    OW,
    strides,
    LAST: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # in (N, C, H, W), any strides · out (N, C, OH, OW), row-major or channels-last, of ``size`` groups of VECTOR; windows
    # of most_h x most_w at most
    # one program per BLOCK windows
    element, n, c, oh, ow = elements(C, OH, OW, LAST, VECTOR, WIDE, BLOCK)
    here = element < tl.cast(size, element.dtype) * VECTOR
    top = oh * H // OH
    bottom = ((oh + 1) * H + OH - 1) // OH
    left = ow * W // OW
    right = ((ow + 1) * W + OW - 1) // OW
    total = tl.zeros((BLOCK // VECTOR, VECTOR), number.dtype)
    for i in range(most_h):
        for j in range(most_w):
            inside = here & ((top + i < bottom) & (left + j < right))
            at = pixel(n, c, top + i, left + j, strides[0], VECTOR)
            total += tl.load(in_ptr + at, mask=inside, other=0.0).to(number.dtype)
    count = ((bottom - top) * (right - left)).to(number.dtype)
    tl.store(out_ptr + element, (total / count).to(out_ptr.dtype.element_ty), mask=here)


@jit
def _backward(
    out_ptr,
    grad_ptr,
    size,
    number,
    most_h,
    most_w,
    C,
    H,
    W,
    OH,
    OW,
    strides,
    LAST: tl.constexpr,
    VECTOR: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # grad (N, C, OH, OW), any strides · out (N, C, H, W), row-major or channels-last, of ``size`` groups of VECTOR; a pixel
    # lies in most_h x most_w windows at most
    # one program per BLOCK pixels; each collects from the windows that it lies in
    element, n, c, h, w = elements(C, H, W, LAST, VECTOR, WIDE, BLOCK)
    here = element < tl.cast(size, element.dtype) * VECTOR
    total = tl.zeros((BLOCK // VECTOR, VECTOR), number.dtype)
    for i in range(most_h):
        for j in range(most_w):
            oh = h * OH // H + i
            ow = w * OW // W + j
            top = oh * H // OH
            left = ow * W // OW
            bottom = ((oh + 1) * H + OH - 1) // OH
            right = ((ow + 1) * W + OW - 1) // OW
            inside = here & ((oh < OH) & (ow < OW) & (h >= top) & (h < bottom) & (w >= left) & (w < right))
            value = tl.load(grad_ptr + pixel(n, c, oh, ow, strides[0], VECTOR), mask=inside, other=0.0)
            total += value.to(number.dtype) / ((bottom - top) * (right - left)).to(number.dtype)
    tl.store(out_ptr + element, total.to(out_ptr.dtype.element_ty), mask=here)


def _run(kernel, array, shape, most, image, windows):
    out = window.empty(array, shape)
    if not out.size:
        return out
    work = np.dtype(np.float32) if array.dtype in dtypes.HALF else array.dtype
    source = window.batched(array)
    strides, constants, channels = window.walk(out, (source,))
    block = max(array.backend.block_size(out.size), constants["VECTOR"])
    # one program per BLOCK elements of out
    launch(
        kernel,
        (cdiv(out.size, block),),
        out,
        source,
        out.size // constants["VECTOR"],
        work.type(0),
        *most,
        channels,
        *image,
        *windows,
        strides,
        BLOCK=block,
        **constants,
    )
    return out


def forward_triton(input, *, output_size):
    image = input.shape[-2:]
    if output_size == (1, 1):  # the whole plane: many programs may share one sum
        rank = input.ndim
        return reduce(input, (rank - 2, rank - 1), True, plus, 0, factor=1 / (image[0] * image[1]))
    most = (int(np.max(np.subtract(*_bounds(n, o)[::-1]), initial=0)) for n, o in zip(image, output_size, strict=True))
    return _run(_forward, input, (*input.shape[:-2], *output_size), most, image, output_size)


def backward_triton(grad, *, size):
    windows = grad.shape[-2:]
    if windows == (1, 1):  # the same for the whole plane: a view
        return SCALE.triton(grad, factor=1 / (size[0] * size[1])).viewed(
            lambda a: np.broadcast_to(a, (*a.shape[:-2], *size))
        )
    # pixel h lies in windows floor(h * O / n) to ceil((h + 1) * O / n) - 1
    most = (int(np.max(np.subtract(*_bounds(o, n)[::-1]), initial=0)) for n, o in zip(size, windows, strict=True))
    return _run(_backward, grad, (*grad.shape[:-2], *size), most, size, windows)


def samples(rng):
    x = np.array([[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]])
    yield Sample(
        "worked", (x,), {"output_size": (1, 2)}, answers=([[[2.5, 5.0]]], [[[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]])
    )
    yield Sample("to one", (x,), {"output_size": (1, 1)}, answers=([[[4.0]]], np.full((1, 2, 3), 1 / 6)))
    yield Sample(
        "to more",
        (np.array([[[2.0, 4.0]]]),),
        {"output_size": (2, 3)},
        answers=([[[2.0, 3.0, 4.0]] * 2], [[[3.0, 3.0]]]),
    )
    for shape, size in [
        ((2, 3, 6, 8), (3, 4)),
        ((2, 2, 7, 5), (3, 2)),
        ((3, 7, 5), (1, 5)),
        ((1, 2, 5, 4), (7, 9)),
        ((2, 2, 5, 6), (1, 1)),
        ((0, 2, 4, 4), (2, 2)),
        ((2, 2, 3, 4), (0, 2)),
        ((2, 3, 4, 5), (4, 5)),
    ]:
        yield Sample(f"{shape} to {size}", (rng.normal(size=shape),), {"output_size": size}, terms=30)
    yield Sample(
        "channels last", (rng.normal(size=(2, 5, 6, 3)).transpose(0, 3, 1, 2),), {"output_size": (2, 4)}, terms=9
    )
    yield Sample("strided", (rng.normal(size=(5, 6, 3, 4)).T[:, :, ::-1, ::2],), {"output_size": (2, 2)}, terms=9)

    image = np.zeros((1, 3, 6, 6))
    yield Sample(
        "two dimensions",
        (np.zeros((6, 6)),),
        {"output_size": 2},
        raises=(
            RuntimeError,
            "adaptive_avg_pool2d: expected an input of shape (N, C, H, W) or (C, H, W) with pixels, got (6, 6)",
        ),
    )
    yield Sample(
        "no pixels",
        (np.zeros((2, 3, 0, 4)),),
        {"output_size": 2},
        raises=(
            RuntimeError,
            "adaptive_avg_pool2d: expected an input of shape (N, C, H, W) or (C, H, W) with pixels, got (2, 3, 0, 4)",
        ),
    )
    yield Sample(
        "negative",
        (image,),
        {"output_size": (2, -1)},
        raises=(RuntimeError, "adaptive_avg_pool2d: output_size must not be negative, got (2, -1)"),
    )
    yield Sample(
        "one size",
        (image,),
        {"output_size": (2,)},
        raises=(RuntimeError, "adaptive_avg_pool2d: output_size must be an int or two, got (2,)"),
    )
    yield Sample(
        "no size",
        (image,),
        {"output_size": None},
        raises=(TypeError, "adaptive_avg_pool2d: output_size must be an int or a tuple of two ints, got None"),
    )
    yield Sample(
        "integers",
        (np.zeros((1, 2, 2), np.int64),),
        {"output_size": 1},
        dtypes=(),
        raises=(RuntimeError, "adaptive_avg_pool2d: expected a floating input, got int64"),
    )


ADAPTIVE_AVG_POOL2D = register(
    Op(
        name="adaptive_avg_pool2d",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="adaptive_avg_pool2d_backward",
                settings=lambda call: {"size": call.shape("input")[-2:]},
            ),
        ),
        samples=samples,
        function=adaptive_avg_pool2d,
    )
)

register(
    Op(
        name="adaptive_avg_pool2d_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(
                of=("grad",),
                keeps=(),
                op="adaptive_avg_pool2d",
                settings=lambda call: {"output_size": call.shape("grad")[-2:]},
            ),
        ),
    )
)
