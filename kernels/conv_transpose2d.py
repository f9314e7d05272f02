"""Transposed convolution in two dimensions, in groups of channels: the input gradient of ``conv2d``.

With place p, tap r and channel c in two dimensions:

    out[n, c, y]         = sum over k, and p, r with p * stride - padding + r * dilation = y, of
                           input[n, k, p] * weight[k, c, r]  + bias[c]
    grad_input           = conv2d(grad, weight), of input's size
    grad_weight[k, c, r] = sum over n, p of input[n, k, p] * grad[n, c, p * stride - padding + r * dilation]
    grad_bias[c]         = sum over n, y of grad[n, c, y]

The weight gradient is conv2d's with input and grad in each other's place.  Rows: ``conv_transpose2d`` without bias,
``conv_transpose2d_bias`` with one; both are given the output's ``size``.
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.convolution import spread_numpy, weight_gradient_numpy
from ..framework.convolve import spread_triton, weight_gradient_triton
from ..framework.op import Begun, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from .conv2d import BIAS, check_groups, check_operands, errors, geometry, pair, settings_for


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    groups: int = 1,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """Spread ``input`` (N, K, P, Q) or (K, P, Q) by ``weight`` (K, C/groups, R, S); ``bias`` is (C) or None.

    The output has (P - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1 rows, columns alike, and is
    laid out in memory channels last if the input or the weight is, else row-major.  Raises RuntimeError where shapes,
    dtypes or settings do not fit, TypeError for arguments of a wrong type.

    >>> conv_transpose2d(Tensor([[[[1.0, 2.0]]]]), Tensor([[[[1.0, 10.0]]]]), stride=2).numpy()
    array([[[[ 1., 10.,  2., 20.]]]], dtype=float32)
    """
    name = "conv_transpose2d"
    input, weight, bias = autocast_inputs(CONV_TRANSPOSE2D, input, weight, bias)
    check_operands(name, input, weight, bias)
    steps, apart = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
    before, after = pair(name, "padding", padding, 0), pair(name, "output_padding", output_padding, 0)
    check_groups(name, groups, weight)
    if input.shape[-3] != weight.shape[0]:
        raise RuntimeError(
            f"{name}: weight {weight.shape} expects {weight.shape[0]} input channels, "
            f"input {input.shape} has {input.shape[-3]}"
        )
    channels = weight.shape[1] * groups
    if bias is not None and bias.shape != (channels,):
        raise RuntimeError(
            f"{name}: weight {weight.shape} with groups={groups} expects a bias of shape {(channels,)}, "
            f"got {bias.shape}"
        )
    if any(o >= max(s, d) for o, s, d in zip(after, steps, apart, strict=True)):
        raise RuntimeError(f"{name}: output_padding {after} must be less than stride {steps} or dilation {apart}")
    size = tuple(
        (n - 1) * s - 2 * p + d * (t - 1) + o + 1
        for n, s, p, d, t, o in zip(input.shape[-2:], steps, before, apart, weight.shape[2:], after, strict=True)
    )
    if min(size) < 0:
        raise RuntimeError(
            f"{name}: padding {before} leaves an output of {size} for input {input.shape}, weight {weight.shape}"
        )
    settings = {"stride": steps, "padding": before, "dilation": apart, "groups": groups, "size": size}
    if input.ndim == 3:
        return _run(input.unsqueeze(0), weight, bias, settings).squeeze(0)
    return _run(input, weight, bias, settings)


def _run(input, weight, bias, settings):
    if bias is None:
        return apply(CONV_TRANSPOSE2D, input, weight, **settings)
    return apply(CONV_TRANSPOSE2D_BIAS, input, weight, bias, **settings)


def forward_numpy(input, weight, *, stride, padding, dilation, groups, size):
    return spread_numpy(input, weight, None, stride, padding, dilation, groups, size)


def forward_triton(input, weight, *, stride, padding, dilation, groups, size):
    return spread_triton(input, weight, None, stride, padding, dilation, groups, size)


_spread = repeated(spread_triton)


def forward_begin(input, weight, *, stride, padding, dilation, groups, size):
    shape = (input.shape[0], weight.shape[1] * groups, *size)
    geometry = stride, padding, dilation, groups, size
    return Begun(shape, lambda chain: _spread(input, weight, None, *geometry, epilogue=chain))


def bias_numpy(input, weight, bias, *, stride, padding, dilation, groups, size):
    return spread_numpy(input, weight, bias, stride, padding, dilation, groups, size)


def bias_triton(input, weight, bias, *, stride, padding, dilation, groups, size):
    return spread_triton(input, weight, bias, stride, padding, dilation, groups, size)


def bias_begin(input, weight, bias, *, stride, padding, dilation, groups, size):
    shape = (input.shape[0], weight.shape[1] * groups, *size)
    geometry = stride, padding, dilation, groups, size
    return Begun(shape, lambda chain: _spread(input, weight, bias, *geometry, epilogue=chain))


def by_weight_numpy(weight, input, *, stride, padding, dilation, groups, size):
    return spread_numpy(input, weight, None, stride, padding, dilation, groups, size)


def by_weight_triton(weight, input, *, stride, padding, dilation, groups, size):
    return spread_triton(input, weight, None, stride, padding, dilation, groups, size)


def weight_backward_numpy(grad, input, *, stride, padding, dilation, groups, kernel_size):
    return weight_gradient_numpy(input, grad, stride, padding, dilation, groups, kernel_size)


def weight_backward_triton(grad, input, *, stride, padding, dilation, groups, kernel_size):
    return weight_gradient_triton(input, grad, stride, padding, dilation, groups, kernel_size)


INPUT = Grad(of=("input",), keeps=("weight",), op="conv2d", settings=settings_for(size="input"))
WEIGHT = Grad(
    of=("weight",), keeps=("input",), op="conv_transpose2d_weight_backward", settings=settings_for(kernel_size="weight")
)


def samples(rng):
    x = np.array([[[[1.0, 2.0]]]])
    w = np.array([[[[1.0, 10.0, 100.0]]]])
    yield Sample(
        "worked",
        (x, w),
        geometry((1, 2), size=(1, 5)),
        answers=([[[[1.0, 10.0, 102.0, 20.0, 200.0]]]], [[[[111.0, 111.0]]]], [[[[3.0, 3.0, 3.0]]]]),
    )
    yield Sample(
        "worked, cropped",
        (x, w),
        geometry((1, 2), (0, 1), size=(1, 3)),
        answers=([[[[10.0, 102.0, 20.0]]]], [[[[110.0, 11.0]]]], [[[[2.0, 3.0, 1.0]]]]),
    )
    yield Sample(
        "worked, beyond the last tap",
        (x, w),
        geometry((1, 3), size=(2, 7)),
        answers=(
            [[[[1.0, 10.0, 100.0, 2.0, 20.0, 200.0, 0.0], [0.0] * 7]]],
            [[[[111.0, 111.0]]]],
            [[[[3.0, 3.0, 3.0]]]],
        ),
    )
    for name, n, k, c, pq, taps, settings in [
        ("dcgan", 2, 4, 3, (3, 3), (4, 4), geometry((2, 2), (1, 1), size=(6, 6))),
        ("many channels", 2, 9, 17, (3, 4), (4, 4), geometry((2, 2), (1, 1), size=(6, 8))),
        ("fewer out", 1, 40, 8, (2, 3), (3, 3), geometry((2, 2), (1, 1), size=(4, 6))),
        ("stride 1", 1, 9, 8, (4, 3), (3, 2), geometry(padding=(1, 0), size=(4, 4))),
        ("fewer taps than steps", 1, 8, 8, (3, 2), (2, 1), geometry((3, 3), size=(9, 5))),
        ("uneven", 1, 2, 3, (4, 3), (3, 2), geometry((2, 1), (1, 0), (2, 3), size=(9, 6))),
        ("dilated by the stride", 1, 9, 8, (3, 3), (3, 2), geometry((2, 2), (1, 2), (2, 4), size=(7, 5))),
        ("dilation 3, stride 2", 1, 9, 8, (3, 2), (3, 3), geometry((2, 2), (2, 1), (3, 3), size=(7, 7))),
        ("output beyond one step", 1, 8, 9, (2, 2), (2, 2), geometry((1, 1), (0, 0), (3, 3), size=(7, 6))),
        ("groups", 2, 4, 6, (3, 3), (3, 3), geometry((2, 2), (1, 1), groups=2, size=(6, 5))),
        ("depthwise", 1, 5, 10, (2, 3), (2, 2), geometry((1, 2), (0, 1), groups=5, size=(3, 4))),
        ("no batch", 0, 2, 3, (3, 3), (2, 2), geometry(size=(4, 4))),
        ("all padding", 1, 2, 3, (2, 2), (2, 2), geometry(padding=(1, 1), size=(1, 1))),
        ("nothing left", 1, 8, 9, (1, 2), (2, 2), geometry(padding=(1, 1), size=(0, 1))),
    ]:
        arrays = rng.normal(size=(n, k, *pq)), rng.normal(size=(k, c // settings["groups"], *taps))
        yield Sample(name, arrays, settings, terms=max(16, c, k) * taps[0] * taps[1])
    last = rng.normal(size=(2, 3, 2, 9)).transpose(0, 3, 1, 2)
    yield Sample(
        "channels last",
        (last, rng.normal(size=(10, 9, 3, 3)).transpose(1, 0, 2, 3)),
        geometry((2, 2), size=(7, 5)),
        terms=90,
    )
    yield from errors(
        "conv_transpose2d",
        RuntimeError,
        [
            (
                "channels",
                (2, 3, 9, 9),
                (4, 3, 3, 3),
                {},
                "weight (4, 3, 3, 3) expects 4 input channels, input (2, 3, 9, 9) has 3",
            ),
            (
                "groups",
                (2, 3, 9, 9),
                (3, 2, 3, 3),
                {"groups": 2},
                "groups=2 does not divide the 3 channels of weight (3, 2, 3, 3)",
            ),
            (
                "output padding",
                (2, 3, 9, 9),
                (3, 2, 3, 3),
                {"output_padding": 2, "stride": 2},
                "output_padding (2, 2) must be less than stride (2, 2) or dilation (1, 1)",
            ),
            (
                "padding",
                (1, 1, 2, 2),
                (1, 1, 2, 2),
                {"padding": 2},
                "padding (2, 2) leaves an output of (-1, -1) for input (1, 1, 2, 2), weight (1, 1, 2, 2)",
            ),
            ("rank", (3,), (1, 1, 3, 3), {}, "expected input (N, C, H, W) or (C, H, W), got (3,)"),
        ],
    )
    yield from errors(
        "conv_transpose2d",
        TypeError,
        [
            (
                "padding's type",
                (1, 1, 3, 3),
                (1, 1, 2, 2),
                {"padding": "same"},
                "expected padding to be an int or two ints, got 'same'",
            ),
        ],
    )
    yield Sample(
        "bias",
        (np.zeros((1, 2, 3, 3)), np.zeros((2, 1, 2, 2)), np.zeros(2)),
        raises=(
            RuntimeError,
            "conv_transpose2d: weight (2, 1, 2, 2) with groups=1 expects a bias of shape (1,), got (2,)",
        ),
    )


def bias_samples(rng):
    x, w = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0]]]])
    yield Sample(
        "worked",
        (x, w, np.array([0.5])),
        geometry((1, 3), size=(1, 6)),
        answers=([[[[1.5, 10.5, 0.5, 2.5, 20.5, 0.5]]]], [[[[11.0, 11.0]]]], [[[[3.0, 3.0]]]], [6.0]),
    )
    for name, n, k, c, groups in [
        ("few channels", 2, 3, 4, 1),
        ("many channels", 2, 9, 8, 1),
        ("groups", 1, 4, 4, 2),
        ("no batch", 0, 3, 2, 1),
    ]:
        arrays = rng.normal(size=(n, k, 3, 2)), rng.normal(size=(k, c // groups, 2, 3)), rng.normal(size=(c,))
        yield Sample(name, arrays, geometry((3, 2), (1, 1), groups=groups, size=(6, 3)), terms=64)


CONV_TRANSPOSE2D = register(
    Op(
        name="conv_transpose2d",
        autocast="half",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton), begin=forward_begin),
        grads=(INPUT, WEIGHT),
        samples=samples,
        function=conv_transpose2d,
    )
)

CONV_TRANSPOSE2D_BIAS = register(
    Op(
        name="conv_transpose2d_bias",
        autocast="half",
        kernel=Kernel(numpy=bias_numpy, triton=repeated(bias_triton), begin=bias_begin),
        grads=(INPUT, WEIGHT, BIAS),
        samples=bias_samples,
        function=conv_transpose2d,
    )
)

register(
    Op(
        name="conv_transpose2d_by_weight",
        kernel=Kernel(numpy=by_weight_numpy, triton=repeated(by_weight_triton)),
        grads=(WEIGHT, INPUT),
    )
)

register(
    Op(
        name="conv_transpose2d_weight_backward",
        kernel=Kernel(numpy=weight_backward_numpy, triton=repeated(weight_backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("input",), op="conv_transpose2d_by_weight", settings=settings_for(size="grad")),
            Grad(of=("input",), keeps=("grad",), op="conv2d_by_weight", settings=settings_for(size="input")),
        ),
    )
)
